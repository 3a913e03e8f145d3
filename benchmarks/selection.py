"""`gp.select` beside R's mclust: what both find in every cell of a grid, and how long it takes.

    python benchmarks/selection.py [--quick] [--rounds 3] [grids] [times] [--data iris ...]

`grids`: one to nine components by fourteen families (of one feature: two) of five data sets. A cell
counts as higher or lower where the log-likelihoods differ by more than .1 nat and gmm_pyro calls
its own solution sound; where it is lower, mclust's solution is put to the same rule.

`times`: seconds alone, of larger data. Above 2,000 points mclust makes its one start of each model
from a random subset of 2,000; its other options are its defaults, too. The last row is what
`mclust_R(adata, 7, modelNames="EEE")` calls.

Both sides take turns; seconds are medians of the rounds, of the work without the start of R. mclust
has one thread, gmm_pyro has one and then two. The tables need R with the package mclust.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import common
import numpy as np
import torch
from mclust import CODES, Grid, Mclust

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES

NUMBERS = range(1, 10)
NATS = 0.1
THREADS = (1, 2)
GRIDS = ("iris", "old_faithful", "wine", "galaxies", "anisotropic")
Row = dict[str, Any]
Times = dict[str, list[float]]


def selected(x: np.ndarray, ks: range, codes: Sequence[str], threads: int) -> gp.Selection:
    """`gp.select` on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return gp.select(x, k=ks, covariance=codes)
    finally:
        torch.set_num_threads(before)


def in_turns(
    r: Mclust, x: np.ndarray, ks: range, codes: Sequence[str], rounds: int
) -> tuple[Grid, gp.Selection, Times]:
    """The last results of both, and the seconds of all rounds."""
    times: Times = {"mclust": [], **{f"gmm_pyro, {t} thread(s)": [] for t in THREADS}}
    for _ in range(rounds):
        grid = r.grid(x, ks, univariate(codes) if x.shape[1] == 1 else codes)
        times["mclust"].append(grid.seconds)
        for threads in THREADS:
            started = time.perf_counter()
            selection = selected(x, ks, codes, threads)
            times[f"gmm_pyro, {threads} thread(s)"].append(time.perf_counter() - started)
    return grid, selection, times


def univariate(codes: Sequence[str]) -> list[str]:
    """mclust's codes of one feature: whether variances are equal."""
    return [code[0] for code in codes]


def seconds(times: Times) -> Row:
    """Medians, and how many times as fast gmm_pyro is."""
    rows: Row = {f"{name}, s": statistics.median(values) for name, values in times.items()}
    theirs = times["mclust"]
    for name in list(times)[1:]:
        pairs = zip(theirs, times[name], strict=True)
        rows[f"mclust / {name}"] = statistics.median(a / b for a, b in pairs)
    return rows


def compared(r: Mclust, x: np.ndarray, grid: Grid, selection: gp.Selection) -> Row:
    """In how many cells which side is ahead."""
    found = dict.fromkeys(
        ("higher", "lower", "lower, mclust's is sound", "alike", "mclust has none", "not sound"), 0
    )
    for cell in selection.cells:
        code = FAMILIES[cell.covariance].mclust
        key = (code[0] if x.shape[1] == 1 else code, cell.n_components)
        if not cell.counts:
            found["not sound"] += 1
        elif key not in grid.log_likelihood:
            found["mclust has none"] += 1
        else:
            gain = cell.criteria.log_likelihood - grid.log_likelihood[key]
            found["higher" if gain > NATS else "lower" if gain < -NATS else "alike"] += 1
            if gain < -NATS and r.is_sound(x, *key):
                found["lower, mclust's is sound"] += 1
                print(f"  {key}: {-gain:.2f} nats lower", flush=True)
    return found


def grids(r: Mclust, rounds: int, numbers: range, names: Sequence[str]) -> list[Row]:
    """The table of `grids`."""
    rows = []
    for name in names:
        x = gp.datasets.dataset_named(name.replace("_", "-")).x.numpy()
        print(name, flush=True)
        codes = ["EEE", "VVV"] if x.shape[1] == 1 else CODES
        grid, selection, times = in_turns(r, x, numbers, codes, rounds)
        best = selection.best_cell
        rows.append(
            {
                "data": name.replace("_", " "),
                "size": f"{x.shape[0]:,} x {x.shape[1]}",
                "cells": len(selection.cells),
                **compared(r, x, grid, selection),
                "best": f"{FAMILIES[best.covariance].mclust}, {best.n_components}",
                "mclust's best": "{}, {}".format(*grid.best),
                **seconds(times),
            }
        )
        print(rows[-1], flush=True)
    return rows


def cases(*, quick: bool) -> list[tuple[str, np.ndarray, range, list[str]]]:
    """What, the data, the numbers and the families of the table of `times`."""

    def drawn(n: int, d: int, k: int, covariance: str = "full") -> np.ndarray:
        return gp.datasets.make_mixture(n, d, k, covariance=covariance, seed=1).x.numpy()

    few = range(1, 4) if quick else NUMBERS
    size = 10 if quick else 1
    return [
        ("fourteen families", drawn(300, 2, 3), few, CODES),
        ("VVV", drawn(300, 2, 3), few, ["VVV"]),
        ("VVV, EEE, VVI", drawn(20_000 // size, 8, 5), few, ["VVV", "EEE", "VVI"]),
        ("VVV", drawn(100_000 // size, 8, 5), few, ["VVV"]),
        ("EEE, 7 components", drawn(3600 // size, 20, 7, "EEE"), range(7, 8), ["EEE"]),
    ]


def timed(r: Mclust, rounds: int, *, quick: bool) -> list[Row]:
    """The table of `times`."""
    rows = []
    for name, x, ks, codes in cases(quick=quick):
        print(name, x.shape, flush=True)
        grid, selection, times = in_turns(r, x, ks, codes, rounds)
        best, bic = selection.best_cell, -grid.bic[grid.best]
        rows.append(
            {
                "models": name,
                "size": f"{x.shape[0]:,} x {x.shape[1]}",
                "best, BIC": f"{best.n_components}, {best.covariance}, {best.criteria.bic:.1f}",
                "mclust's": "{1}, {0}".format(*grid.best) + f", {bic:.1f}",
                **seconds(times),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", choices=["grids", "times"], default=[])
    parser.add_argument("--quick", action="store_true", help="one round, small; nothing is written")
    parser.add_argument("--rounds", type=int, default=3, help="of which seconds are medians")
    parser.add_argument("--data", nargs="+", choices=GRIDS, default=GRIDS, help="of the grids")
    told = parser.parse_args()
    tables, rounds = told.tables or ["grids", "times"], 1 if told.quick else told.rounds
    warnings.simplefilter("ignore", gp.FitWarning)
    with Mclust() as r:
        command = " ".join(["python benchmarks/selection.py", *sys.argv[1:]])
        when = f"({r.version}, {time.strftime('%Y-%m-%d')}; `{command}`)"
        gp.select(gp.datasets.bimodal().x, k=[1, 2], covariance="VVV")  # to warm up
        for table in tables:
            if table == "grids":
                numbers = range(1, 4) if told.quick else NUMBERS
                names = ["old_faithful", "galaxies"] if told.quick else told.data
                rows = grids(r, rounds, numbers, names)
            else:
                rows = timed(r, rounds, quick=told.quick)
            title = {"grids": "Every cell of a selection", "times": "Seconds of a selection"}
            if not told.quick:
                common.report(f"selection_{table}", f"{title[table]} {when}", rows)


if __name__ == "__main__":
    main()
