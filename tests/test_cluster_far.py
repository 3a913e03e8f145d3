"""Clusters far from each other in fifty features, in partitions: closed forms, and SciPy's logs.

Densities underflow there: those of Spark's GaussianMixture do (`benchmarks/spark.py`).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import gmm_pyro as gp

pytest.importorskip("distributed")
import dask.array as da

D, K = 50, 3
SIZES = np.array([150, 300, 450])  # points of the clusters
APART = 100.0  # standard deviations between centres
CENTRES = np.eye(K, D) * APART / math.sqrt(2)
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(K), SIZES))


def clusters(deviation: float) -> np.ndarray:
    """Points of three clusters, whose standard deviation is a unit of any kind."""
    random = np.random.default_rng(1)
    spread = random.uniform(0.7, 1.3, size=(K, D))
    return deviation * (CENTRES[LABELS] + random.normal(size=(len(LABELS), D)) * spread[LABELS])


def log_joint(mixture: gp.GaussianMixture, x: np.ndarray) -> np.ndarray:
    """log w + log N(x | μ, Σ) of SciPy, shape (n, k)."""
    parts = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    return np.stack(
        [math.log(w) + multivariate_normal(m.numpy(), c.numpy()).logpdf(x) for w, m, c in parts], 1
    )


@pytest.mark.parametrize("deviation", [1.0, 1e-6, 1e6])
def test_a_fit_is_the_closed_form_of_clusters_that_share_no_point(deviation: float) -> None:
    """Weights, means and covariances are those of each cluster, and so is the log-likelihood."""
    x = clusters(deviation)
    start = gp.GaussianMixture(
        torch.ones(K).double() / K,
        torch.from_numpy(deviation * CENTRES),
        deviation**2 * torch.eye(D).double().expand(K, D, D),
    )
    fit = gp.fit(gp.MixtureModel(K), da.from_array(x, chunks=(200, D)), start=start)
    total = 0.0
    for i in range(K):
        own = x[i == LABELS]
        covariance = np.cov(own.T, bias=True)
        assert float(fit.mixture.weights[i]) == pytest.approx(len(own) / len(x), rel=1e-12)
        np.testing.assert_allclose(fit.mixture.means[i], own.mean(0), rtol=0, atol=1e-9 * deviation)
        np.testing.assert_allclose(
            fit.mixture.covariances[i], covariance, rtol=0, atol=1e-8 * deviation**2
        )
        log_det = np.linalg.slogdet(covariance)[1]
        each = math.log(len(own) / len(x)) - 0.5 * (D * math.log(2 * math.pi) + log_det + D)
        total += len(own) * each
    assert fit.objective == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("away", [0.0, 30.0, 1e3, 1e6])
def test_points_far_from_every_centre_have_the_densities_and_shares_of_logarithms(
    away: float,
) -> None:
    """Beside SciPy; a density itself is 0 in float64 from 40 standard deviations on."""
    random = np.random.default_rng(2)
    factor = random.normal(size=(K, D, D)) / math.sqrt(D) + 2 * np.eye(D)
    mixture = gp.GaussianMixture(
        torch.tensor([0.2, 0.3, 0.5]).double(),
        torch.from_numpy(random.normal(size=(K, D))),
        torch.from_numpy(factor @ factor.swapaxes(1, 2)),
    )
    directions = random.normal(size=(60, D))
    x = away * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    joint = log_joint(mixture, x)
    norm = logsumexp(joint, axis=1)
    points = da.from_array(x, chunks=(20, D))
    np.testing.assert_allclose(mixture.log_prob(points), norm, rtol=1e-11)
    shares = np.exp(joint - norm[:, None])
    # a share is as precise as the difference of two logarithms
    error = 1e-13 * max(1.0, float(abs(joint).max()))
    np.testing.assert_allclose(mixture.responsibilities(points), shares, atol=error)
