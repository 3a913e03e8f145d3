"""The distribution of a mixture's weights, and of which points share a component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Dirichlet

from ..covariance.records import TINY

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution


@dataclass(frozen=True, eq=False)
class Mixing:
    """A Dirichlet distribution of the weights of k components, symmetric or not.

    Attributes:
        concentration: shape (k,).
    """

    concentration: Float[Tensor, "k"]

    @classmethod
    def of(cls, weights: Any) -> Mixing | None:
        """The one whose prior of the weights this is, or None for another kind of distribution."""
        return cls(weights.concentration) if isinstance(weights, Dirichlet) else None

    @property
    def is_symmetric(self) -> bool:
        """Whether nothing tells the components apart."""
        return bool((self.concentration == self.concentration[0]).all())

    @property
    def prior(self) -> TorchDistribution:
        """Distribution of the site `weights`."""
        import pyro.distributions as dist

        return dist.Dirichlet(self.concentration, validate_args=False)

    def draw(
        self, counts: Float[Tensor, "s k"], generator: torch.Generator | None
    ) -> Float[Tensor, "s k"]:
        """Logarithms of weights, drawn given how many points each component has."""
        weights = torch._sample_dirichlet(self.concentration + counts, generator)
        return weights.clamp_min(TINY).log()

    def expected_log_weights(self, counts: Float[Tensor, "s k"]) -> Float[Tensor, "s k"]:
        """Means of the weights' logarithms, given how many points each component has.

        Source: Bishop (2006), equation 10.66.
        """
        concentration = self.concentration + counts
        return concentration.digamma() - concentration.sum(-1, keepdim=True).digamma()

    def log_probability(self, counts: Float[Tensor, "s k"]) -> Float[Tensor, "s"]:
        """Log probability in nats that points part as they do, with the weights integrated out.

        It is that of the components of all points in turn, which depends on their counts alone:
        Γ(Σα) / Γ(Σα + n) · Π_j Γ(α_j + n_j) / Γ(α_j). A partition whose b blocks have no names has
        one term for each way to name them: k! / (k - b)! equal ones, where no component is special.
        """
        alpha = self.concentration
        total = alpha.sum().lgamma() - (alpha.sum() + counts.sum(-1)).lgamma()
        return total + ((alpha + counts).lgamma() - alpha.lgamma()).sum(-1)
