"""Degenerate solutions, found and named: empty, singular and single-point components."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters, Statistics
from ..covariance.fixed import Fixed
from ..covariance.graded import LOST, thinness
from ..covariance.records import TINY
from ..data.points import Observations
from ..data.words import listed
from ..reduction.assignments import argmax
from ..reduction.pointwise import ends_of_components
from ..reduction.sums import reduce
from ..reduction.theta import theta_of
from .soundness import CLOSE, FEWEST, Soundness, as_fitted
from .task import Options, Task

AT_THE_FLOOR = 1.01  # an eigenvalue within this factor of the floor is held up by it
ROUNDING = 1e-9  # share of a square that rounding may make of none


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a solution, if anything.

    Attributes:
        filled_components: components that are the most probable one of at least one point.
        problems: a sentence for each kind of degenerate components, or for the solution as a whole.
    """

    filled_components: int
    problems: tuple[str, ...]


def diagnose(
    observations: Observations,
    family: CovarianceFamily,
    parameters: Parameters,
    floor: Float[Tensor, "d"],
    surplus: Collection[int] = (),
    rule: Soundness | None = None,
    fixed: Fixed | None = None,
) -> Diagnosis:
    """Look for degenerate components in a batch of one parameter set.

    Args:
        observations: the data.
        family: covariance family.
        parameters: the set.
        floor: smallest variance of each feature.
        surplus: components that may well be empty.
        rule: what a solution of maximum likelihood must have to be sound; a prior makes up for it.
        fixed: what is held of the parameters, if anything is: no covariance of those is a problem.
    """
    if odd := _without_numbers(family, parameters):
        return Diagnosis(0, tuple(odd))
    statistics = reduce(observations, theta_of(family, parameters, observations), argmax)
    filled, problems = _filled(statistics, surplus)
    if not observations.reached_by_noise:
        problems.append("the noise component reaches no point")
    given = [] if fixed is None else fixed.held_covariances
    fitted = [i for i in filled if i not in given]
    thin, named = _singular(observations, family, parameters, floor, fitted)
    sound = [i for i in fitted if i not in thin]
    problems += named + _lost(observations, family, parameters, sound)
    if rule is not None:
        problems += _accidents(observations, rule, parameters, statistics, filled, thin)
    if not family.shares("covariances"):
        problems += _single(observations, family, parameters, statistics, sound)
    return Diagnosis(len(filled), tuple(problems))


def _without_numbers(family: CovarianceFamily, parameters: Parameters) -> list[str]:
    """A sentence about components whose parameters are no numbers: nothing else is known then."""
    odd = parameters.log_weights[0].isnan() | ~parameters.means[0].isfinite().all(-1)
    odd = odd | ~parameters.factor[0].flatten(1).isfinite().all(-1)
    return _sentence(
        odd.nonzero()[:, 0].tolist(),
        "the parameters of component {} are no numbers",
        "the parameters of components {} are no numbers",
    )


def _filled(statistics: Statistics, surplus: Collection[int]) -> tuple[list[int], list[str]]:
    """The components that hold a point, and a sentence about others."""
    counts = statistics.counts[0].tolist()
    filled = [i for i, count in enumerate(counts) if len(counts) == 1 or count > 0]
    missed = [i for i in range(len(counts)) if i not in filled and i not in surplus]
    return filled, _missed(missed, alone=len(filled) == 1 and statistics.noise is None)


def _missed(components: Sequence[int], *, alone: bool) -> list[str]:
    """A sentence about components without a point, unless there is but one that has any."""
    if components and alone:
        return ["all points are in one component"]
    return _sentence(components, "component {} holds no point", "components {} hold no point")


def is_sound(task: Task[Options], parameters: Parameters) -> bool:
    """Whether no component is degenerate, or holds too few points to be believed."""
    model, data, rule = task.model, task.observations, Soundness.for_task(task)
    found = diagnose(data, model.family, parameters, task.floor, rule=rule, fixed=model.fixed)
    return not found.problems


def _sentence(components: Sequence[int], of_one: str, of_many: str) -> list[str]:
    """One sentence about some components, if there are any."""
    if not components:
        return []
    words = listed([str(i) for i in components])
    return [(of_one if len(components) == 1 else of_many).format(words)]


def _singular(
    observations: Observations,
    family: CovarianceFamily,
    parameters: Parameters,
    floor: Float[Tensor, "d"],
    filled: Sequence[int],
) -> tuple[list[int], list[str]]:
    """Components whose covariance is as small as the floor, and sentences about them."""
    variance = observations.bulk.square()
    lowest = float((floor / variance).mean())
    smallest = family.smallest_ratio(parameters.factor[0], as_fitted(family, variance))
    ratio = smallest.expand(parameters.means.shape[1]).tolist()
    thin = [i for i in filled if not ratio[i] > AT_THE_FLOOR * lowest]
    below = [i for i in thin if ratio[i] < lowest / AT_THE_FLOOR]
    problems, shared = [], family.shares("covariances")
    for some, where in ((below, "below"), ([i for i in thin if i not in below], "held up by")):
        least = min((ratio[i] for i in some), default=0.0)
        so = f"{least:.1e} of the data's variance, {where} covariance_floor={lowest:.1e}"
        problems += _sentence(
            some[:1] if shared else some,
            f"the shared covariance is singular: its smallest eigenvalue is {so}"
            if shared
            else f"the covariance of component {{}} is singular: its smallest eigenvalue is {so}",
            f"the covariances of components {{}} are singular: their smallest eigenvalue is {so}",
        )
    return thin, problems


def _lost(
    observations: Observations,
    family: CovarianceFamily,
    parameters: Parameters,
    components: Sequence[int],
) -> list[str]:
    """A sentence about covariances whose smallest eigenvalue is lost in the rounding of others."""
    if not family.is_matrix or not components:
        return []
    least = LOST * torch.finfo(observations.dtype).eps
    thin = (thinness(parameters.factor[0]) < least).expand(parameters.means.shape[1]).tolist()
    what = f"too thin for {str(observations.dtype).removeprefix('torch.')}: rounding has a share"
    if family.shares("covariances"):
        return [f"the shared covariance is {what} in it"] if any(thin) else []
    return _sentence(
        [i for i in components if thin[i]],
        f"the covariance of component {{}} is {what} in it",
        f"the covariances of components {{}} are {what} in them",
    )


def _accidents(
    observations: Observations,
    rule: Soundness,
    parameters: Parameters,
    statistics: Statistics,
    filled: Sequence[int],
    singular: Collection[int],
) -> list[str]:
    """Sentences about components of few points or little width, by the rule of `soundness.py`."""
    counts = [_points(observations, count) for count in statistics.counts[0].tolist()]
    shared = rule.family.shares("covariances")
    few = [i for i in filled if counts[i] < rule.least_points and (shared or counts[i] >= FEWEST)]
    least = f"least_points={rule.least_points:g}"
    held = min((counts[i] for i in few), default=0.0)
    problems = _sentence(
        few,
        f"component {{}} holds {held:.3g} points, fewer than {least}",
        f"components {{}} hold {held:.3g} points or little more, fewer than {least}",
    )
    wide = [i for i in filled if i not in singular]
    close = f"close to covariance_floor, within {CLOSE:g} times"
    rounding, k = "no wider than the rounding of the data", len(counts)
    problems += _thin(rule, rule.above_floor(parameters)[0].expand(k), wide, close)
    return problems + _thin(rule, rule.above_rounding(parameters)[0].expand(k), wide, rounding)


def _thin(
    rule: Soundness, ratios: Float[Tensor, "k"], components: Sequence[int], named: str
) -> list[str]:
    """A sentence about those of the components whose ratio is not above one."""
    thin = [i for i in components if not ratios[i] > 1]
    if rule.family.shares("covariances"):
        return [f"the shared covariance is {named}"] if thin else []
    one, many = "the covariance of component {} is", "the covariances of components {} are"
    return _sentence(thin, f"{one} {named}", f"{many} {named}")


def _single(
    observations: Observations,
    family: CovarianceFamily,
    parameters: Parameters,
    statistics: Statistics,
    components: Sequence[int],
) -> list[str]:
    """Sentences about those of the components that rest on a single point, or on copies of it."""
    counts = statistics.counts[0].tolist()
    alone = [i for i in components if _points(observations, counts[i]) < 2]
    shift = statistics.first / statistics.counts.clamp_min(TINY)[..., None]
    spread = family.empirical(statistics, shift)[0]
    none = ROUNDING * (family.square(observations.bulk) + family.square(shift[0])).abs()
    narrow = (spread.abs() <= none).flatten(1).all(1).tolist()
    candidates = [i for i in components if narrow[i] and i not in alone]
    copies = _of_copies(observations, family, parameters, candidates)
    return [
        *_sentence(
            alone,
            "component {} rests on a single point",
            "components {} rest on a single point each",
        ),
        *_sentence(
            copies,
            "component {} rests on copies of a single point",
            "components {} rest on copies of a single point each",
        ),
    ]


def _of_copies(
    observations: Observations,
    family: CovarianceFamily,
    parameters: Parameters,
    components: Sequence[int],
) -> list[int]:
    """The components whose points are all equal."""
    if not components:
        return []
    ends = ends_of_components(observations, theta_of(family, parameters, observations))
    return [i for i in components if not bool((ends[0, i] < ends[1, i]).any())]


def _points(observations: Observations, weight: float) -> float:
    """How many points a weight stands for: itself, or its share of them if weights are small."""
    return weight * max(1.0, observations.n_weighted / observations.total_weight)
