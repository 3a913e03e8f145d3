"""Splits and merges of parameters, with the assignment summed out: what redundant components need.

Two components that share a cluster between them are seldom merged by way of their points, which
could be parted in very many ways. With all assignments summed out they are one component but for a
difference, which hardly changes the likelihood. `halves.py` says how one becomes two.

Source: Green (1995); Richardson & Green (1997).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...covariance import ConjugateFamily, Parameters
from ...model.hierarchy import Hierarchy
from ...model.normal_wishart import Components
from .halves import Component, Difference, Halves
from .state import State, resized_parameters

TIMES = 3  # proposals of a step, each of which takes less than a sweep
NOTHING = -math.inf


@dataclass(frozen=True, eq=False)
class Proposal:
    """A split or a merge of every chain.

    Attributes:
        there: where it leads.
        fits: whether there may be so many components, or so few.
        first: the place of one of the two components, where they are apart.
        second: of the other.
        whole: the one component that they are together.
        how: they differ.
    """

    there: State
    fits: Bool[Tensor, "s"]
    first: Int[Tensor, "s"]
    second: Int[Tensor, "s"]
    whole: Component
    how: Difference


@dataclass(frozen=True, eq=False)
class Reversible:
    """Splits and merges of a batch of chains.

    Attributes:
        hierarchy: the prior.
        log_likelihood: of s sets of parameters, in nats.
    """

    hierarchy: Hierarchy
    log_likelihood: Callable[[Parameters], Float[Tensor, "s"]]

    @property
    def family(self) -> ConjugateFamily:
        """The covariance family."""
        return self.hierarchy.components.family

    @property
    def halves(self) -> Halves:
        """How a component becomes two."""
        return Halves(self.family)

    def moved(self, state: State, generator: torch.Generator, times: int = TIMES) -> State:
        """The state after every chain has been proposed so many splits or merges."""
        before = self.log_likelihood(state.parameters) + self._log_prior(state)
        for _ in range(times):
            state, before = self._once(state, before, generator)
        return state

    def _once(
        self, state: State, before: Float[Tensor, "s"], generator: torch.Generator
    ) -> tuple[State, Float[Tensor, "s"]]:
        """The state after one proposal, and its log posterior density but for a constant."""
        s, k = state.parameters.log_weights.shape
        here = replace(state, parameters=resized_parameters(self.family, state.parameters, k + 1))
        splits = torch.rand(s, generator=generator, device=generator.device) < 0.5
        found = _where(splits, self._split(here, generator), self._merged(here, generator))
        cost = self._log_cost(_where(splits, found.there, here), found)
        after = self.log_likelihood(found.there.parameters) + self._log_prior(found.there)
        gain = (after - before + torch.where(splits, -cost, cost)).nan_to_num(nan=NOTHING)
        uniform = torch.rand(s, generator=generator, dtype=gain.dtype, device=gain.device)
        taken = found.fits & (uniform.log() < gain)
        moved = _where(taken, found.there, here)
        largest = int(moved.size.max())
        parameters = resized_parameters(self.family, moved.parameters, largest)
        return replace(moved, parameters=parameters), torch.where(taken, after, before)

    # ------------------------------------------------------------------ the two moves

    def _split(self, here: State, generator: torch.Generator) -> Proposal:
        """A component of every chain in two."""
        p = here.parameters
        chosen = torch.multinomial(p.log_weights.exp(), 1, generator=generator)[:, 0]
        whole = Component.of(p, chosen, self.family)
        how = self.halves.drawn(whole, generator)
        first, second = self.halves.parted(whole, how)
        there = self._placed(self._placed(here, chosen, first), here.size, second)
        there = replace(there, size=here.size + 1)
        return Proposal(there, here.size < self.hierarchy.most, chosen, here.size, whole, how)

    def _merged(self, here: State, generator: torch.Generator) -> Proposal:
        """Two components of every chain in one."""
        p = here.parameters
        closeness, exists = self._closeness(here), torch.isfinite(p.log_weights)
        fits = here.size > 1
        uniform = exists.to(closeness)
        first = torch.multinomial(uniform, 1, generator=generator)[:, 0]
        row = closeness[torch.arange(len(here), device=first.device), first]
        row = torch.where(fits[:, None], row, uniform)  # a single one has no other
        second = torch.multinomial(row, 1, generator=generator)[:, 0]
        one, other = (Component.of(p, place, self.family) for place in (first, second))
        whole, how = self.halves.joined(one, other)
        there = self._without(self._placed(here, first, whole), second)
        return Proposal(there, fits, first, second, whole, how)

    def _log_cost(self, apart: State, move: Proposal) -> Float[Tensor, "s"]:
        """Log density of the split that leads apart, over the probability of the merge back.

        With k + 1 components apart, one of k is split by its weight, and its parts may have either
        number; sets of components without numbers are as many as (k + 1)! and k!.
        """
        rows = torch.arange(len(apart), device=move.first.device)
        closeness = self._closeness(apart)
        shares = closeness / closeness.sum(2, keepdim=True)
        back = shares[rows, move.first, move.second] + shares[rows, move.second, move.first]
        log_split = move.whole.log_weight + math.log(2) + self.halves.log_density(move.how)
        return log_split - back.log() - self.halves.log_volume(move.whole, move.how)

    # ------------------------------------------------------------------ densities

    def _log_prior(self, state: State) -> Float[Tensor, "s"]:
        """Log prior density of k numbered components, in the coordinates of the moves."""
        hierarchy, p = self.hierarchy, state.parameters
        exists = p.log_weights.isfinite()
        found = hierarchy.log_prior_of_weights(p.log_weights, state.size, state.concentration)
        found = found + hierarchy.log_sizes[(state.size - 1).clamp(0, hierarchy.most - 1)]
        each = hierarchy.given(state.scale).log_density(Components(p.means, p.factor))
        entries = 0 if self.family.tied else self.family.event_shape(p.means.shape[-1])[0]
        each = each + entries * math.log(2)
        return found + each.where(exists, 0.0).sum(1)

    def _closeness(self, state: State) -> Float[Tensor, "s k k"]:
        """How much two components are in each other's way, from 0 to 1; 0 of one with itself."""
        p = state.parameters
        d = p.means.shape[-1]
        variance = self.family.deviations(p.factor, d).square().expand_as(p.means)
        away = (p.means[:, :, None] - p.means[:, None]).square()
        distance = (away / (variance[:, :, None] + variance[:, None])).sum(-1)
        exists = p.log_weights.isfinite()
        pairs = exists[:, :, None] & exists[:, None]
        found = (1 + distance).reciprocal().where(pairs, 0.0)
        eye = torch.eye(found.shape[1], dtype=torch.bool, device=found.device)
        return found.masked_fill(eye, 0.0)

    # ------------------------------------------------------------------ small parts

    def _placed(self, state: State, place: Int[Tensor, "s"], found: Component) -> State:
        """The state with one component of every chain replaced."""
        p, rows = state.parameters, torch.arange(len(place), device=place.device)
        factor = p.factor
        if not self.family.tied:
            factor = factor.index_put((rows, place), found.factor)
        parameters = replace(
            p,
            log_weights=p.log_weights.index_put((rows, place), found.log_weight),
            means=p.means.index_put((rows, place), found.mean),
            factor=factor,
        )
        return replace(state, parameters=parameters)

    def _without(self, state: State, place: Int[Tensor, "s"]) -> State:
        """The state without one component of every chain, whose place the last one takes."""
        last = state.size - 1
        moved = self._placed(state, place, Component.of(state.parameters, last, self.family))
        p = moved.parameters
        log_weights = p.log_weights.scatter(1, last[:, None], NOTHING)
        return replace(moved, size=last, parameters=replace(p, log_weights=log_weights))


def _where(chosen: Bool[Tensor, "s"], one: Any, other: Any) -> Any:
    """Records of the one in chosen chains, else of the other."""
    if isinstance(one, Tensor):
        return torch.where(chosen.view(-1, *(1,) * (one.ndim - 1)), one, other)
    if one is None:
        return None
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return type(one)(*(_where(chosen, *pair) for pair in pairs))
