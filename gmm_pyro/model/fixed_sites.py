"""Sites of which some values are fixed: a vector has unconstrained numbers of the others alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions.transforms import IndependentTransform

from ..covariance import Parameters
from ..covariance.fixed import Fixed
from .declaration import Declaration
from .priors import Priors


@dataclass(frozen=True, eq=False)
class FreePart:
    """The map from unconstrained numbers to values of a site, of which some stay as they are.

    Attributes:
        base: the map of the free values: entries, matrices, or shares of what is left.
        values: of the site, where they are fixed, shape (*event).
        free: which entries, or rows of them, are free.
        left: what free weights add up to; None of other sites.
    """

    base: Any
    values: Float[Tensor, "*event"]
    free: Bool[Tensor, "*lead"]
    left: float | None = None

    def __call__(self, unconstrained: Float[Tensor, "s *m"]) -> Float[Tensor, "s *event"]:
        """Values of the site."""
        whole = self.values.expand(len(unconstrained), *self.values.shape)
        if not self.free.any():
            return whole
        found = self.base(unconstrained)
        whole = whole.to(found).clone()
        whole[:, self.free] = found if self.left is None else self.left * found
        return whole

    def inv(self, values: Float[Tensor, "s *event"]) -> Float[Tensor, "s *m"]:
        """The unconstrained numbers of values of the site."""
        if not self.free.any():
            return values.new_zeros(len(values), 0)
        found: Tensor = self.base.inv(self._free_of(values))
        return found

    def log_abs_det_jacobian(
        self, unconstrained: Float[Tensor, "s *m"], values: Float[Tensor, "s *event"]
    ) -> Tensor:
        """By how much the map widens the free values; of weights, as shares of what is left."""
        if not self.free.any():
            return values.new_zeros(len(values))
        found: Tensor = self.base.log_abs_det_jacobian(unconstrained, self._free_of(values))
        return found

    def _free_of(self, values: Float[Tensor, "s *event"]) -> Tensor:
        found = values[:, self.free]
        return found if self.left is None else found / found.sum(-1, keepdim=True)


def values_holding(model: Declaration, name: str) -> Float[Tensor, "*event"]:
    """Values of a site with what is fixed in its place, and anything elsewhere."""
    fixed, family = model.fixed, model.family
    assert fixed is not None
    (k, d), zero = fixed.means.shape, fixed.means.new_zeros(fixed.means.shape[1])
    unit = family.fit(family.compress(torch.eye(d).to(zero)), zero)
    any_factor = unit.expand(1, *family.factor_shape(k, d))
    p = fixed.imposed(Parameters(zero.new_zeros(1, k), zero.new_zeros(1, k, d), any_factor))
    if name == "weights":
        return torch.where(fixed.free_weights, p.log_weights[0].exp(), fixed.weights)
    if name == "means":
        return p.means[0]
    return (model.priors or Priors()).covariance_sites(family, p.factor)[name][0]


def free_part(
    fixed: Fixed, name: str, transform: Any, values: Float[Tensor, "*event"]
) -> FreePart | None:
    """The map of a site's free values, or None where all are free.

    Args:
        fixed: what is held.
        name: of the site.
        transform: the map of all of its values.
        values: with what is held in its place.
    """
    free = free_values(fixed, name)
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


def free_values(fixed: Fixed, name: str) -> Bool[Tensor, "*lead"]:
    """Which values of a site are free, by the axes that say so."""
    if name == "weights":
        return fixed.free_weights
    return fixed.free_means if name == "means" else fixed.free_covariances
