"""A normal distribution of points that are measured in part, for the Pyro program."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from pyro.distributions import MultivariateNormal, TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from ..covariance.records import LOG_2PI


class PartlySeen(TorchDistribution):
    """Points of which some entries are seen: the others are integrated out, NaN or whatever.

    Draws are whole measurements.

    Attributes:
        means: shape (*b, d).
        scale_tril: lower Cholesky factors of the covariances, noise included, shape (*b, d, d).
        observed: which entries are seen, shape (*b, d).
    """

    arg_constraints = {"means": constraints.real_vector, "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        means: Float[Tensor, "*b d"],
        scale_tril: Float[Tensor, "*b d d"],
        observed: Bool[Tensor, "*b d"],
    ) -> None:
        batch = torch.broadcast_shapes(means.shape[:-1], scale_tril.shape[:-2], observed.shape[:-1])
        self.means = means.expand(*batch, -1)
        self.scale_tril = scale_tril.expand(*batch, -1, -1)
        self.observed = observed.expand(*batch, -1)
        super().__init__(batch, means.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> PartlySeen:
        """See torch."""
        shape = torch.Size(batch_shape)
        return PartlySeen(
            self.means.expand(*shape, -1),
            self.scale_tril.expand(*shape, -1, -1),
            self.observed.expand(*shape, -1),
        )

    def log_prob(self, value: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        """Log density of what is seen, in nats."""
        seen = self.observed.to(self.means)
        covariance = self.scale_tril @ self.scale_tril.mT * seen[..., None] * seen[..., None, :]
        root = torch.linalg.cholesky(covariance + (1 - seen).diag_embed())
        away = torch.where(self.observed, value - self.means, 0.0)
        log_p: Tensor = MultivariateNormal(
            torch.zeros_like(self.means), scale_tril=root, validate_args=False
        ).log_prob(away)
        return log_p + 0.5 * LOG_2PI * (1 - seen).sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Float[Tensor, "*n d"]:
        """Whole measurements."""
        whole = MultivariateNormal(self.means, scale_tril=self.scale_tril, validate_args=False)
        drawn: Tensor = whole.rsample(torch.Size(sample_shape))
        return drawn
