"""How often intervals of the bootstrap cover the truth: 200 data sets of 500 points.

    python benchmarks/bootstrap_coverage.py [--quick]

Two Gaussians in two dimensions that give 2 % of their points to the wrong one, and the same closer
to each other, where it is 9 %. Every data set is fitted from the truth on, and resampled by every
kind. Coverage is the mean over the entries of a parameter, its standard error that over data sets.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from typing import Any

import common
import torch

import gmm_pyro as gp

LEVEL = 0.9
Results = dict[tuple[str, str], dict[str, torch.Tensor]]
N = 500
KINDS = ("weighted", "nonparametric", "parametric", "jackknife")
COVARIANCES = [[[1.0, 0.3], [0.3, 1.0]], [[1.5, -0.4], [-0.4, 0.6]]]
TRUTHS = {
    name: gp.GaussianMixture([0.4, 0.6], [[0.0, 0.0], mean], COVARIANCES)
    for name, mean in {"apart": [4.0, 1.5], "overlapping": [2.6, 1.0]}.items()
}


def values(mixture: gp.GaussianMixture) -> dict[str, torch.Tensor]:
    return {name: getattr(mixture, name) for name in ("weights", "means", "covariances")}


def wrong(truth: gp.GaussianMixture) -> float:
    """Share of points that the true mixture itself gives to the wrong component."""
    drawn = truth.sample_labelled(100_000)
    return float((truth.predict(drawn.x) != drawn.labels).double().mean())


def covered(
    found: gp.Bootstrap, kind: str, truth_of: gp.GaussianMixture
) -> dict[str, torch.Tensor]:
    """Whether each true entry is inside of its interval; variances and covariances apart."""
    truth, result = values(truth_of), {}
    for name, interval in found.intervals(LEVEL, kind).items():
        inside = (interval.lower <= truth[name]) & (truth[name] <= interval.upper)
        if name == "covariances":
            result["variances"] = inside.diagonal(dim1=1, dim2=2).double()
            result["covariances"] = inside[:, 0, 1].double()
        else:
            result[name] = inside.double()
    return result


def of_data_set(truth: gp.GaussianMixture, seed: int, n: int) -> Results:
    fit = gp.fit(gp.MixtureModel(2), truth.sample(N, seed), start=truth)
    result = {}
    for kind in KINDS:
        found = gp.bootstrap(fit, n, kind=kind, seed=seed)
        for interval in ("normal",) if kind == "jackknife" else ("percentile", "basic", "normal"):
            result[kind, interval] = covered(found, interval, truth)
    return result


def rows_of(truth: str, results: list[Results]) -> list[dict[str, Any]]:
    rows = []
    for kind, interval in results[0]:
        row: dict[str, Any] = {"components": truth, "resamples": kind, "interval": interval}
        for name in ("weights", "means", "variances", "covariances"):
            each = torch.stack([result[kind, interval][name].mean() for result in results])
            error = 100 * float(each.std()) / math.sqrt(len(each))
            row[name] = f"{100 * float(each.mean()):.1f} ± {error:.1f} %"
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ten data sets")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore", gp.FitWarning)
    started = time.perf_counter()
    count, rows = 10 if quick else 200, []
    for name, truth in TRUTHS.items():
        results = [of_data_set(truth, seed, 399) for seed in range(count)]
        mixed = wrong(truth)
        rows += rows_of(f"{name}, {100 * mixed:.0f} % wrong", results)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    title = (
        f"Coverage of intervals of {100 * LEVEL:.0f} %: {count} data sets of {N} points, "
        f"399 resamples each ({time.strftime('%Y-%m-%d')})"
    )
    if not quick:
        common.report("bootstrap_coverage", title, rows)


if __name__ == "__main__":
    main()
