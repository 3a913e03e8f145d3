"""Volumes of covariances λ_k C that have their shape in common: the minimum of a convex function.

With the scatter W_k of component k and its count n_k, and l_k = log λ_k, minus twice the
log-likelihood is up to constants, after its minimum over C,

    F(l) / n = d Σ p_k l_k + log det Σ W_k exp(-l_k),      p_k = n_k / Σ n_k

which is convex in l, and does not change with l + c. The alternation of Celeux & Govaert (1995) has
the same minimum, but takes thousands of steps where scatters are thin in different directions;
Newton's method takes a few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

EMPTY = 1e-12  # share of the points, below which a component has none to speak of
STEPS = 50
HALVINGS = 30
ENOUGH = 1e-13  # nats a point that a step promises, when it is the last
ENOUGH_NEAR = 1e-11  # the same within EM, whose next step goes on from there
SUFFICIENT = 1e-4  # share of what a step promises that it has to bring


@dataclass(frozen=True, eq=False)
class Shares:
    """How log det Σ W_k exp(-l_k) depends on l.

    Attributes:
        log_determinant: shape (s,).
        own: minus its first derivatives, shape (s, k); their sum is d.
        pairs: products that its second derivatives diag(own) - pairs have, shape (s, k, k).
    """

    log_determinant: Float[Tensor, "s"]
    own: Float[Tensor, "s k"]
    pairs: Float[Tensor, "s k k"]

    @classmethod
    def of_axes(cls, scatter: Float[Tensor, "s k d"], size: Float[Tensor, "s k"]) -> Shares:
        """Of diagonal scatters, divided by their sizes."""
        each = scatter / size[..., None]
        total = each.sum(1)
        share = each / total[:, None]
        return cls(total.log().sum(-1), share.sum(-1), share @ share.mT)

    @classmethod
    def of_matrices(cls, scatter: Float[Tensor, "s k d d"], size: Float[Tensor, "s k"]) -> Shares:
        """Of matrices, divided by their sizes."""
        each = scatter / size[..., None, None]
        factor = torch.linalg.cholesky_ex(each.sum(1))[0]
        share = torch.cholesky_solve(each, factor[:, None])
        own = share.diagonal(dim1=-2, dim2=-1).sum(-1)
        pairs = share.flatten(2) @ share.mT.flatten(2).mT
        return cls(2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1), own, pairs)


SharesAt = Callable[[Tensor, Tensor], Shares]


def volumes(
    shares: SharesAt,
    scatter: Float[Tensor, "s k *event"],
    counts: Float[Tensor, "s k"],
    d: int,
    near: Float[Tensor, "s k"] | None = None,
) -> Float[Tensor, "s k"]:
    """The volumes λ_k, up to a common factor.

    Args:
        shares: `Shares.of_axes` or `Shares.of_matrices`, as the scatter is.
        scatter: of each component; zero where it has no points.
        counts: of points in each, positive but for those.
        d: number of features.
        near: volumes to begin at, which a step of EM does not change by much.
    """
    part = counts / counts.sum(1, keepdim=True)
    empty = part <= EMPTY
    part = part.masked_fill(empty, 0.0)
    one = torch.ones_like(part) if near is None else near
    enough = ENOUGH if near is None else ENOUGH_NEAR
    start = one * shares(scatter, one).own / (d * part)
    path = start.masked_fill(empty, 1.0).log()

    def at(path: Tensor) -> tuple[Shares, Tensor]:
        found = shares(scatter, path.exp())
        return found, d * (part * path).sum(1) + found.log_determinant

    here, value = at(path)
    going = torch.ones_like(value, dtype=torch.bool)
    alone = torch.diag_embed(empty.double()) + 1 / part.shape[1]  # what the Hessian lacks
    for _ in range(STEPS):
        slope = d * part - here.own
        hessian = torch.diag_embed(here.own) - here.pairs + alone
        move = -torch.linalg.solve_ex(hessian, slope[..., None])[0][..., 0]
        move = move - move.mean(1, keepdim=True)  # the common factor stays
        promise = -(slope * move).sum(1)
        least = torch.where(going, SUFFICIENT * promise, -torch.inf)
        path, here, reached = _halved(at, path, move, value + ENOUGH, least)
        going = going & (promise > enough) & (value - reached > ENOUGH)  # else lost in rounding
        value = reached
        if not going.any():
            break
    return path.exp()


def _halved(
    at: Callable[[Tensor], tuple[Shares, Tensor]],
    path: Float[Tensor, "s k"],
    move: Float[Tensor, "s k"],
    value: Float[Tensor, "s"],
    least: Float[Tensor, "s"],
) -> tuple[Tensor, Shares, Tensor]:
    """Where a step leads that is halved until it brings at least its share; -inf stays."""
    share, stays = torch.ones_like(value), least.isneginf()
    move = move.masked_fill(stays[:, None], 0.0)
    for _ in range(HALVINGS):
        there = path + share[:, None] * move
        found, reached = at(there)
        short = ~stays & (reached > value - share * least)
        if not short.any():
            break
        share = torch.where(short, share / 2, share)
    return there, found, reached
