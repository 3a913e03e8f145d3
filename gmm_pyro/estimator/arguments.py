"""The estimators' arguments: what they may be, and what the methods make of them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..checks import MOST, MOST_HELD, check_count, check_number
from ..conjugate import ConjugatePriors
from ..covariance import FAMILIES, Parameters, family_named
from ..inference.fit import METHODS
from ..mixture import GaussianMixture
from ..observations import Observations
from ..priors import Priors
from ..start import brought_into
from .printer import Printer
from .recipe import RecipeOptions
from .starts import STARTS, Given, starts

if TYPE_CHECKING:
    from .mixture import PyroGaussianMixture

Array = np.ndarray[Any, np.dtype[Any]]
MOST_STARTS = 10**6
TOLERANCE, MAX_ITER = 1e-3, 100  # scikit-learn's, for EM; other methods have limits of their own
START_NAMES = {  # of the other methods
    "kmeans": "k-means",
    "k-means++": "k-means++",
    "random": "random",
    "random_from_data": "random points",
}
OF_METHODS: dict[str, list[Any]] = {  # what both estimators take
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "covariance_type": [StrOptions({*FAMILIES, *(f.mclust for f in FAMILIES.values())})],
    "method": [StrOptions(set(METHODS))],
    "priors": [Priors, ConjugatePriors, None],
    "method_options": [dict, None],
    "tol": [Interval(Real, 0.0, None, closed="left")],
    "reg_covar": [Interval(Real, 0.0, None, closed="left")],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "init_params": [StrOptions(set(STARTS))],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def recipe_options(
    estimator: PyroGaussianMixture,
    observations: Observations,
    given: Given,
    random: np.random.RandomState,
) -> RecipeOptions:
    """The options of scikit-learn's EM.

    Raises:
        ValueError: if there are `method_options`, or a warm start does not fit.
    """
    if estimator.method_options:
        raise ValueError(
            "method_options are for other methods than 'em', which has the constructor's own; "
            f"got {', '.join(estimator.method_options)}"
        )
    n_starts = check_count("n_init", estimator.n_init, 1, MOST_STARTS)
    warm, ridge = is_warm(estimator), check_number("reg_covar", estimator.reg_covar)
    watch = Printer(estimator.verbose, estimator.verbose_interval) if estimator.verbose else None
    return RecipeOptions(
        n_starts=n_starts,
        max_steps=estimator.max_iter,
        tolerance=check_number("tol", estimator.tol),
        covariance_floor=ridge / float(observations.bulk.square().max()),
        ridge=ridge,
        trials=brought_into(family_named(estimator.covariance_type), _warm(estimator))
        if warm
        else _starts(estimator, observations, given, random, n_starts),
        bound=estimator.lower_bound_ if warm else -np.inf,
        watch=watch,
    )


def method_options(
    estimator: PyroGaussianMixture,
    observations: Observations,
    given: Given,
    random: np.random.RandomState,
    sample_weight: Any,
) -> dict[str, Any]:
    """The options of any other method, by name."""
    options: dict[str, Any] = {
        "seed": int(random.randint(2**31 - 1)),
        "start": START_NAMES[estimator.init_params],
        "n_starts": estimator.n_init,
        "progress": bool(estimator.verbose),
    }
    if is_warm(estimator):
        options["start"] = _warm(estimator)
    elif given.any:
        family = family_named(estimator.covariance_type)
        parameters = _starts(estimator, observations, given, random, 1)
        options["start"] = GaussianMixture.from_parameters(family, parameters)
    if sample_weight is not None:
        options["sample_weight"] = sample_weight
    if estimator.max_iter != MAX_ITER:
        options["max_steps"] = estimator.max_iter
    if estimator.tol != TOLERANCE:
        options["tolerance"] = estimator.tol
    return options | dict(estimator.method_options or {})


def is_warm(estimator: PyroGaussianMixture) -> bool:
    """Whether a fit goes on where the last one ended."""
    return bool(estimator.warm_start) and hasattr(estimator, "converged_")


def _warm(estimator: PyroGaussianMixture) -> GaussianMixture:
    """The mixture that a warm start goes on from."""
    k, d, before = estimator.n_components, estimator.n_features_in_, estimator._mixture
    if (before.n_components, before.n_features) != (k, d):
        raise ValueError(
            f"warm_start goes on from {before.n_components} components in {before.n_features} "
            f"dimensions, and n_components and X now ask for {k} in {d}"
        )
    return before


def _starts(
    estimator: PyroGaussianMixture,
    observations: Observations,
    given: Given,
    random: np.random.RandomState,
    count: int,
) -> Parameters:
    like = family_named(estimator.covariance_type), estimator.n_components
    ridge = float(estimator.reg_covar)
    return starts(estimator.init_params, observations, given, like, ridge, count, random)


def check_n_samples(n_samples: Any) -> int:
    """The number of points to draw; none are refused in scikit-learn's words."""
    count = check_count("n_samples", n_samples, -MOST, MOST_HELD)
    if count < 1:
        raise ValueError(
            f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one "
            "sample."
        )
    return count
