"""The M-step of families whose covariances have a part in common, where components are few.

What is done, and why, is said where torch's is: `covariance/coupled.py` and `axes_in_common.py`.
Here it is done a set at a time, of the components that have points alone. A function says False
where something is not as it mostly is, and torch's takes over.

Scatters are numbers (k, e): variances, e = d, or matrices, e = d d.
"""

from __future__ import annotations

import math

import numpy as np

from ...covariance.graded import LOST
from ...covariance.volumes import EMPTY
from .algebra import (
    DIAGONAL,
    MATRIX,
    TINY,
    Array,
    cholesky,
    half_log_determinant,
    weights_and_means,
)
from .axes import EPSILON, axes_of, eigen, swept
from .build import compiled
from .volumes import one_shape

ALONG, OWN, COMMON = range(3)  # axes: as scatters have them, each its own, or the same for all
ONE_SHAPE, ONE_VOLUME, ALIKE, FREE = range(4)  # what covariances have in common along these


@compiled
def m_step(
    counts: Array,
    first: Array,
    second: Array,
    reference: Array,
    floor: Array,
    rule: tuple[int, int, int],
    rounds: Array,
    current: Array,
    log_weights: Array,
    means: Array,
    factor: Array,
) -> bool:
    """The M-step of s sets.

    Args:
        counts: shape (s, k).
        first: shape (s, k, d).
        second: shape (s, k, e).
        reference: shape (d,).
        floor: shape (d,).
        rule: the kind of covariances, their axes, and what is in common along these.
        rounds: pairs of axes by rounds, as `swept` has them.
        current: factors to go on from, shape (s, k, e); (0, k, e) if there are none.
        log_weights: where they are written.
        means: likewise.
        factor: likewise, shape (s, k, e).

    Returns:
        Whether all is well.
    """
    for s in range(len(counts)):
        weights_and_means(counts[s], first[s], reference, log_weights[s], means[s])
        total = counts[s].sum()
        held = np.flatnonzero(counts[s] > EMPTY * total)
        if len(held) == 0:
            return False
        own, worth = counts[s][held], min(total / len(counts[s]), 1.0)
        scatters = np.empty((len(held), second.shape[2]))
        for i, c in enumerate(held):
            scatter(own[i], first[s, c], second[s, c], worth * floor, rule[0], scatters[i])
        before = current[s] if len(current) > 0 else current.reshape(0, second.shape[2])
        if not (
            np.isfinite(scatters).all()
            and constrained(scatters, own, before, held, rule, rounds)
            and are_rooted(scatters, len(floor), rule[0])
        ):
            return False
        factor[s] = scatters[np.argmax(own)]  # of those without points
        for i, c in enumerate(held):
            factor[s, c] = scatters[i]
    return True


@compiled
def scatter(
    count: float, first: Array, second: Array, floor: Array, kind: int, found: Array
) -> None:
    """Of a component about its mean, with the floor."""
    d = len(first)
    for i in range(d):
        for j in range(d) if kind == MATRIX else range(i, i + 1):
            at = i * d + j if kind == MATRIX else i
            found[at] = second[at] - first[i] / count * first[j]
            if i == j:
                found[at] += floor[i]


@compiled
def are_rooted(covariances: Array, d: int, kind: int) -> bool:
    """Make covariances into factors; False where only rounding keeps one from being singular."""
    for covariance in covariances:
        if kind == MATRIX:
            variances = covariance[:: d + 1].copy()
            if not cholesky(covariance, d):
                return False
            for i in range(d):
                if not covariance[i * d + i] ** 2 >= LOST * EPSILON * variances[i]:
                    return False
        else:
            for i in range(d):
                if not covariance[i] > 0:
                    return False
                covariance[i] = math.sqrt(covariance[i])
    return True


@compiled
def constrained(
    scatters: Array,
    counts: Array,
    current: Array,
    held: Array,
    rule: tuple[int, int, int],
    rounds: Array,
) -> bool:
    """The likeliest covariances in the place of the scatters of one set: see `m_step`.

    Of current factors there are those of all components, of which these are the ones that are held.
    """
    kind, axes, common = rule
    k, numbers = scatters.shape
    d = round(math.sqrt(numbers)) if kind == MATRIX else numbers
    near = np.empty(k if len(current) > 0 else 0)
    for i in range(len(near)):
        near[i] = math.exp(2 * half_log_determinant(current[held[i]], d, kind) / d)
    if axes == ALONG:
        return along_axes(scatters, counts, near, d, kind, common)
    turned, vectors = scatters.copy().reshape(k, d, d), np.empty((k, d, d))
    values = np.empty((k, d))
    if axes == OWN:
        for c in range(k):
            if not eigen(turned[c], values[c], vectors[c]):
                return False
    elif not in_common_axes(turned, counts, current, rounds, common, values, vectors):
        return False
    if not along_axes(values, counts, near, d, DIAGONAL, common):
        return False
    for c in range(k):
        assembled(values[c], vectors[c], scatters[c])
    return True


@compiled
def in_common_axes(
    turned: Array,
    counts: Array,
    current: Array,
    rounds: Array,
    common: int,
    values: Array,
    vectors: Array,
) -> bool:
    """Write diagonals (k, d) of scatters (k, d, d) in common axes, and these for each (k, d, d).

    False where there are no axes to go on from.
    """
    k, d = values.shape
    if len(current) == 0 or not axes_of(current, d, vectors[0]):
        return False
    for c in range(k):
        seen_in(vectors[0], turned[c])
    swept(turned, vectors[0], counts / counts.sum(), common == ONE_VOLUME, rounds)
    for c in range(k):
        vectors[c] = vectors[0]
        values[c] = np.diag(turned[c])
    return True


@compiled
def along_axes(scatters: Array, counts: Array, near: Array, d: int, kind: int, common: int) -> bool:
    """Covariances in the place of scatters, which are seen in their axes."""
    if common == ONE_SHAPE:
        return one_shape(scatters, counts, near, d, kind)
    if common == ONE_VOLUME:
        return one_volume(scatters, counts, d, kind)
    if common == ALIKE:
        pooled = np.zeros(d)
        for each in scatters:
            pooled += each
        scatters[:] = pooled / counts.sum()
    else:
        for c in range(len(counts)):
            scatters[c] /= counts[c]
    return True


@compiled
def one_volume(scatters: Array, counts: Array, d: int, kind: int) -> bool:
    """See `coupled.one_volume`; False where a scatter is singular."""
    size = np.empty(len(counts))
    for c in range(len(counts)):
        log_determinant, factor = 0.0, scatters[c].copy()
        if kind == MATRIX and not cholesky(factor, d):
            return False
        for i in range(d):
            root = factor[i * (d + 1)] ** 2 if kind == MATRIX else factor[i]
            log_determinant += math.log(root)
        size[c] = math.exp(log_determinant / d)
    volume = size.sum() / counts.sum()
    for c in range(len(counts)):
        scatters[c] *= volume / max(size[c], TINY)
    return True


@compiled
def seen_in(vectors: Array, matrix: Array) -> None:
    """Dᵀ W D in the place of W."""
    d = len(matrix)
    half = np.zeros((d, d))
    for i in range(d):
        for j in range(d):
            for m in range(d):
                half[i, j] += matrix[i, m] * vectors[m, j]
    for i in range(d):
        for j in range(d):
            value = 0.0
            for m in range(d):
                value += vectors[m, i] * half[m, j]
            matrix[i, j] = value


@compiled
def assembled(values: Array, vectors: Array, found: Array) -> None:
    """The matrix of these eigenvalues and eigenvectors."""
    d = len(values)
    for i in range(d):
        for j in range(i + 1):
            value = 0.0
            for m in range(d):
                value += vectors[i, m] * values[m] * vectors[j, m]
            found[i * d + j] = found[j * d + i] = value
