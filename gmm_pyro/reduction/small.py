"""The algebra of a step where components are few and small: compiled, or else torch's.

Torch takes some microseconds a call, and a step some hundred calls: more than a pass over a few
thousand points. Each function returns None where the family's own algebra is to do it.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, NaturalParameters, Parameters, Statistics
from ..covariance.graded import rounds
from ..data.points import Points
from .decision import loops

MOST = 1e5  # k d³ of all sets, above which LAPACK's blocks are faster
FEW = 8  # features, up to which plane rotations are faster than its eigenvectors
RULES = {
    "VEI": ("ALONG", "ONE_SHAPE"),
    "EVI": ("ALONG", "ONE_VOLUME"),
    "VEE": ("ALONG", "ONE_SHAPE"),
    "EVV": ("ALONG", "ONE_VOLUME"),
    "EEV": ("OWN", "ALIKE"),
    "VEV": ("OWN", "ONE_SHAPE"),
    "EVE": ("COMMON", "ONE_VOLUME"),
    "VVE": ("COMMON", "FREE"),
}  # axes that scatters are seen in, and what covariances have in common along these


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
    """`CovarianceFamily.m_step`, where all is as it mostly is: no covariance is at the floor."""
    first, second = statistics.first, statistics.second
    if statistics.noise is not None or statistics.reference.ndim > 1 or not is_small(first):
        return None
    found = np.empty(first.shape[:2]), np.empty(first.shape), np.empty(compact(second).shape)
    given = (
        array(statistics.counts),
        array(first),
        compact(second),
        statistics.reference.numpy(),
        floor.numpy(),
    )
    kind, d = kind_of(family, first.shape[-1]), first.shape[-1]
    if type(family).fit_all is CovarianceFamily.fit_all:  # each covariance is fitted alone
        sound = loops().m_step()(*given, kind, *found)
    elif family.name in RULES and d <= FEW:
        rule = kind, *rule_of(family)
        near = compact(second)[:0] if current is None else compact(current)
        sound = loops().coupled_m_step()(*given, rule, turns(d), near, *found)
    else:
        return None
    if not sound:
        return None
    log_weights, means, factor = map(torch.from_numpy, found)
    return Parameters(log_weights, means, factor.view(second.shape))


@functools.cache
def rule_of(family: CovarianceFamily) -> tuple[int, int]:
    """Axes of covariances, and what they have in common along these, as the loops have it."""
    rules = loops().coupled
    axes, common = RULES[family.name]
    return getattr(rules, axes), getattr(rules, common)


@functools.cache
def turns(d: int) -> np.ndarray:
    """Pairs of axes by rounds (r, p, 2), of which those of a round have none in common."""
    pairs = [torch.stack(round, 1) for round in rounds(d, torch.device("cpu"))]
    return np.empty((0, 0, 2), np.int64) if d == 1 else torch.stack(pairs).numpy()


def natural(
    family: CovarianceFamily, parameters: Parameters, points: Points, allowed: float
) -> NaturalParameters | None:
    """`CovarianceFamily.natural` about the origin, where terms are surely not above what is allowed."""
    p = parameters
    learned = torch.is_grad_enabled() and any(value.requires_grad for value in p.values)
    if learned or p.log_odds is not None or not is_small(p.means):
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
    return tensor.detach().contiguous().numpy()


def compact(tensor: Float[Tensor, "s c *event"]) -> np.ndarray:
    """Covariances in compact form as an array (s, c, e)."""
    found = array(tensor)
    return found.reshape(*found.shape[:2], -1)
