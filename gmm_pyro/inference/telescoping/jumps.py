"""Jumps between mixtures of any sizes, or of one: by the rule of Metropolis & Hastings.

For every number of components that is worth it there is a proposal, the average over assignments
that chains have visited, each known up to no constant: so that one of all numbers is, too, in which
each has the share that it weighs. The assignment of a chain is integrated out. A concentration that
is random is proposed with the number: many components have points only where it is large. A scale
that is random is integrated out, too, and drawn anew given the covariances.

A chain with more components than there are proposals for does not jump before sweeps have led it to
fewer, as they do where components have no points.

Source: Tierney (1994), §2.3.3; Lee & Robert (2016) for the proposal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...model.hierarchy import Hierarchy
from ..chains.jumps import AT_ONCE
from ..weighing.proposal import Proposal
from .halves import log_student, student
from .state import State, joined

TRIES = 2  # of a chain to jump in a step, at least
FREEDOM = 4.0  # of Student's t distribution of log concentrations
EVENLY = 0.05  # share of the proposals in which each number is as frequent as any other


@dataclass(frozen=True, eq=False)
class Sized:
    """The proposal of a number of components.

    Attributes:
        proposal: of the parameters, given a typical concentration and scale.
        typical: that concentration.
        width: scale of Student's t distribution of the logarithm of concentrations about it; 0
            where the concentration is known.
        scale: the typical one of the precisions, in compact form.
    """

    proposal: Proposal
    typical: float
    width: float
    scale: Float[Tensor, "*event"]

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
        settled: whether the search for modes that they were learnt by has come to an end.
        tries: of a chain to jump in a step.
        waiting: proposals that no chain has had yet, and what they weigh.
        tried: how many jumps there have been.
        taken: how many of them were accepted.
    """

    hierarchy: Hierarchy
    sized: Mapping[int, Sized]
    log_shares: Float[Tensor, "most"]
    settled: bool = True
    tries: int = TRIES
    waiting: tuple[State, Float[Tensor, "s"]] | None = None
    tried: int = 0
    taken: int = 0

    @classmethod
    def evenly(cls, hierarchy: Hierarchy, sized: Mapping[int, Sized]) -> SizeJumps:
        """Those that propose all numbers as often."""
        log_shares = torch.full_like(hierarchy.log_sizes, -math.inf)
        log_shares[[k - 1 for k in sized]] = -math.log(len(sized))
        return cls(hierarchy, sized, log_shares)

    @property
    def kept(self) -> tuple[Any, ...]:
        """What changes as they go on, for a loop to keep."""
        return self.tried, self.taken, self.waiting

    def go_on_from(self, kept: tuple[Any, ...]) -> None:
        """Go on as from where this was kept."""
        self.tried, self.taken, self.waiting = kept

    @property
    def rate(self) -> float:
        """Share of jumps that were accepted."""
        return self.taken / max(1, self.tried)

    def jumped(self, state: State, generator: torch.Generator) -> State:
        """Where each of s chains has come to."""
        family, s = self.hierarchy.components.family, len(state)
        k = max(state.parameters.means.shape[1], *self.sized)
        here, log_here = joined(family, [replace(state, scale=None)], k), self.log_weights(state)
        for _ in range(self.tries):
            there, log_there = self._next(s, generator)
            uniform = torch.rand(
                s, generator=generator, dtype=log_here.dtype, device=log_here.device
            )
            taken = uniform.log() < log_there - log_here
            self.tried, self.taken = self.tried + s, self.taken + int(taken.sum())
            rows = torch.arange(s, device=taken.device) + s * taken
            here = joined(family, [here, there], k)[rows]
            log_here = torch.where(taken, log_there, log_here)
        return self._scaled(joined(family, [here], int(here.size.max())), generator)

    def _scaled(self, state: State, generator: torch.Generator) -> State:
        """The same with scales drawn given all covariances, where they are random."""
        p = state.parameters
        there = torch.arange(p.means.shape[1], device=state.size.device) < state.size[:, None]
        given = self.hierarchy.scale_given(p.factor, there)
        return state if given is None else replace(state, scale=given.draw_each(generator))

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
            self.hierarchy.log_prior_of_weights(log_w, state.size, value)
            for value in (alpha, typical)
        )
        log_share = self.hierarchy.log_sizes[k - 1] - self.log_shares[k - 1]
        of_alpha = concentration.log_prior(alpha) - sized.log_density(alpha)
        of_scale = self.hierarchy.log_over(state.parameters.factor, sized.scale)
        found = sized.proposal.log_weight(state.parameters) + own - known
        return found + of_alpha + of_scale + log_share.to(found)

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
