"""What components are called: by a prior that tells them apart, by a start, by the means.

Where a prior tells components apart, draws are held to sums over all assignments, as returned.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import gammaln, logsumexp
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel, Priors
from gmm_pyro.metrics import match_components
from oracles import STANDARD_ERRORS, clusters
from runs import quietly

PRIOR = {"mean": 0.0, "mean_strength": 0.1, "dof": 3.0, "scale": 0.5}


def points(n: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=n) + np.where(np.arange(n) % 3 > 0, 1.2, -1.2))


def log_evidence(y: np.ndarray) -> float:
    """Of points of one component, by the closed form of the normal-inverse-gamma distribution."""
    n, m, kappa, nu, psi = (
        len(y),
        *(PRIOR[key] for key in ("mean", "mean_strength", "dof", "scale")),
    )
    if n == 0:
        return 0.0
    later = psi + ((y - y.mean()) ** 2).sum() + kappa * n / (kappa + n) * (y.mean() - m) ** 2
    gammas = gammaln((nu + n) / 2) - gammaln(nu / 2)
    scales = nu / 2 * np.log(psi) - (nu + n) / 2 * np.log(later)
    return float(gammas + scales + 0.5 * np.log(kappa / (kappa + n)) - n / 2 * np.log(np.pi))


def exact_weights(x: Tensor, concentration: list[float]) -> np.ndarray:
    """E w by the sum over all k^n assignments."""
    y, alpha, terms, means = x.numpy(), np.array(concentration), [], []
    for labels in itertools.product(range(len(alpha)), repeat=len(y)):
        z = np.array(labels)
        counts = np.bincount(z, minlength=len(alpha))
        parts = sum(log_evidence(y[z == j]) for j in range(len(alpha)))
        terms.append(parts + gammaln(alpha + counts).sum())
        means.append((alpha + counts) / (alpha.sum() + len(y)))
    return np.exp(np.array(terms) - logsumexp(terms)) @ np.array(means)


@cache
def named(concentration: tuple[float, ...], n: int, method: str, **options: Any) -> gp.Fit:
    """A fit under a conjugate prior with these concentrations."""
    priors = ConjugatePriors(concentration=list(concentration), **PRIOR)
    with quietly():  # some chains are short
        return gp.fit(MixtureModel(len(concentration), priors=priors), points(n), method, **options)


FEW = {"n_draws": 20, "n_warmup": 10, "max_doublings": 0}
BRIEF = {"n_draws": 500, "max_doublings": 0}


class TestAPriorThatNamesComponents:
    @pytest.mark.parametrize(
        ("method", "concentration", "n", "options"),
        [
            ("gibbs", (1.0, 4.0), 9, BRIEF),
            ("gibbs", (3.0, 1.0, 2.0), 7, BRIEF),
            ("gibbs", (5.0, 1.0, 1.0), 7, BRIEF),
            ("nuts", (1.0, 4.0), 9, {**BRIEF, "n_draws": 60, "n_warmup": 60, "max_tree_depth": 3}),
        ],
    )
    def test_weights_are_those_of_the_sum_over_assignments(
        self, method: str, concentration: tuple[float, ...], n: int, options: dict[str, int]
    ) -> None:
        fit = named(concentration, n, method, **options)
        draws = fit.posterior.raw().draws["weights"].double()  # type: ignore[union-attr]
        deviation = draws.flatten(0, 1).std(0) / fit.diagnostics["ess_bulk"] ** 0.5
        error = draws.mean((0, 1)) - torch.from_numpy(exact_weights(points(n), [*concentration]))
        assert (error.abs() < STANDARD_ERRORS * deviation).all()

    def test_only_components_that_are_alike_are_exchanged(self) -> None:
        posterior = named((5.0, 1.0, 1.0), 7, "gibbs", **FEW).posterior
        order = posterior.permutation  # type: ignore[union-attr]
        assert (order[..., 0] == 0).all()
        assert {1, 2} == set(order[..., 1].flatten().tolist())

    def test_draws_are_aligned_on_request(self) -> None:
        posterior = named((1.0, 4.0), 9, "gibbs", **FEW).posterior
        assert posterior.raw().draws["means"].equal(posterior.draws["means"])  # type: ignore
        aligned = posterior.relabel()  # type: ignore[union-attr]
        assert not aligned.draws["means"].equal(posterior.draws["means"])  # type: ignore
        kept = posterior.relabel(within=["a", "b"])  # type: ignore[union-attr]
        assert kept.draws["means"].equal(posterior.draws["means"])  # type: ignore

    def test_classes_are_labels_of_the_components(self) -> None:
        posterior = named((1.0, 4.0), 9, "gibbs", **FEW).posterior
        with pytest.raises(ValueError, match="within must hold 2 class labels"):
            posterior.relabel(within=[0, 1, 1])  # type: ignore[union-attr]
        with pytest.raises(ValueError, match="within does not go with method='ordered'"):
            posterior.relabel("ordered", within=[0, 1])  # type: ignore[union-attr]

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("method", ["gibbs", "svi", "laplace", "nuts"])
    def test_the_log_density_of_every_draw_is_the_sum_of_its_parts(
        self, method: str, dtype: str
    ) -> None:
        options = {"gibbs": FEW, "nuts": {**FEW, "max_tree_depth": 3}}.get(method, {})
        fit = named((1.0, 4.0), 9, method, dtype=dtype, **options)
        exact = dtype == "float64"
        data = fit.to_arviz()
        parts = data["posterior"]["log_likelihood"].values + data["posterior"]["log_prior"].values
        rtol = 1e-12 if exact else 1e-5
        np.testing.assert_allclose(data["sample_stats"]["lp"].values, parts, rtol=rtol)
        of_sites = sum(data["log_prior"][name].values for name in data["log_prior"].data_vars)
        np.testing.assert_allclose(of_sites, data["posterior"]["log_prior"].values, rtol=rtol)
        weights = data["posterior"]["weights"].values
        theirs = np.log(weights) @ (np.array([1.0, 4.0]) - 1) + gammaln(5) - gammaln(4)
        np.testing.assert_allclose(
            data["log_prior"]["weights"].values, theirs, rtol=1e-9 if exact else 1e-4
        )


# ---------------------------------------------------------------------- numbers of no meaning


DATA = clusters(n=150, k=3, seed=5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["kmeans", "em", "map", "gibbs"])
def test_components_rise_by_the_mean_of_the_first_feature(method: str, seed: int) -> None:
    few = {"n_draws": 110, "n_warmup": 20, "max_doublings": 0} if method == "gibbs" else {}
    with quietly():
        fit = gp.fit(MixtureModel(3), DATA.x, method, seed=seed, **few)
    first = fit.mixture.means[:, 0]
    assert first.equal(first.sort().values)
    counts = fit.labels.bincount(minlength=3) / 150  # labels and draws follow
    torch.testing.assert_close(counts.double(), fit.mixture.weights, atol=0.03, rtol=0)
    if fit.posterior is not None:
        torch.testing.assert_close(fit.posterior.draws["means"].mean((0, 1)), fit.mixture.means)


def test_a_start_that_is_given_keeps_its_numbers() -> None:
    falling = gp.fit(MixtureModel(3), DATA.x, "em").mixture.permute([2, 1, 0])
    for method in ("em", "map", "kmeans"):
        fit = gp.fit(MixtureModel(3), DATA.x, method, start=falling)
        assert match_components(fit.mixture, falling) == [0, 1, 2]


def test_a_degenerate_component_is_named_by_its_final_number() -> None:
    """An outlier far to the right has a component of its own, the last one."""
    x = torch.cat([DATA.x, torch.tensor([[500.0, 0.0]]).double()])
    for seed in range(3):
        with pytest.warns(gp.FitWarning, match="degenerate"):
            fit = gp.fit(MixtureModel(4), x, "em", seed=seed, n_starts=1)
        (problem,) = fit.diagnostics["problems"]
        assert "component 3" in problem


class TestComparison:
    def test_all_fits_have_one_numbering(self) -> None:
        """The means of the first feature are so near each other that methods order them apart."""
        rng = np.random.default_rng(2)
        x = np.concatenate([rng.normal((0.02 * j, 8 * j), 1, (60, 2)) for j in range(3)])
        found = gp.compare(MixtureModel(3), x, ["kmeans", "em", "map", "svi"])
        first, *others = found.fits.values()
        for fit in others:
            assert match_components(fit.mixture, first.mixture) == [0, 1, 2]

    def test_a_prior_that_names_components_numbers_all(self) -> None:
        means = torch.tensor([[6.0], [0.0], [-6.0]])
        import pyro.distributions as dist

        model = MixtureModel(3, priors=Priors(means=dist.Normal(means, 1.0)))
        x = np.concatenate([np.random.default_rng(0).normal(m, 1, 40) for m in (-6, 0, 6)])
        found = gp.compare(model, x, ["kmeans", "em", "map", "svi"])
        for fit in found.fits.values():
            assert (fit.mixture.means - means).abs().max() < 1
