"""What jumps between numbers of components are learnt from: assignments that chains have visited.

Of each number of components they make a proposal; of draws from that those that weigh most make the
next one, beside some that were sent elsewhere. So what chains have not yet visited as often as they
should gets the share that it has.

Source: Cappé, Guillin, Marin & Robert (2004), "Population Monte Carlo".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Statistics
from ...covariance.records import TINY
from ...model.declaration import require_conjugate
from ...model.hierarchy import Hierarchy
from ...model.log_density import LogDensity
from ...model.normal_wishart import NormalWishart
from ...reduction.sums import about
from ..chains.jumps import tries_for
from ..chains.population import ACCEPTED, Growth, Numbers, Round, populated
from ..chains.sweep import Sampler
from .jumps import TRIES, Sized, SizeJumps
from .state import Assigned, resized

MOST_FEATURES = 150  # of a component: with more of them jumps are seldom taken, and learnt slowly
MOST = 8  # components that a proposal has: sums over numberings take 2^k k products
VISITED = 192  # assignments that a proposal begins with, at most
ROUNDS = 2  # of draws from a proposal, of which those that weigh most make the next one
NARROWEST = 0.3  # scale of log concentrations, at least
LIKELY = 7.0  # nats below the likeliest number, from which another one is worth no proposal


@torch.no_grad()
def learnt(
    density: LogDensity, hierarchy: Hierarchy, visited: Sequence[Seen], generator: torch.Generator
) -> SizeJumps | None:
    """Jumps by what chains have visited; None where there are none that are of use.

    So it is of sticks and of means that do not depend on the covariances.

    Args:
        density: of a model of an unknown number of components, and the data.
        hierarchy: its prior.
        visited: assignments of some sweeps.
        generator: source of randomness.
    """
    if not visited or not leads_anywhere(hierarchy, density.observations.d):
        return None
    find = _of_known if hierarchy.is_known else _of_unknown
    jumps = find(density, Visited.of(hierarchy, visited), generator)
    if jumps is None:
        return None
    jumps = jumps.balanced(generator)
    return jumps if jumps.acceptance(generator) >= ACCEPTED else None


def _of_known(density: LogDensity, seen: Visited, generator: torch.Generator) -> SizeJumps | None:
    """Jumps between modes of one number of components, by a population that has searched for them.

    Chains have begun with that number, and may be where none of them leaves.
    """
    k = seen.hierarchy.most
    growth, chosen = _growth(density, seen, k, generator), seen.of_size(k, generator)
    if k == 1 or growth is None or chosen is None:
        return None
    start = growth.proposal(chosen).draw(growth.numbers.started, generator)
    found = populated(growth, start)
    assigned = Statistics.joined([found.proposal.assigned.statistics, _about(growth, chosen)])
    proposal = growth.proposal(assigned)
    sized = {k: Sized(proposal, *seen.concentration(k), seen.typical_scale(k))}
    jumps = replace(SizeJumps.evenly(seen.hierarchy, sized), settled=found.settled)
    return replace(jumps, tries=max(TRIES, tries_for(jumps.acceptance(generator))))


def _of_unknown(density: LogDensity, seen: Visited, generator: torch.Generator) -> SizeJumps | None:
    """Jumps between numbers of components."""
    hierarchy = seen.hierarchy
    if _growth(density, seen, 2, generator) is None:
        return None
    sized, log_masses = {}, torch.full_like(hierarchy.log_sizes, -math.inf)
    for k in range(1, min(MOST, hierarchy.most) + 1):
        growth = _growth(density, seen, k, generator)
        if growth is None:
            break
        chosen = seen.of_size(k, generator)
        if chosen is None:  # there were more of them always
            continue
        found = _grown(growth, chosen)
        sized[k] = Sized(found.proposal, *seen.concentration(k), seen.typical_scale(k))
        over = hierarchy.log_over(found.parameters.factor, sized[k].scale)
        evidence = found.evidence + float(over.logsumexp(0)) - math.log(len(over))
        log_masses[k - 1] = hierarchy.log_sizes[k - 1] + evidence
        if log_masses[k - 1] < log_masses.max() - LIKELY:
            break
    return SizeJumps.evenly(hierarchy, sized) if len(sized) > 1 else None


def leads_anywhere(hierarchy: Hierarchy, d: int) -> bool:
    """Whether components integrate out, have not too many features, and are of several numbers."""
    closed = isinstance(hierarchy.components, NormalWishart) and not hierarchy.sticks
    features = 1 + d + math.prod(hierarchy.components.family.event_shape(d))
    few = not hierarchy.is_known or hierarchy.most <= MOST
    return closed and few and features <= MOST_FEATURES


def _growth(
    unknown: LogDensity, seen: Visited, k: int, generator: torch.Generator
) -> Growth | None:
    """How assignments to k components become a proposal; None of very many points."""
    typical = torch.tensor(seen.concentration(k)[0], dtype=torch.float64)
    each = float(seen.hierarchy.concentration.of_each(typical, k))
    model = unknown.model.of_size(k, each, seen.typical_scale(k))
    observations = unknown.observations
    density = LogDensity(model, observations)
    numbers = Numbers.of(density) if k > 1 else Numbers()
    if numbers is None:
        return None
    prior = require_conjugate(model, "a jump", observations.origin)
    sampler = Sampler.of(prior, observations, exchange=False)
    return Growth(density, sampler, numbers, generator)


def _about(growth: Growth, statistics: Statistics) -> Statistics:
    """The same about the data's centre."""
    return about(growth.density.model.family, statistics, growth.density.observations.origin)


def _grown(growth: Growth, chosen: Statistics) -> Round:
    """What is left of draws from a proposal, of which those that weigh most make the next one."""
    found, k = growth.resampled([chosen]), chosen.counts.shape[1]
    for _ in range(1, ROUNDS):
        away = [growth.elsewhere(found, growth.numbers.shuffled // 2)[0]] if k > 1 else []
        found = growth.resampled([chosen, found.visited, *away])
    return found


@dataclass(frozen=True, eq=False)
class Seen:
    """What is kept of an assignment of all chains: of those that have few filled components.

    Attributes:
        statistics: of the assignments, filled components first.
        concentration: of each.
        scale: Ψ of each in compact form; one of all where it is known.
    """

    statistics: Statistics
    concentration: Float[Tensor, "s"]
    scale: Float[Tensor, "s *event"]

    @classmethod
    def of(cls, hierarchy: Hierarchy, found: Assigned) -> Seen:
        """Those which have at most so many filled components as a proposal has."""
        filled = found.filled.sum(1)
        few = (filled <= MOST).nonzero()[:, 0]
        k = max([1, *filled[few].tolist()])
        statistics = resized(hierarchy.components.family, found.statistics, k)[few]
        scale = hierarchy.given(found.state.scale).scale[:, 0]
        scale = scale.expand(len(filled), *scale.shape[1:])
        return cls(statistics, found.state.concentration[few], scale[few])


@dataclass(frozen=True, eq=False)
class Visited:
    """Assignments of chains, which may be of any number of components that is large enough.

    Attributes:
        hierarchy: the prior.
        statistics: of the assignments, filled components first.
        shares: the probability of 1, 2, … components, given each assignment.
        log_concentration: of each.
        scale: Ψ of each in compact form.
    """

    hierarchy: Hierarchy
    statistics: Statistics
    shares: Float[Tensor, "s most"]
    log_concentration: Float[Tensor, "s"]
    scale: Float[Tensor, "s *event"]

    @classmethod
    def of(cls, hierarchy: Hierarchy, visited: Sequence[Seen]) -> Visited:
        """Those of some sweeps."""
        family, k = hierarchy.components.family, min(MOST, hierarchy.most)
        together = Statistics.joined([resized(family, seen.statistics, k) for seen in visited])
        alpha = torch.cat([seen.concentration for seen in visited])
        shares = hierarchy.log_partitions(together.counts, alpha).softmax(1)
        scale = torch.cat([seen.scale for seen in visited])
        return cls(hierarchy, together, shares, alpha.log(), scale)

    def _share(self, k: int) -> Float[Tensor, "s"]:
        """Of each assignment among those of k components."""
        share = self.shares[:, k - 1] + TINY
        return share / share.sum()

    def typical_scale(self, k: int) -> Float[Tensor, "*event"]:
        """The mean scale where there are k components."""
        return torch.tensordot(self._share(k), self.scale, 1)

    def concentration(self, k: int) -> tuple[float, float]:
        """A typical one where there are k components, and how widely they differ."""
        share = self._share(k)
        mean = share @ self.log_concentration
        if not self.hierarchy.concentration.is_random:
            return float(mean.exp()), 0.0
        variance = share @ (self.log_concentration - mean).square()
        return float(mean.exp()), max(NARROWEST, float(variance.sqrt()))

    def of_size(self, k: int, generator: torch.Generator) -> Statistics | None:
        """Some as of k components, each as often as it is one; None if there are none.

        A half of them have points in all components, if any have: what most of the others have in
        common is that one is empty.
        """
        shares = self.shares[:, k - 1]
        full = shares * ((self.statistics.counts > 0).sum(1) == k)
        several = [some for some in (shares, full) if len(some) and float(some.sum()) > 0]
        if not several:
            return None
        number = VISITED // len(several)
        drawn = [
            torch.multinomial(some, number, replacement=True, generator=generator)
            for some in several
        ]
        chosen = torch.cat(drawn)
        return resized(self.hierarchy.components.family, self.statistics, k)[chosen.unique()]
