"""What the loops are told, as records that numba knows, and where they work.

A panel is a few points, so many that one number of each fills lanes twice. What belongs to the
points of a panel in one set is a cell: k rows of Θ by the panel's points. Cells follow each other,
panel after panel and set after set.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .build import compiled
from .lanes import lanes_of
from .products import WIDEST

NOTHING, SQUARES, PAIRS, LENGTH = range(4)  # quadratic features: none, z_i², z_i z_j (i ≤ j), |z|²
SOFTMAX, ARGMAX, DRAWN, LABELS, SHARES = range(5)  # what logits are made into

Array = Any  # numba's, of one of two types of numbers


class Shape(NamedTuple):
    """Sizes.

    Attributes:
        sets: how many there are.
        k: rows of Θ in each; noise, if there is any, is the last one.
        form: of the quadratic features.
        group: panels whose moments are taken together.
    """

    sets: int
    k: int
    form: int
    group: int


class Known(NamedTuple):
    """What belongs to the rows of the data beside their values.

    Attributes:
        weight: sample weights, shape (n,), or none.
        each: weights of each set, shape (s, n), or (1, 0) without.
        kind: what is known of each row's component, shape (n,), or none.
        allowed: 0 or -inf for each component and kind.
        noise: log density of the noise, shape (s, n) or (1, n), or (1, 0) without.
    """

    weight: Array
    each: Array
    kind: Array
    allowed: Array
    noise: Array


class Asked(NamedTuple):
    """What logits are made into.

    Attributes:
        mode: the assignment.
        seed: of draws.
        first: number of the first row among all, by which these go.
        labels: components (s, n), to be taken or to be written; (1, 0) if they are not wanted.
        shares: responsibilities (s, k, n), if these are to be taken.
    """

    mode: int
    seed: int
    first: int
    labels: Array
    shares: Array


class Places(NamedTuple):
    """Where in the array of work what is written, but for features, which come first.

    Attributes:
        logits: of all cells.
        turned: responsibilities (points, rows of Θ of all sets), filled up to whole lanes.
        moments: of a group of panels, shape (features, rows of Θ likewise).
        weights: how often each point counts, in each set.
        tops: the largest logit of each point, in each set.
        sums: of densities over the largest one's.
        chosen: components, and uniform numbers before; they are the last.
    """

    logits: int
    turned: int
    moments: int
    weights: int
    tops: int
    sums: int
    chosen: int


@compiled
def places_of(shape: Shape, features: int, lanes: int) -> Places:
    """Where things are, for so many features."""
    rows, points = shape.sets * shape.k, shape.group * WIDEST * lanes
    width = -(-rows // lanes) * lanes
    logits = points * features
    turned = logits + points * rows
    moments = turned + points * width
    weights = moments + features * width
    step = points * shape.sets
    tops, sums, chosen = weights + step, weights + 2 * step, weights + 3 * step
    return Places(logits, turned, moments, weights, tops, sums, chosen)


@compiled
def points_of(work: Array) -> int:
    """Points of a panel."""
    return WIDEST * lanes_of(work)
