"""A whole fit with ten starts alone, and with moves as is the default, against scikit-learn's ten.

    python benchmarks/whole_fit.py [--quick]

Ours stops at its default tolerance. scikit-learn's default, 1e-3 nats a point in a step, stops well
below the optimum, so it is run at 1e-7 too, at which it comes about as far; the differences of the
log-likelihoods stand beside the times. "by torch" is the fit with moves
where the compiled kernel is forbidden.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import common
from sklearn.mixture import GaussianMixture as SklearnMixture

import gmm_pyro as gp
from gmm_pyro.reduction.decision import SETTING

SIZES = [(300, 2, 3), (10_000, 4, 5), (100_000, 8, 8)]
STARTS = 10
TIGHT = 1e-7  # tolerance at which scikit-learn reaches our log-likelihood
PEERS = {"tol 1e-3": 1e-3, "tol 1e-7": TIGHT}
LARGEST_TIGHT = 10_000  # points; beyond, it would take an hour


def row(size: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    """Both sides on one size."""
    n, d, k = size
    data = gp.datasets.make_mixture(n, d, k, separation=2.5, seed=1)
    x, found = data.x.numpy(), dict[Any, float]()

    def ours(n_starts: int, search: str = "starts") -> gp.Fit:
        return gp.fit(gp.MixtureModel(k), x, "em", n_starts=n_starts, search=search)

    def run_ours() -> None:
        found["ours"] = ours(STARTS).objective / n

    def run_moves() -> None:
        found["moves"] = ours(STARTS, "moves").objective / n

    def run_one() -> None:
        ours(1)

    def run_sklearn(tol: float) -> None:
        mixture = SklearnMixture(k, n_init=STARTS, random_state=0, tol=tol, max_iter=1000)
        found[tol] = mixture.fit(x).score(x)

    def run_by_torch() -> None:
        before = os.environ.get(SETTING, "auto")
        os.environ[SETTING] = "never"
        run_moves()
        os.environ[SETTING] = before

    sides = {
        "gmm_pyro": run_ours,
        "with moves": run_moves,
        "by torch": run_by_torch,
        "one start": run_one,
        "tol 1e-3": lambda: run_sklearn(1e-3),
    }
    if n <= LARGEST_TIGHT:
        sides["tol 1e-7"] = lambda: run_sklearn(TIGHT)
    run_moves()  # what is compiled, and imported, on first use does not count
    times = common.interleaved(sides, rounds=rounds, warm_up=1 if n < 50_000 else 0)
    result: dict[str, Any] = {"n": n, "d": d, "k": k}
    for name in ("gmm_pyro", "with moves", "by torch", "one start", *PEERS):
        result[f"{name}, ms"] = common.milliseconds(times[name]) if name in times else "-"
    result["moves less ours, nats a point"] = found["moves"] - found["ours"]
    result["by torch / with moves"] = common.ratio(times, "by torch", "with moves")
    result["10 starts / one"] = 1 / common.ratio(times, "one start")
    for name, tol in PEERS.items():
        known = name in times
        result[f"{name} / ours"] = common.ratio(times, name) if known else "-"
        moving = common.ratio(times, name, "with moves") if known else "-"
        result[f"{name} / ours with moves"] = moving
        result[f"ours less {name}, nats a point"] = found["ours"] - found[tol] if known else "-"
    return result


def main() -> None:
    """Measure all sizes."""
    warnings.simplefilter("ignore")
    quick = "--quick" in sys.argv
    sizes = [size for size in SIZES if not quick or size[0] <= 10_000]
    rows = [row(size, rounds=5 if size[0] < 50_000 else 2) for size in sizes]
    common.report("whole_fit", "A whole fit with 10 starts: minimum / median milliseconds", rows)


if __name__ == "__main__":
    main()
