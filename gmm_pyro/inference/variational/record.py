"""What variational Bayes has found: the parameters of every factor of q."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import CovarianceFamily


@dataclass(frozen=True, eq=False)
class Variational:
    """The factors of q, but for q(z): the distributions that stand for the posterior.

        q(weights)      Dirichlet(weight_concentration), or shares of a stick, each a Beta
        q(P_k)          Wishart(degrees_of_freedom_k, scale_k⁻¹), or gamma distributions
        q(μ_k | P_k)    Normal(mean_k, P_k⁻¹ / mean_strength_k)

    Attributes:
        family: covariance family.
        counts: expected numbers of points of the components, shape (k,).
        weight_concentration: shape (k,) of a Dirichlet; of a stick (2, k - 1), both parameters of
            the Beta distribution of each share of what is left.
        mean: centres of the means, shape (k, d).
        mean_strength: observations that each mean is worth, shape (k,); None where means do not
            depend on the precisions.
        mean_covariance: of the means, shape (k, d, d), where they do not depend on the precisions;
            else None.
        degrees_of_freedom: of the precisions, shape (k,); one number of a tied family.
        scale: Ψ of the precisions, as covariances are: in the shapes of a mixture's; spherical
            families have sums of squares over all features.
        covariance: (E P)⁻¹ in the same shapes.
        concentration: mean of the concentration, which is the number itself where it is known, and
            None where components have concentrations of their own.
        prior_scale: mean of a random scale, in the shape of one covariance; None without one.
        noise: both parameters of the Beta distribution of the noise's weight; None without noise.
    """

    family: CovarianceFamily
    counts: Float[Tensor, "k"]
    weight_concentration: Tensor
    mean: Float[Tensor, "k d"]
    mean_strength: Float[Tensor, "k"] | None
    mean_covariance: Float[Tensor, "k d d"] | None
    degrees_of_freedom: Tensor
    scale: Tensor
    covariance: Tensor
    concentration: float | None = None
    prior_scale: Tensor | None = None
    noise: Float[Tensor, "2"] | None = None

    def permuted(self, order: Sequence[int]) -> Variational:
        """The same with component order[j] in place j.

        Args:
            order: numbers of the components, each once.

        Raises:
            ValueError: if pieces of a stick would change places, but for the last two, each of
                which takes what the other leaves.
        """
        index = torch.tensor(list(order), device=self.mean.device)
        found = {name: getattr(self, name) for name in ("counts", "mean")}
        found |= {
            name: getattr(self, name)
            for name in ("mean_strength", "mean_covariance")
            if getattr(self, name) is not None
        }
        if not self.family.tied:
            found |= {
                name: getattr(self, name) for name in ("degrees_of_freedom", "scale", "covariance")
            }
        moved = {name: value[index] for name, value in found.items()}
        return replace(self, **moved, weight_concentration=self._weights(list(order)))

    def _weights(self, order: list[int]) -> Tensor:
        """The weights' numbers in another order."""
        found, k = self.weight_concentration, len(order)
        if found.ndim == 1:
            return found[order]
        if order[: k - 2] != list(range(k - 2)):
            raise ValueError(f"the pieces of a stick stay in their order, got {order}")
        if order == list(range(k)):
            return found
        return torch.cat([found[:, :-1], found[:, -1:].flip(0)], 1)
