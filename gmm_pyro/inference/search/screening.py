"""Starts of several kinds, ranked by where they are heading, not by where they are.

A start stays for as long as only a few of those before it are heading higher. Whether it stays does
therefore not depend on those that come after it: what is left of the first ten is among what is
left of the first fifty. What is dropped may have been on a plateau that it would have left, so that
a start alone may, rarely, end above what it does among others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import Parameters
from ...data.points import Observations
from ..expectation import Climb, climbed, expect_at
from ..soundness import Soundness
from ..starts.starting import SEVERAL, is_given, starting_parameters
from ..task import Options, Task

ALL = 10**6  # starts, more than there are
# Rounds of steps, and how many of those before a start may be heading higher after each.
Rounds = tuple[tuple[int, int], ...]
SCREENING: Rounds = ((1, ALL), (4, 4), (10, 3), (20, 2))
PATIENT: Rounds = ((1, ALL), (4, ALL), (10, ALL), (20, ALL))  # where calls take the time
SAME = 1e-6  # nats a point: restarts that are closer than this count as one
POINTS, INVARIANT = 2, 5  # starts of k-means++ for each one of these kinds that joins them
WIDEST = 100  # features that have invariant coordinates; so have points in few dimensions alone
THINNEST = 1e-3  # share of a feature's variance that a start has: few points are no cluster yet
NEVER = 1e6  # nats a point that a solution which is not sound is put behind


def started(
    task: Task[Options], sample: Observations, generator: torch.Generator, starts: range
) -> Parameters:
    """The starts of these numbers, those of other kinds among them if there are to be several."""
    start = task.options.start
    kinds = [(start, starts)]
    if not is_given(start) and start == SEVERAL and task.options.n_starts > 1:
        kinds.append(("random points", _every(POINTS, starts)))
        if sample.d <= min(WIDEST, sample.n // 4):
            kinds.append(("invariant", _every(INVARIANT, starts)))
    floor = task.floor
    if not is_given(start):
        floor = torch.maximum(floor, THINNEST * sample.bulk.square())
    seeded = generator.get_state()
    batches = []
    for kind, numbers in kinds:
        generator.set_state(seeded)
        batches.append(
            starting_parameters(
                kind,
                sample,
                task.model.family,
                task.model.n_components,
                n_starts=len(numbers),
                first=numbers.start,
                floor=floor,
                generator=generator,
            )
        )
    return Parameters.joined(batches)


def _every(count: int, starts: range) -> range:
    """One for so many starts."""
    return range(-(-starts.start // count), -(-starts.stop // count))


@dataclass(frozen=True, eq=False)
class Screened:
    """What is left of some starts.

    Attributes:
        climb: where they are, and how they came there.
        times: how many starts have led there.
    """

    climb: Climb
    times: list[int]


def screened(
    task: Task[Options],
    sample: Observations,
    rule: Soundness,
    starts: Parameters,
    rounds: Rounds = SCREENING,
) -> Screened:
    """Run all starts as one batch, in rounds after which only those stay that may be the best."""
    climb = Climb.begun(expect_at(task, starts, sample))
    times = [1] * len(starts.means)
    small = task.options.tolerance * sample.total_weight
    left = task.options.max_steps
    for steps, higher in rounds:
        climb = climbed(task, climb, sample, min(steps, left), small)
        left = max(0, left - steps)
        values = promise(climb, rule, sample)
        kept = promising(values, higher, SAME * sample.total_weight, climb)
        times = [sum(times[i] for i in some) for some in kept.values()]
        climb = climb[list(kept)]
    return Screened(climb, times)


def promise(climb: Climb, rule: Soundness, sample: Observations) -> Float[Tensor, "s"]:
    """What each set is heading for, one that is not sound behind all that are."""
    behind = torch.where(rule.of(climb.state.theta, sample), 0.0, NEVER * sample.total_weight)
    return (climb.heading - behind).nan_to_num(nan=-torch.inf)


def promising(
    values: Float[Tensor, "s"], higher: int, gap: float, climb: Climb
) -> dict[int, list[int]]:
    """The sets that few before them surpass, and with each those that are the same again.

    One that is not sound stays only if none before it is; and one that is not going to reach where
    a sound one before it already is does not stay.
    """
    kept: dict[int, list[int]] = {}
    sound = values > climb.heading - 0.5 * NEVER * gap / SAME
    for i in range(len(values)):
        before = torch.tensor(list(kept), dtype=torch.int64, device=values.device)
        same = (values[before] - values[i]).abs() <= gap
        surpassed = int((values[before] > values[i]).sum())
        well = before[sound[before]]  # the sound ones
        outclassed = bool(len(well)) and not bool(sound[i])
        if same.any():
            kept[int(before[same][0])].append(i)
        elif surpassed < higher and not outclassed and _may_reach(climb, i, well):
            kept[i] = [i]
    return kept


def _may_reach(climb: Climb, i: int, others: Int[Tensor, "m"]) -> bool:
    """Whether a set may come to where all of some others are."""
    return bool((climb.reached[others] <= climb.ceiling[i]).all())


def best_different(values: Float[Tensor, "s"], count: int, gap: float) -> list[int]:
    """The sets of the highest values, best first, that are not the same solution twice."""
    kept: list[int] = []
    for i in values.argsort(descending=True, stable=True).tolist():
        if all(values[j] - values[i] > gap for j in kept):
            kept.append(i)
        if len(kept) == count:
            break
    return kept
