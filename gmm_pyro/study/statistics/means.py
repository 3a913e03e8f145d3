"""Means and medians over replicates, with Monte Carlo standard errors; and many tests at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Mean:
    """A mean of n values.

    Attributes:
        mean: the mean; NaN of none.
        standard_error: by how much it would differ if replicates were drawn anew; NaN of fewer
            than two.
        dof: degrees of freedom of the standard error.
        n: number of values.
    """

    mean: float
    standard_error: float
    dof: float
    n: int

    def interval(self, level: float) -> tuple[float, float]:
        """The t interval at a level."""
        from scipy.stats import t

        if not self.standard_error > 0:
            width = 0 * self.standard_error  # none, or NaN
        else:
            width = self.standard_error * float(t.isf((1 - level) / 2, self.dof))
        return self.mean - width, self.mean + width

    @property
    def p(self) -> float:
        """Two-sided p-value of the t test that the mean is zero."""
        from scipy.stats import t

        if math.isnan(self.standard_error):
            return math.nan
        if self.standard_error == 0:
            return float(self.mean == 0)
        return float(2 * t.sf(abs(self.mean) / self.standard_error, self.dof))


NOTHING = Mean(math.nan, math.nan, math.nan, 0)


def mean_of(values: Float[np.ndarray, "n"], settings: Int[np.ndarray, "n"]) -> Mean:
    """The mean of all finite values, which are independent replicates at several settings.

    Settings are what the study is about and stay; replicates are drawn anew. So the variance is
    that within settings, as of a stratified sample, with Satterthwaite's (1946) degrees of freedom.
    Settings with one replicate are taken as one together, and all are if one is left alone.
    """
    kept = np.isfinite(values)
    x, n = values[kept], int(kept.sum())
    if n < 2:
        return Mean(float(x[0]), math.nan, math.nan, 1) if n else NOTHING
    place, sizes = _strata(settings[kept])
    means = np.bincount(place, x) / sizes
    within = np.bincount(place, (x - means[place]) ** 2) / (sizes - 1)
    each = sizes * within / n**2
    variance, spread = each.sum(), (each**2 / (sizes - 1)).sum()
    dof = variance**2 / spread if spread > 0 else n - len(sizes)
    return Mean(float(x.mean()), math.sqrt(variance), float(dof), n)


def _strata(
    settings: Int[np.ndarray, "n"],
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "h"]]:
    """The place of each value among h strata of two or more, and how many are in each."""
    _, place, sizes = np.unique(settings, return_inverse=True, return_counts=True)
    alone = sizes[place] == 1
    if alone.sum() == 1:
        return np.zeros(len(place), int), np.array([len(place)])
    _, place = np.unique(np.where(alone, -1, place), return_inverse=True)
    return place, np.bincount(place)


def median_of(values: Float[np.ndarray, "n"], settings: Int[np.ndarray, "n"]) -> Mean:
    """The median of all finite values, with the standard error of Maritz & Jarrett (1978).

    With an odd number of values that is the bootstrap's, of endless resamples. All values are taken
    as one sample, so that over several settings it is on the safe side.
    """
    del settings
    from scipy.stats import beta

    x = np.sort(values[np.isfinite(values)])
    n = len(x)
    if n < 2:
        return Mean(float(x[0]), math.nan, math.nan, 1) if n else NOTHING
    half = (n + 1) / 2
    weight = np.diff(beta.cdf(np.arange(n + 1) / n, half, half))  # of each to be the median
    apart = x - x[0]
    error = math.sqrt(weight @ (apart - weight @ apart) ** 2)
    return Mean(float(np.median(x)), error, math.nan, n)


def holm(p: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
    """Adjusted p-values that hold for all tests together (Holm 1979); NaN are no tests.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")  # NaN last
    m = int((~np.isnan(p)).sum())
    times = np.maximum(m - np.arange(len(p)), 1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order[:m]] = np.minimum(np.maximum.accumulate((times * p[order])[:m]), 1.0)
    return adjusted
