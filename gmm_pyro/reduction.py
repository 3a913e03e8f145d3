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

Two kernels give the same numbers. `_Features` is two matrix products a chunk, with moments about
the data's centre. `_Centred` works with z = x - μ of each component; it is used where the moments
about the centre would cancel (`IMPRECISE`), and for wide data, whose features would not fit in cache.
A shared (tied) quadratic term is the same for all components and drops out of the softmax: it is
added at the end from the data's own second moment.

Source: Wainwright & Jordan (2008), §3; Dempster, Laird & Rubin (1977).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .covariance import CovarianceFamily, NaturalParameters, Parameters, Statistics
from .covariance.family import Sets
from .observations import ROWS, Observations, chunks
from .threads import map_in_threads, one_thread_a_product

CHUNK_BYTES = 2 << 20  # what a chunk's features and logits may take: stays in the second-level cache
SHORTEST_CHUNK = 256  # points; shorter products are slower than a larger chunk's cache misses
BLOCKS = 16  # units of work handed to threads; sums are added in their order, whoever made them
IMPRECISE = 1e-10  # error of a logit, in nats, from which the centred kernel takes over
WIDE = 100  # features, from which the centred kernel takes over
NEGLIGIBLE = -80.0  # logits this far below the largest count as -inf: denormals are slow

Assign = Callable[[Float[Tensor, "s k n"], slice], Float[Tensor, "s n"]]


@dataclass(frozen=True, eq=False)
class Theta:
    """s sets of k components, ready to be evaluated at points.

    Attributes:
        family: the covariance family.
        parameters: weights, means and covariance factors, in float64.
        natural: the natural parameters about the reference.
        reference: what the moments are about: one point (d,) or a point a component (s, k, d).
        centred: whether z = x - μ is formed for every component.
    """

    family: CovarianceFamily
    parameters: Parameters
    natural: NaturalParameters
    reference: Float[Tensor, "*sk d"]
    centred: bool

    def __getitem__(self, sets: Sets) -> Theta:
        """The chosen sets."""
        reference = self.reference if self.reference.ndim == 1 else self.reference[sets]
        return Theta(
            self.family, self.parameters[sets], self.natural[sets], reference, self.centred
        )

    @classmethod
    def about_means(
        cls,
        family: CovarianceFamily,
        parameters: Parameters,
        means: Float[Tensor, "s k d"] | None = None,
    ) -> Theta:
        """For the centred kernel, with moments about the components' own means or others."""
        reference = (parameters.means if means is None else means).detach()
        natural = family.natural(parameters, reference)
        return cls(family, parameters, natural, reference, centred=True)


def theta_of(
    family: CovarianceFamily, parameters: Parameters, observations: Observations
) -> Theta:
    """The parameters with the kernel that evaluates them exactly on these observations.

    Differentiable: the natural parameters keep their graph.
    """
    d = parameters.means.shape[-1]
    if d > WIDE and family.n_features(d) > d:
        return Theta.about_means(family, parameters)
    natural = family.natural(parameters, observations.origin)
    if _cancels(family, natural, parameters, observations):
        return Theta.about_means(family, parameters)
    return Theta(family, parameters, natural, observations.origin, centred=False)


@torch.no_grad()
def _cancels(
    family: CovarianceFamily,
    natural: NaturalParameters,
    parameters: Parameters,
    observations: Observations,
) -> bool:
    """Whether the terms of z P z, about the data's centre, lose more than `IMPRECISE` nats."""
    reach = family.square((parameters.means - observations.origin).abs())
    largest = (natural.quadratic.abs() * reach).flatten(2).sum(-1).amax()
    epsilon = torch.finfo(observations.x.dtype).eps
    sound = 2 * epsilon * largest <= max(IMPRECISE, 1e4 * epsilon)
    return not bool(sound)  # NaN is not sound: a variance that has cancelled may be negative


# ---------------------------------------------------------------------- assignments


def softmax(logits: Float[Tensor, "s k n"], rows: slice) -> Float[Tensor, "s n"]:
    """Turn logits into responsibilities in place; returns log p(x), shape (s, n)."""
    del rows
    largest = logits.amax(1, keepdim=True)
    logits.sub_(largest)
    torch.threshold_(logits, NEGLIGIBLE, -math.inf)
    total = logits.exp_().sum(1, keepdim=True)
    logits.div_(total)
    return (total.log_().add_(largest)).squeeze(1)


def argmax(logits: Float[Tensor, "s k n"], rows: slice) -> Float[Tensor, "s n"]:
    """Turn logits into hard assignments in place; returns the largest logit, shape (s, n)."""
    del rows
    largest, label = logits.max(1, keepdim=True)
    logits.zero_().scatter_(1, label, 1.0)
    return largest.squeeze(1)


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


# ---------------------------------------------------------------------- the two kernels


class _Kernel(Protocol):
    """Logits of a chunk of points, and the sums that their responsibilities give."""

    rows: int

    def logits(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "s k n"]: ...
    def add_moments(self, responsibilities: Float[Tensor, "s k n"]) -> None: ...
    def sums(self) -> tuple[Tensor, ...]: ...
    def statistics(self, log_norm: Tensor, sums: tuple[Tensor, ...]) -> Statistics: ...


class _Features:
    """logits = Θ Φ, moments = R Φᵀ, with features Φ (f, n) of a chunk about the data's centre."""

    def __init__(self, theta: Theta, observations: Observations) -> None:
        self.theta, self.observations = theta, observations
        family, x = theta.family, observations.x
        self.shape = theta.parameters.log_weights.shape
        self.d = observations.d
        self.quadratic = 0 if family.tied else family.n_features(self.d)
        width = 1 + self.d + self.quadratic
        self.rows = _chunk_rows(width + 2 * self.shape.numel(), x)
        natural = theta.natural
        columns = [natural.constant[..., None], natural.linear]
        columns += [] if family.tied else [family.pack(natural.quadratic, self.d)]
        self.coefficients = torch.cat(columns, -1).flatten(0, 1).to(x)
        self.origin = theta.reference.to(x)[:, None]
        self.features = x.new_empty(width, min(self.rows, len(x)))
        self.features[0] = 1.0
        self.chunk = self.features
        self.total = theta.reference.new_zeros(self.shape.numel(), width)

    def logits(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "s k n"]:
        self.chunk = self.features[:, : len(x)]
        z = self.chunk[1 : 1 + self.d]
        torch.sub(x.T, self.origin, out=z)
        if self.quadratic:
            self.theta.family.quadratic_features(z, self.chunk[1 + self.d :])
        return (self.coefficients @ self.chunk).view(*self.shape, len(x))

    def add_moments(self, responsibilities: Float[Tensor, "s k n"]) -> None:
        flat = responsibilities.flatten(0, 1)
        if flat.dtype == self.total.dtype:
            self.total.addmm_(flat, self.chunk.T)
        else:
            self.total += flat @ self.chunk.T

    def sums(self) -> tuple[Tensor, ...]:
        return (self.total,)

    def statistics(self, log_norm: Tensor, sums: tuple[Tensor, ...]) -> Statistics:
        moments = sums[0].view(*self.shape, -1)
        counts, first = moments[..., 0], moments[..., 1 : 1 + self.d]
        if self.theta.family.tied:
            second = _second_moment(self.theta.family, self.observations)
            second = second.expand(self.shape[0], 1, *second.shape)
            shared = (self.theta.natural.quadratic * second).flatten(1).sum(1)
            log_norm = log_norm + shared
        else:
            second = self.theta.family.unpack(moments[..., 1 + self.d :], self.d)
        return Statistics(log_norm, counts, first, second, self.theta.reference)


class _Centred:
    """logits = log peak - ‖L⁻¹ (x - μ)‖² / 2, with moments about a reference a component."""

    def __init__(self, theta: Theta, observations: Observations) -> None:
        self.theta = theta
        family, x, p = theta.family, observations.x, theta.parameters
        self.shape = p.log_weights.shape
        self.d = observations.d
        self.rows = _chunk_rows(3 * self.shape.numel() * self.d, x)
        self.log_peak = family.log_peak(p)[..., None].to(x)
        self.factor = p.factor.to(x)
        self.means = p.means.to(x)[:, :, None]
        self.reference = theta.reference.expand(p.means.shape).to(x)[:, :, None]
        self.same = theta.reference.shape == p.means.shape and theta.reference.equal(p.means)
        self.z = self.means
        self.counts = p.means.new_zeros(self.shape)
        self.first = torch.zeros_like(p.means)
        second = family.n_covariances(self.shape[1]), *family.event_shape(self.d)
        self.second = p.means.new_zeros(self.shape[0], *second)

    def logits(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "s k n"]:
        z = x - self.means
        self.z = z if self.same else x - self.reference
        whitened = self.theta.family.whiten(self.factor, z)
        return self.log_peak - 0.5 * whitened.square_().sum(-1)

    def add_moments(self, responsibilities: Float[Tensor, "s k n"]) -> None:
        self.counts += responsibilities.sum(-1)
        self.first += (responsibilities[..., None, :] @ self.z)[..., 0, :]
        second = self.theta.family.weighted_square(self.z, responsibilities)
        self.second += second.sum(1, keepdim=True) if self.theta.family.tied else second

    def sums(self) -> tuple[Tensor, ...]:
        return self.counts, self.first, self.second

    def statistics(self, log_norm: Tensor, sums: tuple[Tensor, ...]) -> Statistics:
        return Statistics(log_norm, *sums, self.theta.reference)


def _kernel(theta: Theta, observations: Observations) -> _Kernel:
    return (_Centred if theta.centred else _Features)(theta, observations)


def _chunk_rows(numbers_a_point: int, x: Tensor) -> int:
    if x.device.type != "cpu":
        return max(SHORTEST_CHUNK, (64 * CHUNK_BYTES) // (numbers_a_point * x.element_size()))
    return max(SHORTEST_CHUNK, CHUNK_BYTES // (numbers_a_point * x.element_size()))


def _second_moment(family: CovarianceFamily, observations: Observations) -> Tensor:
    """Σ u z zᵀ over the data in compact form, which a tied family needs once a fit."""
    key = f"second moment, {family.name}"
    if key not in observations.cache:
        total = torch.zeros((), dtype=torch.float64, device=observations.x.device)
        for rows in chunks(observations.n, ROWS):
            z = observations.x[rows].double() - observations.origin
            weight = z.new_ones(len(z))
            if observations.sample_weight is not None:
                weight = observations.sample_weight[rows].double()
            total = total + family.weighted_square(z, weight)
        observations.cache[key] = total
    return observations.cache[key]


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
    kernel = _kernel(theta, observations)
    starts = range(0, observations.n, kernel.rows)
    per_block = math.ceil(len(starts) / BLOCKS)
    blocks = [starts[i : i + per_block] for i in range(0, len(starts), per_block)]
    work = functools.partial(_reduce_block, observations, theta, assign)
    parts = [work(blocks[0], kernel)] if len(blocks) == 1 else map_in_threads(work, blocks)
    log_norm, *sums = (torch.stack(part).sum(0) for part in zip(*parts, strict=True))
    return kernel.statistics(log_norm, tuple(sums))


def maximise(
    observations: Observations,
    theta: Theta,
    statistics: Statistics,
    floor: Float[Tensor, "d"],
    assign: Assign = softmax,
) -> Theta:
    """The M-step, from the statistics that `reduce` gave for this theta and assignment.

    Where a new component is so tight that the moments about the data's centre have cancelled, the
    moments are taken once more, about its mean.
    """
    found = theta_of(theta.family, theta.family.m_step(statistics, floor), observations)
    if theta.centred or not found.centred:
        return found
    about_means = Theta.about_means(theta.family, theta.parameters, found.parameters.means)
    parameters = theta.family.m_step(reduce(observations, about_means, assign), floor)
    return theta_of(theta.family, parameters, observations)


def _reduce_block(
    observations: Observations,
    theta: Theta,
    assign: Assign,
    starts: range,
    kernel: _Kernel | None = None,
) -> tuple[Tensor, ...]:
    """log_norm and the kernel's sums over consecutive chunks."""
    kernel = kernel or _kernel(theta, observations)
    log_norm = theta.parameters.log_weights.new_zeros(theta.parameters.log_weights.shape[0])
    for first in starts:
        rows = slice(first, min(first + kernel.rows, observations.n))
        logits = kernel.logits(observations.x[rows])
        log_p = assign(logits, rows)
        if observations.sample_weight is not None:
            weight = observations.sample_weight[rows]
            log_p, logits = log_p * weight, logits.mul_(weight)
        kernel.add_moments(logits)
        log_norm += log_p.sum(1)
    return log_norm, *kernel.sums()


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
        ctx.save_for_backward(statistics.counts, statistics.first, statistics.second)
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
    log_norm: Tensor = _LogLikelihood.apply(*vars(theta.natural).values(), observations, theta)
    return log_norm


# ---------------------------------------------------------------------- one value a point


def log_density(observations: Observations, theta: Theta) -> Float[Tensor, "s n"]:
    """log p(x) of every point in nats."""
    parts = [softmax(logits, rows) for rows, logits in _each_chunk(observations, theta)]
    return torch.cat(parts, -1)


def responsibilities(observations: Observations, theta: Theta) -> Float[Tensor, "s k n"]:
    """Posterior probability of every component at every point."""
    parts = []
    for rows, logits in _each_chunk(observations, theta):
        softmax(logits, rows)
        parts.append(logits)
    return torch.cat(parts, -1)


def labels(observations: Observations, theta: Theta) -> Int[Tensor, "s n"]:
    """The most probable component of every point."""
    return torch.cat([logits.argmax(1) for _, logits in _each_chunk(observations, theta)], -1)


def _each_chunk(
    observations: Observations, theta: Theta
) -> Iterator[tuple[slice, Float[Tensor, "s k n"]]]:
    """Complete logits, chunk by chunk: a tied quadratic term is not left out."""
    if theta.family.tied and not theta.centred:
        theta = Theta.about_means(theta.family, theta.parameters)
    kernel = _kernel(theta, observations)
    for rows in chunks(observations.n, kernel.rows):
        yield rows, kernel.logits(observations.x[rows])
