"""Moves from one solution to a better one: grow by one, shrink by one, all candidates as one batch.

Restarts and moves mend different faults: a start decides which part of the data is described, a
move takes a component from where it is hardly missed to where it is.

Sources: Ueda, Nakano, Ghahramani & Hinton (2000); Zhao, Li & Sun (2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from ...covariance import Parameters
from ...data.points import Observations
from ...reduction.naming import fitting_numbers
from ...reduction.theta import theta_of
from ..expectation import Climb, Expectation, climbed, expect_at
from ..soundness import Soundness
from ..task import Options, Task
from .insertion import insertions
from .removal import shrunk
from .screening import SAME, Rank, best_different, headings, ranks

GAIN = 1e-5  # nats a point, the least that a move gains
GROWN = 2  # steps of EM with one component too many
SETTLING = 30  # steps of EM between two moves
ROUNDS = ((5, 6), (10, 1))  # steps of EM, and how many candidates stay after them
FAR_OFF = 0.01  # nats a point that the best candidate of a move is short of gaining anything
HOPELESS = 0.05  # the same, when there is no point in going on
CHASE = 60  # most steps of EM of the last candidate, while it may overtake
FEW = 15_000  # points times components, up to which calls cost more than the arithmetic


@dataclass(frozen=True)
class Effort:
    """How much a search tries before it stops.

    Attributes:
        newcomers: mixtures of one component more.
        mergers: of each of them.
        removals: of each of them.
    """

    newcomers: int
    mergers: int
    removals: int

    @classmethod
    def of_few(cls) -> Effort:
        """Where many sets at a time take no longer than one."""
        return cls(newcomers=6, mergers=3, removals=2)

    @classmethod
    def of_many(cls) -> Effort:
        """Where they take as much longer as they are more."""
        return cls(newcomers=4, mergers=3, removals=0)

    @classmethod
    def thorough(cls) -> Effort:
        """The effort where time does not matter."""
        return cls(newcomers=8, mergers=4, removals=2)


@dataclass(frozen=True, eq=False)
class Move:
    """What came of a move.

    Attributes:
        climb: where it led, if that is better.
        missed: nats a point by which the best candidate is going to miss it, if it is not.
    """

    climb: Climb | None
    missed: float = math.inf

    @property
    def cost(self) -> int:
        """Of the patience."""
        return 1 if self.missed < FAR_OFF else 2


@dataclass(frozen=True, eq=False)
class Mover:
    """Moves of one task on its sample.

    Attributes:
        task: the task.
        sample: the points that it moves on.
        rule: what is sound.
        effort: how much is tried at a time.
        patience: how much of it may be in vain.
        generator: source of randomness.
    """

    task: Task[Options]
    sample: Observations
    rule: Soundness
    effort: Effort
    patience: int
    generator: torch.Generator

    @property
    def small(self) -> float:
        """Nats that a step gains at least, or no more follow."""
        return 0.1 * SAME * self.sample.total_weight

    def steps_left(self, climb: Climb) -> int:
        """How many more steps may lead on from there."""
        return max(0, self.task.options.max_steps - climb.history.shape[1] + 1)

    def settled(self, climb: Climb) -> Climb:
        """After as many steps as there are between two moves."""
        steps = min(SETTLING, self.steps_left(climb))
        return climbed(self.task, climb, self.sample, steps, self.small)

    def moved(self, climb: Climb, present: Rank) -> Move:
        """Where one move leads, if that is sound, or as the present is, and higher."""
        fewer = self.otherwise(climb.state)
        if fewer is None:
            return Move(None)
        candidates = Climb.begun(expect_at(self.task, fewer, self.sample))
        for steps, keep in ROUNDS:
            candidates = climbed(self.task, candidates, self.sample, steps, self.small)
            best = self._leading(candidates, present, keep)
            if not best:
                return Move(None)
            candidates, sound = candidates[list(best)], list(best.values())
        return self._chased(candidates, climb, present, sound=sound[0])

    def otherwise(self, state: Expectation) -> Parameters | None:
        """Sets with one component elsewhere, or None if nothing adds.

        Known labels are of no help with one component too many, nor is what is fixed; but they
        number those that are left.
        """
        sample, effort, fixed = self.sample.unlabelled, self.effort, self.task.model.fixed
        family = self.task.model.family
        free = replace(self.task, model=replace(self.task.model, fixed=None))
        if sample is not self.sample:
            state = expect_at(free, state.parameters, sample)
        grown = insertions(free, state, sample, self.rule, self.generator, effort.newcomers)
        if grown is None:
            return None
        big = climbed(free, Climb.begun(expect_at(free, grown, sample)), sample, GROWN, 0.0)
        fewer = shrunk(family, big.state, sample, effort.mergers, effort.removals)
        if sample is self.sample and fixed is None:
            return fewer
        theta = theta_of(family, fewer, self.sample)
        fewer = family.permuted(fewer, fitting_numbers(self.sample, theta, fixed))
        return fewer if fixed is None else fixed.imposed(fewer)

    def _leading(self, candidates: Climb, present: Rank, keep: int) -> dict[int, bool]:
        """The candidates that may lead on, best first, and whether they are sound.

        Those that have come back to where they are from are not among them.
        """
        weight, values = self.sample.total_weight, headings(candidates)
        least = present[1] - HOPELESS * weight if present[0] else -math.inf
        home = GAIN * weight
        some = [i for i, v in enumerate(values) if v > least and abs(v - present[1]) > home]
        found = ranks(candidates[some], self.rule, self.sample) if some else []
        best = best_different(found, keep, SAME * weight)
        return {some[i]: found[i][0] for i in best if found[i][0] >= present[0]}

    def _chased(self, candidate: Climb, climb: Climb, present: Rank, *, sound: bool) -> Move:
        """The candidate once it has overtaken; none as soon as it is not going to."""
        goal = present[0], present[1] + GAIN * self.sample.total_weight
        for _ in range(CHASE):
            if (sound, float(candidate.reached)) > goal or (sound, headings(candidate)[0]) <= goal:
                break
            candidate = climbed(self.task, candidate, self.sample, 1, 0.0)
        value, heading = float(candidate.reached), headings(candidate)[0]
        if (sound, value) > goal:
            [(sound, _)] = ranks(candidate, self.rule, self.sample)
        if (sound, value) > goal:
            below = climb.history[:, climb.history[0] < value]
            history = torch.cat([below, candidate.reached[:, None]], 1)
            return Move(replace(candidate, history=history))
        missed = (goal[1] - heading) / self.sample.total_weight
        return Move(None, missed if sound == goal[0] and missed > 2 * GAIN else math.inf)
