"""Families whose covariances are diagonal: the compact form is a vector of standard deviations.

A spherical covariance is a vector of length one, which broadcasts over the features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, constraints

from .conjugacy import ConjugateFamily
from .family import CovarianceFamily


class DiagonalAlgebra(CovarianceFamily):
    """What diagonal covariances have in common, with or without a conjugate prior."""

    tied = False
    factor_support = constraints.positive

    def event_shape(self, d: int) -> tuple[int, ...]:
        """See the base class."""
        return (d,)

    def n_covariance_parameters(self, d: int) -> int:
        """See the base class."""
        return self.event_shape(d)[0]

    def log_determinant(self, factor: Tensor, d: int) -> Float[Tensor, "*k1"]:
        """See the base class."""
        return factor.log().expand(*factor.shape[:-1], d).sum(-1)

    def precision(self, factor: Tensor) -> Tensor:
        """See the base class."""
        return factor.square().reciprocal()

    def product(self, compact: Tensor, vector: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """See the base class."""
        return compact * vector

    def diagonal(self, compact: Tensor, d: int) -> Float[Tensor, "*k d"]:
        """See the base class."""
        return compact.expand(*compact.shape[:-1], d)

    def whiten(self, factor: Tensor, z: Float[Tensor, "*k n d"]) -> Float[Tensor, "*k n d"]:
        """See the base class."""
        return z / factor[..., None, :]

    def dense(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 d d"]:
        """See the base class."""
        return torch.diag_embed(factor.square().expand(*factor.shape[:-1], d))

    def scale_tril(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 d d"]:
        """See the base class."""
        return torch.diag_embed(factor.expand(*factor.shape[:-1], d))

    def deviations(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 d"]:
        """See the base class."""
        return factor.expand(*factor.shape[:-1], d)

    def emission(
        self, means: Float[Tensor, "*b d"], factor: Tensor, *, validate_args: bool | None = None
    ) -> Distribution:
        """See the base class."""
        import pyro.distributions as dist  # only the Pyro program needs it

        return dist.Normal(means, factor, validate_args=validate_args).to_event(1)

    def covariance(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 *event"]:
        """Without a matrix."""
        return factor.square() * (d // factor.shape[-1])

    def rescaled(self, factor: Tensor, scale: Float[Tensor, "d"]) -> Tensor:
        """See the base class."""
        return factor * self.pool(scale.log()).exp()

    def marginal(self, factor: Tensor, columns: list[int]) -> Tensor:
        """See the base class."""
        return factor[..., columns]

    def remainder(self, factor: Tensor, known: int) -> Tensor:
        """See the base class."""
        return factor[..., known:]

    def n_features(self, d: int) -> int:
        """See the base class."""
        return self.event_shape(d)[0]

    def quadratic_features(
        self, z: Float[Tensor, "d n"], out: Float[Tensor, "q n"]
    ) -> Callable[[], Any]:
        """Squares only."""
        return lambda: torch.mul(z, z, out=out)

    def square(self, z: Float[Tensor, "*k d"]) -> Tensor:
        """See the base class."""
        return z.square()

    def weighted_square(self, z: Float[Tensor, "*k n d"], weight: Float[Tensor, "*k n"]) -> Tensor:
        """See the base class."""
        return (weight[..., None, :] @ z.square())[..., 0, :]

    def compress(self, matrix: Float[Tensor, "*k d d"]) -> Tensor:
        """The diagonal."""
        return matrix.diagonal(dim1=-2, dim2=-1)

    def fit(self, covariance: Tensor, floor: Float[Tensor, "d"]) -> Tensor:
        """See the base class."""
        raised = torch.maximum(covariance, floor)
        return torch.where(raised > 0, raised, torch.nan).sqrt()

    def smallest_ratio(self, factor: Tensor, variance: Float[Tensor, "d"]) -> Float[Tensor, "*k1"]:
        """See the base class."""
        return (factor.square() / variance).amin(-1)

    def site_shapes(self, k: int, d: int) -> dict[str, tuple[int, ...]]:
        """Standard deviations only."""
        return {"scales": self.shape(k, d)}

    def factor(self, sites: dict[str, Tensor]) -> Tensor:
        """The standard deviations, whether the sites have them or the precisions."""
        scales = sites["precisions"].rsqrt() if "precisions" in sites else sites["scales"]
        return self.inward(scales)

    def sites(self, factor: Tensor) -> dict[str, Tensor]:
        """See the base class."""
        return {"scales": self.outward(factor)}

    def covariances(self, factor: Tensor) -> Tensor:
        """Variances."""
        return self.outward(factor).square()

    def precisions(self, factor: Tensor) -> Tensor:
        """See the base class."""
        return self.precision_cholesky(factor).square()

    def precision_cholesky(self, factor: Tensor) -> Tensor:
        """Reciprocals of the standard deviations."""
        return self.outward(factor).reciprocal()

    def factorise(self, covariances: Tensor) -> Tensor:
        """See the base class."""
        scales = torch.where(covariances > 0, covariances, torch.nan).sqrt()
        return self.factor({"scales": scales})


class GammaPrior(ConjugateFamily):
    """Gamma distributions of the precisions."""

    def squares_a_point(self, d: int) -> int:
        """One for every precision."""
        return d // self.event_shape(d)[0]

    def proper_dof(self, d: int) -> int:
        """See the base class."""
        return 0

    def precision_prior(self, dof: Tensor, scale: Tensor) -> Any:
        """See the base class."""
        import pyro.distributions as dist

        return dist.Gamma(0.5 * dof.expand_as(scale), 0.5 * scale, validate_args=False)

    def draw_factor(
        self, dof: Float[Tensor, "*k1"], scale: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """See the base class."""
        half = (0.5 * dof)[..., None].expand_as(scale).contiguous()
        drawn = torch._standard_gamma(half, generator=generator)
        return (0.5 * scale / drawn).sqrt()

    def log_normaliser(self, dof: Float[Tensor, "*k1"], scale: Tensor) -> Float[Tensor, "*k1"]:
        """See the base class."""
        half = 0.5 * dof[..., None]
        return (half.lgamma() - half * (0.5 * scale).log()).sum(-1)


class Diagonal(GammaPrior, DiagonalAlgebra):
    """Every component has a variance of its own for each feature (mclust's VVI)."""

    name = "diag"
    mclust = "VVI"


class TiedDiagonal(Diagonal):
    """One variance for each feature, shared by all components (mclust's EEI)."""

    name = "tied_diag"
    mclust = "EEI"
    tied = True


class Spherical(Diagonal):
    """Every component has one variance of its own (mclust's VII)."""

    name = "spherical"
    mclust = "VII"

    def event_shape(self, d: int) -> tuple[int, ...]:
        """One number."""
        return (1,)

    def marginal(self, factor: Tensor, columns: list[int]) -> Tensor:
        """See the base class."""
        return factor

    def remainder(self, factor: Tensor, known: int) -> Tensor:
        """See the base class."""
        return factor

    def quadratic_features(
        self, z: Float[Tensor, "d n"], out: Float[Tensor, "q n"]
    ) -> Callable[[], Any]:
        """Squared norms."""
        return lambda: torch.sum(z.square(), 0, keepdim=True, out=out)

    def square(self, z: Float[Tensor, "*k d"]) -> Tensor:
        """See the base class."""
        return z.square().sum(-1, keepdim=True)

    def weighted_square(self, z: Float[Tensor, "*k n d"], weight: Float[Tensor, "*k n"]) -> Tensor:
        """See the base class."""
        return (weight * z.square().sum(-1)).sum(-1, keepdim=True)

    def compress(self, matrix: Float[Tensor, "*k d d"]) -> Tensor:
        """The trace."""
        return super().compress(matrix).sum(-1, keepdim=True)

    def fit(self, covariance: Tensor, floor: Float[Tensor, "d"]) -> Tensor:
        """The mean over the features of the summed squares, above the mean of the floor."""
        return super().fit(covariance / len(floor), floor.mean(-1, keepdim=True))

    def outward(self, compact: Float[Tensor, "*k1 1"]) -> Float[Tensor, "*k"]:
        """One number in place of d."""
        return super().outward(compact).squeeze(-1)

    def inward(self, visible: Float[Tensor, "*k"]) -> Float[Tensor, "*k1 1"]:
        """See the base class."""
        return super().inward(visible.unsqueeze(-1))

    def pool(self, values: Float[Tensor, "d"]) -> Tensor:
        """Their mean."""
        return values.mean(-1)

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        """(k,), or () if tied."""
        return () if self.tied else (k,)


class TiedSpherical(Spherical):
    """One variance shared by all components and features (mclust's EII)."""

    name = "tied_spherical"
    mclust = "EII"
    tied = True
