"""How long a study takes beside its fits: 2,000 cells on two cores.

    python benchmarks/study.py [--quick]

Half of the cells are `kmeans` and half `em`, each with its cheapest search, on data of 100 and 300
points. What a cell takes beside its method is measured with a function that does nothing: drawing
the data, measuring, passing the cell and its row on, and writing it down. Seconds have the starts
of the workers in them; milliseconds a cell are those of a worker, of the difference to a study of a
tenth, whose starts take as long.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

import common
import numpy as np

import gmm_pyro as gp

CHEAPEST = {"n_starts": 1, "search": "starts"}
FITS = [{"method": name, "name": name, **CHEAPEST} for name in ("kmeans", "em")]


def nothing(x: np.ndarray) -> np.ndarray:
    """One cluster."""
    return np.zeros(len(x), int)


NOTHING = [{"method": nothing, "name": name} for name in ("nothing", "nothing again")]
JOBS = 2


def cells(replicates: int) -> gp.designs.Design:
    """Ten settings."""
    factors = {"n": [100, 300], "d": [2], "k": [3], "separation": [1.0, 2.0, 3.0, 4.0, 5.0]}
    return gp.designs.Design("separated", factors, replicates)


def one(methods: Any, metrics: Any, replicates: int) -> tuple[float, float, int]:
    """Seconds of a study, of its methods alone, and its cells."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        study = gp.Study(cells(replicates), methods, metrics=metrics)
        frame = study.run(f"{folder}/results", n_jobs=JOBS).frame
        return time.perf_counter() - started, float(frame["seconds"].sum()), len(frame)


def row(what: str, methods: Any, metrics: Any, replicates: int) -> dict[str, Any]:
    """One line of the table."""
    whole, inside, count = one(methods, metrics, replicates)
    short, short_inside, short_count = one(methods, metrics, replicates // 10)
    more = count - short_count
    return {
        "methods": what,
        "metrics": "all" if metrics == "all" else ", ".join(metrics),
        "cells": count,
        "seconds": whole,
        "ms a cell": 1e3 * JOBS * (whole - short) / more,
        "ms of the method": 1e3 * (inside - short_inside) / more,
    }


def main() -> None:
    """Run all, and print."""
    replicates = 10 if "--quick" in sys.argv else 100
    fits = "kmeans and em, cheapest search"
    rows = [
        row("a function that does nothing", NOTHING, ["steps"], replicates),
        row("a function that does nothing", NOTHING, "all", replicates),
        row(fits, FITS, ["ari"], replicates),
        row(fits, FITS, "all", replicates),
    ]
    common.report("study", f"Studies with {JOBS} workers, n = 100 and 300, d = 2, k = 3", rows)


if __name__ == "__main__":
    main()
