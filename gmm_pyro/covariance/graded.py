"""Eigenvalues of positive definite matrices, each to digits of its own, and turns of planes.

LAPACK's eigenvalues are off by the rounding of the largest. Where features have very different
units that is more than the smallest, which counts as much: a likelihood takes their logarithms.
Jacobi's plane rotations, begun at the axes themselves, are off by the rounding of each one, times
the condition of the matrix in units of its own diagonal.

Source: Demmel & Veselić (1992), "Jacobi's method is more accurate than QR".
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

GRADED = 1e-9  # share of the largest eigenvalue, below which LAPACK's have lost too many digits
SWEEPS = 30  # more than are ever needed: turns shrink quadratically
LOST = 256.0  # roundings, the least that an eigenvalue of correlations must be to have any digits
TURNED = 4.0  # roundings that a correlation may be from none


def eigen(
    matrices: Float[Tensor, "*b d d"],
) -> tuple[Float[Tensor, "*b d"], Float[Tensor, "*b d d"]]:
    """Eigenvalues from the smallest to the largest, and eigenvectors as columns."""
    values, vectors = torch.linalg.eigh(matrices)
    graded = values[..., 0] < GRADED * values[..., -1]
    if graded.any():
        values[graded], vectors[graded] = _by_rotations(matrices[graded])
    return values, vectors


def are_lost(
    factor: Float[Tensor, "*b d d"], covariance: Float[Tensor, "*b d d"]
) -> Bool[Tensor, "*b"]:
    """Whether Cholesky factors are of correlations that only rounding keeps from being singular.

    A squared diagonal entry is what the features before leave unexplained of a variance.
    """
    left = factor.diagonal(dim1=-2, dim2=-1).square()
    least = LOST * torch.finfo(factor.dtype).eps
    return (left < least * covariance.diagonal(dim1=-2, dim2=-1)).any(-1)


def thinness(factor: Float[Tensor, "*b d d"]) -> Float[Tensor, "*b"]:
    """The smallest eigenvalue of the correlations, from Cholesky factors; NaN where they are so."""
    rows = factor / factor.norm(dim=-1, keepdim=True)
    return smallest_singular_value(rows).square()


def smallest_singular_value(matrices: Float[Tensor, "*b d d"]) -> Float[Tensor, "*b"]:
    """Of each; NaN where a matrix is not finite, which LAPACK refuses with all others."""
    finite = matrices.isfinite().flatten(-2).all(-1)
    values = torch.linalg.svdvals(torch.where(finite[..., None, None], matrices, 0.0))
    return values[..., -1].masked_fill(~finite, torch.nan)


def _by_rotations(
    matrices: Float[Tensor, "b d d"],
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d d"]]:
    """The same by Jacobi's method."""
    d = matrices.shape[-1]
    turned, vectors = matrices, torch.eye(d).to(matrices).expand_as(matrices)
    for _ in range(SWEEPS):
        for i, j in rounds(d, matrices.device):
            across, apart = turned[:, i, j], turned[:, i, i] - turned[:, j, j]
            rotation = rotations(smallest_angle(2 * across, apart), i, j, d)
            turned, vectors = rotation.mT @ turned @ rotation, vectors @ rotation
        if _is_diagonal(turned):
            break
    values, order = turned.diagonal(dim1=-2, dim2=-1).sort(-1)
    return values, vectors.gather(-1, order[:, None].expand_as(vectors))


def _is_diagonal(matrices: Float[Tensor, "b d d"]) -> bool:
    """Whether no entry off the diagonal is more than rounding beside those on it."""
    root = matrices.diagonal(dim1=-2, dim2=-1).abs().sqrt()
    off = (matrices / root[..., None] / root[..., None, :]).triu(1)
    return not bool((off.abs() > TURNED * torch.finfo(matrices.dtype).eps).any())


def smallest_angle(across: Tensor, apart: Tensor) -> Tensor:
    """Half of the angle whose tangent this is, from -π/4 to π/4.

    Another quarter of a turn only exchanges the axes, and would round a small angle away.
    """
    return torch.atan2(torch.where(apart < 0, -across, across), apart.abs()) / 2


def rotations(
    angle: Float[Tensor, "b p"], i: Int[Tensor, "p"], j: Int[Tensor, "p"], d: int
) -> Float[Tensor, "b d d"]:
    """Turns by these angles in planes of axes i and j that have no axis in common."""
    rotation = torch.eye(d).to(angle).repeat(len(angle), 1, 1)
    rotation[:, i, i] = rotation[:, j, j] = angle.cos()
    rotation[:, j, i], rotation[:, i, j] = angle.sin(), -angle.sin()
    return rotation


@functools.lru_cache(maxsize=16)
def rounds(d: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """All pairs of axes, in rounds of pairs that have none in common: a tournament's."""
    order, found = list(range(d + d % 2 if d > 1 else 1)), []
    for _ in range(len(order) - 1):
        pairs = [sorted((order[i], order[-1 - i])) for i in range(len(order) // 2)]
        i, j = torch.tensor([pair for pair in pairs if pair[1] < d], device=device).T
        found.append((i, j))
        order = [order[0], order[-1], *order[1:-1]]
    return found
