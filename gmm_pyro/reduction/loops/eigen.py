"""Eigenvalues of small matrices by plane rotations: `covariance/graded.py` in loops.

A turn by an angle takes axis i towards axis j.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...covariance.graded import SWEEPS, TURNED
from .build import compiled

EPSILON = float(np.finfo(np.float64).eps)
Array = Any  # numba's, of float64 if nothing else is said


@compiled
def eigen(matrix: Array, values: Array, vectors: Array) -> None:
    """Of a matrix (d, d), which is turned until it is diagonal.

    Args:
        matrix: symmetric.
        values: where eigenvalues are written, from the smallest to the largest.
        vectors: where eigenvectors are written, as columns.
    """
    d = len(matrix)
    for i in range(d):
        for j in range(d):
            vectors[i, j] = 1.0 if i == j else 0.0
    for _ in range(SWEEPS):
        if is_diagonal(matrix):
            break
        for i in range(d):
            for j in range(i + 1, d):
                angle = smallest_angle(2 * matrix[i, j], matrix[i, i] - matrix[j, j])
                cosine, sine = math.cos(angle), math.sin(angle)
                turn(matrix, i, j, cosine, sine)
                turn_columns(vectors, i, j, cosine, sine)
    for i in range(d):
        values[i] = matrix[i, i]
    sort(values, vectors)


@compiled
def sort(values: Array, vectors: Array) -> None:
    """Put the smallest value, with its column, first, and the largest last."""
    d = len(values)
    for i in range(d):
        least = i
        for j in range(i + 1, d):
            least = j if values[j] < values[least] else least
        values[i], values[least] = values[least], values[i]
        for row in range(d):
            one = vectors[row, i]
            vectors[row, i] = vectors[row, least]
            vectors[row, least] = one


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
def turn(matrix: Array, i: int, j: int, cosine: float, sine: float) -> None:
    """Rᵀ A R in the place of A."""
    turn_columns(matrix, i, j, cosine, sine)
    for column in range(len(matrix)):
        one, two = matrix[i, column], matrix[j, column]
        matrix[i, column], matrix[j, column] = cosine * one + sine * two, cosine * two - sine * one


@compiled
def turn_columns(matrix: Array, i: int, j: int, cosine: float, sine: float) -> None:
    """A R in the place of A."""
    for row in range(len(matrix)):
        one, two = matrix[row, i], matrix[row, j]
        matrix[row, i], matrix[row, j] = cosine * one + sine * two, cosine * two - sine * one
