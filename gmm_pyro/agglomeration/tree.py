"""The tree of merges as a record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.checks import check_count
from ..data.words import counted


@dataclass(frozen=True, eq=False, repr=False)
class Tree:
    """Merges of points, the leaves, one after the other, until one cluster is left.

    Attributes:
        linkage: the merges as SciPy has them (`scipy.cluster.hierarchy.linkage`), a NumPy array of
            shape (m - 1, 4) for m leaves: the numbers of two clusters, the height, and how many
            leaves they have together; merge i makes cluster m + i. Heights are the largest loss up
            to there, and zero where there was none: no merge lies below one before it.
        losses: what the criterion loses by each merge, in nats (of "EII", the sum of squares that
            it adds), which may be a gain, shape (m - 1,).
        rows: the points that are leaves, shape (m,): all, unless there are more than 2,000.
        nearest: the leaf that is nearest to each point, by its number among the leaves, shape (n,).
        criterion: what merges cost.
        coordinates: what points are merged in.
    """

    linkage: Float[np.ndarray, "m-1 4"]
    losses: Float[Tensor, "m-1"]
    rows: Int[Tensor, "m"]
    nearest: Int[Tensor, "n"]
    criterion: str
    coordinates: str

    def __repr__(self) -> str:
        return f"<tree of {counted(len(self.rows), 'point')} by {self.criterion}>"

    def labels(self, k: int) -> Int[Tensor, "n"]:
        """The cluster of each point when k are left, numbered as they come in the data.

        Points that are no leaves go with the nearest one. What is together in k clusters is so in
        fewer, too.

        Args:
            k: number of clusters, up to that of the leaves.

        Raises:
            ValueError: if there are not so many leaves.
        """
        k = check_count("k", k, 1, len(self.rows))
        leaves = torch.from_numpy(clusters(self.linkage, k)[: len(self.rows)])
        labels = leaves[self.nearest]
        names, codes = labels.unique(return_inverse=True)
        first = torch.full((len(names),), len(labels)).scatter_reduce(
            0, codes, torch.arange(len(labels)), "amin"
        )
        return first.argsort().argsort()[codes]


def clusters(linkage: Float[np.ndarray, "m-1 4"], k: int) -> Int[np.ndarray, "2m-1"]:
    """For every cluster there is on the way, that of the last k which it becomes a part of.

    Those that are made of several of these are their own.
    """
    m = len(linkage) + 1
    whole = np.arange(2 * m - 1)
    for i in reversed(range(m - k)):
        whole[linkage[i, :2].astype(int)] = whole[m + i]
    return whole
