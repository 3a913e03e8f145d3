"""The search for the highest bound: starts as one batch, then moves from the best of them.

Of very many points it goes by a random part, as if these were all; it goes on from the best ends by
all of them, with a few moves more, as more points tell more components apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from tqdm import tqdm

from ...data.points import Observations
from ...running.seeds import Stream
from ..search.likeliest import LEAGUE, THOROUGH
from ..search.moves import FEW, SETTLING, Effort
from ..search.moves import Mover as Mixtures
from ..search.screening import SAME, started
from ..searched import Searched, Solution
from ..soundness import Soundness
from ..starts.starting import is_given
from ..task import Options, Task
from .ascent import Ascent, Climb, climbed
from .moves import Mover

ROUNDS = ((10, 10**6), (30, 4), (60, 2))  # steps, and how many starts take them
PATIENT = ((100, 10**6),)  # the same, where many sets at a time take no longer than one
PATIENCE, LAST = 3, 10  # moves in a row that gain nothing, and that of a thorough search
FINALISTS, FINAL_STEPS = 3, 5  # ends on a part of the data that are compared by steps on all
EAGER = ((1, 4), (5, 2))  # steps by all of very many points, and how many candidates stay
MANY = 1_000_000  # points times components, from which on moves by all of them only take away
ALIKE = 1e-4  # nats a point: ends that are closer are told as one


@dataclass(frozen=True, eq=False)
class End:
    """Where a part of the search has ended.

    Attributes:
        climb: one set, and the bounds that led there.
        times: how many starts have led there.
        moves: how many moves led there from a start.
        settled: whether it is near a maximum, rather than dropped on the way.
    """

    climb: Climb
    times: int = 1
    moves: int = 0
    settled: bool = False

    @property
    def bound(self) -> float:
        """What it has come to, in nats; what it would come to is never known for sure."""
        return self.climb.reached[0]


@dataclass(eq=False)
class Search:
    """A search for the highest bound, and what it has come to.

    Attributes:
        task: the task.
        ascent: makes the steps, on the points that it goes by.
        bar: counts the steps.
        ends: where it has been.
        starts: how many it began with.
        tried: how many moves it tried.
        taken: how many of them led on.
        interrupted: whether it was stopped.
        left: bounds from which moves have failed.
    """

    task: Task[Options]
    ascent: Ascent
    bar: tqdm[Any]
    ends: list[End] = field(default_factory=list)
    starts: int = 0
    tried: int = 0
    taken: int = 0
    interrupted: bool = False
    left: list[float] = field(default_factory=list)

    @property
    def sample(self) -> Observations:
        """The points that it goes by."""
        return self.ascent.observations

    @property
    def small(self) -> float:
        """Nats that a step gains at least, or no more follow."""
        return self.task.options.tolerance * self.sample.total_weight

    @property
    def is_small(self) -> bool:
        """Whether many sets at a time take no longer than one."""
        return self.sample.n * self.task.model.n_components <= FEW

    def run(self) -> None:
        """Search with as much effort as the options say, or until an interrupt.

        Starts come in tens, each with moves of its own: more of them take nothing away.
        """
        options, generator = self.task.options, self.task.generator(Stream.SEARCH)
        several = self.task.model.n_components > 1 and not is_given(options.start)
        n_starts = options.n_starts if several else 1
        n_starts *= THOROUGH if options.search == "thorough" and n_starts > 1 else 1
        try:
            for first in range(0, n_starts, LEAGUE):
                self._league(range(first, min(first + LEAGUE, n_starts)), generator)
            if n_starts > options.n_starts:
                self._move(self.best, self._mover(-1, self.sample), LAST)
        except KeyboardInterrupt:
            if not self.ends:
                raise
            self.interrupted = True

    def _league(self, numbers: range, generator: torch.Generator) -> None:
        """Starts as one batch, and moves from the best of them, or the best two of few points."""
        parameters, found = started(self.task, self.sample, generator, numbers), len(self.ends)
        climb = Climb.begun(self.ascent.begun(parameters))
        self.ends += [End(climb[[i]]) for i in range(len(parameters.means))]
        self.starts += len(parameters.means)
        if self.starts == 1:
            return
        self._screen(climb, found)
        if self.task.options.search != "starts":
            best = _different(self.ends[found:], ALIKE * self.sample.total_weight)
            for rank, end in enumerate(best[: 2 if self.is_small else 1]):
                if not self._has_been_left(end):
                    self._move(end, self._mover(numbers.start + rank, self.sample), PATIENCE)

    def go_on(self, from_part: Search) -> None:
        """Search on where a search by a part of the points has ended."""
        self.starts, self.tried, self.taken = from_part.starts, from_part.tried, from_part.taken
        self.interrupted = from_part.interrupted
        found = _different(from_part.ends, ALIKE * from_part.sample.total_weight)
        try:
            for end in found[: 1 if self.interrupted else FINALISTS]:
                climb = Climb.begun(self.ascent.at(end.climb.state.factors))
                steps = 0 if self.interrupted else FINAL_STEPS
                self.ends.append(replace(end, climb=climbed(self.ascent, climb, steps, self.small)))
            if not self.interrupted:
                self._go_on(from_part.sample)
        except KeyboardInterrupt:
            if not self.ends:
                raise
            self.interrupted = True

    def _go_on(self, part: Observations) -> None:
        """Settle, and move on by all points; what appears is sought for by a part of them."""
        place = self.ends.index(self.best)
        steps = min(SETTLING, self._steps_left(self.best))
        settled = climbed(self.ascent, self.best.climb, steps, self.small)
        self.ends[place] = replace(self.best, climb=settled)
        self.bar.update(settled.history.shape[1] - 1)
        if self.task.options.search != "starts" and self.starts > 1:
            few = self.sample.n * self.task.model.n_components <= MANY
            mover = replace(self._mover(-2, part if few else None), rounds=EAGER)
            self._move(self.ends[place], mover, 1)

    def _screen(self, climb: Climb, found: int) -> None:
        """Steps of all starts, in rounds after which only the best stay."""
        left, numbers = self.task.options.max_steps, list(range(found, len(self.ends)))
        for steps, keep in PATIENT if self.is_small else ROUNDS:
            values = climb.headings
            best = sorted(range(len(values)), key=lambda i: values[i], reverse=True)[:keep]
            climb, numbers = climb[best], [numbers[i] for i in best]
            before = climb.history.shape[1]
            climb = climbed(self.ascent, climb, min(steps, left), self.small)
            left -= min(steps, left)
            for i, number in enumerate(numbers):
                self.ends[number] = End(climb[[i]])
            self.bar.update(climb.history.shape[1] - before)
        for number in numbers:
            self.ends[number] = replace(self.ends[number], settled=True)

    def _has_been_left(self, end: End) -> bool:
        """Whether moves have begun there before."""
        gap = SAME * self.sample.total_weight
        return any(abs(end.bound - bound) <= gap for bound in self.left)

    def _move(self, end: End, mover: Mover, patience: int) -> None:
        """Move from an end for as long as it gains."""
        tries = patience
        while tries > 0 and self._steps_left(end) > 0:
            self.tried += 1
            moved = mover.moved(end.climb, again=tries < patience)
            tries -= 1
            if moved is not None:
                higher = self._settled(moved, end, mover)
                end = End(higher, moves=end.moves + 1, settled=True)
                tries = patience
                self.taken += 1
                self.ends.append(end)
                self.bar.update(1)
        self.left.append(end.bound)

    def _settled(self, moved: Climb, end: End, mover: Mover) -> Climb:
        """After a move: some steps on, and the history of a path that only rises."""
        before = end.climb.history[:, end.climb.history[0] < moved.reached[0]]
        climb = Climb(moved.state, torch.cat([before, moved.history[:, -1:]], 1))
        steps = min(SETTLING, self._steps_left(replace(end, climb=climb)))
        return climbed(self.ascent, climb, steps, mover.small)

    def _steps_left(self, end: End) -> int:
        return max(0, self.task.options.max_steps - end.climb.history.shape[1] + 1)

    def _mover(self, number: int, part: Observations | None) -> Mover:
        """Moves with random numbers of their own; components appear where a part misses them."""
        if part is None:
            return Mover(self.task, self.ascent, None)
        effort = Effort.of_few() if self.is_small else Effort.of_many()
        seed = Stream.MOVES.seed(self.task.options.seed) + 7_919 * (number + 1)
        generator = torch.Generator().manual_seed(seed % 2**63)
        rule = Soundness.for_task(self.task, part)
        mixtures = Mixtures(self.task, part, rule, effort, PATIENCE, generator)
        return Mover(self.task, self.ascent, mixtures)

    @property
    def best(self) -> End:
        """The highest end."""
        return max(self.ends, key=lambda end: end.bound)

    def figures(self, reached: float) -> Searched:
        """What there is to tell of it, given the bound that the best has come to."""
        first, *others = _different(self.ends, ALIKE * self.sample.total_weight)
        bounds = [reached, *(end.bound for end in others)]
        solutions = [
            Solution(value, sound=True, times=end.times, moves=end.moves)
            for value, end in zip(bounds, (first, *others), strict=True)
        ]
        tried = self.starts, self.tried, self.taken
        return Searched(self.sample.n, *tried, tuple(solutions), of="bound")


def _different(ends: list[End], gap: float) -> list[End]:
    """Ends that differ by more than so many nats, the highest first.

    Where there are such that have settled, others only tell how often the search came there.
    """
    kept: list[End] = []
    known = any(end.settled for end in ends)
    for end in sorted(ends, key=lambda end: (end.settled, end.bound), reverse=True):
        same = [i for i, other in enumerate(kept) if abs(other.bound - end.bound) <= gap]
        for i in same[:1]:
            kept[i] = replace(kept[i], times=kept[i].times + end.times)
        if not same and (end.settled or not known):
            kept.append(end)
    return kept
