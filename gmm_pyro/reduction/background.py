"""A component of noise beside the others: its density is known, and only its weight is to be found.

Its logit at a point is its log weight plus its log density there: one more row of Θ, whose feature
is a number that belongs to the point.

Source: Banfield & Raftery (1993), "Model-based Gaussian and non-Gaussian clustering", §3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.points import Points
from ..running.counting import Rows, counted_from
from .assignments import Assignment
from .theta import Theta

NOISE = -1  # in the place of a component's number


@dataclass(frozen=True, eq=False)
class Background:
    """The noise of s sets at all points.

    Attributes:
        log_weight: shape (s,).
        log_density: at every point, -inf where its component is known; shape (n,), or (s, n) where
            sets have points of their own.
        first: number of the first point, by which others go.
    """

    log_weight: Float[Tensor, "s"]
    log_density: Float[Tensor, "*s n"]
    first: int = 0

    @classmethod
    def of(cls, points: Points, theta: Theta, like: Tensor) -> Background | None:
        """Of parameters at points, in the type of a tensor; None without noise."""
        log_weight, log_density = theta.natural.noise, points.log_noise
        if log_weight is None:
            return None
        assert log_density is not None, "the points do not know of the noise component"
        if points.allowed is not None:
            log_density = log_density.masked_fill(points.allowed.known, -torch.inf)
        return cls(log_weight.detach().to(like), log_density.to(like), points.first)

    def logits(self, rows: Rows) -> Float[Tensor, "s 1 n"]:
        """Log weight plus log density at some rows, in nats."""
        own = self.log_density[..., counted_from(self.first, rows)]
        return (self.log_weight[:, None] + own)[:, None]

    def assigned(
        self, assign: Assignment, logits: Float[Tensor, "s k n"], rows: Rows
    ) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        """Make logits of some rows into responsibilities, in place.

        Returns:
            Each point's share of `log_norm`, and the responsibility of the noise for it.
        """
        both = torch.cat([logits, self.logits(rows)], 1)
        log_p = assign(both, rows)
        logits.copy_(both[:, :-1])
        return log_p, both[:, -1]

    def above(
        self, largest: Float[Tensor, "s n"], above: Float[Tensor, "s k n"], rows: Rows
    ) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s k2 n"]]:
        """The largest logits, that of the noise among them, and all logits above these."""
        own = self.logits(rows)[:, 0]
        top = torch.maximum(largest, own)
        there = top > -torch.inf  # else nothing reaches the point, and all differences are NaN
        lower = torch.where(there, largest - top, 0.0)
        noise = torch.where(there, own - top, -torch.inf)
        return top, torch.cat([above + lower[:, None], noise[:, None]], 1)
