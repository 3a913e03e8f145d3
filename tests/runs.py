"""Fits of every method to one small problem, and how two answers are compared.

Settled fits end at an answer that claims can be made about; brief ones take a few steps and draws,
for claims that need no good answer. What a method can do is asked of its row in `METHODS`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import FitWarning, GaussianMixture, MixtureModel
from gmm_pyro.inference import METHODS
from oracles import clusters

SETTLED: dict[str, dict[str, Any]] = {
    "kmeans": {},
    "em": {},
    "gradient": {},
    "map": {},
    "map:enumerated": {"tolerance": 1e-4},
    "laplace": {"n_draws": 20},
    "svi": {"tolerance": 1e-3, "n_draws": 20},
    "svi:enumerated": {"tolerance": 1e-2, "n_draws": 20},
    "vb": {"n_draws": 20},
    "nuts": {"n_chains": 2, "n_draws": 10, "n_warmup": 5, "max_tree_depth": 3},
    "nuts:enumerated": {"n_chains": 1, "n_draws": 6, "n_warmup": 6, "max_tree_depth": 2},
    "gibbs": {"n_chains": 2, "n_draws": 40, "n_warmup": 200},
}
CHAINS = {"n_chains": 2, "n_draws": 4, "n_warmup": 3}
BRIEF: dict[str, dict[str, Any]] = {
    **{name: {"max_steps": 10} for name in METHODS},
    "gradient": {"max_steps": 25},
    **{
        name: {"max_steps": 10, "n_draws": 5} for name in ("laplace", "svi", "vb", "svi:enumerated")
    },
    "nuts": {"max_steps": 10, **CHAINS, "max_tree_depth": 2},
    "nuts:enumerated": {"max_steps": 10, **CHAINS, "n_chains": 1, "max_tree_depth": 2},
    "gibbs": {"max_steps": 10, **CHAINS},
}
OURS = [name for name, row in METHODS.items() if not row.through_pyro]
THROUGH_PYRO = [name for name, row in METHODS.items() if row.through_pyro]
SAMPLERS = [name for name, row in METHODS.items() if row.exact]
CLIMBS = [name for name in METHODS if name not in (*SAMPLERS, "svi:enumerated")]  # all but walks
BY_STEPS = [name for name in OURS if name != "kmeans"]  # scikit-learn has k-means' loop
SLOW = ["svi", "nuts", *THROUGH_PYRO]  # a second a fit: a few cases stand for the others
every_method = pytest.mark.parametrize("method", METHODS)
TWO = MixtureModel(2)
our_methods = pytest.mark.parametrize("method", OURS)
STEP_LIMIT = pytest.mark.filterwarnings("ignore:.* stopped at the step limit:gmm_pyro.FitWarning")
# Chains of a few draws need not agree; that they say so is a claim of its own.
UNMIXED = pytest.mark.filterwarnings("ignore:.* drew chains that disagree:gmm_pyro.FitWarning")


# ---------------------------------------------------------------------- fits


def fit(method: str, x: Any, family: str = "full", k: int = 2, **options: Any) -> gp.Fit:
    """A settled one."""
    return gp.fit(MixtureModel(k, family), x, method=method, **{**SETTLED[method], **options})


def brief(method: str, x: Any, model: MixtureModel = TWO, **options: Any) -> gp.Fit:
    """One of few steps and draws."""
    return gp.fit(model, x, method=method, **{**BRIEF[method], **options})


@cache
def fitted(method: str, family: str, d: int) -> gp.Fit:
    """One settled fit for all claims about it."""
    return fit(method, clusters(d).x, family, seed=3)


def overlapping() -> Tensor:
    """Data that no method is done with in a few steps."""
    return clusters(n=100, separation=1.5).x


@contextmanager
def quietly() -> Iterator[None]:
    """What a fit warns of is no matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        yield


def told(model: MixtureModel, x: Any, method: str, **options: Any) -> tuple[gp.Fit, str]:
    """A fit, and all that it warned of, line by line: warnings about fits, and no others."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = gp.fit(model, x, method, **options)
    assert {warning.category for warning in caught} <= {FitWarning}
    return found, "\n".join(str(warning.message) for warning in caught)


# ---------------------------------------------------------------------- answers


def same(one: gp.Fit, other: gp.Fit) -> bool:
    """Whether two fits are equal to the last bit."""
    names = ("weights", "means", "covariances")
    mixtures = all(getattr(one.mixture, name).equal(getattr(other.mixture, name)) for name in names)
    draws = (one.posterior is None) == (other.posterior is None)
    if draws and one.posterior is not None:
        pairs = zip(one.posterior.draws.values(), other.posterior.draws.values(), strict=True)
        draws = all(a.equal(b) for a, b in pairs)
    return mixtures and draws and one.history.equal(other.history)


def agree(one: GaussianMixture, other: GaussianMixture, tolerance: float) -> None:
    """Equal in units of each feature's standard deviation."""
    spread = other.covariance().diagonal().sqrt()
    torch.testing.assert_close(one.weights, other.weights, rtol=0, atol=tolerance)
    torch.testing.assert_close(one.means / spread, other.means / spread, rtol=0, atol=tolerance)
    shape = spread[:, None] * spread
    torch.testing.assert_close(
        one.covariance_matrices() / shape,
        other.covariance_matrices() / shape,
        rtol=0,
        atol=tolerance,
    )


def in_float64(mixture: GaussianMixture) -> GaussianMixture:
    """The same mixture in double precision."""
    weights, means, covariances = (
        part.double() for part in (mixture.weights, mixture.means, mixture.covariances)
    )
    return GaussianMixture(weights / weights.sum(), means, covariances, mixture.family.name)
