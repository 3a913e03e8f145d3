"""EM on files that are larger than memory: time and memory of a pass, and what the client gets.

    python benchmarks/cluster_large.py [--n 100000000] [--folder FOLDER]

`gmm-pyro simulate` makes n points of 8 features in float32, and a quarter of them, in a folder that
is removed in the end, unless one is told. A mixture of 8 components goes ten steps of EM from the
one that they were drawn from, on a local cluster of two processes that may have a gigabyte each.
Beside this stand what the same pass takes in memory, with two threads over a part that fits there,
and what pyarrow takes to decode the same row groups, with two threads; each before and after.

Where other programs are at work, the seconds of the processor say more: those of all processes.

Memory is the proportional set size of all processes together, a few times a second, in a second
fit, as looking takes time. What the client gets is what comes out of the sockets of a process that
is a client and nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import common
import numpy as np
import psutil
import torch
from distributed import Client, LocalCluster
from pyarrow import parquet
from tornado.iostream import IOStream

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.reduction.decision import decided
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import theta_of
from gmm_pyro.running.on_dask import OnDask

D, K, STEPS = 8, 8, 10
WORKERS = 2
LIMIT = 10**9  # bytes that a worker may have
IN_MEMORY = 2**24  # points of a pass in memory
ROUNDS = 3
EVERY = 0.2  # seconds between two looks at memory
MB = 2**20


@dataclass(eq=False)
class Passes:
    """What is seen of the passes of a fit.

    Attributes:
        seconds: of each.
        processor: seconds of the processor, of all processes of this machine that take part.
        gained: bytes that came out of sockets in it.
    """

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    gained: list[int] = field(default_factory=list)
    read: int = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch those of this block that are reductions: of a mixture over all points."""
        fold, from_socket = OnDask.fold, IOStream.read_from_fd
        here = processes()

        def timed(places: Any, work: Any, join: Any) -> Any:
            inner = getattr(work, "keywords", {}).get("work")
            begun, used, before = time.perf_counter(), processor(here), self.read
            found = fold(places, work, join)
            if "assign" in getattr(inner, "keywords", {}):
                self.seconds.append(time.perf_counter() - begun)
                self.processor.append(processor(here) - used)
                self.gained.append(self.read - before)
            return found

        def counted(stream: Any, buffer: Any) -> Any:
            found = from_socket(stream, buffer)
            self.read += found or 0
            return found

        OnDask.fold, IOStream.read_from_fd = timed, counted  # type: ignore[method-assign]
        try:
            yield
        finally:
            OnDask.fold, IOStream.read_from_fd = fold, from_socket  # type: ignore[method-assign]


@dataclass(eq=False)
class Memory:
    """The most memory that a process and those it has started had together, in bytes."""

    most: int = 0

    @contextmanager
    def watched(self, *, alone: bool = False) -> Iterator[None]:
        """Look at it in this block; at that of this process alone, if it is to be so."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(EVERY):
                self.most = max(self.most, proportional(alone=alone))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()


def processes() -> list[psutil.Process]:
    """This one and all below it."""
    here = psutil.Process()
    return [here, *here.children(recursive=True)]


def processor(of: list[psutil.Process]) -> float:
    """Seconds of the processor of some processes."""
    times = [process.cpu_times() for process in of]
    return sum(used.user + used.system for used in times)


def proportional(*, alone: bool = False) -> int:
    """Proportional set size of this process and of all below it: shared pages are divided."""
    total = 0
    for process in processes()[:1] if alone else processes():
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


# ---------------------------------------------------------------------- the data


def truth() -> gp.GaussianMixture:
    """What points are drawn from, and where the fit begins."""
    found = gp.datasets.make_mixture(1000, K, D, separation=2.5, seed=1).truth
    assert found is not None
    return found


def simulate(n: int, folder: Path) -> float:
    """Seconds for the points to be drawn and written; they stay if they are there."""
    begun = time.perf_counter()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        mixture = truth().save(folder.parent / "mixture.json")
        words = ["simulate", mixture, "--n", str(n), "--out", folder, "--dtype", "float32"]
        subprocess.run([sys.executable, "-m", "gmm_pyro", *words, "--no-labels"], check=True)
    return time.perf_counter() - begun


def row_groups(folder: Path) -> list[tuple[Path, int]]:
    """All, by their file and number."""
    files = sorted(folder.glob("*.parquet"))
    return [(f, i) for f in files for i in range(parquet.read_metadata(f).num_row_groups)]


# ---------------------------------------------------------------------- each in its own process


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """What comes of work in a process that ends with it."""
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(work, *arguments).result()


@dataclass(frozen=True)
class Cost:
    """Seconds, and those of the processor."""

    seconds: float
    processor: float

    @classmethod
    def of(cls, work: Callable[[], Any], share: float = 1.0) -> Cost:
        """Medians over some runs, times a share."""
        found = []
        for _ in range(1 + ROUNDS):
            begun, used = time.perf_counter(), time.process_time()
            work()
            found.append((time.perf_counter() - begun, time.process_time() - used))
        middle = map(statistics.median, zip(*found[1:], strict=True))  # the first warms up
        return cls(*(share * seconds for seconds in middle))

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.processor + other.processor)

    def middle(self, other: Cost) -> Cost:
        """The mean of two."""
        both = self + other
        return Cost(both.seconds / 2, both.processor / 2)


def in_memory(folder: Path) -> Cost:
    """Of a pass over points that are in memory, with two threads."""
    torch.set_num_threads(WORKERS)
    mixture, parts = truth(), []
    groups = row_groups(folder)
    for path, i in groups:
        table = parquet.ParquetFile(path).read_row_group(i)
        parts.append(np.column_stack([column.to_numpy() for column in table.columns]))
        if sum(map(len, parts)) >= IN_MEMORY:
            break
    points = observe(np.concatenate(parts), dtype="float32")
    points = decided(points, mixture.family, K, STEPS)
    theta = theta_of(mixture.family, mixture.parameters, points)
    return Cost.of(lambda: reduce(points, theta), rows_of(folder) / points.n)


def decoding(folder: Path) -> Cost:
    """Of all row groups that are decoded into tables, with two threads."""
    groups = row_groups(folder)
    footers = {path: parquet.read_metadata(path) for path, _ in groups}

    def decode(group: tuple[Path, int]) -> int:
        path, i = group
        with parquet.ParquetFile(path, metadata=footers[path]) as file:
            return file.read_row_group(i, use_threads=False).num_rows

    with ThreadPoolExecutor(WORKERS) as threads:
        return Cost.of(lambda: sum(threads.map(decode, groups)))


def rows_of(folder: Path) -> int:
    """How many there are in all files."""
    return sum(parquet.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def as_client(address: str, folder: Path) -> tuple[float, float]:
    """Most memory of a client, and the median of bytes that came to it in a pass."""
    warnings.simplefilter("ignore")
    memory, passes = Memory(), Passes()
    with Client(address), memory.watched(alone=True), passes.watched():
        fitted(folder, steps=4)
    return memory.most, statistics.median(passes.gained)


# ---------------------------------------------------------------------- the fit


def fitted(folder: Path, steps: int = STEPS) -> gp.Fit:
    """Some steps of EM from the truth."""
    told: dict[str, Any] = {"start": truth(), "dtype": "float32", "tolerance": 0.0}
    return gp.fit(gp.MixtureModel(K), str(folder), "em", max_steps=steps, **told)


def row(n: int, folder: Path) -> dict[str, Any]:
    """One line of the table."""
    made = simulate(n, folder)
    sides: dict[str, Callable[[Path], Cost]]
    sides = {"in memory": partial(apart, in_memory), "decoding": partial(apart, decoding)}
    beside: dict[str, Cost] = {name: measure(folder) for name, measure in sides.items()}
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    options |= {"n_workers": WORKERS, "threads_per_worker": 1, "memory_limit": LIMIT}
    memory, passes = Memory(), Passes()
    with LocalCluster(**options) as cluster:
        with Client(cluster) as client:
            client.run(lambda: __import__("torch"))
            idle = proportional()
            begun = time.perf_counter()
            with passes.watched():
                fit = fitted(folder)
            whole = time.perf_counter() - begun
            n, sizes = fit.observations.n, fit.observations.sizes
            del fit  # and what workers keep of its data
            with memory.watched():
                fitted(folder)
        there, gained = apart(as_client, cluster.scheduler_address, folder)
    beside = {name: before.middle(sides[name](folder)) for name, before in beside.items()}
    least = beside["in memory"] + beside["decoding"]
    a_pass = Cost(statistics.median(passes.seconds), statistics.median(passes.processor))
    return {
        "n": n,
        "row groups": len(sizes),
        "simulate, s": made,
        f"{STEPS} steps, s": whole,
        "a pass, s": a_pass.seconds,
        **{f"{name}, s": cost.seconds for name, cost in beside.items()},
        "pass / (in memory + decoding)": a_pass.seconds / least.seconds,
        "of the processor": a_pass.processor / least.processor,
        "idle, MB": round(idle / MB),
        "most, MB": round(memory.most / MB),
        "most of a client, MB": round(there / MB),
        "to the client a pass, bytes": round(gained),
    }


def main() -> None:
    """Measure a quarter and the whole."""
    warnings.simplefilter("ignore")
    told = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    told.add_argument("--n", type=int, default=10**8)
    told.add_argument("--folder", type=Path)
    given = told.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        home = given.folder or Path(fresh)
        rows = [row(n, home / f"points-{n}") for n in (given.n // 4, given.n)]
    title = f"10 steps of EM over files on {WORKERS} workers, d = {D}, k = {K}, float32"
    common.report("cluster_large", title, rows)


if __name__ == "__main__":
    main()
