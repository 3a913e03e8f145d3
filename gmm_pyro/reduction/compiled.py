"""The reduction over the features as compiled loops: the sums of `Features`, a call a block.

`loops/` is what numba compiles, and is imported when the first such kernel is made. A call works
without the interpreter's lock, so that threads do not wait for each other between the steps of a
chunk; what is known of some points stays in cache until their moments are taken. The loops know an
assignment by a number; those that they do not know go to torch's kernels, as `Recipe.of` says.

Products are in the type of the points, and added up over some hundred points in float64. How many
threads there are changes nothing: blocks are cut by sizes alone.
"""

from __future__ import annotations

import copy
import functools
import math
import threading
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..covariance import CovarianceFamily, Statistics
from ..data.points import Block, Points
from ..data.spread import chunks
from ..running.threads import Sums
from .assignments import (
    Assignment,
    Drawn,
    Given,
    GivenLabels,
    Weighted,
    argmax,
    chain_states,
    softmax,
)
from .background import Background
from .barred import Barred
from .decision import operations
from .kernels import BLOCKS
from .shared import shared_term
from .theta import Theta

GROUP_BYTES = 256 << 10  # what is known of a group of panels, for which a core's cache has room
FEWEST, MOST = 8, 64  # panels in a group, at the end of which moments are taken
BLOCK_WORK = 1e7  # operations of a block at least: some tenths of a millisecond
CALL_WORK = 5e8  # operations of a call at most: an interrupt waits for its end

_held = threading.local()  # where a thread's last kernel has worked


@dataclass(frozen=True, eq=False)
class Recipe:
    """An assignment as the loops have it.

    Attributes:
        mode: its number.
        seeds: of each set's draws.
        labels: components that are taken, or written.
        shares: responsibilities that are taken.
        each: weights of every set.
    """

    mode: int
    seeds: Int[Tensor, "s"] | None = None
    labels: Int[Tensor, "s n"] | None = None
    shares: Float[Tensor, "s k n"] | None = None
    each: Float[Tensor, "s n"] | None = None

    @classmethod
    def of(cls, assign: Assignment, sets: int) -> Recipe | None:
        """Of an assignment of s sets, or None if the loops do not know it."""
        from .loops import chunk

        if assign is softmax or assign is argmax:
            return cls(chunk.SOFTMAX if assign is softmax else chunk.ARGMAX)
        match assign:
            case Drawn(seed, labels):
                return cls(chunk.DRAWN, chain_states(seed, range(sets)), labels)
            case GivenLabels(labels):
                return cls(chunk.LABELS, labels=labels)
            case Given(shares):
                return cls(chunk.SHARES, shares=shares)
            case Weighted(inner, weight):
                found = cls.of(inner, sets)
                return None if found is None else replace(found, each=weight)
        return None


@dataclass(frozen=True, eq=False)
class Form:
    """The quadratic features of a family, as the loops form them.

    Attributes:
        number: of the form.
        count: how many there are.
        first: for each of them one of the family's features that is the same.
        of_family: for each of the family's features the one that is the same.
    """

    number: int
    count: int
    first: Int[Tensor, "q"]
    of_family: Int[Tensor, "r"]

    @classmethod
    @functools.lru_cache(maxsize=64)
    def of(cls, family: CovarianceFamily, d: int) -> Form:
        """Of a family in d dimensions."""
        from .loops import chunk

        nothing = torch.zeros(0, dtype=torch.int64)
        if not family.n_own_features(d):
            return cls(chunk.NOTHING, 0, nothing, nothing)
        pairs = family.feature_pairs(d)
        if pairs is None:
            one = torch.zeros(1, dtype=torch.int64)
            return cls(chunk.LENGTH, 1, one, one)
        ordered = [(min(pair), max(pair)) for pair in pairs]
        known = sorted(set(ordered))
        place = {pair: i for i, pair in enumerate(known)}
        number = chunk.PAIRS if any(i < j for i, j in known) else chunk.SQUARES
        first = torch.tensor([pairs.index(pair) for pair in known])
        return cls(number, len(known), first, torch.tensor([place[pair] for pair in ordered]))


@dataclass(frozen=True)
class Plan:
    """How a reduction is cut up.

    Attributes:
        points: of a panel.
        group: panels whose moments are taken together.
        width: rows of Θ of all sets, filled up to whole lanes.
        work: numbers that a thread works with.
        block: rows of the data, of a block at least.
        call: rows of the data, of a call at most.
    """

    points: int
    group: int
    width: int
    work: int
    block: int
    call: int

    @classmethod
    @functools.lru_cache(maxsize=256)
    def of(cls, features: int, sets: int, k: int, size: int) -> Plan:
        """For s sets of k rows of Θ, in numbers of so many bytes."""
        from .loops.lanes import BITS
        from .loops.products import WIDEST

        lanes, rows = BITS // (8 * size), sets * k
        points, width = WIDEST * lanes, math.ceil(rows / lanes) * lanes
        held = features + rows + width + 4 * sets  # numbers that are known of a point
        group = min(MOST, max(FEWEST, GROUP_BYTES // (size * points * held)))
        a_point = operations(features, rows)
        whole = group * points

        def of_work(wanted: float) -> int:
            return whole * max(1, int(wanted / a_point / whole))

        room = group * points * held + features * width
        return cls(points, group, width, room, of_work(BLOCK_WORK), of_work(CALL_WORK))


class Compiled:
    """A reduction over points that are known as they are, under one assignment."""

    work: Any  # where a thread works, from `fresh` on

    def __init__(self, theta: Theta, points: Points, recipe: Recipe) -> None:
        from .loops.entry import entry

        self.theta, self.points, self.recipe = theta, points, recipe
        self.run = entry(points.dtype)
        self.sets, k = theta.parameters.log_weights.shape
        self.background = Background.of(points, theta, points.x)
        self.form = Form.of(theta.family, points.d)
        self.k, self.features = k + (self.background is not None), 1 + points.d + self.form.count
        self.plan = Plan.of(self.features, self.sets, self.k, points.x.element_size())
        self.arguments = self._arguments(Barred.of(points, k, points.x))

    def fresh(self) -> Self:
        """The same with a place to work of its own, for one thread."""
        own = copy.copy(self)
        key = self.plan.work, self.points.dtype
        if getattr(_held, "key", None) != key:
            _held.key, _held.work = key, torch.zeros(key[0], dtype=key[1]).numpy()
        own.work = _held.work
        return own

    def blocks(self) -> list[Block]:
        """All points, in units of work for threads."""
        return self.points.blocks(self.plan.block, BLOCKS)

    def sums(self, block: Block, assign: Assignment) -> Sums:
        """Sums of a block of rows under the assignment that the recipe is of."""
        totals = np.zeros(self.sets + self.features * self.plan.width)
        for some in chunks(len(block.x), self.plan.call):
            x = block.x[some].numpy()
            self.run(x, block.first + some.start, *self.arguments, self.work, totals)
        return (torch.from_numpy(totals),)

    def summed(self, sums: Sums) -> Statistics:
        """The statistics that what `sums` gives stands for, added up over all blocks."""
        (totals,), family, d = sums, self.theta.family, self.points.d
        log_norm, moments = totals[: self.sets], totals[self.sets :].view(self.features, -1)
        moments = moments[:, : self.sets * self.k].T.unflatten(0, (self.sets, self.k))
        noise = None
        if self.background is not None:
            noise, moments = moments[:, -1, 0], moments[:, :-1]
        counts, first = moments[..., 0], moments[..., 1 : 1 + d]
        if self.form.count:
            second = family.unpack(moments[..., 1 + d + self.form.of_family], d)
        else:
            second, shared = shared_term(self.theta, self.points)
            log_norm = log_norm + shared
        return Statistics(log_norm, counts, first, second, self.theta.reference, noise)

    def _arguments(self, barred: Barred | None) -> tuple[Any, ...]:
        """What a call needs beside its rows, as `loops.chunk.work_on` has it."""
        x, recipe, background = self.points.x, self.recipe, self.background
        none, no_integers = _nothing(x.dtype), _nothing(torch.int64)
        density = none if background is None else torch.atleast_2d(background.log_density).numpy()
        return (
            self.theta.reference.to(x).numpy(),
            self._coefficients().to(x).flatten().numpy(),
            (self.sets, self.k),
            self.form.number,
            recipe.mode,
            _array(self.points.weight_of(slice(self.points.n)), none[0]),
            _array(recipe.each, none, x.dtype),
            _array(None if barred is None else barred.kind, no_integers[0]),
            _array(None if barred is None else barred.log_allowed, none),
            density,
            _array(recipe.seeds, no_integers[0]),
            _array(recipe.labels, no_integers),
            _array(recipe.shares, none[None], x.dtype),
            self.plan.group,
        )

    def _coefficients(self) -> Float[Tensor, "s k f"]:
        """Natural parameters of all rows of Θ, by the features of the loops."""
        found, d, natural = self.theta.coefficients(), self.points.d, self.theta.natural
        if self.form.count:
            found = torch.cat([found[..., : 1 + d], found[..., 1 + d + self.form.first]], -1)
        if natural.noise is not None:
            noise = found.new_zeros(self.sets, 1, self.features)
            noise[:, 0, 0] = natural.noise
            found = torch.cat([found, noise], 1)
        return found


def _array(tensor: Tensor | None, nothing: Any, dtype: torch.dtype | None = None) -> Any:
    """A tensor as an array, in a type if one is named; an empty one in the place of None."""
    if tensor is None:
        return nothing
    return (tensor if dtype is None else tensor.to(dtype)).numpy()


@functools.cache
def _nothing(dtype: torch.dtype) -> Any:
    """An array (1, 0) of a type."""
    return torch.zeros(1, 0, dtype=dtype).numpy()
