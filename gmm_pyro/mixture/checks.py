"""Checks of a mixture's parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..covariance import CovarianceFamily
from ..data.arrays import array_of, dense_tensor, real
from ..data.devices import PRECISIONS


def tensor_of(values: Any, like: Tensor | None, name: str) -> Tensor:
    """A copy as a detached tensor, in the type of `like`; else in its own, or float64."""
    if isinstance(values, Tensor):
        tensor = dense_tensor(values, name)
    else:
        tensor = torch.from_numpy(real(array_of(values, name), name).astype(np.float64))
    if like is None:
        like = tensor if tensor.dtype in PRECISIONS.values() else tensor.double()
    return tensor.detach().to(like, copy=True)


def check_means(means: Tensor) -> None:
    """Refuse means that are not finite, or of another shape than (k, d)."""
    if means.ndim != 2 or 0 in means.shape or not means.isfinite().all():
        raise ValueError(f"means must be finite, of shape (k, d), got {tuple(means.shape)}")


def check_weights(weights: Tensor, k: int) -> None:
    """Refuse weights that are no k probabilities."""
    if weights.shape != (k,):
        raise ValueError(f"weights must have shape ({k},), got {tuple(weights.shape)}")
    tolerance = 1e-6 * k  # also where float32 weights come with float64 means
    if (weights < 0).any() or not abs(float(weights.double().sum()) - 1) < tolerance:
        raise ValueError(f"weights must be non-negative and sum to 1, got {weights.tolist()}")


def check_covariances(
    family: CovarianceFamily, covariances: Tensor, shape: tuple[int, int]
) -> Tensor:
    """The factor of the covariances, in float64."""
    if covariances.shape != family.shape(*shape):
        raise ValueError(
            f"covariances of a {family.name} mixture of {shape[0]} components in {shape[1]} "
            f"dimensions must have shape {family.shape(*shape)}, got {tuple(covariances.shape)}"
        )
    factor = family.factorise(covariances.double())
    if not factor.isfinite().all():
        raise ValueError("covariances must be finite, symmetric and positive definite")
    return factor
