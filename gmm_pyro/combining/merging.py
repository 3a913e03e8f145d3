"""The merging itself: pair by pair, until one cluster is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..mixture.value import GaussianMixture
from .rules import Rule, affinities
from .sums import Clusters, ClusterSums, Seen


@dataclass(frozen=True)
class Merge:
    """Two clusters that become one.

    Attributes:
        first: components of the one that has the smallest of all.
        second: components of the other.
        strength: why they: the entropy that it removes in nats, or how much they overlap.
        entropy: that of the assignment afterwards, in nats.
        weight: how much is most probably in the new cluster: a number of points, or their weight.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    strength: float
    entropy: float
    weight: float


class Merged(NamedTuple):
    """What merging gives: the entropy before it, the merges, and how many are of empty clusters."""

    entropy: float
    merges: tuple[Merge, ...]
    n_empty: int


def merged_all(seen: Seen, mixture: GaussianMixture, rule: Rule) -> Merged:
    """All merges, in their order.

    The first pass over the points knows all pairs; each merge takes one more, for the pairs of the
    new cluster. Of equal strengths the first pair counts. A cluster that has no part of any point
    is merged first, with the nearest.
    """
    k = mixture.n_components
    clusters: Clusters = tuple((i,) for i in range(k))
    rows = list(range(k))
    strengths = seen.theta.parameters.means.new_zeros(k, k, dtype=torch.float64)
    sums = _renew(strengths, seen, mixture, rule, clusters, rows)
    entropy, merges, n_empty = sums.entropy, [], 0
    while len(clusters) > 1:
        empty = (sums.mass <= 0).nonzero()[:, 0].tolist()
        if empty:
            n_empty += 1
            pair, strength = _nearest(mixture, clusters, empty[0]), rule.of_empty
        else:
            pair, strength = _strongest(strengths)
        one, other = pair
        first, second = clusters[one], clusters[other]
        clusters = tuple(
            tuple(sorted(first + second)) if i == one else components
            for i, components in enumerate(clusters)
            if i != other
        )
        left = [i for i in range(len(strengths)) if i != other]
        strengths = strengths[left][:, left]
        sums = _renew(strengths, seen, mixture, rule, clusters, [one])
        merges.append(Merge(first, second, strength, sums.entropy, float(sums.counts[one])))
    return Merged(entropy, tuple(merges), n_empty)


def _renew(
    strengths: Float[Tensor, "c c"],
    seen: Seen,
    mixture: GaussianMixture,
    rule: Rule,
    clusters: Clusters,
    rows: list[int],
) -> ClusterSums:
    """Put the strengths of pairs of some clusters in their places; returns the sums."""
    sums = seen.sums(clusters, rows, rule.pairs)
    found = rule.strengths(mixture, clusters, rows, sums)
    strengths[rows] = found
    strengths[:, rows] = found.T
    return sums


def _strongest(strengths: Float[Tensor, "c c"]) -> tuple[tuple[int, int], float]:
    """The first pair of the largest strength."""
    above = torch.ones_like(strengths, dtype=torch.bool).triu(1)
    best = int(strengths.masked_fill(~above, -torch.inf).argmax())
    one, other = divmod(best, len(strengths))
    return (one, other), float(strengths[one, other])


def _nearest(mixture: GaussianMixture, clusters: Clusters, empty: int) -> tuple[int, int]:
    """An empty cluster with the one that it overlaps most, in their order."""
    found = affinities(mixture, clusters, [empty])[0]
    found[empty] = -1.0
    one, other = sorted((empty, int(found.argmax())))
    return one, other
