"""One step of variational Bayes against scikit-learn, from the same start, on the same data.

    python benchmarks/vb_step.py [--quick]

A step is an update of all factors, the responsibilities that follow it, and the bound. Both sides
begin at the responsibilities of one mixture, under one prior. Beside the times stands how far our
bound is above scikit-learn's after the same steps, which is completed by the constants that it
leaves out: the normalisers of the prior's distributions.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import common
import numpy as np
from scipy.special import gammaln
from sklearn.mixture import BayesianGaussianMixture

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.variational.approximation import VariationalPrior
from gmm_pyro.inference.variational.ascent import Ascent
from gmm_pyro.running.threads import one_thread_a_product

SIZES = [(10_000, 2, 3), (100_000, 8, 8), (100_000, 32, 16)]
ALPHA, KAPPA = 2.0, 0.01  # concentration, and observations that a mean is worth


def ours(x: np.ndarray, start: gp.GaussianMixture, steps: int, kernel: str) -> Callable[[], float]:
    """`steps` steps of gmm_pyro by one of its kernels, and the bound that they lead to."""
    observations = replace(observe(x), compiled=kernel == "compiled")
    scale = observations.scale.square().diag()
    priors = gp.ConjugatePriors(ALPHA, 0.0, KAPPA, x.shape[1], scale)
    model = gp.MixtureModel(start.n_components, priors=priors).specialise(observations)
    ascent = Ascent(VariationalPrior.of(model, observations.origin), observations, renumber=False)
    first = ascent.begun(start.parameters)

    def run() -> float:
        state = first
        with one_thread_a_product():
            for _ in range(steps):
                state = ascent.step(state)
        return float(state.bound)

    return run


def sklearns(x: np.ndarray, start: gp.GaussianMixture, steps: int) -> Callable[[], float]:
    """The same steps of scikit-learn's own functions, without the set-up."""
    k, d = start.n_components, x.shape[1]
    share = start.responsibilities(x).numpy()
    model = BayesianGaussianMixture(
        n_components=k,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=ALPHA,
        mean_prior=np.zeros(d),
        mean_precision_prior=KAPPA,
        degrees_of_freedom_prior=d,
        covariance_prior=np.diag(x.var(0)),
        reg_covar=0,
    )
    model._check_parameters(x)
    left_out = constants(len(x), k, np.diag(x.var(0)))

    def run() -> float:
        model._initialize(x, share)
        bound = 0.0
        for _ in range(steps):
            log_norm, log_share = model._e_step(x)
            model._m_step(x, log_share)
            bound = model._compute_lower_bound(log_share, log_norm)
        return bound + left_out

    return run


def constants(n: int, k: int, scale: np.ndarray) -> float:
    """What scikit-learn leaves out of its bound."""
    d = len(scale)
    half = 0.5 * (d - np.arange(d))
    wishart = 0.5 * d * (d * math.log(2) - np.linalg.slogdet(scale)[1]) + gammaln(half).sum()
    weights = gammaln(k * ALPHA) - k * gammaln(ALPHA)
    return weights - k * wishart + 0.5 * k * d * math.log(KAPPA) - 0.5 * n * d * math.log(2 * np.pi)


def row(size: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    """All sides on one size."""
    n, d, k = size
    data = gp.datasets.make_mixture(n, d, k, separation=2.0, seed=1)
    x, start = data.x.numpy() - data.x.numpy().mean(0), data.truth
    start = gp.GaussianMixture(start.weights, start.means - data.x.mean(0), start.covariances)
    steps = max(1, min(10, int(1e8 / (n * k * d * d))))
    sides = {
        "gmm_pyro": ours(x, start, steps, "compiled"),
        "torch": ours(x, start, steps, "torch"),
        "scikit-learn": sklearns(x, start, steps),
    }
    times = common.interleaved(sides, rounds=rounds)
    result: dict[str, Any] = {"n": n, "d": d, "k": k}
    for name in sides:
        result[f"{name}, ms"] = common.milliseconds(times[name], steps)
    for peer in ("scikit-learn", "torch"):
        result[f"{peer} / ours"] = common.ratio(times, peer)
    result["our bound above, nats"] = sides["gmm_pyro"]() - sides["scikit-learn"]()
    return result


def main() -> None:
    """Measure all sizes."""
    warnings.simplefilter("ignore")
    quick = "--quick" in sys.argv
    sizes = [size for size in SIZES if not quick or size[0] * size[1] <= 1_000_000]
    rows = [row(size, rounds=3 if quick else 5) for size in sizes]
    common.report(
        "vb_step",
        "A step of variational Bayes, compiled: minimum / median milliseconds, median of ratios",
        rows,
    )


if __name__ == "__main__":
    main()
