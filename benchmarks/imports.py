"""Seconds that importing the package, asking for help and a small fit take, each in a process.

    python benchmarks/imports.py

A small fit is not compiled: it takes as long where numba is there as where it is forbidden.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import common

FIT = """
import sys, gmm_pyro as gp
gp.fit(gp.MixtureModel(3), gp.datasets.three_clusters().x)
assert "numba" not in sys.modules
"""
FORBIDDEN = "import os; os.environ['GMM_PYRO_COMPILED'] = 'never'"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import gmm_pyro": ["-c", "import gmm_pyro"],
    "import sklearn.mixture": ["-c", "import sklearn.mixture"],
    "gmm-pyro --help": ["-m", "gmm_pyro", "--help"],
    "a fit, 300 x 2, k = 3": ["-c", FIT],
    "the same, compiling forbidden": ["-c", FORBIDDEN + FIT],
}


def main() -> None:
    """Measure all commands in turn."""

    def runner(arguments: list[str]) -> Any:
        command = [sys.executable, *arguments]
        return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    times = common.interleaved({name: runner(a) for name, a in COMMANDS.items()}, rounds=7)
    rows = [{"command": n, "min / median, ms": common.milliseconds(t)} for n, t in times.items()]
    common.report("imports", "What importing costs", rows)


if __name__ == "__main__":
    main()
