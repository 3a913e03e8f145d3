"""A selection by EM: the ladders of all families, each begun also at those of families within."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from ..agglomeration.growing import grow
from ..covariance import CovarianceFamily
from ..data.points import Observations
from ..inference.em import EMOptions
from ..inference.starts.starting import k_means_plus_plus, sample_of
from ..inference.task import Task
from ..mixture.value import GaussianMixture
from ..model.program import MixtureModel
from ..reduction.assignments import GivenLabels
from ..reduction.theta import anywhere
from ..running.seeds import Stream
from ..running.threads import one_thread_a_product
from .cell import ERRORS, FAILED, NOT_SOUND, OUTDONE, TOO_FEW, Cell
from .ladder import Ladder
from .plan import Plan
from .sizes import Sizes, from_assignment, side_by_side

MAX_STEPS = 1000  # by default; `Selection.fit` runs on
LEFT = 1e-6  # nats a point that may be left, by default: a plateau of few points is no end
TREES = ("VVV", "VII")  # criteria of agglomeration
ORDER = "IEV"  # of the letters of a code: a family holds those whose letters are none later
THINNEST = 1e-3  # share of a feature's variance that a start has: few points are no cluster yet


@one_thread_a_product()
def by_ladders(
    observations: Observations,
    plan: Plan,
    options: Mapping[str, Any],
    update: Callable[[], Any],
) -> list[Cell]:
    """The cells of all families.

    Args:
        observations: the data.
        plan: what is asked for.
        options: of EM, as far as they are given.
        update: called after each family.
    """
    numbers, families = plan.numbers, plan.families
    possible = [k for k in numbers if k <= observations.n_weighted]
    if not possible:
        for _ in families:
            update()
        return [Cell(k, family.name, TOO_FEW) for family in families for k in numbers]
    defaults = {"tolerance": LEFT, "max_steps": MAX_STEPS}
    settings = EMOptions(**{**defaults, **options, "seed": plan.choice.options.seed})
    found = _ladders(observations, families, possible, settings, update)
    return [_cell(found[family], family, k, observations) for family in families for k in numbers]


def _ladders(
    observations: Observations,
    families: Sequence[CovarianceFamily],
    numbers: Sequence[int],
    options: EMOptions,
    update: Callable[[], Any],
) -> dict[CovarianceFamily, Ladder | Exception]:
    """The ladder of each family once it has been climbed, or what that has raised."""
    task = Task("em", MixtureModel(1), observations, options)
    sample = sample_of(observations, max(numbers), task.generator(Stream.SEARCH))
    starts = _labels(sample, numbers, options)
    ladders: dict[CovarianceFamily, Ladder] = {}
    errors: dict[CovarianceFamily, Exception] = {}
    for family in families:
        own = replace(task, model=MixtureModel(1, family.name))
        held = [one for other, one in ladders.items() if _holds(family, other)]
        ladder = Ladder(own, sample, numbers, held)
        try:
            _climb(ladder, *starts)
            ladders[family] = ladder
        except ERRORS as error:
            errors[family] = error
        update()
    return {**ladders, **errors}


def _climb(ladder: Ladder, labels: Int[Tensor, "s n"], sizes: list[int]) -> None:
    """From starts of its own and families within; once more from below, and from what outdoes."""
    begun = [_from_labels(ladder, labels, sizes)]
    if within := ladder.from_within():
        begun.append(side_by_side(ladder.family, within))
    ladder.climb(Sizes.joined(begun))
    ladder.converge()
    if ladder.widened():
        ladder.climb(_from_labels(ladder, torch.zeros_like(labels[:1]), [1]))
        ladder.converge()
    if repaired := ladder.repair():
        ladder.climb(side_by_side(ladder.family, repaired))
        ladder.converge()
    ladder.finish()


def _labels(
    sample: Observations, numbers: Sequence[int], options: EMOptions
) -> tuple[Int[Tensor, "s n"], list[int]]:
    """Clusterings for each number of components, which all families begin at.

    They are those of trees of agglomeration, as mclust's, and as many by k-means++ as options say.
    """
    found, sizes, seed = [], [], Stream.SEARCH.seed(options.seed)
    trees = [grow(sample, criterion, "svd", seed) for criterion in TREES]
    for k in numbers:
        count = 1 if k == 1 else options.n_starts
        drawn = k_means_plus_plus(sample, sample.bulk, k, range(count), seed).labels
        cut = [tree.labels(min(k, len(tree.rows)))[None].to(drawn) for tree in trees]
        found += [drawn, *cut]
        sizes += [k] * (count + len(cut))
    return torch.cat(found), sizes


def _from_labels(ladder: Ladder, labels: Int[Tensor, "s n"], sizes: list[int]) -> Sizes:
    sample, family = ladder.points, ladder.family
    floor = torch.maximum(ladder.floor, THINNEST * sample.bulk.square())
    theta = anywhere(sample, family, (len(sizes), max(sizes)))
    return from_assignment(family, theta, GivenLabels(labels), sizes, sample, floor)


def _holds(family: CovarianceFamily, other: CovarianceFamily) -> bool:
    """Whether every covariance of the other is one of the family, by the letters of their codes."""
    codes = family.mclust, other.mclust
    if family is other or any(set(code) - set(ORDER) or len(code) != 3 for code in codes):
        return False
    return all(ORDER.index(a) >= ORDER.index(b) for a, b in zip(*codes, strict=True))


def _cell(
    found: Ladder | Exception, family: CovarianceFamily, k: int, observations: Observations
) -> Cell:
    if k > observations.n_weighted:
        return Cell(k, family.name, TOO_FEW)
    if isinstance(found, Exception):
        return Cell(k, family.name, FAILED, error=found)
    if k not in found.ends:
        return Cell(k, family.name, NOT_SOUND)
    rung = found.ends[k]
    try:
        mixture = GaussianMixture.from_parameters(
            family,
            rung.parameters,
            dtype=observations.dtype,
            feature_names=observations.feature_names,
        )
        criteria = mixture.criteria(observations, observations.sample_weight)
    except ERRORS as error:
        return Cell(k, family.name, FAILED, error=error)
    return Cell(k, family.name, _status(found, k), mixture, criteria)


def _status(ladder: Ladder, k: int) -> str:
    if not ladder.ends[k].sound:
        return NOT_SOUND
    if ladder.outdone(k):
        return OUTDONE
    return "converged" if ladder.ends[k].converged else "step limit"
