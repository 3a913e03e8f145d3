"""One value a point: log densities, responsibilities, labels, all worked out in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.partitioned import Partitioned
from ..data.points import Observations, Points
from ..data.spread import joined_ends
from ..running.threads import Sums, map_in_threads, one_thread_a_product, total
from .assignments import softmax
from .background import NOISE
from .choice import kernel_for
from .far import Far, far_logits
from .kernels import Kernel, Piece
from .theta import Theta


def log_density(
    points: Points, theta: Theta, dtype: torch.dtype | None = None
) -> Float[Tensor, "s n"]:
    """log p(x) of every point in nats; -inf where that is out of range.

    This and what follows is worked out in float64, and returned in the points' type or another.
    """
    kind = dtype or points.dtype
    return at_points(points, theta.with_shared_term(), lambda log_p, _: log_p.to(kind))


def responsibilities(
    points: Points, theta: Theta, dtype: torch.dtype | None = None
) -> Float[Tensor, "s k n"]:
    """Posterior probability of every component at every point; noise has what is left."""
    return shares(points, theta, dtype)[:, : theta.parameters.means.shape[1]]


def shares(
    points: Points, theta: Theta, dtype: torch.dtype | None = None
) -> Float[Tensor, "s k2 n"]:
    """Posterior probability of every component at every point, and of noise last, if any is."""
    kind = dtype or points.dtype  # a copy, since the kernel writes the next chunk there
    return at_points(points, theta, lambda _, share: share.to(kind, copy=True))


def labels(points: Points, theta: Theta, dtype: torch.dtype | None = None) -> Int[Tensor, "s n"]:
    """The most probable component of every point: the first of the largest responsibilities.

    It is -1 where that is the noise.
    """
    kind = dtype or points.dtype  # in which two may be equal
    found = at_points(points, theta, lambda _, share: share.to(kind).argmax(1))
    return found.masked_fill(found == theta.parameters.means.shape[1], NOISE)


def ends_of_components(points: Observations, theta: Theta) -> Float[Tensor, "2 k d"]:
    """The lowest and highest values among the points that are most probably of each component.

    Of one set of components; points of weight zero are not there, and missing values at the origin.
    """
    if isinstance(points, Partitioned):
        return points.fold(partial(ends_of_components, theta=theta), joined_ends)
    label, x = labels(points, theta)[0], points.filled
    if points.sample_weight is not None:
        label = label.masked_fill(points.sample_weight == 0, NOISE)
    far = torch.full_like(x[:1], torch.inf)
    own = [x[label == i] for i in range(theta.parameters.means.shape[1])]
    lowest = torch.stack([torch.cat([rows, far]).amin(0) for rows in own])
    return torch.stack([lowest, torch.stack([torch.cat([rows, -far]).amax(0) for rows in own])])


def log_density_and_labels(
    points: Points, theta: Theta
) -> tuple[Float[Tensor, "s n"], Int[Tensor, "s n"]]:
    """Both in one pass, in the points' type."""
    kind, k = points.dtype, theta.parameters.means.shape[1]

    def pick(log_p: Tensor, share: Tensor) -> Tensor:
        return torch.stack([log_p, share.to(kind).argmax(1).to(log_p)], 1)

    log_p, found = at_points(points, theta.with_shared_term(), pick).unbind(1)
    return log_p.to(kind), found.long().masked_fill(found == k, NOISE)


@one_thread_a_product()
@torch.no_grad()
def at_points(
    points: Points, theta: Theta, pick: Callable[[Tensor, Tensor], Tensor]
) -> Float[Tensor, "*wanted n"]:
    """What is wanted of log densities (s, n) and responsibilities (s, k, n), all in float64.

    Where there is noise, its responsibilities come last, as those of a component k.

    Args:
        points: the points.
        theta: s sets of k components; of a tied family, log densities lack what all components
            share, unless it is `with_shared_term`.
        pick: makes what is wanted of those of some points, and keeps neither.
    """
    kernel = kernel_for(theta, points, like=theta.parameters.means)
    far = Far.of(theta)

    def make_worker() -> Callable[[Any], Tensor]:
        own = kernel.fresh()

        @torch.no_grad()  # a thread has a gradient mode of its own
        def work(block: Any) -> Tensor:
            pieces = own.pieces(block)
            return torch.cat([pick(*_values(own, far, piece)) for piece in pieces], -1)

        return work

    found = torch.cat(map_in_threads(make_worker, kernel.blocks()), -1)
    return found if points.measured is None else found[..., points.measured.order.argsort()]


@one_thread_a_product()
@torch.no_grad()
def total_at_points(
    points: Points,
    theta: Theta,
    weight: Float[Tensor, "n"] | None,
    pick: Callable[[Tensor, Tensor], Tensor],
) -> Float[Tensor, "*wanted"]:
    """The sum over all points of what is wanted of responsibilities (s, k, n), as in `at_points`.

    Nothing of the size of the points is kept.

    Args:
        points: the points.
        theta: s sets of k components.
        weight: how often each point counts, or None.
        pick: makes the sum over some points of their responsibilities and weights, in float64.
    """
    kernel = kernel_for(theta, points, like=theta.parameters.means)
    far = Far.of(theta)

    def make_worker() -> Callable[[Any], Sums]:
        own = kernel.fresh()

        def picked(piece: Piece) -> Tensor:
            _, share = _values(own, far, piece)
            ones = share.new_ones(share.shape[-1])
            return pick(share, ones if weight is None else weight[piece.rows].to(share))

        @torch.no_grad()
        def work(block: Any) -> Sums:
            first, *others = map(picked, own.pieces(block))
            return (sum(others, start=first),)

        return work

    return total(make_worker, kernel.blocks())[0]


def _values(own: Kernel[Any], far: Far, piece: Piece) -> tuple[Tensor, Tensor]:
    """Log densities and responsibilities of a piece, which the next one overwrites."""
    share, background = piece.logits, own.background
    if background is not None:
        share = torch.cat([share, background.logits(piece.rows)], 1)
    log_p = softmax(share, piece.rows)
    apart = far.points(own, log_p)
    if apart is not None:
        for rows, seen, x in own.mixtures_at(piece, apart):
            largest, above = far_logits(seen, x.double())
            numbers = piece.numbers_of(rows)
            if own.barred is not None:
                own.barred.bar(above, numbers)
            if background is not None:
                largest, above = background.above(largest, above, numbers)
            log_p[:, rows] = largest + softmax(above, rows)
            share[..., rows] = above
    return log_p, share
