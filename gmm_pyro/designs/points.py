"""Points of mixtures whose components need not be Gaussian."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from ..data.checks import MOST_HELD, check_count, check_number, check_seed, shown
from ..datasets import Dataset
from ..mixture.points import Sample
from ..mixture.value import GaussianMixture
from .streams import Part

LEAST_DEGREES = 2.0  # of freedom: at or below, there are no variances
LEAST_SKEW, MOST_SKEW = 0.01, 10.0  # in size, but for 0


@dataclass(frozen=True)
class Shape:
    """How components depart from Gaussians with the same means and covariances.

    A point is μ + L (z · r), with Σ = L Lᵀ, independent z of mean 0 and variance 1, and one r.

    Attributes:
        tails: ν of Student's t: r² is (ν - 2) / χ²(ν); infinite for r = 1.
        skew: skewness of each z, of a gamma distribution that is shifted, and mirrored where the
            skew is negative; 0 for a normal one.
    """

    tails: float = math.inf
    skew: float = 0.0

    @property
    def is_gaussian(self) -> bool:
        """Whether there is no departure."""
        return self == Shape()

    def sample(self, truth: GaussianMixture, n: int, rng: np.random.Generator) -> Sample:
        """n points with the components that they come from."""
        k, d = truth.means.shape
        labels = rng.choice(k, size=n, p=truth.weights.numpy() / float(truth.weights.sum()))
        z = self._standard((n, d), rng)
        if math.isfinite(self.tails):
            z *= np.sqrt((self.tails - 2) / rng.chisquare(self.tails, size=(n, 1)))
        tril = np.linalg.cholesky(truth.covariance_matrices().numpy())
        x = np.empty((n, d))
        for component in range(k):
            rows = labels == component
            x[rows] = truth.means[component].numpy() + z[rows] @ tril[component].T
        return Sample(torch.from_numpy(x), torch.from_numpy(labels).long())

    def _standard(
        self, size: tuple[int, int], rng: np.random.Generator
    ) -> Float[np.ndarray, "n d"]:
        """Numbers with mean 0, variance 1 and this skewness."""
        if self.skew == 0:
            return rng.standard_normal(size)
        shape = 4 / self.skew**2
        return np.sign(self.skew) * (rng.gamma(shape, size=size) - shape) / math.sqrt(shape)


@dataclass(frozen=True, eq=False, repr=False)
class NotGaussian(Dataset):
    """Points whose components are not Gaussian; `truth` has their weights, means and covariances.

    Attributes:
        shape: what they are.
        source: the truth of all features that were drawn.
    """

    shape: Shape = field(kw_only=True)
    source: GaussianMixture = field(kw_only=True)

    def held_out(self, n: int, seed: int) -> Dataset:
        """Draw n other points, independently, of the same components.

        Args:
            n: number of points.
            seed: seed of the draw; no seed repeats the points of this data set.
        """
        n, rng = check_count("n", n, 1, MOST_HELD), Part.HELD_OUT.generator(check_seed(seed))
        sample = self.shape.sample(self.source, n, rng)
        columns = [self.source.feature_names.index(name) for name in self.feature_names]
        x, name = sample.x[:, columns], f"{self.name} (held out)"
        return Dataset(x, sample.labels, self.truth, name, self.feature_names)


def check_tails(name: str, value: Any) -> float:
    """Degrees of freedom above 2, or infinity.

    Raises:
        ValueError: if the value is none.
    """
    if value == math.inf:
        return math.inf
    return check_number(name, value, LEAST_DEGREES, positive=True)


def check_skew(name: str, value: Any) -> float:
    """A skewness that a gamma distribution can be drawn with, or 0.

    Raises:
        ValueError: if the value is none.
    """
    skew = check_number(name, value, -math.inf)
    if skew == 0 or LEAST_SKEW <= abs(skew) <= MOST_SKEW:
        return skew
    raise ValueError(
        f"{name} must be 0, or from {LEAST_SKEW:g} to {MOST_SKEW:g} in size, got {shown(value)}"
    )
