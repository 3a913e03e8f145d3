"""How good a density is: at the points that were fitted, at others, and beside the truth."""

from __future__ import annotations

import math

from ... import metrics
from ...designs import NotGaussian
from .outcome import Outcome


def of_fitted(outcome: Outcome) -> dict[str, float]:
    """The likelihood of the points that were fitted, and what it costs."""
    mixture, data = outcome.mixture, outcome.data
    if mixture is None:
        return {}
    criteria = mixture.criteria(data.points, data.sample_weight)
    return {
        "log_likelihood": criteria.mean_log_density,
        "bic": criteria.bic,
        "icl": criteria.icl,
        "n_parameters": mixture.n_parameters,
    }


def of_others(outcome: Outcome) -> dict[str, float]:
    """The density of points that were not fitted, and how far it is below that of the truth.

    Where components are not Gaussian, the truth has their moments, and not their density.
    """
    mixture, others = outcome.mixture, outcome.others
    if mixture is None or others is None:
        return {}
    found = mixture.log_prob(others.x).double()
    values = {"held_out_log_density": float(found.mean())}
    if isinstance(outcome.data, NotGaussian):
        return values
    excess = others.true_log_density - found
    return {
        **values,
        "kl_to_truth": float(excess.mean()),
        "kl_standard_error": float(excess.std()) / math.sqrt(len(found)),
    }


def of_parameters(outcome: Outcome) -> dict[str, float]:
    """Errors of the parameters, after components are matched to the truth's."""
    mixture, truth = outcome.mixture, outcome.data.truth
    if mixture is None or truth is None:
        return {}
    errors = metrics.parameter_errors(mixture, truth)
    return {
        "weight_error": errors.weights,
        "mean_error": errors.means,
        "covariance_error": errors.covariances,
    }
