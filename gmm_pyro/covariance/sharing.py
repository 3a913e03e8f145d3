"""What components have of their own and what they share: the axes k and k|1 of all values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .records import Parameters

NOISE_WEIGHT = "noise_weight"  # the site of a noise component's weight


class Sharing(ABC):
    """Components with a covariance each, or with one in common where they are tied."""

    tied: ClassVar[bool]

    def n_covariances(self, k: int) -> int:
        """Number of distinct covariances among k components: the k|1 of the shapes."""
        return 1 if self.tied else k

    @abstractmethod
    def event_shape(self, d: int) -> tuple[int, ...]:
        """Shape of one covariance in compact form."""

    def pooled(self, values: Float[Tensor, "s k *value"]) -> Float[Tensor, "s k1 *value"]:
        """What belongs to each covariance: the sum over the components, where they share one."""
        return values.sum(1, keepdim=True) if self.tied else values

    def by_covariance(self, values: Float[Tensor, "s k *value"]) -> Float[Tensor, "u c *value"]:
        """What belongs to each covariance of all sets, one after the other, a component at a time.

        Where components have covariances of their own, c is 1 and u is s k; else u is s.
        """
        return values if self.tied else values.flatten(0, 1)[:, None]

    def permuted(self, p: Parameters, order: Int[Tensor, "s k"]) -> Parameters:
        """The parameters of every set, with those of component order[j] in place j."""
        place = torch.arange(len(order), device=order.device)[:, None], order  # once a sweep
        factor = p.factor if self.tied else p.factor[place]
        return replace(p, log_weights=p.log_weights[place], means=p.means[place], factor=factor)

    def outward(self, compact: Float[Tensor, "*k1 *event"]) -> Tensor:
        """Compact forms as users and programs have them: with no axis k|1 of length 1."""
        return compact.squeeze(-1 - len(self.event_shape(1))) if self.tied else compact

    def inward(self, visible: Tensor) -> Float[Tensor, "*k1 *event"]:
        """The inverse of `outward`."""
        return visible.unsqueeze(-1 - len(self.event_shape(1))) if self.tied else visible

    def shares(self, site: str) -> bool:
        """Whether components have one value of a site in common, or of the covariances."""
        return site == NOISE_WEIGHT or (self.tied and site not in ("weights", "means"))

    def component_axis(self, site: str) -> int | None:
        """Which axis of a site's value, from 0, counts components; None if they share the value."""
        return None if self.shares(site) else 0

    def of_component(self, component: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
        """The number of each component's covariance: 0, where they share one."""
        return torch.zeros_like(component) if self.tied else component

    def factor_shape(self, k: int, d: int) -> tuple[int, ...]:
        """Shape of the factors of one set of k components: (k|1, *event)."""
        return self.n_covariances(k), *self.event_shape(d)
