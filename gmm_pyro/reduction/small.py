"""The algebra of a step where components are few and small: compiled, or else torch's.

Torch takes some microseconds a call, and a step some hundred calls: more than a pass over a few
thousand points. Each function returns None where the family's own algebra is to do it.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..covariance import CovarianceFamily, NaturalParameters, Parameters, Statistics
from ..data.points import Points
from .decision import loops

MOST = 1e5  # k d³ of all sets, above which LAPACK's blocks are faster


@functools.cache
def kind_of(family: CovarianceFamily, d: int) -> int:
    """What a covariance in compact form is, as the loops have it."""
    kinds = loops().algebra
    if family.is_matrix:
        return kinds.MATRIX
    return kinds.DIAGONAL if family.event_shape(d) == (d,) else kinds.SPHERE


def is_small(means: Tensor) -> bool:
    """Whether the means are of few components in few dimensions."""
    return means.numel() * means.shape[-1] ** 2 <= MOST


def m_step(family: CovarianceFamily, statistics: Statistics, floor: Tensor) -> Parameters | None:
    """`CovarianceFamily.m_step`, where covariances are fitted one by one and none is at the floor."""
    first = statistics.first
    apart = type(family).fit_all is CovarianceFamily.fit_all
    if not apart or statistics.noise is not None or not is_small(first):
        return None
    if statistics.reference.ndim > 1:
        return None
    log_weights, means = torch.empty_like(statistics.counts), torch.empty_like(first)
    factor = torch.empty_like(statistics.second, memory_format=torch.contiguous_format)
    sound = loops().m_step()(
        statistics.counts.numpy(),
        first.numpy(),
        statistics.second.contiguous().flatten(2).numpy(),
        statistics.reference.numpy(),
        floor.numpy(),
        kind_of(family, first.shape[-1]),
        log_weights.numpy(),
        means.numpy(),
        factor.flatten(2).numpy(),
    )
    return Parameters(log_weights, means, factor) if sound else None


def natural(
    family: CovarianceFamily, parameters: Parameters, points: Points, allowed: float
) -> NaturalParameters | None:
    """`CovarianceFamily.natural` about the origin, where terms are surely not above what is allowed."""
    p = parameters
    learned = torch.is_grad_enabled() and any(value.requires_grad for value in p.values)
    if learned or p.log_odds is not None or not is_small(p.means):
        return None
    constant, linear = torch.empty_like(p.log_weights), torch.empty_like(p.means)
    quadratic = torch.empty_like(p.factor, memory_format=torch.contiguous_format)
    terms = loops().natural()(
        p.log_weights.contiguous().numpy(),
        p.means.contiguous().numpy(),
        p.factor.contiguous().flatten(2).numpy(),
        points.origin.numpy(),
        kind_of(family, points.d),
        constant.numpy(),
        linear.numpy(),
        quadratic.flatten(2).numpy(),
    )
    return NaturalParameters(constant, linear, quadratic) if terms <= allowed else None
