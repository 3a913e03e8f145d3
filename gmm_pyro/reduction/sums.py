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

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters, Statistics
from ..covariance.fixed import Fixed
from ..covariance.records import TINY, times
from ..data.partitioned import Partitioned
from ..data.points import Block, Observations, Points
from ..running.threads import Sums, added, one_thread_a_product, total
from .assignments import Assignment, asks_parameters, refuse_by_row, softmax
from .background import Background
from .choice import reducer_for
from .decision import refuse_unready
from .kernels import Centred
from .pointwise import shares
from .shared import (
    is_shared,
    know_second_moment,
    knows_second_moment,
    second_moment,
    shared_term,
)
from .small import filled
from .small import m_step as small_m_step
from .theta import Theta, theta_of

HESSIAN_NUMBERS = 2_000_000  # features of all components that a second derivative has at once

# ---------------------------------------------------------------------- the reduction


@one_thread_a_product()  # sums are then the same to the last bit on any number of threads
@torch.no_grad()
def reduce(observations: Observations, theta: Theta, assign: Assignment = softmax) -> Statistics:
    """Log-likelihood and expected sufficient statistics of s sets, in one pass over the data.

    Args:
        observations: n points, with sample weights u if any.
        theta: s sets of k components.
        assign: what logits are made into: `softmax`, `argmax`, or another of `assignments.py`.

    Returns:
        Statistics in float64; log_norm is in nats.
    """
    if isinstance(observations, Partitioned):
        refuse_by_row(assign)
        return _reduce_apart(observations, theta, assign)
    reducer = reducer_for(theta, observations, assign)
    blocks = reducer.blocks()
    if len(blocks) == 1:  # as small data are, whose time is that of calls
        return reducer.summed(reducer.fresh().sums(blocks[0], assign))

    def make_worker() -> Callable[[Any], Sums]:
        own = reducer.fresh()
        return lambda block: own.sums(block, assign)

    return reducer.summed(total(make_worker, blocks))


def _reduce_apart(observations: Partitioned, theta: Theta, assign: Assignment) -> Statistics:
    """The reduction of partitions; the first one of a tied family finds what all others share."""
    if not is_shared(theta, observations):
        return observations.fold(partial(_there, theta=theta, assign=assign), Statistics.plus)
    known = knows_second_moment(theta.family, observations)
    own = partial(_there_but_shared, theta=theta, assign=assign, known=known)
    found, *second = observations.fold(own, _both)
    if second:
        know_second_moment(theta.family, observations, second[0])
    moment, shared = shared_term(theta, observations)
    return replace(found, log_norm=found.log_norm + shared, second=moment)


def _there(observations: Observations, theta: Theta, assign: Assignment) -> Statistics:
    """The reduction of one partition, where it is."""
    refuse_unready(observations)
    return reduce(observations, theta, assign)


def _there_but_shared(
    observations: Observations, theta: Theta, assign: Assignment, *, known: bool
) -> tuple[Statistics, *tuple[Tensor, ...]]:
    """The same without what components share; and the second moment, unless it is known."""
    own = () if known else (second_moment(theta.family, observations),)
    know_second_moment(theta.family, observations, torch.zeros_like(theta.natural.quadratic[0, 0]))
    return _there(observations, theta, assign), *own


def _both(
    one: tuple[Statistics, *tuple[Tensor, ...]], other: tuple[Statistics, *tuple[Tensor, ...]]
) -> tuple[Statistics, *tuple[Tensor, ...]]:
    return one[0].plus(other[0]), *added(one[1:], other[1:])


@one_thread_a_product()
@torch.no_grad()
def reduce_each(
    x: Float[Tensor, "s n d"],
    family: CovarianceFamily,
    parameters: Parameters,
    assign: Assignment = softmax,
    log_noise: Float[Tensor, "s n"] | None = None,
) -> Statistics:
    """The reduction of s sets, each over n points of its own: many small data sets at once.

    `log_noise` is the log density of the noise at each, if the parameters have one.
    """
    theta = Theta.about_means(family, parameters)
    points = Points(x[0], (), theta.reference, log_noise=log_noise)
    kernel = Centred(theta, points, x)
    kernel.background = Background.of(points, theta, x)
    return kernel.summed(kernel.sums(Block(0, x[:, None], None), assign))


def reduce_given(
    family: CovarianceFamily,
    z: Float[Tensor, "*s n d"],
    weight: Float[Tensor, "s k n"],
    reference: Float[Tensor, "*sk d"],
) -> Statistics:
    """The statistics of s sets whose assignments are known, without a log-likelihood.

    Args:
        family: covariance family.
        z: points about the reference: the same for all sets, or n of its own for each.
        weight: how often each point counts in each component.
        reference: what the moments are about.
    """
    each = z if z.ndim == 2 else z[:, None]
    return Statistics(
        log_norm=weight.new_zeros(len(weight)),
        counts=weight.sum(2),
        first=weight @ z,
        second=family.pooled(family.weighted_square(each, weight)),
        reference=reference,
    )


def about(
    family: CovarianceFamily, statistics: Statistics, reference: Float[Tensor, "d"]
) -> Statistics:
    """The same statistics, with moments about one point.

    With first moments F' about it, Σ z zᵀ changes by (F' F'ᵀ - F Fᵀ) / N.
    """
    if statistics.reference.ndim == 1:
        return statistics
    counts, before = statistics.counts, statistics.first
    first = before + times(counts, (statistics.reference - reference).expand(before.shape))
    gain = times(counts.clamp_min(TINY).reciprocal(), family.square(first) - family.square(before))
    second = statistics.second + family.pooled(gain)
    return replace(statistics, first=first, second=second, reference=reference)


def maximise(
    observations: Observations,
    theta: Theta,
    statistics: Statistics,
    floor: Float[Tensor, "d"],
    assign: Assignment = softmax,
    ridge: float = 0.0,
    fixed: Fixed | None = None,
    absent: Bool[Tensor, "s k"] | None = None,
) -> Theta:
    """The M-step, from the statistics that `reduce` gave for this theta and assignment.

    The floor and the ridge are those of `CovarianceFamily.m_step`; what is fixed stays, and absent
    components, which make sets of fewer fit into a batch, stay copies of the first. Where a new
    component is so tight that the moments about the data's centre have cancelled, the moments are
    taken once more, about its mean.
    """

    def again(about: Theta) -> Statistics:
        return filled(reduce(observations, about, assign), absent, observations)

    near, known = asks_parameters(assign), filled(statistics, absent, observations)
    return maximised(observations, theta, known, again, floor, ridge, fixed, near=near)


def maximised(
    points: Points,
    theta: Theta,
    statistics: Statistics,
    again: Callable[[Theta], Statistics],
    floor: Float[Tensor, "d"],
    ridge: float = 0.0,
    fixed: Fixed | None = None,
    *,
    near: bool = True,
) -> Theta:
    """As `maximise`, whatever reduction the statistics are from: `again` is the same one.

    An M-step that is a search goes on from the parameters, where these are near.
    """
    current = theta.parameters.factor if near else None
    is_plain = points.compiled and not ridge

    def m_step(statistics: Statistics) -> Parameters:
        if fixed is None:
            small = small_m_step(theta.family, statistics, floor, current) if is_plain else None
            return small or theta.family.m_step(statistics, floor, ridge, current)
        return fixed.m_step(statistics, theta.parameters, floor, ridge)

    found = theta_of(theta.family, m_step(statistics), points)
    if theta.centred or not found.centred:
        return found
    about_means = Theta.about_means(theta.family, theta.parameters, found.parameters.means)
    return theta_of(theta.family, m_step(again(about_means)), points)


# ---------------------------------------------------------------------- reading it as a gradient


class _LogLikelihood(torch.autograd.Function):
    """Σ u log p(x) as a function of natural parameters; its gradient is the statistics."""

    @staticmethod
    def forward(
        ctx: Any, observations: Observations, theta: Theta, *natural: Tensor
    ) -> Float[Tensor, "s"]:
        """Of the natural parameters that theta holds, too."""
        statistics = reduce(observations, theta)
        ctx.save_for_backward(*statistics.sums)
        return statistics.log_norm

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Float[Tensor, "s"]) -> tuple[Tensor | None, ...]:
        return None, None, *(times(upstream, sums) for sums in ctx.saved_tensors)


def log_likelihood(
    observations: Observations, family: CovarianceFamily, parameters: Parameters
) -> Float[Tensor, "s"]:
    """Log-likelihood of s sets in nats, differentiable in the parameters."""
    theta = theta_of(family, parameters, observations)
    log_norm: Tensor = _LogLikelihood.apply(  # type: ignore[no-untyped-call]
        observations, theta, *theta.natural.leaves
    )
    return log_norm


# ---------------------------------------------------------------------- its second derivative


@one_thread_a_product()
@torch.no_grad()
def information(observations: Observations, theta: Theta) -> Float[Tensor, "e e"]:
    """Minus the Hessian of Σ u log p(x) in the natural parameters of one set of k components.

    Entries go by component and within it as in `Theta.coefficients`, and the last one is that of
    the noise, if there is any, whose only feature is 1: with responsibilities r,

        ∂² log p(x) / ∂θ_j ∂θ_l = (r_j [j = l] - r_j r_l) φ(z_j) φ(z_l)ᵀ

    Source: Louis (1982).
    """
    if isinstance(observations, Partitioned):
        return observations.fold(partial(information, theta=theta), torch.add)
    family, d = theta.family, observations.d
    quadratic = family.n_own_features(d)
    k, width = theta.parameters.log_weights.shape[1], 1 + d + quadratic
    noise = theta.natural.noise is not None
    total = theta.reference.new_zeros(k * width + noise, k * width + noise)
    own = total[: k * width, : k * width]
    diagonal = own.unflatten(1, (k, width)).unflatten(0, (k, width)).diagonal(dim1=0, dim2=2)
    rows = max(1, HESSIAN_NUMBERS // (k * width))
    reference = theta.reference.expand(theta.parameters.means.shape)[0]
    for first in range(0, observations.n, rows):
        part = observations.subset(slice(first, first + rows))
        z = (part.x.to(total) - reference[:, None]).mT.contiguous()
        features = torch.ones(k, width, part.n, dtype=total.dtype, device=total.device)
        features[:, 1 : 1 + d] = z
        for j in range(k if quadratic else 0):
            family.quadratic_features(z[j], features[j, 1 + d :])()
        share = shares(part, theta)[0]
        expected = features * share[:k, None]
        u = part.weights
        diagonal -= ((expected * u) @ features.mT).permute(1, 2, 0)
        each = torch.cat([expected.flatten(0, 1), share[k:]])
        total += (each * u) @ each.T
        if noise:
            total[-1, -1] -= share[k] @ u
    return total
