"""Moves to a higher bound: components merge, split, go, or appear where they are missed.

What is tried is mixtures of one component fewer, whose place stays empty, or one more, in a place
that is; and that of EM's search, which takes a component from where it is hardly missed to where it
adds. All candidates are one batch. A move is made if the bound that it comes to is higher.

Sources: Ueda & Ghahramani (2002); Hughes & Sudderth (2013), for merging and for what the bound says
of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from ...covariance import Parameters
from ..expectation import expect_at
from ..search.moves import Mover as Mixtures
from ..search.removal import merged, merger_costs, without
from ..search.screening import SAME
from ..task import Options, Task
from ..telescoping.halves import Component, Difference, Halves
from .ascent import Ascent, Climb, State, climbed

MERGERS, REMOVALS = 6, 3  # mixtures of a component fewer that are tried
SPLITS = 6  # and of one more
BETWEEN = 0.64  # the share of the variance along its longest axis that two halves have between them
FILLED = 0.5  # points from which on a component is more than a place for one
GONE = -1e6  # logarithm of the weight of a component that is to be empty
ROUNDS = ((5, 12), (10, 4), (20, 2))  # steps, and how many candidates stay after them
CHASE, STRIDE = 60, 5  # most steps of the last candidates, while they may overtake, and at a time


@dataclass(frozen=True, eq=False)
class Mover:
    """Moves of one task.

    Attributes:
        task: the task.
        ascent: makes the steps, on the points that moves go by.
        mixtures: what EM's search would try; none where components are only to be taken away.
        rounds: steps, and how many candidates stay after them.
    """

    task: Task[Options]
    ascent: Ascent
    mixtures: Mixtures | None
    rounds: tuple[tuple[int, int], ...] = ROUNDS

    @property
    def gap(self) -> float:
        """Nats by which two bounds differ."""
        return SAME * self.ascent.observations.total_weight

    @property
    def small(self) -> float:
        """Nats that a step gains at least, or no more follow."""
        return 0.1 * self.gap

    def moved(self, climb: Climb, *, again: bool) -> Climb | None:
        """Where the best move leads, if that is higher.

        What is not random is not tried again from where it has failed.
        """
        present = climb.reached[0]
        if not again:
            others = [self._fewer(climb.state), self._more(climb.state)]
            found = [some for some in others if some is not None]
            higher = self._tried(Parameters.joined(found), present) if found else None
            if higher is not None:
                return higher
        if self.mixtures is None:
            return None
        p = self.ascent.prior.means(climb.state.factors)
        moved = self.mixtures.otherwise(expect_at(self.task, p, self.mixtures.sample))
        return None if moved is None else self._tried(moved, present)

    def _tried(self, mixtures: Parameters, present: float) -> Climb | None:
        """Where the best of some mixtures leads, if that is higher, as soon as it is."""
        candidates, goal = Climb.begun(self.ascent.begun(mixtures)), present + self.gap
        for steps, keep in self.rounds:
            candidates = climbed(self.ascent, candidates, steps, self.small)
            stay = self._best(candidates, present, keep)
            if not stay:
                return None
            candidates = candidates[stay]
            if max(candidates.reached) > goal:
                break
        return self._chased(candidates, goal)

    def _best(self, candidates: Climb, present: float, keep: int) -> list[int]:
        """The highest candidates that differ from each other and from where they come from."""
        kept: list[int] = []
        values, taken = candidates.headings, [present]
        for i in sorted(range(len(values)), key=lambda i: values[i], reverse=True):
            if all(abs(values[i] - value) > self.gap for value in taken) and len(kept) < keep:
                kept.append(i)
                taken.append(values[i])
        return [i for i in kept if values[i] > -torch.inf]

    def _chased(self, candidates: Climb, goal: float) -> Climb | None:
        """The candidate that has overtaken first; none as soon as none is going to."""
        for _ in range(0, CHASE, STRIDE):
            if max(candidates.reached) > goal or max(candidates.headings) <= goal:
                break
            candidates = climbed(self.ascent, candidates, STRIDE, 0.0)
        values = candidates.reached
        best = max(range(len(values)), key=lambda i: values[i])
        return candidates[[best]] if values[best] > goal else None

    def _fewer(self, state: State) -> Parameters | None:
        """Mixtures in which one of the filled components is empty; labels would miss it."""
        family, counts = self.ascent.prior.family, state.statistics.counts[0]
        filled = (counts > FILLED).nonzero()[:, 0]
        if len(filled) < 2 or self.ascent.observations.allowed is not None:
            return None
        p = self.ascent.prior.means(state.factors)
        least = filled[counts[filled].argsort()[:REMOVALS]]
        pairs = filled[torch.triu_indices(len(filled), len(filled), 1, device=counts.device)]
        costs = merger_costs(family, p, pairs)[0]
        cheap = pairs[:, costs.topk(min(MERGERS, len(costs)), largest=False).indices]
        found = [
            merged(family, p[[0] * cheap.shape[1]], *cheap),
            without(family, p[[0] * len(least)], least),
        ]
        return Parameters.joined([self._with_a_place(some) for some in found])

    def _more(self, state: State) -> Parameters | None:
        """Mixtures in which one of the largest components is two halves, in its and an empty place.

        They have its mean and covariance between them, and part across its longest axis.
        """
        family, counts = self.ascent.prior.family, state.statistics.counts[0]
        empty = (counts <= FILLED).nonzero()[:, 0]
        if self.mixtures is None or not len(empty) or self.ascent.observations.allowed is not None:
            return None
        largest = counts.argsort(descending=True)[: min(SPLITS, len(counts) - len(empty))]
        p = self.ascent.prior.means(state.factors)[[0] * len(largest)]
        whole = Component.of(p, largest, family)
        root = family.scale_tril(whole.factor[:, None], p.means.shape[2])[:, 0]
        axis = torch.linalg.svd(root)[2][:, 0]
        half, alike = (
            whole.log_weight.new_full((len(axis),), 0.5),
            whole.mean.new_zeros(len(axis), 1),
        )
        how = Difference(half, math.sqrt(BETWEEN) * axis, alike)
        log_weights, means, factor = (x.clone() for x in (p.log_weights, p.means, p.factor))
        rows = torch.arange(len(axis), device=axis.device)
        for place, part in zip((largest, empty[0]), Halves(family).parted(whole, how), strict=True):
            log_weights[rows, place] = part.log_weight
            means[rows, place] = part.mean
            factor[rows, family.of_component(place)] = part.factor
        return replace(p, log_weights=log_weights.log_softmax(1), means=means, factor=factor)

    def _with_a_place(self, p: Parameters) -> Parameters:
        """Mixtures with one component more, which is to be empty."""
        k = p.means.shape[1]
        places = torch.arange(k + 1, device=p.means.device) % k
        found = self.ascent.prior.family.permuted(p, places.expand(len(p.means), -1))
        log_weights = found.log_weights.clone()
        log_weights[:, -1] = GONE
        return replace(found, log_weights=log_weights)
