"""The M-step of coupled families as compiled parts, for few components: see `small.py`.

Scatters are seen along some axes, what covariances have in common there takes their place, and that
is assembled. Where something is not as it mostly is, a set is not sound: that is left to torch.
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
from .decision import coupled_is_ready, loops

FEW = 8  # features, up to which plane rotations are faster than LAPACK's eigenvectors

Array = np.ndarray
Kinds = tuple[int, int, int]  # features, and the kinds of what is along axes and of covariances


def has_loops(family: CovarianceFamily, d: int, *, goes_on: bool) -> bool:
    """Whether the family's M-step is there: of common axes, one that goes on from others."""
    if type(family) not in RULES:
        return False
    axes, _ = RULES[type(family)]
    known = axes is None or (d <= FEW and (goes_on or axes is own_axes))
    return known and coupled_is_ready()


def m_step(
    family: CovarianceFamily, given: tuple[Any, ...], current: Array | None, *found: Array
) -> None:
    """As `loops.algebra.m_step` has it, from current factors (s, k, e) on if there are any."""
    log_weights, means, factor, sound = found
    held, kind, d = np.empty(log_weights.shape), given[-1], means.shape[2]
    near = factor[:0] if current is None else current
    part("begin")(*given, *found, held)
    constrain(family, factor, held, near, d, sound)
    part("end")(factor, held, d, kind, sound)


def constrain(
    family: CovarianceFamily, scatters: Array, counts: Array, current: Array, d: int, sound: Array
) -> None:
    """Put the family's likeliest covariances in the place of scatters."""
    axes, common = RULES[type(family)]
    kinds = loops().algebra
    kind = kinds.MATRIX if family.is_matrix else kinds.DIAGONAL
    if axes is None:
        common(scatters, counts, current, (d, kind, kind), sound)
        return
    values = np.zeros((*counts.shape, d))  # as they stay of components without points
    vectors = np.zeros((*counts.shape, d, d))
    axes(family, scatters, counts, current, sound, values, vectors)
    common(values, counts, current, (d, kinds.DIAGONAL, kind), sound)
    part("assembled")(values, vectors, scatters)


def own_axes(
    family: CovarianceFamily, scatters: Array, counts: Array, current: Array, *found: Array
) -> None:
    """Of each scatter."""
    part("own_axes")(scatters, counts, *found)


def common_axes(
    family: CovarianceFamily, scatters: Array, counts: Array, current: Array, *found: Array
) -> None:
    """The same for all, near the current ones."""
    equal, turns = RULES[type(family)][1] is one_volume, turns_of(found[1].shape[2])
    part("common_axes")(scatters, counts, current, turns, int(equal), *found)


def one_shape(scatters: Array, counts: Array, current: Array, as_: Kinds, sound: Array) -> None:
    """Volumes differ."""
    part("one_shape")(scatters, counts, current, as_[0], as_[1:], sound)


def one_volume(scatters: Array, counts: Array, current: Array, as_: Kinds, sound: Array) -> None:
    """Shapes differ."""
    part("one_volume")(scatters, counts, *as_[:2], sound)


def alike(scatters: Array, counts: Array, current: Array, as_: Kinds, sound: Array) -> None:
    """Nothing differs."""
    scatters[:] = (scatters.sum(1) / counts.sum(1)[:, None])[:, None]


def free(scatters: Array, counts: Array, current: Array, as_: Kinds, sound: Array) -> None:
    """All differs."""
    scatters /= np.where(counts > 0, counts, 1.0)[..., None]


RULES: dict[type[CovarianceFamily], tuple[Callable[..., None] | None, Callable[..., None]]] = {
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
