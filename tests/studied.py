"""Methods that studies are tried on, most of them bad ones, and studies without workers."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch

import gmm_pyro as gp
from gmm_pyro.designs import Design
from gmm_pyro.study.cell import FAILED, Bench, Row
from gmm_pyro.study.plan import Cell, Plan, Planned, Told

CHEAP = {"method": "em", "n_starts": 1, "search": "starts", "name": "em"}
SOME = ("ari", "log_likelihood", "kl_to_truth", "brier", "steps", "regret")
TIMES = ["seconds", "memory"]  # columns that are not the same in every run
TOKEN = "GMM_PYRO_TOKEN"  # environment variable by which a test knows its processes


def design(**changes: Any) -> Design:
    """Two settings of small data, three data sets each."""
    factors = {"n": (30, 40), "d": (2,), "k": (2,), "separation": (3.0,)}
    return Design("separated", factors, **{"replicates": 3, **changes})


# ---------------------------------------------------------------------- methods


def by_chance(x: np.ndarray) -> np.ndarray:
    """Labels from NumPy's default generator, which nobody but the study seeds."""
    return np.random.randint(0, 2, len(x))  # noqa: NPY002 - it is what many functions do


def meddling(x: np.ndarray) -> np.ndarray:
    """It leaves the process as no other method should find it, and says how it has found it."""
    before = torch.get_num_threads() == 1 and torch.get_default_dtype() == torch.float32
    os.chdir("/")
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    return np.full(len(x), before)


def raising(x: np.ndarray) -> None:
    raise ZeroDivisionError("no\nway")


def leaving(x: np.ndarray) -> None:
    sys.exit(3)


def hanging(x: np.ndarray) -> None:
    """It never ends, and neither does what it has started."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    while True:
        time.sleep(0.01)


def exiting(x: np.ndarray) -> None:
    os._exit(7)


def crashing(x: np.ndarray) -> None:
    ctypes.string_at(0)


def with_nan(x: np.ndarray) -> list[float]:
    return [float("nan")] * len(x)


def too_short(x: np.ndarray) -> np.ndarray:
    return np.zeros(len(x) - 1, int)


def fractions(x: np.ndarray) -> np.ndarray:
    return np.full(len(x), 0.5)


def nothing(x: np.ndarray) -> None:
    return None


def other_features(x: np.ndarray) -> gp.GaussianMixture:
    return gp.GaussianMixture([1.0], [[0.0] * (x.shape[1] + 1)], [1.0], "spherical")


# ---------------------------------------------------------------------- without workers


class HerePool:
    """A pool whose one worker is this process, for studies without bad methods."""

    def __init__(self, job: bytes, n_jobs: int, timeout: float | None) -> None:
        self._bench = Bench(cloudpickle.loads(job)[0])

    def rows(self, cells: Iterable[Cell]) -> Iterator[tuple[int, Row]]:
        for cell in cells:
            yield 0, self._bench.run(cell)

    def close(self) -> None:
        """Nothing."""


def rows_here(study: gp.Study) -> dict[str, Row]:
    """All rows of a study, by this process."""
    bench = Bench(study._job)
    return {cell.key: bench.run(cell) for cell in study.cells}


def made_up(
    values: Mapping[str, Any],
    factors: Mapping[str, Sequence[Any]],
    measure: str = "ari",
    designs: Sequence[str] = ("made up",),
) -> gp.StudyResults:
    """Results with these numbers, of an array (settings, replicates) for each method.

    NaN is a cell that failed, infinity one whose answer has no number, and -infinity one that has
    not been run.
    """
    settings = tuple(
        dict(zip(factors, levels, strict=True)) for levels in product(*factors.values())
    )
    tables = {name: np.atleast_2d(np.asarray(table, float)) for name, table in values.items()}
    replicates = next(iter(tables.values())).shape[1]
    plan = Plan(
        0,
        tuple(Planned(name, name, settings, replicates) for name in designs),
        tuple(Told(name, name) for name in values),
        (measure,),
        {"level": 0.9},
    )
    rows = {}
    for cell in plan.cells():
        value = float(tables[plan.methods[cell.method].name][cell.setting, cell.replicate])
        if value != -np.inf:
            status = FAILED if np.isnan(value) else "done"
            rows[cell.key] = Row(cell.key, status, seconds=1.0, measures={measure: value})
    return gp.StudyResults(plan, rows, None, Path("nowhere"))


def processes_with(token: str) -> list[str]:
    """Commands of all processes that have a token in their environment, but this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if f"{TOKEN}={token}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().decode())
        except OSError:  # it has ended, or is another user's
            continue
    return found


def none_left(token: str, patience: float = 20.0) -> bool:
    """Whether all processes with a token end soon."""
    until = time.monotonic() + patience
    while processes_with(token):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
