"""The estimators' arguments: what they may be, and what the methods make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from ..covariance import FAMILIES, family_named
from ..data.checks import MOST, MOST_HELD, check_count, check_number
from ..data.points import Observations
from ..inference.methods import METHODS, Choice, choice
from ..inference.starts.starting import SEVERAL, brought_into
from ..mixture.value import GaussianMixture
from ..model.conjugate import ConjugatePriors
from ..model.priors import Priors
from .recipe import RECIPE, RecipeOptions
from .starts import STARTS, RandomState, starts
from .trials import Printer

MOST_STARTS = 10**6
INIT_PARAMS = "kmeans"  # the default
AUTO = "auto"  # a number of components, or a family, that BIC chooses
TOLERANCE, MAX_ITER = 1e-3, 100  # scikit-learn's, for EM; other methods have limits of their own
START_NAMES = {  # of the other methods
    "kmeans": "k-means",
    "k-means++": "k-means++",
    "random": "random",
    "random_from_data": "random points",
}
COUNT = [Interval(Integral, 1, None, closed="left")]  # one or more
OF_METHODS: dict[str, list[Any]] = {  # what both estimators take
    "n_components": [*COUNT, StrOptions({AUTO})],
    "covariance_type": [StrOptions({AUTO, *FAMILIES, *(f.mclust for f in FAMILIES.values())})],
    "method": [StrOptions(set(METHODS))],
    "priors": [Priors, ConjugatePriors, None],
    "method_options": [dict, None],
    "tol": [Interval(Real, 0.0, None, closed="left")],
    "reg_covar": [Interval(Real, 0.0, None, closed="left")],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "n_init": COUNT,
    "init_params": [StrOptions(set(STARTS))],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def choice_of(
    estimator: Any, observations: Observations, given: Mapping[str, Tensor], random: RandomState
) -> Choice:
    """The method that an estimator is to be fitted by, and its options.

    Args:
        estimator: a `PyroGaussianMixture`, whose attributes are the constructor's arguments.
        observations: the data.
        given: starting values, as `check_given` returns them.
        random: source of randomness.

    Raises:
        ValueError: if an argument is not valid, or a warm start does not fit.
    """
    if by_recipe(estimator):
        options = _recipe_options(estimator, observations, given, random)
        return Choice(estimator.method, RECIPE, options)
    return choice(estimator.method, options_by_name(estimator, observations, given, random))


def by_recipe(estimator: Any) -> bool:
    """Whether an estimator is to be fitted by scikit-learn's EM."""
    noise = getattr(estimator, "noise_component", None)  # scikit-learn has none
    own = estimator.search is not None or noise is not None or bool(left_open(estimator))
    return estimator.method == "em" and not own


def left_open(estimator: Any) -> list[str]:
    """Names of what an estimator leaves to the data."""
    return [
        name for name in ("n_components", "covariance_type") if getattr(estimator, name) == AUTO
    ]


def _recipe_options(
    estimator: Any, observations: Observations, given: Mapping[str, Tensor], random: RandomState
) -> RecipeOptions:
    """The options of scikit-learn's EM."""
    if estimator.method_options:
        raise ValueError(
            "method_options are for other methods than 'em' without a search, which has the "
            "constructor's own; "
            f"got {', '.join(estimator.method_options)}"
        )
    n_starts = check_count("n_init", estimator.n_init, 1, MOST_STARTS)
    ridge, before = (
        check_number("reg_covar", estimator.reg_covar),
        gone_on_from(estimator, observations),
    )
    return RecipeOptions(
        n_starts=n_starts,
        max_steps=estimator.max_iter,
        tolerance=check_number("tol", estimator.tol),
        covariance_floor=ridge / float(observations.bulk.square().max()),
        ridge=ridge,
        trials=starts(estimator, observations, given, n_starts, random)
        if before is None
        else replace(brought_into(family_named(estimator.covariance_type), before), log_odds=None),
        bound=-np.inf if before is None else estimator.lower_bound_,
        printer=Printer(estimator.verbose, estimator.verbose_interval),
    )


def options_by_name(
    estimator: Any, observations: Observations, given: Mapping[str, Tensor], random: RandomState
) -> dict[str, Any]:
    """The options of this package's methods, its own EM included."""
    before = gone_on_from(estimator, observations)
    options: dict[str, Any] = {
        "seed": int(random.randint(2**31 - 1)),
        "start": _start(estimator) if before is None else before,
        "progress": bool(estimator.verbose),
    }
    if before is None and given:
        parameters = starts(estimator, observations, given, 1, random)
        family = family_named(estimator.covariance_type)
        options["start"] = GaussianMixture.from_parameters(family, parameters)
    return options | told(estimator) | dict(estimator.method_options or {})


def told(estimator: Any) -> dict[str, Any]:
    """Options of a method by the constructor's names for them, but its start."""
    known = (
        ("max_steps", estimator.max_iter, MAX_ITER),
        ("tolerance", estimator.tol, TOLERANCE),
        ("search", estimator.search, None),
        # EM searches from a number of its own; what others do with one start is theirs to say
        ("n_starts", estimator.n_init, 1 if estimator.method == "em" else None),
    )
    return {name: value for name, value, default in known if value != default}


def _start(estimator: Any) -> str:
    """The start that `init_params` names; at its default, EM's search has several kinds."""
    if estimator.method == "em" and estimator.init_params == INIT_PARAMS:
        return SEVERAL
    return START_NAMES[estimator.init_params]


def gone_on_from(estimator: Any, observations: Observations) -> GaussianMixture | None:
    """The mixture that a warm start goes on from, or None.

    Raises:
        ValueError: if it does not fit what is asked for now.
    """
    if not (estimator.warm_start and hasattr(estimator, "converged_")):
        return None
    k, d, before = estimator.n_components, observations.d, estimator._mixture
    if (before.n_components, before.n_features) != (k, d):
        raise ValueError(
            f"warm_start goes on from {before.n_components} components in {before.n_features} "
            f"dimensions, and n_components and X now ask for {k} in {d}"
        )
    return before


def check_n_samples(n_samples: Any) -> int:
    """The number of points to draw; none are refused in scikit-learn's words."""
    count = check_count("n_samples", n_samples, -MOST, MOST_HELD)
    if count < 1:
        raise ValueError(
            f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one "
            "sample."
        )
    return count
