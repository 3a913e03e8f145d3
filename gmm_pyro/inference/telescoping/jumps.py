"""Jumps between mixtures of any sizes: independent proposals, by the rule of Metropolis & Hastings.

For every number of components that is worth it there is a proposal, the average over assignments
that chains have visited, each known up to no constant: so that one of all numbers is, too, in which
each has the share that it weighs. The assignment of a chain is integrated out. A concentration that
is random is proposed with the number: many components have points only where it is large.

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
from ..chains.jumps import AT_ONCE
from ..chains.population import ACCEPTED, Growth, Numbers, Round
from ..chains.sweep import Sampler
from ..weighing.proposal import Proposal
from .halves import log_student, student
from .sizes import log_prior_of_weights
from .state import Assigned, State, joined, resized

MOST = 8  # components that a proposal has: sums over numberings take 2^k k products
VISITED = 192  # assignments that a proposal begins with, at most
ROUNDS = 2  # of draws from a proposal, of which those that weigh most make the next one
TRIES = 2  # of a chain to jump in a step
FREEDOM, NARROWEST = 4.0, 0.3  # of Student's t distribution of log concentrations, and its scale
EVENLY = 0.05  # share of the proposals in which each number is as frequent as any other
LIKELY = 7.0  # nats below the likeliest number, from which another one is worth no proposal


@dataclass(frozen=True, eq=False)
class Sized:
    """The proposal of a number of components.

    Attributes:
        proposal: of the parameters, given a typical concentration.
        typical: that concentration.
        width: scale of Student's t distribution of the logarithm of concentrations about it; 0
            where the concentration is known.
    """

    proposal: Proposal
    typical: float
    width: float

    def draw(self, count: int, generator: torch.Generator) -> State:
        """So many mixtures."""
        parameters = self.proposal.draw(count, generator)
        size = torch.full((count,), parameters.means.shape[1], device=parameters.means.device)
        concentration = torch.full_like(parameters.log_weights[:, 0], self.typical)
        away = student(concentration, FREEDOM, generator)
        return State(parameters, size, concentration * (self.width * away).exp())

    def log_density(self, concentration: Float[Tensor, "s"]) -> Float[Tensor, "s"]:
        """Of concentrations, in nats."""
        if not self.width:
            return torch.zeros_like(concentration)
        away = (concentration / self.typical).log() / self.width
        return log_student(away, FREEDOM) - (concentration * self.width).log()


@dataclass(eq=False)
class SizeJumps:
    """Jumps of a batch of chains.

    Attributes:
        hierarchy: the prior.
        sized: proposals of each number of components.
        log_shares: how often each number is proposed, by the number less one; -inf if never.
        waiting: proposals that no chain has had yet, and what they weigh.
        tried: how many jumps there have been.
        taken: how many of them were accepted.
    """

    hierarchy: Hierarchy
    sized: Mapping[int, Sized]
    log_shares: Float[Tensor, "most"]
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
        k = max(state.parameters.means.shape[1], *self.sized)
        here, log_here = joined(family, [state], k), self.log_weights(state)
        for _ in range(TRIES):
            there, log_there = self._next(s, generator)
            uniform = torch.rand(
                s, generator=generator, dtype=log_here.dtype, device=log_here.device
            )
            taken = uniform.log() < log_there - log_here
            self.tried, self.taken = self.tried + s, self.taken + int(taken.sum())
            rows = torch.arange(s, device=taken.device) + s * taken
            here = joined(family, [here, there], k)[rows]
            log_here = torch.where(taken, log_there, log_here)
        return joined(family, [here], int(here.size.max()))

    def log_weights(self, state: State) -> Float[Tensor, "s"]:
        """log p(x, θ, α, k) - log q(θ, α, k) in nats.

        Infinite where a number of components is never proposed: nothing leads away from there.
        """
        found = torch.full_like(state.concentration, math.inf)
        for k in set(state.size.tolist()) & set(self.sized):
            rows = (state.size == k).nonzero()[:, 0]
            some = joined(self.hierarchy.components.family, [state[rows]], k)
            found[rows] = self._log_weights(some, k)
        return found

    def _log_weights(self, state: State, k: int) -> Float[Tensor, "s"]:
        """The same of mixtures of k components."""
        sized, concentration = self.sized[k], self.hierarchy.concentration
        alpha, log_w = state.concentration, state.parameters.log_weights
        typical = torch.full_like(alpha, sized.typical)
        own, known = (
            log_prior_of_weights(self.hierarchy, log_w, state.size, value)
            for value in (alpha, typical)
        )
        log_share = self.hierarchy.log_sizes[k - 1] - self.log_shares[k - 1]
        of_alpha = concentration.log_prior(alpha) - sized.log_density(alpha)
        found = sized.proposal.log_weight(state.parameters) + own - known
        return found + of_alpha + log_share.to(found)

    def _next(self, count: int, generator: torch.Generator) -> tuple[State, Float[Tensor, "s"]]:
        """So many proposals, and what they weigh."""
        if self.waiting is None or len(self.waiting[0]) < count:
            drawn = self.drawn(max(count, AT_ONCE), generator)
            self.waiting = drawn, self.log_weights(drawn)
        states, log_weights = self.waiting
        self.waiting = states[count:], log_weights[count:]
        return states[:count], log_weights[:count]

    def drawn(self, count: int, generator: torch.Generator) -> State:
        """So many proposals, in any order."""
        shares = self.log_shares.exp()
        sizes = 1 + torch.multinomial(shares, count, replacement=True, generator=generator)
        states = [
            sized.draw(int((sizes == k).sum()), generator)
            for k, sized in self.sized.items()
            if (sizes == k).any()
        ]
        together = joined(self.hierarchy.components.family, states, max(self.sized))
        return together[torch.randperm(count, generator=generator, device=sizes.device)]

    def balanced(self, generator: torch.Generator) -> SizeJumps:
        """The same with numbers proposed as often as they weigh, and each now and then."""
        drawn = self.drawn(AT_ONCE * len(self.sized), generator)
        log_weights = self.log_weights(drawn).nan_to_num(nan=-math.inf)
        log_sums = torch.full_like(self.log_shares, -math.inf)
        for k in self.sized:
            log_sums[k - 1] = log_weights[drawn.size == k].logsumexp(0)
        shares = (1 - EVENLY) * log_sums.softmax(0) + EVENLY * self.log_shares.exp()
        return replace(self, log_shares=shares.log(), waiting=None)

    def acceptance(self, generator: torch.Generator) -> float:
        """Share of jumps from draws of the posterior that would be accepted."""
        log_weights = self.log_weights(self.drawn(AT_ONCE, generator)).nan_to_num(nan=-math.inf)
        ratio = log_weights - log_weights[:, None]
        accepted = ratio.nan_to_num(nan=-math.inf).exp().clamp_max(1.0).mean(1)
        return float(log_weights.softmax(0) @ accepted)


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
    seen, sized = Visited.of(hierarchy, visited), {}
    log_masses = torch.full_like(hierarchy.log_sizes, -math.inf)
    for k in range(1, min(MOST, hierarchy.most) + 1):
        chosen = seen.of_size(k, generator)
        if chosen is None:  # there were more of them always
            continue
        typical, width = seen.concentration(k)
        each = float(hierarchy.concentration.of_each(torch.tensor(typical).double(), k))
        growth = _growth(model.of_size(k, each), observations, generator)
        if growth is None:
            break
        found = _grown(growth, chosen)
        sized[k] = Sized(found.proposal, typical, width)
        log_masses[k - 1] = hierarchy.log_sizes[k - 1] + found.evidence
        if log_masses[k - 1] < log_masses.max() - LIKELY:
            break
    if len(sized) < min(2, hierarchy.most):
        return None
    even = torch.full_like(log_masses, -math.inf)
    even[[k - 1 for k in sized]] = -math.log(len(sized))
    jumps = SizeJumps(hierarchy, sized, even).balanced(generator)
    return jumps if jumps.acceptance(generator) >= ACCEPTED else None


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


@dataclass(frozen=True, eq=False)
class Visited:
    """Assignments of chains, which may be of any number of components that is large enough.

    Attributes:
        hierarchy: the prior.
        statistics: of the assignments, filled components first.
        shares: the probability of 1, 2, … components, given each assignment.
        log_concentration: of each.
    """

    hierarchy: Hierarchy
    statistics: Statistics
    shares: Float[Tensor, "s most"]
    log_concentration: Float[Tensor, "s"]

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
        return cls(hierarchy, together, shares, alpha.log())

    def concentration(self, k: int) -> tuple[float, float]:
        """A typical one where there are k components, and how widely they differ."""
        share = self.shares[:, k - 1] / self.shares[:, k - 1].sum()
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
