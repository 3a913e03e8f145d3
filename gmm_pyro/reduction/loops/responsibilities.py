"""Responsibilities of the points of cells, in the place of their logits.

Each step goes over all cells of a group before the next begins: so its constants stay in registers.
"""

from __future__ import annotations

import numpy as np

from .build import compiled
from .elementary import exp, log
from .lanes import (
    BITS,
    added_up,
    fill,
    lanes_of,
    larger,
    load,
    store,
    turn_square,
    where_equal,
    where_less,
)
from .records import Array, Places, points_of

LOWEST = -81.0  # what logits further below the largest are taken for
NEGLIGIBLE = np.exp(-80.0)  # of a point's density, below which there is no responsibility
# In place of a largest logit of -inf, the lowest number: -inf less -inf would be NaN
LEAST, LEAST_SINGLE = (-float(np.finfo(kind).max) for kind in (np.float64, np.float32))


@compiled
def densities(work: Array, at: Places, k: int, cells: int) -> None:
    """Make logits into densities over the largest one's; keeps that logit, and their sums."""
    lanes, points = lanes_of(work), points_of(work)
    lowest, zero = fill(work[0], LOWEST), fill(work[0], 0.0)
    least = fill(work[0], LEAST if lanes_of(work) == BITS // 64 else LEAST_SINGLE)
    for cell in range(cells):
        for p in range(0, points, lanes):
            own = at.logits + cell * k * points + p
            top = load(work, own)
            for c in range(1, k):
                top = larger(load(work, own + c * points), top)
            store(work, at.tops + cell * points + p, top)
            base = larger(least, top)
            for c in range(k):
                logit = load(work, own + c * points)
                store(work, own + c * points, larger(lowest, logit - base))
    for i in range(at.logits, at.logits + cells * k * points, lanes):
        store(work, i, exp(load(work, i)))
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, total = at.logits + cell * k * points + p, zero
            for c in range(k):
                total = total + load(work, own + c * points)
            store(work, at.sums + cell * points + p, total)


@compiled
def softmax(work: Array, at: Places, k: int, cells: int) -> None:
    """Responsibilities in proportion to densities, times weights."""
    lanes, points = lanes_of(work), points_of(work)
    zero, least = fill(work[0], 0.0), fill(work[0], NEGLIGIBLE)
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, place = at.logits + cell * k * points + p, cell * points + p
            scale = load(work, at.weights + place) / load(work, at.sums + place)
            for c in range(k):
                density = load(work, own + c * points)
                store(work, own + c * points, where_less(density, least, zero, density * scale))


@compiled
def argmax(work: Array, at: Places, k: int, cells: int) -> None:
    """The most probable components, and their logits."""
    lanes, points = lanes_of(work), points_of(work)
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, place = at.logits + cell * k * points + p, cell * points + p
            top, best = load(work, own), fill(work[0], 0.0)
            for c in range(1, k):
                logit = load(work, own + c * points)
                best = where_less(top, logit, fill(work[0], c), best)
                top = larger(logit, top)
            store(work, at.tops + place, top)
            store(work, at.chosen + place, best)


@compiled
def draw(work: Array, at: Places, k: int, cells: int) -> None:
    """Components drawn in proportion to densities, in the place of the uniform numbers."""
    lanes, points = lanes_of(work), points_of(work)
    zero, one = fill(work[0], 0.0), fill(work[0], 1.0)
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, place = at.logits + cell * k * points + p, cell * points + p
            limit = load(work, at.chosen + place) * load(work, at.sums + place)
            below, number = zero, zero
            for c in range(k - 1):  # the last one takes what rounding leaves
                below = below + load(work, own + c * points)
                number = number + where_less(below, limit, one, zero)
            store(work, at.chosen + place, number)


@compiled
def single_out(work: Array, at: Places, k: int, cells: int) -> None:
    """All of every point's weight to one component."""
    lanes, points = lanes_of(work), points_of(work)
    zero = fill(work[0], 0.0)
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, place = at.logits + cell * k * points + p, cell * points + p
            number, weight = load(work, at.chosen + place), load(work, at.weights + place)
            for c in range(k):
                share = where_equal(number, fill(work[0], c), weight, zero)
                store(work, own + c * points, share)


@compiled
def add_densities(work: Array, at: Places, cells: int) -> None:
    """log p(x) of all points in the place of the largest logits: these plus log of the sums."""
    for i in range(0, cells * points_of(work), lanes_of(work)):
        store(work, at.tops + i, log(load(work, at.sums + i)) + load(work, at.tops + i))


@compiled
def add_log_norm(work: Array, at: Places, sets: int, cells: int, totals: Array) -> None:
    """Add to each set's log_norm what its points have in the place of the largest logits."""
    lanes, points = lanes_of(work), points_of(work)
    zero = fill(work[0], 0.0)
    for s in range(sets):
        for cell in range(s, cells, sets):
            for p in range(cell * points, (cell + 1) * points, lanes):
                weight = load(work, at.weights + p)
                share = load(work, at.tops + p) * weight
                totals[s] += added_up(where_less(zero, weight, share, zero))


@compiled
def turn(work: Array, at: Places, rows: int, panels: int, width: int) -> None:
    """Write (rows of Θ, points) of panels as (points, rows of Θ), filled up with anything."""
    lanes, points = lanes_of(work), points_of(work)
    for panel in range(panels):
        own, there = at.logits + panel * rows * points, at.turned + panel * points * width
        for c in range(0, width, lanes):
            for p in range(0, points, lanes):
                turn_square(work, own + c * points + p, points, there + p * width + c, width)
