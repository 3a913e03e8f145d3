"""q(means, precisions): what it is given responsibilities, and what the reduction is to go by.

    E log N(x | μ, P⁻¹)  =  ½ E log|P| - d/2 log 2π - ½ E (x - μ)ᵀ P (x - μ)

is, up to a constant of the component, the log density of a Gaussian with the mean of μ and the
precision E P. So a component of q is one of a mixture whose weight takes the constant, and the
reduction of every other method is the E-step of this one: also of points that are missing or
measured with noise, whose own q is then in it.

Source: Bishop (2006), equations 10.59 to 10.65; Attias (2000).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import ConjugateFamily, Statistics
from ...covariance.records import TINY, Sets, in_order, times
from ...model.draws import standard_normal
from ...model.normal_wishart import Components, IndependentMeans, NormalWishart


@dataclass(frozen=True, eq=False)
class Gaussians:
    """What the reduction takes for the components of q.

    Attributes:
        means: shape (s, k, d).
        factor: of (E P)⁻¹, shape (s, k|1, *event).
        log_heights: by how much the logarithm of each is higher than that of a Gaussian's density:
            ½ E log|P| - ½ log|E P| - ½ E (μ - m)ᵀ P (μ - m), shape (s, k).
    """

    means: Float[Tensor, "s k d"]
    factor: Float[Tensor, "s k1 *event"]
    log_heights: Float[Tensor, "s k"]


@dataclass(frozen=True, eq=False)
class SeparateFactor:
    """q(means) q(precisions) of s sets, where means do not depend on precisions a priori.

    Attributes:
        mean: of the means, shape (s, k, d).
        covariance: of the means, shape (s, k, d, d).
        dof: of the precisions, shape (s, k|1).
        scale: of the precisions, shape (s, k|1, *event).
    """

    mean: Float[Tensor, "s k d"]
    covariance: Float[Tensor, "s k d d"]
    dof: Float[Tensor, "s k1"]
    scale: Float[Tensor, "s k1 *event"]

    def __getitem__(self, sets: Sets) -> SeparateFactor:
        """The chosen sets."""
        return SeparateFactor(*(value[sets] for value in vars(self).values()))

    def permuted(self, order: Int[Tensor, "s k"], *, tied: bool) -> SeparateFactor:
        """The same with component order[j] of every set in place j."""
        own = [in_order(value, order) for value in (self.mean, self.covariance)]
        shared = self.dof, self.scale
        return SeparateFactor(*own, *(shared if tied else (in_order(v, order) for v in shared)))


Factor = NormalWishart | SeparateFactor  # q(means, precisions)


class ComponentsPrior(ABC):
    """The prior of means and precisions, by which their q is updated."""

    prior: NormalWishart | IndependentMeans

    @property
    def family(self) -> ConjugateFamily:
        """The covariance family."""
        return self.prior.family

    @property
    def d(self) -> int:
        """Number of features."""
        return self.prior.mean.shape[-1]

    @abstractmethod
    def under(self, scale: Float[Tensor, "s 1 *event"]) -> ComponentsPrior:
        """The same of another scale a set."""

    @abstractmethod
    def given(self, statistics: Statistics, before: Factor | None) -> Factor:
        """q given expected statistics of the points, and what q was before."""

    @abstractmethod
    def spread_of_means(self, q: Factor, precision: Tensor) -> Float[Tensor, "s k"]:
        """E (μ - m)ᵀ P (μ - m), of means μ about their own mean m."""

    @abstractmethod
    def divergence_of_means(self, q: Factor, precision: Tensor) -> Float[Tensor, "s"]:
        """E KL(q(means) || prior) in nats."""

    @abstractmethod
    def draw(self, q: Factor, count: int, generator: torch.Generator) -> Components:
        """Draws from the only set of q."""

    @abstractmethod
    def log_ratio_of_means(
        self, q: Factor, means: Tensor, precision: Tensor
    ) -> Float[Tensor, "count"]:
        """log q(means | precisions) - log prior, of draws from the only set of q."""

    def expected(self, q: Factor) -> Wishart:
        """q(precisions), with its means."""
        return Wishart(self.family, self.d, q.dof, q.scale)

    def gaussians(self, q: Factor, wishart: Wishart) -> Gaussians:
        """What the reduction takes for the components of q."""
        family, d = self.family, self.d
        factor = wishart.factor
        log_determinant = 0.5 * wishart.log_determinant + family.log_determinant(factor, d)
        spread = self.spread_of_means(q, wishart.precision)
        return Gaussians(q.mean, factor, log_determinant - 0.5 * spread)

    def divergence(self, q: Factor, wishart: Wishart) -> Float[Tensor, "s"]:
        """KL(q || prior) of means and precisions, in nats."""
        found = wishart.divergence(self.prior.dof, self.prior.scale).sum(1)
        return found + self.divergence_of_means(q, wishart.precision)

    def quadratic(self, precision: Tensor, vector: Float[Tensor, "s k d"]) -> Float[Tensor, "s k"]:
        """vᵀ P v."""
        return (vector * self.family.product(precision, vector)).sum(-1)


@dataclass(frozen=True, eq=False)
class Wishart:
    """Precisions P ~ Wishart(dof, scale⁻¹), or gamma distributions, in the form of a family.

    Attributes:
        family: covariance family.
        d: number of features.
        dof: ν, shape (s, k|1).
        scale: Ψ, shape (s, k|1, *event).
    """

    family: ConjugateFamily
    d: int
    dof: Float[Tensor, "s k1"]
    scale: Float[Tensor, "s k1 *event"]

    @property
    def squares(self) -> int:
        """Precisions that one number of Ψ stands for."""
        return self.family.squares_a_point(self.d)

    @property
    def mean_covariance(self) -> Float[Tensor, "s k1 *event"]:
        """E P⁻¹, as `CovarianceFamily.fit` takes it; (E P)⁻¹ where it is infinite."""
        dof = self.dof - self.family.proper_dof(self.d) - 2
        return times(self.squares / torch.where(dof > 0, dof, self.dof), self.scale)

    @cached_property
    def factor(self) -> Float[Tensor, "s k1 *event"]:
        """Of (E P)⁻¹."""
        mean = times(self.squares / self.dof, self.scale)
        return self.family.fit(mean, self.scale.new_zeros(self.d))

    @cached_property
    def precision(self) -> Float[Tensor, "s k1 *event"]:
        """E P."""
        return self.family.precision(self.factor)

    @property
    def log_determinant(self) -> Float[Tensor, "s k1"]:
        """E log |P|."""
        return self.squares * 2 * self._by_dof

    @cached_property
    def _by_dof(self) -> Float[Tensor, "s k1"]:
        """Derivative of the logarithm of the normaliser by the degrees of freedom.

        As in every exponential family, it is a mean (Brown 1986, theorem 2.2).
        """
        with torch.enable_grad():
            dof = self.dof.detach().requires_grad_()
            total = self.family.log_normaliser(dof, self.scale).sum()
            return torch.autograd.grad(total, dof)[0]

    def divergence(self, dof: Tensor, scale: Tensor) -> Float[Tensor, "s k1"]:
        """KL of each from one of other degrees of freedom and another scale, in nats."""
        normaliser = self.family.log_normaliser
        less = normaliser(dof, scale) - normaliser(self.dof, self.scale)
        traces = ((self.scale - scale) * self.precision).flatten(2).sum(2)
        return less + (self.dof - dof) * self._by_dof - 0.5 * traces

    def log_ratio(self, dof: Tensor, scale: Tensor, drawn: Tensor) -> Float[Tensor, "count k1"]:
        """Log density of each at factors of covariances, less that of another distribution."""
        normaliser = self.family.log_normaliser
        less = normaliser(dof, scale) - normaliser(self.dof, self.scale)
        traces = ((self.scale - scale) * self.family.precision(drawn)).flatten(2).sum(2)
        half = -self.family.log_determinant(drawn, self.d) / self.squares
        return less + (self.dof - dof) * half - 0.5 * traces


# ---------------------------------------------------------------------- together


@dataclass(frozen=True, eq=False)
class Joint(ComponentsPrior):
    """Means in units of the covariances: q(means, precisions) is Normal-Wishart too."""

    prior: NormalWishart

    def under(self, scale: Tensor) -> Joint:
        """See the base class."""
        return Joint(replace(self.prior, scale=scale))

    def given(self, statistics: Statistics, before: Factor | None) -> NormalWishart:
        """See the base class."""
        return self.prior.given(statistics)

    def spread_of_means(self, q: Factor, precision: Tensor) -> Float[Tensor, "s k"]:
        """See the base class: d / κ."""
        assert isinstance(q, NormalWishart)
        return self.d / q.mean_strength

    def divergence_of_means(self, q: Factor, precision: Tensor) -> Float[Tensor, "s"]:
        """See the base class."""
        assert isinstance(q, NormalWishart)
        kappa = self.prior.mean_strength
        ratio = kappa / q.mean_strength
        away = kappa * self.quadratic(precision, q.mean - self.prior.mean)
        return 0.5 * (self.d * (ratio - 1 - ratio.log()) + away).sum(1)

    def draw(self, q: Factor, count: int, generator: torch.Generator) -> Components:
        """See the base class."""
        assert isinstance(q, NormalWishart)
        return q[[0] * count].draw(generator)

    def log_ratio_of_means(self, q: Factor, means: Tensor, precision: Tensor) -> Tensor:
        """See the base class."""
        assert isinstance(q, NormalWishart)
        own, prior = q.mean_strength, self.prior.mean_strength
        here = own * self.quadratic(precision, means - q.mean)
        there = prior * self.quadratic(precision, means - self.prior.mean)
        return 0.5 * (self.d * (own / prior).log() - here + there).sum(1)


# ---------------------------------------------------------------------- apart


@dataclass(frozen=True, eq=False)
class Separate(ComponentsPrior):
    """Means that do not depend on precisions: q(means) q(precisions), one after the other."""

    prior: IndependentMeans

    def under(self, scale: Tensor) -> Separate:
        """See the base class."""
        return Separate(replace(self.prior, scale=scale))

    def given(self, statistics: Statistics, before: Factor | None) -> SeparateFactor:
        """See the base class: means given E P, then precisions given the means' q.

        Before there is any E P, it is that of means that are where the points are.
        """
        if before is None:
            still = statistics.first.new_zeros(*statistics.first.shape, self.d)
            before = self._of_precisions(statistics, statistics.means, still)
        assert isinstance(before, SeparateFactor)
        mean, covariance = self._of_means(statistics, before)
        return self._of_precisions(statistics, mean, covariance)

    def _of_means(
        self, statistics: Statistics, before: SeparateFactor
    ) -> tuple[Float[Tensor, "s k d"], Float[Tensor, "s k d d"]]:
        """Mean and covariance of the means' q, given E P."""
        factor = self.expected(before).factor
        precision = torch.cholesky_inverse(self.family.scale_tril(factor, self.d))
        precision = precision.expand(*statistics.first.shape, -1)
        own = self.prior.mean_scale.square().reciprocal()
        root = torch.linalg.cholesky_ex(times(statistics.counts, precision) + own.diag())[0]
        offset = self.prior.mean - statistics.reference
        pulled = (precision @ statistics.first[..., None])[..., 0] + own * offset
        mean = torch.cholesky_solve(pulled[..., None], root)[..., 0]
        return statistics.reference + mean, torch.cholesky_inverse(root)

    def _of_precisions(
        self, statistics: Statistics, mean: Tensor, covariance: Tensor
    ) -> SeparateFactor:
        """The precisions' q, given that of the means, beside it."""
        family, n = self.family, statistics.counts
        middle = statistics.first / n.clamp_min(TINY)[..., None]
        away = family.square(middle - (mean - statistics.reference)) - family.square(middle)
        gain = family.pooled(times(n, away + family.compress(covariance)))
        dof = self.prior.dof + family.pooled(n) * family.squares_a_point(self.d)
        scale = self.prior.scale + statistics.second + gain
        return SeparateFactor(mean, covariance, dof, scale)

    def spread_of_means(self, q: Factor, precision: Tensor) -> Float[Tensor, "s k"]:
        """See the base class: tr(E P V)."""
        assert isinstance(q, SeparateFactor)
        return (self.family.compress(q.covariance) * precision).flatten(2).sum(2)

    def divergence_of_means(self, q: Factor, precision: Tensor) -> Float[Tensor, "s"]:
        """See the base class."""
        assert isinstance(q, SeparateFactor)
        variance = self.prior.mean_scale.square()
        away = (q.mean - self.prior.mean).square() + q.covariance.diagonal(dim1=-2, dim2=-1)
        volumes = variance.log().sum() - torch.linalg.slogdet(q.covariance)[1]
        return 0.5 * ((away / variance).sum(-1) - self.d + volumes).sum(1)

    def draw(self, q: Factor, count: int, generator: torch.Generator) -> Components:
        """See the base class."""
        each = q[[0] * count]
        assert isinstance(each, SeparateFactor)
        noise = standard_normal(each.mean, generator)[..., None]
        root = torch.linalg.cholesky_ex(each.covariance)[0]
        factor = self.family.draw_factor(each.dof, each.scale, generator)
        return Components(each.mean + (root @ noise)[..., 0], factor)

    def log_ratio_of_means(self, q: Factor, means: Tensor, precision: Tensor) -> Tensor:
        """See the base class."""
        assert isinstance(q, SeparateFactor)
        variance, shift = self.prior.mean_scale.square(), (means - q.mean)[..., None]
        root = torch.linalg.cholesky_ex(q.covariance)[0].expand(len(means), -1, -1, -1)
        z = torch.linalg.solve_triangular(root, shift, upper=False)[..., 0]
        here = z.square().sum(-1) + torch.linalg.slogdet(q.covariance)[1]
        there = (means - self.prior.mean).square() / variance + variance.log()
        return 0.5 * (there.sum(-1) - here).sum(1)


def components_prior(prior: NormalWishart | IndependentMeans) -> ComponentsPrior:
    """The prior of components as variational Bayes has it."""
    return Joint(prior) if isinstance(prior, NormalWishart) else Separate(prior)
