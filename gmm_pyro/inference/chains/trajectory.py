"""One transition of the no-U-turn sampler, for a batch of chains in lockstep.

A trajectory doubles, forwards or backwards at random, until it turns; a point of it is drawn by its
weight. All chains double at the same time, so that a leapfrog step of all is one evaluation of the
log density, whatever their number. Positions are in coordinates whose metric is the identity.

Source: Hoffman & Gelman (2014); Betancourt (2017) for multinomial weights and the criterion; Phan,
Pradhan & Jankowiak (2019) for trees without recursion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

DIVERGENT = 1000.0  # nats of energy that a leapfrog step may gain

LogDensityAndGradient = Callable[[Float[Tensor, "s m"], Int[Tensor, "s k"]], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Point:
    """Positions and momenta of s chains, with the log density and its gradient there.

    The order of a chain's components is what the density is told beside; it stays as it is.
    """

    position: Float[Tensor, "s m"]
    momentum: Float[Tensor, "s m"]
    log_density: Float[Tensor, "s"]
    gradient: Float[Tensor, "s m"]
    order: Int[Tensor, "s k"]

    @property
    def energy(self) -> Float[Tensor, "s"]:
        """Minus the log density of position and momentum, in nats."""
        return 0.5 * self.momentum.square().sum(1) - self.log_density

    def __getitem__(self, chains: Tensor) -> Point:
        """The chosen chains."""
        return Point(*(getattr(self, f.name)[chains] for f in fields(self)))

    def where(self, chosen: Bool[Tensor, "s"], other: Point) -> Point:
        """These points where they are chosen, else the others."""
        return Point(
            *(_where(chosen, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        )


@dataclass(frozen=True, eq=False)
class Tree:
    """Trajectories of s chains, or a part that they are being doubled by.

    Attributes:
        left: their last points backwards; of a part, the last point in its direction.
        right: their last points forwards; of a part, the same as `left`.
        proposal: a point of each, drawn by its weight.
        log_weight: logarithm of the sum of the weights exp(-energy), relative to the start.
        momentum: sum of the momenta.
        acceptance: sum over the points of the probability to accept each from the start.
        leaves: number of points.
        stopped: whether a trajectory has turned, or diverged.
        diverging: whether it has diverged.
    """

    left: Point
    right: Point
    proposal: Point
    log_weight: Float[Tensor, "s"]
    momentum: Float[Tensor, "s m"]
    acceptance: Float[Tensor, "s"]
    leaves: Int[Tensor, "s"]
    stopped: Bool[Tensor, "s"]
    diverging: Bool[Tensor, "s"]

    def __getitem__(self, chains: Tensor) -> Tree:
        """The chosen chains."""
        return Tree(*(getattr(self, f.name)[chains] for f in fields(self)))

    def updated(self, chains: Int[Tensor, "a"], other: Tree) -> Tree:
        """These trees with those of some chains replaced."""
        if len(chains) == len(self.stopped):
            return other
        chosen = torch.zeros_like(self.stopped)
        chosen[chains] = True
        place = (chosen.cumsum(0) - 1).clamp_min(0)  # of each chain among the chosen ones
        spread = other[place]
        parts: list[Any] = []
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(spread, f.name)
            is_point = isinstance(mine, Point)
            parts.append(theirs.where(chosen, mine) if is_point else _where(chosen, theirs, mine))
        return Tree(*parts)


@dataclass(frozen=True, eq=False)
class Transition:
    """Where a transition led to, and what it took.

    Attributes:
        point: the new points.
        energy: of the point that was drawn, with its momentum, in nats.
        acceptance: mean probability to accept a point of the trajectory, which adapts the step.
        depth: doublings.
        steps: leapfrog steps.
        diverging: whether the trajectory diverged.
    """

    point: Point
    energy: Float[Tensor, "s"]
    acceptance: Float[Tensor, "s"]
    depth: Int[Tensor, "s"]
    steps: Int[Tensor, "s"]
    diverging: Bool[Tensor, "s"]


@dataclass(frozen=True, eq=False)
class NoUTurn:
    """The sampler at one step size.

    Attributes:
        function: log density of a batch of positions, with their orders, and its gradient.
        step: step size.
        max_depth: most doublings of a trajectory.
        generator: source of randomness.
    """

    function: LogDensityAndGradient
    step: float
    max_depth: int
    generator: torch.Generator

    def at(self, position: Float[Tensor, "s m"], order: Int[Tensor, "s k"] | None = None) -> Point:
        """Points at rest."""
        order = position.new_zeros(len(position), 0).long() if order is None else order
        value, gradient = self.function(position, order)
        return Point(position, torch.zeros_like(position), value, gradient, order)

    def transition(self, start: Point) -> Transition:
        """One draw for each chain."""
        start = replace(start, momentum=self._normal(start.position))
        tree = _leaf(start, start.energy)
        depth = torch.zeros_like(tree.leaves)
        for doubling in range(self.max_depth):
            alive = (~tree.stopped).nonzero()[:, 0]
            if len(alive) == 0:
                break
            grown = self._doubled(tree[alive], start.energy[alive], doubling)
            tree = tree.updated(alive, grown)
            depth[alive] += 1
        steps = (tree.leaves - 1).clamp_min(1)
        acceptance = (tree.acceptance - 1) / steps  # the start is no proposal
        drawn = tree.proposal
        return Transition(drawn, drawn.energy, acceptance, depth, steps, tree.diverging)

    def _doubled(self, tree: Tree, energy: Float[Tensor, "s"], doubling: int) -> Tree:
        """The tree and as many points again, beyond one of its ends."""
        forwards = self._uniform(energy) < 0.5
        sign = torch.where(forwards, 1.0, -1.0).to(energy)
        part = self._subtree(tree.right.where(forwards, tree.left), sign, energy, 2**doubling)
        both = Tree(
            left=tree.left.where(forwards, part.left),
            right=part.right.where(forwards, tree.right),
            proposal=self._chosen(tree, part, part.log_weight - tree.log_weight, ~part.stopped),
            log_weight=torch.logaddexp(tree.log_weight, part.log_weight),
            momentum=tree.momentum + part.momentum,
            acceptance=tree.acceptance + part.acceptance,
            leaves=tree.leaves + part.leaves,
            stopped=part.stopped,
            diverging=part.diverging,
        )
        turned = _turns(both.left.momentum, both.right.momentum, both.momentum)
        return replace(both, stopped=part.stopped | turned)

    def _subtree(
        self, end: Point, sign: Float[Tensor, "s"], energy: Float[Tensor, "s"], leaves: int
    ) -> Tree:
        """A balanced tree of points that begins beside `end`.

        Every balanced part of it has to go straight on: `path` holds, for the parts that are open,
        the momentum of the first point and the sum of all momenta up to it.
        """
        end = self._leapfrog(end, sign)
        tree = _leaf(end, energy)
        path = [(end.momentum, tree.momentum)]
        for number in range(1, leaves):
            if bool(tree.stopped.all()):
                break
            end = self._leapfrog(end, torch.where(tree.stopped, 0.0, sign))
            tree = self._extended(tree, _leaf(end, energy))
            if number % 2 == 0:
                path.append((end.momentum, tree.momentum))
            else:
                tree = replace(tree, stopped=tree.stopped | _any_turns(path, end, tree, number))
        return tree

    def _extended(self, tree: Tree, leaf: Tree) -> Tree:
        """A part and one more point, which is proposed by its share of the weight.

        Nothing is drawn from a part that has stopped, so only what is counted stops with it.
        """
        going, log_weight = ~tree.stopped, torch.logaddexp(tree.log_weight, leaf.log_weight)
        return Tree(
            left=leaf.left,
            right=leaf.right,
            proposal=self._chosen(tree, leaf, leaf.log_weight - log_weight, going),
            log_weight=log_weight,
            momentum=tree.momentum + leaf.momentum,
            acceptance=tree.acceptance + leaf.acceptance * going,
            leaves=tree.leaves + going,
            stopped=tree.stopped | leaf.stopped,
            diverging=tree.diverging | (leaf.diverging & going),
        )

    def _chosen(
        self, tree: Tree, part: Tree, log_odds: Float[Tensor, "s"], allowed: Bool[Tensor, "s"]
    ) -> Point:
        taken = (self._uniform(log_odds).log() < log_odds) & allowed
        return part.proposal.where(taken, tree.proposal)

    def _leapfrog(self, point: Point, sign: Float[Tensor, "s"]) -> Point:
        step = (self.step * sign)[:, None]
        momentum = point.momentum + 0.5 * step * point.gradient
        position = point.position + step * momentum
        value, gradient = self.function(position, point.order)
        return Point(position, momentum + 0.5 * step * gradient, value, gradient, point.order)

    def _normal(self, like: Tensor) -> Tensor:
        return torch.randn(
            like.shape, generator=self.generator, dtype=like.dtype, device=like.device
        )

    def _uniform(self, like: Tensor) -> Tensor:
        return torch.rand(
            like.shape, generator=self.generator, dtype=like.dtype, device=like.device
        )


def _leaf(point: Point, energy: Float[Tensor, "s"]) -> Tree:
    """A trajectory of one point, weighed against the energy at the start."""
    gain = (energy - point.energy).nan_to_num(nan=-torch.inf, posinf=-torch.inf)
    diverging = gain < -DIVERGENT
    return Tree(
        left=point,
        right=point,
        proposal=point,
        log_weight=gain,
        momentum=point.momentum,
        acceptance=gain.clamp_max(0).exp(),
        leaves=torch.ones_like(gain, dtype=torch.int64),
        stopped=diverging,
        diverging=diverging,
    )


def _any_turns(path: list[tuple[Tensor, Tensor]], end: Point, tree: Tree, number: int) -> Tensor:
    """Whether a balanced part that ends at the leaf of this number turns; closed ones are dropped.

    A part ends there for every binary digit 1 at the end of the number.
    """
    turned = torch.zeros_like(tree.stopped)
    closing = number
    while closing % 2:
        first, before = path[-1]
        turned |= _turns(first, end.momentum, tree.momentum - before + first)
        closing //= 2
        if closing % 2:
            path.pop()
    return turned


def _turns(
    first: Float[Tensor, "s m"], last: Float[Tensor, "s m"], total: Float[Tensor, "s m"]
) -> Bool[Tensor, "s"]:
    """Whether going on would bring the ends closer (Betancourt 2017, with trapezoidal sums)."""
    inner = total - 0.5 * (first + last)
    return ((first * inner).sum(1) <= 0) | ((last * inner).sum(1) <= 0)


def _where(chosen: Bool[Tensor, "s"], mine: Tensor, theirs: Tensor) -> Tensor:
    return torch.where(chosen if mine.ndim == 1 else chosen[:, None], mine, theirs)
