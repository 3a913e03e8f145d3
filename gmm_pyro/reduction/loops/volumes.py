"""Volumes of covariances of a few components: `covariance/volumes.py`, a set at a time.

Scatters are numbers (k, e), e = d variances or e = d d of matrices, and zeros of components without
points. A function says False where something has failed.
"""

from __future__ import annotations

import math

import numpy as np

from ...covariance.volumes import ENOUGH, ENOUGH_NEAR, HALVINGS, STEPS, SUFFICIENT
from .algebra import MATRIX, TINY, cholesky, half_log_determinant, inverted
from .build import compiled
from .eigen import Array


@compiled
def one_shape(
    scatters: Array, counts: Array, current: Array, d: int, kinds: tuple[int, int], sound: Array
) -> None:
    """Covariances λ_k C in the place of scatters.

    Args:
        scatters: shape (s, k, e).
        counts: shape (s, k).
        current: factors whose volumes are begun at, shape (s, k, e); (0, k, e) if there are none.
        d: number of features.
        kinds: of scatters, and of current factors.
        sound: which sets are, shape (s,).
    """
    sets, k, numbers = scatters.shape
    path, size, pooled = np.empty(k), np.empty(k), np.empty(numbers)
    for s in range(sets):
        total = 0.0
        if not sound[s]:
            continue
        for c in range(k):
            total += counts[s, c]
            size[c] = 1.0
            if len(current) > 0:
                size[c] = math.exp(2 * half_log_determinant(current[s, c], d, kinds[1]) / d)
        enough = ENOUGH if len(current) == 0 else ENOUGH_NEAR
        sound[s] = minimum(scatters[s], counts[s], total, size, d, kinds[0], enough, path)
        for i in range(numbers):
            pooled[i] = 0.0
            for c in range(k):
                pooled[i] += scatters[s, c, i] / math.exp(path[c])
            for c in range(k):
                scatters[s, c, i] = math.exp(path[c]) / total * pooled[i]


@compiled
def minimum(
    scatters: Array,
    counts: Array,
    total: float,
    size: Array,
    d: int,
    kind: int,
    enough: float,
    path: Array,
) -> bool:
    """The logarithms of volumes, up to a common number, by Newton's method."""
    k = len(counts)
    own, pairs, part = np.empty(k), np.empty((k, k)), np.empty(k)
    slope, move = np.empty(k), np.empty(k)
    for c in range(k):
        part[c], path[c] = counts[c] / total, math.log(size[c])
    objective(scatters, part, path, d, kind, own, pairs)
    for c in range(k):  # a step of the alternation
        path[c] = math.log(size[c] * own[c] / (d * part[c])) if part[c] > 0 else 0.0
    value = objective(scatters, part, path, d, kind, own, pairs)
    for _ in range(STEPS):
        if not direction(d, part, own, pairs, slope, move):
            return False
        promise = 0.0
        for c in range(k):
            promise -= slope[c] * move[c]
        reached = moved(scatters, part, path, move, (value, promise), (d, kind), own, pairs)
        gain, value = value - reached, reached
        if not (promise > enough and gain > ENOUGH):
            break
    return math.isfinite(value)


@compiled
def moved(
    scatters: Array,
    part: Array,
    path: Array,
    move: Array,
    before: tuple[float, float],
    kinds: tuple[int, int],
    own: Array,
    pairs: Array,
) -> float:
    """The objective after as much of a move as lowers it enough; takes the path there.

    Args:
        scatters: shape (k, e).
        part: share of the points of each component.
        path: logarithms of volumes.
        move: of these.
        before: the objective at the path, and what the whole move promises to take from it.
        kinds: number of features, and the kind of scatters.
        own: as `objective` has it.
        pairs: as `objective` has it.
    """
    here, share, reached = path.copy(), 2.0, np.inf
    for _ in range(HALVINGS):
        share /= 2
        for c in range(len(path)):
            path[c] = here[c] + share * move[c]
        reached = objective(scatters, part, path, kinds[0], kinds[1], own, pairs)
        if not reached > before[0] + ENOUGH - share * SUFFICIENT * before[1]:
            break
    return reached


@compiled
def objective(
    scatters: Array, part: Array, path: Array, d: int, kind: int, own: Array, pairs: Array
) -> float:
    """What is to be small, at logarithms of volumes; writes what `Shares` has there."""
    k, numbers = scatters.shape
    each, total, value = np.empty((k, numbers)), np.zeros(numbers), 0.0
    for c in range(k):
        value += d * part[c] * path[c]
        for i in range(numbers):
            each[c, i] = scatters[c, i] / math.exp(path[c])
            total[i] += each[c, i]
    step = d + 1 if kind == MATRIX else 1
    if kind == MATRIX:
        whiten(total, each, d)
    else:
        for i in range(d):
            for c in range(k):
                each[c, i] /= total[i]
    for i in range(d):
        value += math.log(total[i * step]) * (2 if kind == MATRIX else 1)
    take_shares(each, d, step, own, pairs)
    return value


@compiled
def take_shares(each: Array, d: int, step: int, own: Array, pairs: Array) -> None:
    """Traces of scatters in units of their total, and those of their products."""
    k, numbers = each.shape
    for c in range(k):
        own[c] = 0.0
        for i in range(d):
            own[c] += each[c, i * step]
        for b in range(c + 1):
            product = 0.0
            for i in range(numbers):
                product += each[c, i] * each[b, i]
            pairs[c, b] = pairs[b, c] = product


@compiled
def whiten(total: Array, each: Array, d: int) -> None:
    """Scatters in units of their total, and this as its factor, which is NaN if there is none."""
    inverse, half = np.zeros((d, d)), np.empty((d, d))
    if not cholesky(total, d):
        total[0] = np.nan
    inverted(total, d, inverse)
    for c in range(len(each)):
        for i in range(d):
            for j in range(d):
                value = 0.0
                for m in range(i + 1):
                    value += inverse[i, m] * each[c, m * d + j]
                half[i, j] = value
        for i in range(d):
            for j in range(d):
                value = 0.0
                for m in range(j + 1):
                    value += half[i, m] * inverse[j, m]
                each[c, i * d + j] = value


@compiled
def direction(d: int, part: Array, own: Array, pairs: Array, slope: Array, move: Array) -> bool:
    """Newton's step, of which the common factor is left out; False if there is none."""
    k, mean = len(part), 0.0
    hessian = np.empty(k * k)
    for c in range(k):
        slope[c] = d * part[c] - own[c]
        for b in range(k):
            hessian[c * k + b] = 1 / k - pairs[c, b]
        hessian[c * k + c] += own[c] if part[c] > 0 else 1.0
    if not cholesky(hessian, k):
        return False
    for c in range(k):
        move[c] = -slope[c]
        for b in range(c):
            move[c] -= hessian[c * k + b] * move[b]
        move[c] /= hessian[c * k + c]
    for c in range(k - 1, -1, -1):
        for b in range(c + 1, k):
            move[c] -= hessian[b * k + c] * move[b]
        move[c] /= hessian[c * k + c]
        mean += move[c] / k
    for c in range(k):
        move[c] -= mean
    return True


@compiled
def one_volume(scatters: Array, counts: Array, d: int, kind: int, sound: Array) -> None:
    """Covariances λ C_k in the place of scatters, as `one_shape` has them."""
    sets, k, numbers = scatters.shape
    size, factor = np.empty(k), np.empty(numbers)
    for s in range(sets):
        total, together = 0.0, 0.0
        for c in range(k):
            size[c] = 0.0
            if counts[s, c] > 0:
                for i in range(numbers):
                    factor[i] = scatters[s, c, i]
                sound[s] = sound[s] and (kind != MATRIX or cholesky(factor, d))
                half = half_log_determinant(factor, d, kind)
                size[c] = math.exp((2 * half if kind == MATRIX else half) / d)
            total += counts[s, c]
            together += size[c]
        for c in range(k):
            for i in range(numbers):
                scatters[s, c, i] *= together / total / max(size[c], TINY)
