"""Families whose covariances are free matrices: the compact form is the lower Cholesky factor."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution, constraints

from .conjugacy import ConjugateFamily
from .family import CovarianceFamily
from .graded import smallest_singular_value

TALLEST_BAND = 4  # rows of z zᵀ that are made at once: fewer calls, for some features made twice


class MatrixAlgebra(CovarianceFamily):
    """What covariances that are matrices have in common, with or without a conjugate prior."""

    tied = False
    factor_support = constraints.lower_cholesky

    def event_shape(self, d: int) -> tuple[int, ...]:
        """See the base class."""
        return (d, d)

    def n_covariance_parameters(self, d: int) -> int:
        """See the base class."""
        return d * (d + 1) // 2

    def log_determinant(self, factor: Tensor, d: int) -> Float[Tensor, "*k1"]:
        """Half of log det Σ: the logarithms of L's diagonal."""
        return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def precision(self, factor: Tensor) -> Tensor:
        """Σ⁻¹ = L⁻ᵀ L⁻¹."""
        inverse = _inverse(factor)
        return inverse.mT @ inverse

    def product(self, compact: Tensor, vector: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """See the base class."""
        return (compact @ vector[..., None])[..., 0]

    def diagonal(self, compact: Tensor, d: int) -> Float[Tensor, "*k d"]:
        """See the base class."""
        return compact.diagonal(dim1=-2, dim2=-1)

    def whiten(self, factor: Tensor, z: Float[Tensor, "*k n d"]) -> Float[Tensor, "*k n d"]:
        """See the base class."""
        return z @ _inverse(factor).mT

    def dense(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 d d"]:
        """See the base class."""
        return factor @ factor.mT

    def scale_tril(self, factor: Tensor, d: int) -> Float[Tensor, "*k1 d d"]:
        """See the base class."""
        return factor

    def emission(
        self, means: Float[Tensor, "*b d"], factor: Tensor, *, validate_args: bool | None = None
    ) -> Distribution:
        """See the base class."""
        import pyro.distributions as dist  # only the Pyro program needs it

        return dist.MultivariateNormal(means, scale_tril=factor, validate_args=validate_args)

    def rescaled(self, factor: Tensor, scale: Float[Tensor, "d"]) -> Tensor:
        """See the base class."""
        return factor * scale[:, None]

    def marginal(self, factor: Tensor, columns: list[int]) -> Tensor:
        """From the rows of L: a product L Lᵀ would lose half of the digits."""
        root = torch.linalg.qr(factor[..., columns, :].mT, mode="r")[1].mT
        sign = root.diagonal(dim1=-2, dim2=-1).sign()
        return root * torch.where(sign == 0, 1.0, sign)[..., None, :]

    def remainder(self, factor: Tensor, known: int) -> Tensor:
        """See the base class."""
        return factor[..., known:, known:]

    def n_features(self, d: int) -> int:
        """One for each pair of features, and a few pairs twice: see `_Triangle`."""
        return sum(len(band) * (d - band.start) for band in _bands(d))

    def quadratic_features(
        self, z: Float[Tensor, "d n"], out: Float[Tensor, "q n"]
    ) -> Callable[[], Any]:
        """The upper triangle of z zᵀ, band after band."""
        products, first = [], 0
        for band in _bands(len(z)):
            shape = len(band), len(z) - band.start, z.shape[1]
            last = first + shape[0] * shape[1]
            rows, columns = z[band.start : band.stop, None], z[band.start :]
            products.append((rows, columns, out[first:last].view(shape)))
            first = last

        def write() -> None:
            for rows, columns, part in products:
                torch.mul(rows, columns, out=part)

        return write

    def pack(self, quadratic: Tensor, d: int) -> Float[Tensor, "*k q"]:
        """Entries off the diagonal count twice: the features hold one of each pair."""
        triangle = _triangle(d, quadratic.device)
        return quadratic.flatten(-2)[..., triangle.entries] * triangle.multiplicity.to(quadratic)

    def unpack(self, moments: Float[Tensor, "*k q"], d: int) -> Tensor:
        """See the base class."""
        places = _triangle(d, moments.device).places
        return moments.index_select(-1, places).unflatten(-1, (d, d))

    def square(self, z: Float[Tensor, "*k d"]) -> Tensor:
        """See the base class."""
        return z[..., :, None] * z[..., None, :]

    def weighted_square(self, z: Float[Tensor, "*k n d"], weight: Float[Tensor, "*k n"]) -> Tensor:
        """See the base class."""
        return (z * weight[..., None]).mT @ z

    def compress(self, matrix: Float[Tensor, "*k d d"]) -> Tensor:
        """See the base class."""
        return matrix

    def fit(self, covariance: Tensor, floor: Float[Tensor, "d"]) -> Tensor:
        """Cholesky factors, with eigenvalues raised to the floor only where one is below it."""
        _, failed = torch.linalg.cholesky_ex(covariance - floor.diag())
        if not failed.any():
            return torch.linalg.cholesky_ex(covariance)[0]
        return _cholesky_or_nan(_raise_eigenvalues(covariance, floor))

    def smallest_ratio(self, factor: Tensor, variance: Float[Tensor, "d"]) -> Float[Tensor, "*k1"]:
        """See the base class."""
        standardised = factor / variance.sqrt()[:, None]
        return smallest_singular_value(standardised).square()

    def site_shapes(self, k: int, d: int) -> dict[str, tuple[int, ...]]:
        """Standard deviations, and Cholesky factors of correlations where d > 1."""
        shape = self.shape(k, d)
        return {"scales": shape[:-1]} | ({} if d == 1 else {"correlations": shape})

    def default_prior(self, site: str, spread: Float[Tensor, "d"], k: int) -> Distribution:
        """Correlations that are pulled a little towards none."""
        import pyro.distributions as dist

        if site == "correlations":
            return dist.LKJCholesky(len(spread), spread.new_tensor(2.0))
        return super().default_prior(site, spread, k)

    def factor(self, sites: dict[str, Tensor]) -> Tensor:
        """Σ = L Lᵀ with L = diag(scales) · correlations, or from the precisions."""
        if "precisions" in sites:
            from .wishart import covariance_factor  # imports Pyro, as whoever made the site did

            return self.inward(covariance_factor(sites["precisions"]))
        scales = sites["scales"][..., None]
        return self.inward(scales * sites["correlations"] if "correlations" in sites else scales)

    def sites(self, factor: Tensor) -> dict[str, Tensor]:
        """Row norms of L, and L with rows of norm one."""
        factor = self.outward(factor)
        scales = factor.square().sum(-1).sqrt()
        if factor.shape[-1] == 1:
            return {"scales": scales}
        return {"scales": scales, "correlations": factor / scales[..., None]}

    def covariances(self, factor: Tensor) -> Tensor:
        """See the base class."""
        return self.outward(factor @ factor.mT)

    def precisions(self, factor: Tensor) -> Tensor:
        """See the base class."""
        root = self.precision_cholesky(factor)
        return root @ root.mT

    def precision_cholesky(self, factor: Tensor) -> Tensor:
        """L⁻ᵀ."""
        return self.outward(_inverse(factor).mT)

    def factorise(self, covariances: Tensor) -> Tensor:
        """Cholesky factors; NaN for a matrix that is not symmetric positive definite."""
        size = covariances.diagonal(dim1=-2, dim2=-1).abs().amax(-1)[..., None, None]
        asymmetric = ((covariances - covariances.mT).abs() > 1e-6 * size).any(-1).any(-1)
        factor = _cholesky_or_nan(covariances)
        return self.inward(factor.masked_fill(asymmetric[..., None, None], torch.nan))


class WishartPrior(ConjugateFamily):
    """Wishart distributions of the precisions."""

    def squares_a_point(self, d: int) -> int:
        """One in every direction."""
        return 1

    def proper_dof(self, d: int) -> int:
        """See the base class."""
        return d - 1

    def precision_prior(self, dof: Tensor, scale: Tensor) -> Any:
        """See the base class."""
        from .wishart import Wishart

        return Wishart(dof, scale, validate_args=False)

    def draw_factor(
        self, dof: Float[Tensor, "*k1"], scale: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """See the base class."""
        from .wishart import draw_factors

        return draw_factors(dof, scale, generator)

    def log_normaliser(self, dof: Float[Tensor, "*k1"], scale: Tensor) -> Float[Tensor, "*k1"]:
        """See the base class."""
        from .wishart import log_normaliser

        return log_normaliser(dof, scale)


class Full(WishartPrior, MatrixAlgebra):
    """Every component has a covariance matrix of its own (mclust's VVV)."""

    name = "full"
    mclust = "VVV"


class Tied(Full):
    """One covariance matrix shared by all components (mclust's EEE)."""

    name = "tied"
    mclust = "EEE"
    tied = True


def _bands(d: int) -> list[range]:
    """The rows of the upper triangle in groups that one product each makes."""
    height = min(max(1, d // 4), TALLEST_BAND)
    return [range(first, min(first + height, d)) for first in range(0, d, height)]


@dataclass(frozen=True, eq=False)
class _Triangle:
    """Which pairs (i, j) the quadratic features are of.

    A band of rows is a rectangle, so the pairs within its left end occur in either order; the one
    with i > j has multiplicity 0.

    Attributes:
        entries: i d + j of each feature.
        multiplicity: how often the feature counts in z P z: 1 if i = j, 2 if i < j, else 0.
        places: the feature that holds each entry of a (d, d) matrix, row after row.
    """

    entries: Int[Tensor, "q"]
    multiplicity: Float[Tensor, "q"]
    places: Int[Tensor, "dd"]


@functools.lru_cache(maxsize=16)
def _triangle(d: int, device: torch.device) -> _Triangle:
    pairs = [(i, j) for band in _bands(d) for i in band for j in range(band.start, d)]
    place = {pair: feature for feature, pair in enumerate(pairs)}
    multiplicity = [1.0 if i == j else 2.0 * (i < j) for i, j in pairs]
    places = [place[min(i, j), max(i, j)] for i in range(d) for j in range(d)]
    return _Triangle(
        torch.tensor([i * d + j for i, j in pairs], device=device),
        torch.tensor(multiplicity, dtype=torch.float64, device=device),
        torch.tensor(places, device=device),
    )


def _inverse(factor: Float[Tensor, "*k d d"]) -> Float[Tensor, "*k d d"]:
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, identity, upper=False)


def _cholesky_or_nan(matrices: Float[Tensor, "*k d d"]) -> Float[Tensor, "*k d d"]:
    factor, failed = torch.linalg.cholesky_ex(matrices)
    return factor.masked_fill((failed != 0)[..., None, None], torch.nan)


def _raise_eigenvalues(
    covariance: Float[Tensor, "*k d d"], floor: Float[Tensor, "d"]
) -> Float[Tensor, "*k d d"]:
    """The covariances with no eigenvalue below 1 in units where the floor is one."""
    if not (floor > 0).all():
        return covariance
    unit = floor.sqrt()
    finite = covariance.nan_to_num(0.0, 0.0, 0.0)  # eigh refuses NaN; put back below
    values, vectors = torch.linalg.eigh(finite / unit / unit[:, None])
    raised = (vectors * values.clamp_min(1.0)[..., None, :]) @ vectors.mT
    raised = torch.where(covariance.isfinite(), raised * unit * unit[:, None], torch.nan)
    sound = values[..., :1, None] >= 1.0
    return torch.where(sound, covariance, raised)
