"""The groups of the ArviZ object of a fit: draws, what they say about the data, and predictions.

The log-likelihood is the marginal one, with the assignment summed out, point by point: what
leave-one-out cross-validation needs. ArviZ's own reader of Pyro programs drops it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .. import __version__
from ..covariance import CovarianceFamily, Parameters
from ..observations import Observations
from ..posterior import Posterior
from ..posterior.readable import readable_sites
from ..threads import one_thread_a_product
from . import generation
from .generation import Values
from .predictive import data_sets, prior_draws
from .quantities import Quantities, quantities

if TYPE_CHECKING:
    from ..inference.fit import Fit

MOST_NUMBERS = 50_000_000  # of predicted data: 400 MB
PRIOR_DRAWS = 500
STREAMS = {"posterior_predictive": 5, "prior": 6, "prior_predictive": 7}  # of random numbers


def to_arviz(fit: Fit, *, n_prior_draws: int = PRIOR_DRAWS) -> Any:
    """The draws of a fit with named dimensions, what they say and predict, and the data.

    Dimensions are component, feature, feature_bis and obs_id, after chain and draw; features have
    the data's column names. Logarithms are natural, densities in nats.

    - `posterior`: weights, means, scales (standard deviations) and correlations (matrices), also
      where the model has precisions, which are left out. Whatever the components are called:
      log_likelihood (of all points together), log_prior (of the model's sites, as the components
      are called), entropy (of the assignment, the sum over the points) and filled_components
      (those that are the most probable one of a point).
    - `log_likelihood`: x, the marginal log-likelihood, shape (chain, draw, obs_id).
    - `log_prior`: log prior density of each of the model's sites, as `az.psens` asks for; their sum
      is the variable of that name in `posterior`.
    - `sample_stats`: what the sampler says about each draw; `lp`, log p(sites, x), is the sum of
      the log-likelihood and the log prior density, as the components are called.
    - `posterior_predictive`: x, a data set of n points a draw, shape (chain, draw, obs_id,
      feature). Where these are more than 50 million numbers, every second, third, … draw has one,
      and the coordinate `draw` says which.
    - `prior`, `prior_predictive`: the same variables of independent draws from the priors, as far
      as these can be drawn from.
    - `constant_data`: sample_weight, shape (obs_id,), if there are weights. ArviZ's `loo` knows
      nothing of them and counts every row once; this package's `elpd_loo` counts them.
    - `observed_data`: x. Univariate data have no dimension `feature` here nor in what is
      predicted, as the PIT of ArviZ's leave-one-out needs them.

    Attributes of the object and of `posterior` say how the fit was made. Correlations of a feature
    with itself are always 1, and the number of filled components may be constant: leave them out
    of rank plots, `var_names=["~correlations", "~filled_components"]`.

    Args:
        fit: the fit.
        n_prior_draws: draws from the prior; with 0, the two groups are left out.

    Raises:
        ValueError: if the method has no draws.
    """
    posterior, observations = posterior_of(fit), fit.observations
    found = quantities(posterior)
    parts = _drawn(fit, posterior, found)
    prior = _prior(fit, n_prior_draws)
    with one_thread_a_product():
        kept, x = _posterior_predictive(fit, posterior)
        parts["posterior_predictive"] = {"x": x}
        if prior is not None:
            parts["prior"] = readable_sites(posterior.family, prior)
            parts["prior_predictive"] = {"x": _prior_predictive(fit, prior)}
    parts |= _constant(observations)
    parts["observed_data"] = {"x": _univariate(observations.x.cpu().numpy())}
    return _assemble(fit, parts, {"posterior_predictive": {"draw": kept.numpy()}})


def draws_and_log_likelihood(fit: Fit) -> Any:
    """The part of `to_arviz` that leave-one-out cross-validation needs."""
    posterior = posterior_of(fit)
    parts = _drawn(fit, posterior, quantities(posterior))
    needed = {name: parts[name] for name in ("posterior", "log_likelihood")}
    return _assemble(fit, needed | _constant(fit.observations), {})


def posterior_of(fit: Fit) -> Posterior:
    """The draws of a fit.

    Raises:
        ValueError: if the method has none.
    """
    if fit.posterior is None:
        raise ValueError(f"method {fit.method!r} has a point estimate only; no draws to convert")
    return fit.posterior


# ---------------------------------------------------------------------- groups


def _drawn(fit: Fit, posterior: Posterior, found: Quantities) -> dict[str, Values]:
    """The groups that belong to the draws themselves."""
    chains = posterior.n_chains, posterior.n_draws
    of_sites = _log_priors(fit, posterior)
    log_prior = torch.stack(list(of_sites.values())).sum(0)
    scalars = {
        "log_likelihood": found.log_likelihood,
        "log_prior": log_prior,
        "entropy": found.entropy,
        "filled_components": found.filled_components,
    }
    statistics = {
        **posterior.statistics,
        "log_likelihood": found.log_likelihood,
        "lp": found.log_likelihood + log_prior,
    }
    return {
        "posterior": readable_sites(posterior.family, posterior.draws)
        | {name: value.view(chains).cpu().numpy() for name, value in scalars.items()},
        "log_prior": {n: value.view(chains).cpu().numpy() for n, value in of_sites.items()},
        "log_likelihood": {"x": found.pointwise.view(*chains, -1).cpu().numpy()},
        "sample_stats": {n: value.reshape(chains).cpu().numpy() for n, value in statistics.items()},
    }


@torch.no_grad()
def _log_priors(fit: Fit, posterior: Posterior) -> dict[str, Float[Tensor, "s"]]:
    """Log prior density of each site of every draw; their sum is that of the draw."""
    density = fit.model.log_density(fit.observations)
    values = {name: value.flatten(0, 1) for name, value in posterior.draws.items()}
    with one_thread_a_product():
        return {site.name: site.log_prior(values) for site in density.sites}


def _constant(observations: Observations) -> dict[str, Values]:
    """The group of the sample weights, if there are some."""
    weight = observations.sample_weight
    return {} if weight is None else {"constant_data": {"sample_weight": weight.cpu().numpy()}}


def _posterior_predictive(fit: Fit, posterior: Posterior) -> tuple[Int[Tensor, "m"], np.ndarray]:
    """The numbers of the draws that predict a data set, and these data sets."""
    chains, draws = posterior.n_chains, posterior.n_draws
    kept = torch.arange(0, draws, _stride(chains * draws, fit.observations))
    rows = (draws * torch.arange(chains)[:, None] + kept).flatten()
    parameters = posterior.parameters()[rows]
    return kept, _predicted(fit, parameters, "posterior_predictive").reshape(
        chains, len(kept), *_event(fit.observations)
    )


def _prior(fit: Fit, n_draws: int) -> dict[str, Tensor] | None:
    """Draws of all sites from their priors, shape (1, n_draws, *site), if they can be drawn."""
    if n_draws == 0:
        return None
    try:
        seed = _generator(fit, "prior").initial_seed()
        drawn = prior_draws(fit.model, fit.observations.origin, n_draws, seed)
    except NotImplementedError:  # an improper prior
        return None
    return {name: value[None] for name, value in drawn.items()}


def _prior_predictive(fit: Fit, prior: Mapping[str, Tensor]) -> np.ndarray:
    """Data sets of draws from the prior: of the first ones, where there are too many numbers."""
    n_draws = prior["weights"].shape[1]
    most = n_draws // _stride(n_draws, fit.observations)
    values = {name: value[0, : max(1, most)] for name, value in prior.items()}
    parameters = fit.model.log_density(fit.observations).parameters(values)
    return _predicted(fit, parameters, "prior_predictive")[None]


def _predicted(fit: Fit, parameters: Parameters, group: str) -> np.ndarray:
    device = parameters.means.device
    generator = torch.Generator(device).manual_seed(_generator(fit, group).initial_seed())
    observations = fit.observations
    drawn = data_sets(fit.model.family, parameters, observations.n, generator)
    return drawn.to(observations.x.dtype).view(-1, *_event(observations)).cpu().numpy()


def _generator(fit: Fit, group: str) -> torch.Generator:
    """A generator of its own for each group."""
    return torch.Generator().manual_seed(fit.seed + 1_000_003 * STREAMS[group])


def _stride(n_sets: int, observations: Observations) -> int:
    """Every which draw can have a data set."""
    return max(1, math.ceil(n_sets * observations.x.numel() / MOST_NUMBERS))


def _event(observations: Observations) -> tuple[int, ...]:
    """Shape of a data set in the ArviZ object."""
    return (observations.n,) if observations.d == 1 else (observations.n, observations.d)


def _univariate(x: np.ndarray) -> np.ndarray:
    """Without the axis of features, if there is one only."""
    return x[..., 0] if x.shape[-1] == 1 else x


# ---------------------------------------------------------------------- names


def _assemble(
    fit: Fit, parts: Mapping[str, Values], coords_of: Mapping[str, Mapping[str, Any]]
) -> Any:
    """All groups with their dimensions, coordinates and attributes."""
    names = list(fit.observations.feature_names)
    coords = {
        "component": np.arange(fit.model.n_components),
        "feature": names,
        "feature_bis": names,
        "obs_id": np.arange(fit.observations.n),
    }
    attributes = _attributes(fit)
    groups = {
        name: generation.dataset(
            values,
            _dimensions(fit, values, name),
            {**coords, **coords_of.get(name, {})},
            sampled=[] if name in ("observed_data", "constant_data") else generation.SAMPLED,
            attributes=attributes if name == "posterior" else None,
        )
        for name, values in parts.items()
    }
    return generation.container(groups, attributes)


def _dimensions(fit: Fit, values: Values, group: str) -> dict[str, list[str]]:
    """Names of the dimensions of every variable, after chain and draw."""
    if group == "log_prior":  # one number a site
        return {}
    of_points = group == "log_likelihood" or fit.observations.d == 1
    x = ["obs_id"] if of_points else ["obs_id", "feature"]
    return {**site_dimensions(fit.model.family, values), "x": x, "sample_weight": ["obs_id"]}


def site_dimensions(family: CovarianceFamily, values: Values) -> dict[str, list[str]]:
    """Names of the dimensions of a mixture's readable sites, after chain and draw."""
    lead = [] if family.tied else ["component"]
    dimensions = {"weights": ["component"], "means": ["component", "feature"]}
    for name in {"scales", "correlations"} & values.keys():
        features = ["feature", "feature_bis"][: values[name].ndim - 2 - len(lead)]
        dimensions[name] = lead + features
    return dimensions


def _attributes(fit: Fit) -> dict[str, str | int | float]:
    """How the fit was made, as numbers and strings: NetCDF has nothing else."""
    options = {field.name: getattr(fit.options, field.name) for field in fields(fit.options)}
    return {
        "inference_library": "gmm_pyro",
        "inference_library_version": __version__,
        "method": fit.method,
        "engine": str(options.get("engine", "")),
        "options": ", ".join(
            f"{name}={value!r}"
            for name, value in options.items()
            if isinstance(value, str | int | float)
        ),
        "status": fit.status.name,
        "objective": fit.objective,
        "steps": fit.steps,
        "sampling_time": fit.seconds,
        "seed": fit.seed,
        "independent_draws": int(posterior_of(fit).independent),
        "covariance": fit.model.family.name,
        "priors": type(fit.model.priors).__name__,
        "n_components": fit.model.n_components,
    }
