"""How good posteriors are: against an exact sampler's, against the truth, and for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .. import metrics
from ..inference.fit import Fit
from ..inference.methods import METHODS
from ..mixture.value import GaussianMixture
from ..posterior import Posterior
from ..posterior.sizes import of_one_number
from ..running.threads import one_thread_a_product

COVERAGE = 0.9  # probability of the intervals that are held against the truth
MOST_NUMBERS = 20_000_000  # log-likelihoods of single points that leave-one-out takes


def reference_of(fits: Mapping[str, Fit]) -> str | None:
    """The name of the fit that the others' posteriors are held against: chains that have mixed."""
    return next((name for name in _exact(fits) if fits[name].converged), None)


def why_no_reference(fits: Mapping[str, Fit]) -> str:
    """Why nothing is held against an exact sampler though there is one; "" where there is none."""
    names = " and ".join(_exact(fits))
    if not names or reference_of(fits) is not None:
        return ""
    return f"no errors against {names}, whose chains have not mixed"


def _exact(fits: Mapping[str, Fit]) -> list[str]:
    """Names of the exact samplers' fits, those first whose conditionals are in closed form."""
    found = [name for name, fit in fits.items() if METHODS[fit.method].exact]
    return sorted(found, key=lambda name: not METHODS[fits[name].method].conjugate)


def marginals(posterior: Posterior, like: GaussianMixture) -> Float[Tensor, "s p"]:
    """Weights, means and standard deviations of s draws, p = k (1 + 2 d) numbers of each.

    Components are in the order of a mixture's.
    """
    p = posterior.parameters()
    order = metrics.match_components(posterior.mixture(), like)
    scales = posterior.family.deviations(p.factor, p.means.shape[-1]).expand_as(p.means)
    parts = [part[:, order].flatten(1) for part in (p.log_weights.exp(), p.means, scales)]
    return torch.cat(parts, 1).cpu().double()


@one_thread_a_product()
def posterior_scores(
    fit: Fit, reference: Fit | None, truth: GaussianMixture | None
) -> dict[str, Any]:
    """The numbers of one row that are about draws; those that cannot be had are left out."""
    from ..inference_data import elpd_loo

    posterior = fit.posterior
    if posterior is None:
        return {}
    convergence = posterior.convergence()
    elpd = elpd_loo(replace(fit, posterior=few_enough(posterior)))
    scores = {
        "r_hat": convergence.r_hat,
        "ess_bulk": convergence.ess_bulk,
        "ess_tail": convergence.ess_tail,
        "ess_per_second": convergence.ess_bulk / fit.seconds,
        "elpd_loo": elpd.elpd,
        "elpd_standard_error": elpd.se,
        "elpd_worst_k": elpd.worst_k,
        "k_hat": fit.k_hat,
    }
    if reference is not None and reference.posterior is not None and reference is not fit:
        scores |= _against(reference.posterior, posterior)
    posterior = of_one_number(posterior)
    if truth is not None and truth.n_components == posterior.n_components:
        scores["coverage"] = _coverage(posterior, truth)
    return scores


def _against(reference: Posterior, posterior: Posterior) -> dict[str, float]:
    """Errors of the marginal means and standard deviations, those of a reference being right."""
    like = reference.mixture()
    exact, found = (marginals(p, like) for p in (reference, posterior))
    sd = exact.std(0)
    error = (found.mean(0) - exact.mean(0)) / sd
    return {
        "posterior_mean_error": float(error.square().mean().sqrt()),
        "posterior_sd_ratio": float((found.std(0) / sd).log().mean().exp()),
    }


def _coverage(posterior: Posterior, truth: GaussianMixture) -> float:
    """Share of the truth's numbers that lie in their central intervals."""
    low, high = intervals(marginals(posterior, truth), COVERAGE)
    true = marginals_of(truth)
    return float(((low <= true) & (true <= high)).double().mean())


def intervals(values: Float[Tensor, "s p"], level: float) -> Float[Tensor, "2 p"]:
    """Lower and upper ends of central intervals that hold this share of the draws."""
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=values.dtype)
    return values.quantile(tails, dim=0)


def marginals_of(mixture: GaussianMixture) -> Float[Tensor, "p"]:
    """The same numbers of a mixture."""
    scales = mixture.covariance_matrices().diagonal(dim1=-2, dim2=-1).sqrt()
    parts = [mixture.weights, mixture.means, scales]
    return torch.cat([part.flatten() for part in parts]).cpu().double()


def few_enough(posterior: Posterior) -> Posterior:
    """One draw in so many, where all of them at all points would be too many numbers."""
    numbers = posterior.n_chains * posterior.n_draws * posterior.observations.n
    return posterior.thinned(-(-numbers // MOST_NUMBERS))
