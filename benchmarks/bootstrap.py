"""Bootstrap likelihood-ratio tests of Old Faithful's components, beside R's mclust.

    python benchmarks/bootstrap.py [--quick] [--against-fits]

Each test has 999 data sets of 272 points, by covariances of their own (VVV); mclust has R's package
of that name, if it is there. Both sides run in turn, and seconds are those of the clock and of the
processor: R uses one core. mclust looks for a mixture of k + 1 components from one hierarchical
clustering, gmm_pyro from several starts for each data set.

`--against-fits` shows instead by how much the searches of 30 data sets stay behind `gmm_pyro.fit`,
whose search takes a second for each of them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
import warnings
from typing import Any

import common
import torch

import gmm_pyro as gp

TESTS = ((1, 2), (2, 3), (3, 4))
SCRIPT = r"""
suppressPackageStartupMessages(library(mclust))
told <- commandArgs(trailingOnly = TRUE)
n <- as.integer(told[1])
for (g in 1:3) {
  began <- proc.time()
  # tests 1, 2, ... g in turn, so the last one is the difference
  b <- mclustBootstrapLRT(faithful, modelName = "VVV", nboot = n, maxG = g, level = 1,
                          verbose = FALSE)
  spent <- proc.time() - began
  cat(format(c(g, b$obs[g], b$p.value[g], median(b$boot[, g]), spent[["elapsed"]],
               spent[["user.self"]] + spent[["sys.self"]]), digits = 17, trim = TRUE), "\n")
}
"""


def ours(n: int, k: tuple[int, int]) -> dict[str, Any]:
    x = gp.datasets.old_faithful().x
    clock, processor = time.perf_counter(), time.process_time()
    (test,) = gp.bootstrap_lrt(x, k, covariance="VVV", n=n).tests
    return {
        "LRTS": f"{test.statistic:.4f}",
        "LRTS by the search of the replicates": f"{test.alike:.4f}",
        "p": test.p_value,
        "median of the replicates": float(test.replicates.median()),
        "s": time.perf_counter() - clock,
        "processor s": time.process_time() - processor,
    }


def of_mclust(n: int) -> list[dict[str, Any]]:
    """All tests by R, each less those before it, which it repeats."""
    run = ["Rscript", "-e", SCRIPT, str(n)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    rows: list[dict[str, Any]] = []
    before = [0.0, 0.0]
    for line in done.stdout.splitlines():
        _, statistic, p, median, *spent = map(float, line.split())
        own = [now - then for now, then in zip(spent, before, strict=True)]
        rows.append(
            {
                "LRTS": f"{statistic:.4f}",
                "LRTS by the search of the replicates": f"{statistic:.4f}",
                "p": p,
                "median of the replicates": median,
                "s": own[0],
                "processor s": own[1],
            }
        )
        before = spent
    return rows


def timed(n: int) -> list[dict[str, Any]]:
    ours(19, (1, 2))  # to warm up
    theirs = of_mclust(n) if shutil.which("Rscript") else [None] * len(TESTS)
    rows = []
    for k, row in zip(TESTS, theirs, strict=True):
        name = f"{k[0]} against {k[1]}"
        rows.append({"test": name, "side": "gmm_pyro", **ours(n, k)})
        if row is not None:
            rows.append({"test": name, "side": "mclust", **row})
    return rows


def against_fits(n: int) -> list[dict[str, Any]]:
    """LRTS of the same data sets by the search of the test, and by fits of their own."""
    x, rows = gp.datasets.old_faithful().x, []
    for k0, k1 in TESTS[:2]:
        (test,) = (tests := gp.bootstrap_lrt(x, (k0, k1), covariance="VVV", n=max(n, 19))).tests
        mixture, seed = tests.fits[k0].mixture, 11 * 1_000_003  # what the test has drawn
        found = []
        for points in mixture.sample(max(n, 19) * len(x), seed).view(-1, *x.shape)[:n]:
            null = gp.fit(gp.MixtureModel(k0), points, start=mixture).objective
            found.append(2 * (gp.fit(gp.MixtureModel(k1), points).objective - null))
        fits, replicates = torch.tensor(found, dtype=torch.float64), test.replicates[:n]
        rows.append(
            {
                "test": f"{k0} against {k1}",
                "data sets": n,
                "mean LRTS of the test": float(replicates.mean()),
                "mean LRTS by fits": float(fits.mean()),
                "as high or higher": int((replicates >= fits - 0.02).sum()),
                "statistic": test.statistic,
                "as high by the test": test.alike,
                "largest by fits": float(fits.max()),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="99 data sets, or 5 against fits")
    parser.add_argument("--against-fits", action="store_true")
    told = parser.parse_args()
    warnings.simplefilter("ignore", gp.FitWarning)
    if told.against_fits:
        title = "Replicates by the search of the test, and by fits of their own"
        name, rows = "bootstrap_against_fits", against_fits(5 if told.quick else 30)
    else:
        title = f"Bootstrap likelihood-ratio tests, Old Faithful ({time.strftime('%Y-%m-%d')})"
        name, rows = "bootstrap", timed(99 if told.quick else 999)
    if told.quick:
        print(*rows, sep="\n")
    else:
        common.report(name, title, rows)


if __name__ == "__main__":
    main()
