"""Jumps between modes: independent proposals, by the rule of Metropolis & Hastings.

The proposal is that of the warm-up and stays as it is, so that a jump leaves the posterior of the
parameters as it is, as a sweep does: assignments are integrated out, and drawn anew. To weigh where
chains are takes longer than a jump, and is needed after a sweep only: so there are more jumps.

Source: Tierney (1994), §2.3.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...covariance import Parameters, Statistics
from ..weighing.proposal import Proposal
from .sweep import Sampler

AT_ONCE = 256  # proposals that are drawn and weighed in one batch
MOSTLY = 0.8  # how often a chain leaves where it is in a step, by as many tries as that takes
MOST_TRIES = 10
AS_LONG = 1.6e5  # products in sums over numberings, which take as long as a sweep of few points
FEWEST_SWEEPS = 4  # or chains stay for long where the proposal seldom leads
MOST_SWEEPS = 20
SWEPT = 2  # steps, the last of which has a sweep: jumps alone hardly leave a place they seldom find


@dataclass(frozen=True, eq=False)
class Places:
    """Parameters of s sets, with what it takes to go on from them.

    Attributes:
        parameters: where chains are, or may come to.
        log_weights: log p(θ, x) - log q(θ) in nats.
        statistics: of an assignment of all points, given these, where a sweep is to follow.
    """

    parameters: Parameters
    log_weights: Float[Tensor, "s"]
    statistics: Statistics | None = None

    def __len__(self) -> int:
        return len(self.log_weights)

    def __getitem__(self, sets: slice) -> Places:
        """The chosen sets."""
        statistics = None if self.statistics is None else self.statistics[sets]
        return Places(self.parameters[sets], self.log_weights[sets], statistics)

    def where(self, taken: Bool[Tensor, "s"], there: Places) -> Places:
        """The other place of every set that is taken there."""
        if not taken.any():
            return self
        chosen = torch.arange(len(self), device=taken.device) + len(self) * taken
        assigned = [some.statistics for some in (self, there) if some.statistics is not None]
        return Places(
            Parameters.joined([self.parameters, there.parameters])[chosen],
            torch.cat([self.log_weights, there.log_weights])[chosen],
            Statistics.joined(assigned)[chosen] if assigned else None,
        )


@dataclass(eq=False)
class Jumps:
    """Jumps of a batch of chains.

    Attributes:
        proposal: where they lead.
        tries: of a chain to jump in a step.
        tried: how many jumps there have been.
        taken: how many of them were accepted.
        waiting: proposals that no chain has had yet.
    """

    proposal: Proposal
    tries: int = 1
    tried: int = 0
    taken: int = 0
    waiting: Places | None = None

    @property
    def kept(self) -> tuple[Any, ...]:
        """What changes as they go on, for a loop to keep."""
        return self.tried, self.taken, self.waiting

    def go_on_from(self, kept: tuple[Any, ...]) -> None:
        """Go on as from where this was kept."""
        self.tried, self.taken, self.waiting = kept

    @property
    def rate(self) -> float:
        """Share of jumps that were accepted."""
        return self.taken / max(1, self.tried)

    def places(self, p: Parameters, generator: torch.Generator) -> Places:
        """What parameters weigh."""
        del generator
        return Places(p, self.proposal.log_weight(p))

    def jumped(self, here: Places, generator: torch.Generator) -> tuple[Places, Bool[Tensor, "s"]]:
        """Where each of s chains has come to, and which of them are elsewhere."""
        moved = torch.zeros(len(here), dtype=torch.bool, device=generator.device)
        for _ in range(self.tries):
            there = self._next(len(here), generator)
            uniform = torch.rand(
                len(here), generator=generator, device=generator.device, dtype=torch.float64
            )
            taken = uniform.log() < there.log_weights - here.log_weights
            self.tried, self.taken = self.tried + len(here), self.taken + int(taken.sum())
            here, moved = here.where(taken, there), moved | taken
        return here, moved

    def _next(self, count: int, generator: torch.Generator) -> Places:
        """So many proposals."""
        if self.waiting is None or len(self.waiting) < count:
            drawn = self.proposal.draw(max(count, AT_ONCE), generator)
            self.waiting = self.places(drawn, generator)
        found, self.waiting = self.waiting[:count], self.waiting[count:]
        return found


@dataclass(eq=False, kw_only=True)
class SweptJumps(Jumps):
    """Jumps, and a sweep now and then.

    Attributes:
        sampler: sweeps.
        sweeps: that follow every second step.
        count: steps so far.
        here: where chains have jumped to last, if no sweep has followed.
    """

    sampler: Sampler
    sweeps: int = 1
    count: int = 0
    here: Places | None = None

    @property
    def kept(self) -> tuple[Any, ...]:
        """See `Jumps`."""
        return super().kept, self.count, self.here

    def go_on_from(self, kept: tuple[Any, ...]) -> None:
        """See `Jumps`."""
        of_all, self.count, self.here = kept
        super().go_on_from(of_all)

    @classmethod
    def by(cls, proposal: Proposal, acceptance: float, sampler: Sampler) -> SweptJumps:
        """Jumps of which about this share is accepted."""
        tries = tries_for(acceptance)
        z, k = proposal.assigned.statistics.counts.shape
        sweeps = (SWEPT * tries + 1) * z * k * 2.0 ** (k - 1) / AS_LONG
        sweeps = max(FEWEST_SWEEPS, min(MOST_SWEEPS, round(sweeps)))
        return cls(proposal, tries, sampler=sampler, sweeps=sweeps)

    def __call__(
        self, p: Parameters, generator: torch.Generator
    ) -> tuple[Parameters, Statistics, Parameters]:
        """Where each of s chains has jumped to, what is assigned there, and where it goes on."""
        here, _ = self.jumped(self.here or self.places(p, generator), generator)
        assert here.statistics is not None
        self.count += 1
        self.here = here if self.count % SWEPT else None
        following = here.parameters
        if self.here is None:
            following = self.sampler.drawn(here.parameters, here.statistics, generator)
            for _ in range(self.sweeps - 1):
                following, _ = self.sampler.sweep(following, generator)
        return here.parameters, here.statistics, following

    def places(self, p: Parameters, generator: torch.Generator) -> Places:
        """What parameters weigh, with an assignment given them."""
        statistics = self.sampler.assigned(p, generator)
        return Places(p, self.proposal.log_weight(p, statistics.log_norm), statistics)


def tries_for(acceptance: float) -> int:
    """Tries of which this share is accepted, so that a chain mostly moves in a step."""
    wanted = math.log(1 - MOSTLY) / math.log(1 - min(max(acceptance, 0.01), 0.99))
    return min(MOST_TRIES, math.ceil(wanted))
