"""How far a clustering and true classes agree: scores that renaming clusters does not change.

Points may have weights, the numbers of times that they count: every score is then that of the
repeated rows. All scores are computed from the table of how often each cluster meets each class,
by which weights come in, as they do not in scikit-learn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Shaped

from ..data.arrays import classes
from ..data.weighting import as_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

OUTLIER = -1  # the true label of a point that belongs to no class


def adjusted_rand(
    labels: ArrayLike, predicted: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Adjusted Rand index: 1 for the same partition, about 0 for independent ones, at least -1/2.

    (RI - E RI) / (max RI - E RI), where RI is the share of pairs of points on which the partitions
    agree and E its mean over random partitions with the same sizes. A weight w makes w (w - 1) / 2
    pairs, so that weights must be numbers of points, and not shares: NaN where they sum to 1 or
    less, and are not in one cell.

    Args:
        labels: true class of each point, shape (n,); points labelled -1, outliers, are left out.
        predicted: cluster of each point, shape (n,); every value is a cluster.
        sample_weight: how often each point counts, shape (n,), or None.

    Raises:
        ValueError: if the shapes differ or no point is left, or the weights do not fit.

    Source: Hubert & Arabie (1985).

    Example:
        >>> adjusted_rand([0, 0, 1, 1], [5, 5, 3, 3])
        1.0
    """
    table = _table(_labelled(labels, predicted, sample_weight))
    if _is_one_to_one(table):
        return 1.0
    together, in_classes, in_clusters, every = (
        float((sizes * (sizes - 1)).sum()) / 2
        for sizes in (table.data, table.sum(axis=1), table.sum(axis=0), table.data.sum())
    )
    expected = in_classes * in_clusters  # this and what follows times all pairs
    most = every * (in_classes + in_clusters) / 2 - expected
    return (every * together - expected) / most if every > 0 and most else math.nan


def normalised_mutual_information(
    labels: ArrayLike, predicted: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Normalised mutual information: 1 for the same partition, 0 for independent ones.

    2 I(labels; predicted) / (H(labels) + H(predicted)), with entropies of the empirical shares.

    Args:
        labels: true class of each point, shape (n,); points labelled -1, outliers, are left out.
        predicted: cluster of each point, shape (n,); every value is a cluster.
        sample_weight: how often each point counts, shape (n,), or None.

    Raises:
        ValueError: if the shapes differ or no point is left, or the weights do not fit.

    Source: Vinh, Epps & Bailey (2010).

    Example:
        >>> round(normalised_mutual_information([0, 0, 1, 1], [0, 0, 1, 2]), 3)
        0.8
    """
    table = _table(_labelled(labels, predicted, sample_weight))
    if _is_one_to_one(table):
        return 1.0
    apart = _entropy(table.sum(axis=1)) + _entropy(table.sum(axis=0))
    return max(0.0, 2 * (1 - _entropy(table.data) / apart))


def accuracy(
    labels: ArrayLike, predicted: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Share of points in the right class, after the best matching of clusters to classes.

    Clusters are matched one to one; where there are more of one kind than of the other, the points
    of those that remain count as wrong.

    Args:
        labels: true class of each point, shape (n,); points labelled -1, outliers, are left out.
        predicted: cluster of each point, shape (n,); every value is a cluster.
        sample_weight: how often each point counts, shape (n,), or None.

    Raises:
        ValueError: if the shapes differ or no point is left, or the weights do not fit.

    Source: Kuhn (1955), by SciPy's `linear_sum_assignment` on the contingency table.

    Example:
        >>> accuracy([0, 0, 1, 1], [1, 1, 0, 2])
        0.75
    """
    from scipy.optimize import linear_sum_assignment

    table = _table(_labelled(labels, predicted, sample_weight)).toarray()
    matched = linear_sum_assignment(table, maximize=True)
    return float(table[matched].sum() / table.sum())


# ---------------------------------------------------------------------- the table


@dataclass(frozen=True, eq=False)
class _Pair:
    """Both labellings of m points that are no outliers, and their positive weights, or None."""

    labels: Shaped[np.ndarray, "m"]
    predicted: Shaped[np.ndarray, "m"]
    weight: Float[np.ndarray, "m"] | None


def _labelled(labels: ArrayLike, predicted: ArrayLike, sample_weight: Any) -> _Pair:
    true, found = classes(labels, "labels"), classes(predicted, "predicted")
    if true.shape != found.shape:
        raise ValueError(
            f"labels and predicted must have the same shape (n,), got {true.shape} "
            f"and {found.shape}"
        )
    words = true.dtype.kind in "US"
    known = np.ones(len(true), bool) if words else true != OUTLIER
    weight = None
    if sample_weight is not None:
        weight = as_weights(sample_weight, len(true)).cpu().numpy()
        known &= weight > 0
    if not known.any():
        raise ValueError(f"labels must hold a point that is no outlier, got {len(true)} outliers")
    return _Pair(true[known], found[known], None if weight is None else weight[known])


def _table(pair: _Pair) -> Any:
    """The weight of the points in each class and cluster that meet: a sparse row a class."""
    from scipy.sparse import coo_array

    _, rows = np.unique(pair.labels, return_inverse=True)
    _, columns = np.unique(pair.predicted, return_inverse=True)
    width = int(columns.max()) + 1
    places, cell = np.unique(rows.astype(np.int64) * width + columns, return_inverse=True)
    return coo_array((np.bincount(cell, pair.weight), np.divmod(places, width)))


def _is_one_to_one(table: Any) -> bool:
    """Whether both partitions are the same one."""
    return table.shape == (table.nnz, table.nnz)


def _entropy(sizes: Float[np.ndarray, "m"]) -> float:
    """The entropy of the shares of some sizes, in nats."""
    from scipy.special import entr

    return float(entr(sizes / sizes.sum()).sum())
