"""The algebra of a step where components are few and small: compiled, or else torch's.

Torch takes some microseconds a call, and a step some hundred calls: more than a pass over a few
thousand points. Each function returns None where the family's own algebra is to do it.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import CovarianceFamily, NaturalParameters, Parameters, Statistics
from ..covariance.records import ABSENT
from ..data.points import Points
from . import coupled
from .decision import is_ready, loops

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


def m_step(
    family: CovarianceFamily, statistics: Statistics, floor: Tensor, current: Tensor | None = None
) -> Parameters | None:
    """`CovarianceFamily.m_step`, where all is as it mostly is: no covariance is singular."""
    found = tried_m_step(family, statistics, floor, current)
    return found[0] if found is not None and bool(found[1].all()) else None


def tried_m_step(
    family: CovarianceFamily, statistics: Statistics, floor: Tensor, current: Tensor | None = None
) -> tuple[Parameters, Bool[Tensor, "s"]] | None:
    """The same, with the sets for which it is so; the others have parameters of no account."""
    first, second, d = statistics.first, statistics.second, len(floor)
    if statistics.noise is not None or not is_small(first):
        return None
    if not is_ready(torch.float64):
        return None
    alone = type(family).fit_all is CovarianceFamily.fit_all  # each covariance is fitted so
    if not (alone or coupled.has_loops(family, d, goes_on=current is not None)):
        return None
    around = statistics.reference if statistics.reference.ndim == 1 else torch.zeros_like(floor)
    compact_second, sound = compact(second), np.ones(len(first), np.bool_)
    found = np.empty(first.shape[:2]), np.empty(first.shape), np.empty(compact_second.shape), sound
    given = (
        array(statistics.counts),
        array(first),
        compact_second,
        array(around),
        array(floor),
        kind_of(family, d),
    )
    if alone:
        loops().m_step()(*given, *found)
    else:
        coupled.m_step(family, given, None if current is None else compact(current), *found)
    log_weights, means, factor, good = map(torch.from_numpy, found)
    if statistics.reference.ndim > 1:
        means += statistics.reference
    return Parameters(log_weights, means, factor.view(second.shape)), good


def filled(
    statistics: Statistics, absent: Bool[Tensor, "s k"] | None, points: Points
) -> Statistics:
    """`Statistics.with_copies` in the places of absent components, if there are any."""
    if absent is None:
        return statistics
    if not points.compiled or not is_ready(torch.float64):
        return statistics.with_copies(absent)
    k, places = absent.shape[1], array(absent)

    def copied(values: Tensor) -> Tensor:
        found = compact(values).copy()
        loops().write_copies()(places, ABSENT, found)
        return torch.from_numpy(found).view(values.shape)

    shared = statistics.second.shape[1] < k
    return replace(
        statistics,
        counts=copied(statistics.counts),
        first=copied(statistics.first),
        second=statistics.second if shared else copied(statistics.second),
    )


def natural(
    family: CovarianceFamily, parameters: Parameters, points: Points, allowed: float
) -> NaturalParameters | None:
    """`CovarianceFamily.natural` about the origin, where terms are surely no more than allowed."""
    p = parameters
    learned = torch.is_grad_enabled() and any(value.requires_grad for value in p.values)
    if learned or p.log_odds is not None or not is_small(p.means) or not is_ready(torch.float64):
        return None
    factor = compact(p.factor)
    found = np.empty(p.log_weights.shape), np.empty(p.means.shape), np.empty(factor.shape)
    terms = loops().natural()(
        array(p.log_weights),
        array(p.means),
        factor,
        points.origin.numpy(),
        kind_of(family, points.d),
        *found,
    )
    if not terms <= allowed:
        return None
    constant, linear, quadratic = map(torch.from_numpy, found)
    return NaturalParameters(constant, linear, quadratic.view(p.factor.shape))


def array(tensor: Tensor) -> np.ndarray:
    """A tensor as an array of its own order, whether it is learned or not."""
    found: np.ndarray = (tensor.detach() if tensor.requires_grad else tensor).numpy()
    return found if found.flags.c_contiguous else np.ascontiguousarray(found)


def compact(tensor: Float[Tensor, "s c *event"]) -> np.ndarray:
    """Covariances in compact form as an array (s, c, e)."""
    found = array(tensor)
    return found.reshape(*found.shape[:2], -1)
