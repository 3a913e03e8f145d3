"""Particles taken elsewhere: a component of each is gone, and there is a new one in its place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import Parameters, Statistics
from ...covariance.records import times
from ...model.log_density import LogDensity
from ...reduction.pointwise import labels
from ...reduction.theta import theta_of
from ..search.removal import merged, without
from .sweep import Sampler

NARROWEST, WIDEST = 0.1, 5.0  # standard deviations of what is shuffled in, in those of a component


@dataclass(frozen=True, eq=False)
class Shuffle:
    """How particles are taken elsewhere.

    Attributes:
        density: the log density.
        sampler: what knows the prior, and what is known of the components.
        generator: source of randomness.
    """

    density: LogDensity
    sampler: Sampler
    generator: torch.Generator

    def __call__(self, p: Parameters, without_points: int) -> Parameters:
        """Each set with two of its components as one, or one taken away, and a new one instead.

        Those of so many sets are from the prior, without points, and the others are at a point.
        """
        s, k = p.log_weights.shape
        family, half = self.density.model.family, s // 2
        device = self.generator.device
        pair = torch.rand(s, k, generator=self.generator, device=device).argsort(1)[:, :2]
        fewer = Parameters.joined(
            [merged(family, p[:half], *pair[:half].T), without(family, p[half:], pair[half:, 0])]
        )
        places = torch.randperm(s, generator=self.generator, device=device)
        means, factor = self._newcomers(p, places[:without_points])
        log_weight = p.log_weights.new_full((s, 1), -math.log(2 * k))
        found = Parameters(
            torch.cat([fewer.log_weights, log_weight], 1).log_softmax(1),
            torch.cat([fewer.means, means], 1),
            fewer.factor if family.tied else torch.cat([fewer.factor, factor], 1),
            fewer.log_odds,
        )
        return self._at_home(found, torch.cat([pair[:half, 1], pair[half:, 0]]))

    def _at_home(self, p: Parameters, gone: Int[Tensor, "s"]) -> Parameters:
        """Each set with its last component in the place of the one that is gone, and what is held.

        Places are all alike where neither labels nor anything that is held tell them apart.
        """
        sampler, k = self.sampler, p.means.shape[1]
        if sampler.labelled is None and sampler.fixed is None:
            return p
        place, gone = torch.arange(k, device=gone.device).expand(len(gone), -1), gone[:, None]
        order = torch.where(place == gone, k - 1, place - (place > gone).long())
        p = self.density.model.family.permuted(p, order)
        return p if sampler.fixed is None else sampler.fixed.imposed(p)

    def _newcomers(
        self, p: Parameters, nowhere: Int[Tensor, "m"]
    ) -> tuple[Float[Tensor, "s 1 d"], Tensor]:
        """A component for each set: at a point and like the point's own, or from the prior."""
        family, observations = self.density.model.family, self.density.observations
        device, s = self.generator.device, len(p.means)
        sets = torch.arange(s, device=device)
        point = torch.randint(observations.n, (s,), generator=self.generator, device=device)
        some = observations.subset(point)
        own = family.of_component(labels(some, theta_of(family, p, some)))
        uniform = torch.rand(s, generator=self.generator, device=device, dtype=torch.float64)
        width = NARROWEST * (WIDEST / NARROWEST) ** uniform.to(p.means)
        factor = times(width, p.factor[sets, own[sets, sets]])[:, None]
        means = some.filled.to(p.means)[:, None]
        counts, origin = torch.zeros_like(p.log_weights), observations.origin
        sums = counts[:, 0], counts, torch.zeros_like(p.means), torch.zeros_like(p.factor)
        drawn = self.sampler.prior.components.draw_given(
            Statistics(*sums, origin), p, self.generator
        )
        means[nowhere], factor[nowhere] = drawn.means[nowhere, :1], drawn.factor[nowhere, :1]
        return means, factor
