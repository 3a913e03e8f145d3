"""The algebra of a step, where components are few and small: calls would take longer than the work.

Axes are s sets, k components, c covariances (1 if components share it) and the d numbers, or d d,
of a covariance in compact form. See `covariance/family.py` for the formulae.
"""

from __future__ import annotations

import math

import numpy as np

from .build import compiled
from .eigen import Array, eigen

MATRIX, DIAGONAL, SPHERE = range(3)  # of covariances: d d numbers, d, or 1
TINY = np.finfo(np.float64).tiny
LOG_2PI = math.log(2 * math.pi)


@compiled
def m_step(
    counts: Array,
    first: Array,
    second: Array,
    reference: Array,
    floor: Array,
    kind: int,
    log_weights: Array,
    means: Array,
    factor: Array,
    sound: Array,
) -> None:
    """The M-step of components whose covariances have nothing to do with each other, or are one.

    Args:
        counts: shape (s, k).
        first: shape (s, k, d).
        second: shape (s, c, e).
        reference: shape (d,).
        floor: shape (d,).
        kind: of covariances.
        log_weights: where they are written.
        means: likewise.
        factor: likewise, shape (s, c, e).
        sound: likewise whether all is well, shape (s,): no covariance is lost or singular.
    """
    sets, k = counts.shape
    for s in range(sets):
        weights_and_means(counts[s], first[s], reference, log_weights[s], means[s])
        for c in range(factor.shape[1]):
            members = (c, c + 1) if factor.shape[1] == k else (0, k)
            scatter(counts[s], first[s], second[s, c], members, kind, factor[s, c])
            sound[s] = sound[s] and take_root(factor[s, c], floor, kind)


@compiled
def weights_and_means(
    counts: Array, first: Array, reference: Array, log_weights: Array, means: Array
) -> None:
    """The M-step of one set, but for covariances."""
    total = 0.0
    for c in range(len(counts)):
        total += counts[c]
    for c in range(len(counts)):
        log_weights[c] = math.log(counts[c] / total) if counts[c] > 0 else -np.inf
        for i in range(len(reference)):
            means[c, i] = reference[i] + first[c, i] / max(counts[c], TINY)


@compiled
def scatter(
    counts: Array,
    first: Array,
    second: Array,
    members: tuple[int, int],
    kind: int,
    covariance: Array,
) -> None:
    """The covariance of some components together, about the means of each."""
    d, total = first.shape[1], 0.0
    for i in range(len(second)):
        covariance[i] = second[i]
    for c in range(members[0], members[1]):
        n = max(counts[c], TINY)
        total += n
        for i in range(d):
            shift = first[c, i] / n
            if kind == MATRIX:
                for j in range(d):
                    covariance[i * d + j] -= shift * first[c, j]
            else:
                covariance[i if kind == DIAGONAL else 0] -= shift * first[c, i]
    for i in range(len(second)):
        covariance[i] /= total if total < np.inf else np.nan


@compiled
def take_root(covariance: Array, floor: Array, kind: int) -> bool:
    """Make a covariance that is raised to the floor into its factor; False if it has none."""
    d = len(floor)
    if kind == MATRIX:
        above = np.empty(d * d)
        for i in range(d * d):
            above[i] = covariance[i] - (floor[i // d] if i % (d + 1) == 0 else 0.0)
        is_above = cholesky(above, d) or raise_eigenvalues(covariance, floor)
        return is_above and cholesky(covariance, d)
    if kind == DIAGONAL:
        sound = True
        for i in range(d):
            covariance[i] = deviation(covariance[i], floor[i])
            sound = sound and covariance[i] > 0
        return sound
    mean = 0.0
    for i in range(d):
        mean += floor[i] / d
    covariance[0] = deviation(covariance[0] / d, mean)
    return covariance[0] > 0


@compiled
def deviation(variance: float, least: float) -> float:
    """The root of a variance that is raised to the least one; NaN if it has none."""
    raised = least if variance < least else variance
    return math.sqrt(raised) if raised > 0 else math.nan


@compiled
def raise_eigenvalues(covariance: Array, floor: Array) -> bool:
    """Raise those below one, in units of the floor, to it; False where that cannot be done."""
    d = len(floor)
    matrix, vectors, values = np.empty((d, d)), np.empty((d, d)), np.empty(d)
    for i in range(d):
        for j in range(d):
            matrix[i, j] = covariance[i * d + j] / math.sqrt(floor[i]) / math.sqrt(floor[j])
            if not math.isfinite(matrix[i, j]):
                return False
    eigen(matrix, values, vectors)
    for i in range(d if values[0] < 1 else 0):
        for j in range(i + 1):
            value = 0.0
            for m in range(d):
                value += vectors[i, m] * max(values[m], 1.0) * vectors[j, m]
            value *= math.sqrt(floor[i]) * math.sqrt(floor[j])
            covariance[i * d + j] = covariance[j * d + i] = value
    return True


@compiled
def cholesky(matrix: Array, d: int) -> bool:
    """The lower factor in the place of a matrix, row by row; False if it is not definite."""
    for i in range(d):
        for j in range(i + 1):
            value = matrix[i * d + j]
            for m in range(j):
                value -= matrix[i * d + m] * matrix[j * d + m]
            if i > j:
                matrix[i * d + j] = value / matrix[j * d + j]
            elif value > 0:
                matrix[i * d + i] = math.sqrt(value)
            else:
                return False
        for j in range(i + 1, d):
            matrix[i * d + j] = 0.0
    return True


@compiled
def natural(
    log_weights: Array,
    means: Array,
    factor: Array,
    reference: Array,
    kind: int,
    constant: Array,
    linear: Array,
    quadratic: Array,
) -> float:
    """Natural parameters about a reference point.

    Args:
        log_weights: shape (s, k).
        means: shape (s, k, d).
        factor: shape (s, c, e).
        reference: shape (d,).
        kind: of covariances.
        constant: where they are written.
        linear: likewise.
        quadratic: likewise, shape (s, c, e).

    Returns:
        A bound of the terms of z P z within deviations of the means: see `theta._cancels`.
    """
    sets, k, d = means.shape
    each = factor.shape[1] == k
    size, away, wide = 0.0, 0.0, 0.0
    shift = np.empty(d)
    for s in range(sets):
        for c in range(factor.shape[1]):
            precision(factor[s, c], d, kind, quadratic[s, c])
            for i in range(factor.shape[2]):
                size, wide = bound(size, 0.5 * quadratic[s, c, i]), bound(wide, factor[s, c, i])
        for c in range(k):
            own = c if each else 0
            for i in range(d):
                shift[i] = means[s, c, i] - reference[i]
                away = bound(away, shift[i])
            times(quadratic[s, own], shift, kind, linear[s, c])
            distance = 0.0
            for i in range(d):
                distance += shift[i] * linear[s, c, i]
            half = half_log_determinant(factor[s, own], d, kind)
            constant[s, c] = log_weights[s, c] - half - 0.5 * (d * LOG_2PI + distance)
        for c in range(factor.shape[1]):
            for i in range(factor.shape[2]):
                quadratic[s, c, i] *= -0.5
    across = d * (away + d * wide)
    return size * across * across


@compiled
def bound(so_far: float, value: float) -> float:
    """The larger size; NaN stays NaN."""
    return abs(value) if abs(value) > so_far or value != value else so_far


@compiled
def precision(factor: Array, d: int, kind: int, found: Array) -> None:
    """Σ⁻¹ from its factor."""
    if kind != MATRIX:
        for i in range(len(factor)):
            found[i] = 1 / (factor[i] * factor[i])
        return
    inverse = np.zeros((d, d))
    inverted(factor, d, inverse)
    for i in range(d):
        for j in range(i + 1):
            value = 0.0
            for m in range(i, d):
                value += inverse[m, i] * inverse[m, j]
            found[i * d + j] = found[j * d + i] = value


@compiled
def inverted(factor: Array, d: int, inverse: Array) -> None:
    """The inverse of a lower factor (d d,), as a matrix (d, d) of zeros takes it."""
    for j in range(d):
        for i in range(j, d):
            value = 1.0 if i == j else 0.0
            for m in range(j, i):
                value -= factor[i * d + m] * inverse[m, j]
            inverse[i, j] = value / factor[i * d + i]


@compiled
def times(matrix: Array, vector: Array, kind: int, found: Array) -> None:
    """A matrix in compact form times a vector."""
    d = len(vector)
    for i in range(d):
        if kind == MATRIX:
            value = 0.0
            for j in range(d):
                value += matrix[i * d + j] * vector[j]
            found[i] = value
        else:
            found[i] = matrix[i if kind == DIAGONAL else 0] * vector[i]


@compiled
def half_log_determinant(factor: Array, d: int, kind: int) -> float:
    """Half of log det Σ."""
    if kind == SPHERE:
        return d * math.log(factor[0])
    step, total = d + 1 if kind == MATRIX else 1, 0.0
    for i in range(d):
        total += math.log(factor[i * step])
    return total
