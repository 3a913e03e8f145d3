"""Weights that are broken off a stick, as a distribution of Pyro's.

Source: Sethuraman (1994); Ishwaran & James (2001) for sticks that end.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import pad


class StickBreaking(TorchDistribution):
    """Weights of k components, each a share v_j ~ Beta(1, α) of what those before it have left.

    The last one takes the rest. With R_j = 1 - Σ_{l<j} w_l left before each, the density is

        α^(k-1) · w_k^(α-1) / Π_{1<j<k} R_j

    Args:
        concentration: α, any batch shape.
        k: number of components.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, k: int) -> None:
        self.concentration, self.k = concentration, k
        super().__init__(concentration.shape, torch.Size([k]), validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> StickBreaking:
        """The same distribution of more weights."""
        return StickBreaking(self.concentration.expand(batch_shape), self.k)

    def rsample(self, sample_shape: Any = ()) -> Float[Tensor, "*b k"]:
        """Draws, differentiable in α: v = 1 - u^(1/α)."""
        shape = torch.Size([*sample_shape, *self.batch_shape, self.k - 1])
        alpha = self.concentration[..., None]
        log_left = torch.rand(shape, dtype=alpha.dtype, device=alpha.device).log() / alpha
        left = pad(log_left.cumsum(-1), (1, 0)).exp()  # 1 before the first, also if it is alone
        return left - pad(left[..., 1:], (0, 1))

    def log_prob(self, value: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
        """Log density in nats, over the first k - 1 weights."""
        alpha = self.concentration
        left = value.flip(-1).cumsum(-1).flip(-1)  # R_j, with nothing taken from 1
        found = (self.k - 1) * alpha.log() - left[..., 1:-1].log().sum(-1)
        return found + (alpha - 1) * value[..., -1].log() if self.k > 1 else 0 * found
