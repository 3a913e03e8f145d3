"""One component in the place of two that have its weight, mean and covariance between them.

A component of weight w, mean m and covariance Σ = L Lᵀ becomes two of weights u w and (1 - u) w,

    m_a = m + √((1 - u) / u) L e,   Σ_a = Σ' moved by (1 - u) δ,
    m_b = m - √(u / (1 - u)) L e,   Σ_b = Σ' moved by -u δ,      Σ' = L (I - e eᵀ) Lᵀ,

which have the mean and, but for δ, the covariance of the whole; joining them is the inverse. The
coordinates that are moved are log L_ii and L_ij / L_ii, in which the measure |P|^(-(d + 1) / 2) dP
of a Wishart density of precisions is 2^d dv. Given the means Σ is Σ' but for a constant: so volumes
are as |Σ|^((d + 1) / 2) to |Σ'|^((d + 1) / 2), and the move works for all priors and data alike.
Covariances that are no matrices lose e², or its mean; one that components share stays as it is.

Source: Richardson & Green (1997) for one feature; Dellaportas & Papageorgiou (2006) for more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import ConjugateFamily, Parameters
from ...covariance.records import TINY

FREEDOM, WIDTH = 4.0, 0.5  # of Student's t distribution of each coordinate of δ


@dataclass(frozen=True, eq=False)
class Component:
    """One component of every chain.

    Attributes:
        log_weight: shape (s,).
        mean: shape (s, d).
        factor: of its covariance, shape (s, *event).
    """

    log_weight: Float[Tensor, "s"]
    mean: Float[Tensor, "s d"]
    factor: Float[Tensor, "s *event"]

    @classmethod
    def of(cls, p: Parameters, place: Int[Tensor, "s"], family: ConjugateFamily) -> Component:
        """The one in this place of every set."""
        rows = torch.arange(len(place), device=place.device)
        factor = p.factor[rows, family.of_component(place)]
        return cls(p.log_weights[rows, place], p.means[rows, place], factor)


@dataclass(frozen=True, eq=False)
class Difference:
    """How two components differ.

    Attributes:
        share: u, the share that the first one has of the weight.
        away: e, within a ball: of radius 1, or √d where a covariance is one number.
        shape: δ, with no entries where components share a covariance.
    """

    share: Float[Tensor, "s"]
    away: Float[Tensor, "s d"]
    shape: Float[Tensor, "s e"]


@dataclass(frozen=True)
class Halves:
    """The way of a family from one component to two and back.

    Attributes:
        family: the covariance family.
    """

    family: ConjugateFamily

    # ------------------------------------------------------------------ there and back

    def parted(self, whole: Component, how: Difference) -> tuple[Component, Component]:
        """The two."""
        d = whole.mean.shape[1]
        tril = self.family.scale_tril(whole.factor[:, None], d)[:, 0]
        towards = (tril @ how.away[..., None])[..., 0]
        within = self._coordinates(self._within(whole.factor, how.away))
        odds = (-how.share).log1p() - how.share.log()

        def part(sign: int, log_share: Float[Tensor, "s"], by: Float[Tensor, "s"]) -> Component:
            mean = whole.mean + sign * (0.5 * sign * odds).exp()[:, None] * towards
            factor = self._factor(within + sign * by[:, None] * how.shape, whole)
            return Component(whole.log_weight + log_share, mean, factor)

        first = part(1, how.share.log(), 1 - how.share)
        return first, part(-1, (-how.share).log1p(), how.share)

    def joined(self, first: Component, second: Component) -> tuple[Component, Difference]:
        """The inverse of `parted`."""
        log_weight = torch.logaddexp(first.log_weight, second.log_weight)
        share = (first.log_weight - log_weight).exp()
        u, rest = share[:, None], (second.log_weight - log_weight).exp()[:, None]
        one, other = self._coordinates(first.factor), self._coordinates(second.factor)
        within = self._factor(u * one + rest * other, first)
        apart = (u * rest).sqrt() * (first.mean - second.mean)
        whole = self._widened(within, apart)
        away = self.family.whiten(whole[:, None], apart[:, None, None])[:, 0, 0]
        component = Component(log_weight, u * first.mean + rest * second.mean, whole)
        return component, Difference(share, away, one - other)

    def log_volume(self, whole: Component, how: Difference) -> Float[Tensor, "s"]:
        """log |∂(two components) / ∂(whole, u, e, δ)|, in weights, means and coordinates."""
        d = whole.mean.shape[1]
        log_spread = how.share.log() + (-how.share).log1p()
        log_l = self.family.log_determinant(whole.factor[:, None], d)[:, 0]
        found = whole.log_weight + log_l - 0.5 * d * log_spread
        if self.family.tied:
            return found
        if self.family.is_matrix:
            return found - 0.5 * (d + 1) * (1 - how.away.square().sum(1)).log()
        return found - (1 - self._lost(whole.factor, how.away)).log().sum(1)

    # ------------------------------------------------------------------ what is proposed

    def drawn(self, whole: Component, generator: torch.Generator) -> Difference:
        """Differences as they are proposed."""
        s, d = whole.mean.shape
        like: Any = {"dtype": whole.mean.dtype, "device": whole.mean.device}
        share = torch.rand(s, generator=generator, **like).clamp(TINY, 1 - 1e-12)
        inner, outer = (
            torch._standard_gamma(whole.mean.new_full((s,), a), generator)
            for a in (0.5 * d, self._roundness(d))
        )
        length = self._radius(d) * (inner / (inner + outer)).sqrt()
        direction = torch.randn(s, d, generator=generator, **like)
        away = length[:, None] * direction / direction.norm(dim=1, keepdim=True)
        e = 0 if self.family.tied else self._coordinates(whole.factor).shape[1]
        shape = student(whole.mean.new_zeros(s, e), FREEDOM, generator)
        return Difference(share, away, WIDTH * shape)

    def log_density(self, how: Difference) -> Float[Tensor, "s"]:
        """Log density in nats with which a difference is proposed: -inf outside of the ball."""
        d = how.away.shape[1]
        a, radius = self._roundness(d), self._radius(d)
        inside = 1 - (how.away / radius).square().sum(1)
        ball = math.lgamma(a + 0.5 * d) - math.lgamma(a) - 0.5 * d * math.log(math.pi)
        log_away = (a - 1) * inside.log() + ball - d * math.log(radius)
        log_away = log_away.masked_fill(inside <= 0, -math.inf)
        log_shape = log_student(how.shape / WIDTH, FREEDOM) - math.log(WIDTH)
        return log_away + log_shape.sum(1)

    @staticmethod
    def _roundness(d: int) -> float:
        """e has the density (1 - |e|²)^(a - 1) in the ball: half of the variance lies between."""
        return max(1.0, 0.5 * d)

    def _radius(self, d: int) -> float:
        """Of the ball."""
        return math.sqrt(d / self.family.event_shape(d)[0])

    # ------------------------------------------------------------------ covariances

    def _within(
        self, factor: Float[Tensor, "s *event"], away: Float[Tensor, "s d"]
    ) -> Float[Tensor, "s *event"]:
        """The factor of Σ'."""
        if self.family.tied:
            return factor
        if self.family.is_matrix:
            return factor @ self._shrinking(away)
        return factor * (1 - self._lost(factor, away)).clamp_min(TINY).sqrt()

    def _widened(
        self, within: Float[Tensor, "s *event"], apart: Float[Tensor, "s d"]
    ) -> Float[Tensor, "s *event"]:
        """The factor of the whole: its inverse."""
        if self.family.tied:
            return within
        if self.family.is_matrix:
            total = within @ within.mT + apart[:, :, None] * apart[:, None]
            return torch.linalg.cholesky_ex(total)[0]
        return (within.square() + self._lost(within, apart)).sqrt()

    @staticmethod
    def _lost(factor: Float[Tensor, "s e"], away: Float[Tensor, "s d"]) -> Float[Tensor, "s e"]:
        """Squares of the features, or their mean where a covariance is one number."""
        square = away.square()
        return square if factor.shape == square.shape else square.mean(1, keepdim=True)

    @staticmethod
    def _shrinking(away: Float[Tensor, "s d"]) -> Float[Tensor, "s d d"]:
        """The Cholesky factor of I - e eᵀ."""
        eye = torch.eye(away.shape[1], dtype=away.dtype, device=away.device)
        return torch.linalg.cholesky_ex(eye - away[:, :, None] * away[:, None])[0]

    def _coordinates(self, factor: Float[Tensor, "s *event"]) -> Float[Tensor, "s e"]:
        """log L_ii, and L_ij / L_ii; nothing where components share a covariance."""
        if self.family.tied:
            return factor.flatten(1)[:, :0]
        if not self.family.is_matrix:
            return factor.log()
        scale, d = factor.diagonal(dim1=-2, dim2=-1), factor.shape[-1]
        below = torch.tril_indices(d, d, -1, device=factor.device)
        ratios = (factor / scale[..., None])[:, below[0], below[1]]
        return torch.cat([scale.log(), ratios], 1)

    def _factor(self, coordinates: Float[Tensor, "s e"], like: Component) -> Tensor:
        """The factor of a covariance of these coordinates, or the one that all share."""
        if self.family.tied:
            return like.factor
        if not self.family.is_matrix:
            return coordinates.exp()
        s, d = like.mean.shape
        ratios = torch.eye(d, dtype=coordinates.dtype, device=coordinates.device).repeat(s, 1, 1)
        below = torch.tril_indices(d, d, -1, device=coordinates.device)
        ratios[:, below[0], below[1]] = coordinates[:, d:]
        return coordinates[:, :d].exp()[..., None] * ratios


def student(like: Tensor, freedom: float, generator: torch.Generator) -> Tensor:
    """Independent draws from Student's t distribution, as many as there are of something else."""
    normal = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    half = torch.full_like(like, 0.5 * freedom)
    return normal / (torch._standard_gamma(half, generator) / (0.5 * freedom)).sqrt()


def log_student(value: Tensor, freedom: float) -> Tensor:
    """Its log density in nats, of each number."""
    constant = math.lgamma(0.5 * (freedom + 1)) - math.lgamma(0.5 * freedom)
    constant -= 0.5 * math.log(freedom * math.pi)
    return constant - 0.5 * (freedom + 1) * value.square().div(freedom).log1p()
