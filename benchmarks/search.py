"""How often a fit ends at the best sound solution known, and how long it takes, on many problems.

    python benchmarks/search.py [--quick] [--seeds 5] [--thorough] [--peers]

Success is a sound solution within 1e-4 nats a point of the best sound one that any side has found,
in this run or in those before it (`results/search_best.json`). Seconds are of processor time.
`--peers` adds scikit-learn with ten starts, and R's mclust if it is there, which has no seeds: it
begins at a hierarchical clustering, of a subset where there are more than 2,000 points.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
from problems import FEW_POINTS, PROBLEMS, Problem
from sklearn.mixture import GaussianMixture as SklearnMixture

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.diagnosis import is_sound
from gmm_pyro.inference.methods import choice
from gmm_pyro.inference.task import Task

BEST = common.RESULTS / "search_best.json"
CLOSE = 1e-4  # nats a point
Side = Callable[[Problem, np.ndarray, int], tuple[gp.GaussianMixture | None, float]]
MCLUST = {
    "full": "VVV",
    "diag": "VVI",
    "tied": "EEE",
    "spherical": "VII",
}
SCRIPT = r"""
suppressPackageStartupMessages(library(mclust))
told <- commandArgs(trailingOnly = TRUE)
x <- as.matrix(read.csv(told[1], header = FALSE))
began <- proc.time()[["user.self"]]
fit <- Mclust(x, G = as.integer(told[2]), modelNames = told[3], verbose = FALSE)
seconds <- proc.time()[["user.self"]] - began
if (is.null(fit)) quit(status = 4)
p <- fit$parameters
sigma <- if (ncol(x) > 1) p$variance$sigma else rep_len(p$variance$sigmasq, fit$G)
cat(format(c(seconds, p$pro, p$mean, sigma), digits = 17, trim = TRUE), "\n")
"""


def ours(search: str) -> Side:
    """A fit with this search."""

    def run(problem: Problem, x: np.ndarray, seed: int) -> tuple[gp.GaussianMixture, float]:
        model = gp.MixtureModel(problem.k, problem.covariance)
        started = time.process_time()
        fit = gp.fit(model, x, seed=seed, search=search)
        return fit.mixture, time.process_time() - started

    return run


def sklearns(problem: Problem, x: np.ndarray, seed: int) -> tuple[gp.GaussianMixture, float]:
    """scikit-learn's, with ten starts and a tight tolerance."""
    kind, started = problem.covariance, time.process_time()
    found = SklearnMixture(
        problem.k, covariance_type=kind, n_init=10, tol=1e-6, max_iter=1000, random_state=seed
    ).fit(x)
    seconds = time.process_time() - started
    return gp.GaussianMixture(found.weights_, found.means_, found.covariances_, kind), seconds


def mclusts(problem: Problem, x: np.ndarray, seed: int) -> tuple[gp.GaussianMixture | None, float]:
    """R's mclust; without a mixture where it finds none."""
    del seed
    k, d = problem.k, x.shape[1]
    code = MCLUST[problem.covariance] if d > 1 else {"tied": "E"}.get(problem.covariance, "V")
    with tempfile.TemporaryDirectory() as folder:
        script, data = Path(folder, "script.R"), Path(folder, "x.csv")
        script.write_text(SCRIPT)
        np.savetxt(data, x, delimiter=",", fmt="%.17g")
        command = ["Rscript", "--vanilla", str(script), str(data), str(k), code]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        return None, math.nan
    seconds, *numbers = map(float, ran.stdout.split())
    weights, means = np.array(numbers[:k]), np.array(numbers[k : k + k * d]).reshape(k, d)
    dense = np.array(numbers[k + k * d :]).reshape(k, d, d)
    compact = {
        "full": dense,
        "tied": dense[0],
        "diag": np.diagonal(dense, axis1=1, axis2=2),
        "spherical": dense[:, 0, 0],
    }
    return gp.GaussianMixture(
        weights, means, compact[problem.covariance], problem.covariance
    ), seconds


def runs_of(problem: Problem, sides: dict[str, Side], seeds: int) -> dict[str, list[dict]]:
    """What each side finds with each seed."""
    x = problem.draw()
    task: Any = Task(
        "em",
        gp.MixtureModel(problem.k, problem.covariance),
        observe(x, n_components=problem.k),
        choice("em", {}).options,
    )
    found: dict[str, list[dict]] = {name: [] for name in sides}
    for seed in range(seeds):
        for name, side in sides.items():
            if side is mclusts and seed:
                found[name].append(found[name][0])  # it has no seeds
                continue
            mixture, seconds = side(problem, x, seed)
            value, sound = -math.inf, False
            if mixture is not None:
                value, sound = float(mixture.log_prob(x).mean()), is_sound(task, mixture.parameters)
            found[name].append({"seconds": seconds, "value": value, "sound": sound})
    return found


def row(problem: Problem, found: dict[str, list[dict]], best: float) -> dict[str, Any]:
    """Shares of success and mean seconds of one problem."""
    result: dict[str, Any] = {"problem": problem.name, "best, nats a point": round(best, 6)}
    for name, runs in found.items():
        good = [run["sound"] and run["value"] >= best - CLOSE for run in runs]
        result[f"{name}, success"] = statistics.mean(good)
        result[f"{name}, s"] = statistics.mean(run["seconds"] for run in runs)
    return result


def total(rows: list[dict[str, Any]], name: str, label: str) -> dict[str, Any]:
    """Mean success and geometric mean of the seconds."""
    seconds = [math.log(r[f"{name}, s"]) for r in rows if math.isfinite(r[f"{name}, s"])]
    return {
        "side": name,
        "problems": label,
        "success": statistics.mean(r[f"{name}, success"] for r in rows),
        "geometric mean, s": math.exp(statistics.mean(seconds)),
    }


def main() -> None:
    """Measure all problems."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--thorough", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    told = parser.parse_args()
    sides: dict[str, Side] = {"starts": ours("starts"), "moves": ours("moves")}
    if told.thorough:
        sides["thorough"] = ours("thorough")
    if told.peers:
        sides["scikit-learn"] = sklearns
        if shutil.which("Rscript"):
            sides["mclust"] = mclusts
    known = json.loads(BEST.read_text()) if BEST.exists() else {}
    rows = []
    for problem in PROBLEMS[::6] if told.quick else PROBLEMS:
        found = runs_of(problem, sides, told.seeds)
        values = [r["value"] for runs in found.values() for r in runs if r["sound"]]
        known[problem.name] = max([known.get(problem.name, -math.inf), *values])
        rows.append(row(problem, found, known[problem.name]))
        print(rows[-1], flush=True)
    many = [r for r in rows if r["problem"] not in FEW_POINTS]
    totals = [
        total(some, name, label)
        for name in sides
        for label, some in (("all", rows), ("without few points a parameter", many))
    ]
    common.report("search", "Best sound solutions, problem by problem", rows)
    title = "The best sound solution: share found, and processor seconds"
    common.report("search_total", title, totals)
    BEST.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
