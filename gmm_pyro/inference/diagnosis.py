"""Degenerate solutions, found and named: empty, singular and single-point components."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..kernels import theta_of
from ..observations import Observations
from ..reduction import argmax, reduce

AT_THE_FLOOR = 1.01  # an eigenvalue within this factor of the floor is held up by it


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a solution, if anything.

    Attributes:
        filled_components: components that are the most probable one of at least one point.
        problems: a sentence for each degenerate component, or for the solution as a whole.
    """

    filled_components: int
    problems: tuple[str, ...]


def diagnose(
    observations: Observations,
    family: CovarianceFamily,
    parameters: Parameters,
    floor: Float[Tensor, "d"],
) -> Diagnosis:
    """Look for degenerate components in a batch of one parameter set."""
    k = parameters.means.shape[1]
    counts = reduce(observations, theta_of(family, parameters, observations), argmax).counts[0]
    filled = int((counts > 0).sum())
    problems = [f"component {i} holds no point" for i in range(k) if k > 1 and not counts[i] > 0]
    if k > 1 and filled == 1:
        problems = ["all points are in one component"]
    problems += _singular(observations, family, parameters, floor, counts)
    return Diagnosis(filled, tuple(problems))


def _singular(
    observations: Observations,
    family: CovarianceFamily,
    parameters: Parameters,
    floor: Float[Tensor, "d"],
    counts: Float[Tensor, "k"],
) -> list[str]:
    """Components whose covariance is as small as the floor, or rests on a single point."""
    variance = observations.scale.square()
    ratio = family.smallest_ratio(parameters.factor[0], variance).expand(len(counts))
    lowest = float((floor / variance).mean())
    problems = []
    for i, (count, smallest) in enumerate(zip(counts.tolist(), ratio.tolist(), strict=True)):
        if count == 0:
            continue
        if not smallest > AT_THE_FLOOR * lowest:
            where = "below" if smallest < lowest / AT_THE_FLOOR else "held up by"
            problems.append(
                f"the covariance of component {i} is singular: its smallest eigenvalue is "
                f"{smallest:.1e} of the data's variance, {where} covariance_floor={lowest:.1e}"
            )
        elif not family.tied and _points(observations, count) < 2:
            problems.append(f"component {i} rests on a single point")
    return problems


def _points(observations: Observations, weight: float) -> float:
    """How many points a weight stands for: itself, or its share of them if weights are small."""
    used = observations.sample_weight
    n = observations.n if used is None else int((used > 0).sum())
    return weight * max(1.0, n / observations.total_weight)
