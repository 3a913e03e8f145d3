"""What a user wants to stay as it is: read from `fixed`, or from a model that Pyro conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily
from ..covariance.fixed import Fixed
from ..data.arrays import array_of, finite, real
from ..data.checks import check_choice, check_mapping
from ..data.points import Observations
from ..data.tables import to_numeric
from ..mixture.record import check_covariances
from ..mixture.value import GaussianMixture
from ..model.program import MixtureModel, check_model
from ..posterior import Posterior

NAMES = ("weights", "means", "covariances")
PARTS = ("scales", "correlations", "precisions")  # of covariances, as sites of a model
SUM = 1e-6  # by which weights that are all fixed may miss one, as in float32


def conditioned(model: Any) -> tuple[MixtureModel, dict[str, Any]]:
    """A model, and the values of sites that `pyro.condition` has given it.

    Raises:
        TypeError: if it is no model, or another effect than a condition is on it.
    """
    values: dict[str, Any] = {}
    while not isinstance(model, MixtureModel) and hasattr(model, "__wrapped__"):
        messenger = getattr(getattr(model, "func", None), "args", (None,))[0]
        data = getattr(messenger, "data", None)
        if not isinstance(data, Mapping):
            break
        _refuse_other_effects(messenger)
        values = {**data, **values}
        model = model.__wrapped__
    return check_model(model), values


def _refuse_other_effects(messenger: Any) -> None:
    """Refuse values of sites that are not observed there, as those of an intervention."""
    from pyro.poutine.condition_messenger import ConditionMessenger

    if not isinstance(messenger, ConditionMessenger):
        name = type(messenger).__name__.removesuffix("Messenger").lower()
        raise TypeError(
            f"pyro's {name} gives sites values that are not observed: say what a fit is to hold by "
            "pyro.condition(model, ...), or by fixed="
        )


def holding_all(
    model: MixtureModel,
    conditions: Mapping[str, Any],
    fixed: Mapping[str, Any] | None,
    observations: Observations,
) -> MixtureModel:
    """The model with what `pyro.condition` holds, and what `fixed` does, which comes first."""
    given = check_mapping("fixed", fixed or {}, "values")
    return holding(model, {**conditions, **given}, observations)


def holding(
    model: MixtureModel, given: Mapping[str, Any], observations: Observations
) -> MixtureModel:
    """The model with what is fixed, if anything is.

    Args:
        model: the model.
        given: values by site, NaN where they are free.
        observations: the data, which say how many features there are.

    Raises:
        ValueError: if there is no such site, a value does not fit it, or nothing is free.
    """
    family, k, d = model.family, model.n_components, observations.d
    before = model.fixed
    if before is not None and before.means.shape[1] != d:
        raise ValueError(
            f"the model holds parameters of {before.means.shape[1]} features, and x has {d}"
        )
    given = {
        name: value
        for name, value in check_mapping("fixed", given, "values by site").items()
        if value is not None
    }
    values, sites = _in_parts(given, model, d)
    shapes = {"weights": (k,), "means": (k, d), "covariances": family.shape(k, d)}
    held = {
        name: _numbers(values.get(name), name, shape, observations)
        for name, shape in shapes.items()
    }
    if before is not None:  # which holds, but for what is given anew
        held = {
            name: torch.where(value.isnan(), getattr(before, name).to(value), value)
            for name, value in held.items()
        }
        sites = sites if "covariances" in values else dict(before.sites)
    _check_weights(held["weights"])
    factor = _factor(family, held["covariances"], (k, d))
    fixed = Fixed(family, held["weights"], held["means"], factor, held["covariances"], sites)
    if fixed.n_held == 0:
        return model
    if fixed.n_held == family.n_parameters(k, d):
        raise ValueError(
            "fixed holds all parameters, and leaves nothing to fit: GaussianMixture says what they "
            "say of points"
        )
    return replace(model, fixed=fixed)


def _in_parts(
    given: Mapping[str, Any], model: MixtureModel, d: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Values by name, those of covariances' own sites as covariances, and these sites."""
    for name in given:
        if name in ("x", "assignment"):
            raise ValueError(f"{name} is no parameter to hold: it is among the data, as labels are")
        check_choice("fixed", name, (*NAMES, *PARTS))
    values = {name: value for name, value in given.items() if name in NAMES}
    parts = {
        name: torch.as_tensor(finite(value, f"fixed {name}"))
        for name, value in given.items()
        if name in PARTS
    }
    if parts:
        _check_parts(parts, values, model.family, d)
        own = model.family.factor({name: value[None] for name, value in parts.items()})
        values["covariances"] = model.family.covariances(own[0])
    return values, parts


def _check_parts(
    parts: Mapping[str, Tensor], values: Mapping[str, Any], family: CovarianceFamily, d: int
) -> None:
    """Refuse sites of covariances that do not say all of them."""
    needed = {"precisions"} if "precisions" in parts else {"scales"}
    if "scales" in parts and family.is_matrix and d > 1:
        needed.add("correlations")
    if needed != set(parts) or "covariances" in values:
        raise ValueError(
            "covariances are held as a whole: give covariances, or "
            f"{' and '.join(sorted(needed))}; got {', '.join(sorted(parts))}"
        )
    if "scales" in parts and not (parts["scales"] > 0).all():
        raise ValueError("fixed scales must be positive: they are standard deviations")


def _numbers(value: Any, name: str, shape: tuple[int, ...], observations: Observations) -> Tensor:
    """A copy of what is held of a site, all NaN where nothing is."""
    like, what = observations.origin, f"fixed {name}"
    if value is None:
        return like.new_full(shape, torch.nan)
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(float), np.nan)
    if name == "means" and hasattr(value, "columns"):  # a frame's go by the features' names
        value = to_numeric(value, what, observations.feature_names)[0]
    array = np.array(real(array_of(value, what), what), dtype=float)
    if name == "means" and array.ndim == 1 and shape[1] == 1:
        array = array[:, None]
    if array.shape != shape:
        raise ValueError(f"{what} must have shape {shape}, got {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"{what} must be finite, or NaN where they are free")
    return torch.as_tensor(array, device=like.device)


def _check_weights(weights: Float[Tensor, "k"]) -> None:
    free, total = weights.isnan(), float(weights.nansum())
    if (weights <= 0).any():
        raise ValueError(
            f"fixed weights must be positive, got {float(weights.nan_to_num(1).min())}"
        )
    if free.any() and total >= 1:
        raise ValueError(
            f"fixed weights must leave something to the others, got a sum of {total:g}"
        )
    if not free.any() and abs(total - 1) > SUM:
        raise ValueError(f"fixed weights must sum to 1 where all are held, got {total:g}")


def _factor(
    family: CovarianceFamily, covariances: Tensor, shape: tuple[int, int]
) -> Float[Tensor, "k1 *event"]:
    """The compact factor, NaN where a covariance is free.

    Raises:
        ValueError: if a covariance is held in part.
    """
    k, d = shape
    rows = covariances[None] if family.shares("covariances") else covariances
    missing = rows.reshape(len(rows), -1).isnan()
    partly = missing.any(1) & ~missing.all(1)
    if partly.any():
        j = int(partly.nonzero()[0])
        raise ValueError(
            f"covariances are held as a whole or not at all: that of component {j} is NaN in part"
        )
    if not family.has_sites:
        if missing.all():
            return covariances.new_full(family.factor_shape(k, d), torch.nan)
        raise ValueError(
            f"{family.name} covariances cannot be held: they have parts in common with the others"
        )
    zero = covariances.new_zeros(d)
    unit = family.fit(family.compress(torch.eye(d).to(zero)), zero)
    any_covariances = family.covariances(unit.expand(family.factor_shape(k, d)))
    whole = torch.where(covariances.isnan(), any_covariances, covariances)
    factor = check_covariances(family, whole, shape)
    free = missing.all(1).view(-1, *(1,) * (factor.ndim - 1))
    return factor.masked_fill(free, torch.nan)


# ---------------------------------------------------------------------- what came of it


def mixture_holding(fixed: Fixed, mixture: GaussianMixture) -> GaussianMixture:
    """The mixture with all that is held to the last bit, in its type."""
    given = fixed.weights, fixed.means, fixed.covariances
    visible = mixture.weights, mixture.means, mixture.covariances
    pairs = zip(given, visible, strict=True)
    weights, means, covariances = (
        torch.where(held.isnan(), own, held.to(own)) for held, own in pairs
    )
    return mixture._assembled(
        mixture.family,
        (weights, means, covariances),
        fixed.imposed(mixture.parameters),
        mixture.means.dtype,
        mixture.feature_names,
        n_held=fixed.n_held,
        noise_component=mixture.noise_component,
    )


def posterior_holding(fixed: Fixed, posterior: Posterior) -> Posterior:
    """The draws with all that is held to the last bit."""
    draws = dict(posterior.draws)
    given = {"weights": fixed.weights, "means": fixed.means, **fixed.sites}
    for name in given.keys() & draws.keys():
        held = given[name].to(draws[name])
        draws[name] = torch.where(held.isnan(), draws[name], held)
    return replace(posterior, draws=draws)
