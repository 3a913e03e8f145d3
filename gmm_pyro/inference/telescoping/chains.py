"""Chains whose mixtures have different numbers of components: their steps, and what they draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from ...keeping.loops import resumed
from ..chains.sweeping import GibbsOptions
from .jumps import SizeJumps
from .moves import Moves
from .reversible import Reversible
from .state import Assigned, State
from .sweep import Telescope
from .visited import Seen

SEEN, MEMORY = 2, 150  # steps from one that jumps are learnt from to the next; how many of them
SELDOM, OFTEN = 5, 0.05  # steps of which one has other moves, where such a share of jumps is taken
Teach = Callable[[Sequence[Seen], torch.Generator], SizeJumps | None]


@dataclass(eq=False)
class Chains:
    """A batch of s chains, and what they have drawn: one entry a draw that is kept.

    Attributes:
        telescope: what a sweep does.
        moves: splits and merges of points, if there are any.
        reversible: splits and merges of parameters, if the number of components is unknown.
        last: where the chains are.
        generator: source of randomness.
        drawn: the draws, each with the assignment that was drawn given it.
        keeps: whether some draws keep the components of points.
        interrupted: whether there was an interrupt.
        teach: jumps by what was visited, if chains are to jump.
        jumps: between mixtures of any sizes, once they are learnt.
        suffice: whether jumps that were learnt before were taken often.
        visited: what is kept of the assignments of some steps, the latest last.
        count: steps so far.
    """

    telescope: Telescope
    moves: Moves | None
    reversible: Reversible | None
    last: State
    generator: torch.Generator
    drawn: list[Drawn] = field(default_factory=list)
    keeps: bool = False
    interrupted: bool = False
    teach: Teach | None = None
    jumps: SizeJumps | None = None
    suffice: bool = False
    visited: list[Seen] = field(default_factory=list)
    count: int = 0

    def step(self) -> Assigned:
        """Go on by a jump, if there are any, a sweep and other moves; what was assigned first."""
        self.count += 1
        moves, reversible = self.moves, self.reversible
        if self.jumps is not None:
            self.last = self.jumps.jumped(self.last, self.generator)
            if self.suffice and self.count % SELDOM:
                moves = reversible = None
        if reversible is not None:
            self.last = reversible.moved(self.last, self.generator)
        labelled = moves is not None or self.keeps
        found = self.telescope.assigned(self.last, self.generator, labelled=labelled)
        moved = found if moves is None else moves.moved(found, self.generator)
        self.last = self.telescope.drawn(moved, self.generator)
        if self.teach is not None and self.count % SEEN == 0:
            seen = Seen.of(self.telescope.hierarchy, found)
            self.visited = [*self.visited[-MEMORY:], seen]
        return found

    def warm_up(self, steps: int, bar: tqdm[Any]) -> None:
        """Steps that are forgotten, by which jumps are learnt: by half of them, and once more."""
        try:
            for length in (steps // 2, steps - steps // 2):
                if length:
                    self._walk(length, bar)
                    self.learn()
        except KeyboardInterrupt:
            self.interrupted = True

    def _walk(self, length: int, bar: tqdm[Any]) -> None:
        """So many steps."""
        loop = resumed(self._kept, length)
        left = self._gone_on_from(loop.state, length)
        if left < length:
            bar.update(length - left)
        while left:
            self.step()
            bar.update()
            left -= 1
            loop.keep((self._kept, left))

    def learn(self) -> None:
        """Learn where to jump by what was visited lately: chains were on their way before."""
        if self.teach is not None and self.visited:
            self.suffice = self.jumps is not None and self.jumps.rate >= OFTEN
            seen = self.visited[len(self.visited) // 3 :]
            self.jumps = self.teach(seen, self.generator) or self.jumps

    def lengthen(self, options: GibbsOptions, bar: tqdm[Any], thin: int, to_first: int) -> None:
        """Go on until there are as many draws as wanted; an interrupt ends it with what there is.

        Args:
            options: how many draws there are to be.
            bar: counts the steps.
            thin: steps from one draw to the next.
            to_first: steps before the first one.
        """
        try:
            if self.drawn:
                self.learn()
            loop = resumed(self._kept, len(self.drawn), options.n_draws, thin, to_first)
            left = self._gone_on_from(loop.state, to_first)
            if loop.state is not None:
                bar.update(to_first + thin * len(loop.items) - left)
            to_first = left
            self.drawn += loop.items
            while len(self.drawn) < options.n_draws and not self.interrupted:
                found = self.step()
                bar.update()
                if to_first:
                    to_first -= 1
                    loop.keep((self._kept, to_first))
                    continue
                self.drawn.append(Drawn.of(found, options.allocates(len(self.drawn))))
                to_first = thin - 1
                loop.keep((self._kept, to_first), self.drawn[-1])
        except KeyboardInterrupt:
            self.interrupted = True
        if not self.drawn:
            self.drawn.append(Drawn.of(self.step(), keeps=False))

    @property
    def _kept(self) -> tuple[Any, ...]:
        """What changes as the chains go on, for a loop to keep."""
        jumped = None if self.jumps is None else self.jumps.kept
        return self.last, self.generator.get_state(), jumped, self.visited, self.count

    def _gone_on_from(self, kept: tuple[tuple[Any, ...], int] | None, left: int) -> int:
        """Go on as from where this was kept, if anything was; the steps that are left."""
        if kept is None:
            return left
        (self.last, state, jumped, self.visited, self.count), left = kept
        self.generator.set_state(state)
        if self.jumps is not None:
            self.jumps.go_on_from(jumped)
        return left


@dataclass(frozen=True, eq=False)
class Drawn:
    """A draw of every chain.

    Attributes:
        state: its parameters, components with points first.
        filled: which components have points.
        log_likelihood: in nats.
        labels: the component of every point, if it is kept.
    """

    state: State
    filled: Bool[Tensor, "s k"]
    log_likelihood: Float[Tensor, "s"]
    labels: Int[Tensor, "s n"] | None

    @classmethod
    def of(cls, found: Assigned, keeps: bool) -> Drawn:  # noqa: FBT001 - one of two only
        """What was found on the way."""
        labels = found.labels if keeps else None
        return cls(found.state, found.filled, found.statistics.log_norm, labels)
