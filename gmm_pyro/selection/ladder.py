"""The likeliest mixtures of one family for a range of numbers of components, found together.

A number's solution may begin at a start of its own, at one of a family that this one contains, at
a split of a component of the next smaller solution or a newcomer to it, or a merger of two of the
next larger one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters
from ..data.points import Observations
from ..inference.expectation import expect
from ..inference.search.insertion import insertions
from ..inference.soundness import Soundness
from ..inference.task import Options, Task
from ..reduction.theta import theta_of
from ..running.seeds import Stream
from .climbing import stalled
from .neighbours import mergers, splits
from .sizes import Sizes, rules_for, side_by_side

SAME = 1e-6  # nats a point: solutions that are closer are one
GAIN = 1e-5  # nats a point, the least that a neighbour's solution gains
SCREENING = ((5, 8), (10, 5), (15, 3))  # steps of EM, and how many sets of a number stay
TRYING = ((5, 3), (10, 2))  # the same for what neighbours suggest
CHASE = 150  # steps at most until it is clear which of a few is the best
AXES = 2  # along which components are split, of the few largest of a small mixture
MERGERS = 3  # of each solution
NEWCOMERS = 4  # that each solution is joined by, one at a time
ROUNDS = 6  # of splits and mergers, at most
CEILING = 20.0  # times the last gain of a step, more than which is seldom ahead
LEG = 10  # steps between two looks at what has converged


@dataclass(frozen=True, eq=False)
class Rung:
    """The best solution of one number of components.

    Attributes:
        parameters: a batch of one set.
        log_likelihood: in nats.
        sound: whether it is.
        converged: whether it has.
        steps: of EM that it has taken.
    """

    parameters: Parameters
    log_likelihood: float
    sound: bool
    converged: bool = False
    steps: int = 0

    @property
    def rank(self) -> tuple[bool, float]:
        """What is better is larger."""
        return self.sound, self.log_likelihood


@dataclass(eq=False)
class Ladder:
    """The solutions of one family, by their number of components.

    Attributes:
        task: the family, the data and EM's options; its number of components is of no account.
        points: all points, or some of very many.
        rungs: the best solutions so far.
    """

    task: Task[Options]
    points: Observations
    numbers: Sequence[int]
    rungs: dict[int, Rung] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.family = self.task.model.family
        self.rules: dict[int, Soundness] = rules_for(self.task, self.numbers)
        self.fresh = set[int]()  # numbers whose neighbours have not been tried from there

    @property
    def floor(self) -> Float[Tensor, "d"]:
        """Smallest variance of each feature."""
        return self.task.floor

    @property
    def gap(self) -> float:
        """Nats by which solutions differ."""
        return SAME * self.points.total_weight

    def climb(self, begun: Sizes) -> None:
        """Take starts up, fewer and fewer, and keep the best of every number."""
        self._keep(self._screened(begun, SCREENING))

    def exchange(self) -> None:
        """Try splits and mergers of solutions for as long as one of them gains."""
        for _ in range(ROUNDS):
            candidates = list(self._suggestions())
            self.fresh = set()
            if not candidates:
                return
            tried = self._screened(side_by_side(self.family, candidates, self.points), TRYING)
            self._keep(tried)

    def converge(self, points: Observations, tolerance: float, max_steps: int) -> None:
        """Take all solutions on until nothing is left to gain, or as long as they may."""
        numbers = sorted(self.rungs)
        mixtures = [self.rungs[k].parameters for k in numbers]
        going, steps = side_by_side(self.family, mixtures, points), 0
        least = tolerance * points.total_weight
        while len(going) and steps < max_steps:
            leg = min(LEG, max_steps - steps)
            going, steps = going.stepped(points, self.floor, leg), steps + leg
            values = going.climb.history
            values = torch.nn.functional.pad(values, (3 - values.shape[1], 0), value=torch.nan)
            done, lost = stalled(values, least).tolist(), (~values[:, -1].isfinite()).tolist()
            last = steps >= max_steps
            ended = [i for i in range(len(going)) if done[i] or lost[i] or last]
            if ended:
                self._end(going[ended], [done[i] for i in ended], points, steps)
                going = going[[i for i in range(len(going)) if i not in ended]]

    def _end(self, ended: Sizes, done: list[bool], points: Observations, steps: int) -> None:
        values, sound = ended.climb.reached.tolist(), ended.sound(self.rules, points)
        for i, k in enumerate(ended.numbers):
            before = self.rungs[k].steps
            self.rungs[k] = Rung(ended.parameters(i), values[i], sound[i], done[i], before + steps)

    def _screened(self, sizes: Sizes, rounds: Iterable[tuple[int, int]]) -> Sizes:
        for steps, most in rounds:
            sizes = sizes.stepped(self.points, self.floor, steps)
            sizes = sizes[self._leading(sizes, most)]
        return self._decided(sizes)

    def _decided(self, sizes: Sizes) -> Sizes:
        """Taken on for as long as several of a number may come to be its best."""
        for _ in range(CHASE // LEG):
            stay = self._open(sizes)
            if len(stay) == len(set(sizes.numbers)):
                break
            sizes = sizes[stay].stepped(self.points, self.floor, LEG)
        return sizes[self._leading(sizes, 1)]

    def _open(self, sizes: Sizes) -> list[int]:
        """The best of every number, and what may come to be better."""
        ranks, climb = self._ranks(sizes), sizes.climb
        reached = climb.reached.tolist()
        ceilings = (climb.reached + CEILING * climb.last_gain.clamp_min(0.0)).tolist()
        stay = []
        for k in sorted(set(sizes.numbers)):
            same = sizes.of(k)
            best = max(same, key=ranks.__getitem__)
            rung = self.rungs.get(k)
            least = reached[best] + self.gap if ranks[best][0] else -math.inf
            if rung is not None and rung.sound:
                least = max(least, rung.log_likelihood)
            stay += [i for i in same if i == best or ceilings[i] > least]
        return stay

    def _leading(self, sizes: Sizes, most: int) -> list[int]:
        """The best few different sets of every number, by where they are heading."""
        ranks = self._ranks(sizes)
        kept = []
        for k in sorted(set(sizes.numbers)):
            chosen: list[int] = []
            for i in sorted(sizes.of(k), key=ranks.__getitem__, reverse=True):
                new = all(abs(ranks[i][1] - ranks[j][1]) > self.gap for j in chosen)
                if len(chosen) < most and (new or not chosen) and math.isfinite(ranks[i][1]):
                    chosen.append(i)
            kept += chosen
        return kept

    def _ranks(self, sizes: Sizes) -> list[tuple[bool, float]]:
        heading = sizes.climb.heading.nan_to_num(nan=-torch.inf).tolist()
        return list(zip(sizes.sound(self.rules, self.points), heading, strict=True))

    def _joined_by_newcomers(self, p: Parameters, k: int) -> Parameters | None:
        state = expect(theta_of(self.family, p, self.points), self.points)
        generator = torch.Generator().manual_seed(Stream.MOVES.seed(self.task.options.seed) + k)
        return insertions(self.task, state, self.points, self.rules[k], generator, NEWCOMERS)

    def _keep(self, sizes: Sizes) -> None:
        """Take what is better than what there is."""
        ranks, reached = self._ranks(sizes), sizes.climb.reached.tolist()
        for i, k in enumerate(sizes.numbers):
            rung = self.rungs.get(k)
            better = rung is None or (ranks[i][0], reached[i]) > (
                rung.sound,
                rung.log_likelihood + GAIN * self.points.total_weight,
            )
            if better and math.isfinite(reached[i]):
                self.rungs[k] = Rung(sizes.parameters(i), reached[i], ranks[i][0])
                self.fresh.add(k)

    def _suggestions(self) -> Iterable[Parameters]:
        for k in sorted(self.fresh):
            p = self.rungs[k].parameters
            if k + 1 in self.numbers:
                yield splits(self.family, p, AXES if k <= 3 else 1)
                joined = self._joined_by_newcomers(p, k)
                if joined is not None:
                    yield joined
            if k - 1 in self.numbers and k > 1:
                yield mergers(self.family, p, MERGERS)
