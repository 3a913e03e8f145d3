"""Sums over all assignments of a few points, from the evidence of every set of them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.special import gammaln, logsumexp
from torch import Tensor

from gmm_pyro import MixtureModel
from gmm_pyro.covariance import Statistics
from gmm_pyro.data.observations import observe
from gmm_pyro.reduction.sums import reduce_given
from oracles import normal


def points(n: int, d: int, k: int, separation: float, seed: int) -> Tensor:
    """Clusters along the first feature, in turn."""
    x = normal(n, d, seed=seed)
    x[:, 0] += separation * (torch.arange(n) % k - (k - 1) / 2)
    return x


def statistics_of(model: MixtureModel, x: Tensor, labels: Tensor) -> Statistics:
    """Of assignments (z, n)."""
    origin = observe(x).origin
    assigned = torch.nn.functional.one_hot(labels, model.n_components).mT.double()
    return reduce_given(model.family, x.double() - origin, assigned, origin)


def log_sum(concentration: Any, n: int, log_parts: list[dict[frozenset[int], float]]) -> float:
    """log Σ_z p(z) Π_j p(points of j), from the evidence of every set of points in each place."""
    alpha, terms = np.asarray(concentration, float), []
    for z in itertools.product(range(len(alpha)), repeat=n):
        held = [frozenset(i for i in range(n) if z[i] == j) for j in range(len(alpha))]
        counts = np.array([len(h) for h in held])
        log_p = gammaln(alpha + counts).sum() - gammaln(alpha).sum()
        terms.append(log_p + sum(part[h] for part, h in zip(log_parts, held, strict=True)))
    return float(logsumexp(terms) + gammaln(alpha.sum()) - gammaln(alpha.sum() + n))


def subsets(n: int) -> list[frozenset[int]]:
    everyone = range(n)
    return [frozenset(s) for size in range(n + 1) for s in itertools.combinations(everyone, size)]


def quadrature_sum(
    x: Tensor, alpha: Any, centre: np.ndarray, tau: float, log_scale: np.ndarray, sigma: float
) -> float:
    """Means ~ Normal(centre, tau), scales ~ LogNormal(log_scale, sigma): (k, d) of each.

    The mean is integrated in closed form, the scale by the trapezium rule on 801 points.
    """
    y, n = x.numpy(), len(x)
    u = np.linspace(-8, 8, 801)
    log_u = stats.norm.logpdf(u) + math.log(u[1] - u[0])
    places: list[dict[frozenset[int], float]] = []
    for m, b in zip(centre, log_scale, strict=True):
        part = {}
        for s in subsets(n):
            total = 0.0
            for a in range(y.shape[1]):
                variance = np.exp(2 * (b[a] + sigma * u))
                away, count = y[sorted(s), a] - m[a], len(s)
                shared = variance + count * tau**2
                square = (away**2).sum() / variance
                square = square - tau**2 * away.sum() ** 2 / (variance * shared)
                logdet = (count - 1) * np.log(variance) + np.log(shared)
                log_p = -0.5 * (square + logdet + count * math.log(2 * math.pi))
                total += logsumexp(log_p + log_u)
            part[s] = float(total)
        places.append(part)
    return log_sum(alpha, n, places)
