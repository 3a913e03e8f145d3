"""A pass over some rows: features, logits, responsibilities and moments, a panel at a time.

A panel is a few points, so many that one number of each fills lanes twice. Its features lie one
after the other, (features, points of the panel); a group of panels stays in cache until moments are
taken of it. See `sums.py` for the formulae: a row of Θ is a component of a set, and noise the last
one of each set, whose only feature is 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .build import compiled
from .elementary import exp, log
from .lanes import (
    BITS,
    added_up,
    fill,
    get,
    lanes_of,
    larger,
    load,
    put,
    store,
    where_equal,
    where_less,
)
from .products import WIDEST, multiply

NOTHING, SQUARES, PAIRS, LENGTH = range(4)  # quadratic ones: none, z_i², z_i z_j for i ≤ j, |z|²
SOFTMAX, ARGMAX, DRAWN, LABELS, SHARES = range(5)  # what logits are made into
LOWEST = -81.0  # what logits further below the largest are taken for
NEGLIGIBLE = np.exp(-80.0)  # of a point's density, below which there is no responsibility
LEAST = -3e38  # in place of a largest logit of -inf: -inf less -inf would be NaN
SMALLEST = 1e-30  # in place of a uniform number of 0
GAMMA, FIRST, SECOND = (
    np.uint64(constant)
    for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)

Array = Any  # numba's, of one of two types


@compiled
def work_on(
    x: Array, first: int, origin: Array, theta: Array, shape: tuple[int, int], form: int,
    mode: int, weight: Array, each: Array, kind: Array, allowed: Array, noise: Array,
    seeds: Array, labels: Array, shares: Array, group: int, work: Array, totals: Array,
) -> None:
    """Add what some rows give to totals: of each set log_norm, then moments (features, rows of Θ).

    Args:
        x: the rows, shape (n, d).
        first: the number of the first one among all; what follows is of all rows.
        origin: what features are about, shape (d,).
        theta: coefficients, row after row.
        shape: sets, and rows of Θ in each.
        form: of the quadratic features.
        mode: what logits are made into.
        weight: sample weights, or none.
        each: weights of each set, shape (s, n), or (s, 0).
        kind: what is known of each row's component, or none.
        allowed: 0 or -inf for each row of Θ and kind.
        noise: log density of the noise, shape (s, n) or (1, n), or (1, 0) without it.
        seeds: of each set's draws.
        labels: components (s, n), to be taken or to be written; (s, 0) if they are not wanted.
        shares: responsibilities (s, k, n), if these are to be taken.
        group: panels in a group.
        work: where to work: see `compiled.py` for its size.
        totals: of each set log_norm, then moments.
    """
    (sets, k), lanes = shape, lanes_of(work)
    points, rows = WIDEST * lanes, sets * k
    features, width = len(theta) // rows, -(-rows // lanes) * lanes
    logits = group * features * points
    turned = logits + group * rows * points
    moments = turned + group * points * width
    weights = moments + features * width
    step = group * sets * points
    tops, sums, chosen = weights + step, weights + 2 * step, weights + 3 * step
    for start in range(0, len(x), group * points):
        panels = min(group, -(-(len(x) - start) // points))
        rows_here = first + start, min(len(x) - start, panels * points)
        cells = panels * sets
        write_features(x, start, panels, origin, form, work, features)
        write_weights(weight, each, rows_here, sets, cells, work, weights)
        if mode < LABELS:
            multiply(
                *(theta, (0, features, 0), work, (0, points, 0, features * points)),
                *(work, (logits, points, rows * points), (rows, WIDEST, features, 1, panels)),
            )
            write_offsets(kind, allowed, noise, rows_here, shape, cells, work, logits)
        if mode == SOFTMAX:
            densities(work, logits, k, cells, tops, sums)
            softmax(work, logits, k, cells, sums, weights)
        elif mode == DRAWN:
            densities(work, logits, k, cells, tops, sums)
            write_uniforms(seeds, rows_here, cells, work, chosen)
            draw(work, logits, k, cells, sums, chosen)
            keep_labels(labels, rows_here, cells, work, chosen)
        elif mode == ARGMAX:
            argmax(work, logits, k, cells, tops, chosen)
        elif mode == LABELS:
            read_labels(labels, rows_here, cells, work, chosen)
        else:
            read_shares(shares, rows_here, k, cells, work, logits, weights)
        if mode in (ARGMAX, DRAWN, LABELS):
            single_out(work, logits, k, cells, chosen, weights)
        if mode < LABELS:
            add_log_norm(mode, work, tops, sums, weights, sets, cells, totals)
        turn(work, logits, rows, panels, turned, width)
        multiply(
            *(work, (0, points, features * points)),
            *(work, (turned, width, points * width, 0), work, (moments, width, 0)),
            (features, width // lanes, points, panels, 1),
        )
        for i in range(features * width):
            totals[sets + i] += work[moments + i]


# What belongs to the points of a panel in a set is a cell; those of a panel follow each other.


@compiled
def write_features(
    x: Array, start: int, panels: int, origin: Array, form: int, work: Array, features: int
) -> None:
    """[1, z, quadratic features] of the points from a row on; the last one fills its panel up."""
    d, points = len(origin), WIDEST * lanes_of(work)
    for panel in range(panels):
        at, row = panel * features * points, start + panel * points
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


@compiled
def write_quadratic(d: int, form: int, work: Array, z: int) -> None:
    """The quadratic features of a panel, behind its z."""
    lanes = lanes_of(work)
    points = WIDEST * lanes
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


@compiled
def write_weights(
    weight: Array, each: Array, here: tuple[int, int], sets: int, cells: int, work: Array, at: int
) -> None:
    """How often each point counts in each set; 0 for what fills the last panel up."""
    (row, count), points = here, WIDEST * lanes_of(work)
    for cell in range(cells):
        first, s = cell // sets * points, cell % sets
        for p in range(points):
            put(work, at + cell * points + p, 1.0 if first + p < count else 0.0)
        if len(weight) > 0:
            for p in range(points):
                work[at + cell * points + p] *= weight[row + min(first + p, count - 1)]
        if each.shape[1] > 0:
            for p in range(points):
                work[at + cell * points + p] *= each[s, row + min(first + p, count - 1)]


@compiled
def write_offsets(
    kind: Array, allowed: Array, noise: Array, here: tuple[int, int], shape: tuple[int, int],
    cells: int, work: Array, logits: int,
) -> None:
    """Add to logits what belongs to their points: what is known of them, and noise."""
    if len(kind) == 0 and noise.shape[1] == 0:
        return
    (row, count), (sets, k), points = here, shape, WIDEST * lanes_of(work)
    for cell in range(cells):
        at, own = logits + cell * k * points, min(cell % sets, len(noise) - 1)
        for p in range(points):
            n = row + min(cell // sets * points + p, count - 1)
            if len(kind) > 0:
                for c in range(len(allowed)):
                    work[at + c * points + p] += allowed[c, kind[n]]
            if noise.shape[1] > 0:
                work[at + (k - 1) * points + p] += noise[own, n]


@compiled
def write_uniforms(
    seeds: Array, here: tuple[int, int], cells: int, work: Array, at: int
) -> None:
    """A number from (0, 1) for each point and set: see `assignments.uniforms`."""
    (row, _), sets, points = here, len(seeds), WIDEST * lanes_of(work)
    bits = np.uint64(53 if lanes_of(work) == BITS // 64 else 24)
    unit = 2.0 ** -np.float64(bits)
    for cell in range(cells):
        seed, first = np.uint64(seeds[cell % sets]), row + cell // sets * points + 1
        for p in range(points):
            mixed = split_mix(seed + np.uint64(first + p) * GAMMA)
            number = (mixed >> (np.uint64(64) - bits)) * unit
            work[at + cell * points + p] = max(number, SMALLEST)


@compiled
def split_mix(state: Any) -> Any:
    """The output of SplitMix64 in a state."""
    state = (state ^ (state >> np.uint64(30))) * FIRST
    state = (state ^ (state >> np.uint64(27))) * SECOND
    return state ^ (state >> np.uint64(31))


@compiled
def read_labels(labels: Array, here: tuple[int, int], cells: int, work: Array, at: int) -> None:
    """The components of points, as numbers of their type."""
    (row, count), sets, points = here, len(labels), WIDEST * lanes_of(work)
    for cell in range(cells):
        for p in range(points):
            n = row + min(cell // sets * points + p, count - 1)
            work[at + cell * points + p] = labels[cell % sets, n]


@compiled
def keep_labels(labels: Array, here: tuple[int, int], cells: int, work: Array, at: int) -> None:
    """The inverse of `read_labels`, if they are wanted."""
    (row, count), sets, points = here, len(labels), WIDEST * lanes_of(work)
    if labels.shape[1] == 0:
        return
    for cell in range(cells):
        first = cell // sets * points
        for p in range(min(points, count - first)):
            labels[cell % sets, row + first + p] = np.int64(work[at + cell * points + p])


@compiled
def read_shares(
    shares: Array, here: tuple[int, int], k: int, cells: int, work: Array, at: int, weights: int
) -> None:
    """Responsibilities of points times their weights, in the place of logits."""
    (row, count), sets, points = here, len(shares), WIDEST * lanes_of(work)
    for cell in range(cells):
        for c in range(k):
            own = at + (cell * k + c) * points
            for p in range(points):
                n = row + min(cell // sets * points + p, count - 1)
                work[own + p] = shares[cell % sets, c, n] * work[weights + cell * points + p]


@compiled
def densities(work: Array, at: int, k: int, cells: int, tops: int, sums: int) -> None:
    """Make logits into densities over the largest one's; keeps that logit, and their sums."""
    lanes = lanes_of(work)
    points = WIDEST * lanes
    lowest, least, zero = fill(work[0], LOWEST), fill(work[0], LEAST), fill(work[0], 0.0)
    for cell in range(cells):
        for p in range(0, points, lanes):
            own = at + cell * k * points + p
            top = load(work, own)
            for c in range(1, k):
                top = larger(load(work, own + c * points), top)
            store(work, tops + cell * points + p, top)
            base = larger(least, top)
            for c in range(k):
                logit = load(work, own + c * points)
                store(work, own + c * points, larger(lowest, logit - base))
    for i in range(at, at + cells * k * points, lanes):
        store(work, i, exp(load(work, i)))
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, total = at + cell * k * points + p, zero
            for c in range(k):
                total = total + load(work, own + c * points)
            store(work, sums + cell * points + p, total)


@compiled
def softmax(work: Array, at: int, k: int, cells: int, sums: int, weights: int) -> None:
    """Responsibilities in proportion to densities, times weights."""
    lanes = lanes_of(work)
    points = WIDEST * lanes
    zero, least = fill(work[0], 0.0), fill(work[0], NEGLIGIBLE)
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, place = at + cell * k * points + p, cell * points + p
            scale = load(work, weights + place) / load(work, sums + place)
            for c in range(k):
                density = load(work, own + c * points)
                share = where_less(density, least, zero, density * scale)
                store(work, own + c * points, share)


@compiled
def argmax(work: Array, at: int, k: int, cells: int, tops: int, chosen: int) -> None:
    """The most probable components, and their logits."""
    lanes = lanes_of(work)
    points = WIDEST * lanes
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, place = at + cell * k * points + p, cell * points + p
            top, best = load(work, own), fill(work[0], 0.0)
            for c in range(1, k):
                logit = load(work, own + c * points)
                best = where_less(top, logit, fill(work[0], c), best)
                top = larger(logit, top)
            store(work, tops + place, top)
            store(work, chosen + place, best)


@compiled
def draw(work: Array, at: int, k: int, cells: int, sums: int, chosen: int) -> None:
    """Components drawn in proportion to densities, in the place of the uniform numbers."""
    lanes = lanes_of(work)
    points = WIDEST * lanes
    zero, one = fill(work[0], 0.0), fill(work[0], 1.0)
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, place = at + cell * k * points + p, cell * points + p
            limit = load(work, chosen + place) * load(work, sums + place)
            below, number = zero, zero
            for c in range(k - 1):  # the last one takes what rounding leaves
                below = below + load(work, own + c * points)
                number = number + where_less(below, limit, one, zero)
            store(work, chosen + place, number)


@compiled
def single_out(work: Array, at: int, k: int, cells: int, chosen: int, weights: int) -> None:
    """All of every point's weight to one component."""
    lanes = lanes_of(work)
    points = WIDEST * lanes
    zero = fill(work[0], 0.0)
    for cell in range(cells):
        for p in range(0, points, lanes):
            own, place = at + cell * k * points + p, cell * points + p
            number, weight = load(work, chosen + place), load(work, weights + place)
            for c in range(k):
                share = where_equal(number, fill(work[0], c), weight, zero)
                store(work, own + c * points, share)


@compiled
def add_log_norm(
    mode: int, work: Array, tops: int, sums: int, weights: int, sets: int, cells: int,
    totals: Array,
) -> None:
    """Σ u log p(x) of each set, where densities are over the largest one's: log Σ + top."""
    lanes = lanes_of(work)
    points = WIDEST * lanes
    if mode != ARGMAX:
        for i in range(0, cells * points, lanes):
            store(work, tops + i, log(load(work, sums + i)) + load(work, tops + i))
    zero = fill(work[0], 0.0)
    for s in range(sets):
        for cell in range(s, cells, sets):
            for p in range(cell * points, (cell + 1) * points, lanes):
                weight = load(work, weights + p)
                share = load(work, tops + p) * weight
                totals[s] += added_up(where_less(zero, weight, share, zero))


@compiled
def turn(work: Array, at: int, rows: int, panels: int, turned: int, width: int) -> None:
    """Write (rows, points) of panels as (points, rows)."""
    points = WIDEST * lanes_of(work)
    for panel in range(panels):
        for c in range(rows):
            own, there = at + (panel * rows + c) * points, turned + panel * points * width + c
            for p in range(points):
                put(work, there + p * width, get(work, own + p))
