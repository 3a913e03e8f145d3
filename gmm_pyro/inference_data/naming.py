"""Names of dimensions, coordinates and attributes in the ArviZ object of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..covariance import CovarianceFamily
from ..inference.result import Result
from ..posterior.readable import pair_names
from ..running.versions import __version__
from . import generation
from .generation import Values

OF_DATA = ("observed_data", "constant_data")  # they have no draws
OF_POINTS = (*OF_DATA, "posterior_predictive", "prior_predictive", "log_likelihood")
TAKEN = ("chain", "draw", "obs_id")  # names that a variable cannot have


def assembled(
    fit: Result,
    parts: Mapping[str, Values],
    coords_of: Mapping[str, Mapping[str, Any]],
    more: Mapping[str, str | float] | None = None,
) -> Any:
    """All groups with their dimensions, coordinates and attributes, and more of these."""
    names = list(fit.observations.feature_names)
    n_components = (fit.posterior or fit.model).n_components
    coords = {
        "component": np.arange(n_components),
        "feature": names,
        "feature_bis": names,
        "pair": pair_names(names),
        "obs_id": np.arange(fit.observations.n),
    }
    attributes = {**_attributes(fit), **(more or {})}
    groups = {
        name: generation.dataset(
            values,
            _dimensions(fit, values, name),
            {**coords, **coords_of.get(name, {})},
            sampled=[] if name in OF_DATA else generation.SAMPLED,
            attributes=attributes if name == "posterior" else None,
        )
        for name, values in parts.items()
    }
    return generation.container(groups, attributes)


def _dimensions(fit: Result, values: Values, group: str) -> dict[str, list[str]]:
    """Names of the dimensions of every variable, after chain and draw."""
    if group == "log_prior":  # one number a site
        return {}
    if group in OF_POINTS:
        sampled = 0 if group in OF_DATA else 2
        second = {"possible": "component"}
        return {
            n: ["obs_id", second.get(n, "feature")][: x.ndim - sampled] for n, x in values.items()
        }
    axes = {} if fit.posterior is None else fit.posterior.axes
    return site_dimensions(fit.model.family, values) | {
        name: _of_other(name, values[name].ndim - 2, axis)
        for name, axis in axes.items()
        if name in values
    }


def _of_other(name: str, ndim: int, axis: int | None) -> list[str]:
    """Dimensions of a site that is not a mixture's own: by number, but for that of components."""
    return ["component" if i == axis else f"{name}_dim_{i}" for i in range(ndim)]


def site_dimensions(family: CovarianceFamily, values: Values) -> dict[str, list[str]]:
    """Names of the dimensions of a mixture's readable sites, after chain and draw."""
    lead = [] if family.shares("scales") else ["component"]
    dimensions = {"weights": ["component"], "means": ["component", "feature"]}
    for name, one in {"scales": "feature", "correlations": "pair"}.items():
        if name in values:
            rest = values[name].ndim - 2 - len(lead)
            dimensions[name] = lead + (["feature", "feature_bis"] if rest == 2 else [one][:rest])
    return dimensions


def split_by_feature(parts: Mapping[str, Values], names: Sequence[str]) -> dict[str, Values]:
    """The groups with a variable a feature in the place of x, whose log-likelihood is of points.

    Raises:
        ValueError: if a feature has a name that no variable can have.
    """
    for name in names:
        if not name or "/" in name or name in TAKEN:
            raise ValueError(
                f"by_feature makes variables of the features' names, and {name!r} cannot be one: "
                f'it must not be empty, have a "/", or be one of {", ".join(TAKEN)}'
            )
    return {group: _split(group, values, names) for group, values in parts.items()}


def _split(group: str, values: Values, names: Sequence[str]) -> Values:
    if "x" not in values:
        return values
    x = values["x"]
    if group == "log_likelihood" or len(names) == 1:
        return dict.fromkeys(names, x)
    return {name: x[..., j] for j, name in enumerate(names)}


def _attributes(fit: Result) -> dict[str, str | int | float]:
    """How the fit was made, as numbers and strings: NetCDF has nothing else."""
    options = vars(fit.options)
    return {
        "inference_library": "gmm_pyro",
        "inference_library_version": __version__,
        "method": fit.method,
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
        "independent_draws": int(fit.posterior is not None and fit.posterior.independent),
        "covariance": fit.model.family.name,
        "priors": fit.model.prior.kind,
        "n_components": fit.model.n_components,
    }
