"""Measurement noise: how far off each measured value may be."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .tables import to_numeric

SYMMETRIC = 1e-8  # relative to the largest entry


def as_noise(noise: Any, n: int, d: int) -> Float[Tensor, "r d d"]:
    """Covariances of the noise in float64, on their own device: of each row, or one for all.

    Args:
        noise: standard deviations of shape (n, d), covariances of shape (n, d, d); or what is the
            same for all points: a number, d standard deviations, or a covariance (d, d). Where n
            is d, a matrix holds standard deviations.
        n: number of points.
        d: number of features.

    Returns:
        Of shape (n, d, d), or (1, d, d).

    Raises:
        ValueError: if it has another shape, is not finite, negative, or no covariance.

    Example:
        >>> as_noise([0.1, 0.5], 3, 2).tolist()
        [[[0.010000000000000002, 0.0], [0.0, 0.25]]]
    """
    array, _ = to_numeric(noise, "noise")
    given = array.detach() if isinstance(array, Tensor) else torch.from_numpy(array.astype(float))
    given, wanted = given.double(), f"({n}, {d}) or ({n}, {d}, {d}), or ({d},) or ({d}, {d})"
    bad = ~torch.isfinite(given)
    if bad.any():
        place = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"noise must be finite, got {float(given[place]):g} at {list(place)}")
    if given.ndim == 0 or given.shape in ((d,), (n, d)):
        if (given < 0).any():
            raise ValueError("noise must hold standard deviations, which are not negative")
        return (
            given.expand(d).square().diag_embed().reshape(-1, d, d)
            if given.ndim < 2
            else (given.square().diag_embed())
        )
    if given.shape not in ((d, d), (n, d, d)):
        raise ValueError(
            f"noise must have shape {wanted} for all points alike, got {tuple(given.shape)}"
        )
    covariance = given.reshape(-1, d, d)
    largest = covariance.abs().amax((1, 2)).clamp_min(torch.finfo(torch.float64).tiny)
    scaled = covariance / largest[:, None, None]
    odd = (scaled - scaled.mT).abs().amax((1, 2)) > SYMMETRIC
    odd |= torch.linalg.eigvalsh(scaled)[:, 0] < -SYMMETRIC
    if odd.any():
        row = int(odd.nonzero()[0])
        raise ValueError(
            f"noise must hold covariances, symmetric and without negative eigenvalues; not so at "
            f"row {row}"
        )
    return covariance
