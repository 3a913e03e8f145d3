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
    transform: Transform
    shape: torch.Size
    entries: slice

    @property
    def unbounded(self) -> bool:
        """Whether values of the site are their own unconstrained form, in the data's units."""
        support = self.support
        while hasattr(support, "base_constraint"):
            support = support.base_constraint
        return support is constraints.real

    def constrain(self, vector: Float[Tensor, "s m"]) -> Tensor:
        """Values of the site, shape (s, *event)."""
        value: Tensor = self.transform(vector[:, self.entries].reshape(len(vector), *self.shape))
        return value

    def unconstrain(self, value: Tensor) -> Float[Tensor, "s e"]:
        """The slice of given values: the inverse of `constrain`."""
        return self.transform.inv(value).reshape(len(value), -1)

    def log_jacobian(self, vector: Float[Tensor, "s m"], value: Tensor) -> Float[Tensor, "s"]:
        """log |det ∂value/∂vector|."""
        unconstrained = vector[:, self.entries].reshape(len(vector), *self.shape)
        result: Tensor = self.transform.log_abs_det_jacobian(unconstrained, value)
        return result.reshape(len(vector), -1).sum(1)


def laid_out(sites: Mapping[str, Any], like: Tensor) -> tuple[Site, ...]:
    """Sites one after the other, each with a `support` and an `event_shape`.

    Raises:
        ValueError: if a support has no map from unconstrained numbers.
    """
    found, first = [], 0
    for name, prior in sites.items():
        transform = to_support(name, prior)
        # transform.inverse_shape says the same, and imports sympy, which takes half a second
        shape = transform.inv(like.new_ones(prior.event_shape)).shape
        last = first + math.prod(shape)
        found.append(Site(name, prior.support, transform, shape, slice(first, last)))
        first = last
    return tuple(found)


def log_jacobian(
    sites: tuple[Site, ...], vector: Float[Tensor, "s m"], values: Mapping[str, Tensor]
) -> Float[Tensor, "s"]:
    """log |det ∂sites/∂vector| of s vectors."""
    return torch.stack([site.log_jacobian(vector, values[site.name]) for site in sites]).sum(0)
