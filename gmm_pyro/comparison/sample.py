"""The data of a comparison: what is fitted, and what is held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from ..data.checks import MOST, plain, shown
from ..data.features import places
from ..data.observations import as_points
from ..data.points import Observations, Points
from ..data.weighting import as_weights
from ..datasets import Dataset


@dataclass(frozen=True, eq=False)
class Sample:
    """Data, and their points with what is known of each beside its values.

    Attributes:
        dataset: the data; of projected points, which are not known, estimates.
        points: the same n points, with their noise, projections and labels.
    """

    dataset: Dataset
    points: Points

    def subset(self, rows: Int[Tensor, "m"]) -> Sample:
        """Some of the rows."""
        return Sample(self.dataset.subset(rows), self.points.subset(rows))

    def labelled(self, labels: Any, n_components: int) -> Sample:
        """The same with labels that are known, if there are any, or those that they came with."""
        if labels is None:
            return self
        return replace(self, points=self.points.labelled(labels, n_components))

    def drawn(self, n: int, seed: int) -> Sample:
        """Other points from the known truth, exact and without labels."""
        dataset = self.dataset.held_out(n, seed)
        return Sample(dataset, dataset.points)


def sample_of(
    data: Any,
    names: tuple[str, ...] | None,
    *,
    sample_weight: Any = None,
    noise: Any = None,
    projection: Any = None,
) -> Sample:
    """Data as `compare` takes them, with the features that the model's priors are for, if named.

    Args:
        data: a `Dataset` or points.
        names: of the features.
        sample_weight: of the points; None takes those that the data have.
        noise: of the measurements, as `gmm_pyro.fit` has it.
        projection: of the features, as `gmm_pyro.fit` has it.
    """
    if sample_weight is None and isinstance(data, Dataset | Observations):
        sample_weight = data.sample_weight
    if isinstance(data, Dataset) and projection is None:
        sample = _of_dataset(data, names, noise)
    else:
        sample = _of_points(data, names, noise, projection)
    if sample_weight is None:
        return sample
    weight = as_weights(sample_weight, sample.points.n).cpu()
    return replace(sample, dataset=replace(sample.dataset, sample_weight=weight))


def _of_dataset(data: Dataset, names: tuple[str, ...] | None, noise: Any) -> Sample:
    """A data set and its points, their columns in the order of the names."""
    own = data.feature_names
    points = as_points(data.x, feature_names=own, missing="integrate", noise=noise)
    order = None if names is None else places(names, own, data.name)
    if order is None or order == list(range(data.d)):
        return Sample(data, points)
    truth = None if data.truth is None else data.truth.marginal(order)
    found = tuple(own[i] for i in order)
    data = replace(data, x=data.x[:, order], truth=truth, feature_names=found)
    return Sample(data, as_points(points, feature_names=found, missing="integrate"))


def _of_points(data: Any, names: tuple[str, ...] | None, noise: Any, projection: Any) -> Sample:
    """Points, and the data set that they make: one of other features has no truth of these."""
    given = data.x if isinstance(data, Dataset) else data
    found = as_points(
        given,
        feature_names=names,
        dtype=torch.float64,
        device="cpu",
        missing="integrate",
        noise=noise,
        projection=projection,
    )
    labels, name = (data.labels, data.name) if isinstance(data, Dataset) else (None, "data")
    dataset = Dataset(found.x, labels, None, name, found.feature_names)
    return Sample(dataset, found.about(found.origin))  # not as observations of the whole


# ---------------------------------------------------------------------- held out


def split(sample: Sample, test_size: float | None, seed: int) -> tuple[Sample, Sample | None]:
    """What is fitted, and held-out data of the same kind."""
    n = sample.points.n
    if sample.dataset.truth is not None:
        return sample, sample.drawn(n if test_size is None else _count(test_size, n), seed)
    if test_size is None:
        return sample, None
    count = _count(test_size, n)
    if count >= n:
        raise ValueError(f"test_size must leave points to fit, got {count} of {n}")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    fitted, held_out = (part.sort().values for part in (order[count:], order[:count]))
    return sample.subset(fitted), sample.subset(held_out)


def _count(test_size: float, n: int) -> int:
    """A number of points, from a share or a number."""
    size = plain(test_size)
    real = isinstance(size, Real) and not isinstance(size, bool)
    if real and 0 < size < 1:
        return max(1, round(float(size) * n))
    if not real or not 1 <= size <= MOST or size % 1:  # NaN is neither
        raise ValueError(
            "test_size must be a share between 0 and 1, or a whole number of points, "
            f"got {shown(test_size)}"
        )
    return int(size)
