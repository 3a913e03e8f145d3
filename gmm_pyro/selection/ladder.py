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
        points: all points, or some of very many.
        numbers: of components.
        within: ladders of families that this one contains.
        found: the best few solutions of every number, the best one first.
    """

    def __init__(
        self,
        task: Task[Options],
        points: Observations,
        numbers: Sequence[int],
        within: Sequence[Ladder] = (),
    ) -> None:
        self.task, self.points, self.numbers, self.within = task, points, numbers, within
        self.family = task.model.family
        self.found: dict[int, list[Rung]] = {}
        self.rules: dict[int, Soundness] = rules_for(task, numbers)
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

    def converge(self, points: Observations, tolerance: float, max_steps: int) -> None:
        """Take the best of all numbers on until nothing is left to gain, or as long as they may.

        Where one comes to be unsound, the next best is taken on.
        """
        rule = Rule(self.family, self.floor, tolerance * points.total_weight, max_steps, leaps=True)
        while some := [rung.parameters for rung in self.rungs.values() if not rung.ended]:
            going = side_by_side(self.family, some)
            while len(going):
                going = going.stepped(points, rule, STRIDE)
                left = going.ends.left(rule).tolist()
                self._end(going[[i for i, more in enumerate(left) if not more]], points)
                going = going[[i for i, more in enumerate(left) if more]]

    def _end(self, ended: Sizes, points: Observations) -> None:
        if not len(ended):
            return
        values, done = ended.ends.log_likelihood.tolist(), ended.ends.converged.tolist()
        sound = ended.sound(self.rules, points)
        for i, k in enumerate(ended.numbers):
            self.found[k] = self.found[k][1:]  # the one that has been taken on
            value = values[i] if math.isfinite(values[i]) else -math.inf
            new = Rung(ended.parameters(i), value, sound[i], ended=True, converged=done[i])
            self._keep(k, new)

    # ------------------------------------------------------------------ what neighbours suggest

    def from_within(self) -> list[Parameters]:
        """The solutions of the families within, as of this one."""
        return [self._brought(other, k) for other in self.within for k in other.rungs]

    def _brought(self, other: Ladder, k: int) -> Parameters:
        return brought(self.family, other.family, other.rungs[k].parameters)

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

    def outdone(self, k: int) -> bool:
        """Whether a solution of fewer components, or of a family within, is likelier."""
        return any(True for _ in self._likelier(k))

    def repair(self) -> list[Parameters]:
        """Starts for the numbers that are outdone, from what does."""
        starts: list[Parameters] = []
        for k in self.rungs:
            for other in self._likelier(k):
                if other is self:
                    starts += self._of_one_more(k - 1, with_newcomers=True)
                else:
                    starts.append(self._brought(other, k))
        return starts

    def _likelier(self, k: int) -> Iterable[Ladder]:
        """This ladder, if the rung below is likelier, and those within, of which one is."""
        least = self.rungs[k].log_likelihood + GAIN * self.points.total_weight
        rivals = [(self, self.rungs.get(k - 1)), *((one, one.rungs.get(k)) for one in self.within)]
        for ladder, rung in rivals:
            is_it = rung is not None and rung.sound and rung.log_likelihood > least
            if is_it or (rung is not None and rung.sound and not self.rungs[k].sound):
                yield ladder
