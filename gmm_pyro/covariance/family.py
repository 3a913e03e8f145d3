"""What a covariance family is, and the three records that families and the reduction exchange.

Shapes: s sets of parameters (restarts, particles, draws), k components, d features. A family whose
components share one covariance keeps a component axis of length 1 on it, written k|1 below, so
that it broadcasts and stays one leaf for autograd.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

TINY = torch.finfo(torch.float64).tiny  # guards a division by the count of an empty component
LOG_2PI = math.log(2 * math.pi)

Sets = slice | list[int] | Tensor  # which of the s sets of a batch


@dataclass(frozen=True, eq=False)
class Parameters:
    """s sets of mixture parameters.

    Attributes:
        log_weights: logarithms of the mixture weights, shape (s, k).
        means: shape (s, k, d).
        factor: the family's compact square root of the covariances, shape (s, k|1, *event): lower
            Cholesky factors or standard deviations.
    """

    log_weights: Float[Tensor, "s k"]
    means: Float[Tensor, "s k d"]
    factor: Float[Tensor, "s k1 *event"]

    def __getitem__(self, sets: Sets) -> Parameters:
        """The chosen sets."""
        return Parameters(self.log_weights[sets], self.means[sets], self.factor[sets])

    @classmethod
    def joined(cls, batches: Sequence[Parameters]) -> Parameters:
        """All sets of some batches, one batch after the other."""
        parts = zip(*(vars(batch).values() for batch in batches), strict=True)
        return cls(*(torch.cat(values) for values in parts))


@dataclass(frozen=True, eq=False)
class NaturalParameters:
    """One row of natural parameters a component, about a reference point.

    With z = x - reference, the logit of point x under a component is

        log w + log N(x | μ, Σ) = constant + linear · z + <quadratic, z zᵀ>.

    Attributes:
        constant: shape (s, k).
        linear: P (μ - reference), shape (s, k, d), with the precision matrix P = Σ⁻¹.
        quadratic: -P / 2 in the family's compact form, shape (s, k|1, *event).
    """

    constant: Float[Tensor, "s k"]
    linear: Float[Tensor, "s k d"]
    quadratic: Float[Tensor, "s k1 *event"]

    def __getitem__(self, sets: Sets) -> NaturalParameters:
        """The chosen sets."""
        return NaturalParameters(self.constant[sets], self.linear[sets], self.quadratic[sets])


@dataclass(frozen=True, eq=False)
class Statistics:
    """Expected sufficient statistics of s sets: what one pass over the data leaves.

    With z = x - reference, responsibilities r and sample weights u:

    Attributes:
        log_norm: Σ u log p(x), the log-likelihood in nats, shape (s,).
        counts: Σ u r, shape (s, k).
        first: Σ u r z, shape (s, k, d).
        second: Σ u r z zᵀ in the family's compact form, shape (s, k|1, *event).
        reference: the points that the moments are about, shape (d,) or (s, k, d).
    """

    log_norm: Float[Tensor, "s"]
    counts: Float[Tensor, "s k"]
    first: Float[Tensor, "s k d"]
    second: Float[Tensor, "s k1 *event"]
    reference: Float[Tensor, "*sk d"]

    @property
    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """The derivatives of `log_norm` by constant, linear and quadratic natural parameters."""
        return self.counts, self.first, self.second

    def __getitem__(self, sets: Sets) -> Statistics:
        """The chosen sets."""
        reference = self.reference if self.reference.ndim == 1 else self.reference[sets]
        sums = (self.log_norm[sets], self.counts[sets], self.first[sets], self.second[sets])
        return Statistics(*sums, reference)


class CovarianceFamily(ABC):
    """A constraint on the covariance matrices of a mixture, with its algebra.

    Subclasses say how a covariance is stored (its compact form), how z zᵀ enters the features, how
    the M-step turns scatter into a covariance, and which prior sites describe it. Nothing else in
    the package asks which family it deals with.
    """

    name: ClassVar[str]
    mclust: ClassVar[str]
    tied: ClassVar[bool]
    factor_support: ClassVar[Constraint]
    _only: ClassVar[CovarianceFamily]

    def __new__(cls) -> Self:
        """The one instance of the class: a copied or unpickled mixture has the same family."""
        if "_only" not in vars(cls):
            cls._only = super().__new__(cls)
        return cast(Self, vars(cls)["_only"])

    def __repr__(self) -> str:
        return f"<covariance family {self.name}>"

    # ------------------------------------------------------------------ shapes and counts

    def n_covariances(self, k: int) -> int:
        """Number of distinct covariances among k components: the k|1 of the shapes."""
        return 1 if self.tied else k

    @abstractmethod
    def event_shape(self, d: int) -> tuple[int, ...]:
        """Shape of one covariance in compact form."""

    def pooled(self, values: Float[Tensor, "s k *value"]) -> Float[Tensor, "s k1 *value"]:
        """What belongs to each covariance: the sum over the components, where they share one."""
        return values.sum(1, keepdim=True) if self.tied else values

    def by_covariance(self, values: Float[Tensor, "s k *value"]) -> Float[Tensor, "u c *value"]:
        """What belongs to each covariance of all sets, one after the other, a component at a time.

        Where components have covariances of their own, c is 1 and u is s k; else u is s.
        """
        return values if self.tied else values.flatten(0, 1)[:, None]

    def in_order(
        self, values: Float[Tensor, "s k1 *value"], order: Int[Tensor, "s k"]
    ) -> Float[Tensor, "s k1 *value"]:
        """What belongs to each covariance, after component order[j] has come to place j."""
        sets = torch.arange(len(order), device=order.device)[:, None]
        return values if self.tied else values[sets, order]

    def shares(self, site: str) -> bool:
        """Whether components have one value of a site in common, or of the covariances."""
        return self.tied and site not in ("weights", "means")

    def of_component(self, component: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
        """The number of each component's covariance: 0, where they share one."""
        return torch.zeros_like(component) if self.tied else component

    def factor_shape(self, k: int, d: int) -> tuple[int, ...]:
        """Shape of the factors of one set of k components: (k|1, *event)."""
        return self.n_covariances(k), *self.event_shape(d)

    @property
    def is_matrix(self) -> bool:
        """Whether a covariance in compact form is a matrix, as features are correlated."""
        return len(self.event_shape(1)) == 2

    @abstractmethod
    def n_covariance_parameters(self, d: int) -> int:
        """Free parameters of one covariance."""

    def n_parameters(self, k: int, d: int) -> int:
        """Free parameters of a mixture: weights, means and covariances."""
        return k - 1 + k * d + self.n_covariances(k) * self.n_covariance_parameters(d)

    # ------------------------------------------------------------------ algebra of one covariance

    @abstractmethod
    def log_determinant(self, factor: Tensor, d: int) -> Float[Tensor, "*k1"]:
        """Half of log det Σ."""

    @abstractmethod
    def precision(self, factor: Tensor) -> Tensor:
        """Σ⁻¹ in compact form."""

    @abstractmethod
    def product(self, compact: Tensor, vector: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """The matrix that `compact` stands for, times a vector for each component."""

    @abstractmethod
    def diagonal(self, compact: Tensor, d: int) -> Float[Tensor, "*k d"]:
        """The diagonal of the matrix that `compact` stands for."""

    @abstractmethod
    def whiten(self, factor: Tensor, z: Float[Tensor, "*k n d"]) -> Float[Tensor, "*k n d"]:
        """L⁻¹ z for n points a component, where Σ = L Lᵀ."""

    @abstractmethod
    def dense(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 d d"]:
        """The covariance matrices."""

    @abstractmethod
    def scale_tril(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 d d"]:
        """Lower Cholesky factors of the covariance matrices."""

    def deviations(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 d"]:
        """Standard deviations of the features."""
        return self.scale_tril(factor, d).square().sum(-1).sqrt()

    @abstractmethod
    def emission(
        self, means: Float[Tensor, "*b d"], factor: Tensor, *, validate_args: bool | None = None
    ) -> Distribution:
        """Pyro distribution of a point whose component has these parameters."""

    @abstractmethod
    def rescaled(self, factor: Tensor, scale: Float[Tensor, "d"]) -> Tensor:
        """The factor after each feature is multiplied by its scale.

        A spherical covariance is multiplied by the geometric mean of the scales.
        """

    @abstractmethod
    def marginal(self, factor: Tensor, columns: list[int]) -> Tensor:
        """The factor of some of the features, in this order."""

    @abstractmethod
    def remainder(self, factor: Tensor, known: int) -> Tensor:
        """The factor of the last features, given the values of the first ones."""

    # ------------------------------------------------------------------ features

    @abstractmethod
    def n_features(self, d: int) -> int:
        """Number of quadratic features."""

    def n_own_features(self, d: int) -> int:
        """Quadratic features that tell components apart: none, where they share a covariance."""
        return 0 if self.tied else self.n_features(d)

    @abstractmethod
    def quadratic_features(
        self, z: Float[Tensor, "d n"], out: Float[Tensor, "q n"]
    ) -> Callable[[], Any]:
        """A function that writes the quadratic features of the n points that z then holds.

        Slicing costs as much as the arithmetic of a small chunk, so it is done here, once.
        """

    @abstractmethod
    def pack(self, quadratic: Tensor, d: int) -> Float[Tensor, "*k q"]:
        """Coefficients of the quadratic features, from the compact form of a symmetric matrix."""

    @abstractmethod
    def unpack(self, moments: Float[Tensor, "*k q"], d: int) -> Tensor:
        """Compact second moments, from sums of the quadratic features."""

    @abstractmethod
    def square(self, z: Float[Tensor, "*k d"]) -> Tensor:
        """z zᵀ in compact form."""

    @abstractmethod
    def weighted_square(self, z: Float[Tensor, "*k n d"], weight: Float[Tensor, "*k n"]) -> Tensor:
        """Σ_n weight z zᵀ in compact form, for each component."""

    @abstractmethod
    def compress(self, matrix: Float[Tensor, "*k d d"]) -> Tensor:
        """A symmetric matrix in compact form: what `square` gives for z zᵀ."""

    # ------------------------------------------------------------------ M-step

    @abstractmethod
    def fit(self, covariance: Tensor, floor: Float[Tensor, "d"]) -> Tensor:
        """Factor of the closest covariance that is nowhere below the floor.

        Args:
            covariance: empirical covariances in compact form, shape (..., *event).
            floor: smallest variance of each feature, shape (d,); the maximum-likelihood covariance
                under Σ ⪰ diag(floor) has the eigenvalues of floor^-½ Σ floor^-½ raised to 1.

        Returns:
            The factor; NaN where no positive definite covariance was found.
        """

    def fit_all(
        self,
        covariance: Float[Tensor, "s k1 *event"],
        counts: Float[Tensor, "s k"],
        floor: Float[Tensor, "d"],
    ) -> Float[Tensor, "s k1 *event"]:
        """The factors of all components, from their empirical covariances and counts.

        What `fit` finds for each; a family whose covariances depend on each other overrides this.
        """
        del counts
        return self.fit(covariance, floor)

    @abstractmethod
    def smallest_ratio(self, factor: Tensor, variance: Float[Tensor, "d"]) -> Float[Tensor, "*k1"]:
        """Smallest eigenvalue of each covariance, in units of each feature's variance."""

    # ------------------------------------------------------------------ prior sites

    @abstractmethod
    def site_shapes(self, k: int, d: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the covariance's sites in a Pyro program, in the order they are sampled."""

    @abstractmethod
    def factor(self, sites: dict[str, Tensor]) -> Tensor:
        """The factor from the sites; leading batch axes are kept."""

    @abstractmethod
    def sites(self, factor: Tensor) -> dict[str, Tensor]:
        """The sites from the factor: the inverse of `factor`."""

    # ------------------------------------------------------------------ conjugate prior

    # A precision matrix P has the prior density ∝ |P|^((ν - c) / 2) exp(-tr(Ψ P) / 2), where c is
    # such that ν are degrees of freedom: a Wishart, or a gamma distribution of each precision.

    @abstractmethod
    def squares_a_point(self, d: int) -> int:
        """Degrees of freedom that one point adds to the posterior of its component's precision."""

    @abstractmethod
    def proper_dof(self, d: int) -> int:
        """Degrees of freedom ν that the prior must have more of, to be one."""

    @abstractmethod
    def precision_prior(self, dof: Tensor, scale: Tensor) -> Any:
        """Pyro distribution of the site `precisions`, given ν and Ψ in compact form."""

    @abstractmethod
    def precision_sites(self, factor: Tensor) -> dict[str, Tensor]:
        """The site `precisions` from the factor; `factor` is its inverse, too."""

    @abstractmethod
    def draw_factor(
        self, dof: Float[Tensor, "*k1"], scale: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Factors of the covariances that belong to draws of the precisions."""

    @abstractmethod
    def log_normaliser(self, dof: Float[Tensor, "*k1"], scale: Tensor) -> Float[Tensor, "*k1"]:
        """Logarithm of the integral of the unnormalised density of the precisions."""

    def pool(self, values: Float[Tensor, "d"]) -> Tensor:
        """One value for each standard deviation of a covariance, from one a feature."""
        return values

    # ------------------------------------------------------------------ the user's arrays

    @abstractmethod
    def shape(self, k: int, d: int) -> tuple[int, ...]:
        """Shape of the covariances as the user sees them: scikit-learn's conventions."""

    @abstractmethod
    def covariances(self, factor: Tensor) -> Tensor:
        """The covariances as the user sees them, from the factor of one set."""

    @abstractmethod
    def precisions(self, factor: Tensor) -> Tensor:
        """The precisions Σ⁻¹ in the shapes of `covariances`, from the factor of one set."""

    @abstractmethod
    def precision_cholesky(self, factor: Tensor) -> Tensor:
        """Roots C of the precisions, Σ⁻¹ = C Cᵀ, in the shapes of `covariances`.

        Upper triangular, or reciprocals of standard deviations.
        """

    @abstractmethod
    def factorise(self, covariances: Tensor) -> Tensor:
        """The factor of one set; NaN where a covariance is not positive definite."""

    # ------------------------------------------------------------------ shared by all families

    def natural(
        self, parameters: Parameters, reference: Float[Tensor, "*sk d"]
    ) -> NaturalParameters:
        """Natural parameters about a reference point; differentiable."""
        precision = self.precision(parameters.factor)
        shift = parameters.means - reference
        linear = self.product(precision, shift)
        constant = self.log_peak(parameters) - 0.5 * (shift * linear).sum(-1)
        return NaturalParameters(constant, linear, -0.5 * precision)

    def log_peak(self, parameters: Parameters) -> Float[Tensor, "s k"]:
        """log w + log N(μ | μ, Σ) of every component."""
        d = parameters.means.shape[-1]
        log_determinant = self.log_determinant(parameters.factor, d)
        return parameters.log_weights - log_determinant - 0.5 * d * LOG_2PI

    def m_step(
        self, statistics: Statistics, floor: Float[Tensor, "d"], ridge: float = 0.0
    ) -> Parameters:
        """Maximum-likelihood parameters given expected sufficient statistics.

        Args:
            statistics: what a reduction returned.
            floor: smallest variance of each feature.
            ridge: a variance that is added to that of every feature.

        Source: Bishop (2006), equations 9.24 to 9.26, about a reference point.
        """
        counts = statistics.counts
        shift = statistics.first / counts.clamp_min(TINY)[..., None]
        covariance = self.empirical(statistics, shift)
        if ridge:
            covariance = covariance + ridge * self.compress(torch.eye(len(floor)).to(floor))
        log_weights = (counts / counts.sum(-1, keepdim=True)).log()
        factor = self.fit_all(covariance, counts, floor)
        return Parameters(log_weights, statistics.reference + shift, factor)

    def empirical(self, statistics: Statistics, shift: Float[Tensor, "s k d"]) -> Tensor:
        """Covariances about the empirical means, in compact form."""
        counts = statistics.counts.clamp_min(TINY)
        counts = counts.reshape(*counts.shape, *(1,) * (statistics.second.ndim - counts.ndim))
        between = self.pooled(self.square(shift) * counts)
        return (statistics.second - between) / self.pooled(counts)
