"""Features of the points of panels: [1, z, quadratic features], one after the other."""

from __future__ import annotations

import numpy as np

from .build import compiled
from .lanes import fill, lanes_of, load, put, store
from .records import LENGTH, PAIRS, SQUARES, Array, points_of


@compiled
def write_features(
    x: Array, start: int, panels: int, origin: Array, form: int, work: Array
) -> None:
    """The features of the points from a row on; the last point fills its panel up."""
    d, points = len(origin), points_of(work)
    at, features = 0, 1 + d + n_quadratic(d, form)
    for row in range(start, start + panels * points, points):
        for p in range(points):
            put(work, at + p, 1.0)
        for i in range(d):
            own, middle, column = at + (1 + i) * points, origin[i], np.uint64(i)
            if row + points <= len(x):
                for p in range(points):
                    put(work, own + p, x[np.uint64(row + p), column] - middle)
            else:
                for p in range(points):
                    put(work, own + p, x[min(row + p, len(x) - 1), i] - middle)
        write_quadratic(d, form, work, at + points)
        at += features * points


@compiled
def n_quadratic(d: int, form: int) -> int:
    """How many quadratic features there are."""
    if form == PAIRS:
        return d * (d + 1) // 2
    return d if form == SQUARES else 1 if form == LENGTH else 0


@compiled
def write_quadratic(d: int, form: int, work: Array, z: int) -> None:
    """The quadratic features of a panel, behind its z."""
    lanes, points = lanes_of(work), points_of(work)
    q = z + d * points
    if form == PAIRS:
        for i in range(d):
            own = z + i * points
            left, right = load(work, own), load(work, own + lanes)
            for other in range(own, z + d * points, points):
                store(work, q, left * load(work, other))
                store(work, q + lanes, right * load(work, other + lanes))
                q += points
    elif form == SQUARES:
        for own in range(0, d * points, lanes):
            z_i = load(work, z + own)
            store(work, q + own, z_i * z_i)
    elif form == LENGTH:
        for p in range(0, points, lanes):
            total = fill(work[0], 0.0)
            for own in range(z + p, z + p + d * points, points):
                z_i = load(work, own)
                total = total + z_i * z_i
            store(work, q + p, total)
