"""The map from unconstrained numbers to a site of which some values are fixed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor


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
        """By how much the map widens the free values."""
        if not self.free.any():
            return values.new_zeros(len(values))
        found: Tensor = self.base.log_abs_det_jacobian(unconstrained, self._free_of(values))
        return found if self.left is None else found + unconstrained.shape[1] * math.log(self.left)

    def _free_of(self, values: Float[Tensor, "s *event"]) -> Tensor:
        found = values[:, self.free]
        return found if self.left is None else found / found.sum(-1, keepdim=True)
