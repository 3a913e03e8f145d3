"""Jumps between mixtures of any sizes: independent proposals, by the rule of Metropolis & Hastings.

For every number of components that is worth it there is a proposal, the average over assignments
that chains have visited, each known up to no constant: so that one of all numbers is, too, in which
each has the share that it weighs. The assignment of a chain is integrated out. The concentration
stays as it is, and so the number and the parameters weigh what they do given that.

A chain with more components than there are proposals for does not jump before sweeps have led it to
fewer, as they do where components have no points.

Source: Tierney (1994), §2.3.3; Lee & Robert (2016) for the proposal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Statistics
from ...data.points import Observations
from ...model.declaration import require_conjugate
from ...model.hierarchy import Hierarchy
from ...model.normal_wishart import NormalWishart
from ...model.program import MixtureModel
from ..chains.jumps import AT_ONCE, tries_for
from ..chains.population import ACCEPTED, Growth, Numbers, Round
from ..chains.sweep import Sampler
from ..weighing.proposal import Proposal
from .sizes import log_prior_of_weights
from .state import Assigned, State, joined, resized

MOST = 8  # components that a proposal has: sums over numberings take 2^k k products
VISITED = 192  # assignments that a proposal begins with, at most
ROUNDS = 2  # of draws from a proposal, of which those that weigh most make the next one
LIKELY = 7.0  # nats below the likeliest number, from which another one is worth no proposal


@dataclass(eq=False)
class SizeJumps:
    """Jumps of a batch of chains.

    Attributes:
        hierarchy: the prior.
        proposals: of each number of components.
        log_shares: how often each number is proposed, by the number less one; -inf if never.
        typical: the concentration that the proposals know.
        acceptance: share of jumps that would be accepted.
        waiting: proposals that no chain has had yet, and what they weigh but for their weights.
        tried: how many jumps there have been.
        taken: how many of them were accepted.
    """

    hierarchy: Hierarchy
    proposals: Mapping[int, Proposal]
    log_shares: Float[Tensor, "most"]
    typical: float
    acceptance: float
    waiting: tuple[State, Float[Tensor, "s"]] | None = None
    tried: int = 0
    taken: int = 0

    @property
    def rate(self) -> float:
        """Share of jumps that were accepted."""
        return self.taken / max(1, self.tried)

    def jumped(self, state: State, generator: torch.Generator) -> State:
        """Where each of s chains has come to."""
        family, s = self.hierarchy.components.family, len(state)
        k = max(state.parameters.means.shape[1], *self.proposals)
        here = joined(family, [state], k)
        weigh_here = self._weigh(here) + self._log_prior(here)
        for _ in range(tries_for(self.acceptance)):
            there, weigh = self._next(s, k, generator)
            there = replace(there, concentration=here.concentration)
            weigh_there = weigh + self._log_prior(there)
            uniform = torch.rand(s, generator=generator, device=generator.device).double()
            taken = uniform.log() < weigh_there - weigh_here
            self.tried, self.taken = self.tried + s, self.taken + int(taken.sum())
            here = joined(family, [here, there], k)[
                torch.arange(s, device=taken.device) + s * taken
            ]
            weigh_here = torch.where(taken, weigh_there, weigh_here)
        return joined(family, [here], int(here.size.max()))

    def _log_prior(self, state: State) -> Float[Tensor, "s"]:
        """Of the weights, in nats."""
        log_weights = state.parameters.log_weights
        return log_prior_of_weights(self.hierarchy, log_weights, state.size, state.concentration)

    def _weigh(self, state: State) -> Float[Tensor, "s"]:
        """log p(x, θ, k) - log q(θ, k) in nats, but for the prior of the weights.

        Infinite where a number of components is never proposed: nothing leads away from there.
        """
        found = torch.full_like(state.concentration, math.inf)
        for k in set(state.size.tolist()) & set(self.proposals):
            rows = (state.size == k).nonzero()[:, 0]
            some = joined(self.hierarchy.components.family, [state[rows]], k)
            known = replace(some, concentration=torch.full_like(some.concentration, self.typical))
            log_weight = self.proposals[k].log_weight(some.parameters) - self._log_prior(known)
            log_share = self.hierarchy.log_sizes[k - 1] - self.log_shares[k - 1]
            found[rows] = log_weight + log_share.to(log_weight)
        return found

    def _next(
        self, count: int, k: int, generator: torch.Generator
    ) -> tuple[State, Float[Tensor, "s"]]:
        """So many proposals, filled up to k components, and what they weigh."""
        if self.waiting is None or len(self.waiting[0]) < count:
            drawn = self._drawn(max(count, AT_ONCE), generator)
            self.waiting = drawn, self._weigh(drawn)
        states, weigh = self.waiting
        self.waiting = states[count:], weigh[count:]
        return joined(self.hierarchy.components.family, [states[:count]], k), weigh[:count]

    def _drawn(self, count: int, generator: torch.Generator) -> State:
        """Proposals of the typical concentration, in any order."""
        shares = self.log_shares.exp()
        sizes = 1 + torch.multinomial(shares, count, replacement=True, generator=generator)
        states = []
        for k, proposal in self.proposals.items():
            number = int((sizes == k).sum())
            if number:
                parameters = proposal.draw(number, generator)
                size = torch.full((number,), k, device=sizes.device)
                typical = shares.new_full((number,), self.typical)
                states.append(State(parameters, size, typical))
        together = joined(self.hierarchy.components.family, states, max(self.proposals))
        return together[torch.randperm(count, generator=generator, device=sizes.device)]


# ---------------------------------------------------------------------- what they are learnt from


@torch.no_grad()
def learnt(
    model: MixtureModel,
    hierarchy: Hierarchy,
    observations: Observations,
    visited: Sequence[Assigned],
    generator: torch.Generator,
) -> SizeJumps | None:
    """Jumps by what chains have visited; None where there are none that are of use.

    So it is of sticks, of random scales and of means that do not depend on the covariances.

    Args:
        model: of an unknown number of components.
        hierarchy: its prior.
        observations: the data.
        visited: assignments, each of all chains.
        generator: source of randomness.
    """
    closed = isinstance(hierarchy.components, NormalWishart) and hierarchy.scale is None
    if hierarchy.is_known or not closed or not visited:
        return None
    seen = Visited.of(hierarchy, visited)
    rounds: dict[int, Round] = {}
    log_shares = torch.full_like(hierarchy.log_sizes, -math.inf)
    for k in range(1, min(MOST, hierarchy.most) + 1):
        chosen = seen.of_size(k, generator)
        if chosen is None:  # there were more of them always
            continue
        growth = _growth(model.of_size(k, seen.concentration(k)), observations, generator)
        if growth is None:
            break
        rounds[k] = _grown(growth, chosen)
        log_shares[k - 1] = hierarchy.log_sizes[k - 1] + rounds[k].evidence
        if log_shares[k - 1] < log_shares.max() - LIKELY:
            break
    if len(rounds) < min(2, hierarchy.most):
        return None
    log_shares = log_shares.log_softmax(0)
    proposals = {k: found.proposal for k, found in rounds.items()}
    acceptance = _acceptance(hierarchy, rounds, log_shares)
    found = SizeJumps(hierarchy, proposals, log_shares, seen.typical, acceptance)
    return found if acceptance >= ACCEPTED else None


def _growth(
    model: MixtureModel, observations: Observations, generator: torch.Generator
) -> Growth | None:
    """How assignments of a known number of components become a proposal; None of very many."""
    density = model.log_density(observations)
    numbers = Numbers.of(density) if model.n_components > 1 else Numbers()
    if numbers is None:
        return None
    prior = require_conjugate(model, "a jump", observations.origin)
    sampler = Sampler.of(prior, observations, exchange=False)
    return Growth(density, sampler, numbers, generator)


def _grown(growth: Growth, chosen: Statistics) -> Round:
    """What is left of draws from a proposal, of which those that weigh most make the next one."""
    found = growth.resampled([chosen])
    for _ in range(1, ROUNDS):
        found = growth.resampled([chosen, found.visited])
    return found


def _acceptance(
    hierarchy: Hierarchy, rounds: Mapping[int, Round], log_shares: Float[Tensor, "most"]
) -> float:
    """Share of jumps from draws of the posterior, of any size, that are accepted."""
    log_q, log_weights = [], []
    for k, found in rounds.items():
        log_share, count = log_shares[k - 1], len(found.log_weights)
        log_q.append((log_share - math.log(count)).expand(count))
        log_weights.append(found.log_weights + hierarchy.log_sizes[k - 1] - log_share)
    q, weights = torch.cat(log_q).exp(), torch.cat(log_weights)
    accepted = (weights - weights[:, None]).nan_to_num(nan=-math.inf).exp().clamp_max(1.0) @ q
    return float((q.log() + weights).softmax(0) @ accepted)


@dataclass(frozen=True, eq=False)
class Visited:
    """Assignments of chains, which may be of any number of components that is large enough.

    Attributes:
        hierarchy: the prior.
        statistics: of the assignments, filled components first.
        shares: the probability of 1, 2, … components, given each assignment.
        typical: the median of the concentrations.
    """

    hierarchy: Hierarchy
    statistics: Statistics
    shares: Float[Tensor, "s most"]
    typical: float

    @classmethod
    def of(cls, hierarchy: Hierarchy, visited: Sequence[Assigned]) -> Visited:
        """Those of some sweeps, which have at most so many filled components as a proposal has."""
        family, k = hierarchy.components.family, min(MOST, hierarchy.most)
        statistics, concentration = [], []
        for found in visited:
            few = (found.filled.sum(1) <= k).nonzero()[:, 0]
            statistics.append(resized(family, found.statistics, k)[few])
            concentration.append(found.state.concentration[few])
        together, alpha = Statistics.joined(statistics), torch.cat(concentration)
        shares = hierarchy.log_partitions(together.counts, alpha).softmax(1)
        typical = alpha.median() if len(alpha) else hierarchy.concentration.typical
        return cls(hierarchy, together, shares, float(typical))

    def concentration(self, k: int) -> float:
        """Of each of k components."""
        typical = torch.tensor(self.typical, dtype=torch.float64)
        return float(self.hierarchy.concentration.of_each(typical, k))

    def of_size(self, k: int, generator: torch.Generator) -> Statistics | None:
        """Some as of k components, each as often as it is one; None if there are none."""
        shares = self.shares[:, k - 1]
        if not len(shares) or not float(shares.sum()) > 0:
            return None
        chosen = torch.multinomial(shares, VISITED, replacement=True, generator=generator)
        return resized(self.hierarchy.components.family, self.statistics, k)[chosen.unique()]
