"""A step of EM from ten thousand to ten million points: linear time, flat memory.

    python benchmarks/scaling.py [--quick]

The data lie in a memory-mapped .npy file. Extra memory is the growth of the process's own
(anonymous) memory while it fits; pages of the file are the system's cache.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np

import gmm_pyro as gp

D, K = 8, 8
SIZES = [10_000, 100_000, 1_000_000, 10_000_000]
STEPS = 3


def write(path: Path, n: int) -> None:
    """n points of one mixture, a part at a time."""
    truth = gp.datasets.make_mixture(10, D, K, separation=2.5, seed=1).truth
    file = np.lib.format.open_memmap(path, "w+", np.float64, (n, D))
    for seed, first in enumerate(range(0, n, 500_000)):
        last = min(first + 500_000, n)
        file[first:last] = truth.sample(last - first, seed=seed).numpy()
    file.flush()


def own_memory() -> int:
    """Bytes of anonymous memory of this process."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    return 0


def row(n: int, folder: Path) -> dict[str, Any]:
    """A fit of a few steps on n points."""
    path = folder / f"{n}.npy"
    write(path, n)
    x = np.load(path, mmap_mode="r")
    start = gp.fit(gp.MixtureModel(K), x[:5000], "em", n_starts=1).mixture
    options = {"start": start, "tolerance": 0.0, "covariance_floor": 0.0}
    before = own_memory()
    seconds = []
    for steps in (1, 1 + STEPS):
        started = time.perf_counter()
        gp.fit(gp.MixtureModel(K), x, "em", max_steps=steps, **options)
        seconds.append(time.perf_counter() - started)
    after = own_memory()
    path.unlink()
    step = (seconds[1] - seconds[0]) / STEPS
    return {
        "n": n,
        "data, MiB": n * D * 8 / 2**20,
        "ms a step": 1e3 * step,
        "ns a point": 1e9 * step / n,
        "extra memory, MiB": (after - before) / 2**20,
    }


def main() -> None:
    """Measure all sizes."""
    import warnings

    warnings.simplefilter("ignore")
    sizes = [n for n in SIZES if "--quick" not in sys.argv or n <= 1_000_000]
    with tempfile.TemporaryDirectory() as folder:
        row(10_000, Path(folder))
        rows = [row(n, Path(folder)) for n in sizes]
    common.report("scaling", f"EM on a memory-mapped file, {D} features, {K} components", rows)


if __name__ == "__main__":
    main()
