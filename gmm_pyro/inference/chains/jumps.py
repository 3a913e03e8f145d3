"""Jumps between modes: independent proposals, by the rule of Metropolis & Hastings.

The proposal is that of the warm-up and stays as it is, so that a jump leaves the posterior of the
parameters as it is, as a sweep does: assignments are integrated out, and drawn anew at once.

Source: Tierney (1994), §2.3.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Parameters
from ..weighing.proposal import Proposal

AT_ONCE = 256  # proposals that are drawn and weighed in one batch


@dataclass(eq=False)
class Jumps:
    """Jumps of a batch of chains.

    Attributes:
        proposal: where they lead.
        tried: how many there have been.
        taken: how many of them were accepted.
        waiting: proposals that no chain has had yet.
        log_weights: theirs.
    """

    proposal: Proposal
    tried: int = 0
    taken: int = 0
    waiting: Parameters | None = None
    log_weights: Float[Tensor, "w"] = field(default_factory=lambda: torch.zeros(0))

    @property
    def rate(self) -> float:
        """Share of jumps that were accepted."""
        return self.taken / max(1, self.tried)

    def jumped(self, p: Parameters, generator: torch.Generator) -> Parameters:
        """Where each of s chains is after a jump from some parameters, or still."""
        s = len(p.means)
        there, log_weights = self._next(s, generator)
        uniform = torch.rand(s, generator=generator, dtype=torch.float64).to(log_weights)
        taken = uniform.log() < log_weights - self.proposal.log_weight(p)
        self.tried, self.taken = self.tried + s, self.taken + int(taken.sum())
        chosen = torch.arange(s, device=taken.device) + s * taken
        return Parameters.joined([p, there])[chosen]

    def _next(self, s: int, generator: torch.Generator) -> tuple[Parameters, Float[Tensor, "s"]]:
        """So many proposals, and what they weigh."""
        if self.waiting is None or len(self.log_weights) < s:
            self.waiting = self.proposal.draw(max(s, AT_ONCE), generator)
            self.log_weights = self.proposal.log_weight(self.waiting)
        found = self.waiting[:s], self.log_weights[:s]
        self.waiting, self.log_weights = self.waiting[s:], self.log_weights[s:]
        return found
