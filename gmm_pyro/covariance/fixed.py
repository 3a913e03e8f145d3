"""Parameters of a mixture that stay as they are, whatever else is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .family import CovarianceFamily
from .records import LOG_2PI, Parameters, Statistics, times


@dataclass(frozen=True, eq=False)
class Fixed:
    """Numbers of k components that are held, in float64: NaN where they are free.

    Attributes:
        family: the covariance family.
        weights: shape (k,).
        means: shape (k, d).
        factor: of the covariances, each of which is held as a whole or not at all, shape
            (k|1, *event).
        covariances: the same as the user sees them.
        sites: what was given of covariances' own sites, where they were given so.
    """

    family: CovarianceFamily
    weights: Float[Tensor, "k"]
    means: Float[Tensor, "k d"]
    factor: Float[Tensor, "k1 *event"]
    covariances: Float[Tensor, "*covariances"]
    sites: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def free_weights(self) -> Bool[Tensor, "k"]:
        """Which weights are free; they share what the others leave."""
        return self.weights.isnan()

    @property
    def free_means(self) -> Bool[Tensor, "k d"]:
        """Which entries of the means are free."""
        return self.means.isnan()

    @property
    def whole_means(self) -> Bool[Tensor, "k"]:
        """Of which components the mean is held as a whole, or not at all."""
        return self.free_means.all(1) | ~self.free_means.any(1)

    @cached_property
    def free_covariances(self) -> Bool[Tensor, "k1"]:
        """Which covariances are free."""
        return self.factor.flatten(1).isnan().any(1)

    @property
    def held_covariances(self) -> list[int]:
        """The components whose covariance is held: all, where they share it."""
        return (~self.free_covariances).expand(len(self.weights)).nonzero()[:, 0].tolist()

    @property
    def left(self) -> Float[Tensor, ""]:
        """What the held weights leave to the free ones."""
        return (1 - self.weights.nansum()).clamp_min(0.0)

    @property
    def n_held(self) -> int:
        """How many of the free parameters that criteria count are held."""
        k, d = self.means.shape
        held = int((~self.free_weights).sum())
        each = self.family.n_covariance_parameters(d)
        covariances = each * int((~self.free_covariances).sum())
        return min(held, k - 1) + int((~self.free_means).sum()) + covariances

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The class of every component, from 0: of those of one the same numbers are held."""
        k = len(self.weights)
        factor = self.factor.flatten(1).expand(k, -1)
        rows = torch.cat([self.weights[:, None], self.means, factor], 1).nan_to_num(nan=torch.inf)
        return tuple(rows.unique(dim=0, return_inverse=True)[1].tolist())

    def keeps(self, orders: Int[Tensor, "o k"]) -> Bool[Tensor, "o"]:
        """Whether orders of the components leave all that is held in its place."""
        classes = torch.tensor(self.classes, device=orders.device)
        return (classes[orders] == classes).all(1)

    def imposed(self, p: Parameters) -> Parameters:
        """Parameters with what is held in its place; differentiable in the others."""
        free = self.free_weights
        share = p.log_weights.masked_fill(~free, -torch.inf).log_softmax(-1) + self.left.log()
        log_weights = torch.where(free, share, self.weights.log()) if not free.all() else None
        held = ~self.free_covariances.view(-1, *(1,) * (self.factor.ndim - 1))
        return replace(
            p,
            log_weights=p.log_weights if log_weights is None else log_weights,
            means=torch.where(self.free_means, p.means, self.means),
            factor=torch.where(held, self.factor, p.factor),
        )

    def m_step(
        self,
        statistics: Statistics,
        current: Parameters,
        floor: Float[Tensor, "d"],
        ridge: float = 0.0,
    ) -> Parameters:
        """The M-step of what is free: means given the current covariances, then these.

        It never lowers the likelihood (Meng & Rubin 1993, "Maximum likelihood estimation via the
        ECM algorithm").
        """
        near = current.factor
        empirical = self.family.m_step(statistics, floor, ridge, near)
        means = self._means_given(empirical.means, near)
        squares = self.family.square(empirical.means - means)
        second = statistics.second + self.family.pooled(times(statistics.counts, squares))
        found = self.family.m_step(replace(statistics, second=second), floor, ridge, near)
        return self.imposed(replace(found, means=means))

    def _means_given(
        self, means: Float[Tensor, "s k d"], factor: Float[Tensor, "s k1 *event"]
    ) -> Float[Tensor, "s k d"]:
        """The likeliest means: those of the points, moved as the entries that are held say."""
        found = torch.where(self.free_means, means, self.means)
        d = means.shape[-1]
        for j, free in enumerate(self.free_means):
            if free.any() and not free.all():
                own = factor[:, [j if len(self.factor) > 1 else 0]]
                dense = self.family.dense(own, d)[:, 0]
                across = dense[:, free][:, :, ~free]
                away = (means[:, j, ~free] - self.means[j, ~free])[..., None]
                moved = across @ torch.linalg.solve(dense[:, ~free][:, :, ~free], away)
                found[:, j, free] = means[:, j, free] - moved[..., 0]
        return found

    def gains(self, p: Parameters) -> Float[Tensor, "s i j"]:
        """How well component i takes place j, in nats a point: an expected log density.

        It is that of points like the component's under itself, with what is held of the place.
        """
        d, weights = p.means.shape[-1], p.log_weights.exp()
        k, own = weights.shape[1], self.family.dense(p.factor, d).expand(*p.means.shape, d)
        gains = []
        for j in range(k):
            held = self.factor[[j if len(self.factor) > 1 else 0]]
            tril = self.family.scale_tril(p.factor if held.isnan().any() else held[None], d)
            away = torch.where(self.free_means[j], 0.0, p.means - self.means[j])
            spread = own + away[..., :, None] * away[..., None, :]
            root = torch.linalg.solve_triangular(tril, torch.linalg.cholesky(spread), upper=False)
            half = tril.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * d * LOG_2PI
            log_density = -0.5 * root.square().sum((-2, -1)) - half
            log_weight = p.log_weights if self.free_weights[j] else self.weights[j].log()
            gains.append(weights * (log_weight + log_density))
        return torch.stack(gains, -1).nan_to_num(nan=-1e300, neginf=-1e300)
