"""The kernels of the reduction: logits of some points, and the moments they give.

`Features` is two matrix products a chunk, Θ Φ and R Φᵀ, with moments about the data's centre.
`Centred` forms z = x - μ for every component; it is used where moments about the data's centre
would cancel (`theta.py`), and for wide data, whose features would not fit in cache. Both give the
same numbers. Points that are not known as they are have a kernel of their own (`incomplete.py`).
"""

from __future__ import annotations

import copy
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..covariance import Statistics
from ..data.points import Block, Points
from ..data.spread import chunks
from ..running.counting import Rows
from ..running.threads import Sums
from .assignments import Assignment, counted
from .background import Background
from .barred import Barred
from .shared import shared_term
from .theta import Theta

Some = TypeVar("Some")  # rows that a thread takes at a time
BLOCKS = 32  # units of work handed to threads; sums are added in their order

CHUNK_BYTES = 5 << 20  # features and logits of a chunk: more calls on shorter ones take longer
SHORTEST_CHUNK = 264  # points; shorter products are slower than a larger chunk's cache misses
FEW_FEATURES = 16  # up to which the moments are summed as (components, features)

_held = threading.local()  # the buffers of a thread's last features, and their shape


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows whose logits are at hand.

    Attributes:
        rows: their numbers among all.
        x: what was measured of them.
        logits: log weight plus log density of every component at every point, in nats.
        weight: their sample weights, or None.
    """

    rows: Rows
    x: Float[Tensor, "*s n d"]
    logits: Float[Tensor, "s k n"]
    weight: Float[Tensor, "n"] | None

    def numbers_of(self, some: Int[Tensor, "m"]) -> Int[Tensor, "m"]:
        """The numbers among all of some of its rows."""
        return some + self.rows.start if isinstance(self.rows, slice) else self.rows[some]


class Kernel(ABC, Generic[Some]):
    """Logits of a piece of points, and the sums that a block of rows gives under an assignment.

    Attributes:
        theta: s sets of k components.
        rows: points in a chunk.
        moments: what has been added up since `restart`.
        barred: which components points cannot come from, if that is known of some.
        background: the noise beside the components, if there is any.
    """

    theta: Theta
    rows: int
    moments: Sums
    barred: Barred | None = None
    background: Background | None = None

    def fresh(self) -> Self:
        """The same kernel with state of its own, for one thread to work with."""
        return copy.copy(self)

    @abstractmethod
    def restart(self) -> None:
        """Begin new moments; the old ones stay with whoever has them."""

    @abstractmethod
    def blocks(self) -> list[Some]:
        """All points, in units of work for threads."""

    @abstractmethod
    def all_pieces(self, block: Some) -> Iterator[Piece]:
        """As `pieces`, whatever is known of the points' components."""

    def pieces(self, block: Some) -> Iterator[Piece]:
        """The rows of a block, piece by piece; the next one is written where the last one was."""
        for piece in self.all_pieces(block):
            if self.barred is not None:
                self.barred.bar(piece.logits, piece.rows)
            yield piece

    @abstractmethod
    def add_moments(self, responsibilities: Float[Tensor, "s k n"]) -> None:
        """Add the moments of the piece that came last."""

    @property
    def about_reference(self) -> Float[Tensor, "d n"] | None:
        """The points of the last piece, about the reference, if their features are; else None."""
        return None

    def mixtures_at(
        self, piece: Piece, rows: Bool[Tensor, "n"]
    ) -> Iterator[tuple[Int[Tensor, "m"], Theta, Float[Tensor, "m d"]]]:
        """Some rows of a piece, with the mixture that they see and their values there."""
        yield rows.nonzero()[:, 0], self.theta, piece.x[rows]

    @abstractmethod
    def statistics(self, log_norm: Float[Tensor, "s"], sums: Sums) -> Statistics:
        """The statistics that sums over all blocks of the data stand for."""

    @torch.no_grad()  # a thread has a gradient mode of its own
    def sums(self, block: Some, assign: Assignment) -> Sums:
        """Sums of a block of rows under an assignment, piece by piece.

        They are `log_norm`, the count of the noise if there is any, and the moments.
        """
        self.restart()
        log_norm = self.theta.reference.new_zeros(1)  # not a scalar: it must stay in float64
        noise = log_norm
        for piece in self.pieces(block):
            logits = piece.logits
            if self.background is None:
                log_p = assign(logits, piece.rows)
            else:
                log_p, share = self.background.assigned(assign, logits, piece.rows)
                noise = noise + (share if piece.weight is None else share * piece.weight).sum(1)
            if piece.weight is not None:
                log_p = counted(log_p, piece.weight)
                logits = logits.mul_(piece.weight)
            self.add_moments(logits)
            log_norm = log_norm + log_p.sum(1)
        return log_norm, *(() if self.background is None else (noise,)), *self.moments

    def summed(self, sums: Sums) -> Statistics:
        """The statistics that what `sums` gives stands for, added up over all blocks."""
        log_norm, *moments = sums
        noise = None if self.background is None else moments.pop(0)
        return replace(self.statistics(log_norm, tuple(moments)), noise=noise)


class Whole(Kernel[Block]):
    """A kernel of points that are known as they are, which takes them in chunks."""

    points: Points

    @abstractmethod
    def logits(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "s k n"]:
        """Log weight plus log density of every component at every point, in nats."""

    def blocks(self) -> list[Block]:
        """See `Kernel`."""
        return self.points.blocks(self.rows, BLOCKS)

    def all_pieces(self, block: Block) -> Iterator[Piece]:
        """See `Kernel`."""
        for some in chunks(block.x.shape[-2], self.rows):
            x = block.x[..., some, :]
            weight = None if block.weight is None else block.weight[some]
            rows = slice(block.first + some.start, block.first + some.stop)
            yield Piece(rows, x, self.logits(x), weight)


@dataclass(frozen=True, eq=False)
class Buffers:
    """Where a chunk of n points is worked on.

    Attributes:
        features: Φ = [1, z, quadratic features], shape (f, n).
        z: its rows of centred points, shape (d, n).
        write_quadratic: fills the rows below z.
        logits: Θ Φ, shape (s k, n).
    """

    features: Float[Tensor, "f n"]
    z: Float[Tensor, "d n"]
    write_quadratic: Callable[[], Any]
    logits: Float[Tensor, "sk n"]


class Features(Whole):
    """logits = Θ Φ, moments = R Φᵀ, with features Φ (f, n) of a chunk about the data's centre."""

    buffers: Buffers  # of the chunk at hand
    whole: Buffers  # of a chunk of `rows` points; slicing anew would take as long as the work

    def __init__(self, theta: Theta, points: Points, like: Tensor) -> None:
        self.theta, self.points = theta, points
        family = theta.family
        self.shape = theta.parameters.log_weights.shape
        self.d = points.d
        self.quadratic = family.n_own_features(self.d)
        width = 1 + self.d + self.quadratic
        self.rows = chunk_rows(width + self.shape.numel(), points.n, like)
        self.coefficients = theta.coefficients().flatten(0, 1).to(like)
        self.origin = theta.reference.to(like)[:, None]
        self.tall = width > FEW_FEATURES

    def fresh(self) -> Self:
        """See `Kernel`."""
        kernel = super().fresh()
        kernel.whole = self._held_buffers()
        return kernel

    @property
    def about_reference(self) -> Float[Tensor, "d n"]:
        """See `Kernel`."""
        return self.buffers.z

    def _held_buffers(self) -> Buffers:
        """Buffers of the last kernel of this shape in this thread: making them takes a while."""
        n_sets, width = self.coefficients.shape
        x = self.coefficients
        shape = (self.theta.family, n_sets, width, self.rows, x.dtype, x.device)
        if getattr(_held, "shape", None) != shape:
            with torch.inference_mode(mode=False):  # else nothing outside of it could write there
                both = torch.ones(width + n_sets, self.rows, dtype=x.dtype, device=x.device)
                _held.buffers = self._buffers(both[:width], both[width:])
            _held.shape = shape
        buffers: Buffers = _held.buffers
        return buffers

    def _buffers(self, features: Tensor, logits: Tensor) -> Buffers:
        z, quadratic = features[1 : 1 + self.d], features[1 + self.d :]
        nothing: Callable[[], Any] = bool
        write = self.theta.family.quadratic_features(z, quadratic) if self.quadratic else nothing
        return Buffers(features, z, write, logits)

    def restart(self) -> None:
        """See `Kernel`."""
        n_sets, width = self.coefficients.shape
        shape = (width, n_sets) if self.tall else (n_sets, width)
        self.moments = (self.theta.reference.new_zeros(shape),)

    def logits(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "s k n"]:
        """See `Kernel`."""
        n = len(x)
        whole = self.whole
        if n != self.rows:
            whole = self._buffers(whole.features[:, :n], whole.logits[:, :n])
        self.buffers = whole
        torch.sub(x.T, self.origin, out=whole.z)
        whole.write_quadratic()
        torch.mm(self.coefficients, whole.features, out=whole.logits)
        return whole.logits.view(*self.shape, n)

    def add_moments(self, responsibilities: Float[Tensor, "s k n"]) -> None:
        """See `Kernel`."""
        (total,), left, right = self.moments, responsibilities.flatten(0, 1), self.buffers.features
        if self.tall:  # the product with the long side first is twice as fast
            left, right = right, left
        if left.dtype == total.dtype:
            total.addmm_(left, right.T)
        else:
            total += left @ right.T

    def statistics(self, log_norm: Tensor, sums: Sums) -> Statistics:
        """See `Kernel`."""
        moments = (sums[0].T if self.tall else sums[0]).reshape(*self.shape, -1)
        counts, first = moments[..., 0], moments[..., 1 : 1 + self.d]
        if not self.quadratic:
            second, shared = shared_term(self.theta, self.points)
            log_norm = log_norm + shared
        else:
            second = self.theta.family.unpack(moments[..., 1 + self.d :], self.d)
        return Statistics(log_norm, counts, first, second, self.theta.reference)


class Centred(Whole):
    """logits = log peak - ‖L⁻¹ (x - μ)‖² / 2, with moments about a reference a component."""

    z: Tensor

    def __init__(self, theta: Theta, points: Points, like: Tensor) -> None:
        self.theta, self.points = theta, points
        family, p = theta.family, theta.parameters
        self.shape, self.d = p.log_weights.shape, p.means.shape[-1]
        self.rows = chunk_rows(3 * self.shape.numel() * self.d, points.n, like)
        self.log_peak = family.log_peak(p)[..., None].to(like)
        self.factor = p.factor.to(like)
        self.means = p.means.to(like)[:, :, None]
        self.reference = theta.reference.expand(p.means.shape).to(like)[:, :, None]
        self.same = theta.reference.shape == p.means.shape and theta.reference.equal(p.means)

    def restart(self) -> None:
        """See `Kernel`."""
        family, means = self.theta.family, self.theta.parameters.means
        second = means.new_zeros(self.shape[0], *family.factor_shape(self.shape[1], self.d))
        self.moments = means.new_zeros(self.shape), torch.zeros_like(means), second

    def logits(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "s k n"]:
        """See `Kernel`."""
        z = x - self.means
        self.z = z if self.same else x - self.reference
        whitened = self.theta.family.whiten(self.factor, z)
        return self.log_peak - 0.5 * whitened.square_().sum(-1)

    def add_moments(self, responsibilities: Float[Tensor, "s k n"]) -> None:
        """See `Kernel`."""
        family, (counts, first, second) = self.theta.family, self.moments
        counts += responsibilities.sum(-1)
        first += (responsibilities[..., None, :] @ self.z)[..., 0, :]
        second += family.pooled(family.weighted_square(self.z, responsibilities))

    def statistics(self, log_norm: Tensor, sums: Sums) -> Statistics:
        """See `Kernel`."""
        counts, first, second = sums
        return Statistics(log_norm, counts, first, second, self.theta.reference)


def chunk_rows(numbers_a_point: int, n: int, like: Tensor) -> int:
    """Points in a chunk: an odd multiple of 8, as rows a power of two apart share cache lines."""
    size = CHUNK_BYTES if like.device.type == "cpu" else 16 * CHUNK_BYTES
    most = max(SHORTEST_CHUNK, size // (numbers_a_point * like.element_size()))
    if most >= n:
        return n
    even = 2 * math.ceil(n / most / 2)  # chunks, as many for one thread as for another
    return math.ceil(n / even / 16) * 16 + 8
