"""A conjugate prior whose concentration, scale or number of components is unknown itself.

Given these it is the conjugate prior, so that the components of known points are drawn, or
integrated out, in closed form. A partition of n points into blocks of N_1, …, N_b has, among k
components whose weights are Dirichlet(γ, …, γ), the prior probability

    k! / (k - b)!  ·  Γ(k γ) / Γ(k γ + n)  ·  Π_j Γ(N_j + γ) / Γ(γ)

where γ is the concentration e of a static prior, and α / k of a dynamic one.

Source: Frühwirth-Schnatter, Malsiner-Walli & Grün (2021), §2; Richardson & Green (1997) for scales;
Ishwaran & James (2001) for sticks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..covariance import ConjugateFamily
from ..covariance.records import times
from ..data.checks import check_number, shown
from .concentration import Concentration, DirichletProcess, Dynamic
from .normal_wishart import IndependentMeans, NormalWishart


@dataclass(frozen=True, eq=False)
class RandomScale:
    """A scale of the components' precisions that is unknown, and in common to them.

        precisions P of each component ~ Wishart(dof of the prior, Ψ⁻¹)
        Ψ                              ~ Wishart(dof, dof · mean⁻¹), or gamma distributions

    So components are alike in size, at a size that the data say. With one feature, and a prior
    `dof` of 4, this is Richardson & Green's (1997): 1/σ² ~ Gamma(2, β) with Ψ = 2 β.

    Attributes:
        dof: degrees of freedom, above d - 1 for full covariances and above 0 for others; one more
            than that if None.
        mean: prior mean of Ψ: one number, d numbers or a matrix (d, d); the default of
            `ConjugatePriors(scale=...)` if None.

    Example:
        >>> RandomScale(dof=0.4, mean=1.0).dof
        0.4
    """

    dof: float | None = None
    mean: Any = None

    def __post_init__(self) -> None:
        if self.dof is not None:
            object.__setattr__(self, "dof", check_number("dof", self.dof, positive=True))


@dataclass(frozen=True, eq=False)
class ScalePrior:
    """The distribution of Ψ, in the compact form of a family.

    Attributes:
        family: covariance family.
        dof: degrees of freedom, shape (s, 1); s is 1 but where precisions are given.
        rate: the matrix H of the density ∝ |Ψ|^(…) exp(-tr(H Ψ) / 2), shape (s, 1, *event).
    """

    family: ConjugateFamily
    dof: Float[Tensor, "s 1"]
    rate: Float[Tensor, "s 1 *event"]

    @classmethod
    def of(
        cls, family: ConjugateFamily, dof: float | None, mean: Tensor, like: Tensor
    ) -> ScalePrior:
        """The one of this mean, a matrix (d, d).

        Raises:
            ValueError: if there are too few degrees of freedom.
        """
        d = len(mean)
        least = family.proper_dof(d)
        dof = least + 1.0 if dof is None else dof
        if not dof > least:
            raise ValueError(
                f"dof of a RandomScale must be above {least} for {family.name} covariances in {d} "
                f"dimensions, got {shown(dof)}"
            )
        inverse = torch.linalg.inv(mean) if family.is_matrix else family.compress(mean).reciprocal()
        return cls(family, like.new_tensor([[dof]]), (dof * inverse).to(like)[None, None])

    def draw(self, count: int, generator: torch.Generator) -> Float[Tensor, "s 1 *event"]:
        """Draws from the prior."""
        rate = self.rate.expand(count, *self.rate.shape[1:])
        return replace(self, dof=self.dof.expand(count, 1), rate=rate).draw_each(generator)

    def given(
        self,
        total: Float[Tensor, "s 1 *event"],
        count: Float[Tensor, "s"],
        dof: Float[Tensor, "1 1"],
    ) -> ScalePrior:
        """The distributions given precisions of components.

        Args:
            total: sums of the precisions of each set, in compact form.
            count: how many there are in each.
            dof: of their distribution.
        """
        return replace(self, dof=self.dof + count[:, None] * dof, rate=self.rate + total)

    def draw_each(self, generator: torch.Generator) -> Float[Tensor, "s 1 *event"]:
        """A draw of each set: as of precisions whose scale is the rate."""
        return self.family.precision(self.family.draw_factor(self.dof, self.rate, generator))

    def log_density(self, scale: Float[Tensor, "*event"]) -> Float[Tensor, "s"]:
        """Of one scale under each set, in nats."""
        matrix, dof = self.family.is_matrix, self.dof[:, 0]
        dof = dof if matrix else dof[:, None]
        found: Tensor = self.family.precision_prior(dof, self.rate[:, 0]).log_prob(scale)
        return found if matrix else found.sum(-1)


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """A conjugate prior given what is unknown of it, and the distributions of that.

    Attributes:
        components: of means and covariances; where the scale is random, in place of it its mean.
        concentration: of the weights.
        log_sizes: log prior of 1, 2, … components, up to the most, in nats; -inf but for the last
            where their number is known.
        scale: distribution of the scale, if it is random.
        noise: a and b of the weight of a noise component, Beta(a, b); None without one.
    """

    components: NormalWishart | IndependentMeans
    concentration: Concentration
    log_sizes: Float[Tensor, "most"]
    scale: ScalePrior | None = None
    noise: tuple[float, float] | None = None

    @property
    def most(self) -> int:
        """The largest number of components."""
        return len(self.log_sizes)

    @property
    def largest(self) -> int:
        """The largest number of components that has a probability."""
        return 1 + int(self.log_sizes.isfinite().nonzero().max())

    @property
    def is_known(self) -> bool:
        """Whether the number of components is."""
        return not bool(self.log_sizes[:-1].isfinite().any())

    @property
    def sticks(self) -> bool:
        """Whether weights are broken off a stick."""
        return isinstance(self.concentration, DirichletProcess)

    @cached_property
    def sizes(self) -> Int[Tensor, "most"]:
        """1, 2, … most."""
        return torch.arange(1, self.most + 1, device=self.log_sizes.device)

    def given(self, scale: Float[Tensor, "s 1 *event"] | None) -> NormalWishart | IndependentMeans:
        """The distribution of the components, given scales."""
        return self.components if scale is None else replace(self.components, scale=scale)

    def scale_given(
        self, factor: Float[Tensor, "s k1 *event"], there: Bool[Tensor, "s k"]
    ) -> ScalePrior | None:
        """The distributions of scales given covariances of some components; None of a known one.

        Args:
            factor: of the covariances.
            there: which components these are.
        """
        if self.scale is None:
            return None
        family = self.components.family
        count = (there.any(1, keepdim=True) if family.tied else there).to(factor)
        total = times(count, family.precision(factor)).sum(1, keepdim=True)
        return self.scale.given(total, count.sum(1), self.components.dof)

    def log_over(
        self, factor: Float[Tensor, "s k1 *event"], scale: Float[Tensor, "*event"]
    ) -> Float[Tensor, "s"]:
        """Log density in nats of precisions with the scale integrated out, over that given one.

        By Bayes' rule it is p(Ψ) / p(Ψ | precisions); 0 where the scale is known.
        """
        there = torch.ones(factor.shape[:2], dtype=torch.bool, device=factor.device)
        given = self.scale_given(factor, there)
        if self.scale is None or given is None:
            return torch.zeros_like(factor.flatten(1)[:, 0])
        return self.scale.log_density(scale) - given.log_density(scale)

    def log_partitions(
        self, counts: Float[Tensor, "s m"], concentration: Float[Tensor, "s"]
    ) -> Float[Tensor, "s most"]:
        """Log probability that points part so, and of each number of components, in nats.

        Args:
            counts: points of the blocks of each partition, zeros among them.
            concentration: e, or α.
        """
        blocks, n = (counts > 0).sum(1, keepdim=True), counts.sum(1, keepdim=True)
        k = self.sizes.to(counts)
        gamma = self.concentration.of_each(concentration[:, None], k)
        ways = (k + 1).lgamma() - (k - blocks + 1).clamp_min(1).lgamma()
        total = (gamma * k).lgamma() - (gamma * k + n).lgamma()
        each = gamma if isinstance(self.concentration, Dynamic) else gamma[:, :1]
        each = each[..., None]  # a static one is that of every k
        filled = ((counts[:, None] + each).lgamma() - each.lgamma()).where(
            (counts > 0)[:, None], counts.new_zeros(())
        )
        found = self.log_sizes + ways + total + filled.sum(2)
        return found.masked_fill(k < blocks, -math.inf)

    def log_prior_of_weights(
        self,
        log_weights: Float[Tensor, "s k"],
        size: Int[Tensor, "s"],
        concentration: Float[Tensor, "s"],
    ) -> Float[Tensor, "s"]:
        """Log Dirichlet density of the weights that there are, given how many, in nats.

        Args:
            log_weights: -inf where there is no component.
            size: number of components.
            concentration: e, or α.
        """
        k, each = size.to(log_weights), self.concentration.of_each(concentration, size)
        total = log_weights.where(log_weights.isfinite(), 0.0).sum(-1)
        return (each * k).lgamma() - k * each.lgamma() + (each - 1) * total

    def log_labels(
        self, counts: Float[Tensor, "s k"], concentration: Float[Tensor, "s"]
    ) -> Float[Tensor, "s"]:
        """Log probability in nats of the components of all points, where weights are of a stick.

        It is Π_{j<k} α Γ(1 + n_j) Γ(α + m_j) / Γ(1 + α + n_j + m_j), where m_j are in later ones.
        """
        after, alpha = beyond(counts)[:, :-1], concentration[:, None]
        own = counts[:, :-1]
        found = alpha.log() + (own + 1).lgamma() + (alpha + after).lgamma()
        return (found - (1 + alpha + own + after).lgamma()).sum(1)


def beyond(counts: Float[Tensor, "s k"]) -> Float[Tensor, "s k"]:
    """How many points the components after each one have."""
    return counts.flip(1).cumsum(1).flip(1) - counts
