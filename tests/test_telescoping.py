"""Claims about chains whose number of components is drawn: they are right, and what they give."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

import gmm_pyro as gp
from gmm_pyro.calibration import exact_posterior, geweke, simulation_based_calibration
from gmm_pyro.inference.telescoping.surroundings import Surroundings
from oracles import FAILURE_RATE
from runs import quietly
from telescopes import X2, X, exact_with_independent_means, scores, walked

UNKNOWN = gp.Unknown("poisson(1)", most=6)
KINDS: dict[str, tuple[Any, Any]] = {
    "static": (UNKNOWN, 0.7),
    "dynamic": (UNKNOWN, gp.Dynamic()),
    "static, unknown": (UNKNOWN, dist.Gamma(2.0, 2.0)),
    "sparse finite": (5, dist.Gamma(1.0, 4.0)),
    "dirichlet process": (4, gp.DirichletProcess(1.2)),
    "dirichlet process, unknown": (4, gp.DirichletProcess()),
}
WAYS: dict[str, dict[str, int]] = {
    "sweeps": {},
    "splits of points": {"moves": 1},
    "splits of parameters": {"splits": 1},
    "jumps": {"jumps": 1},
}


def assert_like(z: torch.Tensor) -> None:
    assert float(z.abs().max()) < stats.norm.isf(FAILURE_RATE / 2 / len(z))


class TestExactPosteriors:
    def check(self, model: gp.MixtureModel, x: torch.Tensor, way: str) -> None:
        exact = exact_posterior(model, x)
        seen = walked(model, x, **WAYS[way], steps=50, chains=200, seed=11)
        assert_like(scores(seen, exact.filled_components, exact.components, exact.co_clustering))

    @pytest.mark.parametrize("kind", KINDS)
    def test_sweeps_of_every_kind_of_weights(self, kind: str) -> None:
        size, concentration = KINDS[kind]
        priors = gp.ConjugatePriors(concentration, mean_strength=0.3, scale=0.5)
        self.check(gp.MixtureModel(size, priors=priors), X, "sweeps")

    def test_jumps_of_a_known_number(self) -> None:
        size, concentration = KINDS["sparse finite"]
        priors = gp.ConjugatePriors(concentration, mean_strength=0.3, scale=0.5)
        self.check(gp.MixtureModel(size, priors=priors), X, "jumps")

    @pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
    @pytest.mark.parametrize("way", list(WAYS)[1:])
    def test_splits_and_merges_of_families(self, way: str, family: str) -> None:
        priors = gp.ConjugatePriors(gp.Dynamic(), mean_strength=0.3, scale=0.5)
        self.check(gp.MixtureModel(UNKNOWN, family, priors), X2, way)

    @pytest.mark.parametrize("way", list(WAYS)[:-1])
    def test_means_that_do_not_depend_on_the_covariances(self, way: str) -> None:
        priors = gp.ConjugatePriors(1.0, mean=0.4, mean_scale=1.5, dof=4.0, scale=0.8)
        model = gp.MixtureModel(UNKNOWN, priors=priors).specialise(X)
        hierarchy = model.hierarchy()
        assert hierarchy is not None
        seen = walked(model, X, **WAYS[way], steps=50, chains=200, seed=12)
        assert_like(scores(seen, *exact_with_independent_means(hierarchy, X)))

    def test_a_fit_comes_to_the_same(self) -> None:
        priors = gp.ConjugatePriors(0.7, mean_strength=0.3, scale=0.5)
        model = gp.MixtureModel(UNKNOWN, priors=priors)
        with quietly():
            fit = gp.fit(model, X, "gibbs", n_chains=150, n_draws=40, n_warmup=20, max_doublings=0)
        exact = exact_posterior(model, X)
        assert fit.posterior is not None
        for name, expected in (
            ("n_filled", exact.filled_components),
            ("n_components", exact.components),
        ):
            drawn = fit.posterior.draws[name]
            shares = (drawn[..., None] == torch.arange(1, 7)).double().mean(1)
            likely = expected > 1e-3
            error = shares.std(0)[likely] / np.sqrt(150)
            assert_like((shares.mean(0)[likely] - expected[likely]) / error)
        places = torch.tensor([-1.0, 0.5, 2.5, 6.0]).double()
        draws = fit.posterior.draws
        scale = draws["precisions"][..., 0, 0].rsqrt()[..., None]
        each = torch.distributions.Normal(draws["means"], scale).log_prob(places).exp()
        density = (draws["weights"][..., None] * each).sum(2).mean(1)
        error = density.std(0) / np.sqrt(150)
        assert_like((density.mean(0) - exact.log_predictive(places[:, None]).exp()) / error)


GEWEKE: dict[str, tuple[Any, dict[str, Any]]] = {
    "static": (UNKNOWN, {"concentration": 0.8}),
    "dynamic, scale": (UNKNOWN, {"scale": gp.RandomScale(4.0, 2.0)}),
    "independent means, scale": (
        UNKNOWN,
        {"mean_scale": 2.0, "dof": 6.0, "scale": gp.RandomScale(6.0, 2.0)},
    ),
    "dirichlet process": (4, {"concentration": gp.DirichletProcess()}),
    "sparse finite": (4, {"concentration": dist.Gamma(2.0, 4.0)}),
}


@pytest.mark.parametrize("family", ["full", "tied", "spherical"])
@pytest.mark.parametrize("kind", GEWEKE)
def test_gewekes_test_passes(kind: str, family: str) -> None:
    size, given = GEWEKE[kind]
    given = {"mean": 0.0, "mean_strength": 0.3, "spread": torch.ones(2), **given}
    model = gp.MixtureModel(size, family, gp.ConjugatePriors(**given))
    found = geweke(model, n_chains=200, n_sweeps=25, n_points=8, seed=3)
    assert all(found.passes.values()), found.table


@pytest.mark.parametrize("kind", ["static", "dynamic, scale", "dirichlet process"])
def test_ranks_are_uniform(kind: str) -> None:
    size, given = GEWEKE[kind]
    given = {"mean": 0.0, "mean_strength": 0.3, "spread": torch.ones(1), **given}
    model = gp.MixtureModel(size, priors=gp.ConjugatePriors(**given))
    found = simulation_based_calibration(
        model, n_points=12, n_datasets=100, n_draws=15, n_warmup=5, thin=6, seed=2
    )
    assert all(found.passes.values()), found.table


@cache
def fitted(**options: Any) -> gp.Fit:
    data = gp.datasets.make_mixture(n=90, k=3, d=2, separation=7.0, seed=4)
    options = {"n_draws": 40, "n_warmup": 60, "max_doublings": 0, "n_chains": 4, **options}
    with quietly():
        return gp.fit(gp.MixtureModel(gp.Unknown(most=10)), data.x, "gibbs", **options)


class TestFits:
    def test_clusters_far_apart_are_found(self) -> None:
        fit = fitted()
        posterior = fit.posterior
        assert posterior is not None
        assert fit.mixture.n_components == 3
        assert posterior.partition().n_clusters == 3
        filled = posterior.draws["n_filled"]
        assert float((filled == 3).double().mean()) > 0.8
        assert (filled <= posterior.draws["n_components"]).all()

    def test_chains_jump_unless_they_are_not_to(self) -> None:
        assert fitted().diagnostics["jumps"] > 0.05
        assert "jumps" not in fitted(jumps="never", n_draws=2, n_warmup=2).diagnostics
        priors = gp.ConjugatePriors(mean_scale=2.0)
        with quietly():
            model = gp.MixtureModel(gp.Unknown(), priors=priors)
            fit = gp.fit(model, X, "gibbs", n_draws=2, n_warmup=4, max_doublings=0)
        assert "jumps" not in fit.diagnostics  # means do not integrate out

    def test_draws_are_of_components_that_there_are(self) -> None:
        posterior = fitted().posterior
        assert posterior is not None
        weights, size = posterior.draws["weights"], posterior.draws["n_components"]
        assert ((weights > 0).sum(-1) == size).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
        exists = torch.arange(weights.shape[-1]) < size[..., None]
        assert (weights[~exists] == 0).all()

    def test_the_log_density_is_that_of_the_draws(self) -> None:
        fit = fitted()
        assert fit.posterior is not None
        data = fit.observations.x
        for c, t in ((0, 0), (3, 39)):
            draw = {name: v[c, t] for name, v in fit.posterior.draws.items()}
            k = int(draw["n_components"])
            weights, means = draw["weights"][:k], draw["means"][:k]
            mixture = gp.GaussianMixture(weights, means, torch.linalg.inv(draw["precisions"][:k]))
            expected = float(mixture.log_prob(data).sum())
            found = float(fit.posterior.statistics["log_likelihood"][c, t])
            assert found == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("prior", [[1], [0, 1], [1, 1, 0], [0, 1, 0]])
    def test_numbers_without_a_probability_are_never_drawn(self, prior: list[float]) -> None:
        model = gp.MixtureModel(gp.Unknown(prior, most=len(prior)))
        with quietly():
            fit = gp.fit(model, X, "gibbs", n_draws=4, n_warmup=4, max_doublings=0)
        assert fit.posterior is not None
        sizes = fit.posterior.draws["n_components"].unique().tolist()
        assert all(prior[size - 1] for size in sizes)
        table = fit.number_of_components
        assert len(table) == len(prior)
        np.testing.assert_allclose(table["n_components_prior"], np.divide(prior, sum(prior)))

    def test_there_are_more_chains_than_of_a_known_number(self) -> None:
        short = {"n_draws": 2, "n_warmup": 0, "max_doublings": 0}
        with quietly():
            fit = gp.fit(gp.MixtureModel(gp.Unknown()), X, "gibbs", **short)
            known = gp.fit(gp.MixtureModel(2), X, "gibbs", **short)
        assert (fit.options.n_chains, known.options.n_chains) == (16, 4)  # type: ignore[attr-defined]

    def test_all_draws_of_one_number_are_kept(self) -> None:
        posterior = fitted().posterior
        assert posterior is not None
        three = posterior.of_filled(3)
        count = int((posterior.draws["n_filled"] == 3).sum())
        assert (three.n_chains, three.n_draws, three.n_components) == (1, count, 3)
        spread = three.draws["means"][0].std(0) / fitted().observations.scale
        assert float(spread.max()) < 0.3  # aligned, though every chain has an order of its own
        with pytest.raises(ValueError, match="no draw has 9 components with points"):
            posterior.of_filled(9)

    def test_one_seed_one_result(self) -> None:
        short = {"n_chains": 2, "n_draws": 6, "n_warmup": 4}
        one, two = (fitted(**short, max_steps=m) for m in (100, 101))
        assert one.posterior is not None
        assert two.posterior is not None
        for name, value in one.posterior.draws.items():
            assert value.equal(two.posterior.draws[name])

    @pytest.mark.parametrize("kind", ["labels", "mixture"])
    def test_a_start_may_have_any_number(self, kind: str) -> None:
        mixture = gp.GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], [[[0.5]], [[0.5]]])
        start = mixture if kind == "mixture" else [0, 0, 1, 1, 2, 2]
        model = gp.MixtureModel(gp.Unknown(most=4))
        with quietly():
            fit = gp.fit(model, X, "gibbs", start=start, n_draws=4, n_warmup=0, max_doublings=0)
        assert fit.posterior is not None
        with pytest.raises(ValueError, match="start must have at most 1 components, got"):
            gp.fit(gp.MixtureModel(gp.Unknown(most=1)), X, "gibbs", start=start)

    def test_labels_are_kept_where_asked_for(self) -> None:
        fit = fitted(n_chains=2, n_draws=10, n_warmup=20, keep_allocations=5)
        posterior = fit.posterior
        assert posterior is not None
        assert posterior.allocations is not None
        assert posterior.allocations.shape == (2, 5, 90)
        filled = posterior.draws["n_filled"][:, posterior.kept]
        for chain in range(2):
            for row, k in zip(posterior.allocations[chain], filled[chain], strict=True):
                assert row.unique().tolist() == list(range(int(k)))  # those with points come first

    def test_noise_and_holes(self) -> None:
        x = gp.datasets.make_mixture(n=60, k=2, d=2, separation=6.0, seed=4).x.clone()
        x[::7, 0] = torch.nan
        x = torch.cat([x, torch.tensor([[30.0, -30.0], [-30.0, 20.0]]).double()])
        model = gp.MixtureModel(gp.Unknown(most=6), noise_component="uniform")
        with quietly():
            fit = gp.fit(
                *(model, x, "gibbs"),
                n_draws=40,
                n_warmup=60,
                n_chains=4,
                max_doublings=0,
                keep_allocations=4,
            )
        assert fit.posterior is not None
        assert fit.posterior.draws["noise_weight"].shape == (4, 40)
        assert fit.posterior.allocations is not None
        assert (fit.posterior.allocations == -1).any()
        assert fit.mixture.predict(x)[-2:].tolist() == [-1, -1]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"sample_weight": np.ones(6)}, "gibbs takes no sample_weight"),
            ({"labels": [0, 0, -1, -1, -1, -1]}, "labels are numbers of components"),
            ({"fixed": {"means": [[0.0]] + [[np.nan]] * 19}}, "holds nothing fixed"),
        ],
    )
    def test_what_it_does_not_know_is_refused(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            gp.fit(gp.MixtureModel(gp.Unknown()), X, "gibbs", **given)


def test_surroundings_know_the_nearest_points() -> None:
    x = torch.tensor([[0.0], [0.0], [0.1], [5.0], [9.0]]).double()
    found = Surroundings.of(x)
    for i, row in enumerate(found.neighbours.tolist()):
        assert sorted([i, *row]) == list(range(5))
        away = [abs(float(x[i] - x[j])) for j in row]
        assert away == sorted(away)
    assert int(found.loneliness.argmax()) == 4
