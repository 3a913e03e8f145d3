"""Timing of several sides in one run, interleaved, and the tables that the README quotes."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = [
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-learn-intelex",
    "numba",
    "pomegranate",
    "pyro-ppl",
    "numpyro",
    "jax",
    "gx2",
    "dask",
    "distributed",
]

# Some machines pin OpenBLAS to an old kernel; NumPy's users would not, so neither do we.
for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)


def interleaved(
    sides: dict[str, Callable[[], Any]], *, rounds: int = 7, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each side in each round; the sides take turns, so that drift hits all alike."""
    for _ in range(warm_up):
        for run in sides.values():
            run()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            gc.collect()
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    return times


def ratio(times: dict[str, list[float]], peer: str, ours: str = "gmm_pyro") -> float:
    """Median over the rounds of the peer's time over ours."""
    return statistics.median(p / o for p, o in zip(times[peer], times[ours], strict=True))


def milliseconds(seconds: list[float], repeats: int = 1) -> str:
    """Minimum and median of a side, for one of `repeats` repetitions."""
    low, middle = min(seconds), statistics.median(seconds)
    return f"{1e3 * low / repeats:.3g} / {1e3 * middle / repeats:.3g}"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **versions,
    }


def report(name: str, title: str, rows: list[dict[str, Any]]) -> None:
    """Print a Markdown table, and write it and the figures to `benchmarks/results/`."""
    columns = list(rows[0])
    lines = [f"## {title}", "", _line(columns), _line(["---"] * len(columns))]
    lines += [_line([_cell(row[column]) for column in columns]) for row in rows]
    lines += ["", ", ".join(f"{key} {value}" for key, value in machine().items()), ""]
    print("\n".join(lines), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
    record = {"title": title, "machine": machine(), "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
