"""Seconds that importing the package and asking for help take, in processes of their own.

python benchmarks/imports.py
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import common

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import gmm_pyro": ["-c", "import gmm_pyro"],
    "import sklearn.mixture": ["-c", "import sklearn.mixture"],
    "gmm-pyro --help": ["-m", "gmm_pyro", "--help"],
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
