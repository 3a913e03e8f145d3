"""Claims about jumps under a prior with a random scale: they are exact, and what they mend."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.calibration import exact_posterior
from oracles import FAILURE_RATE, STANDARD_ERRORS
from runs import quietly
from telescopes import X2, Walked, X, scores, walked

UNKNOWN = gp.Unknown("poisson(1)", most=6)
DOF, MEAN = 3.0, 0.6
GRID = np.linspace(-9.0, 5.0, 29)  # of logarithms of scales of one number
DRAWS = 200  # of a scale that is a matrix


def model_of(size: Any, family: str) -> gp.MixtureModel:
    scale = gp.RandomScale(DOF, MEAN)
    priors = gp.ConjugatePriors(0.7, mean=0.4, mean_strength=0.3, scale=scale)
    return gp.MixtureModel(size, family, priors)


def exact_at(
    model: gp.MixtureModel, x: Tensor, scales: Any, log_p: Any
) -> tuple[np.ndarray, list[Tensor]]:
    """Probabilities of scales, and of filled components, components and pairs at each.

    Args:
        model: with a random scale.
        x: the data.
        scales: its values, numbers or matrices.
        log_p: their log prior probabilities.
    """
    found = [
        exact_posterior(replace(model, priors=replace(model.priors, scale=value)), x)
        for value in scales
    ]
    log_joint = np.array([exact.log_evidence for exact in found]) + log_p
    shares = np.exp(log_joint - logsumexp(log_joint))
    names = "filled_components", "components", "co_clustering"
    return shares, [torch.stack([getattr(exact, name) for exact in found]) for name in names]


def seen_by_jumps(model: gp.MixtureModel, x: Tensor) -> Walked:
    return walked(model, x, jumps=1, steps=50, chains=120, seed=21)


def assert_small(z: Tensor) -> None:
    assert float(z.abs().max()) < stats.norm.isf(FAILURE_RATE / 2 / len(z))


CASES = {
    "unknown number": (UNKNOWN, "full", X),
    "known number": (3, "full", X),
    "shared": (UNKNOWN, "tied", X),
    "spherical": (UNKNOWN, "spherical", X2),
}


@pytest.mark.parametrize("case", CASES)
def test_chains_that_jump_are_exact(case: str) -> None:
    """Against sums over all partitions, and over a grid of scales."""
    size, family, x = CASES[case]
    model = model_of(size, family)
    log_p = stats.gamma.logpdf(np.exp(GRID), DOF / 2, scale=2 * MEAN / DOF) + GRID
    shares, each = exact_at(model, x, np.exp(GRID), log_p)
    exact = [torch.tensordot(torch.from_numpy(shares), part, 1) for part in each]
    seen = seen_by_jumps(model, x)
    assert_small(scores(seen, *exact))
    log_scale = seen.log_scale - math.log(x.shape[1] if family == "spherical" else 1)
    mean = log_scale.mean(1)
    error = mean.std(0) / math.sqrt(len(mean))
    assert_small((mean.mean(0) - shares @ GRID)[None] / error)


def scales_drawn(family: str) -> np.ndarray:
    """Scales of two features from the prior."""
    if family == "diag":
        return stats.gamma(DOF / 2, scale=2 * MEAN / DOF).rvs((DRAWS, 2), random_state=5)
    return stats.wishart(DOF, np.eye(2) * MEAN / DOF).rvs(DRAWS, random_state=5)


@pytest.mark.parametrize("family", ["diag", "full"])
def test_so_they_are_where_the_scale_is_more_than_a_number(family: str) -> None:
    """Against sums over all partitions at scales that are drawn from the prior."""
    model = model_of(UNKNOWN, family)
    shares, each = exact_at(model, X2, scales_drawn(family), 0.0)
    first, second = torch.triu_indices(len(X2), len(X2), 1)
    pairs, weights = each[2][:, first, second], torch.from_numpy(shares)[:, None]
    exact = (weights * pairs).sum(0)
    variance = (weights * (pairs - exact)).square().sum(0)
    drawn = seen_by_jumps(model, X2).together[:, :, first, second].mean(1)
    variance = variance + drawn.var(0) / len(drawn)
    assert_small((drawn.mean(0) - exact) / variance.sqrt())


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_the_density_of_precisions_is_a_mean_over_scales(family: str) -> None:
    """Against draws of the scale: of a Wishart density, what has to do with it."""
    hierarchy = model_of(2, family).specialise(X2).hierarchy()
    assert hierarchy is not None
    assert hierarchy.scale is not None
    own, generator = hierarchy.components.family, torch.Generator().manual_seed(1)
    dof, one = float(hierarchy.components.dof), hierarchy.components.scale[0, 0]
    k1 = own.n_covariances(2)
    prior = hierarchy.components.scale.expand(1, k1, *one.shape)
    factor = own.draw_factor(torch.full((1, k1), dof + 4).double(), 4 * prior, generator)
    scale = hierarchy.scale.draw(200_000, generator)[:, 0]
    total = own.precision(factor).sum(1)

    def log_p(scale: Tensor) -> Tensor:
        size = scale.logdet() if own.is_matrix else scale.log().sum(-1)
        return 0.5 * (k1 * dof * size - (scale * total).flatten(1).sum(1))

    ratio = (log_p(scale) - log_p(one[None])).exp()
    found = float(hierarchy.log_over(factor, one).exp())
    error = float(ratio.std()) / math.sqrt(len(ratio))
    assert abs(float(ratio.mean()) - found) < STANDARD_ERRORS * error
    assert error < 0.05 * found


def test_chains_that_began_in_other_modes_meet() -> None:
    """Half of them stay for good in one of 370 nats less if they do not jump."""
    design = gp.designs.overlapping(
        n=1000, d=2, k=3, overlap=0.01, smallest_weight=0.15, replicates=1
    )
    data = design.draw(design.settings()[0], 0)
    model = gp.MixtureModel(3, priors=gp.ConjugatePriors(scale=gp.RandomScale()))
    short = {"n_chains": 8, "n_draws": 60, "n_warmup": 60, "max_doublings": 0}

    def means(**options: Any) -> Tensor:
        with quietly():
            fit = gp.fit(model, data.x, "gibbs", **short, **options)
        assert fit.posterior is not None
        assert ("jumps" in fit.diagnostics) == (not options)
        return fit.posterior.statistics["log_likelihood"].mean(1)

    assert float(means(jumps="never").std()) > 100
    assert float(means().std()) < 1
