"""What a family adds to its algebra where it has a conjugate prior: not every family has one."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .family import CovarianceFamily


class ConjugateFamily(CovarianceFamily):
    """A family whose precisions have a prior that points of known components only update.

    A precision matrix P has the prior density ∝ |P|^((ν - c) / 2) exp(-tr(Ψ P) / 2), where c is
    such that ν are degrees of freedom: a Wishart, or a gamma distribution of each precision.
    """

    @abstractmethod
    def squares_a_point(self, d: int) -> int:
        """Degrees of freedom that one point adds to the posterior of its component's precision."""

    @abstractmethod
    def proper_dof(self, d: int) -> int:
        """Degrees of freedom ν that the prior must have more of, to be one."""

    @abstractmethod
    def precision_prior(self, dof: Tensor, scale: Tensor) -> Any:
        """Pyro distribution of the site `precisions`, given ν and Ψ in compact form."""

    def precision_sites(self, factor: Tensor) -> dict[str, Tensor]:
        """The site `precisions` from the factor; `factor` is its inverse, too."""
        return {"precisions": self.outward(self.precision(factor))}

    @abstractmethod
    def draw_factor(
        self, dof: Float[Tensor, "*k1"], scale: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Factors of the covariances that belong to draws of the precisions."""

    @abstractmethod
    def log_normaliser(self, dof: Float[Tensor, "*k1"], scale: Tensor) -> Float[Tensor, "*k1"]:
        """Logarithm of the integral of the unnormalised density of the precisions."""


def conjugate(family: CovarianceFamily) -> ConjugateFamily:
    """The family, if it has a conjugate prior.

    Raises:
        ValueError: if it has none.
    """
    if isinstance(family, ConjugateFamily):
        return family
    raise ValueError(
        f"{family.name} covariances have no conjugate prior: give the model gmm_pyro.Priors, and "
        "take another method than gibbs"
    )
