"""Clusterings under a posterior: how often points are together, and the partition closest to that.

A partition has no labels, so nothing here depends on how components are numbered, or switch.

Source: Wade & Ghahramani (2018), with the two losses that they compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.arrays import rows_of
from ..data.checks import check_choice, check_count, shown
from ..reduction.pointwise import labels, shares
from ..reduction.theta import Theta
from .draws import evenly_spaced, over_draws
from .losses import LOSSES, Loss
from .record import Draws

MOST_POINTS = 5000
CANDIDATES = 100  # draws whose own partitions are tried
CLIMBS = 5  # best candidates from which points are moved
MOST_SWEEPS = 100
GAIN = 1e-10  # least improvement, in units of the loss, that a move is made for
NUMBERS = 4_000_000  # memberships in one matrix product


@dataclass(frozen=True, eq=False)
class Partition:
    """One clustering of the data, as a point estimate.

    Attributes:
        labels: cluster of each point, numbered from 0 in falling order of size, shape (n,).
        n_clusters: number of clusters.
        loss: expected loss of the clustering, in the unit of the loss that was chosen.
        co_clustering: probabilities that two points share a component, shape (n, n).
    """

    labels: Int[Tensor, "n"]
    n_clusters: int
    loss: float
    co_clustering: Float[Tensor, "n n"]


# ---------------------------------------------------------------------- co-clustering


def co_clustering(posterior: Draws, rows: Any, max_draws: int) -> Float[Tensor, "m m"]:
    """Probabilities that two points share a component; see `Posterior.co_clustering`."""
    index = chosen_rows(posterior, rows)
    max_draws = check_count("max_draws", max_draws)
    average = _from_responsibilities if posterior.allocations is None else _from_allocations
    return average(posterior, index, max_draws).fill_diagonal_(1.0)


def chosen_rows(posterior: Draws, rows: Any) -> Int[Tensor, "m"]:
    """Numbers of the points that are meant, on the CPU.

    Raises:
        ValueError: if there are more than 5000, or no such rows.
    """
    n = posterior.observations.n
    given = torch.arange(n) if rows is None else torch.from_numpy(rows_of(rows, n))
    if len(given.unique()) != len(given):
        raise ValueError(f"rows must be different numbers from 0 to {n - 1}, got {shown(rows)}")
    if len(given) > MOST_POINTS:
        raise ValueError(
            f"co-clustering of {len(given)} points is a matrix of {len(given) ** 2} numbers; "
            f"choose at most {MOST_POINTS} of them by rows"
        )
    return given


def _from_allocations(
    posterior: Draws, index: Int[Tensor, "m"], max_draws: int
) -> Float[Tensor, "m m"]:
    """Shares of the kept draws in which two points have one label."""
    kept, k, m = allocated(posterior, index, max_draws), posterior.n_components, len(index)
    total = torch.zeros(m, m, dtype=torch.float32)  # whole numbers, which it holds exactly
    for part in kept.split(max(1, NUMBERS // (k * m))):
        part = part.masked_fill(part < 0, k)  # noise is a component like others
        together = torch.nn.functional.one_hot(part, k + 1).float().transpose(0, 1).reshape(m, -1)
        total.addmm_(together, together.T)
    return total.double() / len(kept)


def allocated(posterior: Draws, index: Int[Tensor, "m"], max_draws: int) -> Int[Tensor, "b m"]:
    """Labels of these points in evenly spaced draws: kept ones, else the most probable."""
    if posterior.allocations is not None:
        flat = posterior.allocations.flatten(0, 1)
        flat = flat[evenly_spaced(len(flat), max_draws).to(flat.device)]
        return flat[:, index.to(flat.device)].long().cpu()
    parameters = posterior.parameters()
    parameters = parameters[evenly_spaced(len(parameters.means), max_draws)]
    points = posterior.observations.subset(index)
    found = over_draws(posterior.family, parameters, points, lambda theta, _: labels(points, theta))
    return torch.cat(found).cpu()


def _from_responsibilities(
    posterior: Draws, index: Int[Tensor, "m"], max_draws: int
) -> Float[Tensor, "m m"]:
    """Means over the draws of Σ_k r_ik r_jk."""
    parameters = posterior.parameters()
    parameters = parameters[evenly_spaced(len(parameters.means), max_draws)]
    points = posterior.observations.subset(index)
    total = torch.zeros(len(index), len(index), dtype=torch.float64)

    def evaluate(theta: Theta, _: slice) -> Tensor:
        share = shares(points, theta).flatten(0, 1).double().cpu()
        return total.addmm_(share.T, share)

    over_draws(posterior.family, parameters, points, evaluate)
    return total / len(parameters.means)


# ---------------------------------------------------------------------- a partition


def partition(posterior: Draws, loss: str, rows: Any, max_draws: int) -> Partition:
    """The partition of least expected loss that is found; see `Posterior.partition`."""
    check_choice("loss", loss, LOSSES)
    together = co_clustering(posterior, rows, max_draws)
    drawn = allocated(posterior, chosen_rows(posterior, rows), CANDIDATES).numpy()
    most = min(len(together), 2 * posterior.n_components)
    return best_partition(together, loss, [*drawn, *linkage_cuts(together, most)])


def best_partition(
    together: Float[Tensor, "n n"], loss: str, candidates: Iterable[Int[np.ndarray, "n"]]
) -> Partition:
    """The partition of least expected loss, from candidates by moves of single points.

    With p_ij the probability that points i and j are together, C(i) the cluster of i and n points,

        "vi":     1/n Σ_i [ log |C(i)| + log Σ_j p_ij - 2 log Σ_{j in C(i)} p_ij ]
        "binder": 2/(n (n-1)) Σ_{i<j} [ (1 - p_ij) if C(i) = C(j) else p_ij ]

    The first, in nats, is the expected variation of information with the expectations taken inside
    the logarithms, by Jensen's inequality (Wade & Ghahramani 2018, eq. 13); its middle term does
    not depend on the clustering. The second is the expected share of pairs on which a clustering
    and that of a draw disagree: one less the expected Rand index (Binder 1978).

    Each of the best candidates is improved by moving one point at a time to the cluster, or to one
    of its own, where the loss is least, until no move helps. The least loss of all partitions is
    not guaranteed.

    Args:
        together: probabilities p, symmetric with ones on the diagonal, shape (n, n).
        loss: "vi" or "binder".
        candidates: labels of the points, each of shape (n,).

    Example:
        >>> together = torch.tensor([[1.0, 0.9, 0.2], [0.9, 1.0, 0.1], [0.2, 0.1, 1.0]])
        >>> best_partition(together.double(), "binder", [np.array([0, 0, 0])]).labels.tolist()
        [0, 0, 1]
    """
    p = together.numpy()
    distinct = {_canonical(labels).tobytes(): _canonical(labels) for labels in candidates}
    scored = sorted(distinct.values(), key=lambda labels: LOSSES[loss](p, labels).value)
    climbed = [_climbed(LOSSES[loss](p, labels)) for labels in scored[:CLIMBS]]
    best = min(climbed, key=lambda end: end.value)
    found = torch.from_numpy(_by_size(best.labels))
    return Partition(found, int(found.max()) + 1, float(max(0.0, best.value)), together)


def _climbed(state: Loss) -> Loss:
    """The partition after moves of single points, until a whole sweep makes none."""
    for _ in range(MOST_SWEEPS):
        moved = [state.move(point, GAIN) for point in range(len(state.labels))]
        if not any(moved):
            break
    return state


def linkage_cuts(together: Float[Tensor, "n n"], most: int) -> list[Int[np.ndarray, "n"]]:
    """Partitions into 1 to `most` clusters, by average linkage of 1 - p."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    n = len(together)
    if n == 1:
        return [np.zeros(1, dtype=np.int64)]
    distance = np.clip(1 - together.numpy(), 0, 1)
    tree = linkage(squareform(distance, checks=False), method="average")
    return [fcluster(tree, count, criterion="maxclust") for count in range(1, most + 1)]


def _canonical(labels: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Clusters numbered from 0 as they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first.argsort().argsort()[inverse].astype(np.int64)


def _by_size(labels: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Clusters numbered from 0 in falling order of size; of equal ones, as they first occur."""
    labels = _canonical(labels)
    return (-np.bincount(labels)).argsort(kind="stable").argsort()[labels].astype(np.int64)
