"""Assignments of points to components: each turns logits into responsibilities.

A kernel works on a block of rows and one of these: functions, or where they need to know more, the
frozen classes. They are called with the logits of some rows, shape (s, k, n), which they overwrite,
and with the numbers of these rows in the whole data, a slice where they are consecutive; they
return each point's share of `log_norm`, shape (s, n).

Whose component is drawn, draws by a hash of (seed, chain, row): how rows are cut into blocks does
not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..running.counting import Rows, uniforms

NEGLIGIBLE = -80.0  # logits this far below the largest give no responsibility: denormals are slow
SMALLEST = 1e-30  # in place of a uniform number of 0, by which what is impossible might be drawn


class Assignment(Protocol):
    """Turns the logits of some rows into responsibilities in place."""

    def __call__(self, logits: Float[Tensor, "s k n"], rows: Rows) -> Float[Tensor, "s n"]:
        """Each point's share of `log_norm`, in nats."""
        ...


def softmax(logits: Float[Tensor, "s k n"], rows: Rows) -> Float[Tensor, "s n"]:
    """Responsibilities in proportion; the share is log p(x).

    A point that no component reaches, with logits of -inf, is left to none of them.
    """
    largest = logits.amax(1, keepdim=True)
    logits.sub_(_finite(largest))
    logits.clamp_(min=NEGLIGIBLE - 1).exp_()  # exp(-inf) is six times as slow
    total = logits.sum(1, keepdim=True)  # positive even where all logits are -inf
    torch.threshold_(logits, math.exp(NEGLIGIBLE), 0.0)
    logits.mul_(total.reciprocal())  # a division takes four times as long
    return (total.log_().add_(largest)).squeeze(1)


def argmax(logits: Float[Tensor, "s k n"], rows: Rows) -> Float[Tensor, "s n"]:
    """All of a point to its most probable component; the share is the largest logit."""
    largest, label = logits.max(1, keepdim=True)
    logits.zero_().scatter_(1, label, 1.0)
    return largest.squeeze(1)


def asks_parameters(assign: Assignment) -> bool:
    """Whether it goes by logits, and does not know what belongs where."""
    return not isinstance(assign, Given | GivenLabels)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A component drawn by the responsibilities; the share is log p(x).

    Attributes:
        seed: of the draws, from 0 to 2**63 - 1: another one for every sweep of a sampler.
        labels: where the drawn components are written, if they are wanted.
    """

    seed: int
    labels: Int[Tensor, "s n"] | None = None

    def __call__(self, logits: Float[Tensor, "s k n"], rows: Rows) -> Float[Tensor, "s n"]:
        """See `Assignment`."""
        s, k, _ = logits.shape
        largest = logits.amax(1, keepdim=True)
        logits.sub_(_finite(largest)).clamp_(min=NEGLIGIBLE).exp_()
        cumulative = torch.cumsum(logits, 1, out=logits)
        total = cumulative[:, -1:].clone()
        uniform = uniforms(self.seed, range(s), rows, logits)[:, None].clamp_(min=SMALLEST)
        drawn = cumulative.lt(uniform.mul_(total)).sum(1, keepdim=True)
        drawn.clamp_(max=k - 1)  # rounding may take a product up to the sum itself
        log_p = total.log_().add_(largest).squeeze(1)
        if self.labels is not None:
            self.labels[:, rows] = drawn[:, 0]
        logits.zero_().scatter_(1, drawn, 1.0)
        return log_p


@dataclass(frozen=True, eq=False)
class Given:
    """Responsibilities that are known beforehand; the shares are zero.

    Attributes:
        responsibilities: of all points.
    """

    responsibilities: Float[Tensor, "s k n"]

    def __call__(self, logits: Float[Tensor, "s k n"], rows: Rows) -> Float[Tensor, "s n"]:
        """See `Assignment`."""
        logits.copy_(self.responsibilities[..., rows])
        return logits.new_zeros(logits.shape[0], logits.shape[2])


@dataclass(frozen=True, eq=False)
class GivenLabels:
    """Components that are known beforehand; the shares are zero.

    Attributes:
        labels: of all points.
    """

    labels: Int[Tensor, "s n"]

    def __call__(self, logits: Float[Tensor, "s k n"], rows: Rows) -> Float[Tensor, "s n"]:
        """See `Assignment`."""
        logits.zero_().scatter_(1, self.labels[:, None, rows].to(logits.device), 1.0)
        return logits.new_zeros(logits.shape[0], logits.shape[2])


@dataclass(frozen=True, eq=False)
class Beside:
    """A single component of each set beside a density that is held fixed; the share is log p(x).

    Attributes:
        log_rest: the fixed log density of all points.
        log_share: log of its share in each set.
    """

    log_rest: Float[Tensor, "n"]
    log_share: Float[Tensor, "s"]

    def __call__(self, logits: Float[Tensor, "s 1 n"], rows: Rows) -> Float[Tensor, "s n"]:
        """See `Assignment`."""
        rest = (self.log_share[:, None] + self.log_rest[rows]).to(logits)
        log_p = torch.logaddexp(rest, logits[:, 0])
        logits.sub_(log_p[:, None]).clamp_(min=NEGLIGIBLE).exp_()
        return log_p


@dataclass(frozen=True, eq=False)
class Weighted:
    """Another assignment, where every set counts the points by weights of its own.

    Attributes:
        assign: the other one.
        weight: how often each point counts in each set, beside its sample weight if any.
    """

    assign: Assignment
    weight: Float[Tensor, "s n"]

    def __call__(self, logits: Float[Tensor, "s k n"], rows: Rows) -> Float[Tensor, "s n"]:
        """See `Assignment`."""
        log_p, weight = self.assign(logits, rows), self.weight[:, rows].to(logits)
        logits.mul_(weight[:, None])
        return counted(log_p, weight)


def refuse_by_row(assign: Assignment) -> None:
    """Refuse an assignment that has something for every row, which cannot go where the rows are.

    Raises:
        ValueError: if it is one.
    """
    drawn = isinstance(assign, Drawn) and assign.labels is None
    if not (drawn or assign is softmax or assign is argmax):
        raise ValueError(
            "data in partitions stay there, and nothing that belongs to a point goes to them or "
            "comes from them: no labels as a start, no keep_allocations, no resampling"
        )


def counted(log_p: Float[Tensor, "s n"], weight: Float[Tensor, "*s n"]) -> Float[Tensor, "s n"]:
    """Each point's share of `log_norm` times its weight: nothing of a point that does not count."""
    return torch.where(weight > 0, log_p * weight, 0.0)


def _finite(largest: Tensor) -> Tensor:
    """The largest logits, where they are -inf the lowest number: -inf less -inf would be NaN."""
    return largest.clamp(min=torch.finfo(largest.dtype).min)
