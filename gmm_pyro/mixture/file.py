"""A mixture's parameters in a file: numbers in float64, with the factor of the covariances.

The covariances of a mixture in float32 are rounded, and what is left of a narrow one may no longer
be positive definite; a Cholesky factor of them is another one in any precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..covariance import CovarianceFamily, family_named
from ..data.devices import precision_of
from ..disk.storage import read_record, write_record

FORMAT = "gmm_pyro.GaussianMixture"
ARRAYS = ("weights", "means", "covariances", "factor")
CLOSE = 1e-9  # share of a covariance by which one with this factor may differ from it


@dataclass(frozen=True, eq=False)
class Content:
    """What a file holds.

    Attributes:
        family: the covariance family.
        weights: shape (k,).
        means: shape (k, d).
        covariances: as the user sees them.
        factor: their compact square root, shape (k|1, *event); None in files of early versions.
        dtype: type of the mixture, whatever that of the numbers.
        feature_names: d names.
    """

    family: CovarianceFamily
    weights: Tensor
    means: Tensor
    covariances: Tensor
    factor: Tensor | None
    dtype: torch.dtype
    feature_names: list[str]


def write_mixture(path: str | Path, content: Content) -> Path:
    """Write a mixture as JSON, or as NumPy arrays if the name ends in .npz."""
    arrays = {name: getattr(content, name).cpu().double().numpy() for name in ARRAYS}
    words = {
        "covariance": content.family.name,
        "feature_names": content.feature_names,
        "precision": str(content.dtype).removeprefix("torch."),
    }
    return write_record(path, FORMAT, arrays, words)


def read_mixture(path: str | Path) -> Content:
    """What `write_mixture` wrote, its factor checked; the rest is up to the mixture.

    Raises:
        OSError: if it cannot be opened.
        Exception: if it holds something else.
    """
    record: dict[str, Any] = read_record(path, FORMAT, ARRAYS)
    weights, means, covariances = (torch.from_numpy(record[name]) for name in ARRAYS[:3])
    family = family_named(str(record["covariance"]))
    factor = torch.from_numpy(record["factor"]) if "factor" in record else None
    if factor is not None:
        _check_factor(family, factor, means, covariances)
    return Content(
        family,
        weights,
        means,
        covariances,
        factor,
        precision_of(str(record.get("precision", record["means"].dtype))),
        [str(name) for name in record["feature_names"]],
    )


def _check_factor(
    family: CovarianceFamily, factor: Tensor, means: Tensor, covariances: Tensor
) -> None:
    """Refuse a factor that belongs to other covariances."""
    k, d = means.shape
    if factor.shape != family.factor_shape(k, d):
        raise ValueError(f"its factor has shape {tuple(factor.shape)}")
    found = family.covariances(factor)
    sound = found.shape == covariances.shape and bool(family.factor_support.check(factor).all())
    if not (
        sound
        and torch.allclose(
            found, covariances.double(), rtol=CLOSE, atol=CLOSE * float(found.abs().max())
        )
    ):
        raise ValueError("its factor is not that of its covariances")
