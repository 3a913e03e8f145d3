"""q(Ψ): the scale that the components' precisions have in common, where it is random.

    Ψ      ~ Wishart(dof₀, H⁻¹)                   q(Ψ) = Wishart(dof₀ + k ν, (H + Σ_j E P_j)⁻¹)
    P_j|Ψ  ~ Wishart(ν, Ψ⁻¹)                      q(P_j) takes E Ψ for Ψ

The precisions' divergence from their prior is linear in Ψ but for the logarithm of its normaliser,
-ν / 2 · log |Ψ|, whose mean is a little higher than at E Ψ.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance.records import Sets, times
from ...model.hierarchy import ScalePrior
from .components import Wishart


@dataclass(frozen=True, eq=False)
class ScaleFactor:
    """q(Ψ) of s sets.

    Attributes:
        dof: shape (s, 1).
        rate: shape (s, 1, *event).
    """

    dof: Float[Tensor, "s 1"]
    rate: Float[Tensor, "s 1 *event"]

    def __getitem__(self, sets: Sets) -> ScaleFactor:
        """The chosen sets."""
        return ScaleFactor(self.dof[sets], self.rate[sets])


@dataclass(frozen=True, eq=False)
class Scale:
    """The prior of Ψ.

    Attributes:
        prior: its distribution.
        d: number of features.
        dof: ν of the precisions given Ψ, shape (1, 1).
    """

    prior: ScalePrior
    d: int
    dof: Float[Tensor, "1 1"]

    def given(self, precision: Float[Tensor, "s k1 *event"]) -> ScaleFactor:
        """q(Ψ) given the means of all precisions."""
        dof = self.prior.dof + precision.shape[1] * self.dof
        rate = self.prior.rate + precision.sum(1, keepdim=True)
        return ScaleFactor(dof.expand(len(precision), 1), rate)

    def alone(self, sets: int) -> ScaleFactor:
        """q(Ψ) of so many sets, before there is any precision: the prior."""
        prior = self.prior
        return ScaleFactor(
            prior.dof.expand(sets, 1), prior.rate.expand(sets, *prior.rate.shape[1:])
        )

    def mean(self, q: ScaleFactor) -> Float[Tensor, "s 1 *event"]:
        """E Ψ."""
        return self._wishart(q).precision

    def divergence(self, q: ScaleFactor, n_covariances: int) -> Float[Tensor, "s"]:
        """KL(q || prior), and what it adds to the divergences of so many precisions, in nats."""
        wishart, family = self._wishart(q), self.prior.family
        squares = wishart.squares
        zero = q.rate.new_zeros(self.d)
        mean = times(torch.full_like(q.dof, squares), wishart.precision)
        at_mean = family.log_determinant(family.fit(mean, zero), self.d) / squares  # half of it
        higher = self.dof * (at_mean - 0.5 * wishart.log_determinant / squares)
        return (wishart.divergence(self.prior.dof, self.prior.rate) + n_covariances * higher)[:, 0]

    def draw(
        self, q: ScaleFactor, count: int, generator: torch.Generator
    ) -> Float[Tensor, "count 1 *event"]:
        """Factors of Ψ⁻¹ for draws of Ψ from the only set of q."""
        each = q[[0] * count]
        return self.prior.family.draw_factor(each.dof, each.rate, generator)

    def log_ratio(
        self, q: ScaleFactor, factor: Float[Tensor, "count 1 *event"]
    ) -> Float[Tensor, "count"]:
        """log q(Ψ) - log p(Ψ) of draws from the only set of q."""
        return self._wishart(q).log_ratio(self.prior.dof, self.prior.rate, factor)[:, 0]

    def _wishart(self, q: ScaleFactor) -> Wishart:
        return Wishart(self.prior.family, self.d, q.dof, q.rate)
