"""`PyroGaussianMixture` against the class that it takes the place of, with the same arguments.

    python benchmarks/drop_in.py [--quick]

Both sides take the same steps from the same starts, so the times differ and the numbers do not:
what is left between their bounds stands beside the times. K-means, which makes the starts of
`init_params="kmeans"`, is scikit-learn's own on both sides.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import common
from sklearn.mixture import GaussianMixture as SklearnMixture

import gmm_pyro as gp
from gmm_pyro.estimator import PyroGaussianMixture

CASES: list[tuple[tuple[int, int, int], dict[str, Any]]] = [
    ((300, 2, 3), {}),
    ((300, 2, 3), {"n_init": 10}),
    ((10_000, 4, 5), {}),
    ((10_000, 4, 5), {"n_init": 10}),
    ((100_000, 8, 8), {}),
    ((100_000, 8, 8), {"covariance_type": "diag"}),
    ((1_000_000, 8, 8), {}),
]


def row(size: tuple[int, int, int], arguments: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Both sides on one case."""
    n, d, k = size
    x = gp.datasets.make_mixture(n, d, k, separation=2.5, seed=1).x.numpy()
    found = dict[str, Any]()

    def side(name: str, estimator: Any) -> Any:
        def run() -> None:
            found[name] = estimator(k, random_state=0, **arguments).fit(x)

        return run

    sides = {
        "gmm_pyro": side("gmm_pyro", PyroGaussianMixture),
        "scikit-learn": side("scikit-learn", SklearnMixture),
    }
    times = common.interleaved(sides, rounds=rounds, warm_up=1 if n < 50_000 else 0)
    ours, theirs = found["gmm_pyro"], found["scikit-learn"]
    return {
        "n": n,
        "d": d,
        "k": k,
        "arguments": ", ".join(f"{name}={value}" for name, value in arguments.items()) or "default",
        "steps": f"{ours.n_iter_} / {theirs.n_iter_}",
        **{f"{name}, ms": common.milliseconds(times[name]) for name in sides},
        "scikit-learn / ours": common.ratio(times, "scikit-learn"),
        "bounds differ by, nats a point": f"{abs(ours.lower_bound_ - theirs.lower_bound_):.0e}",
    }


def main() -> None:
    """Measure all cases."""
    warnings.simplefilter("ignore")
    quick = "--quick" in sys.argv
    cases = [case for case in CASES if not quick or case[0][0] <= 10_000]
    rows = [row(*case, rounds=5 if case[0][0] < 50_000 else 3) for case in cases]
    title = "The estimator against scikit-learn's, same arguments: minimum / median milliseconds"
    common.report("drop_in", title, rows)


if __name__ == "__main__":
    main()
