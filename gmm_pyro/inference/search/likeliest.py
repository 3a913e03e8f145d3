"""The search for the likeliest mixture: starts, moves, and all ends that it has come to.

More effort adds to what is compared. Moves begin at the best of the first ten starts, of the
second ten and so on, each with random numbers of their own, and neither they nor what is left of
the starts depend on how many more there are. Fewer than ten starts go to their ends as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from ...covariance import Parameters
from ...data.points import Observations
from ...running.seeds import Stream
from ..expectation import Climb, climbed, expect_at
from ..searched import Searched, Solution
from ..soundness import Soundness
from ..starts.starting import is_given, sample_of, starting_parameters
from ..task import Options, Task
from .moves import FEW, SETTLING, Effort, Mover
from .screening import (
    ALL,
    PATIENT,
    SAME,
    SCREENING,
    Screened,
    promise,
    promising,
    screened,
    started,
)

LEAGUE = 10  # starts that are screened together, of which the best goes on to move
ALIKE = 1e-4  # nats a point: solutions that are closer are told as one
MOST_MOVES = 200  # from one start
FINALISTS = 4  # ends that are compared on all of the data
FINAL_STEPS = 5  # of EM that they take there
THOROUGH = 5  # times as many starts, and then moves from the best until many have failed


@dataclass(frozen=True, eq=False)
class End:
    """Where a part of the search has ended.

    Attributes:
        climb: one set, and the log-likelihoods that led there.
        log_likelihood: what it is heading for, in nats.
        sound: whether it is.
        times: how many starts have led there, or moves from one.
        moves: how many led there from a start: 0 if none was needed.
    """

    climb: Climb
    log_likelihood: float
    sound: bool
    times: int
    moves: int

    @property
    def rank(self) -> tuple[bool, float]:
        """What is better is larger."""
        return self.sound, self.log_likelihood


@dataclass(eq=False)
class Search:
    """A search, and what it has come to.

    Attributes:
        task: the task.
        sample: the points that it goes by: all, or some of very many.
        rule: what is sound.
        ends: in the order in which they were found.
        starts: how many it began with.
        tried: how many moves it tried.
        taken: how many of them led on.
        interrupted: whether it was stopped.
        spent: log-likelihoods from which moves have failed, and with how much patience.
    """

    task: Task[Options]
    sample: Observations
    rule: Soundness
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
        return self.sample is self.task.observations

    @property
    def is_small(self) -> bool:
        """Whether many sets at a time take no longer than one."""
        return self.sample.n * self.task.model.n_components <= FEW

    def best_first(self, gap: float = SAME) -> list[End]:
        """Ends that differ by so many nats a point: sound first, of these the likeliest first.

        Of ends that are the same, the first that was found stays, however many follow.
        """
        kept: list[End] = []
        near = gap * self.sample.total_weight
        for end in self.ends:
            for i, other in enumerate(kept):
                close = abs(other.log_likelihood - end.log_likelihood) <= near
                if other.sound == end.sound and close:
                    kept[i] = replace(other, times=other.times + end.times)
                    break
            else:
                kept.append(end)
        return sorted(kept, key=lambda end: end.rank, reverse=True)

    def finalists(self) -> Search:
        """The search of all of the data that goes on with the ends that may be the likeliest."""
        task, ends = self.task, self.best_first()
        whole = replace(self, sample=task.observations, rule=Soundness.for_task(task), ends=[])
        if self.interrupted:
            ends = [max(ends, key=lambda end: (end.sound, float(end.climb.reached)))]
        elif not self.is_small:
            ends = [end for end in ends if self._is_close(end, ends)][:FINALISTS]
        parameters = Parameters.joined([end.climb.state.parameters for end in ends])
        climb = Climb.begun(expect_at(task, parameters, whole.sample))
        spent = max(end.climb.history.shape[1] - 1 for end in ends)
        left = max(0, task.options.max_steps - spent)
        for end, now in zip(ends, whole._run_on(climb, left), strict=True):
            before = end.climb.history[:, : -1 if self.goes_by_all else 0]
            history = torch.cat([before, now.history], 1)
            whole._note(Screened(Climb(now.state, history), [end.times]), end.moves)
        return whole

    def _run_on(self, climb: Climb, left: int) -> list[Climb]:
        """Where each set comes to until it is clear which is the likeliest, or for a few steps."""
        ends, numbers = [climb[[i]] for i in range(len(climb))], list(range(len(climb)))
        legs = -(-left // SETTLING) if self.is_small else 1
        steps = SETTLING if self.is_small else FINAL_STEPS
        for _ in range(legs if len(ends) > 1 else 0):
            climb = climbed(self.task, climb, self.sample, min(left, steps), 0.1 * self.gap)
            left -= steps
            for place, i in enumerate(numbers):
                ends[i] = climb[[place]]
            stay = self._open(climb, ends)
            if not stay:
                break
            climb, numbers = climb[stay], [numbers[i] for i in stay]
        return ends

    def _open(self, climb: Climb, ends: list[Climb]) -> list[int]:
        """The sets that still gain, and may come to be the likeliest of all ends."""
        values = torch.stack([promise(end, self.rule, self.sample)[0] for end in ends])
        best = ends[int(values.argmax())].reached
        going = (climb.ceiling > best + self.gap) & (climb.last_gain > 0.1 * self.gap)
        alone = promising(climb.heading, ALL, self.gap, climb)
        return [i for i in alone if going[i]]

    def _is_close(self, end: End, ends: list[End]) -> bool:
        """Whether what it is heading for is not far below what the best has reached.

        The likelihood of a sample is too high by about half a nat for each parameter.
        """
        if end.sound != ends[0].sound:
            return False
        reached = max(float(e.climb.reached) for e in ends if e.sound == end.sound)
        model = self.task.model
        optimism = model.family.n_parameters(model.n_components, self.sample.d) / self.sample.n
        return end.log_likelihood >= reached - optimism * self.sample.total_weight

    def figures(self) -> Searched:
        """What there is to tell of it."""
        solutions = (
            Solution(end.log_likelihood, end.sound, end.times, end.moves)
            for end in self.best_first(ALIKE)
        )
        return Searched(self.sample.n, self.starts, self.tried, self.taken, tuple(solutions))

    def run(self) -> None:
        """Search with as much effort as the options say, or until an interrupt."""
        options = self.task.options
        try:
            if is_given(options.start):
                self._begin_as_given()
                return
            self._leagues(range(options.n_starts))
            if options.search == "thorough":
                self._leagues(range(options.n_starts, THOROUGH * options.n_starts))
                self._move(self.best_first()[0].climb, self._mover(-1))
        except KeyboardInterrupt:
            if not self.ends:
                raise
            self.interrupted = True

    def _begin_as_given(self) -> None:
        start = started(self.task, self.sample, self.task.generator(Stream.SEARCH), range(1))
        self.starts = 1
        self._note(Screened(Climb.begun(expect_at(self.task, start, self.sample)), [1]), 0)

    def _leagues(self, numbers: range) -> None:
        """Screen starts, ten at a time, and move from the best of each ten."""
        generator = self.task.generator(Stream.SEARCH)
        for first in range(numbers.start, numbers.stop, LEAGUE):
            league = range(first, min(first + LEAGUE, numbers.stop))
            starts = started(self.task, self.sample, generator, league)
            self.starts += len(starts.means)
            rounds = PATIENT if self.is_small else SCREENING
            rounds = rounds if self.task.options.n_starts > 1 else ()
            left = screened(self.task, self.sample, self.rule, starts, rounds)
            self._note(left, 0)
            moves = self.task.options.search != "starts" and self.task.model.n_components > 1
            if moves and len(league) == LEAGUE:
                best = int(promise(left.climb, self.rule, self.sample).argmax())
                self._move(left.climb[[best]], self._mover(2 * first))
                self._move(left.climb[[0]], self._mover(2 * first + 1))

    def _mover(self, stream: int) -> Mover:
        """Moves with random numbers of their own: of a league, or at last."""
        effort = Effort.of_few() if self.is_small else Effort.of_many()
        effort = Effort.thorough() if stream < 0 else effort
        seed = Stream.MOVES.seed(self.task.options.seed) + 7_919 * (stream + 1)
        return Mover(
            self.task,
            self.sample,
            self.rule,
            effort,
            torch.Generator().manual_seed(seed % 2**63),
        )

    def _note(self, some: Screened, moves: int) -> None:
        sound = self.rule.of(some.climb.state.theta, self.sample).tolist()
        values = some.climb.heading.nan_to_num(nan=-torch.inf).tolist()
        self.ends += [
            End(some.climb[[i]], values[i], sound[i], some.times[i], moves)
            for i in range(len(sound))
        ]

    def _move(self, climb: Climb, mover: Mover) -> None:
        """Move for as long as it gains, unless moves from there have failed before."""
        patience, moves = mover.effort.patience, 0
        try:
            while patience > 0 and moves < MOST_MOVES and mover.steps_left(climb):
                if self._been_at(climb, mover):
                    return
                self.tried += 1
                move = mover.moved(climb)
                patience -= move.cost
                settled = None if move.climb is None else mover.settled(move.climb)
                if settled is not None and self._is_better(settled, climb):
                    climb, moves, patience = settled, moves + 1, mover.effort.patience
            self.spent.append((float(climb.heading), mover.effort.patience))
        finally:
            if moves:
                self._note(Screened(climb, [1]), moves)
            self.taken += moves

    def _is_better(self, one: Climb, other: Climb) -> bool:
        """What is sound after a move may come to be unsound as it settles."""
        values = [float(promise(climb, self.rule, self.sample)) for climb in (one, other)]
        return values[0] > values[1]

    def _been_at(self, climb: Climb, mover: Mover) -> bool:
        """Whether moves from there have failed before, with as much effort."""
        value = float(climb.heading)
        return any(abs(value - v) <= self.gap and p >= mover.effort.patience for v, p in self.spent)


def searched(task: Task[Options]) -> Search:
    """Search for the likeliest mixture of a task; a start that is given is the only end."""
    sample = task.observations
    if not is_given(task.options.start):
        sample = sample_of(sample, task.model.n_components, task.generator(Stream.SEARCH))
    found = Search(task, sample, Soundness.for_task(task, sample))
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
    )
    values = expect_at(task, starts, observations).log_likelihood.nan_to_num(nan=-torch.inf)
    return starts[[int(values.argmax())]]
