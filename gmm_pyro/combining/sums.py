"""What one pass over the points says of clusters, which are sets of components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.points import Points
from ..reduction.background import NOISE
from ..reduction.pointwise import at_points, total_at_points
from ..reduction.theta import Theta

Clusters = tuple[tuple[int, ...], ...]
Pairs = Callable[[Float[Tensor, "c m"], int, Float[Tensor, "m"]], Float[Tensor, "q c"]]


@dataclass(frozen=True, eq=False)
class ClusterSums:
    """Sums over all points.

    Attributes:
        entropy: Σ_n u h(t_n) in nats, of all clusters, and of noise if there is any.
        mass: Σ_n u t_nj, shape (c,).
        counts: how much is most probably in each cluster, shape (c,).
        pairs: q sums for each pair of some clusters with all, shape (r, q, c).
    """

    entropy: float
    mass: Float[Tensor, "c"]
    counts: Float[Tensor, "c"]
    pairs: Float[Tensor, "r q c"]


@dataclass(frozen=True, eq=False)
class Seen:
    """Points with the mixture that they are seen under.

    Attributes:
        points: n points.
        theta: one set of k components.
        dtype: of what is said of the points.
        weight: how often each counts, shape (n,), or None.
    """

    points: Points
    theta: Theta
    dtype: torch.dtype
    weight: Float[Tensor, "n"] | None

    def membership(self, clusters: Sequence[Sequence[int]]) -> Float[Tensor, "c2 k2"]:
        """Which components each cluster has; noise, if there is any, is one of its own, last."""
        parameters = self.theta.parameters
        k, noise = parameters.means.shape[1], parameters.log_odds is not None
        found = parameters.means.new_zeros(len(clusters) + noise, k + noise, dtype=torch.float64)
        for row, components in zip(found, clusters, strict=False):
            row[list(components)] = 1.0
        if noise:
            found[-1, -1] = 1.0
        return found

    def sums(self, clusters: Clusters, rows: Sequence[int], pairs: Pairs | None) -> ClusterSums:
        """The sums of these clusters, and of pairs of some of them with all."""
        member, c = self.membership(clusters), len(clusters)

        def pick(share: Float[Tensor, "s k2 m"], weight: Float[Tensor, "m"]) -> Float[Tensor, "w"]:
            own = (member @ share[0]).clamp_max_(1.0)  # above it by rounding only
            counts = torch.bincount(own.argmax(0), weight, minlength=len(own))
            found = [torch.special.entr(own) @ weight, own @ weight, counts]
            if pairs is not None:
                found += [pairs(own[:c], row, weight).flatten() for row in rows]
            return torch.cat(found)

        total = total_at_points(self.points, self.theta, self.weight, pick)
        entropy, mass, counts, rest = total.split(
            [*(len(member),) * 3, len(total) - 3 * len(member)]
        )
        shape = (len(rows), len(rest) // (len(rows) * c), c) if len(rest) else (0, 0, c)
        return ClusterSums(float(entropy.sum()), mass[:c], counts[:c], rest.view(shape))

    def shares(self, clusters: Clusters) -> Float[Tensor, "n c"]:
        """Posterior probability of each cluster at each point."""
        member, c = self.membership(clusters), len(clusters)
        found = at_points(
            *(self.points, self.theta),
            lambda _, share: (member @ share[0])[:c].to(self.dtype),
        )
        return found.T.contiguous()

    def labels(self, clusters: Clusters) -> Int[Tensor, "n"]:
        """The most probable cluster of each point: -1 where that is the noise."""
        member = self.membership(clusters)
        found = at_points(
            *(self.points, self.theta),
            lambda _, share: (member @ share[0]).to(self.dtype).argmax(0),
        )
        return found.masked_fill(found == len(clusters), NOISE)
