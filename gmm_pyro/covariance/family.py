"""What a covariance family is: its shapes, its algebra, its features, its M-step and its sites.

See `records.py` for the shapes: s sets, k components, and an axis k|1 of length 1 where components
share one covariance (`sharing.py`). A conjugate prior is a part of its own (`conjugacy.py`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from .records import LOG_2PI, TINY, NaturalParameters, Parameters, Statistics
from .sharing import NOISE_WEIGHT, Sharing


class CovarianceFamily(Sharing):
    """A constraint on the covariance matrices of a mixture, with its algebra.

    Subclasses say how a covariance is stored (its compact form), how z zᵀ enters the features, how
    the M-step turns scatter into a covariance, and which prior sites describe it.
    """

    name: ClassVar[str]
    mclust: ClassVar[str]
    has_sites: ClassVar[bool] = True  # whether a prior can be put on it; else M-steps alone fit it
    factor_support: ClassVar[Constraint]
    _only: ClassVar[CovarianceFamily]

    def __new__(cls) -> Self:
        """The one instance of the class: a copied or unpickled mixture has the same family."""
        if "_only" not in vars(cls):
            cls._only = super().__new__(cls)
        return cast(Self, vars(cls)["_only"])

    def __repr__(self) -> str:
        return f"<covariance family {self.name}>"

    # ------------------------------------------------------------------ counts

    @property
    def of_marginals(self) -> CovarianceFamily:
        """The family of mixtures of some of the features alone, or given the others."""
        return self

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

    def covariance(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 *event"]:
        """Σ in compact form, as `fit` takes it."""
        return self.compress(self.dense(factor, d))

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

    def pack(self, quadratic: Tensor, d: int) -> Float[Tensor, "*k q"]:
        """Coefficients of the quadratic features, from the compact form of a symmetric matrix."""
        return quadratic

    def unpack(self, moments: Float[Tensor, "*k q"], d: int) -> Tensor:
        """Compact second moments, from sums of the quadratic features."""
        return moments

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

        It is NaN where no positive definite covariance was found. The maximum-likelihood one under
        Σ ⪰ diag(floor) has the eigenvalues of floor^-½ Σ floor^-½ raised to 1.
        """

    def fit_all(
        self,
        covariance: Float[Tensor, "s k1 *event"],
        counts: Float[Tensor, "s k"],
        floor: Float[Tensor, "d"],
        current: Float[Tensor, "s k1 *event"] | None = None,
    ) -> Float[Tensor, "s k1 *event"]:
        """The factors of all components, from their empirical covariances and counts.

        A family whose covariances depend on each other overrides it, and may go on from `current`.
        """
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

    def default_prior(self, site: str, spread: Float[Tensor, "d"], k: int) -> Distribution:
        """The default prior of one of the covariance's sites.

        The spread is that of the data, with one number a feature.
        """
        import pyro.distributions as dist  # takes a second to import, and EM has no priors

        log_scale = self.pool(spread.log()) - math.log(k) / len(spread)
        return dist.LogNormal(log_scale, spread.new_tensor(1.0))

    def pool(self, values: Float[Tensor, "d"]) -> Tensor:
        """One value for each standard deviation of a covariance, from one a feature."""
        return values

    # ------------------------------------------------------------------ the user's arrays

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        """Shape of the covariances as the user sees them: scikit-learn's conventions."""
        return self.event_shape(d) if self.tied else (k, *self.event_shape(d))

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

    def parameters(self, values: Mapping[str, Tensor]) -> Parameters:
        """Mixture parameters of s sets of values of all sites, each of shape (s, *site)."""
        log_weights, noise = values["weights"].clamp_min(TINY).log(), values.get(NOISE_WEIGHT)
        log_odds = None if noise is None else noise.logit(TINY)
        return Parameters(log_weights, values["means"], self.factor(dict(values)), log_odds)

    def natural(
        self, parameters: Parameters, reference: Float[Tensor, "*sk d"]
    ) -> NaturalParameters:
        """Natural parameters about a reference point; differentiable."""
        precision = self.precision(parameters.factor)
        shift = parameters.means - reference
        linear = self.product(precision, shift)
        constant = self.log_peak(parameters) - 0.5 * (shift * linear).sum(-1)
        return NaturalParameters(constant, linear, -0.5 * precision, parameters.log_noise)

    def log_peak(self, parameters: Parameters) -> Float[Tensor, "s k"]:
        """log w + log N(μ | μ, Σ) of every component."""
        d = parameters.means.shape[-1]
        log_determinant = self.log_determinant(parameters.factor, d)
        return parameters.log_shares - log_determinant - 0.5 * d * LOG_2PI

    def m_step(
        self,
        statistics: Statistics,
        floor: Float[Tensor, "d"],
        ridge: float = 0.0,
        current: Float[Tensor, "s k1 *event"] | None = None,
    ) -> Parameters:
        """Maximum-likelihood parameters given expected sufficient statistics.

        Args:
            statistics: what a reduction returned.
            floor: smallest variance of each feature.
            ridge: a variance that is added to that of every feature.
            current: factors near which an M-step that is a search goes on, or None.

        Source: Bishop (2006), equations 9.24 to 9.26, about a reference point.
        """
        counts, noise = statistics.counts, statistics.noise
        shift = statistics.first / counts.clamp_min(TINY)[..., None]
        covariance = self.empirical(statistics, shift)
        if ridge:
            covariance = covariance + ridge * self.compress(torch.eye(len(floor)).to(floor))
        log_weights = (counts / counts.sum(-1, keepdim=True)).log()
        log_odds = None if noise is None else noise.log() - counts.sum(-1).log()
        factor = self.fit_all(covariance, counts, floor, current)
        return Parameters(log_weights, statistics.reference + shift, factor, log_odds)

    def empirical(self, statistics: Statistics, shift: Float[Tensor, "s k d"]) -> Tensor:
        """Covariances about the empirical means, in compact form."""
        counts = statistics.counts.clamp_min(TINY)
        counts = counts.reshape(*counts.shape, *(1,) * (statistics.second.ndim - counts.ndim))
        between = self.pooled(self.square(shift) * counts)
        return (statistics.second - between) / self.pooled(counts)
