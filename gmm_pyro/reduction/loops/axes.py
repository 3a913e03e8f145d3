"""Axes of few scatters in few dimensions: `covariance/orientation.py` in loops.

Axes of arrays are s sets, k components and d features.
"""

from __future__ import annotations

import math

import numpy as np

from .algebra import TINY
from .build import compiled
from .eigen import Array, eigen, smallest_angle, turn, turn_columns


@compiled
def own_axes(scatters: Array, counts: Array, sound: Array, values: Array, vectors: Array) -> None:
    """Eigenvalues, from the smallest to the largest, and eigenvectors of every scatter.

    Args:
        scatters: shape (s, k, d d).
        counts: shape (s, k).
        sound: which sets are, shape (s,).
        values: where they are written, shape (s, k, d).
        vectors: likewise, as columns, shape (s, k, d, d).
    """
    sets, k, d = values.shape
    matrix = np.empty((d, d))
    for s in range(sets):
        for c in range(k):
            for i in range(d * d):
                matrix[i // d, i % d] = scatters[s, c, i]
            if sound[s] and counts[s, c] > 0:
                eigen(matrix, values[s, c], vectors[s, c])


@compiled
def common_axes(
    scatters: Array,
    counts: Array,
    current: Array,
    rounds: Array,
    equal: int,
    sound: Array,
    values: Array,
    vectors: Array,
) -> None:
    """Variances along the axes that covariances have in common, after a sweep from current ones.

    Args:
        scatters: shape (s, k, d d).
        counts: shape (s, k).
        current: factors, shape (s, k, d d).
        rounds: pairs of axes by rounds, shape (r, p, 2): those of a round have none in common.
        equal: 1 if volumes are equal, else 0.
        sound: which sets are, shape (s,): no more so where there are no axes to go on from.
        values: where they are written, shape (s, k, d).
        vectors: likewise, as `own_axes` has them.
    """  # fmt: skip
    sets, k, d = values.shape
    weights, turned = np.empty(k), np.empty((k, d, d))
    for s in range(sets):
        axes, total = vectors[s, 0], 0.0
        sound[s] = sound[s] and axes_of(current[s], turned[0], values[s, 0], axes)
        if not sound[s]:
            continue
        for c in range(k):
            total += counts[s, c]
            seen_in(axes, scatters[s, c], turned[c])
        for c in range(k):
            weights[c] = counts[s, c] / total
        for r in range(len(rounds)):
            if equal:
                sizes_of(turned, counts[s], weights)
            for p in range(rounds.shape[1]):
                turn_near(turned, axes, weights, rounds[r, p, 0], rounds[r, p, 1])
        for c in range(k):
            write_axes(turned[c], axes, values[s, c], vectors[s, c])


@compiled
def write_axes(turned: Array, axes: Array, values: Array, vectors: Array) -> None:
    """The variances along axes, and these, of one component."""
    for i in range(len(axes)):
        values[i] = turned[i, i]
        for j in range(len(axes)):
            vectors[i, j] = axes[i, j]


@compiled
def assembled(values: Array, vectors: Array, found: Array) -> None:
    """Matrices (s, k, d d) of these eigenvalues and eigenvectors."""
    sets, k, d = values.shape
    for s in range(sets):
        for c in range(k):
            for i in range(d):
                for j in range(i + 1):
                    value = 0.0
                    for m in range(d):
                        value += vectors[s, c, i, m] * values[s, c, m] * vectors[s, c, j, m]
                    found[s, c, i * d + j] = found[s, c, j * d + i] = value


@compiled
def axes_of(factors: Array, together: Array, values: Array, vectors: Array) -> bool:
    """The eigenvectors that all covariances have in common; False where there are none."""
    k, d, total = len(factors), len(together), 0.0
    for c in range(k):
        size = 0.0
        for i in range(d):
            size += math.log(factors[c, i * (d + 1)]) / d
        weight = (1 + math.sqrt(c) / k) * math.exp(-2 * size)
        for i in range(d):
            for j in range(d):
                value = 0.0
                for m in range(min(i, j) + 1):
                    value += factors[c, i * d + m] * factors[c, j * d + m]
                together[i, j] = weight * value + (together[i, j] if c > 0 else 0.0)
                total += weight * value
    eigen(together, values, vectors)
    return math.isfinite(total)


@compiled
def seen_in(axes: Array, scatter: Array, found: Array) -> None:
    """Dᵀ W D."""
    d = len(axes)
    half = np.empty((d, d))
    for i in range(d):
        for j in range(d):
            value = 0.0
            for m in range(d):
                value += scatter[i * d + m] * axes[m, j]
            half[i, j] = value
    for i in range(d):
        for j in range(d):
            value = 0.0
            for m in range(d):
                value += axes[m, i] * half[m, j]
            found[i, j] = value


@compiled
def turn_near(turned: Array, axes: Array, weights: Array, i: int, j: int) -> None:
    """Turn two axes to where the tangents of the objective are smallest."""
    across, apart = 0.0, 0.0
    for c in range(len(turned)):
        one, two = max(turned[c, i, i], TINY), max(turned[c, j, j], TINY)
        unlike = weights[c] * (1 / one - 1 / two)
        across -= 2 * unlike * turned[c, i, j]
        apart -= unlike * (turned[c, i, i] - turned[c, j, j])
    angle = smallest_angle(across, apart)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn_columns(axes, i, j, cosine, sine)
    for c in range(len(turned)):
        turn(turned[c], i, j, cosine, sine)


@compiled
def sizes_of(turned: Array, counts: Array, sizes: Array) -> None:
    """Geometric means of diagonals, as shares of their sum."""
    (k, d), total = turned.shape[:2], 0.0
    for c in range(k):
        size = 0.0
        for i in range(d):
            size += math.log(max(turned[c, i, i], TINY)) / d
        sizes[c] = math.exp(size) if counts[c] > 0 else 0.0
        total += sizes[c]
    for c in range(k):
        sizes[c] /= total
