"""Evidences of a few points, estimated and by sums over all assignments."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import multigammaln
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel
from oracles import FAILURE_RATE
from sums import log_sum, points, subsets


def estimate(model: MixtureModel, x: Tensor, **options: Any) -> dict[str, Any]:
    return dict(gp.fit(model, x, method="laplace", n_draws=2, **options).diagnostics)


def wishart_evidence(y: np.ndarray, m: np.ndarray, kappa: float, nu: float, psi: Any) -> float:
    """Of points of one component under a Normal-inverse-Wishart prior (Murphy 2007, eq. 266)."""
    n, d = y.shape
    if n == 0:
        return 0.0
    away = y - y.mean(0)
    gap = np.outer(y.mean(0) - m, y.mean(0) - m)
    later = psi + away.T @ away + kappa * n / (kappa + n) * gap
    gammas = multigammaln((nu + n) / 2, d) - multigammaln(nu / 2, d)
    logdets = nu / 2 * np.linalg.slogdet(psi)[1] - (nu + n) / 2 * np.linalg.slogdet(later)[1]
    means = d / 2 * math.log(kappa / (kappa + n)) - n * d / 2 * math.log(math.pi)
    return float(gammas + logdets + means)


def conjugate_sum(model: MixtureModel, x: Tensor) -> float:
    model = model.specialise(x)
    k, d, y = model.n_components, x.shape[1], x.numpy()
    prior = model.priors.conjugate(model.family, k)  # type: ignore[union-attr]
    h = prior.components
    kappa, nu, mean = float(h.mean_strength), float(h.dof), h.mean[0, 0].numpy()
    psi = h.scale[0, 0].numpy()
    if model.covariance == "full":
        part = {
            s: wishart_evidence(y[sorted(s)], mean, kappa, nu, psi.reshape(d, d))
            for s in subsets(len(x))
        }
    else:  # features of a diagonal covariance are independent
        part = {
            s: sum(
                wishart_evidence(y[sorted(s)][:, [a]], mean[[a]], kappa, nu, psi[[[a]]])
                for a in range(d)
            )
            for s in subsets(len(x))
        }
    return log_sum(prior.mixing.concentration.numpy(), len(x), [part] * k)


def check(errors: list[tuple[float, float]]) -> None:
    """Errors in their standard errors, which may be too large: strata are not told of."""
    z = np.array([error / deviation for error, deviation in errors])
    assert np.abs(z).max() < stats.norm.isf(FAILURE_RATE / 4 / len(z))
    low, high = stats.chi2.ppf([FAILURE_RATE / 4, 1 - FAILURE_RATE / 4], len(z)) / len(z)
    assert 0.5 * low < (z**2).mean() < high


def errors_of_evidences(seeds: Iterable[int]) -> list[tuple[float, float]]:
    """Errors against sums over all assignments, and what their standard errors are given as."""
    errors = []
    for seed in seeds:
        k, d = 2 + (seed % 4 == 3), 1 + seed % 2
        family = ["full", "diag"][seed // 2 % 2]
        concentration = [2.0, [1.0, 3.0, 2.0][:k], 0.7][seed % 3]
        strength = [0.01, 0.2][seed // 3 % 2]
        n = 5 if k == 3 else 6 + seed % 3
        x = points(n, d, k, separation=[0.0, 1.0, 2.0, 4.0][seed // 4 % 4], seed=seed)
        priors = ConjugatePriors(concentration=concentration, mean_strength=strength)
        model = MixtureModel(k, family, priors)
        found = estimate(model, x, seed=seed, n_starts=2, tolerance=1e-3)
        errors.append((found["log_evidence"] - conjugate_sum(model, x), found["log_evidence_se"]))
        assert found["log_evidence_se"] < 0.25
        assert found["evidence_k_hat"] < 0.7
    return errors
