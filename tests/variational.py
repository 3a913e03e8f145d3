"""Priors, points, and steps of variational Bayes that tests take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyro.distributions as dist

from gmm_pyro import DirichletProcess, Dynamic, MixtureModel, RandomScale, Static
from gmm_pyro.covariance import Parameters
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.variational.approximation import VariationalPrior
from gmm_pyro.inference.variational.ascent import Ascent, Climb, climbed

FAMILIES = ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"]
KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "number": {"concentration": 0.1},
    "numbers": {"concentration": [0.5, 2.0, 1.0, 4.0]},
    "sparse": {"concentration": Static(dist.Gamma(1.0, 20.0))},
    "dynamic": {"concentration": Dynamic(1.5)},
    "dynamic F": {"concentration": Dynamic()},
    "stick": {"concentration": DirichletProcess(2.5)},
    "stick Gamma": {"concentration": DirichletProcess()},
    "means apart": {"mean_scale": 3.0},
    "scale": {"scale": RandomScale()},
    "all": {"concentration": DirichletProcess(), "mean_scale": 3.0, "scale": RandomScale()},
}


def points(n: int, d: int, seed: int = 0, groups: int = 2) -> np.ndarray:
    """n points about some centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, d)) * 3
    return centres[rng.integers(groups, size=n)] + rng.normal(size=(n, d))


def ascent(model: MixtureModel, x: Any, **known: Any) -> Ascent:
    """What makes the steps of a fit."""
    observations = observe(x, **known)
    model, observations = model.specialise(observations).beside_noise(observations)
    return Ascent(VariationalPrior.of(model, observations.origin), observations, renumber=True)


def mixtures(made: Ascent, k: int, seeds: range) -> Parameters:
    """A mixture for each seed, about points that are drawn, each as wide as all."""
    x, family = made.observations.filled.double(), made.prior.family
    d = x.shape[1]
    rows = [np.random.default_rng(seed).choice(len(x), size=k, replace=False) for seed in seeds]
    factor = family.fit(family.compress(x.T.cov().reshape(d, d)), x.new_zeros(d))
    s, shape = len(rows), family.factor_shape(k, d)
    odds = None if made.prior.noise is None else x.new_zeros(s)
    return Parameters(
        x.new_zeros(s, k) - math.log(k), x[np.stack(rows)], factor.expand(s, *shape), odds
    )


def settled(made: Ascent, k: int, seeds: range = range(4), steps: int = 60) -> Climb:
    """After so many steps from each."""
    return climbed(made, Climb.begun(made.begun(mixtures(made, k, seeds))), steps, 0.0)


def stick(alpha: float, counts: Tensor) -> Tensor:
    """Log probability of assignments whose weights are broken off a stick."""
    after = counts.flip(1).cumsum(1).flip(1)[:, 1:]
    first, second = 1 + counts[:, :-1], alpha + after
    beta = first.lgamma() + second.lgamma() - (first + second).lgamma()
    return (beta + math.log(alpha)).sum(1)
