"""Axes of few scatters in few dimensions: `covariance/graded.py` and `orientation.py`, one set.

Turns are by plane rotations, of which an angle turns axis i towards axis j.
"""

from __future__ import annotations

import math

import numpy as np

from ...covariance.graded import GRADED, SWEEPS, TURNED
from .algebra import TINY, Array
from .build import compiled

EPSILON = float(np.finfo(np.float64).eps)


@compiled
def eigen(matrix: Array, values: Array, vectors: Array) -> bool:
    """Eigenvalues from the smallest to the largest, and eigenvectors as columns.

    Returns:
        False where an eigenvalue is so much smaller than another that its digits need care.
    """
    d = len(matrix)
    turned, axes = matrix.copy(), np.eye(d)
    for _ in range(SWEEPS):
        if is_diagonal(turned):
            break
        for i in range(d):
            for j in range(i + 1, d):
                angle = smallest_angle(2 * turned[i, j], turned[i, i] - turned[j, j])
                turn(turned, i, j, angle)
                turn_columns(axes, i, j, angle)
    order = np.argsort(np.diag(turned))
    for i in range(d):
        values[i] = turned[order[i], order[i]]
        vectors[:, i] = axes[:, order[i]]
    return values[0] > 0 and values[0] >= GRADED * values[d - 1]


@compiled
def is_diagonal(matrix: Array) -> bool:
    """Whether nothing off the diagonal is more than rounding beside what is on it."""
    for i in range(len(matrix)):
        for j in range(i):
            size = math.sqrt(abs(matrix[i, i])) * math.sqrt(abs(matrix[j, j]))
            if abs(matrix[i, j]) > TURNED * EPSILON * size:
                return False
    return True


@compiled
def smallest_angle(across: float, apart: float) -> float:
    """Half of the angle whose tangent this is, from -π/4 to π/4."""
    return math.atan2(-across if apart < 0 else across, abs(apart)) / 2


@compiled
def turn(matrix: Array, i: int, j: int, angle: float) -> None:
    """Rᵀ A R in the place of A."""
    turn_columns(matrix, i, j, angle)
    turn_columns(matrix.T, i, j, angle)


@compiled
def turn_columns(matrix: Array, i: int, j: int, angle: float) -> None:
    """A R in the place of A."""
    cosine, sine = math.cos(angle), math.sin(angle)
    for row in range(len(matrix)):
        one, two = matrix[row, i], matrix[row, j]
        matrix[row, i] = cosine * one + sine * two
        matrix[row, j] = cosine * two - sine * one


@compiled
def axes_of(factors: Array, d: int, vectors: Array) -> bool:
    """The eigenvectors that all covariances have in common; False where there are none."""
    k, together = len(factors), np.zeros((d, d))
    for c in range(k):
        factor, size = factors[c].reshape(d, d), 0.0
        for i in range(d):
            size += math.log(factor[i, i]) / d
        weight = (1 + math.sqrt(c) / k) * math.exp(-2 * size)
        for i in range(d):
            for j in range(d):
                for m in range(min(i, j) + 1):
                    together[i, j] += weight * factor[i, m] * factor[j, m]
    if not math.isfinite(together.sum()):
        return False
    return eigen(together, np.empty(d), vectors)


@compiled
def swept(turned: Array, vectors: Array, weights: Array, equal: bool, rounds: Array) -> None:
    """Turn common axes once in every plane, to where tangents of the objective are smallest.

    Args:
        turned: scatters in these axes, shape (k, d, d).
        vectors: the axes, shape (d, d).
        weights: each component's share of the points, shape (k,).
        equal: whether volumes are equal, which then are the weights.
        rounds: pairs of axes by rounds, shape (r, p, 2): those of a round have none in common.
    """
    for pairs in rounds:
        if equal:
            sizes_of(turned, weights)
        for p in range(len(pairs)):
            i, j = pairs[p, 0], pairs[p, 1]
            across, apart = 0.0, 0.0
            for c in range(len(turned)):
                one, two = max(turned[c, i, i], TINY), max(turned[c, j, j], TINY)
                unlike = weights[c] * (1 / one - 1 / two)
                across -= 2 * unlike * turned[c, i, j]
                apart -= unlike * (turned[c, i, i] - turned[c, j, j])
            angle = smallest_angle(across, apart)
            turn_columns(vectors, i, j, angle)
            for c in range(len(turned)):
                turn(turned[c], i, j, angle)


@compiled
def sizes_of(turned: Array, sizes: Array) -> None:
    """Geometric means of diagonals, as shares of their sum."""
    k, d = len(turned), turned.shape[1]
    for c in range(k):
        sizes[c] = 0.0
        for i in range(d):
            sizes[c] += math.log(max(turned[c, i, i], TINY)) / d
        sizes[c] = math.exp(sizes[c])
    sizes /= sizes.sum()
