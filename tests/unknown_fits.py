"""Fits with an unknown number of components that several tests look at; each is made once."""

from __future__ import annotations

from functools import cache
from typing import Any

import gmm_pyro as gp
from runs import quietly

QUICK: dict[str, Any] = {"n_draws": 30, "n_chains": 4, "n_warmup": 10, "max_doublings": 0}
BRIEF = {**QUICK, "n_draws": 10, "n_chains": 3, "n_warmup": 5}
MOST = 6


@cache
def points(d: int) -> gp.datasets.Dataset:
    """Two clusters of twenty points."""
    return gp.datasets.make_mixture(n=40, k=2, d=d, separation=4.0, seed=1)


@cache
def unknown(d: int = 1) -> gp.Fit:
    """By the default prior, with all allocations kept."""
    model = gp.MixtureModel(gp.Unknown("poisson(1)", MOST))
    with quietly():
        return gp.fit(
            model, points(d).x, "gibbs", keep_allocations=30, **QUICK if d == 1 else BRIEF
        )


@cache
def sparse() -> gp.Fit:
    """A known number of components, of which most are empty."""
    priors = gp.ConjugatePriors(concentration=gp.Static(0.1))
    with quietly():
        return gp.fit(gp.MixtureModel(4, priors=priors), points(1).x, "gibbs", **QUICK)


@cache
def beside_noise() -> gp.Fit:
    """A component of noise beside those whose number is unknown."""
    model = gp.MixtureModel(gp.Unknown(most=4), noise_component="uniform")
    with quietly():
        return gp.fit(model, points(1).x, "gibbs", **BRIEF)
