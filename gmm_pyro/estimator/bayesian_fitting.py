"""From the arguments of a `PyroBayesianGaussianMixture` to its fit, and from this to attributes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from ..covariance import conjugate, family_named
from ..covariance.records import times
from ..data.checks import check_count, check_number
from ..data.points import Observations
from ..inference.diagnosis import diagnose
from ..inference.fit import Fit, fit_observations
from ..inference.methods import Choice, choice
from ..inference.starts.starting import SEVERAL
from ..inference.variational.approximation import Factors
from ..inference.variational.record import Variational
from ..inference.variational.weights import WeightsFactor
from ..mixture.value import GaussianMixture
from ..model.normal_wishart import NormalWishart
from ..running.threads import one_thread_a_product
from .arguments import INIT_PARAMS, MOST_STARTS, gone_on_from, options_by_name
from .attributes import attributes_of, numpy_of
from .bayesian_prior import BayesianPrior, prior_of
from .bayesian_steps import BAYESIAN, BayesianOptions, BayesianState, BayesianSteps
from .fitting import observed, refuse_too_few
from .open_stick import SEARCHED, open_prior
from .starts import Array, RandomState, drawn_start
from .trials import Printer


def fitted_bayesian(estimator: Any, x: Array, sample_weight: Any) -> tuple[Fit, dict[str, Any]]:
    """The fit, and the prior by scikit-learn's names.

    Args:
        estimator: a `PyroBayesianGaussianMixture`, whose attributes are the constructor's
            arguments.
        x: the points, shape (n, d).
        sample_weight: n weights, or None.

    Raises:
        ValueError: if the data or an argument is not valid.
    """
    started, by_recipe = time.perf_counter(), estimator.search is None
    refuse_too_few(x, estimator.n_components)
    with one_thread_a_product():
        observations = observed(estimator, x, sample_weight, constant_columns=by_recipe)
        prior, random = (
            prior_of(estimator, observations),
            check_random_state(estimator.random_state),
        )
        choose = _steps if by_recipe else _search
        chosen = choose(estimator, observations, prior, random)
        fit = fit_observations(prior.model(estimator.n_components), observations, chosen, started)
        return _at_most(fit), prior.attributes


def _at_most(fit: Fit) -> Fit:
    """The fit of a number of components that is the most there can be, whatever their prior."""
    if not fit.diagnostics["problems"]:
        return fit
    floor = fit.options.covariance_floor * fit.observations.bulk.square()
    surplus = frozenset(range(fit.mixture.n_components))
    found = diagnose(fit.observations, fit.mixture.family, fit.mixture.parameters, floor, surplus)
    return replace(fit, surplus=surplus, diagnostics={**fit.diagnostics, **vars(found)})


def _steps(
    estimator: Any, observations: Observations, prior: BayesianPrior, random: RandomState
) -> Choice:
    """scikit-learn's steps, and where they begin."""
    if estimator.method_options:
        raise ValueError(
            "method_options are for a search, and scikit-learn's steps have the constructor's own; "
            f"got {', '.join(estimator.method_options)}"
        )
    ridge = check_number("reg_covar", estimator.reg_covar)
    steps = prior.steps(estimator.n_components, ridge, observations.origin)
    n_starts = check_count("n_init", estimator.n_init, 1, MOST_STARTS)
    goes_on = gone_on_from(estimator, observations) is not None
    options = BayesianOptions(
        steps=steps,
        trials=(_last(estimator, steps, observations),)
        if goes_on
        else tuple(
            steps.begun(observations, drawn_start(estimator, observations, random))
            for _ in range(n_starts)
        ),
        n_starts=n_starts,
        max_steps=estimator.max_iter,
        tolerance=check_number("tol", estimator.tol),
        covariance_floor=0.0,
        ridge=ridge,
        bound=estimator.lower_bound_ if goes_on else -np.inf,
        printer=Printer(estimator.verbose, estimator.verbose_interval),
    )
    return Choice(estimator.method, BAYESIAN, options)


def _search(
    estimator: Any, observations: Observations, prior: BayesianPrior, random: RandomState
) -> Choice:
    """This package's own method, and its options."""
    del prior
    options = options_by_name(estimator, observations, {}, random)
    if estimator.n_init == 1:  # one start would seldom do
        options.pop("n_starts", None)
    if estimator.init_params == INIT_PARAMS and isinstance(options["start"], str):
        options["start"] = SEVERAL
    if "tolerance" in options:  # in nats a point
        options["tolerance"] = estimator.tol / observations.total_weight
    chosen = choice(estimator.method, options | dict(estimator.method_options or {}))
    return replace(chosen, method=SEARCHED)


def _last(estimator: Any, steps: BayesianSteps, observations: Observations) -> BayesianState:
    """Where the last fit has ended."""
    weights, components = _factors(estimator, 1)
    counts = components.mean_strength - estimator.mean_precision_prior_
    return steps.at(weights, components, counts, observations)


# ---------------------------------------------------------------------- attributes


def found_by_name(fit: Fit) -> dict[str, Any]:
    """What has been found, by scikit-learn's names."""
    q = _record(fit)
    factor = q.family.factorise(q.covariance)[None]
    p = replace(fit.mixture.parameters, means=q.mean[None], factor=factor)
    found = attributes_of(GaussianMixture.from_parameters(q.family, p))
    alpha, dof = numpy_of(q.weight_concentration), numpy_of(q.degrees_of_freedom) / _squares(fit)
    assert q.mean_strength is not None
    return found | {
        "weight_concentration_": alpha if alpha.ndim == 1 else (alpha[0], alpha[1]),
        "mean_precision_": numpy_of(q.mean_strength),
        "degrees_of_freedom_": dof if dof.ndim else float(dof),
    }


def predictive(estimator: Any) -> tuple[GaussianMixture, float]:
    """The mixture whose weighted densities are the logits of points, up to a number in nats.

    It is made of the attributes, which their owner may have changed.
    """
    fit = estimator.fit_
    weights, components = _factors(estimator, _squares(fit))
    if isinstance(fit.options, BayesianOptions):
        parameters = fit.options.steps.parameters(weights, components)
    else:
        prior = open_prior(fit.model, components.mean)
        parameters = prior.expected(Factors(weights, components)).parameters
    names = fit.mixture.feature_names
    mixture = GaussianMixture.from_parameters(components.family, parameters, feature_names=names)
    return mixture, float(parameters.log_weights.logsumexp(1))


def _record(fit: Fit) -> Variational:
    assert fit.variational is not None
    return fit.variational


def _squares(fit: Fit) -> int:
    """Degrees of freedom that a point is in a fit: one, by scikit-learn's steps."""
    by_steps = isinstance(fit.options, BayesianOptions)
    family = conjugate(fit.mixture.family)
    return 1 if by_steps else family.squares_a_point(fit.mixture.n_features)


def _factors(estimator: Any, squares: int) -> tuple[WeightsFactor, NormalWishart]:
    """The factors that the attributes describe."""
    family, d = conjugate(family_named(estimator.covariance_type)), estimator.means_.shape[1]
    alpha = estimator.weight_concentration_
    first, second = alpha if isinstance(alpha, tuple) else (alpha, alpha[:0])
    first, second, mean, strength, dof, covariance = (
        torch.as_tensor(np.asarray(value, dtype=float))[None]
        for value in (
            *(first, second, estimator.means_, estimator.mean_precision_),
            *(np.atleast_1d(estimator.degrees_of_freedom_), estimator.covariances_),
        )
    )
    scale = times(dof, family.covariance(family.factorise(covariance[0])[None], d))
    components = NormalWishart(family, mean, strength, squares * dof, scale)
    return WeightsFactor(first, second, first.new_zeros(1, 1)), components
