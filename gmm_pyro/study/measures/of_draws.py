"""How good draws are: of themselves, and beside the truth."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...comparison.posteriors import few_enough, intervals, marginals, marginals_of
from ...mixture.value import GaussianMixture
from ...posterior.sizes import of_one_number
from .outcome import Outcome


def of_convergence(outcome: Outcome) -> dict[str, float]:
    """How far chains agree, and how many draws they are worth."""
    if outcome.posterior is None:
        return {}
    found = outcome.posterior.convergence()
    return {
        "r_hat": found.r_hat,
        "ess_bulk": found.ess_bulk,
        "ess_tail": found.ess_tail,
        "ess_per_second": found.ess_bulk / outcome.seconds,
    }


def of_truth(outcome: Outcome) -> dict[str, float]:
    """Errors of posterior means, and intervals, over all weights, means and deviations."""
    posterior, truth = outcome.posterior, outcome.data.truth
    if posterior is None or truth is None:
        return {}
    posterior = of_one_number(posterior)
    if posterior.n_components != truth.n_components:
        return {}
    values, true = marginals(posterior, truth), marginals_of(truth)
    low, high = intervals(values, outcome.level)
    unit = _units(truth)
    error, spread = values.mean(0) - true, values.std(0)
    varies = spread > 0  # as the weight of one component does not
    return {
        "posterior_error": float((error / unit).square().mean().sqrt()),
        "posterior_z": float((error / spread)[varies].square().mean().sqrt()),
        "coverage": float(((low <= true) & (true <= high)).double().mean()),
        "interval_width": float(((high - low) / unit).mean()),
    }


def _units(truth: GaussianMixture) -> Float[Tensor, "p"]:
    """1 for weights, and standard deviations of features for means and deviations."""
    sd = truth.covariance().diagonal().sqrt().double()
    of_features = sd.repeat(2 * truth.n_components)
    return torch.cat([sd.new_ones(truth.n_components), of_features])


def of_leaving_out(outcome: Outcome) -> dict[str, float]:
    """Leave-one-out cross-validation of draws."""
    fit = outcome.answer.fit
    if fit is None or fit.posterior is None:
        return {}
    from ...inference_data import elpd_loo

    elpd = elpd_loo(replace(fit, posterior=few_enough(fit.posterior)))
    return {
        "elpd_loo": elpd.elpd,
        "elpd_standard_error": elpd.se,
        "elpd_worst_k": elpd.worst_k,
    }


def of_approximation(outcome: Outcome) -> dict[str, float]:
    """How far an approximation is from the posterior, by importance weights."""
    fit = outcome.answer.fit
    k_hat = None if fit is None else fit.k_hat
    return {} if k_hat is None else {"k_hat": k_hat}
