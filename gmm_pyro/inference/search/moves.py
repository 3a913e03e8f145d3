"""Moves from one solution to a better one: grow by one, shrink by one, all candidates as one batch.

Restarts and moves mend different faults: a start decides which part of the data is described, a
move takes a component from where it is hardly missed to where it is.

Sources: Ueda, Nakano, Ghahramani & Hinton (2000); Zhao, Li & Sun (2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from ...data.points import Observations
from ..expectation import Climb, climbed, expect_at
from ..soundness import Soundness
from ..task import Options, Task
from .insertion import insertions
from .removal import shrunk
from .screening import SAME, best_different, promise

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
        patience: moves in a row that gain nothing; one that is far from it counts twice.
    """

    newcomers: int
    mergers: int
    removals: int
    patience: int

    @classmethod
    def of_few(cls) -> Effort:
        """Where many sets at a time take no longer than one."""
        return cls(newcomers=6, mergers=3, removals=2, patience=4)

    @classmethod
    def of_many(cls) -> Effort:
        """Where they take as much longer as they are more."""
        return cls(newcomers=4, mergers=3, removals=0, patience=4)

    @classmethod
    def thorough(cls) -> Effort:
        """The effort where time does not matter."""
        return cls(newcomers=8, mergers=4, removals=2, patience=20)


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
        effort: how much is tried.
        generator: source of randomness.
    """

    task: Task[Options]
    sample: Observations
    rule: Soundness
    effort: Effort
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

    def moved(self, climb: Climb) -> Move:
        """Where one move leads, if that is sound and higher."""
        grown = insertions(
            self.task, climb.state, self.sample, self.rule, self.generator, self.effort.newcomers
        )
        if grown is None:
            return Move(None)
        big = Climb.begun(expect_at(self.task, grown, self.sample))
        big = climbed(self.task, big, self.sample, GROWN, 0.0)
        effort, family = self.effort, self.task.model.family
        fewer = shrunk(family, big.state, self.sample, effort.mergers, effort.removals)
        candidates = Climb.begun(expect_at(self.task, fewer, self.sample))
        goal = self._goal(climb)
        for steps, keep in ROUNDS:
            candidates = climbed(self.task, candidates, self.sample, steps, self.small)
            heading = promise(candidates, self.rule, self.sample)
            gap = SAME * self.sample.total_weight
            missed = ((goal - heading) / self.sample.total_weight).tolist()
            best = [i for i in best_different(heading, keep, gap) if missed[i] < HOPELESS]
            if not best:
                return Move(None)
            candidates = candidates[best]
        return self._chased(candidates, climb, goal)

    def _goal(self, climb: Climb) -> float:
        """Log-likelihood that a sound candidate has at least: any, if the present one is not."""
        return float(promise(climb, self.rule, self.sample)) + GAIN * self.sample.total_weight

    def _chased(self, candidate: Climb, climb: Climb, goal: float) -> Move:
        """The candidate once it has overtaken; none as soon as it is not going to."""
        ahead = float(promise(candidate, self.rule, self.sample)) - float(candidate.heading)
        for _ in range(CHASE):
            overtaken = float(candidate.reached) + ahead > goal
            if overtaken or not float(candidate.heading) + ahead > goal:
                break
            candidate = climbed(self.task, candidate, self.sample, 1, 0.0)
        reached = float(promise(candidate, self.rule, self.sample))
        value = float(candidate.reached)
        if not reached - float(candidate.heading) + value > goal:
            return Move(None, (goal - reached) / self.sample.total_weight)
        below = climb.history[:, climb.history[0] < value]
        return Move(replace(candidate, history=torch.cat([below, candidate.reached[:, None]], 1)))
