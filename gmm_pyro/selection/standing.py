"""Which of many starts go on: those that may come to be the best of their number of components."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .climbing import Ends

KEPT = {5: 8, 15: 5, 30: 3}  # after so many steps: how many of a number and age stay
OLD = 15  # steps after which a set that can hardly come to be the best leaves
CHASE = 150  # steps at most until it is clear which of a few is the best
CEILING = 20.0  # times the last gain of a step, more than which is seldom ahead


@dataclass(frozen=True)
class Standing:
    """How one set stands: log-likelihoods in nats.

    Attributes:
        number: of components.
        steps: that it has taken.
        sound: whether it is.
        reached: where it is.
        heading: where it is on its way to, by Aitken's extrapolation.
        ceiling: more than it is likely to come to.
    """

    number: int
    steps: int
    sound: bool
    reached: float
    heading: float
    ceiling: float

    @property
    def rank(self) -> tuple[bool, float]:
        """What is better is larger."""
        return self.sound, self.heading

    def may_pass(self, best: float) -> bool:
        """Whether it may come to be better than a sound solution of this log-likelihood."""
        return self.steps < OLD or best == -math.inf or (self.sound and self.ceiling > best)


def standings(ends: Ends, numbers: Sequence[int], sound: Sequence[bool]) -> list[Standing]:
    """How each of some sets stands."""
    last = ends.history.diff(dim=1)[:, -1].clamp_min(0.0).nan_to_num(nan=torch.inf)
    values = (ends.log_likelihood, ends.heading, ends.log_likelihood + CEILING * last)
    columns = [each.nan_to_num(-torch.inf, torch.inf, -torch.inf).tolist() for each in values]
    rows = zip(numbers, ends.steps.tolist(), sound, *columns, strict=True)
    return [Standing(*row) for row in rows]


def staying(all_of_them: Sequence[Standing], best: Mapping[int, float], gap: float) -> list[int]:
    """The places of those that go on.

    Args:
        all_of_them: how each stands.
        best: log-likelihoods of sound solutions, by number of components, as far as there are any.
        gap: nats by which solutions differ.
    """
    ranked = sorted(range(len(all_of_them)), key=lambda i: all_of_them[i].rank, reverse=True)
    best, kept, count = dict(best), list[int](), dict[tuple[int, int], int]()
    for i in ranked:
        one = all_of_them[i]
        same = [all_of_them[j] for j in kept if all_of_them[j].number == one.number]
        known = any(abs(one.heading - other.heading) <= gap for other in same)
        place = count.get((one.number, one.steps), 0)
        full = place >= KEPT.get(one.steps, len(ranked))
        if known or full or one.reached == -math.inf:
            continue
        if one.may_pass(best.get(one.number, -math.inf)):
            kept.append(i)
            count[one.number, one.steps] = place + 1
            if one.sound and one.steps >= OLD:
                best[one.number] = max(best.get(one.number, -math.inf), one.reached + gap)
    return kept


def settled(all_of_them: Sequence[Standing], kept: Sequence[int]) -> list[int]:
    """The places of those with which no other of their number can compete that has just begun."""
    old = [all_of_them[i].number for i in kept if all_of_them[i].steps >= OLD]
    return [
        i
        for i in kept
        if all_of_them[i].steps >= CHASE
        or (all_of_them[i].steps >= OLD and old.count(all_of_them[i].number) == 1)
    ]
