"""Trees of data: which points are leaves, what is equal, and where the other points belong."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.points import Observations
from ..data.spread import chunks
from .coordinates import Coordinates
from .criteria import Criterion
from .merging import Merger
from .tree import Tree

MOST = 2_000  # leaves, where no more clusters are asked for
ROWS = 1_000  # points whose distances from all leaves are computed at a time

Merge = tuple[int, int, float]


def grow(
    data: Observations, criterion: str, coordinates: str, seed: int, *, most: int = MOST
) -> Tree:
    """The tree of data, or of a random part of them, with missing values at the origin.

    Points of weight zero are no leaves. Others count as if there were as many equal ones as their
    weight says, in units of the mean: so tiny weights leave no cluster to its regularisation.

    Args:
        data: the points.
        criterion: one of `criteria.CRITERIA`.
        coordinates: one of `coordinates.COORDINATES`.
        seed: of the part.
        most: how many leaves there are at most.
    """
    y = data.standardised(data.scale).astype(float)
    weight = data.weights.cpu().numpy()
    rows = _drawn(weight, most, seed)
    places, of_row = _different(y[rows])
    held = np.bincount(of_row, weight[rows] / weight[rows].mean())
    put = Coordinates.of(coordinates, places, held)
    z = put(places)
    merger = Merger(z, held, Criterion.of(criterion, z, held))
    merges = [merger.merge() for _ in range(len(places) - 1)]
    losses = np.zeros(len(rows) - 1)
    losses[len(rows) - len(places) :] = [loss for _, _, loss in merges]
    return Tree(
        _linkage(of_row, merges, np.maximum.accumulate(losses.clip(0))),
        torch.from_numpy(losses),
        torch.from_numpy(rows),
        _nearest(put(y), z[of_row], rows),
        criterion,
        coordinates,
    )


def _drawn(weight: Float[np.ndarray, "n"], most: int, seed: int) -> Int[np.ndarray, "m"]:
    """Points of positive weight, or a random part of so many."""
    rows = weight.nonzero()[0]
    if len(rows) <= most:
        return rows
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order[:most].sort().values.numpy()]


def _different(
    y: Float[np.ndarray, "m d"],
) -> tuple[Float[np.ndarray, "l d"], Int[np.ndarray, "m"]]:
    """The different points in the order of the first of each, and which of them each point is."""
    _, first, which = np.unique(y, axis=0, return_index=True, return_inverse=True)
    order = first.argsort()
    return y[first[order]], order.argsort()[which.ravel()]


def _linkage(
    place: Int[np.ndarray, "m"], merges: list[Merge], heights: Float[np.ndarray, "m-1"]
) -> Float[np.ndarray, "m-1 4"]:
    """Merges of points that are equal, and those of their places, as SciPy has them."""
    m = len(place)
    pairs: list[tuple[int, int]] = []
    node: dict[int, int] = {}  # which cluster has all of a place, or of a cluster of places
    for leaf, where in enumerate(place.tolist()):
        if where in node:
            pairs.append((node[where], leaf))
        node[where] = m + len(pairs) - 1 if where in node else leaf
    n_places = len(node)
    for i, (one, two, _) in enumerate(merges):
        pairs.append((node[one], node[two]))
        node[n_places + i] = m + len(pairs) - 1
    size = np.ones(2 * m - 1)
    for i, pair in enumerate(pairs):
        size[m + i] = size[list(pair)].sum()
    ends = np.sort(np.array(pairs, dtype=float).reshape(-1, 2), axis=1)
    return np.column_stack([ends, heights, size[m:]])


def _nearest(
    z: Float[np.ndarray, "n p"], leaves: Float[np.ndarray, "m p"], rows: Int[np.ndarray, "m"]
) -> Int[Tensor, "n"]:
    """The number of the leaf that is nearest to each point; of a leaf, its own."""
    if len(rows) == len(z):
        return torch.arange(len(rows))
    half = np.square(leaves).sum(1) / 2  # |z - leaf|² / 2 without |z|² / 2, which all have
    found = [(half - z[part] @ leaves.T).argmin(1) for part in chunks(len(z), ROWS)]
    nearest = np.concatenate(found)
    nearest[rows] = np.arange(len(rows))
    return torch.from_numpy(nearest)
