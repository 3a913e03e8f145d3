"""One step of EM against scikit-learn and oneDAL, from the same start, on the same data.

    python benchmarks/em_step.py [--quick]

Our steps are those of the compiled kernel, whether a fit of this size would choose it or not;
"torch" are those of torch's, in float64. oneDAL is its C++ EM through daal4py, where it
is installed; what it takes to set up counts, which is little beside its steps.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import common
import numpy as np
import torch
from sklearn.mixture import GaussianMixture as SklearnMixture

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.inference import METHODS
from gmm_pyro.inference.expectation import expect, step
from gmm_pyro.inference.task import Task
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import theta_of
from gmm_pyro.running.threads import one_thread_a_product

SIZES = [
    (10_000, 2, 3, "full"),
    (100_000, 8, 8, "full"),
    (1_000_000, 8, 8, "full"),
    (100_000, 32, 16, "full"),
    (50_000, 64, 32, "full"),
    (100_000, 8, 8, "diag"),
    (100_000, 8, 8, "tied"),
    (100_000, 8, 8, "spherical"),
    (100_000, 32, 16, "diag"),
    (100_000, 32, 16, "tied"),
]


def ours(
    x: np.ndarray, start: gp.GaussianMixture, steps: int, dtype: torch.dtype, kernel: str
) -> Callable[[], Any]:
    """`steps` steps of gmm_pyro's EM by one of its kernels."""
    observations = replace(observe(x, dtype=dtype), compiled=kernel == "compiled")
    model = gp.MixtureModel(start.n_components, start.family.name)
    task = Task("em", model, observations, METHODS["em"].options(covariance_floor=0.0))
    first = expect(theta_of(start.family, start.parameters, observations), observations)

    def run() -> Any:
        state = first
        with one_thread_a_product():
            for _ in range(steps):
                state = step(task, state, observations)
        return state

    return run


def sklearns(x: np.ndarray, start: gp.GaussianMixture, steps: int) -> Callable[[], Any]:
    """`steps` steps of scikit-learn's EM: its E-step and M-step, without the set-up."""
    model = SklearnMixture(start.n_components, covariance_type=start.family.name, reg_covar=0)
    parameters = _sklearn_parameters(start)

    def run() -> Any:
        model._set_parameters(parameters)
        for _ in range(steps):
            _, log_responsibilities = model._e_step(x)
            model._m_step(x, log_responsibilities)
        return model

    return run


def _sklearn_parameters(start: gp.GaussianMixture) -> tuple[np.ndarray, ...]:
    from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

    covariances = start.covariances.numpy()
    cholesky = _compute_precision_cholesky(covariances, start.family.name)
    return start.weights.numpy(), start.means.numpy(), covariances, cholesky


def onedals(x: np.ndarray, start: gp.GaussianMixture, steps: int) -> Callable[[], Any] | None:
    """`steps` steps of oneDAL's EM, or None where it is not installed or has no such family."""
    try:
        import daal4py
    except ImportError:
        return None
    if start.family.name != "full":
        return None
    weights = start.weights.numpy().reshape(1, -1)
    covariances = [np.ascontiguousarray(c) for c in start.covariances.numpy()]

    def run() -> Any:
        em = daal4py.em_gmm(start.n_components, maxIterations=steps, accuracyThreshold=0.0)
        return em.compute(x, weights, start.means.numpy(), covariances)

    return run


def pomegranates(x: np.ndarray, start: gp.GaussianMixture, steps: int) -> Callable[[], Any] | None:
    """`steps` steps of pomegranate's EM, or None where it is not installed or takes too long."""
    try:
        from pomegranate.distributions import Normal
        from pomegranate.gmm import GeneralMixtureModel
    except ImportError:
        return None
    if start.family.name != "full" or x.size * start.n_components > 1e7:
        return None
    points = torch.from_numpy(x)

    def run() -> Any:
        pairs = zip(start.means, start.covariances, strict=True)
        model = GeneralMixtureModel([Normal(*pair) for pair in pairs], priors=start.weights)
        for _ in range(steps):
            model.summarize(points)
            model.from_summaries()
        return model

    return run


def float32_error(x: np.ndarray, start: gp.GaussianMixture) -> float:
    """Relative difference of the log-likelihood in single precision."""
    single, double = (
        float(reduce(o, theta_of(start.family, start.parameters, o)).log_norm)
        for o in (replace(observe(x, dtype=torch.float32), compiled=True), observe(x))
    )
    return abs(single / double - 1)


def row(size: tuple[int, int, int, str], rounds: int) -> dict[str, Any]:
    """All sides on one size."""
    n, d, k, covariance = size
    data = gp.datasets.make_mixture(n, d, k, covariance=covariance, separation=2.0, seed=1)
    x = data.x.numpy()
    start = data.truth  # where all are well conditioned; a step takes as long anywhere
    steps = max(1, min(20, int(2e8 / (n * k * d * d))))
    sides = {
        "gmm_pyro": ours(x, start, steps, torch.float64, "compiled"),
        "float32": ours(x, start, steps, torch.float32, "compiled"),
        "torch": ours(x, start, steps, torch.float64, "torch"),
        "scikit-learn": sklearns(x, start, steps),
        "oneDAL": onedals(x, start, steps),
        "pomegranate": pomegranates(x, start, steps),
    }
    times = common.interleaved({name: run for name, run in sides.items() if run}, rounds=rounds)
    result: dict[str, Any] = {"n": n, "d": d, "k": k, "covariance": covariance}
    for name in sides:
        known = name in times
        result[f"{name}, ms"] = common.milliseconds(times[name], steps) if known else "-"
    for peer in ("scikit-learn", "oneDAL", "pomegranate", "torch"):
        result[f"{peer} / ours"] = common.ratio(times, peer) if peer in times else "-"
    result["ours / float32"] = 1 / common.ratio(times, "float32")
    result["float32's error"] = float32_error(x, start)
    result["of peak"] = _share_of_peak(size, min(times["gmm_pyro"]) / steps)
    return result


def _share_of_peak(size: tuple[int, int, int, str], seconds: float) -> float:
    """Useful floating-point operations a second over those of a large matrix product."""
    n, d, k, covariance = size
    features = {
        "full": 1 + d + d * (d + 1) // 2,
        "diag": 1 + 2 * d,
        "tied": 1 + d,
        "spherical": 2 + d,
    }[covariance]
    a = torch.randn(1500, 1500, dtype=torch.float64)
    peak = 2 * 1500**3 / min(common.interleaved({"product": lambda: a @ a})["product"])
    return 4.0 * n * k * features / seconds / peak


def main() -> None:
    """Measure all sizes."""
    warnings.simplefilter("ignore")
    quick = "--quick" in sys.argv
    sizes = [size for size in SIZES if not quick or size[0] * size[1] <= 1_000_000]
    rows = [row(size, rounds=3 if quick else 7) for size in sizes]
    common.report(
        "em_step", "A step of EM, compiled: minimum / median milliseconds, median of ratios", rows
    )


if __name__ == "__main__":
    main()
