"""One sweep where the number of components is drawn too: the telescoping sampler.

    z_n     | θ, x   ~ Categorical(responsibilities of x_n), over all k components
    α, k    | z                                             with the weights integrated out
    Ψ       | θ, z   ~ Wishart                              of those that have points
    θ_j     | z, x   ~ Wishart and Normal                  from the prior, where it has no point
    weights | z, k   ~ Dirichlet

A component without a point is drawn from the prior, and comes and goes with k: so the state has
another length after every sweep, and no jump between spaces is needed.

Source: Frühwirth-Schnatter, Malsiner-Walli & Grün (2021), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import Parameters, Statistics
from ...data.points import Observations
from ...model.draws import draw_noise
from ...model.hierarchy import Hierarchy
from ...model.unknown_sites import log_dirichlet
from ...reduction.assignments import Assignment, Drawn, softmax
from ...reduction.background import NOISE
from ...reduction.sums import reduce
from ...reduction.theta import theta_of
from ..chains.sweep import SEEDS
from .sizes import draw_sizes
from .state import Assigned, State, filled_first
from .sticks import draw_sticks, exchanged

Allocate = Callable[[Parameters, Assignment], Statistics]


@dataclass(frozen=True, eq=False)
class Telescope:
    """The conditional distributions of a sweep.

    Attributes:
        hierarchy: the prior.
        allocate: statistics of an assignment of all points, given parameters of s chains.
        n: number of points.
    """

    hierarchy: Hierarchy
    allocate: Allocate
    n: int

    @classmethod
    def of(cls, hierarchy: Hierarchy, observations: Observations) -> Telescope:
        """The one of some data."""

        def allocate(parameters: Parameters, assign: Assignment) -> Statistics:
            theta = theta_of(hierarchy.components.family, parameters, observations)
            return reduce(observations, theta, assign)

        return cls(hierarchy, allocate, observations.n)

    def log_likelihood(self, parameters: Parameters) -> Float[Tensor, "s"]:
        """Of s sets, in nats."""
        return self.allocate(parameters, softmax).log_norm

    def assigned(
        self, state: State, generator: torch.Generator, *, labelled: bool = False
    ) -> Assigned:
        """The first half of a sweep: all points assigned, given a state."""
        seed = int(torch.randint(SEEDS, (), generator=generator, device=generator.device))
        labels = None
        if labelled:
            labels = torch.zeros(len(state), self.n, dtype=torch.int64, device=generator.device)
        statistics = self.allocate(state.parameters, Drawn(seed, labels))
        if labels is not None and statistics.noise is not None:
            labels.masked_fill_(labels == state.parameters.means.shape[1], NOISE)
        if self.hierarchy.sticks:
            return Assigned(state, statistics, labels)
        return filled_first(self.hierarchy.components.family, state, statistics, labels)

    def drawn(self, found: Assigned, generator: torch.Generator) -> State:
        """The second half: a new state, given the points' components and the old one."""
        hierarchy = self.hierarchy
        family = hierarchy.components.family
        if hierarchy.sticks:
            found = exchanged(hierarchy, found, generator)
            counts, size = found.statistics.counts, found.state.size
            concentration, log_weights = draw_sticks(
                hierarchy, counts, found.state.concentration, generator
            )
            k = hierarchy.most
        else:
            blocks = max(1, int(found.filled.sum(1).max()))
            found = found.resized(family, blocks)
            counts = found.statistics.counts
            size, concentration = draw_sizes(
                hierarchy, counts, found.state.concentration, generator
            )
            k = int(size.max())
            log_weights = self._log_weights(counts, size, concentration, k, generator)
        scale = self._scale(found, generator)
        found = found.resized(family, k)
        state, statistics = found.state, found.statistics
        drawn = hierarchy.given(scale).draw_given(statistics, state.parameters, generator)
        noise = draw_noise(hierarchy.noise, statistics, generator)
        parameters = Parameters(log_weights, drawn.means, drawn.factor, noise)
        return State(parameters, size, concentration, scale)

    def _log_weights(
        self,
        counts: Float[Tensor, "s b"],
        size: Int[Tensor, "s"],
        concentration: Float[Tensor, "s"],
        k: int,
        generator: torch.Generator,
    ) -> Float[Tensor, "s k"]:
        """Of all components of each mixture, given their points."""
        each = self.hierarchy.concentration.of_each(concentration, size)
        exists = torch.arange(k, device=size.device) < size[:, None]
        counts = torch.nn.functional.pad(counts, (0, k - counts.shape[1]))
        return log_dirichlet(counts + each[:, None], exists, generator)

    def _scale(
        self, found: Assigned, generator: torch.Generator
    ) -> Float[Tensor, "s 1 *event"] | None:
        """Scales given the covariances of the components that have points, drawn afresh.

        What moved points to other components may have left the old ones behind.
        """
        if self.hierarchy.scale is None:
            return None
        now = self.hierarchy.given(found.state.scale)
        drawn = now.draw_given(found.statistics, found.state.parameters, generator)
        given = self.hierarchy.scale_given(drawn.factor, found.filled)
        return None if given is None else given.draw_each(generator)
