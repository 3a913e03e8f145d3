"""Coordinates that points are merged in, which do not depend on the units of the features.

A criterion that has determinants beside traces depends on them: see `criteria`.

Source: Scrucca & Raftery (2015), "Improved initialisation of model-based clustering using Gaussian
hierarchical partitions", who compare them, and find the first best as starts of EM.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

COORDINATES = {  # powers of the singular values that principal components are divided by
    "svd": 0.5,
    "whitened": 1.0,
    "standardised": 0.0,
}
FLAT = 1e-5  # share of the largest singular value that a direction has at least, to be one


@dataclass(frozen=True, eq=False)
class Coordinates:
    """An affine map.

    Attributes:
        origin: what is zero, shape (d,).
        axes: one in each column, shape (d, p).
    """

    origin: Float[np.ndarray, "d"]
    axes: Float[np.ndarray, "d p"]

    @classmethod
    def of(
        cls, name: str, y: Float[np.ndarray, "n d"], weight: Float[np.ndarray, "n"]
    ) -> Coordinates:
        """The coordinates of this name, by the principal components of standardised points.

        Args:
            name: one of `COORDINATES`.
            y: points.
            weight: how often each counts.
        """
        total = weight.sum()
        origin = weight @ y / total
        spread = np.sqrt(weight @ np.square(y - origin) / max(total - 1, 1.0))
        spread[spread == 0] = 1.0
        z = np.sqrt(weight)[:, None] * (y - origin) / spread
        _, values, vectors = np.linalg.svd(z, full_matrices=False)
        wide = values > FLAT * values[0]
        wide[0] = True
        values, axes = values[wide], vectors[wide].T / spread[:, None]
        if name == "whitened":
            values = values / np.sqrt(total)  # so that variances are one
        if values[0] > 0:
            axes = axes / values ** COORDINATES[name]
        return cls(origin, axes)

    def __call__(self, y: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n p"]:
        """Points in these coordinates."""
        return (y - self.origin) @ self.axes
