"""The search for the likeliest mixture: starts, moves, and all ends that it has come to.

More effort only adds to what is compared. The moves from the first start, those from the best of
the first ten, from the best of the second ten and so on have random numbers of their own, and
neither they nor what is left of the starts depend on how many more there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ...covariance import Parameters
from ...data.points import Observations
from ...running.seeds import Stream
from ..expectation import Climb, expect_at
from ..soundness import Soundness
from ..starts.starting import is_given, sample_of
from ..task import Options, Task
from .moves import Effort, Mover
from .screening import SAME, promise, screened, started

LEAGUE = 10  # starts that are screened together, of which the best goes on to move
THOROUGH = 5  # times as many starts, and then moves from the best until many have failed


@dataclass(frozen=True, eq=False)
class End:
    """Where a part of the search has ended.

    Attributes:
        climb: one set, and the log-likelihoods that led there.
        promise: what it is heading for, in nats; far less if it is not sound.
        moves: how many led there from a start.
    """

    climb: Climb
    promise: float
    moves: int


@dataclass(eq=False)
class Search:
    """What a search has come to.

    Attributes:
        task: the task.
        sample: the points that it goes by: all, or some of very many.
        rule: what is sound.
        ends: in the order in which they were found.
        starts: how many it began with.
        tried: how many moves it tried.
        interrupted: whether it was stopped.
    """

    task: Task[Options]
    sample: Observations
    rule: Soundness
    ends: list[End] = field(default_factory=list)
    starts: int = 0
    tried: int = 0
    interrupted: bool = False

    @property
    def gap(self) -> float:
        """Nats by which two solutions differ."""
        return SAME * self.sample.total_weight

    def best_first(self) -> list[End]:
        """Ends that differ: sound ones first, and of these the likeliest first."""
        kept: list[End] = []
        for end in sorted(self.ends, key=lambda end: -end.promise):
            if not kept or kept[-1].promise - end.promise > self.gap:
                kept.append(end)
        return kept

    def run(self) -> None:
        """Search with as much effort as the options say, or until an interrupt."""
        options = self.task.options
        try:
            if is_given(options.start):
                generator = self.task.generator(Stream.SEARCH)
                start = started(self.task, self.sample, generator, range(1))
                self._note(Climb.begun(expect_at(self.task, start, self.sample)), 0)
                return
            self._leagues(range(options.n_starts))
            if options.search == "thorough":
                self._leagues(range(options.n_starts, THOROUGH * options.n_starts))
                self._move(self.best_first()[0].climb, self._mover(-1, thorough=True))
        except KeyboardInterrupt:
            if not self.ends:
                raise
            self.interrupted = True

    def _leagues(self, numbers: range) -> None:
        generator = self.task.generator(Stream.SEARCH)
        for first in range(numbers.start, numbers.stop, LEAGUE):
            league = range(first, min(first + LEAGUE, numbers.stop))
            starts = started(self.task, self.sample, generator, league)
            self.starts += len(starts.means)
            mover = self._mover(1 + first)
            climb = mover.settled(screened(self.task, self.sample, self.rule, starts))
            self._note(climb, 0)
            if self.task.options.search == "starts":
                continue
            if first == 0:
                self._move(climb[[0]], self._mover(0))
            if len(league) == LEAGUE:
                self._move(climb[[int(promise(climb, self.rule, self.sample).argmax())]], mover)

    def _mover(self, stream: int, *, thorough: bool = False) -> Mover:
        seed = Stream.MOVES.seed(self.task.options.seed) + 7_919 * stream
        size = self.sample.n * self.task.model.n_components
        return Mover(
            self.task,
            self.sample,
            self.rule,
            Effort.for_size(size, thorough=thorough),
            torch.Generator().manual_seed(seed % 2**63),
        )

    def _note(self, climb: Climb, moves: int) -> None:
        values = promise(climb, self.rule, self.sample).tolist()
        self.ends += [End(climb[[i]], value, moves) for i, value in enumerate(values)]

    def _move(self, climb: Climb, mover: Mover) -> None:
        """Move for as long as it gains, unless the search has been there before."""
        if self.task.model.n_components == 1:
            return
        failures = moves = 0
        while (
            failures < mover.effort.failures
            and climb.history.shape[1] <= self.task.options.max_steps
        ):
            if self._been_at(climb, mover):
                return
            self.tried += 1
            better = mover.moved(climb)
            if better is None:
                failures += 1
                continue
            climb, failures, moves = mover.settled(better), 0, moves + 1
            self._note(climb, moves)
        self._spent.append((float(climb.heading), mover.effort.failures))

    _spent: list[tuple[float, int]] = field(default_factory=list)

    def _been_at(self, climb: Climb, mover: Mover) -> bool:
        """Whether moves from there have failed before, with as much effort."""
        value = float(climb.heading)
        return any(
            abs(value - v) <= self.gap and f >= mover.effort.failures for v, f in self._spent
        )


def searched(task: Task[Options]) -> Search:
    """Search for the likeliest mixture of a task; a start that is given is the only end."""
    options, k = task.options, task.model.n_components
    if is_given(options.start):
        sample = task.observations
    else:
        sample = sample_of(task.observations, k, task.generator(Stream.SEARCH))
    # a start that is given leaves nothing to search for
    found = Search(task, sample, Soundness.for_task(task, sample))
    found.run()
    return found


def likeliest_start(task: Task[Options]) -> Parameters:
    """The likeliest of the starts as they are drawn, or the one that is given."""
    observations, generator = task.observations, task.generator(Stream.SEARCH)
    if not is_given(task.options.start):
        observations = sample_of(observations, task.model.n_components, generator)
    starts = started(task, observations, generator, range(task.options.n_starts))
    values = expect_at(task, starts, observations).log_likelihood.nan_to_num(nan=-torch.inf)
    return starts[[int(values.argmax())]]
