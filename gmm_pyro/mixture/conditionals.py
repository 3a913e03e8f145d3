"""Mixtures of some features of every point, given its others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

HALVINGS = 60  # of an interval about a quantile, which leave its rounding
WIDE = 40.0  # standard deviations of a component, within which the quantiles of doubles are


@dataclass(frozen=True, eq=False)
class Conditionals:
    """A mixture for each of n points, of e features.

    Attributes:
        weights: of the components, shape (n, k).
        means: shape (n, k, e).
        covariances: shape (n, k, e, e).
    """

    weights: Float[Tensor, "n k"]
    means: Float[Tensor, "n k e"]
    covariances: Float[Tensor, "n k e e"]

    def mean(self) -> Float[Tensor, "n e"]:
        """Mean of every mixture."""
        return (self.weights[..., None] * self.means).sum(1)

    def covariance(self) -> Float[Tensor, "n e e"]:
        """Covariance of every mixture, within and between its components."""
        away = self.means - self.mean()[:, None]
        each = self.covariances + away[..., None] * away[..., None, :]
        return (self.weights[..., None, None] * each).sum(1)

    def quantile(self, q: Float[Tensor, "q"]) -> Float[Tensor, "n e q"]:
        """Quantiles of every feature by itself, for probabilities between 0 and 1, by bisection."""
        deviations = self.covariances.diagonal(dim1=2, dim2=3).clamp_min(0.0).sqrt()
        ends = self.means - WIDE * deviations, self.means + WIDE * deviations
        there = (self.weights > 0)[..., None]
        low = ends[0].masked_fill(~there, torch.inf).amin(1)[..., None].expand(-1, -1, len(q))
        high = ends[1].masked_fill(~there, -torch.inf).amax(1)[..., None].expand(-1, -1, len(q))
        for _ in range(HALVINGS):
            middle = low + (high - low) / 2
            below = self.cdf(middle) < q
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return high

    def cdf(self, values: Float[Tensor, "n e q"]) -> Float[Tensor, "n e q"]:
        """Probability that each feature, by itself, is at most a value."""
        deviations = self.covariances.diagonal(dim1=2, dim2=3).clamp_min(0.0).sqrt()
        z = (values[:, None] - self.means[..., None]) / deviations[..., None]
        below = torch.special.ndtr(z.nan_to_num(nan=torch.inf))  # at a component without width
        return (self.weights[..., None, None] * below).sum(1)

    def sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "c n e"]:
        """So many draws of every mixture."""
        n, k, e = self.means.shape
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator).T
        row = torch.arange(n, device=chosen.device)
        noise = self.means.new_empty(count, n, e, 1).normal_(generator=generator)
        values, vectors = torch.linalg.eigh(self.covariances)
        root = vectors * values.clamp_min(0.0).sqrt()[..., None, :]
        return self.means[row, chosen] + (root[row, chosen] @ noise)[..., 0]
