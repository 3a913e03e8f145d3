"""Criteria that are means, and so have standard errors: of points, or of pairs of resamples.

Two models that are measured at the same points, or in the same resamples, differ by a mean, too:
its error is that of the paired differences, which is often far below that of either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class OfPoints:
    """The mean or the sum of a number for each point.

    The error supposes that points are independent. Those that one fold holds out share a fit, so
    that it is too small by as much as fits differ (Bengio & Grandvalet 2004).

    Attributes:
        values: of the points, in nats.
        weight: how often each counts.
        summed: whether it is their sum, rather than their mean.
    """

    values: Float[np.ndarray, "n"]
    weight: Float[np.ndarray, "n"]
    summed: bool = False

    @property
    def value(self) -> float:
        """The mean, or the sum."""
        total = self.weight.sum()
        return float(self.weight @ self.values) / (1.0 if self.summed else total)

    @property
    def error(self) -> float:
        """Its standard error."""
        total = self.weight.sum()
        with np.errstate(invalid="ignore"):  # of a density that is zero somewhere
            away = self.values - self.weight @ self.values / total
        variance = self.weight @ np.square(away) / total
        return math.sqrt(variance * total if self.summed else variance / total)

    def behind(self, best: OfPoints) -> OfPoints:
        """By how much the best is above it."""
        with np.errstate(invalid="ignore"):
            return replace(self, values=best.values - self.values)


@dataclass(frozen=True, eq=False)
class OfPairs:
    """The mean of a number for each pair of resamples.

    Pairs that share a resample are not independent: the error is by the jackknife over resamples
    (Arvesen 1969).

    Attributes:
        values: of all pairs, symmetric; the diagonal does not count.
    """

    values: Float[np.ndarray, "b b"]

    @property
    def value(self) -> float:
        """The mean."""
        b = len(self.values)
        return float(self._of_each.sum()) / (b * (b - 1))

    @property
    def error(self) -> float:
        """Its standard error."""
        b, each = len(self.values), self._of_each
        without = (each.sum() - 2 * each) / ((b - 1) * (b - 2))
        return math.sqrt((b - 1) / b * float(np.square(without - without.mean()).sum()))

    @property
    def _of_each(self) -> Float[np.ndarray, "b"]:
        """The sum over the pairs that a resample is in."""
        return np.asarray(self.values.sum(1) - self.values.diagonal())

    def behind(self, best: OfPairs) -> OfPairs:
        """By how much the best is above it."""
        return OfPairs(best.values - self.values)


Estimate = OfPoints | OfPairs


def difference(of: Estimate | None, best: Estimate | None) -> tuple[float, float]:
    """By how much the best is above another, and the standard error of that; NaN where unknown."""
    if isinstance(of, OfPoints) and isinstance(best, OfPoints):
        found: Estimate = of.behind(best)
    elif isinstance(of, OfPairs) and isinstance(best, OfPairs):
        found = of.behind(best)
    else:
        return math.nan, math.nan
    return found.value, found.error
