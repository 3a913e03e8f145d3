"""Splits and merges where means do not depend on covariances, and so do not integrate out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...covariance import Parameters
from ...data.partitioned import Partitioned
from ...data.points import Observations
from ...model.hierarchy import Hierarchy
from ...model.normal_wishart import Components, IndependentMeans
from .moves import SCANS, Moves
from .pairs import Pair, Split, components_at, components_where
from .state import Assigned
from .surroundings import Surroundings

MOST_POINTS = 20_000  # of which all chains have the labels at once


def moves_of(hierarchy: Hierarchy, observations: Observations) -> Moves | None:
    """Splits and merges of some data; None where there are none.

    So it is of sticks, with two points or very many, points that are elsewhere, holes, noise, and
    with means that do not depend on covariances which components share.
    """
    independent = isinstance(hierarchy.components, IndependentMeans)
    shared = hierarchy.components.family.tied and independent
    partly = observations.measured is not None or observations.log_noise is not None
    here = 3 <= observations.n <= MOST_POINTS and not isinstance(observations, Partitioned)
    if shared or partly or hierarchy.sticks or not here:
        return None
    z = observations.x.double() - observations.origin
    around = Surroundings.of(z / observations.scale.double())
    return (KeptMoves if independent else Moves)(hierarchy, observations, z, around)


@dataclass(frozen=True, eq=False)
class KeptMoves(Moves):
    """Splits and merges where means do not integrate out: all draws are a part of the proposal."""

    def _split(
        self, here: Assigned, pair: Pair, first: Bool[Tensor, "s n"], generator: torch.Generator
    ) -> Split:
        """Drawn where the two points are together, else as components are now."""
        found, statistics, factor = self._launched(here, pair, first, generator)
        drawn = components_where(
            pair.together, found.components, components_at(here.state.parameters, pair.own)
        )
        log_density = self._kept_prior(here).log_density_given(statistics, factor, drawn).sum(1)
        return Split(drawn, self._log_odds(drawn, statistics.counts), log_density)

    def _kept_prior(self, here: Assigned) -> IndependentMeans:
        prior = self._prior(here)
        assert isinstance(prior, IndependentMeans)
        return prior

    def _of_components(
        self,
        here: Assigned,
        places: Int[Tensor, "s 2"],
        pair: Pair,
        split: Split,
        second: Bool[Tensor, "s n"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "s"], Parameters]:
        """See `Moves`: prior, likelihood and proposal of the two, less those of the one."""
        prior, sides = self._kept_prior(here), torch.stack([pair.members & ~second, second], 1)
        one, log_q_one = self._one(here, pair, generator)
        of_two = prior.log_density(split.components).sum(1) - split.log_density
        of_two = of_two + (self._log_densities(split.components) * sides).sum((1, 2))
        of_one = prior.log_density(one).sum(1) - log_q_one
        of_one = of_one + (self._log_densities(one)[:, 0] * pair.members).sum(1)
        both = Components(
            one.means.expand(-1, 2, -1), one.factor.expand_as(split.components.factor)
        )
        new = components_where(pair.together, split.components, both)
        rows = torch.arange(len(places), device=places.device)[:, None]
        p = here.state.parameters
        means = p.means.index_put((rows, places), new.means)
        factor = p.factor.index_put((rows, places), new.factor)
        return of_two - of_one, replace(p, means=means, factor=factor)

    def _one(
        self, here: Assigned, pair: Pair, generator: torch.Generator
    ) -> tuple[Components, Float[Tensor, "s"]]:
        """The merged component, as it is or proposed, and its log density as a proposal."""
        statistics = self._of_weights(pair.members[:, None].to(self.z))
        factor = self._start(len(pair.members), 1)
        for _ in range(SCANS):
            before = factor
            drawn = self._drawn(here, statistics, factor, generator)
            factor = drawn.factor
        now = components_at(here.state.parameters, pair.own[:, :1])
        one = components_where(~pair.together, drawn, now)
        return one, self._kept_prior(here).log_density_given(statistics, before, one).sum(1)
