"""M-steps of families whose covariances have a part in common: what all of them begin and end by.

Between the two, covariances take the places of scatters: see `volumes.py` and `axes.py`. Shapes are
those of `algebra.py`.
"""

from __future__ import annotations

import math

from ...covariance.graded import LOST
from ...covariance.volumes import EMPTY
from .algebra import MATRIX, cholesky, weights_and_means
from .build import compiled
from .eigen import EPSILON, Array


@compiled
def begin(
    counts: Array,
    first: Array,
    second: Array,
    reference: Array,
    floor: Array,
    kind: int,
    log_weights: Array,
    means: Array,
    scatters: Array,
    sound: Array,
    held: Array,
) -> None:
    """Weights, means, and scatters about these with the floor in them.

    Args:
        counts: shape (s, k).
        first: shape (s, k, d).
        second: shape (s, k, e).
        reference: shape (d,).
        floor: shape (d,).
        kind: of covariances.
        log_weights: where they are written.
        means: likewise.
        scatters: likewise, with zeros where there are no points.
        sound: likewise whether all is finite, shape (s,).
        held: likewise the counts, with zeros in place of what is as good as nothing.
    """  # fmt: skip
    sets, k, d = first.shape
    for s in range(sets):
        weights_and_means(counts[s], first[s], reference, log_weights[s], means[s])
        total, check = 0.0, 0.0
        for c in range(k):
            total += counts[s, c]
        worth = min(total / k, 1.0)
        for c in range(k):
            held[s, c] = counts[s, c] if counts[s, c] > EMPTY * total else 0.0
            for i in range(scatters.shape[2]):
                row, column = (i // d, i % d) if kind == MATRIX else (i, i)
                value = second[s, c, i] - first[s, c, row] / counts[s, c] * first[s, c, column]
                value += worth * floor[row] if row == column else 0.0
                scatters[s, c, i] = value if held[s, c] > 0 else 0.0
                check += scatters[s, c, i]
        sound[s] = total > 0 and math.isfinite(check)


@compiled
def end(covariances: Array, held: Array, d: int, kind: int, sound: Array) -> None:
    """Factors in the place of covariances: where there are no points, those of where most are.

    What is sound before stays so where all are definite by more than rounding.
    """
    sets, k, numbers = covariances.shape
    for s in range(sets):
        fullest = 0
        for c in range(k):
            fullest = c if held[s, c] > held[s, fullest] else fullest
            if sound[s] and held[s, c] > 0:
                sound[s] = take_root(covariances[s, c], d, kind)
        for c in range(k):
            if not held[s, c] > 0:
                for i in range(numbers):
                    covariances[s, c, i] = covariances[s, fullest, i]


@compiled
def take_root(covariance: Array, d: int, kind: int) -> bool:
    """Make a covariance into its factor, if it has one."""
    if kind != MATRIX:
        for i in range(d):
            if not covariance[i] > 0:
                return False
            covariance[i] = math.sqrt(covariance[i])
        return True
    if not cholesky(covariance, d):
        return False
    for i in range(d):
        variance = 0.0
        for j in range(i + 1):
            variance += covariance[i * d + j] ** 2
        if not covariance[i * d + i] ** 2 >= LOST * EPSILON * variance:
            return False
    return True
