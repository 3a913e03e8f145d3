"""Draws from a posterior, by site, with components aligned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Int
from torch import Tensor

from .covariance import CovarianceFamily, Parameters
from .covariance.family import TINY
from .observations import Observations


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of every site of a model, in the data's units.

    Attributes:
        draws: site name -> tensor of shape (chain, draw, *site).
        family: the covariance family.
        observations: the data.
        permutation: which component of the sampler's own draw each component is, shape (chain,
            draw, k); None where components have never been exchanged.
        statistics: what a sampler says about each draw, name -> tensor of shape (chain, draw).
        allocations: the component of every point, drawn with the parameters, shape (chain, kept,
            n), or None.
        kept: numbers of the draws that `allocations` belong to, shape (kept,), or None.
        independent: whether the draws are independent of each other, as those of a guide.
    """

    draws: Mapping[str, Tensor]
    family: CovarianceFamily
    observations: Observations
    permutation: Int[Tensor, "chain draw k"] | None = None
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    allocations: Int[Tensor, "chain kept n"] | None = None
    kept: Int[Tensor, "kept"] | None = None
    independent: bool = False

    @property
    def n_chains(self) -> int:
        """Number of chains."""
        return self.draws["weights"].shape[0]

    @property
    def n_draws(self) -> int:
        """Number of draws of each chain."""
        return self.draws["weights"].shape[1]

    @property
    def n_components(self) -> int:
        """Number of components k."""
        return self.draws["weights"].shape[2]

    def parameters(self) -> Parameters:
        """Mixture parameters of all draws, chain after chain, as one batch of sets."""
        sites = {name: values.flatten(0, 1) for name, values in self.draws.items()}
        log_weights = sites["weights"].clamp_min(TINY).log()
        return Parameters(log_weights, sites["means"], self.family.factor(sites))
