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
    Beside,
    Drawn,
    Given,
    GivenLabels,
    Weighted,
    argmax,
    softmax,
)
from .background import Background
from .barred import Barred
from .decision import loops, operations
from .kernels import BLOCKS
from .shared import shared_term
from .small import array, compact, kind_of
from .theta import Theta

GROUP_BYTES = 256 << 10  # what is known of a group of panels, for which a core's cache has room
FEWEST, MOST = 8, 64  # panels in a group, at the end of which moments are taken
BLOCK_WORK = 2e7  # operations of a block at least: about a millisecond
CALL_WORK = 5e8  # operations of a call at most: an interrupt waits for its end

NUMPY = {torch.float32: np.float32, torch.float64: np.float64}
NOTHING = np.empty(0)

_held = threading.local()  # where a thread's last kernel has worked


@dataclass(frozen=True, eq=False)
class Recipe:
    """An assignment as the loops have it.

    Attributes:
        mode: its number.
        seed: of draws.
        labels: components that are taken, or written.
        shares: responsibilities that are taken.
        each: weights of every set.
        beside: a density that is held fixed, as noise would be, if components are alone beside it.
    """

    mode: int
    seed: int = 0
    labels: Int[Tensor, "s n"] | None = None
    shares: Float[Tensor, "s k n"] | None = None
    each: Float[Tensor, "s n"] | None = None
    beside: Background | None = None

    @classmethod
    def of(cls, assign: Assignment) -> Recipe | None:
        """Of an assignment, or None if the loops do not know it."""
        records = loops().records
        if assign is softmax or assign is argmax:
            return cls(records.SOFTMAX if assign is softmax else records.ARGMAX)
        match assign:
            case Drawn(seed, labels):
                return cls(records.DRAWN, seed, labels)
            case GivenLabels(labels):
                return cls(records.LABELS, labels=labels)
            case Given(shares):
                return cls(records.SHARES, shares=shares)
            case Beside(log_rest, log_share):
                return cls(records.SOFTMAX, beside=Background(log_share, log_rest))
            case Weighted(inner, weight):
                found = cls.of(inner)
                if found is not None and found.each is None:  # not twice
                    return replace(found, each=weight)
        return None


@functools.cache
def form_of(family: CovarianceFamily, d: int) -> tuple[int, int]:
    """The quadratic features of a family as the loops form them, and how many they are."""
    records, kind = loops().records, kind_of(family, d)
    if not family.n_own_features(d):
        return records.NOTHING, 0
    return (
        (records.PAIRS, d * (d + 1) // 2),
        (records.SQUARES, d),
        (records.LENGTH, 1),
    )[kind]


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
        lanes, rows = loops().lanes.BITS // (8 * size), sets * k
        points, width = loops().products.WIDEST * lanes, math.ceil(rows / lanes) * lanes
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
        self.theta, self.points, self.recipe = theta, points, recipe
        self.run = loops().entry(points.dtype)
        self.sets, k = theta.parameters.log_weights.shape
        self.background = recipe.beside or Background.of(points, theta, points.x)
        self.form, count = form_of(theta.family, points.d)
        self.k, self.features = k + (self.background is not None), 1 + points.d + count
        self.plan = Plan.of(self.features, self.sets, self.k, points.x.element_size())
        self.data = theta.reference.to(points.x).numpy(), self._coefficients()
        self.told = (
            (self.sets, self.k, self.form, self.plan.group),
            self._known(Barred.of(points, k, points.x)),
            self._asked(),
        )

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
            first = block.first - self.points.first + some.start
            data = block.x[some].numpy(), first, *self.data
            self.run(data, *self.told, self.work, totals)
        return (torch.from_numpy(totals),)

    def summed(self, sums: Sums) -> Statistics:
        """The statistics that what `sums` gives stands for, added up over all blocks."""
        (totals,), theta, natural = sums, self.theta, self.theta.natural
        counts, first = np.empty(natural.constant.shape), np.empty(natural.linear.shape)
        second = np.empty(self._own(natural.quadratic).shape)
        noise = np.empty(0 if self.background is None else self.sets)
        loops().taken_apart()(
            totals.numpy(), self.plan.width, self.form, counts, first, second, noise
        )
        log_norm = totals[: self.sets]
        if self.form:
            own = torch.from_numpy(second).view(natural.quadratic.shape)
        else:
            own, shared = shared_term(theta, self.points)
            log_norm = log_norm + shared
        own_noise = None if natural.noise is None else torch.from_numpy(noise)
        return Statistics(
            log_norm,
            torch.from_numpy(counts),
            torch.from_numpy(first),
            own,
            theta.reference,
            own_noise,
        )

    def _own(self, quadratic: Tensor) -> np.ndarray:
        """What tells components apart of their quadratic terms, as an array (s, k, e)."""
        found = compact(quadratic)
        return found if self.form else found[:, :0]

    def _known(self, barred: Barred | None) -> tuple[np.ndarray, ...]:
        """What belongs to rows: see `loops.records.Known`."""
        points, background, none = self.points, self.background, _nothing(self.points.dtype)
        weight, each = points.weight_of(slice(points.n)), self.recipe.each
        return (
            none[0] if weight is None else weight.numpy(),
            none if each is None else _array(each.expand(self.sets, -1), none),
            _nothing(torch.int64)[0] if barred is None else barred.kind.numpy(),
            none if barred is None else barred.log_allowed.numpy(),
            none if background is None else np.atleast_2d(_array(background.log_density, none)),
        )

    def _asked(self) -> tuple[Any, ...]:
        """What logits are made into: see `loops.records.Asked`."""
        recipe, none = self.recipe, _nothing(self.points.dtype)
        labels, shares = _nothing(torch.int64), none[None]
        if recipe.labels is not None:  # what is drawn is written there, and has its type
            labels = _array(recipe.labels.expand(self.sets, -1), labels)
        if recipe.shares is not None:
            shares = _array(recipe.shares.expand(self.sets, -1, -1), shares)
        return recipe.mode, recipe.seed, self.points.first, labels, shares

    def _coefficients(self) -> np.ndarray:
        """Natural parameters of all rows of Θ, by the features of the loops."""
        natural, dtype = self.theta.natural, self.points.dtype
        found = np.zeros(self.sets * self.k * self.features, NUMPY[dtype])
        loops().by_features(dtype)(
            array(natural.constant),
            array(natural.linear),
            self._own(natural.quadratic),
            NOTHING if self.background is None else _array(self.background.log_weight, NOTHING),
            self.form,
            found,
        )
        return found


def _array(tensor: Tensor | None, nothing: np.ndarray) -> np.ndarray:
    """A tensor as an array of the type of another one, which stands in for None."""
    return nothing if tensor is None else tensor.detach().numpy().astype(nothing.dtype, copy=False)


@functools.cache
def _nothing(dtype: torch.dtype) -> np.ndarray:
    """An array (1, 0) of a type."""
    return torch.zeros(1, 0, dtype=dtype).numpy()
