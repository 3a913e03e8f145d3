"""What goes to the pass over the data and comes from it, in the order in which it has them.

Axes are s sets, k components, c covariances (1 if components share it) and the d numbers, or d d,
of a covariance in compact form.
"""

from __future__ import annotations

from .build import compiled
from .records import PAIRS, Array


@compiled
def taken_apart(
    totals: Array, width: int, form: int, counts: Array, first: Array, second: Array, noise: Array
) -> None:
    """Moments of all rows of Θ, by features, as the statistics of each set.

    Args:
        totals: of each set log_norm, then moments (features, width).
        width: rows of Θ of all sets, filled up.
        form: of the quadratic features.
        counts: shape (s, k).
        first: shape (s, k, d).
        second: shape (s, k, e); (s, 0, e) where there are no quadratic features.
        noise: shape (s,); empty without noise.
    """
    sets, k, d = first.shape
    rows = k + (len(noise) > 0)
    for s in range(sets):
        if len(noise) > 0:
            noise[s] = totals[sets + s * rows + k]
        for c in range(k):
            at = sets + s * rows + c
            counts[s, c] = totals[at]
            for i in range(d):
                first[s, c, i] = totals[at + (1 + i) * width]
            at += (1 + d) * width
            if second.shape[1] == 0:
                continue
            if form == PAIRS:
                for i in range(d):
                    for j in range(i, d):
                        second[s, c, i * d + j] = second[s, c, j * d + i] = totals[at]
                        at += width
            else:
                for i in range(second.shape[2]):
                    second[s, c, i] = totals[at + i * width]


@compiled
def write_copies(absent: Array, small: float, values: Array) -> None:
    """So small a part of what the first component of a set has, for those that are absent.

    Args:
        absent: which of all components are, shape (s, k).
        small: the part.
        values: what they have, shape (s, k, e).
    """
    sets, k, numbers = values.shape
    for s in range(sets):
        for c in range(k):
            for i in range(numbers if absent[s, c] else 0):
                values[s, c, i] = small * values[s, 0, i]


@compiled
def by_features(
    constant: Array, linear: Array, quadratic: Array, noise: Array, form: int, theta: Array
) -> None:
    """Natural parameters by the features of the loops, row of Θ after row, of any type.

    Args:
        constant: shape (s, k).
        linear: shape (s, k, d).
        quadratic: shape (s, k, e); empty where quadratic features are none.
        noise: log weight of the noise, shape (s,); empty without noise.
        form: of the quadratic features.
        theta: where they are written; zeros.
    """
    sets, k, d = linear.shape
    at = 0
    for s in range(sets):
        for c in range(k):
            theta[at] = constant[s, c]
            for i in range(d):
                theta[at + 1 + i] = linear[s, c, i]
            at += 1 + d
            if quadratic.shape[1] == 0:
                continue
            if form == PAIRS:
                for i in range(d):
                    theta[at] = quadratic[s, c, i * d + i]
                    for j in range(i + 1, d):
                        theta[at + j - i] = 2 * quadratic[s, c, i * d + j]
                    at += d - i
            else:
                for i in range(quadratic.shape[2]):
                    theta[at + i] = quadratic[s, c, i]
                at += quadratic.shape[2]
        if len(noise) > 0:
            theta[at] = noise[s]
            at += len(theta) // (sets * (k + 1))
