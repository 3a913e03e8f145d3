"""What a data set is: points, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.arrays import rows_of
from ..data.checks import check_list, shown
from ..data.observations import as_points
from ..data.points import Points
from ..data.weighting import as_weights
from ..data.words import counted
from ..mixture.checks import check_mixture
from ..mixture.value import GaussianMixture

if TYPE_CHECKING:
    import pandas as pd

OUTLIER = -1  # the label of a point that belongs to no component


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """n points in d dimensions, with what is known about them.

    Attributes:
        x: the points, float64, shape (n, d).
        labels: the class of each point, int64, shape (n,), with -1 for an outlier; None if unknown.
        truth: the mixture that the points were drawn from; None if unknown.
        name: what the data are called in tables and reports.
        feature_names: d column names.
        sample_weight: how often each point counts, shape (n,); None where all count once.

    Raises:
        ValueError: if the shapes do not fit together.

    Example:
        >>> import gmm_pyro as gp
        >>> data = gp.datasets.three_clusters()
        >>> data.n, data.d, data.truth.n_components
        (300, 2, 3)
    """

    x: Float[Tensor, "n d"]
    labels: Int[Tensor, "n"] | None
    truth: GaussianMixture | None
    name: str
    feature_names: tuple[str, ...]
    sample_weight: Float[Tensor, "n"] | None = None

    def __post_init__(self) -> None:
        """Check the shapes, and put the truth's features in the order of the data's."""
        for name, value in (("x", self.x), ("labels", self.labels)):
            if not isinstance(value, Tensor) and (name == "x" or value is not None):
                raise TypeError(f"{name} must be a torch tensor, got {shown(value)}")
        names = check_list("feature_names", self.feature_names, "names")
        object.__setattr__(self, "feature_names", tuple(map(str, names)))
        self._check_shapes()
        if self.sample_weight is not None:
            object.__setattr__(self, "sample_weight", as_weights(self.sample_weight, self.n))
        if self.truth is not None:
            truth = check_mixture("truth", self.truth).in_order_of(self.feature_names)
            object.__setattr__(self, "truth", truth)

    def _check_shapes(self) -> None:
        if self.x.ndim != 2:
            raise ValueError(f"x must have shape (n, d), got {tuple(self.x.shape)}")
        if self.labels is not None and self.labels.shape != (self.n,):
            raise ValueError(f"labels must have shape ({self.n},), got {tuple(self.labels.shape)}")
        if len(self.feature_names) != self.d:
            raise ValueError(f"feature_names must hold {self.d} names, got {self.feature_names}")

    def __repr__(self) -> str:
        return f"<{self.name}: {counted(self.n, 'point')} of {counted(self.d, 'feature')}>"

    @property
    def n(self) -> int:
        """Number of points."""
        return self.x.shape[0]

    @property
    def d(self) -> int:
        """Number of features."""
        return self.x.shape[1]

    @cached_property
    def points(self) -> Points:
        """The points, checked, with the names of their features.

        Raises:
            ValueError: if they are not finite.
        """
        return as_points(self.x, feature_names=self.feature_names, missing="integrate")

    def held_out(self, n: int, seed: int) -> Dataset:
        """Draw n other points, independently, from the same truth.

        Args:
            n: number of points.
            seed: seed of the draw; no seed repeats the points of this data set.

        Raises:
            ValueError: if the truth is not known.

        Example:
            >>> import gmm_pyro as gp
            >>> gp.datasets.bimodal().held_out(20, seed=1).x.shape
            torch.Size([20, 1])
        """
        if self.truth is None:
            raise ValueError(f"{self.name} has no known truth to draw held-out points from")
        sample = self.truth.sample_labelled(n, seed)
        name = f"{self.name} (held out)"
        return Dataset(sample.x, sample.labels, self.truth, name, self.feature_names)

    def frame(self) -> pd.DataFrame:
        """The points as a pandas frame; then columns `sample_weight` and `label`, where known."""
        import pandas as pd

        known = {"sample_weight": self.sample_weight, "label": self.labels}
        table = pd.DataFrame(self.x.numpy(), columns=list(self.feature_names))
        return table.assign(**{n: v.numpy() for n, v in known.items() if v is not None})

    def subset(self, rows: Int[Tensor, "m"]) -> Dataset:
        """The points in these rows, with what is known about them.

        Raises:
            ValueError: if there are no such rows.
        """
        rows = torch.from_numpy(rows_of(rows, self.n))
        labels = None if self.labels is None else self.labels[rows]
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return replace(self, x=self.x[rows], labels=labels, sample_weight=weight)
