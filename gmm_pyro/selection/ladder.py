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
    def number(self) -> int:
        """Of its components."""
        return self.parameters.means.shape[1]

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
        held: ladders of all families that this one contains.
        found: the best few solutions of every number, the best one first.
        ends: where the best has come to with all of the data.
    """

    def __init__(
        self,
        task: Task[Options],
        points: Observations,
        numbers: Sequence[int],
        held: Sequence[Ladder] = (),
    ) -> None:
        self.task, self.points, self.held = task, points, held
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
        rule = Rule(self.family, self.floor, None, CHASE, leaps=True)
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

    def converge(self) -> None:
        """Take the best of all numbers on until nothing is left to gain, or as long as they may.

        Where one comes to be unsound, the next best is taken on.
        """
        while going := [rung.parameters for rung in self.rungs.values() if not rung.ended]:
            for rung in self._taken_on(self.points, going):
                self.found[rung.number] = _with_ended(self.found[rung.number][1:], rung)

    def finish(self) -> None:
        """Take what has converged on some of the points on with all of them."""
        if self.points is self.task.observations:
            self.ends = self.rungs
            return
        self._finish_the_best()
        for begun in self._of_others():
            self._finished(begun)
        for k in self.ends:
            self._finished(self._from_below(k))

    def _finish_the_best(self) -> None:
        """Of every number the best, and where that comes to be unsound the next ones."""
        left = {k: list(found) for k, found in self.found.items()}
        while going := [found[0].parameters for found in left.values() if found]:
            for rung in self._finished(going):
                others = left[rung.number][1:]
                left[rung.number] = [] if rung.sound else [one for one in others if one.sound]

    def _from_below(self, k: int) -> list[Parameters]:
        """Starts for a number without a sound end: the end of one less, with newcomers."""
        below = self.ends.get(k - 1)
        if self.ends[k].sound or below is None or not below.sound:
            return []
        joined = self._joined_by_newcomers(below.parameters, k - 1)
        return [] if joined is None else [joined]

    def _finished(self, mixtures: Sequence[Parameters]) -> list[Rung]:
        """Where mixtures come to with all of the data; the best of each number are the ends."""
        found = self._taken_on(self.task.observations, mixtures)
        for rung in found:
            known = self.ends.get(rung.number, rung)
            self.ends[rung.number] = max(known, rung, key=lambda one: one.rank)
        return found

    def _taken_on(self, points: Observations, mixtures: Sequence[Parameters]) -> list[Rung]:
        """Where mixtures of any numbers come to."""
        options, taken, ends = self.task.options, 0, list[Rung]()
        least = options.tolerance * points.total_weight
        rule = Rule(self.family, self.floor, least, options.max_steps, leaps=True)
        if not mixtures:
            return []
        going = side_by_side(self.family, mixtures)
        while len(going):
            steps = min(STRIDE, options.max_steps - taken)
            going, taken = going.stepped(points, rule, steps), taken + steps
            left = going.ends.left(rule).tolist()
            ends += self._ended(going[[i for i, more in enumerate(left) if not more]], points)
            going = going[[i for i, more in enumerate(left) if more]]
        return ends

    def _ended(self, ended: Sizes, points: Observations) -> list[Rung]:
        if not len(ended):
            return []
        values = ended.ends.log_likelihood.nan_to_num(nan=-math.inf).tolist()
        done, sound = ended.ends.converged.tolist(), ended.sound(self.rules, points)
        return [
            Rung(ended.parameters(i), values[i], sound[i], ended=True, converged=done[i])
            for i in range(len(ended))
        ]

    # ------------------------------------------------------------------ what neighbours suggest

    def from_within(self) -> list[Parameters]:
        """The solutions of the largest families within, as of this one."""
        return [
            brought(self.family, other.family, rung.parameters)
            for other in self._closest()
            for k, rung in other.rungs.items()
            if k in self.numbers
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
        rivals = [self.ends.get(k - 1), *(one.ends.get(k) for one in self.held)]
        weight = self.task.observations.total_weight
        return any(_beats(rival, self.ends[k], weight) for rival in rivals)

    def repair(self) -> list[Parameters]:
        """Starts for the numbers that are outdone, from what does."""
        starts: list[Parameters] = []
        weight = self.points.total_weight
        for k, rung in self.rungs.items():
            if _beats(self.rungs.get(k - 1), rung, weight):
                starts += self._of_one_more(k - 1, with_newcomers=True)
            starts += [
                brought(self.family, one.family, one.rungs[k].parameters)
                for one in self.held
                if _beats(one.rungs.get(k), rung, weight)
            ]
        return starts

    def _of_others(self) -> Iterable[list[Parameters]]:
        """For the numbers that are outdone in the end, what does: once from each family within."""
        weight = self.task.observations.total_weight
        for one in sorted(self.held, key=lambda one: len(one.held), reverse=True):
            begun = [
                brought(self.family, one.family, one.ends[k].parameters)
                for k, rung in self.ends.items()
                if _beats(one.ends.get(k), rung, weight)
            ]
            if begun:
                yield begun

    def _closest(self) -> list[Ladder]:
        """The largest of the families within."""
        held = self.held
        return [one for one in held if not any(one in other.held for other in held)]


def _beats(rival: Rung | None, rung: Rung, weight: float) -> bool:
    """Whether there is a rival that is sound, and likelier with data of this weight."""
    if rival is None or not rival.sound:
        return False
    return not rung.sound or rival.log_likelihood > rung.log_likelihood + GAIN * weight


def _with_ended(others: Sequence[Rung], rung: Rung) -> list[Rung]:
    """What is known of a number once its best has been taken on: all others, if it is unsound."""
    return [*(other for other in others if other.sound), rung] if not rung.sound else [rung]
