"""Splits and merges of parameters, with the assignment summed out: what redundant components need.

Two components that share a cluster between them are seldom merged by way of their points, which
could be parted in very many ways. With all assignments summed out they are one component but for a
difference, which hardly changes the likelihood.

A component of weight w and coordinates v becomes two of weights u w and (1 - u) w,

    v_a = v + (1 - u) δ,   v_b = v - u δ,

whose weighted mean it is; a merge is the inverse. The coordinates of a covariance L Lᵀ are log L_ii
and L_ij / L_ii, in which the measure |P|^(-(d + 1) / 2) dP of a Wishart density of precisions is
2^d dv; means differ by L δ. So a split costs w |L| du dδ, and works for all priors and data alike.

Source: Green (1995); Richardson & Green (1997).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...covariance import ConjugateFamily, Parameters
from ...model.hierarchy import Hierarchy
from ...model.normal_wishart import Components
from .state import State, resized_parameters

FREEDOM = 4.0  # of Student's t distributions of differences
WIDTH_OF_MEANS, WIDTH = 1.0, 0.5  # of those
TIMES = 3  # proposals of a step, each of which takes less than a sweep
NOTHING = -math.inf


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Components as vectors: means, and covariances by log L_ii and L_ij / L_ii.

    Attributes:
        means: shape (s, d).
        shape: shape (s, e), with no entries where components share a covariance.
    """

    means: Float[Tensor, "s d"]
    shape: Float[Tensor, "s e"]


@dataclass(frozen=True, eq=False)
class Proposal:
    """A split or a merge of every chain.

    Attributes:
        there: where it leads.
        fits: whether there may be so many components, or so few.
        first: the place of one of the two components, where they are apart.
        second: of the other.
        log_weight: of the two together.
        difference: between them; that of the means in units of the whole's covariance.
        factor: of the covariance of the whole.
    """

    there: State
    fits: Bool[Tensor, "s"]
    first: Int[Tensor, "s"]
    second: Int[Tensor, "s"]
    log_weight: Float[Tensor, "s"]
    difference: Coordinates
    factor: Float[Tensor, "s 1 *event"]

    def or_else(self, chosen: Bool[Tensor, "s"], other: Proposal) -> Proposal:
        """The same in chosen chains, and the other elsewhere, but for where they lead."""
        mine, theirs = self.difference, other.difference
        difference = Coordinates(
            _either(chosen, mine.means, theirs.means), _either(chosen, mine.shape, theirs.shape)
        )
        return replace(
            self,
            first=torch.where(chosen, self.first, other.first),
            second=torch.where(chosen, self.second, other.second),
            log_weight=torch.where(chosen, self.log_weight, other.log_weight),
            difference=difference,
            factor=_either(chosen, self.factor, other.factor),
        )


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
        parameters = resized_parameters(self.family, state.parameters, k + 1)
        here = replace(state, parameters=parameters)
        splits = torch.rand(s, generator=generator, device=generator.device) < 0.5
        split, merge = self._split(here, generator), self._merged(here, generator)
        there = _where(splits, split.there, merge.there)
        cost = self._log_cost(_where(splits, split.there, here), split.or_else(splits, merge))
        log_ratio = torch.where(splits, -cost, cost)
        log_ratio = log_ratio.masked_fill(~torch.where(splits, split.fits, merge.fits), NOTHING)
        after = self.log_likelihood(there.parameters) + self._log_prior(there)
        gain = (after - before + log_ratio).nan_to_num(nan=NOTHING)
        uniform = torch.rand(s, generator=generator, dtype=gain.dtype, device=gain.device)
        taken = uniform.log() < gain
        moved = _where(taken, there, here)
        largest = int(moved.size.max())
        parameters = resized_parameters(self.family, moved.parameters, largest)
        return replace(moved, parameters=parameters), torch.where(taken, after, before)

    # ------------------------------------------------------------------ the two moves

    def _split(self, here: State, generator: torch.Generator) -> Proposal:
        """A component of every chain in two."""
        p = here.parameters
        s = len(here)
        chosen = torch.multinomial(p.log_weights.exp(), 1, generator=generator)[:, 0]
        whole = self._coordinates(p, chosen)
        factor = self._factor(whole, p)
        share = torch.rand(s, generator=generator, dtype=p.means.dtype, device=p.means.device)
        difference = Coordinates(
            WIDTH_OF_MEANS * _student(whole.means, generator),
            WIDTH * _student(whole.shape, generator),
        )
        first, second = self._parted(whole, share, difference, factor)
        log_w = _at(p.log_weights, chosen)
        there = self._placed(here, chosen, first, log_w + share.log())
        there = self._placed(there, here.size, second, log_w + (-share).log1p())
        fits = here.size < self.hierarchy.most
        there = replace(there, size=here.size + 1)
        return Proposal(there, fits, chosen, here.size, log_w, difference, factor)

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
        one, other = self._coordinates(p, first), self._coordinates(p, second)
        log_w = torch.logaddexp(_at(p.log_weights, first), _at(p.log_weights, second))
        share = (_at(p.log_weights, first) - log_w).exp()
        shape = share[:, None] * one.shape + (1 - share)[:, None] * other.shape
        means = share[:, None] * one.means + (1 - share)[:, None] * other.means
        whole = Coordinates(means, shape)
        away, factor = (one.means - other.means)[:, None, None], self._factor(whole, p)
        apart = self.family.whiten(factor, away)[:, 0, 0]
        difference = Coordinates(apart, one.shape - other.shape)
        there = self._placed(here, first, whole, log_w)
        last = here.size - 1  # goes where the second one was, unless that or the first is the last
        moved = self._coordinates(there.parameters, last)
        there = self._placed(there, second, moved, _at(there.parameters.log_weights, last))
        nothing = torch.full_like(log_w, NOTHING)
        log_weights = there.parameters.log_weights.scatter(1, last[:, None], nothing[:, None])
        there = replace(
            there, size=last, parameters=replace(there.parameters, log_weights=log_weights)
        )
        return Proposal(there, fits, first, second, log_w, difference, factor)

    def _log_cost(self, apart: State, move: Proposal) -> Float[Tensor, "s"]:
        """Log density of the split that leads apart, over the probability of the merge back.

        With k + 1 components apart, one of k is split by its weight, and its parts may have either
        number; sets of components without numbers are as many as (k + 1)! and k!.
        """
        rows = torch.arange(len(apart), device=move.first.device)
        closeness, k1 = self._closeness(apart), apart.size.to(move.log_weight)
        shares = closeness / closeness.sum(2, keepdim=True)
        pair = shares[rows, move.first, move.second] + shares[rows, move.second, move.first]
        difference, d = move.difference, apart.parameters.means.shape[-1]
        log_density = _log_student(difference.means, WIDTH_OF_MEANS)
        log_density = log_density + _log_student(difference.shape, WIDTH)
        log_split = move.log_weight + math.log(2) + log_density
        log_merge = pair.log() - k1.log()
        volume = move.log_weight + self.family.log_determinant(move.factor, d)[:, 0]
        return log_split - log_merge - volume - k1.log()

    # ------------------------------------------------------------------ densities

    def _log_prior(self, state: State) -> Float[Tensor, "s"]:
        """Log prior density of k numbered components, in the coordinates of the moves."""
        hierarchy, p, k = self.hierarchy, state.parameters, state.size.to(state.concentration)
        exists = p.log_weights.isfinite()
        gamma = hierarchy.concentration.of_each(state.concentration, state.size)
        log_w = p.log_weights.where(exists, 0.0).sum(1)
        found = (gamma * k).lgamma() - k * gamma.lgamma() + (gamma - 1) * log_w
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

    # ------------------------------------------------------------------ coordinates

    def _coordinates(self, p: Parameters, place: Int[Tensor, "s"]) -> Coordinates:
        """Those of one component of every chain."""
        means = _at(p.means, place)
        if self.family.tied:
            return Coordinates(means, means[:, :0])
        factor = _at(p.factor, place)
        if not self.family.is_matrix:
            return Coordinates(means, factor.log())
        scale = factor.diagonal(dim1=-2, dim2=-1)
        ratios = factor / scale[..., None]
        below = torch.tril_indices(means.shape[1], means.shape[1], -1, device=factor.device)
        return Coordinates(means, torch.cat([scale.log(), ratios[:, below[0], below[1]]], 1))

    def _factor(self, found: Coordinates, like: Parameters) -> Float[Tensor, "s 1 *event"]:
        """The factor of a covariance of these coordinates, or the one that all share."""
        if self.family.tied:
            return like.factor
        if not self.family.is_matrix:
            return found.shape.exp()[:, None]
        d = found.means.shape[1]
        ratios = torch.eye(d).to(found.shape).repeat(len(found.shape), 1, 1)
        below = torch.tril_indices(d, d, -1, device=found.shape.device)
        ratios[:, below[0], below[1]] = found.shape[:, d:]
        return (found.shape[:, :d].exp()[..., None] * ratios)[:, None]

    def _parted(
        self,
        whole: Coordinates,
        share: Float[Tensor, "s"],
        difference: Coordinates,
        factor: Float[Tensor, "s 1 *event"],
    ) -> tuple[Coordinates, Coordinates]:
        """Two components in the place of one."""
        d = whole.means.shape[1]
        tril = self.family.scale_tril(factor, d)[:, 0]
        away = (tril @ difference.means[..., None])[..., 0]

        def moved(by: Float[Tensor, "s"]) -> Coordinates:
            by = by[:, None]
            return Coordinates(whole.means + by * away, whole.shape + by * difference.shape)

        return moved(1 - share), moved(-share)

    def _placed(
        self,
        state: State,
        place: Int[Tensor, "s"],
        found: Coordinates,
        log_weight: Float[Tensor, "s"],
    ) -> State:
        """The state with one component of every chain replaced."""
        p, rows = state.parameters, torch.arange(len(place), device=place.device)
        factor = p.factor
        if not self.family.tied:
            factor = factor.index_put((rows, place), self._factor(found, p)[:, 0])
        parameters = replace(
            p,
            log_weights=p.log_weights.index_put((rows, place), log_weight),
            means=p.means.index_put((rows, place), found.means),
            factor=factor,
        )
        return replace(state, parameters=parameters)


def _at(values: Float[Tensor, "s k *value"], place: Int[Tensor, "s"]) -> Float[Tensor, "s *value"]:
    return values[torch.arange(len(place), device=place.device), place]


def _where(chosen: Bool[Tensor, "s"], one: State, other: State) -> State:
    """The one in chosen chains."""
    p, q = one.parameters, other.parameters
    parameters = replace(
        q,
        log_weights=_either(chosen, p.log_weights, q.log_weights),
        means=_either(chosen, p.means, q.means),
        factor=_either(chosen, p.factor, q.factor),
    )
    return replace(other, parameters=parameters, size=_either(chosen, one.size, other.size))


def _either(chosen: Bool[Tensor, "s"], one: Tensor, other: Tensor) -> Tensor:
    """Rows of the one where they are chosen, else of the other."""
    return torch.where(chosen.view(-1, *(1,) * (one.ndim - 1)), one, other)


def _student(like: Float[Tensor, "s e"], generator: torch.Generator) -> Float[Tensor, "s e"]:
    """Independent draws from Student's t distribution, as many as there are of something else."""
    normal = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    half = torch.full_like(like, 0.5 * FREEDOM)
    return normal / (torch._standard_gamma(half, generator) / (0.5 * FREEDOM)).sqrt()


def _log_student(value: Float[Tensor, "s e"], width: float) -> Float[Tensor, "s"]:
    """Log density in nats of entries of this width, together."""
    constant = math.lgamma(0.5 * (FREEDOM + 1)) - math.lgamma(0.5 * FREEDOM)
    constant -= 0.5 * math.log(FREEDOM * math.pi) + math.log(width)
    power = 0.5 * (FREEDOM + 1)
    return (constant - power * (value / width).square().div(FREEDOM).log1p()).sum(1)
