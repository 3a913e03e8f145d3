"""What a merge costs: how much the classification likelihood of Gaussian clusters loses by it.

A cluster of m points with scatter W about its mean, of trace t, counts in d coordinates, up to
constants and in nats,

    VVV   (m / 2) log(|W / m| + (t + a) / m)     covariances of any kind
    VII   (d m / 2) log((t + a) / m)             round ones of any size
    EII   t                                      round ones of one size: sums of squares, as Ward's

The term in t and a keeps clusters finite that have no volume, as single points; a is the mean
variance of the coordinates. In one dimension VVV is VII. Clusters of no more than d points have no
volume.

Sources: Fraley (1998), "Algorithms for model-based Gaussian hierarchical clustering"; Banfield &
Raftery (1993); Ward (1963).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

CRITERIA = ("VVV", "VII", "EII")
TINY = np.finfo(float).eps  # mean variance of coordinates that do not vary
Array = Float[np.ndarray, "*m"]


@dataclass(frozen=True)
class Criterion:
    """A criterion in so many dimensions.

    Attributes:
        has_volume: whether determinants count.
        factor: of the logarithms; zero, where traces count as they are.
        spread: mean variance of the coordinates.
    """

    has_volume: bool
    factor: float
    spread: float

    @classmethod
    def of(
        cls, name: str, z: Float[np.ndarray, "n d"], weight: Float[np.ndarray, "n"]
    ) -> Criterion:
        """The criterion of this name for points.

        Args:
            name: one of `CRITERIA`.
            z: the points.
            weight: how often each counts.
        """
        d, centred = z.shape[1], z - np.average(z, axis=0, weights=weight)
        spread = float(weight @ np.square(centred).sum(1) / (weight.sum() * d))
        factor = {"VVV": 0.5, "VII": d / 2, "EII": 0.0}[name]
        return cls(name == "VVV" and d > 1, factor, max(spread, TINY))

    def terms(self, count: Array, trace: Array, volume: Array | float = 0.0) -> Array:
        """What clusters count.

        Args:
            count: numbers of points, or their weights.
            trace: of the scatters.
            volume: determinants of the covariances.
        """
        if self.factor == 0.0:
            return trace
        return self.factor * count * np.log(volume + (trace + self.spread) / count)
