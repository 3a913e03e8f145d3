"""Starting values as scikit-learn's mixtures make and check them: same draws, same words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters, family_named
from ..data.points import Observations
from ..inference.starts.starting import clustering, fitted_k_means
from ..reduction.assignments import Assignment, Given, GivenLabels
from ..reduction.sums import maximise, reduce
from ..reduction.theta import anywhere
from .trials import refuse_ill_defined

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = Mapping[str, Tensor]
RandomState = np.random.RandomState


# ---------------------------------------------------------------------- what is given


def check_given(estimator: Any, d: int) -> dict[str, Tensor]:
    """What the user gives a start: fields of a batch of one parameter set, as far as given.

    Args:
        estimator: with `weights_init`, `means_init` and `precisions_init`, or None.
        d: number of features.

    Raises:
        ValueError: if a shape does not fit, weights are not probabilities, or a precision is not
            symmetric and positive definite.
    """
    k, family = estimator.n_components, family_named(estimator.covariance_type)
    given = {}
    if estimator.weights_init is not None:
        given["log_weights"] = _weights(estimator.weights_init, k).log()[None]
    if estimator.means_init is not None:
        given["means"] = given_array(estimator.means_init, (k, d), "means")[None]
    if estimator.precisions_init is not None:
        given["factor"] = _factor(estimator.precisions_init, family, k, d)[None]
    return given


def given_array(values: Any, shape: tuple[int, ...], name: str) -> Tensor:
    """An argument in float64.

    Raises:
        ValueError: if it is not of this shape, or not finite.
    """
    from sklearn.utils import check_array

    array = check_array(values, dtype=np.float64, ensure_2d=False, allow_nd=True, copy=True)
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )
    return torch.from_numpy(array)


def _weights(values: Any, k: int) -> Float[Tensor, "k"]:
    weights = given_array(values, (k,), "weights")
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
    root = positive_root(family, given_array(values, family.shape(k, d), name), name)
    return family.factorise(family.precisions(root))


def positive_root(family: CovarianceFamily, matrices: Tensor, name: str) -> Tensor:
    """The factor of covariances or precisions that are given, in the family's compact form.

    Raises:
        ValueError: if one is not positive definite.
    """
    root = family.factorise(matrices)
    if not root.isfinite().all():
        what = "symmetric, positive-definite" if family.is_matrix else "positive"
        raise ValueError(f"'{name}' should be {what}")
    return root


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
    estimator: Any,
    observations: Observations,
    given: Mapping[str, Tensor],
    n_starts: int,
    random: RandomState,
) -> Parameters:
    """A batch of starting parameters.

    Args:
        estimator: with the start's name, the covariance family, the number of components, and the
            variance that is added to all variances.
        observations: the data.
        given: what the user has given, in place of what is drawn.
        n_starts: number of starts.
        random: source of randomness.

    Raises:
        ValueError: if a start has a covariance that is not positive definite.
    """
    made = [_start(estimator, observations, given, random) for _ in range(n_starts)]
    return Parameters.joined(made)


def _start(
    estimator: Any, observations: Observations, given: Mapping[str, Tensor], random: RandomState
) -> Parameters:
    """A batch of one: drawn, with what is given put in its place."""
    if len(given) == len(fields(Parameters)):
        return Parameters(**given)
    assign = drawn_start(estimator, observations, random)
    start = replace(_first_m_step(estimator, assign, observations), **given)
    refuse_ill_defined(start)
    return start


def drawn_start(estimator: Any, observations: Observations, random: RandomState) -> Assignment:
    """The assignment of a start, by the name that the estimator has for it."""
    weight = None if observations.sample_weight is None else np.asarray(observations.sample_weight)
    draw = STARTS[estimator.init_params]
    return draw(np.asarray(observations.filled), estimator.n_components, weight, random)


def _first_m_step(estimator: Any, assign: Assignment, observations: Observations) -> Parameters:
    """The M-step from an assignment; weights are shares of all points, also of those left out."""
    family, sets = family_named(estimator.covariance_type), (1, estimator.n_components)
    theta, zero = anywhere(observations, family, sets), torch.zeros_like(observations.scale)
    statistics = reduce(observations, theta, assign)
    ridge = float(estimator.reg_covar)
    drawn = maximise(observations, theta, statistics, zero, assign, ridge).parameters
    return replace(drawn, log_weights=(statistics.counts / observations.total_weight).log())
