"""A distribution of points of which it is known where they can come from, for the Pyro program."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution
from torch import Tensor


class PartlyLabelled(TorchDistribution):
    """Points of given components: impossible where one is known not to be the point's own.

    Attributes:
        emission: the distribution of points whatever is known.
        log_allowed: 0 where the component is possible, else -inf, shape (*b,).
    """

    arg_constraints = {}
    has_rsample = True

    def __init__(self, emission: Any, log_allowed: Float[Tensor, "*b"]) -> None:
        batch = torch.broadcast_shapes(emission.batch_shape, log_allowed.shape)
        self.emission, self.log_allowed = emission.expand(batch), log_allowed.expand(batch)
        super().__init__(batch, emission.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        """That of the points."""
        return self.emission.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> PartlyLabelled:
        """See torch."""
        shape = torch.Size(batch_shape)
        return PartlyLabelled(self.emission.expand(shape), self.log_allowed.expand(shape))

    def log_prob(self, value: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        """Log density in nats, -inf where the component is impossible."""
        log_p: Tensor = self.emission.log_prob(value) + self.log_allowed
        return log_p

    def rsample(self, sample_shape: Any = ()) -> Float[Tensor, "*n d"]:
        """Points."""
        drawn: Tensor = self.emission.rsample(torch.Size(sample_shape))
        return drawn
