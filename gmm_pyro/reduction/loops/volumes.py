"""Volumes of covariances of one shape, of a few components: `covariance/volumes.py`, a set at a time.

Scatters are numbers (k, e): variances, e = d, or matrices, e = d d. Nothing is NaN but what has
failed, and a function says so.
"""

from __future__ import annotations

import math

import numpy as np

from ...covariance.volumes import ENOUGH, ENOUGH_NEAR, HALVINGS, STEPS, SUFFICIENT
from .algebra import MATRIX, Array, cholesky, inverted
from .build import compiled


@compiled
def one_shape(scatters: Array, counts: Array, near: Array, d: int, kind: int) -> bool:
    """Covariances λ_k C in the place of scatters; False where they are not found.

    Args:
        scatters: shape (k, e).
        counts: shape (k,).
        near: volumes to begin at, shape (k,); (0,) if there are none.
        d: number of features.
        kind: of scatters: matrices or variances.
    """
    k, total = len(counts), counts.sum()
    path, size, pooled = np.empty(k), np.empty(k), np.zeros(scatters.shape[1])
    if not minimum(scatters, counts / total, near, d, kind, path):
        return False
    for c in range(k):
        size[c] = math.exp(path[c])
        for i in range(len(pooled)):
            pooled[i] += scatters[c, i] / size[c]
    for c in range(k):
        for i in range(len(pooled)):
            scatters[c, i] = size[c] / total * pooled[i]
    return True


@compiled
def minimum(scatters: Array, part: Array, near: Array, d: int, kind: int, path: Array) -> bool:
    """The logarithms of volumes, up to a common number, by Newton's method."""
    k, enough = len(part), ENOUGH if len(near) == 0 else ENOUGH_NEAR
    own, pairs, size = np.empty(k), np.empty((k, k)), np.ones(k)
    slope, move, there = np.empty(k), np.empty(k), np.empty(k)
    if len(near) > 0:
        size[:] = near
    shares(scatters, size, d, kind, own, pairs)
    for c in range(k):
        path[c] = math.log(size[c] * own[c] / (d * part[c]))
    value = at(scatters, part, path, d, kind, own, pairs)
    for _ in range(STEPS):
        if not direction(d, part, own, pairs, slope, move):
            return False
        promise = 0.0
        for c in range(k):
            promise -= slope[c] * move[c]
        share = 1.0
        for _ in range(HALVINGS):
            for c in range(k):
                there[c] = path[c] + share * move[c]
            reached = at(scatters, part, there, d, kind, own, pairs)
            if not reached > value + ENOUGH - share * SUFFICIENT * promise:
                break
            share /= 2
        path[:] = there
        gain, value = value - reached, reached
        if not (promise > enough and gain > ENOUGH):
            break
    return math.isfinite(value)


@compiled
def at(
    scatters: Array, part: Array, path: Array, d: int, kind: int, own: Array, pairs: Array
) -> float:
    """What is to be small, at logarithms of volumes; writes the shares there."""
    size, value = np.empty(len(path)), 0.0
    for c in range(len(path)):
        size[c] = math.exp(path[c])
        value += d * part[c] * path[c]
    return value + shares(scatters, size, d, kind, own, pairs)


@compiled
def shares(scatters: Array, size: Array, d: int, kind: int, own: Array, pairs: Array) -> float:
    """How log det Σ W_k / λ_k depends on volumes: it, and writes what `Shares` has of it."""
    k, numbers = scatters.shape
    each, total = np.empty((k, numbers)), np.zeros(numbers)
    for c in range(k):
        for i in range(numbers):
            each[c, i] = scatters[c, i] / size[c]
            total[i] += each[c, i]
    found = in_units_of(total, each, d, kind)
    for c in range(k):
        own[c] = each[c, :: d + 1 if kind == MATRIX else 1].sum()
        for b in range(c + 1):
            value = 0.0
            for i in range(numbers):
                value += each[c, i] * each[b, i]
            pairs[c, b] = pairs[b, c] = value
    return found


@compiled
def in_units_of(total: Array, each: Array, d: int, kind: int) -> float:
    """Make scatters into those where the total is one; its log determinant, or NaN."""
    found = 0.0
    if kind != MATRIX:
        for i in range(d):
            found += math.log(total[i])
            each[:, i] /= total[i]
        return found
    if not cholesky(total, d):
        each[:] = np.nan
        return np.nan
    inverse, half = np.zeros((d, d)), np.empty((d, d))
    inverted(total, d, inverse)
    for c in range(len(each)):
        for i in range(d):
            for j in range(d):
                half[i, j] = 0.0
                for m in range(i + 1):
                    half[i, j] += inverse[i, m] * each[c, m * d + j]
        for i in range(d):
            for j in range(d):
                value = 0.0
                for m in range(j + 1):
                    value += half[i, m] * inverse[j, m]
                each[c, i * d + j] = value
    for i in range(d):
        found += 2 * math.log(total[i * d + i])
    return found


@compiled
def direction(d: int, part: Array, own: Array, pairs: Array, slope: Array, move: Array) -> bool:
    """Newton's step, of which the common factor is left out; False if there is none."""
    k = len(part)
    hessian = np.empty(k * k)
    for c in range(k):
        slope[c] = d * part[c] - own[c]
        for b in range(k):
            hessian[c * k + b] = 1 / k - pairs[c, b]
        hessian[c * k + c] += own[c]
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
    move -= move.mean()
    return True
