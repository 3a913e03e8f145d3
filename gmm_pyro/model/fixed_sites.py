"""Sites of which some values are fixed: a vector has unconstrained numbers of the others alone."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions.transforms import IndependentTransform

from ..covariance import Parameters
from ..covariance.fixed import Fixed
from ..covariance.sharing import NOISE_WEIGHT
from .declaration import Declaration
from .free_part import FreePart
from .layout import to_support
from .sites import Sites


def free_maps(model: Declaration, sites: Sites) -> dict[str, FreePart]:
    """The maps to the sites of which some values are fixed, by name.

    Raises:
        ValueError: if the prior is a program, whose own sites are all that can be held.
    """
    if model.fixed is None:
        return {}
    _refuse_program(sites)
    found = {
        name: _free_part(model.fixed, name, to_support(name, prior), _values_holding(model, name))
        for name, prior in sites.items()
        if name != NOISE_WEIGHT
    }
    return {name: part for name, part in found.items() if part is not None}


def held_values(model: Declaration, like: Tensor | None) -> dict[str, Tensor]:
    """The values of sites that are fixed, for the Pyro program.

    Raises:
        ValueError: if some values of a site are fixed, and some are free.
    """
    if model.fixed is None:
        return {}
    found, sites = {}, model.sites()
    _refuse_program(sites)
    for name in sites.keys() - {NOISE_WEIGHT}:
        free = _free_values(model.fixed, name)
        if free.all():
            continue
        alone = name == "weights" and int(free.sum()) == 1  # which takes what the others leave
        if free.any() and not alone:
            raise ValueError(
                f"the Pyro program samples a site or not: {name} is fixed in part, which takes "
                "the methods of gmm_pyro.fit that are not by Pyro"
            )
        values = _values_holding(model, name)
        values = torch.where(free, model.fixed.left, values) if alone else values
        found[name] = values if like is None else values.to(like)
    return found


def _refuse_program(sites: Sites) -> None:
    if not sites.are_a_mixtures:
        raise ValueError(
            "fixed holds what a mixture's own sites have, and the prior is a program: condition "
            "that, as in priors=pyro.condition(program, {...})"
        )


def _values_holding(model: Declaration, name: str) -> Float[Tensor, "*event"]:
    """Values of a site with what is fixed in its place, and anything elsewhere."""
    fixed, family = model.fixed, model.family
    assert fixed is not None
    if name in fixed.sites:
        return fixed.sites[name].to(fixed.means)
    (k, d), zero = fixed.means.shape, fixed.means.new_zeros(fixed.means.shape[1])
    unit = family.fit(family.compress(torch.eye(d).to(zero)), zero)
    any_factor = unit.expand(1, *family.factor_shape(k, d))
    p = fixed.imposed(Parameters(zero.new_zeros(1, k), zero.new_zeros(1, k, d), any_factor))
    if name == "weights":
        return torch.where(fixed.free_weights, p.log_weights[0].exp(), fixed.weights)
    if name == "means":
        return p.means[0]
    return model.prior.covariance_sites(family, p.factor)[name][0]


def _free_part(
    fixed: Fixed, name: str, transform: Any, values: Float[Tensor, "*event"]
) -> FreePart | None:
    """The map of a site's free values, or None where all are free.

    Args:
        fixed: what is held.
        name: of the site.
        transform: the map of all of its values.
        values: with what is held in its place.
    """
    free = _free_values(fixed, name)
    if free.all():
        return None
    if name == "weights":
        left = float(fixed.left)
        if int(free.sum()) < 2:  # a single one takes what the others leave
            values, free = torch.where(free, left, values), torch.zeros_like(free)
        return FreePart(transform, values, free, left)
    if not values.shape or len(free) != len(values):  # one covariance that all share
        free = torch.zeros(values.shape, dtype=torch.bool, device=values.device)
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return FreePart(transform, values, free)


def _free_values(fixed: Fixed, name: str) -> Bool[Tensor, "*lead"]:
    """Which values of a site are free, by the axes that say so."""
    if name == "weights":
        return fixed.free_weights
    return fixed.free_means if name == "means" else fixed.free_covariances
