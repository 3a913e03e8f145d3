"""What belongs to rows of the data, in the order of cells: weights, offsets, draws, labels.

`here` is the number of a group's first row among all, and how many rows there are; those that fill
the last panel up are taken for its last row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .build import compiled
from .lanes import BITS, lanes_of, put
from .records import Array, Asked, Known, Shape, points_of

SMALLEST = 1e-30  # in place of a uniform number of 0
GAMMA, FIRST, SECOND = (
    np.uint64(constant) for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


@compiled
def write_weights(
    known: Known, here: tuple[int, int], sets: int, cells: int, work: Array, at: int
) -> None:
    """How often each point counts in each set; 0 for what fills the last panel up."""
    (row, count), points = here, points_of(work)
    for cell in range(cells):
        own, first = at + cell * points, cell // sets * points
        for p in range(points):
            put(work, own + p, 1.0 if first + p < count else 0.0)
        if len(known.weight) > 0:
            for p in range(points):
                work[own + p] *= known.weight[row + min(first + p, count - 1)]
        if known.each.shape[1] > 0:
            for p in range(points):
                work[own + p] *= known.each[cell % sets, row + min(first + p, count - 1)]


@compiled
def add_offsets(
    known: Known, here: tuple[int, int], shape: Shape, cells: int, work: Array, at: int
) -> None:
    """Add to logits what is known of their points' components, and the density of noise."""
    noise = known.noise
    if len(known.kind) == 0 and noise.shape[1] == 0:
        return
    (row, count), points = here, points_of(work)
    for cell in range(cells):
        own, s = at + cell * shape.k * points, min(cell % shape.sets, len(noise) - 1)
        for p in range(points):
            n = row + min(cell // shape.sets * points + p, count - 1)
            if len(known.kind) > 0:
                for c in range(len(known.allowed)):
                    work[own + c * points + p] += known.allowed[c, known.kind[n]]
            if noise.shape[1] > 0:
                work[own + (shape.k - 1) * points + p] += noise[s, n]


@compiled
def write_uniforms(
    asked: Asked, here: tuple[int, int], sets: int, cells: int, work: Array, at: int
) -> None:
    """A number from (0, 1) for each point and set: see `assignments.uniforms`."""
    (row, _), points = here, points_of(work)
    bits = np.uint64(53 if lanes_of(work) == BITS // 64 else 24)
    unit = 2.0 ** -np.float64(bits)
    for cell in range(cells):
        chain = split_mix(np.uint64(cell % sets + 1) * GAMMA + np.uint64(asked.seed))
        first = asked.first + row + cell // sets * points + 1
        for p in range(points):
            mixed = split_mix(chain + np.uint64(first + p) * GAMMA)
            number = (mixed >> (np.uint64(64) - bits)) * unit
            put(work, at + cell * points + p, max(number, SMALLEST))


@compiled
def split_mix(state: Any) -> Any:
    """The output of SplitMix64 in a state."""
    state = (state ^ (state >> np.uint64(30))) * FIRST
    state = (state ^ (state >> np.uint64(27))) * SECOND
    return state ^ (state >> np.uint64(31))


@compiled
def read_labels(labels: Array, here: tuple[int, int], cells: int, work: Array, at: int) -> None:
    """The components of points, as numbers of their type."""
    (row, count), sets, points = here, len(labels), points_of(work)
    for cell in range(cells):
        for p in range(points):
            n = row + min(cell // sets * points + p, count - 1)
            work[at + cell * points + p] = labels[cell % sets, n]


@compiled
def keep_labels(labels: Array, here: tuple[int, int], cells: int, work: Array, at: int) -> None:
    """The inverse of `read_labels`, if they are wanted."""
    (row, count), sets, points = here, len(labels), points_of(work)
    if labels.shape[1] == 0:
        return
    for cell in range(cells):
        first = cell // sets * points
        for p in range(min(points, count - first)):
            labels[cell % sets, row + first + p] = np.int64(work[at + cell * points + p])


@compiled
def read_shares(
    asked: Asked, here: tuple[int, int], k: int, cells: int, work: Array, at: int, weights: int
) -> None:
    """Responsibilities of points times their weights, in the place of logits."""
    (row, count), sets, points = here, len(asked.shares), points_of(work)
    for cell in range(cells):
        for c in range(k):
            own = at + (cell * k + c) * points
            for p in range(points):
                n = row + min(cell // sets * points + p, count - 1)
                work[own + p] = asked.shares[cell % sets, c, n] * work[weights + cell * points + p]
