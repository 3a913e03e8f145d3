"""Splits and merges of components: what leads to another number of filled ones.

Two points are picked. If they are in one component it is proposed to be split, else theirs to be
merged. A split begins with the points nearer to each of the two, or with some few about a lonely
one; restricted sweeps of Gibbs sampling, of these two components alone, make it sensible, and the
last one is the proposal, whose probability is known. A merge is weighed by the probability of the
split that would undo it. What is picked, and begun with, depends on the points alone.

Where means and covariances integrate out, the rule of Metropolis & Hastings compares partitions,
and what the sweeps draw is forgotten. Means that do not depend on the covariances do not: there the
last draws of both are a part of the proposal (`KeptMoves`). Weights and the number of components
are integrated out in either case.

Source: Jain & Neal (2004), and (2007) for what does not integrate out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...covariance import Parameters, Statistics
from ...covariance.records import LOG_2PI
from ...data.points import Observations
from ...model.hierarchy import Hierarchy
from ...model.normal_wishart import Components, IndependentMeans, NormalWishart
from ...reduction.sums import about, reduce_given
from .pairs import Pair, Split, bernoulli, log_probability, relabelled, statistics_where, where
from .state import Assigned, filled_first, resized, resized_parameters
from .surroundings import Surroundings

SCANS = 3  # restricted sweeps, the last of which proposes


@dataclass(frozen=True, eq=False)
class Moves:
    """Splits and merges of a batch of chains, under a prior whose components integrate out.

    Attributes:
        hierarchy: the prior.
        observations: the data, known as they are.
        z: points about the data's centre, shape (n, d).
        surroundings: of the points.
    """

    hierarchy: Hierarchy
    observations: Observations
    z: Float[Tensor, "n d"]
    surroundings: Surroundings

    def moved(self, found: Assigned, generator: torch.Generator) -> Assigned:
        """The same after a split or a merge has been proposed to every chain."""
        assert found.labels is not None
        family = self.hierarchy.components.family
        blocks = max(1, int(found.filled.sum(1).max()))
        here = self._with_room(found, blocks + 1)
        points, first = self.surroundings.drawn(len(found.labels), generator)
        pair = Pair.of(points, found.labels)
        split = self._split(here, pair, first, generator)
        second = self._second(split, pair, found.labels, generator)
        log_q = log_probability(split.log_odds, second, pair)
        there, places = self._proposed(here, pair, second)
        target = self._log_target(there, here) - self._log_target(here.statistics, here)
        sign = torch.where(pair.together, 1.0, -1.0).to(log_q)
        kept, parameters = self._of_components(here, places, pair, split, second, generator)
        gain = target + sign * (kept - log_q)
        uniform = torch.rand(len(gain), generator=generator, dtype=gain.dtype, device=gain.device)
        taken = uniform.log() < gain.nan_to_num(nan=-math.inf)
        return filled_first(
            family,
            replace(here.state, parameters=where(taken, parameters, here.state.parameters)),
            statistics_where(taken, there, here.statistics),
            relabelled(found.labels, taken, pair, second, places),
        )

    def _with_room(self, found: Assigned, k: int) -> Assigned:
        """The same with k components, and moments about the data's centre."""
        family = self.hierarchy.components.family
        statistics = about(family, found.statistics, self.observations.origin)
        p = resized_parameters(family, found.state.parameters, k)
        state = replace(found.state, parameters=p)
        return Assigned(state, resized(family, statistics, k), found.labels)

    # ------------------------------------------------------------------ what is proposed

    def _split(
        self, here: Assigned, pair: Pair, first: Bool[Tensor, "s n"], generator: torch.Generator
    ) -> Split:
        """Two components from restricted sweeps, which begin with these in the second one."""
        found, _, _ = self._launched(here, pair, first, generator)
        return found

    def _launched(
        self, here: Assigned, pair: Pair, first: Bool[Tensor, "s n"], generator: torch.Generator
    ) -> tuple[Split, Statistics, Tensor]:
        """The last draw of restricted sweeps, and what it was drawn given."""
        second, factor = pair.parted(first), self._start(len(first), 2)
        for scan in range(SCANS):
            statistics = self._of_sides(pair, second)
            before = factor
            drawn = self._drawn(here, statistics, factor, generator)
            odds = self._log_odds(drawn, statistics.counts)
            if scan < SCANS - 1:
                factor = drawn.factor
                second = pair.parted(bernoulli(odds, generator))
        return Split(drawn, odds), statistics, before

    def _start(self, s: int, k: int) -> Float[Tensor, "s k1 *event"]:
        """Factors of components half as wide as the data."""
        family, spread = self.hierarchy.components.family, self.observations.scale.double()
        factor = family.fit(family.compress((0.5 * spread).square().diag()), 0 * spread)
        return factor.expand(s, family.n_covariances(k), *factor.shape)

    def _drawn(
        self, here: Assigned, statistics: Statistics, factor: Tensor, generator: torch.Generator
    ) -> Components:
        """Components given their points."""
        s, k, _ = statistics.first.shape
        current = Parameters(statistics.counts.new_zeros(s, k), statistics.first, factor)
        return self._prior(here).draw_given(statistics, current, generator)

    def _prior(self, here: Assigned) -> NormalWishart | IndependentMeans:
        return self.hierarchy.given(here.state.scale)

    def _of_sides(self, pair: Pair, second: Bool[Tensor, "s n"]) -> Statistics:
        """Statistics of the members on either side."""
        sides = torch.stack([pair.members & ~second, second], 1).to(self.z)
        return self._of_weights(sides)

    def _of_weights(self, weight: Float[Tensor, "s k n"]) -> Statistics:
        family = self.hierarchy.components.family
        return reduce_given(family, self.z, weight, self.observations.origin)

    def _log_odds(self, drawn: Components, counts: Float[Tensor, "s 2"]) -> Float[Tensor, "s n"]:
        """Of each point to belong to the second component."""
        log_p = self._log_densities(drawn) + (counts + 1).log()[..., None]
        return log_p[:, 1] - log_p[:, 0]

    def _log_densities(self, drawn: Components) -> Float[Tensor, "s k n"]:
        """Log density of every point under every component, in nats."""
        family, d = self.hierarchy.components.family, self.z.shape[1]
        away = self.z - (drawn.means - self.observations.origin)[:, :, None]
        distance = family.whiten(drawn.factor, away).square().sum(-1)
        half = family.log_determinant(drawn.factor, d)[..., None]
        return -0.5 * (distance + d * LOG_2PI) - half

    def _second(
        self, split: Split, pair: Pair, labels: Int[Tensor, "s n"], generator: torch.Generator
    ) -> Bool[Tensor, "s n"]:
        """Which members are on the side of the second point: drawn, or as they are now."""
        now = labels == pair.own[:, 1:]
        drawn = bernoulli(split.log_odds, generator)
        return pair.parted(torch.where(pair.together[:, None], drawn, now))

    def _proposed(
        self, here: Assigned, pair: Pair, second: Bool[Tensor, "s n"]
    ) -> tuple[Statistics, Int[Tensor, "s 2"]]:
        """Statistics of all components after the move, and the places of the two."""
        statistics, sides = here.statistics, self._of_sides(pair, second)
        s, k = statistics.counts.shape
        free = (statistics.counts > 0).sum(1)  # of the filled, which come first, the next
        places = torch.stack([pair.own[:, 0], torch.where(pair.together, free, pair.own[:, 1])], 1)
        rows = torch.arange(s, device=places.device)[:, None]

        def placed(values: Tensor, of_sides: Tensor) -> Tensor:
            merged = torch.stack([of_sides.sum(1), torch.zeros_like(of_sides[:, 0])], 1)
            chosen = pair.together.view(s, *(1,) * (of_sides.ndim - 1))
            return values.index_put((rows, places), torch.where(chosen, of_sides, merged))

        tied = self.hierarchy.components.family.tied  # all second moments together stay
        second_moment = statistics.second if tied else placed(statistics.second, sides.second)
        there = replace(
            statistics,
            counts=placed(statistics.counts, sides.counts),
            first=placed(statistics.first, sides.first),
            second=second_moment,
        )
        return there, places

    # ------------------------------------------------------------------ what it weighs

    def _log_target(self, statistics: Statistics, here: Assigned) -> Float[Tensor, "s"]:
        """Log probability of a partition and, where components integrate out, of its points."""
        concentration = here.state.concentration
        found = self.hierarchy.log_partitions(statistics.counts, concentration).logsumexp(1)
        prior = self._prior(here)
        return found + prior.log_evidence(statistics) if isinstance(prior, NormalWishart) else found

    def _of_components(
        self,
        here: Assigned,
        places: Int[Tensor, "s 2"],
        pair: Pair,
        split: Split,
        second: Bool[Tensor, "s n"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "s"] | float, Parameters]:
        """What components weigh as two, less as one, and parameters after the move: any will do."""
        del places, pair, split, second, generator
        return 0.0, here.state.parameters
