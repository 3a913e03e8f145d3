"""How long a study takes beside its fits: 2,000 cells on two cores.

    python benchmarks/study.py [--quick]

Half of the cells are `kmeans` and half `em`, each with its cheapest search, on data of 100 and 300
points. What a cell takes beside its method is measured with a function that does nothing: drawing
the data, measuring, passing the cell and its row on, and writing it down. Seconds have the starts
of the workers in them; milliseconds a cell are those of a worker, of the difference to a study of a
tenth, whose starts take as long. Where other programs are at work, those of the processor say more.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Cost:
    """Seconds of a study, of the processor for it, and of its methods alone; and its cells."""

    whole: float
    processor: float
    methods: float
    cells: int


def one(methods: Any, metrics: Any, replicates: int) -> Cost:
    """What a study costs."""
    with tempfile.TemporaryDirectory() as folder:
        started, before = time.perf_counter(), used()
        study = gp.Study(cells(replicates), methods, metrics=metrics)
        frame = study.run(f"{folder}/results", n_jobs=JOBS).frame
        spent = time.perf_counter() - started, used() - before
        return Cost(*spent, float(frame["seconds"].sum()), len(frame))


def used() -> float:
    """Seconds of the processor, of this process and of those that it has waited for."""
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def row(what: str, methods: Any, metrics: Any, replicates: int) -> dict[str, Any]:
    """One line of the table."""
    long, short = one(methods, metrics, replicates), one(methods, metrics, replicates // 10)
    more = (long.cells - short.cells) / 1e3
    return {
        "methods": what,
        "metrics": "all" if metrics == "all" else ", ".join(metrics),
        "cells": long.cells,
        "seconds": long.whole,
        "ms a cell": JOBS * (long.whole - short.whole) / more,
        "of the processor": (long.processor - short.processor) / more,
        "ms of the method": (long.methods - short.methods) / more,
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
