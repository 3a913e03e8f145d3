"""What merging has found: the tree, its elbow, and the clusters for every number of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..covariance import Parameters
from ..data.checks import check_count
from ..data.known import Known
from ..data.words import counted
from ..mixture.placing import placed
from ..mixture.value import GaussianMixture
from .elbow import Elbow, elbow_of
from .merging import Merge
from .rules import RULES, Rule
from .sums import Clusters, Seen

if TYPE_CHECKING:
    import pandas as pd

SURE = 0.01  # nats a point of both, below which two clusters are told apart: at 5.4 deviations


@dataclass(frozen=True, eq=False, repr=False)
class CombinationRecord:
    """Components of a mixture, merged pair by pair into clusters.

    Clusters are numbered from 0, by the smallest component of each; where `n_clusters` is asked
    for, None is the number that is proposed.

    Attributes:
        mixture: the mixture, whose density no merging changes.
        by: the rule of which pair is next: "entropy", "overlap" or "bhattacharyya".
        threshold: the strength below which clusters stay apart; None by entropy, whose elbow says
            where to stop.
        entropies: of the assignment of points to k, …, 1 clusters, in nats, shape (k,). Noise, if
            there is any, is one place more that points may belong to.
        merges: k - 1 of them, in their order.
        n_empty: components that no point has any part in; they are merged first.
        seen: the points.
    """

    mixture: GaussianMixture
    by: str
    threshold: float | None
    entropies: Float[Tensor, "k"]
    merges: tuple[Merge, ...]
    n_empty: int
    seen: Seen = field(repr=False)

    def __repr__(self) -> str:
        components = counted(self.mixture.n_components, "component")
        clusters = counted(self.n_clusters, "cluster")
        return f"<combination by {self.by}: {components} in {clusters}>"

    @property
    def rule(self) -> Rule:
        """What the rule consists of."""
        return RULES[self.by]

    # ------------------------------------------------------------------ how many

    @cached_property
    def n_clusters(self) -> int:
        """The number of clusters that is proposed.

        By a threshold, the first number of clusters no two of which are as strongly alike. By
        entropy, that of the `elbow`, unless no merge removes 0.01 nats for each point of the
        cluster that it makes: all are then clusters of their own. Components that no point has any
        part in never are.
        """
        filled = self.mixture.n_components - self.n_empty
        if self.threshold is not None:
            apart = (merge.strength < self.threshold for merge in self.merges)
            return self.mixture.n_components - next(
                (i for i, found in enumerate(apart) if found), len(self.merges)
            )
        sure = all(m.strength < SURE * m.weight for m in self.merges[self.n_empty :])
        return filled if sure or self.elbow is None else self.elbow.n_clusters

    @cached_property
    def elbow(self) -> Elbow | None:
        """Where the entropy stops to fall steeply, against the number of clusters.

        It is never at one cluster, nor at as many as there are components; None where fewer than
        three of these have a part of any point.
        """
        return elbow_of(range(1, self._n_filled + 1), self._entropies_from_one)

    @cached_property
    def elbow_by_points(self) -> Elbow | None:
        """The same against how many points merges have moved, counted from one cluster on.

        A merge of many points may remove more entropy than one of few: this counts it by the point.
        """
        moved = [merge.weight for merge in reversed(self.merges)][: self._n_filled - 1]
        return elbow_of(list(accumulate(moved, initial=0.0)), self._entropies_from_one)

    @property
    def _n_filled(self) -> int:
        return self.mixture.n_components - self.n_empty

    @property
    def _entropies_from_one(self) -> list[float]:
        """Entropies of 1, 2, … clusters, as many as have a part of any point."""
        return self.entropies.flip(0)[: self._n_filled].tolist()

    # ------------------------------------------------------------------ the tree

    @property
    def tree(self) -> pd.DataFrame:
        """The merges as a table, one row each, in their order.

        Columns: `n_clusters` that are left, components of the `first` and the `second`, the
        `strength` by which they were chosen, the `entropy` that is left in nats, and the `weight`
        of the points that are most probably in the new cluster.
        """
        import pandas as pd

        table = pd.DataFrame(
            [vars(merge) for merge in self.merges],
            columns=["first", "second", "strength", "entropy", "weight"],
        )
        table.insert(0, "n_clusters", range(len(self.merges), 0, -1))
        return table

    @property
    def linkage(self) -> Float[np.ndarray, "m 4"]:
        """The tree as `scipy.cluster.hierarchy` has it, whose leaves are the components.

        The height of a merge is the entropy that has been removed so far; by overlap, one minus
        the smallest probability of all merges up to it, so that cutting the tree at one minus the
        threshold gives the clusters that are proposed.
        """
        heights = self.rule.heights(np.array([merge.strength for merge in self.merges]))
        k = self.mixture.n_components
        node: dict[tuple[int, ...], int] = {(i,): i for i in range(k)}
        rows = np.empty((len(self.merges), 4))
        for i, (merge, height) in enumerate(zip(self.merges, heights, strict=True)):
            both = tuple(sorted(merge.first + merge.second))
            ends = sorted((node[merge.first], node[merge.second]))
            rows[i] = (*ends, height, len(both))
            node[both] = k + i
        return rows

    def clusters(self, n_clusters: int | None = None) -> Clusters:
        """The components of each cluster.

        Args:
            n_clusters: how many, or None.

        Raises:
            ValueError: if it is not from 1 to the number of components.
        """
        k = self.mixture.n_components
        found: set[tuple[int, ...]] = {(i,) for i in range(k)}
        for merge in self.merges[: k - self._checked(n_clusters)]:
            found -= {merge.first, merge.second}
            found.add(tuple(sorted(merge.first + merge.second)))
        return tuple(sorted(found))

    def _checked(self, n_clusters: int | None) -> int:
        if n_clusters is None:
            return self.n_clusters
        return check_count("n_clusters", n_clusters, 1, self.mixture.n_components)

    # ------------------------------------------------------------------ at points

    def labels(self, n_clusters: int | None = None) -> Int[Tensor, "n"]:
        """The most probable cluster of each point that was combined over: -1 where that is noise.

        Args:
            n_clusters: as in `clusters`.
        """
        return self.seen.labels(self.clusters(n_clusters))

    def responsibilities(self, n_clusters: int | None = None) -> Float[Tensor, "n c"]:
        """Posterior probability of each cluster at each point that was combined over.

        They are sums of those of its components. Where there is noise, rows sum to what it leaves.

        Args:
            n_clusters: as in `clusters`.
        """
        return self.seen.shares(self.clusters(n_clusters))

    def predict(
        self, x: Any, n_clusters: int | None = None, **known: Unpack[Known]
    ) -> Int[Tensor, "n"]:
        """The most probable cluster of each of other points: -1 where that is noise.

        Args:
            x: points, array-like of shape (n, d).
            n_clusters: as in `clusters`.
            **known: `noise`, `projection` and `labels` of the points, as `gmm_pyro.fit` has them.

        Raises:
            ValueError: if x are not points with the mixture's features.
        """
        clusters = self.clusters(n_clusters)
        return Seen(*placed(self.mixture, x, **known), weight=None).labels(clusters)

    def mixtures(self, n_clusters: int | None = None) -> tuple[GaussianMixture, ...]:
        """The density of each cluster: a mixture of its components, without noise.

        Args:
            n_clusters: as in `clusters`.
        """
        return tuple(
            mixture_of_some(self.mixture, list(components))
            for components in self.clusters(n_clusters)
        )


def mixture_of_some(mixture: GaussianMixture, components: list[int]) -> GaussianMixture:
    """The mixture of some components, whose weights are in the same proportions."""
    p = mixture.parameters
    shared = p.factor.shape[1] < mixture.n_components
    log_weights = p.log_weights[:, components]
    if log_weights.isneginf().all():
        log_weights = torch.zeros_like(log_weights)
    own = Parameters(
        log_weights,
        p.means[:, components],
        p.factor if shared else p.factor[:, components],
    )
    return GaussianMixture.from_parameters(
        mixture.family, own, dtype=mixture.means.dtype, feature_names=mixture.feature_names
    )
