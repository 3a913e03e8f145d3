"""What a mixture says of the entries of points that are missing."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.measured import Run
from ..data.points import Points
from ..running.threads import one_thread_a_product
from .assignments import softmax
from .choice import kernel_for
from .incomplete import Incomplete, Work
from .theta import Theta


@one_thread_a_product()
@torch.no_grad()
def imputed(
    points: Points, theta: Theta, count: int | None = None, generator: torch.Generator | None = None
) -> Float[Tensor, "c n d"]:
    """Points without holes: their means given what is known of them, or so many draws.

    Args:
        points: the points, some of which are measured in part.
        theta: one set of k components.
        count: of draws; None for the mean, which is one.
        generator: source of randomness of the draws.
    """
    kernel = kernel_for(theta, points, like=theta.parameters.means).fresh()
    assert isinstance(kernel, Incomplete)
    size = 1 if count is None else count, points.n, theta.parameters.means.shape[2]
    found = theta.parameters.means.new_empty(size)
    for piece in (piece for block in kernel.blocks() for piece in kernel.pieces(block)):
        rows = torch.as_tensor(piece.rows)
        softmax(piece.logits, rows)
        for run in kernel.work.runs:
            share = piece.logits[0, :, run.rows].unflatten(1, (run.n_kinds, -1)).transpose(0, 1)
            each = _given_component(kernel.work, run)
            if count is None:
                values = (share[..., None] * each).sum(1).flatten(0, 1)[None]
            else:
                values = _drawn(kernel.work, run, share, each, count, generator)
            found[:, rows[run.rows]] = values
    known = kernel.measured.known[kernel.measured.kind]
    return torch.where(known, points.x.to(found), found)


@one_thread_a_product()
@torch.no_grad()
def given_the_rest(
    points: Points, theta: Theta, entries: list[int]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k e"], Float[Tensor, "n k e e"]]:
    """Weights, means and covariances of some entries of every point, which are missing there."""
    kernel = kernel_for(theta, points, like=theta.parameters.means).fresh()
    assert isinstance(kernel, Incomplete)
    k, e, like = theta.parameters.means.shape[1], len(entries), theta.parameters.means
    share, means = like.new_empty(points.n, k), like.new_empty(points.n, k, e)
    covariances = like.new_empty(points.n, k, e, e)
    for piece in (piece for block in kernel.blocks() for piece in kernel.pieces(block)):
        rows = torch.as_tensor(piece.rows)
        softmax(piece.logits, rows)
        share[rows] = piece.logits[0].T
        for run in kernel.work.runs:
            each = _given_component(kernel.work, run)[..., entries]
            means[rows[run.rows]] = each.transpose(1, 2).flatten(0, 1)
            rest = kernel.work.seen.rest[run.kinds, 0][..., entries, :][..., entries]
            times = each.shape[2]
            covariances[rows[run.rows]] = rest.expand(-1, k, -1, -1).repeat_interleave(times, 0)
    return share, means, covariances


def _given_component(work: Work, run: Run) -> Float[Tensor, "g k p d"]:
    """Means of the points, given their measurements and components."""
    reference = work.theta.reference.expand(*work.seen.offset.shape[1:])[0, :, None]
    seen = work.seen.reference[run.kinds, 0][:, :, None]
    z = (work.x[run.rows].unflatten(0, (run.n_kinds, -1))[:, None] - seen).nan_to_num_(0.0)
    gain, offset = work.seen.gain[run.kinds, 0], work.seen.offset[run.kinds, 0]
    return reference + z @ gain.mT + offset[:, :, None]


def _drawn(
    work: Work,
    run: Run,
    share: Float[Tensor, "g k p"],
    each: Float[Tensor, "g k p d"],
    count: int,
    generator: torch.Generator | None,
) -> Float[Tensor, "c gp d"]:
    """Draws of the points."""
    g, k, p, d = each.shape
    root = work.seen.root_of_rest[run.kinds, 0].expand(-1, k, -1, -1)
    chances = share.transpose(1, 2).flatten(0, 1)
    chosen = torch.multinomial(chances, count, replacement=True, generator=generator)
    chosen = chosen.T.view(count, g, p, 1)
    noise = each.new_empty(count, g, p, d).normal_(generator=generator)
    drawn = torch.zeros_like(noise)
    for j in range(k):
        drawn = torch.where(chosen == j, each[:, j] + noise @ root[:, j].mT, drawn)
    return drawn.flatten(1, 2)
