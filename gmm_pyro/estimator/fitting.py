"""From an estimator's arguments and a checked array to the fit of the model that they name."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from sklearn.utils import check_random_state

from ..data.checks import shown
from ..data.observations import observe
from ..data.points import Observations
from ..inference.fit import Fit, fit_observations
from ..inference.warned import held_fixed
from ..model.program import MixtureModel
from ..running.threads import one_thread_a_product
from .arguments import AUTO, by_recipe, choice_of
from .starts import Array, check_given


def fitted(estimator: Any, x: Array, sample_weight: Any, labels: Any) -> Fit:
    """The fit of a model that an estimator names in full.

    Args:
        estimator: a `PyroGaussianMixture`, whose attributes are the constructor's arguments.
        x: the points, shape (n, d).
        sample_weight: n weights, or None.
        labels: those of `gmm_pyro.fit`.

    Raises:
        ValueError: if the data or an argument is not valid.
    """
    started, k = time.perf_counter(), estimator.n_components
    refuse_too_few(x, k)
    given = check_given(estimator, x.shape[1])
    with one_thread_a_product():
        noise = getattr(estimator, "noise_component", None)  # not in an old pickle
        own = k, estimator.covariance_type, estimator.priors
        model = held_fixed(MixtureModel(*own, noise_component=noise))
        constant = by_recipe(estimator)
        observations = observed(estimator, x, sample_weight, labels, constant_columns=constant)
        random = check_random_state(estimator.random_state)
        chosen = choice_of(estimator, observations, given, random)
        return fit_observations(model, observations, chosen, started)


def refuse_too_few(x: Array, k: int) -> None:
    """Refuse fewer points than components, in scikit-learn's words.

    Raises:
        ValueError: if they are.
    """
    if len(x) < k:
        raise ValueError(
            "Expected n_samples >= n_components but got n_components = "
            f"{shown(k)}, n_samples = {len(x)}"
        )


def observed(
    estimator: Any,
    x: Array,
    sample_weight: Any = None,
    labels: Any = None,
    *,
    constant_columns: bool = False,
) -> Observations:
    """The points by their names, with their weights and what is known of their components.

    Raises:
        ValueError: if they cannot be fitted.
    """
    k = estimator.n_components
    observations = observe(
        x,
        n_components=1 if k == AUTO else k,
        sample_weight=sample_weight,
        labels=labels,
        dtype=str(x.dtype),
        constant_columns=constant_columns,
    )
    names = getattr(estimator, "feature_names_in_", observations.feature_names)
    return replace(observations, feature_names=tuple(map(str, names)))
