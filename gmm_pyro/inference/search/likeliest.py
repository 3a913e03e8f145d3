"""The search for the likeliest mixture: starts, moves, and all ends that it has come to.

More effort adds to what is compared, and takes nothing away. Starts come in tens. The best of each
ten runs on to convergence, and moves begin there, with random numbers of their own; what a ten
comes to depends on none that follow, nor what its starts come to on the moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ...covariance import Parameters
from ...data.points import Observations
from ...running.seeds import Stream
from ..expectation import Climb, climbed, expect_at
from ..searched import Searched, Solution
from ..soundness import Soundness
from ..starts.starting import is_given, sample_of, starting_parameters
from ..task import Options, Task
from .ends import End, Finals, Finish, best_first, ends_of
from .moves import FEW, SETTLING, Effort, Mover
from .screening import ALL, PATIENT, SAME, SCREENING, headings, promising, screened, started

LEAGUE = 10  # starts that are screened together, of which the best goes on to move
ALIKE = 1e-4  # nats a point: solutions that are closer are told as one
MANY = 50_000  # points times components, from which on moves begin at the best start alone
PATIENCE = 3  # moves in a row that gain nothing; one that is far from it counts twice
AGREED, LAST = 2, 20  # the same where all starts have come to one solution, and at last
GAINED = 4  # the same, at least, once a move has gained
MOST_MOVES = 200  # from one start
FINALISTS = 4  # ends of ten starts on a sample that are compared on all of the data
THOROUGH = 10  # times as many starts, and then moves from the best until many have failed


@dataclass(eq=False)
class Search:
    """A search, and what it has come to.

    Attributes:
        task: the task.
        sample: the points that it goes by: all, or some of very many.
        rule: what is sound.
        finals: the ends by all of the data.
        ends: those on the sample, in the order in which they were found; the same, if it is all.
        starts: how many it began with.
        tried: how many moves it tried.
        taken: how many of them led on.
        interrupted: whether it was stopped.
        spent: log-likelihoods from which moves have failed, and with how much patience.
    """

    task: Task[Options]
    sample: Observations
    rule: Soundness
    finals: Finals
    ends: list[End] = field(default_factory=list)
    starts: int = 0
    tried: int = 0
    taken: int = 0
    interrupted: bool = False
    spent: list[tuple[float, int]] = field(default_factory=list)

    @property
    def gap(self) -> float:
        """Nats by which two solutions differ."""
        return SAME * self.sample.total_weight

    @property
    def goes_by_all(self) -> bool:
        """Whether its log-likelihoods are those of all points."""
        return self.ends is self.finals.ends

    @property
    def is_small(self) -> bool:
        """Whether many sets at a time take no longer than one."""
        return self.sample.n * self.task.model.n_components <= FEW

    @property
    def best(self) -> End:
        """The best of the ends that have run on; after an interrupt, of all."""
        best = None if self.interrupted else self.finals.best
        return best or max(self.finals.ends or self.ends, key=lambda end: end.reached)

    def best_first(self) -> list[End]:
        """The different ends on the sample: sound first, of these the likeliest first."""
        return best_first(self.ends, self.gap)

    def figures(self) -> Searched:
        """What there is to tell of it."""
        by_all = bool(self.finals.ends)
        points = self.task.observations if by_all else self.sample
        ends = best_first(self.finals.ends if by_all else self.ends, ALIKE * points.total_weight)
        solutions = (Solution(end.log_likelihood, end.sound, end.times, end.moves) for end in ends)
        return Searched(points.n, self.starts, self.tried, self.taken, tuple(solutions))

    def run(self) -> None:
        """Search with as much effort as the options say, or until an interrupt."""
        try:
            if is_given(self.task.options.start):
                self._begin_as_given()
            else:
                self._begin()
            self.finals.run_on_unless_sound()
        except KeyboardInterrupt:
            if not self.ends:
                raise
            self.interrupted = True

    def _begin_as_given(self) -> None:
        start = started(self.task, self.sample, self.task.generator(Stream.SEARCH), range(1))
        self.starts = 1
        climb = Climb.begun(expect_at(self.task, start, self.sample))
        self._note(ends_of(climb, self.rule, self.sample, [1], [0]))

    def _begin(self) -> None:
        options = self.task.options
        n_starts = options.n_starts if self.task.model.n_components > 1 else 1
        self._leagues(range(n_starts))
        if options.search == "thorough" and n_starts > 1:
            self._leagues(range(n_starts, THOROUGH * n_starts))
            found = len(self.ends)
            self._move(self.best_first()[0], self._mover(-1, LAST))
            self._compare(self.ends[found:])

    def _leagues(self, numbers: range) -> None:
        """Screen starts, ten at a time, and move from the best of each ten and from the first."""
        generator = self.task.generator(Stream.SEARCH)
        for first in range(numbers.start, numbers.stop, LEAGUE):
            league, found = range(first, min(first + LEAGUE, numbers.stop)), len(self.ends)
            starts = started(self.task, self.sample, generator, league)
            young = self._screen(starts)
            if self.task.options.search != "starts" and self.starts > 1:
                old = self.ends[found:]
                agreed = old[0].times == len(starts.means)
                best = max(old, key=lambda end: end.rank)
                self._move(best, self._mover(2 * first, AGREED if agreed else PATIENCE))
                other = self._mover(2 * first + 1, PATIENCE)
                few = self.sample.n * self.task.model.n_components <= MANY
                if few and not self._has_failed(old[0], other):
                    self._move(young, other)
            self._compare(self.ends[found:])

    def _screen(self, starts: Parameters) -> End:
        """Screen starts, and run the best on; returns where the first is before that.

        Moves that begin on the way up lead to other solutions than those from its end.
        """
        rounds = PATIENT if self.is_small else SCREENING
        self.starts += len(starts.means)
        left = screened(
            self.task, self.sample, self.rule, starts, rounds if self.starts > 1 else ()
        )
        none = [0] * len(left.times)
        ends = ends_of(left.climb, self.rule, self.sample, left.times, none)
        first = ends[0]
        if self.finals.finish is not None and self.is_small and len(ends) > 1:
            self._run_on(left.climb, ends)
        self._note(ends)
        return first

    def _note(self, ends: list[End]) -> None:
        """Keep ends, and run the best of them on if they are by all of the data."""
        self.ends += ends
        if self.goes_by_all:
            self.finals.run_on_best(ends)

    def _run_on(self, climb: Climb, ends: list[End]) -> None:
        """Take ends on, side by side, until it is clear which is the likeliest."""
        left = self.task.options.max_steps - climb.history.shape[1] + 1
        numbers = list(range(len(ends)))
        while left > 0 and (stay := self._open(climb, ends)):
            numbers, steps = [numbers[i] for i in stay], min(left, SETTLING)
            climb = climbed(self.task, climb[stay], self.sample, steps, 0.1 * self.gap)
            left -= steps
            times, none = [ends[i].times for i in numbers], [0] * len(numbers)
            now = ends_of(climb, self.rule, self.sample, times, none)
            for i, end in zip(numbers, now, strict=True):
                ends[i] = end

    def _open(self, climb: Climb, ends: list[End]) -> list[int]:
        """The sets that still gain, and may come to be the likeliest of all ends."""
        best = max(ends, key=lambda end: end.rank).reached[1]
        going = (climb.ceiling > best + self.gap) & (climb.last_gain > 0.1 * self.gap)
        alone = promising([(True, value) for value in headings(climb)], ALL, self.gap, climb)
        return [i for i in alone if going[i]]

    def _mover(self, stream: int, patience: int) -> Mover:
        """Moves with random numbers of their own: of a league, or at last."""
        effort = Effort.of_few() if self.is_small else Effort.of_many()
        effort = Effort.thorough() if stream < 0 else effort
        seed = Stream.MOVES.seed(self.task.options.seed) + 7_919 * (stream + 1)
        generator = torch.Generator().manual_seed(seed % 2**63)
        return Mover(self.task, self.sample, self.rule, effort, patience, generator)

    def _move(self, begun: End, mover: Mover) -> None:
        """Move for as long as it gains, unless moves from there have failed before."""
        end, patience = begun, mover.patience
        try:
            while patience > 0 and not self._is_done(end, begun, mover):
                self.tried += 1
                move = mover.moved(end.climb, end.rank)
                patience -= move.cost
                settled = None if move.climb is None else self._settled(move.climb, end, mover)
                if settled is not None and settled.rank > end.rank:
                    end, patience = settled, max(mover.patience, GAINED)
            if not patience > 0:
                self.spent.append((end.log_likelihood, mover.patience))
        except KeyboardInterrupt:
            self.ends += [end] if end is not begun else []
            raise
        self.taken += end.moves - begun.moves
        if end is not begun:
            self._note([end])

    def _settled(self, climb: Climb, end: End, mover: Mover) -> End:
        """After a move; what is sound may come to be unsound as it settles."""
        settled = mover.settled(climb)
        return ends_of(settled, self.rule, self.sample, [1], [end.moves + 1])[0]

    def _is_done(self, end: End, begun: End, mover: Mover) -> bool:
        """Whether no more moves follow."""
        enough = end.moves - begun.moves == MOST_MOVES or not mover.steps_left(end.climb)
        return enough or self._has_failed(end, mover)

    def _has_failed(self, end: End, mover: Mover) -> bool:
        """Whether moves from there have failed before, with as much effort."""
        value, patience = end.log_likelihood, mover.patience
        return any(abs(value - v) <= self.gap and p >= patience for v, p in self.spent)

    def _compare(self, ends: list[End]) -> None:
        """Of ends on a sample, have those go on on all of the data that may be the likeliest."""
        if self.goes_by_all or self.finals.finish is None:
            return
        own = [end.climb for end in ends]
        some = [end for end in self.best_first() if end.climb in own and self._is_close(end)]
        if some:
            self.finals.take(some[:FINALISTS])

    def _is_close(self, end: End) -> bool:
        """Whether what it is heading for is not far below what the best has reached.

        The likelihood of a sample is too high by about half a nat for each parameter.
        """
        best = max(self.ends, key=lambda end: end.reached)
        model = self.task.model
        optimism = model.family.n_parameters(model.n_components, self.sample.d) / self.sample.n
        least = best.reached[1] - optimism * self.sample.total_weight
        return end.sound == best.sound and end.log_likelihood >= least


def searched(task: Task[Options], finish: Finish | None = None) -> Search:
    """Search for the likeliest mixture of a task; a start that is given is the only end.

    Args:
        task: the task.
        finish: runs a climb on to convergence, as the best of each ten starts is before moves
            begin there, and the best at last. Without it, all ends are left as they are.
    """
    sample = task.observations
    if not is_given(task.options.start):
        sample = sample_of(sample, task.model.n_components, task.generator(Stream.SEARCH))
    finals = Finals(task, Soundness.for_task(task), finish)
    ends = finals.ends if sample is task.observations else []
    found = Search(task, sample, Soundness.for_task(task, sample), finals, ends)
    found.run()
    return found


def likeliest_start(task: Task[Options]) -> Parameters:
    """The likeliest of the starts as they are drawn, or the one that is given."""
    observations, generator = task.observations, task.generator(Stream.SEARCH)
    if not is_given(task.options.start):
        observations = sample_of(observations, task.model.n_components, generator)
    starts = starting_parameters(
        task.options.start,
        observations,
        task.model.family,
        task.model.n_components,
        n_starts=task.options.n_starts,
        floor=task.floor,
        generator=generator,
        fixed=task.model.fixed,
    )
    values = expect_at(task, starts, observations).log_likelihood.nan_to_num(nan=-torch.inf)
    return starts[[int(values.argmax())]]
