"""Starting values as scikit-learn's mixtures make and check them: same draws, same words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..data.points import Observations
from ..inference.starts.starting import clustering, fitted_k_means
from ..reduction.assignments import Assignment, Given, GivenLabels
from ..reduction.sums import maximise, reduce
from ..reduction.theta import anywhere
from .recipe import refuse_ill_defined

Array = np.ndarray[Any, np.dtype[Any]]
RandomState = np.random.RandomState


@dataclass(frozen=True, eq=False)
class Initial:
    """What the user gives a start, checked; None where the start's name decides.

    Attributes:
        weights: shape (k,).
        means: shape (k, d).
        factor: square roots of the covariances, in the family's compact form.
    """

    weights: Float[Tensor, "k"] | None
    means: Float[Tensor, "k d"] | None
    factor: Float[Tensor, "k1 *event"] | None

    @property
    def any(self) -> bool:
        """Whether anything is given."""
        return not (self.weights is None and self.means is None and self.factor is None)


# ---------------------------------------------------------------------- what is given


def check_given(
    weights: Any, means: Any, precisions: Any, family: CovarianceFamily, k: int, d: int
) -> Initial:
    """The user's starting values as tensors.

    Args:
        weights: shape (k,), probabilities; or None.
        means: shape (k, d); or None.
        precisions: inverse covariances in the family's shape; or None.
        family: covariance family.
        k: number of components.
        d: number of features.

    Raises:
        ValueError: if a shape does not fit, weights are not probabilities, or a precision is not
            symmetric and positive definite.
    """
    return Initial(
        None if weights is None else _weights(weights, k),
        None if means is None else _array(means, (k, d), "means"),
        None if precisions is None else _factor(precisions, family, k, d),
    )


def _array(values: Any, shape: tuple[int, ...], name: str) -> Tensor:
    from sklearn.utils import check_array

    array = check_array(values, dtype=np.float64, ensure_2d=False, allow_nd=True, copy=True)
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )
    return torch.from_numpy(array)


def _weights(values: Any, k: int) -> Float[Tensor, "k"]:
    weights = _array(values, (k,), "weights")
    low, high = float(weights.min()), float(weights.max())
    if low < 0 or high > 1:
        raise ValueError(  # scikit-learn's words, which take one for the other, and then the values
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{low:.5f}, min value {high:.5f}: {weights.tolist()}"
        )
    total, single = float(weights.sum()), getattr(values, "dtype", None) == np.float32
    if abs(1 - total) > (1e-6 if single else 1e-8):
        raise ValueError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {total:.5f}"
        )
    return weights


def _factor(values: Any, family: CovarianceFamily, k: int, d: int) -> Tensor:
    name = f"{family.name} precision"
    root = family.factorise(_array(values, family.shape(k, d), name))
    if not root.isfinite().all():
        what = "symmetric, positive-definite" if family.is_matrix else "positive"
        raise ValueError(f"'{name}' should be {what}")
    return family.factorise(family.precisions(root))


# ---------------------------------------------------------------------- what is drawn


def _kmeans(x: Array, k: int, weight: Array | None, random: RandomState) -> Assignment:
    clusters = fitted_k_means(x, k, weight, n_init=1, random_state=random)
    return GivenLabels(torch.as_tensor(clusters.labels_, dtype=torch.int64)[None])


def _random(x: Array, k: int, weight: Array | None, random: RandomState) -> Assignment:
    del weight
    drawn = random.uniform(size=(len(x), k)).astype(x.dtype, copy=False)
    return _responsibilities(drawn / drawn.sum(axis=1, keepdims=True))


def _random_from_data(x: Array, k: int, weight: Array | None, random: RandomState) -> Assignment:
    probability = None if weight is None else weight / weight.sum()
    return _one_point_each(x, random.choice(len(x), size=k, replace=False, p=probability))


def _k_means_plus_plus(x: Array, k: int, weight: Array | None, random: RandomState) -> Assignment:
    drawn = clustering().kmeans_plusplus(x, k, sample_weight=weight, random_state=random)
    return _one_point_each(x, drawn[1])


def _one_point_each(x: Array, rows: Array) -> Assignment:
    """Every component has one point; the others have none, as scikit-learn does it."""
    responsibilities = np.zeros((len(x), len(rows)), x.dtype)
    responsibilities[rows, np.arange(len(rows))] = 1
    return _responsibilities(responsibilities)


def _responsibilities(array: Array) -> Assignment:
    return Given(torch.from_numpy(array).T[None])


STARTS: dict[str, Callable[[Array, int, Array | None, RandomState], Assignment]] = {
    "kmeans": _kmeans,
    "k-means++": _k_means_plus_plus,
    "random": _random,
    "random_from_data": _random_from_data,
}


def starts(
    name: str,
    observations: Observations,
    given: Initial,
    like: tuple[CovarianceFamily, int],
    ridge: float,
    n_starts: int,
    random: RandomState,
) -> Parameters:
    """A batch of starting parameters.

    Args:
        name: a key of `STARTS`.
        observations: the data.
        given: what the user has given, in place of what is drawn.
        like: the covariance family, and the number of components.
        ridge: a variance that is added to all variances.
        n_starts: number of starts.
        random: source of randomness.

    Raises:
        ValueError: if a start has a covariance that is not positive definite.
    """
    made = [_start(name, observations, given, like, ridge, random) for _ in range(n_starts)]
    return Parameters.joined(made)


def _start(
    name: str,
    observations: Observations,
    given: Initial,
    like: tuple[CovarianceFamily, int],
    ridge: float,
    random: RandomState,
) -> Parameters:
    """A batch of one: drawn, with what is given put in its place."""
    if given.weights is not None and given.means is not None and given.factor is not None:
        return Parameters(given.weights.log()[None], given.means[None], given.factor[None])
    weight = None if observations.sample_weight is None else np.asarray(observations.sample_weight)
    assign = STARTS[name](np.asarray(observations.x), like[1], weight, random)
    drawn = _first_m_step(assign, observations, like, ridge)
    start = Parameters(
        drawn.log_weights if given.weights is None else given.weights.log()[None],
        drawn.means if given.means is None else given.means[None],
        drawn.factor if given.factor is None else given.factor[None],
    )
    refuse_ill_defined(start)
    return start


def _first_m_step(
    assign: Assignment, observations: Observations, like: tuple[CovarianceFamily, int], ridge: float
) -> Parameters:
    """The M-step from an assignment; weights are shares of all points, also of those left out."""
    family, k = like
    theta, zero = anywhere(observations, family, (1, k)), torch.zeros_like(observations.scale)
    statistics = reduce(observations, theta, assign)
    drawn = maximise(observations, theta, statistics, zero, assign, ridge).parameters
    log_weights = (statistics.counts / observations.total_weight).log()
    return Parameters(log_weights, drawn.means, drawn.factor)
