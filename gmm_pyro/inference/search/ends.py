"""Where the parts of a search have ended, which of these ends differ, and which is the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ...covariance import Parameters
from ...data.points import Observations
from ..diagnosis import is_sound
from ..expectation import Climb, Expectation, climbed, expect_at
from ..soundness import Soundness
from ..task import Options, Run, Status, Task
from .screening import SAME, Rank, is_same, ranks

FINAL_STEPS = 5  # of EM on all of the data that the ends on a sample take, to be compared

Finish = Callable[[Climb], Run[Expectation]]  # a climb on all of the data, run to convergence


@dataclass(frozen=True, eq=False)
class End:
    """Where a part of the search has ended.

    Attributes:
        climb: one set, and the log-likelihoods that led there.
        log_likelihood: what it is heading for, in nats.
        sound: whether it is.
        times: how many starts have led there, or moves from one.
        moves: how many led there from a start: 0 if none was needed.
        run: the climb run on to convergence, if it was.
    """

    climb: Climb
    log_likelihood: float
    sound: bool
    times: int
    moves: int
    run: Run[Expectation] | None = None

    @property
    def rank(self) -> Rank:
        """What is better is larger."""
        return self.sound, self.log_likelihood

    @property
    def reached(self) -> Rank:
        """The same of where it is, whatever is ahead."""
        return self.sound, float(self.climb.reached)


def ends_of(
    climb: Climb, rule: Soundness, points: Observations, times: list[int], moves: list[int]
) -> list[End]:
    """Where each set of a climb is."""
    ranked = ranks(climb, rule, points)
    return [
        End(climb[[i]], value, sound, times[i], moves[i]) for i, (sound, value) in enumerate(ranked)
    ]


def best_first(ends: list[End], gap: float) -> list[End]:
    """Ends that differ by more than so many nats: sound first, of these the likeliest first.

    Of ends that are the same, the first that was found stays, however many follow, unless another
    of them was run on to convergence.
    """
    kept: list[End] = []
    for end in ends:
        for i, other in enumerate(kept):
            if is_same(other.rank, end.rank, gap):
                stays = end if end.run is not None and other.run is None else other
                kept[i] = replace(stays, times=other.times + end.times)
                break
        else:
            kept.append(end)
    return sorted(kept, key=lambda end: end.rank, reverse=True)


@dataclass(eq=False)
class Finals:
    """The ends of a search by all of the data, of which the best run on to convergence.

    Attributes:
        task: the task.
        rule: what is sound.
        finish: runs a climb on to convergence; None leaves all as they are.
        ends: in the order in which they were found.
    """

    task: Task[Options]
    rule: Soundness
    finish: Finish | None
    ends: list[End] = field(default_factory=list)

    @property
    def gap(self) -> float:
        """Nats by which two solutions differ."""
        return SAME * self.task.observations.total_weight

    @property
    def best(self) -> End | None:
        """The best that has run on."""
        finished = [end for end in self.ends if end.run is not None]
        return max(finished, key=lambda end: end.rank, default=None)

    def take(self, ends: list[End]) -> None:
        """Ends on a part of the data go on for a few steps on all of it, and the best run on."""
        points, left = self.task.observations, self.task.options.max_steps
        left -= max(end.climb.history.shape[1] - 1 for end in ends)
        parameters = Parameters.joined([end.climb.state.parameters for end in ends])
        climb = Climb.begun(expect_at(self.task, parameters, points))
        climb = climbed(self.task, climb, points, max(0, min(left, FINAL_STEPS)), 0.1 * self.gap)
        times, moves = [end.times for end in ends], [end.moves for end in ends]
        now = ends_of(climb, self.rule, points, times, moves)
        self.ends += now
        self.run_on_best(now)

    def run_on_best(self, ends: list[End]) -> None:
        """Run those on that may be better than all that have run on, the likeliest first."""
        for end in sorted(ends, key=lambda end: end.rank, reverse=True):
            best = self.best
            if best is None or end.rank > (best.sound, best.log_likelihood + self.gap):
                self._run_on(end)

    def run_on_unless_sound(self) -> None:
        """Run all on, the likeliest first, until one is sound."""
        for end in sorted(self.ends, key=lambda end: end.rank, reverse=True):
            if self.best is None or self.best.sound:
                return
            finished = [other.rank for other in self.ends if other.run is not None]
            if not any(is_same(end.rank, other, self.gap) for other in finished):
                self._run_on(end)

    def _run_on(self, end: End) -> None:
        if self.finish is None:
            return
        run = self.finish(end.climb)
        climb = Climb(run.state, end.climb.history.new_tensor([run.history]))
        sound = is_sound(self.task, run.state.parameters)
        done = replace(end, climb=climb, log_likelihood=run.history[-1], sound=sound, run=run)
        self.ends[self.ends.index(end)] = done
        if run.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
