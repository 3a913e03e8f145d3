"""Measurement noise: how far off each measured value may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .features import places
from .tables import is_a, to_numeric

SYMMETRIC = 1e-8  # relative to the largest entry


def as_noise(
    noise: Any, x: Float[Tensor, "n d"], names: Sequence[str], order: list[int] | None = None
) -> Float[Tensor, "r d d"]:
    """Covariances of the noise in float64, on their own device: of each row, or one for all.

    Args:
        noise: standard deviations of shape (n, d), covariances of shape (n, d, d); or what is the
            same for all points: a number, d standard deviations, or a covariance (d, d), which
            must be (1, d, d) where n is d: else it may be standard deviations of n points. Of a
            frame, columns are taken by the names of the features. What is missing in x needs none.
        x: the points, NaN where a value is missing.
        names: of their features.
        order: which columns of what was given they are, if it is not as it was.

    Returns:
        Of shape (n, d, d), or (1, d, d).

    Raises:
        ValueError: if it has another shape, is not finite, negative, or no covariance.

    Example:
        >>> as_noise([1.0, 0.5], torch.zeros(3, 2), ["a", "b"]).tolist()
        [[[1.0, 0.0], [0.0, 0.25]]]
    """
    n, d = x.shape
    given = _in_order(noise, names, order, n)
    if d == 1 and given.shape == (n,):
        given = given[:, None]
    if given.ndim == 0 or given.shape == (d,):
        return _of_deviations(given.expand(1, d), x)
    if given.shape not in ((n, d), (d, d), (1, d, d), (n, d, d)):
        raise ValueError(
            f"noise must have shape ({n}, {d}) or ({n}, {d}, {d}), or ({d},) or ({d}, {d}) for all "
            f"points alike, got {tuple(given.shape)}"
        )
    if given.shape == (n, d):
        if n == d > 1 and given.equal(given.T):
            raise ValueError(
                f"noise of shape ({d}, {d}) may be standard deviations of {n} points or a "
                f"covariance: give covariances, of shape (1, {d}, {d}) or ({n}, {d}, {d})"
            )
        return _of_deviations(given, x)
    return _checked(given.reshape(-1, d, d), x)


def _in_order(noise: Any, names: Sequence[str], order: list[int] | None, n: int) -> Tensor:
    """The numbers in float64, with the columns that the points have."""
    array, named = to_numeric(noise, "noise", names)
    given = array.detach() if isinstance(array, Tensor) else torch.from_numpy(array.astype(float))
    given = given.double()
    if order is None or named or not given.ndim or given.shape[-1] != len(order):
        return given
    square = given.ndim == 2 and given.shape[0] == given.shape[1]
    if square and (len(given) != n or given.equal(given.T)):
        return given[order][:, order]  # a covariance
    return given[..., order] if given.ndim < 3 else given[..., order, :][..., order]


def order_of(x: Any, names: Sequence[str] | None) -> list[int] | None:
    """Which columns of a table the features of these names are; None for those of an array."""
    if names is None:
        return None
    if hasattr(type(x), "columns"):
        return places(names, [str(name) for name in x.columns])
    if is_a(x, "xarray", "DataArray"):
        found = to_numeric(x)[1]
        return None if found is None else places(names, found)
    return None


def _of_deviations(given: Float[Tensor, "r d"], x: Float[Tensor, "n d"]) -> Float[Tensor, "r d d"]:
    """Covariances of independent errors, zero where a row of x has no value."""
    each = given.masked_fill(x.isnan().to(given.device), 0.0) if len(given) == len(x) else given
    _refuse_non_finite(each)
    if (each < 0).any():
        raise ValueError("noise must hold standard deviations, which are not negative")
    variance = each.square()
    _refuse_non_finite(variance)
    return variance.diag_embed()


def _checked(covariance: Float[Tensor, "r d d"], x: Float[Tensor, "n d"]) -> Tensor:
    """Covariances, zero where a row of x has no value."""
    if len(covariance) == len(x):
        missing = x.isnan().to(covariance.device)
        covariance = covariance.masked_fill(missing[:, None] | missing[..., None], 0.0)
    _refuse_non_finite(covariance)
    largest = covariance.abs().amax((1, 2)).clamp_min(torch.finfo(torch.float64).tiny)
    scaled = covariance / largest[:, None, None]
    odd = (scaled - scaled.mT).abs().amax((1, 2)) > SYMMETRIC
    odd |= torch.linalg.eigvalsh(scaled)[:, 0] < -SYMMETRIC
    if odd.any():
        row = int(odd.nonzero()[0])
        raise ValueError(
            "noise must hold covariances, symmetric and without negative eigenvalues; not so at "
            f"row {row}"
        )
    return covariance


def _refuse_non_finite(values: Tensor) -> None:
    bad = ~torch.isfinite(values)
    if bad.any():
        place = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"noise must be finite, got {float(values[place]):g} at {list(place)}")
