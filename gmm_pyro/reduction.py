"""The one reduction that every method is made of.

With the features φ(z) = [1, z, upper(z zᵀ)] of a point z and one row θ of natural parameters a
component,

    log w + log N(x | μ, Σ)   = θ · φ(z)                      the logits of one point: Θ φ(z)
    log p(x)                  = logsumexp Θ φ(z)
    ∂ Σ_n log p(x_n) / ∂Θ     = Σ_n r_n ⊗ φ(z_n)              the expected sufficient statistics

so the E-step of EM is the gradient of the log-likelihood: `reduce` computes both sides of the last
line in one pass, and `log_likelihood` hands them to autograd. A batch of s sets of k components is
one matrix product with s·k rows. A pass reads the data in chunks that stay in cache, and keeps
nothing of size n.

A shared (tied) quadratic term is the same for all components and drops out of the softmax: it is
added at the end from the data's own second moment. How a chunk is evaluated is the matter of
`kernels.py`.

Source: Wainwright & Jordan (2008), §3; Dempster, Laird & Rubin (1977).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .covariance import CovarianceFamily, Parameters, Statistics
from .far import Far
from .kernels import Centred, Kernel, Theta, kernel_for, theta_of
from .observations import Observations, Points
from .threads import map_in_threads, one_thread_a_product

BLOCKS = 32  # units of work handed to threads; sums are added in their order, whoever made them
HESSIAN_NUMBERS = 2_000_000  # features of all components that a second derivative has at once
NEGLIGIBLE = -80.0  # logits this far below the largest give no responsibility: denormals are slow

Assign = Callable[[Float[Tensor, "s k n"], slice], Float[Tensor, "s n"]]


# ---------------------------------------------------------------------- assignments


def softmax(logits: Float[Tensor, "s k n"], rows: slice) -> Float[Tensor, "s n"]:
    """Turn logits into responsibilities in place; returns log p(x), shape (s, n).

    A point that no component reaches, with logits of -inf, is left to none of them.
    """
    del rows
    largest = logits.amax(1, keepdim=True)
    logits.sub_(_finite(largest)).clamp_(
        min=NEGLIGIBLE - 1
    ).exp_()  # exp(-inf) is six times as slow
    total = logits.sum(1, keepdim=True)  # positive even where all logits are -inf
    torch.threshold_(logits, math.exp(NEGLIGIBLE), 0.0)
    logits.mul_(total.reciprocal())  # a division takes four times as long
    return (total.log_().add_(largest)).squeeze(1)


def _finite(largest: Tensor) -> Tensor:
    """The largest logits, where they are -inf the lowest number: -inf less -inf would be NaN."""
    return largest.clamp(min=torch.finfo(largest.dtype).min)


def argmax(logits: Float[Tensor, "s k n"], rows: slice) -> Float[Tensor, "s n"]:
    """Turn logits into hard assignments in place; returns the largest logit, shape (s, n)."""
    del rows
    largest, label = logits.max(1, keepdim=True)
    logits.zero_().scatter_(1, label, 1.0)
    return largest.squeeze(1)


def categorical(seed: int, labels: Int[Tensor, "s n"] | None = None) -> Assign:
    """Turn logits into assignments drawn from them in place; returns log p(x), shape (s, n).

    Args:
        seed: of the draws; a chunk has a generator of its own, whichever thread works on it.
        labels: where the drawn components are written, if they are wanted.
    """

    def assign(logits: Float[Tensor, "s k n"], rows: slice) -> Float[Tensor, "s n"]:
        s, k, n = logits.shape
        largest = logits.amax(1, keepdim=True)
        logits.sub_(_finite(largest)).clamp_(min=NEGLIGIBLE).exp_()
        cumulative = torch.cumsum(logits, 1, out=logits)
        total = cumulative[:, -1:].clone()
        generator = torch.Generator(logits.device).manual_seed(seed + rows.start)
        uniform = torch.rand(s, 1, n, generator=generator, dtype=logits.dtype, device=logits.device)
        drawn = cumulative.lt(uniform.mul_(total)).sum(1, keepdim=True)
        drawn.clamp_(max=k - 1)  # rounding may take a product up to the sum itself
        log_p = total.log_().add_(largest).squeeze(1)
        if labels is not None:
            labels[:, rows] = drawn[:, 0]
        logits.zero_().scatter_(1, drawn, 1.0)
        return log_p

    return assign


def given(responsibilities: Float[Tensor, "s k n"]) -> Assign:
    """An assignment that ignores the logits: responsibilities known beforehand."""

    def assign(logits: Float[Tensor, "s k n"], rows: slice) -> Float[Tensor, "s n"]:
        logits.copy_(responsibilities[..., rows])
        return logits.new_zeros(logits.shape[0], logits.shape[2])

    return assign


def given_labels(labels: Int[Tensor, "s n"]) -> Assign:
    """An assignment that ignores the logits: components known beforehand."""

    def assign(logits: Float[Tensor, "s k n"], rows: slice) -> Float[Tensor, "s n"]:
        logits.zero_().scatter_(1, labels[:, None, rows].to(logits.device), 1.0)
        return logits.new_zeros(logits.shape[0], logits.shape[2])

    return assign


# ---------------------------------------------------------------------- the reduction


@one_thread_a_product()  # sums are then the same to the last bit on any number of threads
@torch.no_grad()
def reduce(observations: Observations, theta: Theta, assign: Assign = softmax) -> Statistics:
    """Log-likelihood and expected sufficient statistics of s sets, in one pass over the data.

    Args:
        observations: n points, with sample weights u if any.
        theta: s sets of k components.
        assign: turns the logits of a chunk into responsibilities in place and returns each
            point's share of `log_norm`: `softmax`, `argmax`, or `given(responsibilities)`.

    Returns:
        Statistics in float64; log_norm is in nats.
    """
    kernel = kernel_for(theta, observations)
    blocks = _blocks(observations, kernel)
    make_worker = functools.partial(_worker, kernel, observations, assign)
    parts = map_in_threads(make_worker, blocks)
    log_norm, *sums = (functools.reduce(torch.add, part) for part in zip(*parts, strict=True))
    return kernel.statistics(log_norm, tuple(sums), observations)


@one_thread_a_product()
@torch.no_grad()
def reduce_each(
    x: Float[Tensor, "s n d"],
    family: CovarianceFamily,
    parameters: Parameters,
    assign: Assign = softmax,
) -> Statistics:
    """The reduction of s sets, each over n points of its own: many small data sets at once."""
    theta = Theta.about_means(family, parameters)
    kernel = Centred(theta, x.shape[1], x).fresh()
    kernel.restart()
    responsibilities = kernel.logits(x[:, None])
    log_p = assign(responsibilities, slice(0, x.shape[1]))
    kernel.add_moments(responsibilities)
    return kernel.statistics(log_p.sum(1), kernel.sums(), None)


def _blocks(points: Points, kernel: Kernel) -> list[range]:
    """The first rows of all chunks, in at most `BLOCKS` groups."""
    starts = range(0, points.n, kernel.rows)
    size = math.ceil(len(starts) / BLOCKS)
    return [starts[i : i + size] for i in range(0, len(starts), size)]


def maximise(
    observations: Observations,
    theta: Theta,
    statistics: Statistics,
    floor: Float[Tensor, "d"],
    assign: Assign = softmax,
    ridge: float = 0.0,
) -> Theta:
    """The M-step, from the statistics that `reduce` gave for this theta and assignment.

    The floor and the ridge are those of `CovarianceFamily.m_step`. Where a new component is so
    tight that the moments about the data's centre have cancelled, the moments are taken once more,
    about its mean.
    """
    found = theta_of(theta.family, theta.family.m_step(statistics, floor, ridge), observations)
    if theta.centred or not found.centred:
        return found
    about_means = Theta.about_means(theta.family, theta.parameters, found.parameters.means)
    parameters = theta.family.m_step(reduce(observations, about_means, assign), floor, ridge)
    return theta_of(theta.family, parameters, observations)


def _worker(
    kernel: Kernel, observations: Observations, assign: Assign
) -> Callable[[range], tuple[Tensor, ...]]:
    """A function from consecutive chunks to log_norm and the kernel's sums over them."""
    kernel = kernel.fresh()

    @torch.no_grad()  # a thread has a gradient mode of its own
    def work(starts: range) -> tuple[Tensor, ...]:
        kernel.restart()
        log_norm = observations.origin.new_zeros(1)  # not a scalar: it must stay in float64
        for first in starts:
            rows = slice(first, min(first + kernel.rows, observations.n))
            logits = kernel.logits(observations.x[rows])
            log_p = assign(logits, rows)
            if observations.sample_weight is not None:
                weight = observations.sample_weight[rows]
                log_p, logits = log_p * weight, logits.mul_(weight)
            kernel.add_moments(logits)
            log_norm = log_norm + log_p.sum(1)
        return log_norm, *kernel.sums()

    return work


# ---------------------------------------------------------------------- reading it as a gradient


class _LogLikelihood(torch.autograd.Function):
    """Σ u log p(x) as a function of natural parameters; its gradient is the statistics."""

    @staticmethod
    def forward(
        ctx: Any,
        constant: Tensor,
        linear: Tensor,
        quadratic: Tensor,
        observations: Observations,
        theta: Theta,
    ) -> Float[Tensor, "s"]:
        del constant, linear, quadratic  # theta holds the same values
        statistics = reduce(observations, theta)
        ctx.save_for_backward(*statistics.sums)
        return statistics.log_norm

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Float[Tensor, "s"]) -> tuple[Tensor | None, ...]:
        counts, first, second = ctx.saved_tensors
        scale = [upstream.view(-1, *(1,) * (part.ndim - 1)) for part in (counts, first, second)]
        return counts * scale[0], first * scale[1], second * scale[2], None, None


def log_likelihood(
    observations: Observations, family: CovarianceFamily, parameters: Parameters
) -> Float[Tensor, "s"]:
    """Log-likelihood of s sets in nats, differentiable in the parameters."""
    theta = theta_of(family, parameters, observations)
    log_norm: Tensor = _LogLikelihood.apply(  # type: ignore[no-untyped-call]
        *vars(theta.natural).values(), observations, theta
    )
    return log_norm


# ---------------------------------------------------------------------- its second derivative


@one_thread_a_product()
@torch.no_grad()
def information(observations: Observations, theta: Theta) -> Float[Tensor, "kf kf"]:
    """Minus the Hessian of Σ u log p(x) in the natural parameters of one set of k components.

    Entries go by component and within it as in `Theta.coefficients`: with responsibilities r,

        ∂² log p(x) / ∂θ_j ∂θ_l = (r_j [j = l] - r_j r_l) φ(z_j) φ(z_l)ᵀ

    Source: Louis (1982).
    """
    family, d = theta.family, observations.d
    quadratic = 0 if family.tied else family.n_features(d)
    k, width = theta.parameters.log_weights.shape[1], 1 + d + quadratic
    total = theta.reference.new_zeros(k * width, k * width)
    diagonal = total.view(k, width, k, width).diagonal(dim1=0, dim2=2)  # (f, f, k)
    rows = max(1, HESSIAN_NUMBERS // (k * width))
    reference = theta.reference.expand(theta.parameters.means.shape)[0]
    for first in range(0, observations.n, rows):
        part = observations.subset(slice(first, first + rows))
        z = (part.x.to(total) - reference[:, None]).mT.contiguous()
        features = torch.ones(k, width, part.n, dtype=total.dtype, device=total.device)
        features[:, 1 : 1 + d] = z
        for j in range(k if quadratic else 0):
            family.quadratic_features(z[j], features[j, 1 + d :])()
        weight = responsibilities(part, theta)[0, :, None]
        expected = features * weight
        u = part.sample_weight
        scaled = expected if u is None else expected * u
        diagonal -= (scaled @ features.mT).permute(1, 2, 0)
        total += scaled.flatten(0, 1) @ expected.flatten(0, 1).T
    return total


# ---------------------------------------------------------------------- one value a point


def log_density(
    points: Points, theta: Theta, dtype: torch.dtype | None = None
) -> Float[Tensor, "s n"]:
    """log p(x) of every point in nats; -inf where that is out of range.

    This and what follows is worked out in float64, and returned in the points' type or another.
    """
    kind = dtype or points.dtype
    return _pointwise(points, theta.with_shared_term(), lambda log_p, _: log_p.to(kind))


def responsibilities(
    points: Points, theta: Theta, dtype: torch.dtype | None = None
) -> Float[Tensor, "s k n"]:
    """Posterior probability of every component at every point."""
    kind = dtype or points.dtype  # a copy, since the kernel writes the next chunk there
    return _pointwise(points, theta, lambda _, share: share.to(kind, copy=True))


def labels(points: Points, theta: Theta, dtype: torch.dtype | None = None) -> Int[Tensor, "s n"]:
    """The most probable component of every point: the first of the largest responsibilities."""
    kind = dtype or points.dtype  # in which two may be equal
    return _pointwise(points, theta, lambda _, share: share.to(kind).argmax(1))


@one_thread_a_product()
@torch.no_grad()
def _pointwise(points: Points, theta: Theta, pick: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """What is wanted of log densities (s, n) and responsibilities (s, k, n), all in float64."""
    kernel = kernel_for(theta, points, like=theta.parameters.means)
    far = Far.of(theta)

    def of_chunk(own: Kernel, x: Float[Tensor, "n d"]) -> Tensor:
        share = own.logits(x)
        log_p = softmax(share, slice(None))
        apart = far.points(own, log_p)
        if apart is not None:
            largest, above = far.logits(x[apart].double())
            log_p[:, apart] = largest + softmax(above, slice(None))
            share[..., apart] = above
        return pick(log_p, share)

    def make_worker() -> Callable[[range], Tensor]:
        own = kernel.fresh()

        @torch.no_grad()
        def work(starts: range) -> Tensor:
            pieces = (points.x[first : first + own.rows] for first in starts)
            return torch.cat([of_chunk(own, piece) for piece in pieces], -1)

        return work

    return torch.cat(map_in_threads(make_worker, _blocks(points, kernel)), -1)
