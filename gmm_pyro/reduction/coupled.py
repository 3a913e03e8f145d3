"""The M-step of coupled families as compiled parts, for few components: see `small.py`.

Scatters are seen along some axes, what covariances have in common there takes their place, and that
is assembled. A part says False where something is not as it mostly is: torch then does it all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..covariance import CovarianceFamily
from ..covariance.axes_in_common import EVE, VVE
from ..covariance.coupled import EEV, EVI, EVV, VEE, VEI, VEV
from ..covariance.graded import rounds
from .decision import loops

FEW = 8  # features, up to which plane rotations are faster than LAPACK's eigenvectors

Array = np.ndarray
Kinds = tuple[int, int]  # of what is seen along axes, and of covariances


def has_loops(family: CovarianceFamily, d: int, *, goes_on: bool) -> bool:
    """Whether the family's M-step is there: of common axes, one that goes on from others."""
    if type(family) not in RULES:
        return False
    axes, _ = RULES[type(family)]
    return axes is None or (d <= FEW and (goes_on or axes is own_axes))


def m_step(
    family: CovarianceFamily,
    given: tuple[Any, ...],
    current: Array | None,
    found: tuple[Array, Array, Array],
) -> bool:
    """Whether an M-step could be done.

    Args:
        family: the family.
        given: counts, first and second moments, reference, floor, and the kind of covariances.
        current: factors to go on from, shape (s, k, e), or None.
        found: where log weights, means and factors are written.
    """
    log_weights, means, factor = found
    held, kind, d = np.empty(log_weights.shape), given[-1], means.shape[2]
    near = factor[:0] if current is None else current
    return (
        part("begin")(*given, log_weights, means, held, factor)
        and covariances(family, factor, held, near, d)
        and part("end")(factor, held, d, kind)
    )


def covariances(
    family: CovarianceFamily, scatters: Array, counts: Array, current: Array, d: int
) -> bool:
    """Put the family's likeliest covariances in the place of scatters."""
    axes, common = RULES[type(family)]
    kinds = loops().algebra
    kind = kinds.MATRIX if family.is_matrix else kinds.DIAGONAL
    if axes is None:
        return common(scatters, counts, current, d, (kind, kind))
    values = np.empty((*counts.shape, d))
    vectors = np.empty((*counts.shape, d, d))
    if not axes(family, scatters, counts, current, values, vectors):
        return False
    if not common(values, counts, current, d, (kinds.DIAGONAL, kind)):
        return False
    part("assembled")(values, vectors, scatters)
    return True


def own_axes(
    family: CovarianceFamily, scatters: Array, counts: Array, current: Array, *found: Array
) -> bool:
    """Of each scatter."""
    return part("own_axes")(scatters, counts, *found)


def common_axes(
    family: CovarianceFamily, scatters: Array, counts: Array, current: Array, *found: Array
) -> bool:
    """The same for all, near the current ones."""
    equal, turns = RULES[type(family)][1] is one_volume, turns_of(found[0].shape[2])
    return part("common_axes")(scatters, counts, current, equal, turns, *found)


def one_shape(scatters: Array, counts: Array, current: Array, d: int, kinds: Kinds) -> bool:
    """Volumes differ."""
    return part("one_shape")(scatters, counts, current, d, kinds)


def one_volume(scatters: Array, counts: Array, current: Array, d: int, kinds: Kinds) -> bool:
    """Shapes differ."""
    return part("one_volume")(scatters, counts, d, kinds[0])


def alike(scatters: Array, counts: Array, current: Array, d: int, kinds: Kinds) -> bool:
    """Nothing differs."""
    scatters[:] = scatters.sum(1, keepdims=True) / counts.sum(1)[:, None, None]
    return True


def free(scatters: Array, counts: Array, current: Array, d: int, kinds: Kinds) -> bool:
    """All differs."""
    scatters /= np.where(counts > 0, counts, 1.0)[..., None]
    return True


RULES: dict[type[CovarianceFamily], tuple[Callable[..., bool] | None, Callable[..., bool]]] = {
    VEI: (None, one_shape),
    EVI: (None, one_volume),
    VEE: (None, one_shape),
    EVV: (None, one_volume),
    EEV: (own_axes, alike),
    VEV: (own_axes, one_shape),
    EVE: (common_axes, one_volume),
    VVE: (common_axes, free),
}  # axes that scatters are seen along, if not as they are, and what is in common there


@functools.cache
def part(name: str) -> Callable[..., Any]:
    """A compiled part of an M-step."""
    return loops().coupled_part(name)


@functools.cache
def turns_of(d: int) -> np.ndarray:
    """Pairs of axes by rounds (r, p, 2), of which those of a round have none in common."""
    pairs = [torch.stack(each, 1) for each in rounds(d, torch.device("cpu"))]
    return torch.stack(pairs).numpy() if pairs else np.empty((0, 0, 2), np.int64)
