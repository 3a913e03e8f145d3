"""A distribution of points of which some are noise, for the Pyro program."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from pyro.distributions import TorchDistribution
from torch import Tensor

from ..mixture.noise_component import NoiseComponent


class PartlyNoise(TorchDistribution):
    """Points of given components, one of which is the noise.

    Attributes:
        emission: the distribution of points of the other components.
        is_noise: whether the component is the noise, shape (*b,).
        log_noise: log density of the noise at the points, shape (*b,); zeros where they are drawn.
        noise: draws points.
    """

    arg_constraints = {}
    has_rsample = True

    def __init__(
        self,
        emission: Any,
        is_noise: Bool[Tensor, "*b"],
        log_noise: Float[Tensor, "*b"],
        noise: NoiseComponent,
    ) -> None:
        batch = torch.broadcast_shapes(emission.batch_shape, is_noise.shape, log_noise.shape)
        self.emission, self.noise = emission.expand(batch), noise
        self.is_noise, self.log_noise = is_noise.expand(batch), log_noise.expand(batch)
        super().__init__(batch, emission.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        """That of the points."""
        return self.emission.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> PartlyNoise:
        """See torch."""
        shape = torch.Size(batch_shape)
        parts = self.is_noise.expand(shape), self.log_noise.expand(shape)
        return PartlyNoise(self.emission.expand(shape), *parts, self.noise)

    def log_prob(self, value: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        """Log density in nats."""
        log_p: Tensor = self.emission.log_prob(value)
        return torch.where(self.is_noise, self.log_noise.to(log_p), log_p)

    def rsample(self, sample_shape: Any = ()) -> Float[Tensor, "*n d"]:
        """Points."""
        drawn: Tensor = self.emission.rsample(torch.Size(sample_shape))
        shape = drawn.shape[:-1]
        noise = self.noise.draw(shape.numel()).view(drawn.shape).to(drawn)
        return torch.where(self.is_noise.expand(shape)[..., None], noise, drawn)
