"""Starts of several kinds, ranked by where they are heading, not by where they are.

A start stays for as long as only a few of those before it are heading higher. Whether it stays does
therefore not depend on those that come after it: what is left of the first ten is among what is
left of the first fifty. What is dropped may have been on a plateau that it would have left, so that
a start alone may, rarely, end above what it does among others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...covariance import Parameters
from ...data.points import Observations
from ..expectation import Climb, climbed, expect_at
from ..soundness import Soundness
from ..starts.starting import SEVERAL, is_given, starting_parameters
from ..task import Options, Task

Rank = tuple[bool, float]  # whether a set is sound, and what it is heading for: larger is better
ALL = 10**6  # starts, more than there are
# Rounds of steps, and how many of those before a start may be heading higher after each.
Rounds = tuple[tuple[int, int], ...]
SCREENING: Rounds = ((1, ALL), (4, 4), (10, 3), (20, 2))
PATIENT: Rounds = ((1, ALL), (4, ALL), (10, ALL), (20, ALL))  # where calls take the time
SAME = 1e-6  # nats a point: restarts that are closer than this count as one
POINTS, INVARIANT = 2, 5  # starts of k-means++ for each one of these kinds that joins them
WIDEST = 100  # features that have invariant coordinates; so have points in few dimensions alone
THINNEST = 1e-3  # share of a feature's variance that a start has: few points are no cluster yet


def started(
    task: Task[Options], sample: Observations, generator: torch.Generator, starts: range
) -> Parameters:
    """The starts of these numbers, those of other kinds among them if there are to be several."""
    start = task.options.start
    kinds = [(start, starts)]
    several = task.options.n_starts > 1 and task.model.n_components > 1
    if not is_given(start) and start == SEVERAL and several:
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
                fixed=task.model.fixed,
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
        ranked = ranks(climb, rule, sample)
        kept = promising(ranked, higher, SAME * sample.total_weight, climb)
        times = [sum(times[i] for i in some) for some in kept.values()]
        climb = climb[list(kept)]
        if not left or bool((climb.last_gain.abs() <= small).all()):
            break
    return Screened(climb, times)


def headings(climb: Climb) -> list[float]:
    """The log-likelihood that each set is on its way to; none, if that is no number."""
    values: list[float] = climb.heading.nan_to_num(nan=-torch.inf).tolist()
    return values


def ranks(climb: Climb, rule: Soundness, sample: Observations) -> list[Rank]:
    """Of each set."""
    sound = rule.of(climb.state.theta, sample).tolist()
    return list(zip(sound, headings(climb), strict=True))


def promising(ranks: list[Rank], higher: int, gap: float, climb: Climb) -> dict[int, list[int]]:
    """The sets that few before them surpass, and with each those that are the same again.

    One that is not sound stays only if none before it is; and one that is not going to reach where
    a sound one before it already is does not stay.
    """
    kept: dict[int, list[int]] = {}
    reached, ceiling = climb.reached.tolist(), climb.ceiling.tolist()
    for i, rank in enumerate(ranks):
        same = [j for j in kept if is_same(ranks[j], rank, gap)]
        sound = [reached[j] for j in kept if ranks[j][0]]
        stays = all(rank[0] and there <= ceiling[i] for there in sound)
        if same:
            kept[same[0]].append(i)
        elif stays and sum(ranks[j] > rank for j in kept) < higher:
            kept[i] = [i]
    return kept


def is_same(one: Rank, other: Rank, gap: float) -> bool:
    """Whether two sets are one solution."""
    return one[0] == other[0] and abs(one[1] - other[1]) <= gap


def best_different(ranks: list[Rank], count: int, gap: float) -> list[int]:
    """The sets of the highest ranks, best first, that are not the same solution twice."""
    kept: list[int] = []
    for i in sorted(range(len(ranks)), key=ranks.__getitem__, reverse=True):
        if not any(is_same(ranks[i], ranks[j], gap) for j in kept):
            kept.append(i)
        if len(kept) == count:
            break
    return kept
