"""Sites of a model as slices of one flat vector of unconstrained numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import Transform

from .free_part import FreePart


def to_support(name: str, prior: Any) -> Any:
    """The map from unconstrained numbers to the values of a site.

    Raises:
        ValueError: if there is none.
    """
    try:
        return biject_to(prior.support)
    except NotImplementedError as error:
        raise ValueError(
            f"the prior of {name} has a support that torch maps no real numbers to: {prior}"
        ) from error


@dataclass(frozen=True)
class Site:
    """One site of the model as a slice of the flat vector."""

    name: str
    support: Any
    transform: Transform | FreePart
    shape: torch.Size
    entries: slice

    @property
    def unbounded(self) -> bool:
        """Whether values of the site are their own unconstrained form, in the data's units."""
        support = self.support
        while hasattr(support, "base_constraint"):
            support = support.base_constraint
        return support is constraints.real

    def each(self, value: Float[Tensor, "*k1 d"]) -> Float[Tensor, "m"]:
        """A value of each feature, for all components or each, at the entries of free means."""
        if isinstance(self.transform, FreePart):
            return value.expand(self.transform.values.shape)[self.transform.free]
        return value.expand(self.shape).flatten()

    def constrain(self, vector: Float[Tensor, "s m"]) -> Tensor:
        """Values of the site, shape (s, *event)."""
        value: Tensor = self.transform(vector[:, self.entries].reshape(len(vector), *self.shape))
        return value

    def unconstrain(self, value: Tensor) -> Float[Tensor, "s e"]:
        """The slice of given values: the inverse of `constrain`."""
        found: Tensor = self.transform.inv(value)
        return found.flatten(1) if found.ndim > 1 else found[:, None]

    def log_jacobian(self, vector: Float[Tensor, "s m"], value: Tensor) -> Float[Tensor, "s"]:
        """log |det ∂value/∂vector|."""
        unconstrained = vector[:, self.entries].reshape(len(vector), *self.shape)
        result: Tensor = self.transform.log_abs_det_jacobian(unconstrained, value)
        return result.reshape(len(vector), -1).sum(1)


def laid_out(
    sites: Mapping[str, Any], like: Tensor, free: Mapping[str, FreePart] | None = None
) -> tuple[Site, ...]:
    """Sites one after the other, each with a `support` and an `event_shape`.

    Args:
        sites: by name.
        like: a tensor of the type of their values.
        free: maps to sites of which some values are fixed.

    Raises:
        ValueError: if a support has no map from unconstrained numbers.
    """
    found, first = [], 0
    for name, prior in sites.items():
        transform = (free or {}).get(name) or to_support(name, prior)
        # transform.inverse_shape says the same, and imports sympy, which takes half a second
        shape = transform.inv(like.new_ones(1, *prior.event_shape)).shape[1:]
        last = first + math.prod(shape)
        found.append(Site(name, prior.support, transform, shape, slice(first, last)))
        first = last
    return tuple(found)


def log_jacobian(
    sites: tuple[Site, ...], vector: Float[Tensor, "s m"], values: Mapping[str, Tensor]
) -> Float[Tensor, "s"]:
    """log |det ∂sites/∂vector| of s vectors."""
    return torch.stack([site.log_jacobian(vector, values[site.name]) for site in sites]).sum(0)
