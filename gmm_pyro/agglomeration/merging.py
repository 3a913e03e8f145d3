"""The cheapest merges, one after the other, until one cluster is left.

A cluster has a row: what merges with all clusters older than it cost. With volumes, costs are
bounds from below at first, as |A + B| ≥ |A| + |B|, and are computed where a bound is the least of
all. A row is looked at again only when it seems to have the cheapest merge, and what was that is
merged, or was a bound; so n points take about n² numbers, and as many steps.

Source: Müllner (2011), "Modern hierarchical, agglomerative clustering algorithms", §3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from .criteria import Criterion

NONE = -1  # in place of a partner that is not known


@dataclass(eq=False)
class _Row:
    """What merges of one cluster with older ones cost, at least; exactly where that is said."""

    others: Int[np.ndarray, "m"]
    costs: Float[np.ndarray, "m"]
    exact: Bool[np.ndarray, "m"]

    def of_living(self, alive: Bool[np.ndarray, "g"]) -> _Row:
        keep = alive[self.others]
        return _Row(self.others[keep], self.costs[keep], self.exact[keep])


class Merger:
    """Clusters under way: the first n are the points, and every merge makes another one.

    Args:
        z: different points.
        weight: how often each counts.
        criterion: what a merge costs.
    """

    def __init__(
        self, z: Float[np.ndarray, "n d"], weight: Float[np.ndarray, "n"], criterion: Criterion
    ) -> None:
        n, d = z.shape
        self.criterion, self.n, self.d = criterion, n, d
        self.count, self.trace, self.volume, self.term = np.zeros((4, 2 * n - 1))
        self.mean, self.points = np.zeros((2 * n - 1, d)), np.ones(2 * n - 1, dtype=int)
        self.count[:n], self.mean[:n] = weight, z
        self.term[:n] = criterion.terms(weight, self.trace[:n])
        self.members = [np.array([i]) for i in range(n)]
        self.scatters: dict[int, Float[np.ndarray, "d d"]] = {}  # of those with a volume
        self.alive = np.ones(2 * n - 1, dtype=bool)
        self.living = np.arange(0)
        self.least = np.full(2 * n - 1, np.inf)  # what a row has not less than
        self.partner = np.full(2 * n - 1, NONE)  # of the merge that costs it
        self.rows: dict[int, _Row] = {}
        for i in range(n):
            self._new_row(i)

    def merge(self) -> tuple[int, int, float]:
        """Merge the pair that costs least, and give its numbers, the lesser first, and the cost."""
        while True:
            two = int(self.least.argmin())
            one = int(self.partner[two])
            if one != NONE and self.alive[one]:
                break
            self._look_again(two)
        cost = float(self.least[two])
        self._join(one, two, cost)
        return one, two, cost

    # ------------------------------------------------------------------ rows

    def _new_row(self, new: int) -> None:
        """That of a cluster which is new, and joins those that are there."""
        others = self.living
        count, trace, away = self._united(new, others)
        volume, exact = self._least_volumes(new, others, count, away)
        costs = self.criterion.terms(count, trace, volume) - self.term[new] - self.term[others]
        self.rows[new] = _Row(others, costs, exact)
        self._note(new)
        self.living = np.append(others, new)

    def _look_again(self, one: int) -> None:
        """Find the cheapest merge of a row with what is still there."""
        row = self.rows[one]
        assert row is not None
        self.rows[one] = row = row.of_living(self.alive)
        if len(row.others):
            best = int(row.costs.argmin())
            if not row.exact[best]:
                self._make_exact(one, row, np.array([best]))
                self._make_exact(
                    one, row, ((row.costs < row.costs[best]) & ~row.exact).nonzero()[0]
                )
        self._note(one)

    def _note(self, one: int) -> None:
        """Keep what the row's cheapest merge costs, and with which cluster, if that is certain."""
        row = self.rows[one]
        if not len(row.others):
            self.least[one] = np.inf
            return
        best = int(row.costs.argmin())
        self.least[one] = row.costs[best]
        self.partner[one] = row.others[best] if row.exact[best] else NONE

    def _make_exact(self, one: int, row: _Row, which: Int[np.ndarray, "m"]) -> None:
        if not len(which):
            return
        others = row.others[which]
        count, trace, away = self._united(one, others)
        share = self.count[one] * self.count[others] / count
        scatter = np.stack([self._scatter(int(other)) for other in others]) + self._scatter(one)
        scatter += (share[:, None] * away)[:, :, None] * away[:, None, :]
        volume = np.linalg.det(scatter / count[:, None, None]).clip(0)
        terms = self.criterion.terms(count, trace, volume)
        row.costs[which] = terms - self.term[one] - self.term[others]
        row.exact[which] = True

    # ------------------------------------------------------------------ unions

    def _united(
        self, one: int, others: Int[np.ndarray, "m"]
    ) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "m"], Float[np.ndarray, "m d"]]:
        """Counts and traces of unions of a cluster with others, and how far the means are apart."""
        count = self.count[others] + self.count[one]
        away = self.mean[others] - self.mean[one]
        between = np.einsum("ij,ij->i", away, away) * (self.count[one] * self.count[others] / count)
        return count, self.trace[one] + self.trace[others] + between, away

    def _least_volumes(
        self,
        one: int,
        others: Int[np.ndarray, "m"],
        count: Float[np.ndarray, "m"],
        away: Float[np.ndarray, "m d"],
    ) -> tuple[Float[np.ndarray, "m"] | float, Bool[np.ndarray, "m"]]:
        """Bounds of the volumes of unions from below, and whether they are the volumes."""
        if not self.criterion.has_volume:
            return 0.0, np.ones(len(others), dtype=bool)
        volume = self.volume[others] * (self.count[others] / count) ** self.d
        if self.volume[one] == 0.0:
            return volume, self.points[others] + self.points[one] <= self.d
        own = self.volume[one] * (self.count[one] / count) ** self.d
        inverse = np.linalg.inv(self.scatters[one] / self.count[one])  # whose volume is not zero
        square = np.einsum("ij,ij->i", away @ inverse, away)
        volume += own * (1 + self.count[others] / count * square)
        return volume, others < self.n  # a point has no scatter

    def _scatter(self, one: int) -> Float[np.ndarray, "d d"]:
        """Scatter of a cluster about its mean; of small ones from their points."""
        if one in self.scatters:
            return self.scatters[one]
        rows = self.members[one]
        centred = self.mean[rows] - self.mean[one]
        return (self.count[rows, None] * centred).T @ centred

    def _join(self, one: int, two: int, cost: float) -> None:
        """Make a cluster of two."""
        new = len(self.members)
        count, trace, away = self._united(one, np.array([two]))
        self.count[new], self.trace[new] = count[0], trace[0]
        self.mean[new] = self.mean[one] + away[0] * (self.count[two] / count[0])
        self.term[new] = self.term[one] + self.term[two] + cost
        self.members.append(np.concatenate([self.members[one], self.members[two]]))
        self.points[new] = self.points[one] + self.points[two]
        if self.criterion.has_volume and self.points[new] > self.d:
            share = self.count[one] * self.count[two] / count[0]
            scatter = self._scatter(one) + self._scatter(two) + share * np.outer(away, away)
            self.scatters[new] = scatter
            self.volume[new] = max(0.0, np.linalg.det(scatter / count[0]))
        for old in (one, two):
            self.alive[old], self.least[old] = False, np.inf
            self.rows.pop(old)
            self.scatters.pop(old, None)
        self.living = self.living[self.alive[self.living]]
        self._new_row(new)
