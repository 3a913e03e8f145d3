"""The estimators' arguments: what they may be, and what the methods make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..covariance import FAMILIES, Parameters, family_named
from ..data.checks import MOST, MOST_HELD, check_count, check_number
from ..data.points import Observations
from ..inference.methods import METHODS
from ..inference.starts.starting import brought_into
from ..mixture.value import GaussianMixture
from ..model.conjugate import ConjugatePriors
from ..model.priors import Priors
from .printer import Printer
from .recipe import RecipeOptions
from .starts import STARTS, Initial, starts

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


@dataclass(frozen=True, eq=False, kw_only=True)
class Arguments:
    """What a fit takes from an estimator's constructor, by its names, and from the last fit.

    Attributes:
        before: the mixture that a warm start goes on from, or None.
        bound: mean log-likelihood that it had reached, in nats.
    """

    n_components: int
    covariance_type: str
    method_options: Mapping[str, Any] | None
    tol: float
    reg_covar: float
    max_iter: int
    n_init: int
    init_params: str
    verbose: int
    verbose_interval: int
    before: GaussianMixture | None
    bound: float

    def recipe_options(
        self, observations: Observations, given: Initial, random: np.random.RandomState
    ) -> RecipeOptions:
        """The options of scikit-learn's EM.

        Raises:
            ValueError: if there are `method_options`, or a warm start does not fit.
        """
        if self.method_options:
            raise ValueError(
                "method_options are for other methods than 'em', which has the constructor's own; "
                f"got {', '.join(self.method_options)}"
            )
        n_starts = check_count("n_init", self.n_init, 1, MOST_STARTS)
        ridge, before = check_number("reg_covar", self.reg_covar), self._before(observations.d)
        return RecipeOptions(
            n_starts=n_starts,
            max_steps=self.max_iter,
            tolerance=check_number("tol", self.tol),
            covariance_floor=ridge / float(observations.bulk.square().max()),
            ridge=ridge,
            trials=self._starts(observations, given, random, n_starts)
            if before is None
            else brought_into(family_named(self.covariance_type), before),
            bound=self.bound,
            watch=Printer(self.verbose, self.verbose_interval) if self.verbose else None,
        )

    def options_by_name(
        self, observations: Observations, given: Initial, random: np.random.RandomState
    ) -> dict[str, Any]:
        """The options of any other method."""
        before = self._before(observations.d)
        options: dict[str, Any] = {
            "seed": int(random.randint(2**31 - 1)),
            "start": START_NAMES[self.init_params] if before is None else before,
            "n_starts": self.n_init,
            "progress": bool(self.verbose),
        }
        if before is None and given.any:
            family = family_named(self.covariance_type)
            parameters = self._starts(observations, given, random, 1)
            options["start"] = GaussianMixture.from_parameters(family, parameters)
        if self.max_iter != MAX_ITER:
            options["max_steps"] = self.max_iter
        if self.tol != TOLERANCE:
            options["tolerance"] = self.tol
        return options | dict(self.method_options or {})

    def _before(self, d: int) -> GaussianMixture | None:
        """The mixture that a warm start goes on from."""
        k, before = self.n_components, self.before
        if before is not None and (before.n_components, before.n_features) != (k, d):
            raise ValueError(
                f"warm_start goes on from {before.n_components} components in {before.n_features} "
                f"dimensions, and n_components and X now ask for {k} in {d}"
            )
        return before

    def _starts(
        self, observations: Observations, given: Initial, random: np.random.RandomState, count: int
    ) -> Parameters:
        like = family_named(self.covariance_type), self.n_components
        ridge = float(self.reg_covar)
        return starts(self.init_params, observations, given, like, ridge, count, random)


FROM_CONSTRUCTOR = [f.name for f in fields(Arguments) if f.name not in ("before", "bound")]


def check_n_samples(n_samples: Any) -> int:
    """The number of points to draw; none are refused in scikit-learn's words."""
    count = check_count("n_samples", n_samples, -MOST, MOST_HELD)
    if count < 1:
        raise ValueError(
            f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one "
            "sample."
        )
    return count
