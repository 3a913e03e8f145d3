"""The likeliest mixtures of one family for a range of numbers of components, found together.

A number's solution may begin at a start of its own, at one of a family that this one contains, at
a split of a component of the next smaller solution or a newcomer to it, or a merger of two of the
next larger one. All that is under way is one pool, which takes its steps as one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
from .climbing import STRIDE, Rule
from .neighbours import brought, mergers, splits
from .sizes import Sizes, rules_for, side_by_side
from .standing import CHASE, OLD, settled, standings, staying

SAME = 1e-6  # nats a point: solutions that are closer are one
GAIN = 1e-5  # nats a point, the least that a neighbour's solution gains
LEG = 5  # steps of EM between two looks at who is behind
AXES = 2  # along which components are split, of the few largest of a small mixture
MERGERS = 3  # of each solution
NEWCOMERS = 4  # that each solution is joined by, one at a time
FIRST = 2  # times at most that newcomers are tried
ROUNDS = 6  # times at most that a number's neighbours begin from it
RESERVES = 4  # solutions of a number that are kept until the best is known to be sound


@dataclass(frozen=True, eq=False)
class Rung:
    """A solution of one number of components.

    Attributes:
        parameters: a batch of one set.
        log_likelihood: in nats.
        sound: whether it is.
        ended: whether it has been taken on as far as it may.
        converged: whether it has converged.
    """

    parameters: Parameters
    log_likelihood: float
    sound: bool
    ended: bool = False
    converged: bool = False

    @property
    def rank(self) -> tuple[bool, float]:
        """What is better is larger."""
        return self.sound, self.log_likelihood


class Ladder:
    """The solutions of one family, by their number of components.

    Attributes:
        task: the family, the data and EM's options; its number of components is of no account.
        points: all points, or some of very many, which all is tried on.
        numbers: of components.
        within: ladders of families that this one contains.
        found: the best few solutions of every number, the best one first.
        ends: where the best has come to with all of the data.
    """

    def __init__(
        self,
        task: Task[Options],
        points: Observations,
        numbers: Sequence[int],
        within: Sequence[Ladder] = (),
    ) -> None:
        self.task, self.points, self.within = task, points, within
        self.family = task.model.family
        self.found: dict[int, list[Rung]] = {}
        self.ends: dict[int, Rung] = {}
        self._have(numbers)

    def _have(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self.rules: dict[int, Soundness] = rules_for(self.task, numbers)
        self.rounds = dict.fromkeys(numbers, 0)  # times that neighbours began from there

    @property
    def rungs(self) -> dict[int, Rung]:
        """The best solution of every number."""
        return {k: found[0] for k, found in sorted(self.found.items())}

    @property
    def floor(self) -> Float[Tensor, "d"]:
        """Smallest variance of each feature."""
        return self.task.floor

    # ------------------------------------------------------------------ the way up

    def climb(self, pool: Sizes) -> None:
        """Take starts up, fewer and fewer, and what the best of each number suggests beside them.

        A set stays in the pool for as long as it may come to be the best of its number.
        """
        rule = Rule(self.family, self.floor, 0.0, CHASE, leaps=True)
        while len(pool):
            is_young = bool((pool.ends.steps < OLD).any())
            pool = pool.stepped(self.points, rule, LEG if is_young else STRIDE)
            sound = pool.nearly_sound(self.rules, self.points)
            all_of_them = standings(pool.ends, pool.numbers, sound)
            best = {k: rung.log_likelihood for k, rung in self.rungs.items() if rung.sound}
            kept = staying(all_of_them, best, SAME * self.points.total_weight)
            done = settled(all_of_them, kept)
            better = self._kept(pool[done]) if done else []
            rest = pool[sorted(set(kept) - set(done))]
            new = [p for k in better for p in self._suggestions(k)]
            pool = Sizes.joined([rest, side_by_side(self.family, new)]) if new else rest

    def _kept(self, pool: Sizes) -> list[int]:
        """The numbers of which something better has come than there was."""
        values, sound = pool.ends.log_likelihood.tolist(), pool.sound(self.rules, self.points)
        better = []
        for i, k in enumerate(pool.numbers):
            new, known = Rung(pool.parameters(i), values[i], sound[i]), self.found.get(k)
            gain = GAIN * self.points.total_weight
            if known is None or new.rank > (known[0].sound, known[0].log_likelihood + gain):
                better.append(k)
            self._keep(k, new)
        return better

    def _keep(self, k: int, new: Rung) -> None:
        """Among the best few of its number."""
        found = [*self.found.get(k, []), new]
        self.found[k] = sorted(found, key=lambda rung: rung.rank, reverse=True)[:RESERVES]

    def converge(self, tolerance: float, max_steps: int) -> None:
        """Take the best of all numbers on until nothing is left to gain, or as long as they may.

        Where one comes to be unsound, the next best is taken on.
        """
        while going := {k: rung.parameters for k, rung in self.rungs.items() if not rung.ended}:
            for k, rung in self._taken_on(self.points, going, tolerance, max_steps).items():
                self.found[k] = _with_ended(self.found[k][1:], rung)

    def finish(self, points: Observations, tolerance: float, max_steps: int) -> None:
        """Take what has converged on some of the points on with all of them."""
        if points is self.points:
            self.ends = self.rungs
            return
        left = {k: list(found) for k, found in self.found.items()}
        while going := {k: found[0].parameters for k, found in left.items() if found}:
            for k, rung in self._taken_on(points, going, tolerance, max_steps).items():
                if k not in self.ends or rung.rank > self.ends[k].rank:
                    self.ends[k] = rung
                left[k] = [] if rung.sound else [one for one in left[k][1:] if one.sound]

    def _taken_on(
        self,
        points: Observations,
        mixtures: dict[int, Parameters],
        tolerance: float,
        max_steps: int,
    ) -> dict[int, Rung]:
        """Where mixtures of different numbers come to."""
        least = tolerance * points.total_weight
        rule = Rule(self.family, self.floor, least, max_steps, leaps=True)
        going, ends = side_by_side(self.family, list(mixtures.values())), dict[int, Rung]()
        taken = 0
        while len(going):
            steps = min(STRIDE, max_steps - taken)
            going, taken = going.stepped(points, rule, steps), taken + steps
            left = going.ends.left(rule).tolist()
            ends |= self._ended(going[[i for i, more in enumerate(left) if not more]], points)
            going = going[[i for i, more in enumerate(left) if more]]
        return ends

    def _ended(self, ended: Sizes, points: Observations) -> dict[int, Rung]:
        if not len(ended):
            return {}
        values = ended.ends.log_likelihood.nan_to_num(nan=-math.inf).tolist()
        done, sound = ended.ends.converged.tolist(), ended.sound(self.rules, points)
        return {
            k: Rung(ended.parameters(i), values[i], sound[i], ended=True, converged=done[i])
            for i, k in enumerate(ended.numbers)
        }

    # ------------------------------------------------------------------ what neighbours suggest

    def from_within(self) -> list[Parameters]:
        """The solutions of the families within, as of this one."""
        return [
            brought(self.family, other.family, rung.parameters)
            for other in self.within
            for rung in other.rungs.values()
        ]

    def _suggestions(self, k: int) -> Iterable[Parameters]:
        if self.rounds[k] >= ROUNDS:
            return
        self.rounds[k] += 1
        p = self.rungs[k].parameters
        if k + 1 in self.numbers:
            yield from self._of_one_more(k, with_newcomers=self.rounds[k] <= FIRST)
        if k - 1 in self.numbers and k > 1:
            yield mergers(self.family, p, MERGERS)

    def _of_one_more(self, k: int, *, with_newcomers: bool) -> Iterable[Parameters]:
        p = self.rungs[k].parameters
        yield splits(self.family, p, AXES if k <= 3 else 1)
        joined = self._joined_by_newcomers(p, k) if with_newcomers else None
        if joined is not None:
            yield joined

    def _joined_by_newcomers(self, p: Parameters, k: int) -> Parameters | None:
        state = expect(theta_of(self.family, p, self.points), self.points)
        generator = torch.Generator().manual_seed(Stream.MOVES.seed(self.task.options.seed) + k)
        return insertions(self.task, state, self.points, self.rules[k], generator, NEWCOMERS)

    # ------------------------------------------------------------------ what should not be

    def widened(self) -> bool:
        """Whether something below a number without a sound solution was not asked for.

        It is a step on the way there, and is now one of the numbers.
        """
        without = [k for k in self.numbers if k not in self.rungs or not self.rungs[k].sound]
        below = set(range(1, max(without, default=0))) - set(self.numbers)
        if below:
            self._have(sorted({*self.numbers, *below}))
        return bool(below)

    def outdone(self, k: int) -> bool:
        """Whether a solution of fewer components, or of a family within, is likelier in the end."""
        rivals = [self.ends.get(k - 1), *(one.ends.get(k) for one in self.within)]
        return any(self._beats(rival, self.ends[k]) for rival in rivals)

    def repair(self) -> list[Parameters]:
        """Starts for the numbers that are outdone, from what does."""
        starts: list[Parameters] = []
        for k, rung in self.rungs.items():
            if self._beats(self.rungs.get(k - 1), rung):
                starts += self._of_one_more(k - 1, with_newcomers=True)
            starts += [
                brought(self.family, one.family, one.rungs[k].parameters)
                for one in self.within
                if self._beats(one.rungs.get(k), rung)
            ]
        return starts

    def _beats(self, rival: Rung | None, rung: Rung) -> bool:
        if rival is None or not rival.sound:
            return False
        gain = GAIN * self.task.observations.total_weight
        return not rung.sound or rival.log_likelihood > rung.log_likelihood + gain


def _with_ended(others: Sequence[Rung], rung: Rung) -> list[Rung]:
    """What is known of a number once its best has been taken on: all others, if it is unsound."""
    return [*(other for other in others if other.sound), rung] if not rung.sound else [rung]
