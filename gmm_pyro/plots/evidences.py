"""Probabilities of numbers of components, as evidences of known numbers imply them.

By Bayes' rule P(k | x) ∝ p(x | k) p(k), under one prior of everything but k. So the evidences of
fits of known numbers say again, in another way, what the draws of an unknown one say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from ..data.points import Observations
from ..inference.result import Result
from ..model.one_prior import difference

SAME = 1e-3  # standard deviations that rounding may make, to float32 too


@dataclass(frozen=True, eq=False)
class Implied:
    """What evidences imply.

    Attributes:
        k: numbers of components, those that have an evidence.
        probability: of each, given that it is one of these.
        se: standard errors of the probabilities, to first order in those of the log evidences.
    """

    k: Int[np.ndarray, "m"]
    probability: Float[np.ndarray, "m"]
    se: Float[np.ndarray, "m"]


def implied(
    k: Int[np.ndarray, "m"],
    log_evidence: Float[np.ndarray, "m"],
    se: Float[np.ndarray, "m"],
    log_prior: Float[np.ndarray, "m"],
) -> Implied:
    """The probabilities of numbers of components by their log evidences, in nats."""
    log_joint = log_evidence + log_prior
    p = np.exp(log_joint - np.logaddexp.reduce(log_joint))
    variance = se**2
    own, all_of_them = (1 - 2 * p) * variance, (p**2 * variance).sum()
    return Implied(k, p, p * np.sqrt(own + all_of_them))


def by_evidence(fit: Result, others: Iterable[Result]) -> Implied:
    """What the evidences of fits of known numbers imply for a fit that does not know it.

    Args:
        fit: a fit of an unknown number of components.
        others: fits of known numbers to the same data, under the same prior of everything else.

    Raises:
        ValueError: if the number is known, or data or priors differ, or fewer than two fits have an
            evidence, or none of a number that is possible.
    """
    unknown = fit.model.unknown
    if unknown is None:
        raise ValueError(
            "evidence is of fits whose number of components is unknown, "
            f"MixtureModel(gmm_pyro.Unknown()); got one of {fit.model.n_components}"
        )
    found = {}
    for other in others:
        _refuse_unlike(fit, other)
        known = _log_evidence(other)
        if not any(map(math.isnan, known)):
            found[other.model.n_components] = known
    if len(found) < 2:
        raise ValueError(
            "evidence must be of two numbers of components or more, got "
            f"{', '.join(map(str, found)) or 'none'} of at most {unknown.most} that have one"
        )
    k = np.array(sorted(found))
    log_evidence, se = np.array([found[i] for i in k.tolist()]).T
    log_prior = unknown.log_prior.numpy()[k - 1]
    if not np.isfinite(log_prior).any():
        raise ValueError(
            "evidence must be of a number of components that is possible under the prior of the "
            f"fit, got {', '.join(map(str, k))}"
        )
    return implied(k, log_evidence, se, log_prior)


def _log_evidence(fit: Any) -> tuple[float, float]:
    """It and its standard error, made now where they wait to be asked for; NaN if there is none."""
    try:
        found = fit.evidence
    except ValueError:
        return math.nan, math.nan
    return found.log_evidence, found.log_evidence_se


def _refuse_unlike(fit: Result, other: Result) -> None:
    """Refuse a fit whose evidence is of something else.

    Raises:
        ValueError: if it is.
    """
    k, most = other.model.n_components, fit.model.n_components
    if other.model.unknown is not None or k > most:
        raise ValueError(
            f"evidence must be of known numbers of components from 1 to {most}, got {other!r}"
        )
    if not are_the_same(fit.observations, other.observations):
        raise ValueError(f"evidence must be of the data of the fit; that of {k} components is not")
    differs = difference(fit.model, other.model)
    if differs is not None:
        raise ValueError(
            f"evidence must be under the prior of the fit; with {k} components its {differs} is "
            "another one: give both models the same numbers, as ConjugatePriors(concentration=..., "
            "scale=...), since default ones depend on the number of components"
        )


def are_the_same(ours: Observations, theirs: Observations) -> bool:
    """Whether points are, but for rounding: in units of their spread, wherever they are."""
    if ours.x.shape != theirs.x.shape:
        return False
    one, other = ((some.x.to(ours.x) - ours.origin) / ours.scale for some in (ours, theirs))
    return torch.allclose(one, other, rtol=0.0, atol=SAME, equal_nan=True)
