"""A whole fit with default start and restarts, against scikit-learn with as many.

    python benchmarks/whole_fit.py [--quick]

Both sides stop by their own rule at their default tolerance; the log-likelihoods that they reach
stand beside the times.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import common
from sklearn.mixture import GaussianMixture as SklearnMixture

import gmm_pyro as gp

SIZES = [(300, 2, 3), (10_000, 4, 5), (100_000, 8, 8)]
STARTS = 10


def row(size: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    """Both sides on one size."""
    n, d, k = size
    data = gp.datasets.make_mixture(n, d, k, separation=2.5, seed=1)
    x, found = data.x.numpy(), {}

    def ours(n_starts: int) -> gp.Fit:
        return gp.fit(gp.MixtureModel(k), x, "em", n_starts=n_starts)

    def run_ours() -> None:
        found["ours"] = ours(STARTS).objective / n

    def run_one() -> None:
        ours(1)

    def run_sklearn() -> None:
        found["theirs"] = SklearnMixture(k, n_init=STARTS, random_state=0).fit(x).score(x)

    sides = {"gmm_pyro": run_ours, "one start": run_one, "scikit-learn": run_sklearn}
    times = common.interleaved(sides, rounds=rounds, warm_up=1 if n < 50_000 else 0)
    return {
        "n": n,
        "d": d,
        "k": k,
        **{f"{name}, ms": common.milliseconds(times[name]) for name in sides},
        "scikit-learn / ours": common.ratio(times, "scikit-learn"),
        "10 starts / one": 1 / common.ratio(times, "one start"),
        "our log-likelihood less theirs, nats a point": found["ours"] - found["theirs"],
    }


def main() -> None:
    """Measure all sizes."""
    warnings.simplefilter("ignore")
    quick = "--quick" in sys.argv
    sizes = [size for size in SIZES if not quick or size[0] <= 10_000]
    rows = [row(size, rounds=5 if size[0] < 50_000 else 1) for size in sizes]
    common.report("whole_fit", "A whole fit with 10 starts: minimum / median milliseconds", rows)


if __name__ == "__main__":
    main()
