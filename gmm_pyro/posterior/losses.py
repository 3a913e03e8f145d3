"""Expected losses of a partition, kept up to date while single points are moved."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, Int


class Loss(ABC):
    """A partition of n points with its expected loss, which `move` improves in place.

    Clusters are the columns of arrays that have one empty column at least, where a point can be
    moved to be on its own.

    Args:
        together: probabilities that two points are in one cluster, shape (n, n).
        labels: cluster of each point, numbered from 0 without gaps, shape (n,).
    """

    def __init__(self, together: Float[np.ndarray, "n n"], labels: Int[np.ndarray, "n"]) -> None:
        self.together, self.labels = together, labels.copy()
        n_places = int(labels.max()) + 2
        member = np.zeros((len(labels), n_places))
        member[np.arange(len(labels)), labels] = 1.0
        self.sizes = member.sum(0)
        self.shared = together @ member  # Σ of p over each cluster, for each point

    @property
    @abstractmethod
    def value(self) -> float:
        """The expected loss."""

    @abstractmethod
    def changes(self, point: int) -> Float[np.ndarray, "places"]:
        """How the loss would change if the point were in each cluster, or in an empty one."""

    def move(self, point: int, least: float) -> bool:
        """Put a point where the loss is least; whether that lessens it by more than `least`."""
        changes = self.changes(point)
        here, there = self.labels[point], int(changes.argmin())
        if changes[there] >= changes[here] - least:
            return False
        for place, sign in ((here, -1.0), (there, 1.0)):
            self.sizes[place] += sign
            self.shared[:, place] += sign * self.together[point]
        self.labels[point] = there
        if self.sizes.all():
            self.sizes = np.append(self.sizes, 0.0)
            self.shared = np.column_stack([self.shared, np.zeros(len(self.labels))])
        return True


class Binder(Loss):
    """Expected share of pairs that are together in one clustering and apart in the other."""

    @property
    def value(self) -> float:
        """See the base class."""
        n = len(self.labels)
        own = self.shared[np.arange(n), self.labels]
        pairs = (self.sizes[self.labels] - 2 * own).sum() + self.together.sum()
        return float(pairs / max(1, n * (n - 1)))

    def changes(self, point: int) -> Float[np.ndarray, "places"]:
        """See the base class."""
        cost = self.sizes - 2 * self.shared[point]
        cost[self.labels[point]] += 1.0  # a point is no pair with itself: 1 - 2 p = -1
        n = len(self.labels)
        return 2 * cost / max(1, n * (n - 1))


class VariationOfInformation(Loss):
    """Lower bound on the expected variation of information, in nats."""

    @property
    def value(self) -> float:
        """See the base class."""
        own = self.shared[np.arange(len(self.labels)), self.labels]
        logs = np.log(self.sizes[self.labels]) + np.log(self.together.sum(1)) - 2 * np.log(own)
        return float(logs.mean())

    def changes(self, point: int) -> Float[np.ndarray, "places"]:
        """See the base class."""
        here, row, places = self.labels[point], self.together[point], len(self.sizes)
        others = np.arange(len(row)) != point
        without = self.shared[np.arange(len(row)), self.labels] - row * (self.labels == here)
        without[point] = 1.0  # not counted
        sizes = self.sizes.copy()
        sizes[here] -= 1
        gained = np.log(without + row) - np.log(without)
        gained = np.bincount(self.labels, gained * others, places)
        alone = self.shared[point].copy()
        alone[here] -= row[point]
        change = _x_log_x(sizes + 1) - _x_log_x(sizes) - 2 * (gained + np.log(alone + row[point]))
        return change / len(row)


def _x_log_x(x: Float[np.ndarray, "places"]) -> Float[np.ndarray, "places"]:
    return x * np.log(np.maximum(x, 1.0))


LOSSES: dict[str, type[Loss]] = {"vi": VariationOfInformation, "binder": Binder}
