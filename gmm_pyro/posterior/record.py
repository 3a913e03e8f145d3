"""What a posterior consists of: draws of every site, and what is known about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from jaxtyping import Int
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..data.checks import check_count
from ..data.points import Observations
from ..data.words import counted
from ..mixture.noise_component import NoiseComponent


@dataclass(frozen=True, eq=False, repr=False)
class Draws:
    """Draws of every site of a model, in the data's units; `Posterior` adds what they say.

    Attributes:
        draws: site name -> tensor of shape (chain, draw, *site).
        family: the covariance family.
        observations: the data.
        permutation: which component of the sampler's own draw each component is, shape (chain,
            draw, k); None where components have never been exchanged.
        statistics: what a method says about each draw, name -> tensor of shape (chain, draw):
            `lp` of a sampler, its log density in nats; `log_q` of an approximation, the log density
            in nats that it drew from, over the unconstrained vector.
        allocations: the component of every point, drawn with the parameters, shape (chain, kept,
            n), or None.
        kept: numbers of the draws that `allocations` belong to, shape (kept,), or None.
        independent: whether the draws are independent of each other, as those of a guide.
        ambiguous: after `relabel`, the share of the draws in which two components could as well be
            exchanged: that would add no more than log 19 nats to Σ_n u_n KL(r_n, q_n), with the
            sample weights u, the draw's responsibilities r and their mean q over all draws. None
            where the draws have not been relabelled.
        axes: of sites that are not a mixture's own, as a prior program has: which axis of a value
            counts components, from 0; None for what they share.
        renumbers: whether draws can be numbered otherwise; not if it is not known what becomes of
            the sites of a prior program then.
        noise_component: the density of points that are in no component, or None. Their allocation
            is -1.
    """

    draws: Mapping[str, Tensor]
    family: CovarianceFamily
    observations: Observations
    permutation: Int[Tensor, "chain draw k"] | None = None
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    allocations: Int[Tensor, "chain kept n"] | None = None
    kept: Int[Tensor, "kept"] | None = None
    independent: bool = False
    ambiguous: float | None = None
    axes: Mapping[str, int | None] = field(default_factory=dict)
    renumbers: bool = True
    noise_component: NoiseComponent | None = None

    def __repr__(self) -> str:
        chains = counted(self.n_chains, "chain")
        components = counted(self.n_components, "component")
        return f"<posterior: {chains} of {counted(self.n_draws, 'draw')}, {components}>"

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

    def thinned(self, every: int) -> Self:
        """The same with one draw in so many of each chain, without allocations.

        Args:
            every: how far apart the draws that stay are: with 2, every second one stays.

        Raises:
            ValueError: if this is no positive integer.
        """
        kept = slice(None, None, check_count("every", every, 1))
        return replace(
            self,
            draws={name: values[:, kept] for name, values in self.draws.items()},
            statistics={name: values[:, kept] for name, values in self.statistics.items()},
            permutation=None if self.permutation is None else self.permutation[:, kept],
            allocations=None,
            kept=None,
        )

    def component_axis(self, name: str) -> int | None:
        """Which axis of a site's value, from 0, counts components; None if they share the value."""
        return self.axes[name] if name in self.axes else self.family.component_axis(name)

    def parameters(self) -> Parameters:
        """Mixture parameters of all draws, chain after chain, as one batch of sets, in float64."""
        own = {name: values for name, values in self.draws.items() if name not in self.axes}
        sites = {name: values.flatten(0, 1).double() for name, values in own.items()}
        return self.family.parameters(sites)
