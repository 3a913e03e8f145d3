"""The numbering in which the components of sets are closest to those of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...covariance import Parameters
from ...model.log_density import LogDensity
from ...model.numbering import movable, permuted_values
from ...posterior.alignment import cheapest

FORBIDDEN = 1e12  # cost of a numbering that what is fixed does not allow


@dataclass(frozen=True, eq=False)
class Nearest:
    """One of the k! numberings of every set: a domain that has each mixture once.

    Attributes:
        density: the log density.
        one: what is described of the components that others are close to.
    """

    density: LogDensity
    one: Float[Tensor, "k q"]

    @classmethod
    def to(cls, density: LogDensity, vector: Float[Tensor, "m"]) -> Nearest:
        """The numbering that is closest to a vector's."""
        return cls(density, _described(density, density.constrain(vector[None]))[0])

    def order(self, values: Mapping[str, Tensor]) -> Int[Tensor, "s k"]:
        """Which component of every set takes place j."""
        if not self.density.renumbers:
            return torch.arange(len(self.one)).expand(len(values["weights"]), -1)
        described = _described(self.density, values)
        cost = torch.cdist(described, self.one.expand_as(described)).square().nan_to_num(0.0).cpu()
        classes = torch.tensor(movable(self.density.model))
        cost = cost.masked_fill(classes[:, None] != classes, FORBIDDEN)
        stay = torch.arange(cost.shape[1]).expand(cost.shape[:2])
        return cheapest(cost, stay, 0.0, torch.zeros(cost.shape[1:], dtype=torch.bool))

    def numbered(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Site values in that order."""
        return permuted_values(self.density, values, self.order(values))

    def numbered_vectors(self, vectors: Float[Tensor, "s m"]) -> Float[Tensor, "s m"]:
        """Vectors in that order."""
        return self.density.unconstrain(self.numbered(self.density.constrain(vectors)))

    def holds(self, vector: Float[Tensor, "s m"]) -> Bool[Tensor, "s"]:
        """Which vectors are numbered so."""
        order = self.order(self.density.constrain(vector))
        return (order == torch.arange(order.shape[1])).all(1).to(vector.device)


def _described(density: LogDensity, values: Mapping[str, Tensor]) -> Float[Tensor, "s k q"]:
    """Means and log standard deviations, in the data's units."""
    p: Parameters = density.parameters(values)
    unit = density.observations.scale
    scale = (density.model.family.deviations(p.factor, len(unit)) / unit).log()
    return torch.cat([p.means / unit, scale.expand_as(p.means)], -1)
