"""Least squares with standard errors that hold though rows of one cluster are not independent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from .means import Mean


@dataclass(frozen=True, eq=False)
class Fitted:
    """A regression.

    Attributes:
        coefficients: of the columns.
        covariance: of the coefficients, robust to clusters.
        r_squared: which share of the variance is explained; NaN where there is none.
        n_clusters: number of clusters.
    """

    coefficients: Float[np.ndarray, "p"]
    covariance: Float[np.ndarray, "p p"]
    r_squared: float
    n_clusters: int

    def combined(self, contrast: Float[np.ndarray, "q"], here: slice) -> Mean:
        """A sum of coefficients, with its standard error."""
        value = float(contrast @ self.coefficients[here])
        variance = float(contrast @ self.covariance[here, here] @ contrast)
        error = math.sqrt(max(variance, 0.0)) if not math.isnan(variance) else math.nan
        return Mean(value, error, self.n_clusters - 1, self.n_clusters)

    def wald(self, here: slice) -> tuple[float, float]:
        """F of Wald's test that some coefficients are zero, and its p-value.

        Both are NaN where there are too few clusters for as many coefficients.
        """
        from scipy.stats import f as f_distribution

        b, v = self.coefficients[here], self.covariance[here, here]
        if not np.isfinite(v).all() or np.linalg.matrix_rank(v, hermitian=True) < len(b):
            return math.nan, math.nan
        f = float(b @ np.linalg.solve(v, b)) / len(b)
        return f, float(f_distribution.sf(f, len(b), self.n_clusters - 1))


def clustered_fit(
    x: Float[np.ndarray, "n p"], y: Float[np.ndarray, "n"], clusters: Int[np.ndarray, "n"]
) -> Fitted:
    """Least squares of y on x, of full rank, with n > p.

    Covariances are (XᵀX)⁻¹ (Σ_g sum_g sum_gᵀ) (XᵀX)⁻¹ with sum_g the sum of x times residual over a
    cluster, times G / (G - 1) × (n - 1) / (n - p) for G clusters, and NaN for one cluster.

    Source: Liang & Zeger (1986); Cameron & Miller (2015), who take t with G - 1 degrees of freedom.
    """
    n, p = x.shape
    q, r = np.linalg.qr(x)
    coefficients = np.linalg.solve(r, q.T @ y)
    residuals = y - x @ coefficients
    _, place = np.unique(clusters, return_inverse=True)
    g = int(place.max()) + 1
    sums = np.zeros((g, p))
    np.add.at(sums, place, x * residuals[:, None])
    half = sums @ np.linalg.inv(r.T @ r)
    few = g / (g - 1) * (n - 1) / (n - p) if g > 1 else math.nan
    total = float(((y - y.mean()) ** 2).sum())
    r_squared = 1 - float(residuals @ residuals) / total if total > 0 else math.nan
    return Fitted(coefficients, few * half.T @ half, r_squared, g)
