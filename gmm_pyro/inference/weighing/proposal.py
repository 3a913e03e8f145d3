"""Parameters to jump to from anywhere: drawn given one of the assignments that were visited.

With z assignments the proposal is the average q of their posteriors over all numberings of the
components, and close to the posterior itself if the assignments are about draws from theirs: it
goes wherever they have been, and needs no shape of what it finds there. What a proposal weighs,

    log p(x | θ) + log p(θ) - log q(θ),

is next to constant then, so that most jumps are accepted, and its mean is the evidence.

Source: Lee & Robert (2016), of whom this takes the proposal; Tierney (1994) for the chain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Parameters, Statistics
from ...model.beside_fixed import MixingBeside
from ...model.log_density import LogDensity
from ...model.normal_wishart import Conjugate
from ...model.numbering import Numberings, told_apart
from ...reduction.sums import about, reduce
from ...reduction.theta import theta_of
from .assigned import Assigned, log_permanent, twin_of
from .parts import Parts, parts_of

MOST_NAMED = 6  # components that weights' priors tell apart: their numberings are counted out


@dataclass(frozen=True, eq=False)
class Proposal:
    """The average over assignments, and what parameters weigh under a prior.

    Attributes:
        density: the log density of the chains.
        assigned: the proposal.
    """

    density: LogDensity
    assigned: Assigned

    @classmethod
    def of(
        cls,
        density: LogDensity,
        prior: Conjugate,
        statistics: Statistics,
        parts: Parts | None = None,
    ) -> Proposal:
        """The one of assignments with these statistics.

        Args:
            density: the log density of the chains.
            prior: the prior of sweeps.
            statistics: of the assignments.
            parts: what is like the prior of the components, or is it.
        """
        parts = parts or parts_of(density, 0)
        statistics = about(density.model.family, statistics, density.observations.origin)
        mixing = MixingBeside.beside(prior.mixing, density.model.fixed)
        prior = replace(prior, mixing=mixing)
        classes = told_apart(density.model, density.observations)
        assigned = Assigned.of(twin_of(density), prior, parts, statistics, classes)
        return cls(density, assigned)

    def draw(self, count: int, generator: torch.Generator) -> Parameters:
        """Independent parameters, their components numbered as the prior holds likely."""
        z = len(self.assigned.statistics.counts)
        chosen = torch.randint(z, (count,), generator=generator, device=generator.device)
        p = self.assigned.draw_given(chosen, generator)
        named, k = self.assigned.named(p), p.log_weights.shape[1]
        if self._is_symmetric:
            uniform = torch.rand(count, k, generator=generator, device=generator.device)
            order = uniform.argsort(1)
        else:
            orders = torch.tensor(list(permutations(range(k))), device=named.device)
            places = torch.arange(k, device=named.device)
            log_prior = named[orders, places].sum(1).T
            order = orders[torch.multinomial(log_prior.softmax(1), 1, generator=generator)[:, 0]]
        return self.density.model.family.permuted(p, order)

    def log_likelihood(self, p: Parameters) -> Float[Tensor, "s"]:
        """Of s sets, in nats."""
        observations = self.density.observations
        return reduce(observations, theta_of(self.density.model.family, p, observations)).log_norm

    def log_weight(
        self, p: Parameters, log_likelihood: Float[Tensor, "s"] | None = None
    ) -> Float[Tensor, "s"]:
        """log p(θ, x) - log q(θ) of s sets in nats, both averaged over all numberings."""
        if log_likelihood is None:
            log_likelihood = self.log_likelihood(p)
        numberings = self._numberings
        over = self._precisions_over(p) if numberings is None else self._sites_over(p, numberings)
        return (log_likelihood + over).nan_to_num(nan=-math.inf, neginf=-math.inf)

    def _precisions_over(self, p: Parameters) -> Float[Tensor, "s"]:
        """log p(θ) - log q(θ) of a prior over weights, means and precisions."""
        found = -self.assigned.log_gain(p)
        if not self._is_symmetric:
            named = self.assigned.named(p)
            own = named.diagonal().sum(1)
            found = found + log_permanent(named) - own - self.assigned.log_numberings
        if len(self.assigned.parts) > 1:  # the prior is like them, but none of them
            values, twin = self.density.values(p), self.assigned.density
            found = found + self.density.log_prior(values) - twin.log_prior(values)
        return found

    def _sites_over(self, p: Parameters, numberings: Numberings) -> Float[Tensor, "s"]:
        """The same of any prior: over all numberings that it tells apart."""
        values, k = self.density.values(p), p.log_weights.shape[1]
        log_prior = numberings.log_prior(self.density, values) - math.lgamma(k + 1)
        return log_prior - self.assigned.log_density_of(self.density, values)

    @cached_property
    def _numberings(self) -> Numberings | None:
        """Those of a prior that is not over precisions."""
        density = self.density
        if "precisions" in density.prior:
            return None
        some = density.constrain(density.observations.origin.new_zeros(1, density.dimension))
        return Numberings.about(density, some)

    @cached_property
    def _is_symmetric(self) -> bool:
        return self.assigned.mixing.is_symmetric and not max(self.assigned.classes or (0,))
