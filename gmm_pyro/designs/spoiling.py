"""What makes data harder: features that say nothing, scattered points, values that are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import chdtri
from torch import Tensor

from ..data.features import default_names
from ..datasets import OUTLIER, Dataset
from ..datasets.generators import around
from ..mixture.value import GaussianMixture
from .streams import Part

INSIDE = 0.001  # of a component's points are farther out than an outlier must be
WIDER = 1.5  # times as long, the sides of the box that has too few places for outliers
MOST_BOXES = 100


def spoilt(data: Dataset, levels: Mapping[str, Any], seed: int) -> Dataset:
    """The data set with outliers in place of its last points, and without some of its values."""
    data = _with_outliers(data, levels["outliers"], seed)
    share = levels["missing"]
    if share == 0:
        return data
    gone = Part.MISSING.generator(seed).random(tuple(data.x.shape)) < share
    return replace(data, x=data.x.masked_fill(torch.from_numpy(gone), torch.nan))


def _with_outliers(data: Dataset, share: float, seed: int) -> Dataset:
    """The last points replaced by scattered ones, at least one point left as it is."""
    m = min(round(data.n * share), data.n - 1)
    if m == 0:
        return data
    rng, seen = Part.OUTLIERS.generator(seed), _filled(data.x)
    found = seen[:0]
    for wider in range(MOST_BOXES):
        drawn = around(seen, m, rng, 2 * WIDER**wider)
        found = torch.cat([found, drawn[~_inside(drawn, data.truth)]])
        if len(found) >= m:
            break
    else:
        raise ValueError(
            f"outliers must have room about the points, which are {data.n} in one place"
        )
    labels = None if data.labels is None else data.labels.clone()
    if labels is not None:
        labels[-m:] = OUTLIER
    return replace(data, x=torch.cat([data.x[:-m], found[:m]]), labels=labels)


def _inside(x: Float[Tensor, "m d"], truth: GaussianMixture | None) -> Bool[Tensor, "m"]:
    """Which points are among the nearest 99.9 % of a component's; none if there is no truth."""
    if truth is None:
        return torch.zeros(len(x), dtype=torch.bool)
    tril = torch.linalg.cholesky(truth.covariance_matrices())
    z = torch.linalg.solve_triangular(tril, (x - truth.means[:, None]).mT, upper=False)
    return (z.square().sum(1) < float(chdtri(x.shape[1], INSIDE))).any(0)


def with_noise_features(data: Dataset, count: int, seed: int) -> Dataset:
    """The data set with normal features that say nothing, after its own.

    Each has the mean and the variance of one of its own, by turns.
    """
    if count == 0:
        return data
    seen = _filled(data.x)
    like = np.arange(count) % data.d
    z = torch.from_numpy(Part.FEATURES.generator(seed).standard_normal((data.n, count)))
    more = seen.mean(0)[like] + seen.std(0, correction=0)[like] * z
    counted = data.feature_names == default_names(data.d)
    names = tuple(f"noise{i}" for i in range(count))
    names = default_names(data.d + count) if counted else (*data.feature_names, *names)
    return replace(data, x=torch.cat([data.x, more], 1), truth=None, feature_names=names)


def _filled(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The points with the means of what is there in place of what is missing."""
    return torch.where(x.isnan(), x.nanmean(0), x)
