"""Where ArviZ 0.x and 1.x differ: their containers, and the names of their functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import arviz
import numpy as np

FIRST = arviz.__version__.startswith("0.")
SAMPLED = ["chain", "draw"]
LEAST_DRAWS = 25  # fewer have no tail of five in ArviZ 1.x

Values = Mapping[str, np.ndarray]


def dataset(
    values: Values,
    dims: Mapping[str, list[str]],
    coords: Mapping[str, Any],
    *,
    sampled: Sequence[str] = SAMPLED,
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """An xarray Dataset as ArviZ makes it.

    Args:
        values: arrays by variable.
        dims: names of the dimensions of a variable, after the sampled ones.
        coords: labels by dimension; those of dimensions that do not occur are left out.
        sampled: the dimensions that every variable begins with.
        attributes: of the dataset, beside ArviZ's own.
    """
    known = {name: list(names) for name, names in dims.items() if name in values}
    return arviz.dict_to_dataset(
        dict(values),
        coords=dict(coords),
        dims=known,
        attrs=dict(attributes or {}),
        **{"default_dims" if FIRST else "sample_dims": list(sampled)},
    )


def container(groups: Mapping[str, Any], attributes: Mapping[str, Any]) -> Any:
    """Datasets by group as one object: InferenceData (0.x) or DataTree (1.x)."""
    if FIRST:
        return arviz.InferenceData(**groups, attrs=dict(attributes))
    import xarray

    tree = xarray.DataTree.from_dict(dict(groups))
    tree.attrs.update(attributes)
    return tree


def leave_one_out(data: Any, reff: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Expected log predictive density in nats, and k-hat, of every point.

    Where there is a variable a feature, each has the log-likelihood of whole points.
    """
    options: dict[str, Any] = {"pointwise": True, "reff": reff}
    options["var_name"] = next(iter(data["log_likelihood"].data_vars))
    if FIRST:
        found = arviz.loo(data, scale="log", **options)
        return np.asarray(found.loo_i), np.asarray(found.pareto_k)
    found = arviz.loo(data, **options)
    return np.asarray(found.elpd_i), np.asarray(found.pareto_k)


def pareto_k(log_ratios: np.ndarray) -> float:
    """Shape of the Pareto tail of importance ratios, given their logarithms, shape (draws,).

    It is infinite where there are too few draws to have a tail, of which ArviZ 1.x makes an error.
    """
    if FIRST:
        return float(arviz.psislw(log_ratios)[1])
    if len(log_ratios) < LEAST_DRAWS:
        return np.inf
    import xarray

    left_out: Any = xarray.DataArray(-log_ratios, dims="draw")  # it negates log-likelihoods
    shape = float(left_out.azstats.psislw(dim="draw")[1])
    return np.inf if np.isnan(shape) else shape
