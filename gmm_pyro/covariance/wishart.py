"""The Wishart distribution of precision matrices, for Pyro programs, over d (d + 1) / 2 numbers.

torch's own Wishart has a support whose bijection takes d² numbers and has no Jacobian, so that no
guide and no sampler can use it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import biject_to, constraints, transform_to
from torch.distributions.transforms import CorrCholeskyTransform, Transform

_ROOT = CorrCholeskyTransform()


class _PrecisionMatrix(type(constraints.positive_definite)):  # type: ignore[misc]
    """Positive definite matrices, with a bijection of their own."""


precision_matrix = _PrecisionMatrix()


class PrecisionTransform(Transform):
    """Precision matrices from the logarithms of scales and unconstrained correlations.

    The d scales are standard deviations of the covariance matrix Σ = P⁻¹ and the rest are torch's
    coordinates of the Cholesky factor of its correlations, so that a vector means the same as it
    does for a model with `scales` and `correlations`.
    """

    domain = constraints.real_vector
    codomain = precision_matrix
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrecisionTransform)

    __hash__ = None  # type: ignore[assignment]

    def _call(self, x: Float[Tensor, "*b m"]) -> Float[Tensor, "*b d d"]:
        log_scale, root = _split(x)
        made_from = MadeFrom(log_scale, root, log_scale.exp()[..., None] * root)
        precision = inverse_from_factor(made_from.factor)
        precision.made_from = made_from  # type: ignore[attr-defined]
        return precision

    def _inverse(self, y: Float[Tensor, "*b d d"]) -> Float[Tensor, "*b m"]:
        factor = covariance_factor(y)
        scale = factor.square().sum(-1).sqrt()
        if y.shape[-1] == 1:
            return scale.log()
        return torch.cat([scale.log(), _ROOT.inv(factor / scale[..., None])], -1)

    def log_abs_det_jacobian(
        self, x: Float[Tensor, "*b m"], y: Float[Tensor, "*b d d"]
    ) -> Float[Tensor, "*b"]:
        """log |∂P/∂x|, by way of Σ, its factor L = diag(scales) C, and the scales and C."""
        known = _made_from(y)
        log_scale, root = _split(x) if known is None else (known.log_scale, known.root)
        d = y.shape[-1]
        log_root = root.diagonal(dim1=-2, dim2=-1).log()
        log_factor = log_scale + log_root
        down = torch.arange(d, dtype=x.dtype, device=x.device)  # i - 1
        total = (
            -2 * (d + 1) * log_factor  # ∂P/∂Σ
            + (d - down) * log_factor  # ∂Σ/∂L, but for 2^d
            + down * log_scale  # ∂L/∂(scales, C), but for the next line
            - log_root
            + log_scale  # ∂scales/∂x
        ).sum(-1) + d * math.log(2)
        if d == 1:
            return total
        return total + _ROOT.log_abs_det_jacobian(x[..., d:], root)

    def forward_shape(self, shape: Any) -> torch.Size:
        """Shape of the matrices."""
        d = _features(shape[-1])
        return torch.Size([*shape[:-1], d, d])

    def inverse_shape(self, shape: Any) -> torch.Size:
        """Shape of the vectors."""
        return torch.Size([*shape[:-2], shape[-1] * (shape[-1] + 1) // 2])


@dataclass(frozen=True, eq=False)
class MadeFrom:
    """What a precision matrix was made from, kept on its tensor.

    A density asks for it three times, and to find it again takes two Cholesky factors each time.
    """

    log_scale: Float[Tensor, "*b d"]
    root: Float[Tensor, "*b d d"]
    factor: Float[Tensor, "*b d d"]


def _made_from(precision: Tensor) -> MadeFrom | None:
    found: MadeFrom | None = getattr(precision, "made_from", None)
    return found


def _features(m: int) -> int:
    """The d of m = d (d + 1) / 2."""
    return (math.isqrt(8 * m + 1) - 1) // 2


def _split(x: Float[Tensor, "*b m"]) -> tuple[Float[Tensor, "*b d"], Float[Tensor, "*b d d"]]:
    """Logarithms of the scales, and the Cholesky factor of the correlations."""
    d = _features(x.shape[-1])
    if d == 1:
        return x, torch.ones_like(x)[..., None]
    root: Tensor = _ROOT(x[..., d:])
    return x[..., :d], root


def covariance_factor(precision: Float[Tensor, "*b d d"]) -> Float[Tensor, "*b d d"]:
    """Lower Cholesky factor of P⁻¹; NaN where P is not positive definite."""
    known = _made_from(precision)
    if known is not None:
        return known.factor
    factor, failed = torch.linalg.cholesky_ex(precision)
    covariance = inverse_from_factor(factor)
    failed = (failed != 0)[..., None, None]
    return torch.linalg.cholesky_ex(covariance)[0].masked_fill(failed, torch.nan)


def inverse_from_factor(factor: Float[Tensor, "*b d d"]) -> Float[Tensor, "*b d d"]:
    """The inverse of L Lᵀ; not finite, and no error, where a diagonal entry of L is zero."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse.mT @ inverse


@transform_to.register(_PrecisionMatrix)  # type: ignore[untyped-decorator]
@biject_to.register(_PrecisionMatrix)  # type: ignore[untyped-decorator]
def _bijection(constraint: Any) -> PrecisionTransform:
    return PrecisionTransform()


class Wishart(TorchDistribution):
    """Precision matrices P with density ∝ |P|^((ν - d - 1) / 2) exp(-tr(Ψ P) / 2).

    The mean is ν Ψ⁻¹; the covariance matrix P⁻¹ is inverse-Wishart with scale Ψ.

    Args:
        dof: degrees of freedom ν > d - 1, any batch shape.
        scale: the matrix Ψ, shape (*batch, d, d).
    """

    arg_constraints = {"dof": constraints.positive, "scale": constraints.positive_definite}
    support = precision_matrix
    has_rsample = False

    def __init__(
        self, dof: Tensor, scale: Float[Tensor, "*b d d"], *, validate_args: bool | None = None
    ) -> None:
        batch = (dof + scale[..., 0, 0]).shape  # torch.broadcast_shapes imports sympy
        self.dof = dof.expand(batch)
        self.scale = scale.expand(*batch, *scale.shape[-2:])
        super().__init__(batch, scale.shape[-2:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Wishart:
        """The same distribution over more matrices."""
        scale = self.scale.expand(*batch_shape, *self.event_shape)
        return Wishart(self.dof.expand(batch_shape), scale, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws by Bartlett's decomposition."""
        each = self.expand(torch.Size(sample_shape) + self.batch_shape)
        with torch.no_grad():
            return inverse_from_factor(draw_factors(each.dof, each.scale))

    def log_prob(self, value: Float[Tensor, "*b d d"]) -> Float[Tensor, "*b"]:
        """Log density in nats."""
        half_determinant = -covariance_factor(value).diagonal(dim1=-2, dim2=-1).log().sum(-1)
        trace = (self.scale * value).sum((-2, -1))
        power = self.dof - value.shape[-1] - 1
        return power * half_determinant - 0.5 * trace - self.log_normaliser

    @cached_property
    def log_normaliser(self) -> Float[Tensor, "*b"]:
        """Logarithm of the integral of the unnormalised density."""
        return log_normaliser(self.dof, self.scale)


def log_normaliser(dof: Tensor, scale: Float[Tensor, "*b d d"]) -> Float[Tensor, "*b"]:
    """log ∫ |P|^((ν - d - 1) / 2) exp(-tr(Ψ P) / 2) dP in nats."""
    d = scale.shape[-1]
    factor = torch.linalg.cholesky_ex(scale)[0]
    half_determinant = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    gammas = torch.mvlgamma(0.5 * dof, d)
    return 0.5 * d * math.log(2) * dof + gammas - dof * half_determinant


def draw_factors(
    dof: Float[Tensor, "*b"],
    scale: Float[Tensor, "*b d d"],
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*b d d"]:
    """Lower Cholesky factors of Σ = P⁻¹ for draws of P.

    With Ψ = C Cᵀ and an upper triangular U, U Uᵀ ~ Wishart(ν, I), P = C⁻ᵀ U Uᵀ C⁻¹ has the factor
    L = C U⁻ᵀ of its inverse (Bartlett 1933).
    """
    d = scale.shape[-1]
    order = torch.arange(1, d + 1, dtype=scale.dtype, device=scale.device)
    half = 0.5 * (dof[..., None] - d + order)
    diagonal = (2 * torch._standard_gamma(half.contiguous(), generator=generator)).sqrt()
    drawn = torch.randn(scale.shape, generator=generator, dtype=scale.dtype, device=scale.device)
    upper = drawn.triu(1) + torch.diag_embed(diagonal)
    root = torch.linalg.cholesky_ex(scale)[0]
    return torch.linalg.solve_triangular(upper, root.mT, upper=True).mT
