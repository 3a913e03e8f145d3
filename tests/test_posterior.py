"""Claims about posteriors: predictions are the explicit means over draws that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.datasets import make_mixture
from gmm_pyro.mixture.value import GaussianMixture
from gmm_pyro.posterior import Posterior
from oracles import SITES, apart, around, every_family, kept


def draws_of(posterior: Posterior) -> list[GaussianMixture]:
    parameters = posterior.parameters()
    return [
        GaussianMixture.from_parameters(posterior.family, parameters[[i]])
        for i in range(len(parameters.means))
    ]


def densities(posterior: Posterior, x: torch.Tensor) -> torch.Tensor:
    """Density of every draw at every point, by torch's own distributions."""
    return torch.stack([draw.distribution().log_prob(x).exp() for draw in draws_of(posterior)])


def vague(family: str = "full", d: int = 2, k: int = 3, sites: str = "sites") -> Posterior:
    """Draws that differ a good deal, of components that overlap."""
    data = make_mixture(n=50, d=d, k=k, separation=1.5, covariance=family)
    return around(data.truth, data.x, noise=0.3, sites=sites)


class TestFields:
    def test_the_first_ones_keep_their_places(self) -> None:
        assert [field.name for field in fields(Posterior)][:9] == [
            *("draws", "family", "observations", "permutation", "statistics"),
            *("allocations", "kept", "independent", "ambiguous"),
        ]

    def test_one_class_under_both_names(self) -> None:
        assert gp.Posterior is Posterior

    def test_counts(self) -> None:
        posterior = vague(k=4)
        assert (posterior.n_chains, posterior.n_draws, posterior.n_components) == (2, 20, 4)


class TestDensity:
    @pytest.mark.parametrize("d", [1, 3])
    @pytest.mark.parametrize("sites", SITES)
    @every_family
    def test_mean_and_interval_of_the_draws_densities(self, family, sites, d) -> None:
        posterior = vague(family, d, sites=sites)
        x = make_mixture(n=25, d=d, seed=9).x
        each = densities(posterior, x)
        found = posterior.predictive_density(x, prob=0.8)
        torch.testing.assert_close(found.mean, each.mean(0), rtol=1e-9, atol=1e-14)
        torch.testing.assert_close(found.lower, each.quantile(0.1, 0), rtol=1e-9, atol=1e-14)
        torch.testing.assert_close(found.upper, each.quantile(0.9, 0), rtol=1e-9, atol=1e-14)
        assert found.prob == 0.8

    def test_many_points_are_taken_in_parts(self, monkeypatch) -> None:
        posterior = vague()
        whole = posterior.predictive_density(posterior.observations.x)
        monkeypatch.setattr("gmm_pyro.posterior.predictive.NUMBERS", 300)
        parts = posterior.predictive_density(posterior.observations.x)
        torch.testing.assert_close(parts.mean, whole.mean)
        torch.testing.assert_close(parts.upper, whole.upper)

    @every_family
    def test_the_band_of_one_feature_is_that_of_the_marginals(self, family) -> None:
        posterior = vague(family, d=3)
        grid = np.linspace(-4, 4, 31)
        each = torch.stack(
            [draw.marginal([2]).log_prob(grid[:, None]).exp() for draw in draws_of(posterior)]
        )
        for feature in ("x2", 2):
            found = posterior.density_band(grid, feature=feature)
            torch.testing.assert_close(found.mean, each.mean(0), rtol=1e-9, atol=1e-14)
            torch.testing.assert_close(found.upper, each.quantile(0.97, 0), rtol=1e-9, atol=1e-14)

    def test_the_band_of_univariate_data_needs_no_feature(self) -> None:
        posterior = vague(d=1)
        grid = torch.linspace(-12, 12, 400, dtype=torch.float64)
        band = posterior.density_band(grid)
        torch.testing.assert_close(band.mean, posterior.predictive_density(grid).mean)
        assert float(torch.trapezoid(band.mean, grid)) == pytest.approx(1, abs=1e-3)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda p: p.predictive_density([[0.0, 0.0]], prob=1.0), "below 1, got 1.0"),
            (lambda p: p.predictive_density([[0.0, 0.0]], prob=0), "above 0 and below 1, got 0"),
            (lambda p: p.predictive_density([[0.0]]), "x must have 2 features, got 1"),
            (lambda p: p.predictive_density([[0.0, np.inf]]), "1 infinite value"),
            (lambda p: p.density_band([0.0]), "one of x0, x1, or its number; got None"),
            (lambda p: p.density_band([0.0], feature="y"), "no feature 'y': there are x0, x1"),
            (lambda p: p.density_band([0.0], feature=2), "no feature 2: there are x0, x1"),
            (lambda p: p.sample_predictive(0), "n must be an integer of at least 1, got 0"),
        ],
    )
    def test_bad_arguments_are_named(self, call: Callable[[Posterior], object], message) -> None:
        with pytest.raises(ValueError, match=message):
            call(vague())


class TestAssignments:
    @every_family
    def test_probabilities_are_mean_responsibilities(self, family) -> None:
        posterior = vague(family)
        x = posterior.observations.x
        expected = torch.stack([draw.responsibilities(x) for draw in draws_of(posterior)]).mean(0)
        found = posterior.assignments().probabilities
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)

    def test_labels_are_drawn_with_each_draws_own_responsibilities(self) -> None:
        posterior = vague()
        one = {name: value[:1, :1].expand(1, 4000, *value.shape[2:]) for name, value in
               posterior.draws.items()}  # fmt: skip
        alike = replace(posterior, draws=one)
        found = alike.assignments([[0.0, 0.0], [1.0, 1.0]], seed=3)
        assert found.draws.shape == (4000, 2)
        p = found.probabilities
        frequency = torch.nn.functional.one_hot(found.draws, 3).double().mean(0)
        error = (p * (1 - p) / 4000).sqrt()
        assert ((frequency - p).abs() < 4.5 * error + 1e-12).all()

    def test_a_single_component_has_every_point(self) -> None:
        found = vague(k=1).assignments()
        assert found.draws.unique().tolist() == [0]
        torch.testing.assert_close(found.probabilities, torch.ones(50, 1, dtype=torch.float64))


class TestSample:
    @every_family
    def test_moments_are_those_of_all_draws_together(self, family) -> None:
        posterior = vague(family)
        x = posterior.sample_predictive(40_000)
        means = torch.stack([draw.mean() for draw in draws_of(posterior)])
        within = torch.stack([draw.covariance() for draw in draws_of(posterior)]).mean(0)
        covariance = within + torch.cov(means.T, correction=0)
        error = (covariance.diagonal() / len(x)).sqrt()
        assert ((x.mean(0) - means.mean(0)).abs() < 4.5 * error).all()
        torch.testing.assert_close(torch.cov(x.T), covariance, rtol=0.05, atol=0.05)

    def test_density_and_sample_agree(self) -> None:
        posterior = vague(d=1)
        x = posterior.sample_predictive(20_000).flatten()
        grid = torch.linspace(-20, float(x.median()), 4000, dtype=torch.float64)
        below = float(torch.trapezoid(posterior.density_band(grid).mean, grid))
        assert below == pytest.approx(0.5, abs=4.5 * 0.5 / 20_000**0.5)


class TestMixture:
    @pytest.mark.parametrize("sites", SITES)
    @pytest.mark.parametrize("d", [1, 3])
    @every_family
    def test_it_has_the_posterior_means(self, family, d, sites) -> None:
        posterior = vague(family, d, sites=sites)
        draws, found = draws_of(posterior), posterior.mixture()
        for name in ("weights", "means", "covariances"):
            expected = torch.stack([getattr(draw, name) for draw in draws]).mean(0)
            torch.testing.assert_close(getattr(found, name), expected)
        assert found.family is posterior.family
        assert found.feature_names == posterior.observations.feature_names


class TestRandomness:
    @pytest.mark.parametrize(
        "call",
        [
            lambda p, seed: p.sample_predictive(20, seed=seed),
            lambda p, seed: p.assignments(seed=seed).draws,
        ],
    )
    def test_a_seed_is_all_there_is(self, call) -> None:
        posterior, before = vague(), torch.get_rng_state()
        one = call(posterior, 0)
        torch.rand(3)
        assert torch.equal(one, call(posterior, 0))
        assert not torch.equal(one, call(posterior, 1))
        torch.set_rng_state(before)
        call(posterior, 0)
        posterior.partition()
        assert torch.equal(torch.get_rng_state(), before)


def test_draws_of_a_fit_are_numbered_as_its_mixture_is() -> None:
    data = make_mixture(n=120, k=3, separation=6.0)
    fit = gp.fit(gp.MixtureModel(3), data.x, method="svi", n_draws=100)
    posterior = kept(fit.posterior, list(range(100))).relabel("ecr", like=fit.mixture)
    torch.testing.assert_close(posterior.mixture().means, fit.mixture.means, rtol=0.1, atol=0.1)
    assert apart().relabel().ambiguous == posterior.ambiguous == 0
