"""Points so far out that logits have lost what the components differ by.

A number has some sixteen digits: where logits are near -1e20, components that differ by a few nats
are told apart by rounding alone, and where they leave the range of numbers, by nothing at all. Such
points are rare. Their logits are compared in pairs, from differences of natural parameters, so that
what two components share does not enter:

    logit_j - logit_i = c + l · z + z (P_i - P_j) z / 2,    z = x - μ_i,
    l = P_j (μ_j - μ_i),    c = peak_j - peak_i - (μ_j - μ_i) · l / 2

with precisions P, evaluated at z / max |z|, so that nothing but the difference itself can overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..covariance import CovarianceFamily
from ..covariance.records import TINY
from .kernels import Kernel
from .theta import Theta

FAR = 1e7  # nats below its peak, from which rounding changes a logit by more than about 1e-9


@dataclass(frozen=True, eq=False)
class Far:
    """Which points are far for a kernel in float64, and what the logits are there.

    Attributes:
        theta: what the kernel evaluates.
        slope: the largest square root of any precision's diagonal, shape (d,); (|z| · slope)² is
            as large as the terms that z P z can have.
    """

    theta: Theta
    slope: Float[Tensor, "d"]

    @classmethod
    def of(cls, theta: Theta) -> Far:
        """For the kernel that evaluates theta."""
        d = theta.parameters.means.shape[-1]
        precision = theta.family.diagonal(-2 * theta.natural.quadratic, d)
        return cls(theta, precision.clamp_min(0.0).sqrt().flatten(0, -2).amax(0))

    def points(
        self, kernel: Kernel[Any], log_density: Float[Tensor, "s n"]
    ) -> Bool[Tensor, "n"] | None:
        """Those of the kernel's last piece whose logits are rounded too far, or are no numbers.

        Args:
            kernel: what has evaluated theta.
            log_density: what its logits said.

        Returns:
            Which points they are; None if there are none, as almost always.
        """
        z = kernel.about_reference
        near = (log_density > -FAR).all(0) if z is None else self.slope @ z.abs() < FAR**0.5
        return None if near.all() else ~near


def far_logits(
    theta: Theta, x: Float[Tensor, "m d"]
) -> tuple[Float[Tensor, "s m"], Float[Tensor, "s k m"]]:
    """The largest logit of every far point, and all logits above it."""
    sets = range(len(theta.parameters.means))
    largest, above = zip(*(_Pairs.of(theta, i).logits(x) for i in sets), strict=True)
    return torch.stack(largest), torch.stack(above)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """One set of k components, to be compared in pairs.

    Attributes:
        family: the covariance family.
        peak: log weight plus log density at the mean, shape (k,).
        means: shape (k, d).
        factor: covariance factors, shape (k, *event), also of a tied family.
        precision: shape (k, *event).
    """

    family: CovarianceFamily
    peak: Float[Tensor, "k"]
    means: Float[Tensor, "k d"]
    factor: Float[Tensor, "k *event"]
    precision: Float[Tensor, "k *event"]

    @classmethod
    def of(cls, theta: Theta, number: int) -> _Pairs:
        """The set of this number."""
        family, p = theta.family, theta.parameters[[number]]
        compact = p.factor[0], -2 * theta.natural.quadratic[number]
        each = (part.expand(len(p.means[0]), *part.shape[1:]) for part in compact)
        return cls(family, family.log_peak(p)[0], p.means[0], *each)

    def logits(self, x: Float[Tensor, "m d"]) -> tuple[Float[Tensor, "m"], Float[Tensor, "k m"]]:
        """The largest logit of every point, and all logits above it: none is positive.

        They are NaN where parameters are.
        """
        if self.peak.isnan().any():
            return x.new_full((len(x),), torch.nan), x.new_full((len(self.peak), len(x)), torch.nan)
        possible = (self.peak > -torch.inf).nonzero()[:, 0].tolist()
        best = torch.full((len(x),), possible[0], device=x.device)
        for j in possible[1:]:
            best[self._above(best, j, x) > 0] = j
        above = x.new_full((len(self.peak), len(x)), -torch.inf)
        for j in possible:
            above[j] = self._above(best, j, x)
        return self._of_best(best, x), above

    def _above(self, best: Int[Tensor, "m"], j: int, x: Float[Tensor, "m d"]) -> Float[Tensor, "m"]:
        """By how much component j's logit is above that of another one at each point."""
        result = x.new_empty(len(x))
        for i in best.unique().tolist():
            rows = best == i
            size, direction = _polar(x[rows] - self.means[i])
            shift = self.means[j] - self.means[i]
            linear = self.family.product(self.precision[j], shift)
            constant = self.peak[j] - self.peak[i] - 0.5 * (shift @ linear)
            slope = direction @ linear
            if not self.factor[i].equal(self.factor[j]):
                bend = 0.5 * (self.precision[i] - self.precision[j])
                slope = slope + size * (self.family.product(bend, direction) * direction).sum(-1)
            result[rows] = constant + size * slope
        return result

    def _of_best(self, best: Int[Tensor, "m"], x: Float[Tensor, "m d"]) -> Float[Tensor, "m"]:
        """The logit of a component at each point, -inf only where it is out of range."""
        result = x.new_empty(len(x))
        for i in best.unique().tolist():
            rows = best == i
            size, direction = _polar(x[rows] - self.means[i])
            length = size * self.family.whiten(self.factor[i], direction).norm(dim=-1)
            result[rows] = self.peak[i] - (0.5**0.5 * length).square()
        return result


def _polar(z: Float[Tensor, "m d"]) -> tuple[Float[Tensor, "m"], Float[Tensor, "m d"]]:
    """The largest entry of each vector, and the vector in units of it."""
    size = z.abs().amax(-1)
    return size, z / size.clamp_min(TINY)[:, None]
