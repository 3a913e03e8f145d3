"""The search for the highest bound: starts as one batch, then moves from the best of them.

Of very many points it goes by a random part, each of which then stands for several, and the best
ends are compared on all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ...data.points import Observations
from ...running.seeds import Stream
from ..search.likeliest import LEAGUE, THOROUGH
from ..search.moves import FEW, SETTLING, Effort
from ..search.moves import Mover as Mixtures
from ..search.screening import SAME, started
from ..searched import Searched, Solution
from ..soundness import Soundness
from ..starts.starting import is_given, sample_of
from ..task import Options, Run, Status, Task, iterate, stalled
from .approximation import Factors, VariationalPrior
from .ascent import Ascent, Climb, State, climbed
from .batches import Batches, Memory
from .moves import Mover

ROUNDS = ((10, 10**6), (30, 4), (60, 2))  # steps of all starts, and how many stay after them
PATIENCE, LAST = 3, 10  # moves in a row that gain nothing, and that of a thorough search
FINALISTS = 3  # ends on a part of the data that are compared on all of them
Bounded = TypeVar("Bounded", State, Memory)
ALIKE = 1e-4  # nats a point: ends that are closer are told as one


@dataclass(frozen=True, eq=False)
class End:
    """Where a part of the search has ended.

    Attributes:
        climb: one set, and the bounds that led there.
        times: how many starts have led there.
        moves: how many moves led there from a start.
    """

    climb: Climb
    times: int = 1
    moves: int = 0

    @property
    def bound(self) -> float:
        """What it is heading for, in nats."""
        return self.climb.headings[0]


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
                self._move(self.best, self._mover(-1), LAST)
        except KeyboardInterrupt:
            if not self.ends:
                raise
            self.interrupted = True

    def _league(self, numbers: range, generator: torch.Generator) -> None:
        """Starts as one batch, and moves from the best of them."""
        parameters, found = started(self.task, self.sample, generator, numbers), len(self.ends)
        climb = Climb.begun(self.ascent.begun(parameters))
        self.ends += [End(climb[[i]]) for i in range(len(parameters.means))]
        self.starts += len(parameters.means)
        if self.starts == 1:
            return
        self._screen(climb, found)
        if self.task.options.search != "starts":
            best = max(self.ends[found:], key=lambda end: end.bound)
            if not self._has_been_left(best):
                self._move(best, self._mover(numbers.start), PATIENCE)

    def _screen(self, climb: Climb, found: int) -> None:
        """Steps of all starts, in rounds after which only the best stay."""
        left, numbers = self.task.options.max_steps, list(range(found, len(self.ends)))
        for steps, keep in ROUNDS:
            before = climb.history.shape[1]
            climb = climbed(self.ascent, climb, min(steps, left), self.small)
            left -= min(steps, left)
            for i, number in enumerate(numbers):
                self.ends[number] = End(climb[[i]])
            self.bar.update(climb.history.shape[1] - before)
            values = climb.headings
            best = sorted(range(len(values)), key=lambda i: values[i], reverse=True)[:keep]
            climb, numbers = climb[best], [numbers[i] for i in best]

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
                end, tries = replace(end, climb=higher, times=1, moves=end.moves + 1), patience
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

    def _mover(self, number: int) -> Mover:
        """Moves with random numbers of their own."""
        few = self.sample.n * self.task.model.n_components <= FEW
        effort = Effort.of_few() if few else Effort.of_many()
        seed = Stream.MOVES.seed(self.task.options.seed) + 7_919 * (number + 1)
        generator = torch.Generator().manual_seed(seed % 2**63)
        rule = Soundness.for_task(self.task, self.sample)
        mixtures = Mixtures(self.task, self.sample, rule, effort, PATIENCE, generator)
        return Mover(self.task, self.ascent, mixtures)

    @property
    def best(self) -> End:
        """The end that is heading highest."""
        return max(self.ends, key=lambda end: end.bound)

    def different(self, gap: float) -> list[End]:
        """Ends that differ by more than so many nats, the highest first."""
        kept: list[End] = []
        for end in sorted(self.ends, key=lambda end: end.bound, reverse=True):
            if kept and abs(kept[-1].bound - end.bound) <= gap:
                kept[-1] = replace(kept[-1], times=kept[-1].times + end.times)
            else:
                kept.append(end)
        return kept

    def figures(self, reached: float) -> Searched:
        """What there is to tell of it, given the bound that the best has come to."""
        first, *others = self.different(ALIKE * self.sample.total_weight)
        by_all = self.sample.n == self.task.observations.n
        bound = reached if by_all else first.bound
        bounds = [bound, *(end.bound for end in others)]
        solutions = [
            Solution(value, sound=True, times=end.times, moves=end.moves)
            for value, end in zip(bounds, (first, *others), strict=True)
        ]
        tried = self.starts, self.tried, self.taken
        return Searched(self.sample.n, *tried, tuple(solutions), of="bound")


@dataclass(frozen=True, eq=False)
class Highest:
    """Where the highest ascent has ended.

    Attributes:
        factors: q of one set, but for q(z).
        counts: expected numbers of points of the components, shape (1, k).
    """

    factors: Factors
    counts: Float[Tensor, "1 k"]


def highest(
    task: Task[Options], prior: VariationalPrior, bar: tqdm[Any], size: int | None = None
) -> Run[Highest]:
    """The highest bound that is found, on all of the data, run on to convergence.

    Args:
        task: the task.
        prior: of its mixture.
        bar: counts the steps.
        size: points in a minibatch, or None for all.
    """
    options, observations = task.options, task.observations
    renumber = not is_given(options.start) and observations.allowed is None
    whole = Ascent(prior, observations, renumber)
    search = Search(task, replace(whole, observations=_sample(task)), bar)
    search.run()
    state, history = _best_of_all(search, whole)
    limit = 0 if search.interrupted else max(0, options.max_steps - len(history))
    run: Run[State] | Run[Memory]
    if size is None or size >= observations.n:
        run = _run_on(task, whole.step, state, limit, bar)
    else:
        batches = Batches.of(whole, size, task.generator(Stream.JUDGES))
        run = _run_on(task, batches.passed, batches.begun(state.factors), limit, bar)
    status = Status.INTERRUPTED if search.interrupted else run.status
    values, found = history + run.history, Highest(run.state.factors, run.state.counts)
    return Run(found, values, status, search=search.figures(values[-1]))


def _best_of_all(search: Search, whole: Ascent) -> tuple[State, list[float]]:
    """The highest of the ends by all of the data, and the bounds that led there, if these are."""
    if search.sample is whole.observations:
        climb = search.best.climb
        return climb.state, climb.history[0, :-1].tolist()
    gap = ALIKE * search.sample.total_weight
    ends = search.different(gap)[: 1 if search.interrupted else FINALISTS]
    states = [whole.at(end.climb.state.factors) for end in ends]
    if len(states) > 1:
        states = [whole.step(state) for state in states]
    return max(states, key=lambda state: float(state.bound.nan_to_num(-math.inf))), []


def _run_on(
    task: Task[Options],
    step: Callable[[Bounded], Bounded],
    state: Bounded,
    limit: int,
    bar: tqdm[Any],
) -> Run[Bounded]:
    """Steps until the bound has converged."""
    return iterate(
        step,
        state,
        lambda state: float(state.bound[0]),
        converged=stalled(task.options.tolerance * task.observations.total_weight),
        max_steps=limit,
        bar=bar,
    )


def _sample(task: Task[Options]) -> Observations:
    """The points that a search goes by: all, or some that stand for all."""
    observations, k = task.observations, task.model.n_components
    if is_given(task.options.start):
        return observations
    some = sample_of(observations, k, task.generator(Stream.SEARCH))
    if some is observations:
        return observations
    each = some.weights * (observations.total_weight / some.total_weight)
    return replace(some, sample_weight=each.to(some.x), cache={})
