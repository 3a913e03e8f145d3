"""The components of noise that there are: uniform over a box, and a wide Gaussian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters, family_named
from ..data.arrays import finite
from ..data.checks import check_flag, shown
from ..data.features import check_names
from ..data.points import Observations, Points
from ..reduction.pointwise import log_density
from ..reduction.theta import Theta
from .noise_component import NoiseComponent

FULL = family_named("full")
CLOSE = 1e-6  # share of the width, the most that its ends give way
ROUNDING = torch.finfo(torch.float32).eps  # of a value, with which a box's own points may come back


@dataclass(frozen=True, eq=False)
class UniformBox(NoiseComponent):
    """Noise that is uniform over a box, and nowhere else.

    It is uniform in what is measured: missing values are integrated out, and measurement noise
    does not widen it. Outside of the box its density is zero, so that a point there belongs to a
    cluster, however far off. A box of the data holds all of them, but says little of points that
    come later, and leave-one-out densities of points on its faces are too high: without them it
    would be smaller.

    Numbers go by the order of the features of x, those of a pandas Series by its names.

    Attributes:
        low: lower ends of the features, shape (d,); the data's smallest values, if None.
        high: upper ends, shape (d,); the data's largest values, if None.
        concentration: a and b of the prior of its weight, Beta(a, b), for methods with priors. The
            default expects a tenth of the points, and is worth ten.
        of_data: whether the box is that of data: its volume then counts as a parameter, as in
            mclust.
        feature_names: d names, if the numbers go by these; None once they are in the order of x.

    Example:
        >>> UniformBox([0.0, 0.0], [2.0, 5.0]).volume
        10.0
    """

    KIND = "uniform"
    ARRAYS = ("low", "high")

    low: Any = None
    high: Any = None
    concentration: tuple[float, float] = (1.0, 9.0)
    of_data: bool = False
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check(self, *self.ARRAYS)
        check_flag("of_data", self.of_data)
        low, high = self._given
        if low is None or high is None:
            return
        width = high - low if low.shape == high.shape else low.new_zeros(1)
        if not ((width > 0) & width.isfinite()).all():
            raise ValueError(
                "low must be below high, feature by feature, and high - low in the range of "
                f"numbers, got {shown(low.tolist())} and {shown(high.tolist())}"
            )

    @property
    def volume(self) -> float:
        """Of the box, in the product of the features' units."""
        low, high = self.arrays
        return float((high - low).prod())

    @property
    def n_parameters(self) -> int:
        """See `NoiseComponent`."""
        return 1 + self.of_data

    def _completed(self, observations: Observations) -> UniformBox:
        """See `NoiseComponent`: the box of the points of positive weight."""
        if self.low is not None and self.high is not None:
            return self
        self._refuse_projected(observations)
        low, high = observations.ends.double()
        half = torch.where(low < high, 0.0, 0.5 * observations.scale)  # where all are equal
        low = low - half if self.low is None else self.low
        high = high + half if self.high is None else self.high
        if not (low < high).all():
            name, end = ("high", "below") if self.low is None else ("low", "above")
            raise ValueError(
                f"{name} of the noise component is {end} all of x in a feature: give both, or none"
            )
        return UniformBox(low, high, self.concentration, of_data=True)

    def log_density(self, points: Points) -> Float[Tensor, "n"]:
        """See `NoiseComponent`."""
        self._refuse_projected(points)
        low, high = (end.to(points.device) for end in self.arrays)
        x, missing = points.x, points.x.isnan()
        most = CLOSE * (high - low)  # far from zero values are rounded by more than the box is wide
        below = low - torch.minimum(ROUNDING * low.abs(), most)
        above = high + torch.minimum(ROUNDING * high.abs(), most)
        inside = (missing | ((x >= below) & (x <= above))).all(1)
        log_density = -torch.where(missing, 0.0, (high - low).log()).sum(1)
        return log_density.masked_fill(~inside, -torch.inf)

    def _refuse_projected(self, points: Points) -> None:
        if points.measured is not None and points.measured.projection is not None:
            raise ValueError(
                "a uniform noise component is of features, and these points are projections of "
                "them: gmm_pyro.WideGaussian goes with projections"
            )

    def moments(self) -> tuple[Float[Tensor, "d"], Float[Tensor, "d d"]]:
        """See `NoiseComponent`."""
        low, high = self.arrays
        return 0.5 * (low + high), ((high - low).square() / 12).diag()

    def ends(self, reach: float) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
        """See `NoiseComponent`."""
        return self.arrays

    def draw(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        """See `NoiseComponent`."""
        low, high = self.arrays
        return low + (high - low) * low.new_empty(n, len(low)).uniform_(generator=generator)

    def marginal(self, columns: Sequence[int]) -> UniformBox:
        """See `NoiseComponent`."""
        low, high = (None if end is None else end[list(columns)] for end in self._given)
        return replace(self, low=low, high=high, feature_names=None)

    def given(self, known: Sequence[int], values: Float[Tensor, "m"]) -> UniformBox:
        """See `NoiseComponent`: its features do not depend on each other."""
        return self.marginal([i for i in range(self.n_features) if i not in known])


@dataclass(frozen=True, eq=False)
class WideGaussian(NoiseComponent):
    """Noise that is Gaussian, of a covariance that is given.

    Points are measured of it as of the clusters, with what is missing, with measurement noise, and
    through projections. It reaches everywhere, so that any point may be an outlier.

    Numbers go by the order of the features of x, those of a frame or Series by its names.

    Attributes:
        covariance: matrix of shape (d, d), or variances of shape (d,).
        mean: shape (d,); that of the data, if None.
        concentration: a and b of the prior of its weight, Beta(a, b), for methods with priors.
        feature_names: d names, if the numbers go by these; None once they are in the order of x.

    Example:
        >>> WideGaussian([100.0, 25.0]).covariance.tolist()
        [[100.0, 0.0], [0.0, 25.0]]
    """

    KIND = "gaussian"
    ARRAYS = ("mean", "covariance")

    covariance: Any
    mean: Any = None
    concentration: tuple[float, float] = (1.0, 9.0)
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check(self, "mean", "covariance")
        given = torch.as_tensor(finite(self.covariance, "covariance of the noise component"))
        matrix = given.double().diag() if given.ndim == 1 else given.double()
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0
        if not square or not FULL.factorise(matrix[None]).isfinite().all():
            raise ValueError(
                "covariance of the noise component must be a positive definite matrix (d, d), or "
                f"positive variances (d,), got {shown(self.covariance)}"
            )
        object.__setattr__(self, "covariance", matrix)
        if self.mean is not None and len(self.mean) != len(matrix):
            raise ValueError(
                f"mean of the noise component must have shape ({len(matrix)},) as its covariance "
                f"says, got ({len(self.mean)},)"
            )

    def _completed(self, observations: Observations) -> WideGaussian:
        """See `NoiseComponent`."""
        return self if self.mean is not None else replace(self, mean=observations.origin)

    def log_density(self, points: Points) -> Float[Tensor, "n"]:
        """See `NoiseComponent`: that of a mixture of it alone."""
        mean, covariance = (value.to(points.device) for value in self.arrays)
        factor = FULL.factorise(covariance[None])[None]
        alone = Parameters(mean.new_zeros(1, 1), mean[None, None], factor)
        plain = replace(points, allowed=None)
        return log_density(plain, Theta.about_means(FULL, alone), torch.float64)[0]

    def moments(self) -> tuple[Float[Tensor, "d"], Float[Tensor, "d d"]]:
        """See `NoiseComponent`."""
        return self.arrays

    def ends(self, reach: float) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
        """See `NoiseComponent`."""
        (mean, covariance) = self.arrays
        away = reach * covariance.diagonal().sqrt()
        return mean - away, mean + away

    def draw(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        """See `NoiseComponent`."""
        mean, covariance = self.arrays
        noise = mean.new_empty(n, len(mean)).normal_(generator=generator)
        return mean + noise @ torch.linalg.cholesky(covariance).T

    def marginal(self, columns: Sequence[int]) -> WideGaussian:
        """See `NoiseComponent`."""
        columns, mean = list(columns), None if self.mean is None else self.mean[list(columns)]
        covariance = self.covariance[columns][:, columns]
        return replace(self, mean=mean, covariance=covariance, feature_names=None)

    def given(self, known: Sequence[int], values: Float[Tensor, "m"]) -> WideGaussian:
        """See `NoiseComponent` (Bishop 2006, equations 2.81 and 2.82)."""
        (mean, covariance), known = self.arrays, list(known)
        rest = [i for i in range(len(mean)) if i not in known]
        across = covariance[rest][:, known]
        gain = torch.linalg.solve(covariance[known][:, known], across.mT).mT
        left = covariance[rest][:, rest] - gain @ across.mT
        moved = mean[rest] + gain @ (values.to(mean) - mean[known])
        return replace(self, mean=moved, covariance=0.5 * (left + left.mT))


def _labels(value: Any) -> tuple[str, ...] | None:
    """The names of the features of a frame or a Series, unless these are numbers."""
    found = getattr(value, "columns", getattr(value, "index", None))
    if isinstance(value, list | tuple | Tensor | np.ndarray) or found is None:
        return None
    names = list(found)
    return tuple(names) if all(isinstance(name, str) for name in names) else None


KINDS: Mapping[str, type[UniformBox | WideGaussian]] = {
    kind.KIND: kind for kind in (UniformBox, WideGaussian)
}


def as_noise_component(value: Any) -> NoiseComponent | None:
    """What is given; the uniform one over the data's box by its name.

    Raises:
        ValueError: if it is something else.
    """
    if value is None or isinstance(value, NoiseComponent):
        return value
    if isinstance(value, str) and value == UniformBox.KIND:
        return UniformBox()
    raise ValueError(
        f"noise_component must be '{UniformBox.KIND}', a gmm_pyro.UniformBox, a "
        f"gmm_pyro.WideGaussian or None, got {shown(value)}"
    )


def _check(noise: UniformBox | WideGaussian, *names: str) -> None:
    """Have arrays of one number a feature in float64, and the prior as two numbers.

    The names of labelled ones are kept, which must be the same for all.
    """
    given = {name: value for name in names if (value := getattr(noise, name)) is not None}
    named = _names(noise.feature_names, given)
    object.__setattr__(noise, "feature_names", named)
    for name, value in given.items():
        object.__setattr__(noise, name, _numbers(name, value, named))
    object.__setattr__(noise, "concentration", _beta(noise.concentration))


def _names(known: Any, given: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names of the features, by the labels of the arrays if these have some."""
    labels = {found for value in given.values() if (found := _labels(value)) is not None}
    if len(labels) > 1:
        raise ValueError(
            f"{' and '.join(given)} of the noise component must have their names in one order, got "
            f"{' and '.join(shown(list(found)) for found in sorted(labels))}"
        )
    names = labels.pop() if labels else known
    return None if names is None else check_names(names)


def _numbers(name: str, value: Any, named: tuple[str, ...] | None) -> Tensor:
    """An array with one number a feature, or one row."""
    numbers = np.atleast_1d(finite(value, f"{name} of the noise component"))
    if (numbers.ndim != 1 and name != "covariance") or not len(numbers):
        raise ValueError(f"{name} of the noise component must have shape (d,), got {numbers.shape}")
    if named is not None and len(named) != len(numbers):
        raise ValueError(
            f"{name} of the noise component must have a number for each of "
            f"{', '.join(named)}, got {len(numbers)}"
        )
    return torch.as_tensor(numbers)


def _beta(concentration: Any) -> tuple[float, float]:
    """The two numbers of the weight's prior."""
    prior = finite(concentration, "concentration of the noise component")
    if prior.shape != (2,) or not (prior > 0).all():
        raise ValueError(
            "concentration of the noise component must be two positive numbers, a and b of "
            f"Beta(a, b), got {shown(concentration)}"
        )
    a, b = prior.tolist()
    return a, b
