"""Fits as ArviZ objects: InferenceData on ArviZ 0.x, DataTree on ArviZ 1.x.

The log-likelihood is the marginal one, with the assignment summed out, point by point: what
leave-one-out cross-validation needs. ArviZ's own reader of Pyro programs drops it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import arviz
import numpy as np
import torch
from jaxtyping import Float

from . import __version__
from .covariance import CovarianceFamily
from .kernels import theta_of
from .posterior import Posterior
from .reduction import log_density
from .threads import one_thread_a_product

if TYPE_CHECKING:
    from .inference.fit import Fit

DRAWS_AT_ONCE = 64  # parameter sets in one batch of log-likelihoods


def to_arviz(fit: Fit) -> Any:
    """The draws of a fit with named dimensions, their log-likelihoods, and the data.

    Groups: `posterior` (weights, means, scales, correlations), `log_likelihood` (shape (chain,
    draw, obs_id), in nats) and `observed_data`. Dimensions: component, feature, feature_bis and
    obs_id, with the data's column names as coordinates of the features.

    Raises:
        ValueError: if the method has no draws.
    """
    if fit.posterior is None:
        raise ValueError(f"method {fit.method!r} has a point estimate only; no draws to convert")
    family, observations = fit.model.family, fit.observations
    groups = {
        "posterior": _sites(fit.posterior),
        "log_likelihood": {"x": pointwise_log_likelihood(fit.posterior)},
        "observed_data": {"x": observations.x.cpu().numpy()},
    }
    names = list(observations.feature_names)
    coords = {
        "component": np.arange(fit.model.n_components),
        "feature": names,
        "feature_bis": names,
        "obs_id": np.arange(observations.n),
    }
    return _assemble(groups, coords, _dimensions(groups["posterior"], family), _attributes(fit))


def pointwise_log_likelihood(posterior: Posterior) -> Float[np.ndarray, "chain draw n"]:
    """log p(x_n | parameters) in nats for every draw and point."""
    family, observations = posterior.family, posterior.observations
    parameters = posterior.parameters()
    with one_thread_a_product():
        parts = [
            log_density(observations, theta_of(family, parameters[rows], observations))
            for rows in torch.arange(len(parameters.means)).split(DRAWS_AT_ONCE)
        ]
    shape = posterior.n_chains, posterior.n_draws, -1
    return torch.cat(parts).view(shape).cpu().numpy()


def _sites(posterior: Posterior) -> dict[str, np.ndarray]:
    """Draws by site, with correlation matrices in place of their Cholesky factors."""
    sites = dict(posterior.draws)
    if "correlations" in sites:
        matrices = sites["correlations"] @ sites["correlations"].mT
        matrices.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        sites["correlations"] = matrices
    return {name: value.cpu().numpy() for name, value in sites.items()}


def _dimensions(sites: dict[str, np.ndarray], family: CovarianceFamily) -> dict[str, list[str]]:
    """Names of the dimensions of every variable, after chain and draw."""
    dimensions = {"weights": ["component"], "means": ["component", "feature"]}
    dimensions["x"] = ["obs_id", "feature"]
    lead = [] if family.tied else ["component"]
    for name in sites.keys() - dimensions.keys():
        features = ["feature", "feature_bis"][: sites[name].ndim - 2 - len(lead)]
        dimensions[name] = lead + features
    return dimensions


def _attributes(fit: Fit) -> dict[str, str | int | float]:
    """How the fit was made."""
    return {
        "inference_library": "gmm_pyro",
        "inference_library_version": __version__,
        "method": fit.method,
        "engine": str(getattr(fit.options, "engine", "")),
        "status": fit.status.name,
        "objective": fit.objective,
        "steps": fit.steps,
        "sampling_time": fit.seconds,
        "seed": fit.seed,
        "covariance": fit.model.family.name,
        "n_components": fit.model.n_components,
    }


def _assemble(
    groups: dict[str, dict[str, Any]],
    coords: dict[str, Any],
    dims: dict[str, list[str]],
    attributes: dict[str, Any],
) -> Any:
    """One object of whichever generation of ArviZ is installed."""
    old = arviz.__version__.startswith("0.")
    datasets = {}
    for name, group in groups.items():
        sampled = [] if name == "observed_data" else ["chain", "draw"]
        datasets[name] = arviz.dict_to_dataset(
            group,
            coords=coords,
            dims={**dims, "x": ["obs_id"]} if name == "log_likelihood" else dims,
            attrs=attributes if name == "posterior" else None,
            **{"default_dims" if old else "sample_dims": sampled},
        )
    if old:
        return arviz.InferenceData(**datasets)
    import xarray

    return xarray.DataTree.from_dict(datasets)
