"""Rules by which two clusters are the next to be merged, one class each.

A strength is a number for each pair; the pair of the largest is merged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import entr

from ..covariance.records import TINY
from ..mixture.value import GaussianMixture
from .sums import Clusters, ClusterSums


class Rule(ABC):
    """What is asked of a rule.

    Attributes:
        threshold: the strength below which clusters stay apart, or None where there is no such.
        strength: what a strength is, in words.
        height: what the height of a merge in the tree is, in words.
        of_empty: the strength with which a cluster that nothing is in is merged.
    """

    threshold: ClassVar[float | None]
    strength: ClassVar[str]
    height: ClassVar[str]
    of_empty: ClassVar[float]

    def pairs(
        self, share: Float[Tensor, "c m"], row: int, weight: Float[Tensor, "m"]
    ) -> Float[Tensor, "q c"]:
        """Sums over some points that say how one cluster is to all, itself among them."""
        return share.new_zeros(0, len(share))

    @abstractmethod
    def strengths(
        self, mixture: GaussianMixture, clusters: Clusters, rows: list[int], sums: ClusterSums
    ) -> Float[Tensor, "r c"]:
        """The strengths of pairs of some clusters with all."""

    @abstractmethod
    def heights(self, strengths: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
        """Heights of merges in a tree, none below the one before it."""


class Entropy(Rule):
    """By how much the entropy of the assignment falls, in nats.

    Merging i and j takes Σ_n u [h(t_i) + h(t_j) - h(t_i + t_j)] away, with h(t) = -t log t.

    Source: Baudry et al. (2010), §3.
    """

    threshold = None
    strength = "entropy removed, nats"
    height = "entropy removed so far, nats"
    of_empty = 0.0

    def pairs(
        self, share: Float[Tensor, "c m"], row: int, weight: Float[Tensor, "m"]
    ) -> Float[Tensor, "1 c"]:
        """What merging takes away."""
        removed = entr(share[row]) + entr(share) - entr(share[row] + share)
        return (removed @ weight)[None]

    def strengths(
        self, mixture: GaussianMixture, clusters: Clusters, rows: list[int], sums: ClusterSums
    ) -> Float[Tensor, "r c"]:
        """See `Rule`."""
        return sums.pairs[:, 0].clamp_min(0.0)  # below it by rounding only

    def heights(self, strengths: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
        """See `Rule`."""
        return strengths.cumsum()


class _Bounded(Rule):
    """A strength from 0 to 1, up to which two clusters are taken for different ones."""

    of_empty = 1.0

    def heights(self, strengths: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
        """See `Rule`."""
        return 1 - np.minimum.accumulate(strengths)


class Overlap(_Bounded):
    """How often a point of one cluster is taken for the other's, estimated from the points.

    Where these two are all there is to choose from, a point of j is taken for one of i with
    probability Σ_n u t_j 1{t_i > t_j} / Σ_n u t_j; the larger of both directions counts.

    Source: Hennig (2010), "directly estimated misclassification probabilities" (DEMP).
    """

    threshold = 0.025
    strength = "misclassification probability"
    height = "1 - misclassification probability"

    def pairs(
        self, share: Float[Tensor, "c m"], row: int, weight: Float[Tensor, "m"]
    ) -> Float[Tensor, "2 c"]:
        """How much of the others is taken for this one's, and of this one for theirs."""
        own = share[row]
        return torch.stack([(share * (own >= share)) @ weight, (own * (share >= own)) @ weight])

    def strengths(
        self, mixture: GaussianMixture, clusters: Clusters, rows: list[int], sums: ClusterSums
    ) -> Float[Tensor, "r c"]:
        """See `Rule`."""
        mass = sums.mass.clamp_min(TINY)
        taken, given = sums.pairs.unbind(1)
        return torch.maximum(taken / mass, given / mass[rows][:, None]).clamp_max(1.0)


class Bhattacharyya(_Bounded):
    """exp(-distance) of Gaussians with the clusters' means and covariances.

    It bounds how often points of two equally likely Gaussians are taken for one another.

    Source: Hennig (2010), §4.3; Fukunaga (1990), §3.4.
    """

    threshold = 0.1
    strength = "Bhattacharyya coefficient"
    height = "1 - Bhattacharyya coefficient"

    def strengths(
        self, mixture: GaussianMixture, clusters: Clusters, rows: list[int], sums: ClusterSums
    ) -> Float[Tensor, "r c"]:
        """See `Rule`."""
        return affinities(mixture, clusters, rows)


def affinities(
    mixture: GaussianMixture, clusters: Clusters, rows: list[int]
) -> Float[Tensor, "r c"]:
    """Bhattacharyya coefficients of Gaussians with the moments of some clusters and of all."""
    means, covariances = moments(mixture, clusters)
    halves = _log_root_determinants(covariances)
    found = means.new_empty(len(rows), len(clusters))
    for place, row in enumerate(rows):
        root = torch.linalg.cholesky((covariances + covariances[row]) / 2)
        shift = torch.linalg.solve_triangular(root, (means - means[row])[..., None], upper=False)
        middle = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        distance = shift.square().sum((1, 2)) / 8 + middle - (halves + halves[row]) / 2
        found[place] = (-distance).exp()
    return found


def _log_root_determinants(covariances: Float[Tensor, "c d d"]) -> Float[Tensor, "c"]:
    """log √|Σ|."""
    root = torch.linalg.cholesky(covariances)
    return root.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def moments(
    mixture: GaussianMixture, clusters: Clusters
) -> tuple[Float[Tensor, "c d"], Float[Tensor, "c d d"]]:
    """Mean and covariance of each cluster, as a mixture of its components."""
    p = mixture.parameters
    dense = mixture.family.dense(p.factor[0], mixture.n_features)
    dense = dense.expand(mixture.n_components, -1, -1)
    means, covariances = [], []
    for components in map(list, clusters):
        share = p.log_weights[0, components].nan_to_num(neginf=-1e300).softmax(0)
        own = p.means[0, components]
        mean = share @ own
        shift = own - mean
        within = (share[:, None, None] * dense[components]).sum(0)
        means.append(mean)
        covariances.append(within + (shift * share[:, None]).T @ shift)
    return torch.stack(means), torch.stack(covariances)


RULES: dict[str, Rule] = {
    "entropy": Entropy(),
    "overlap": Overlap(),
    "bhattacharyya": Bhattacharyya(),
}
