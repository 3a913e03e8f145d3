"""Sample weights: how often each point counts, so that a sum is that over the repeated rows."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .tables import to_numeric


def as_weights(sample_weight: Any, n: int) -> Float[Tensor, "n"]:
    """n non-negative weights in float64, on their own device.

    Args:
        sample_weight: array-like of shape (n,).
        n: number of points.

    Raises:
        ValueError: if they are not n finite numbers, or one is negative, or all are zero.

    Example:
        >>> as_weights([2, 0, 1], 3).tolist()
        [2.0, 0.0, 1.0]
    """
    name = "sample_weight"
    array, _ = to_numeric(sample_weight, name)
    weight = array if isinstance(array, Tensor) else torch.from_numpy(array.astype(float))
    weight = weight.detach().double()
    if weight.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got {tuple(weight.shape)}")
    bad = ~torch.isfinite(weight) | (weight < 0)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"{name} must be finite and not negative, got {weight[row].item():g} at row {row}"
        )
    if not (weight > 0).any():
        raise ValueError(f"{name} must have a positive entry, got zeros only")
    return weight


def weighted_sum(values: Float[Tensor, "n"], weight: Float[Tensor, "n"] | None) -> float:
    """The sum over the points in float64; those of weight zero are not there, whatever they have.

    Example:
        >>> weighted_sum(torch.tensor([1.0, -torch.inf]), torch.tensor([3.0, 0.0]))
        3.0
    """
    values = values.double()
    if weight is None:
        return float(values.sum())
    weight = weight.to(values)
    there = weight > 0
    return float(values[there] @ weight[there])


def total_of(weight: Float[Tensor, "n"] | None, n: int) -> float:
    """How many points there are: the sum of their weights, or n where there are none."""
    return float(n if weight is None else weight.double().sum())
