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
from ..search.moves import FEW, SETTLING, Effort
from ..search.moves import Mover as Mixtures
from ..search.screening import started
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
THOROUGH = 10  # times as many starts
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
        ends: where it has been.
        starts: how many it began with.
        tried: how many moves it tried.
        taken: how many of them led on.
        interrupted: whether it was stopped.
    """

    task: Task[Options]
    ascent: Ascent
    ends: list[End] = field(default_factory=list)
    starts: int = 0
    tried: int = 0
    taken: int = 0
    interrupted: bool = False

    @property
    def sample(self) -> Observations:
        """The points that it goes by."""
        return self.ascent.observations

    @property
    def small(self) -> float:
        """Nats that a step gains at least, or no more follow."""
        return self.task.options.tolerance * self.sample.total_weight

    def run(self) -> None:
        """Search with as much effort as the options say, or until an interrupt."""
        options, generator = self.task.options, self.task.generator(Stream.SEARCH)
        several = self.task.model.n_components > 1 and not is_given(options.start)
        n_starts = options.n_starts if several else 1
        if options.search == "thorough" and n_starts > 1:
            n_starts *= THOROUGH
        parameters = started(self.task, self.sample, generator, range(n_starts))
        self.starts = len(parameters.means)
        climb = Climb.begun(self.ascent.begun(parameters))
        self.ends = [End(climb[[i]]) for i in range(self.starts)]
        if self.starts == 1:
            return
        try:
            self._screen(climb)
            if options.search != "starts":
                self._move()
        except KeyboardInterrupt:
            self.interrupted = True

    def _screen(self, climb: Climb) -> None:
        """Steps of all starts, in rounds after which only the best stay."""
        left, numbers = self.task.options.max_steps, list(range(self.starts))
        for steps, keep in ROUNDS:
            climb = climbed(self.ascent, climb, min(steps, left), self.small)
            left -= min(steps, left)
            for i, number in enumerate(numbers):
                self.ends[number] = End(climb[[i]])
            values = climb.headings
            best = sorted(range(len(values)), key=lambda i: values[i], reverse=True)[:keep]
            climb, numbers = climb[best], [numbers[i] for i in best]

    def _move(self) -> None:
        """Move from the best end for as long as it gains."""
        end, mover = self.best, self._mover()
        patience = most = LAST if self.task.options.search == "thorough" else PATIENCE
        while patience > 0 and self._steps_left(end) > 0:
            self.tried += 1
            moved = mover.moved(end.climb, again=patience < most)
            patience -= 1
            if moved is not None:
                higher = self._settled(moved, end, mover)
                end, patience = replace(end, climb=higher, moves=end.moves + 1), most
                self.taken += 1
                self.ends.append(end)

    def _settled(self, moved: Climb, end: End, mover: Mover) -> Climb:
        """After a move: some steps on, and the history of a path that only rises."""
        before = end.climb.history[:, end.climb.history[0] < moved.reached[0]]
        climb = Climb(moved.state, torch.cat([before, moved.history[:, -1:]], 1))
        steps = min(SETTLING, self._steps_left(replace(end, climb=climb)))
        return climbed(self.ascent, climb, steps, mover.small)

    def _steps_left(self, end: End) -> int:
        return max(0, self.task.options.max_steps - end.climb.history.shape[1] + 1)

    def _mover(self) -> Mover:
        few = self.sample.n * self.task.model.n_components <= FEW
        effort = Effort.of_few() if few else Effort.of_many()
        generator = torch.Generator().manual_seed(Stream.MOVES.seed(self.task.options.seed))
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
        solutions = [Solution(bound, True, first.times, first.moves)]
        solutions += [Solution(end.bound, True, end.times, end.moves) for end in others]
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
    search = Search(task, replace(whole, observations=_sample(task)))
    search.run()
    state, history = _best_of_all(search, whole)
    limit = 0 if search.interrupted else max(0, options.max_steps - len(history))
    if size is None or size >= observations.n:
        run = _run_on(task, whole.step, state, limit, bar)
        found = Highest(run.state.factors, run.state.statistics.counts)
    else:
        batches = Batches.of(whole, size, task.generator(Stream.JUDGES))
        by_parts = _run_on(task, batches.passed, batches.begun(state.factors), limit, bar)
        found = Highest(by_parts.state.factors, by_parts.state.total.counts)
        run = by_parts
    status = Status.INTERRUPTED if search.interrupted else run.status
    values = history + run.history
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
