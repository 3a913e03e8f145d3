"""All benchmarks, one after the other, and the table that the README shows.

    python benchmarks/run.py [--quick]

Each script writes its figures to `benchmarks/results/`; `summary.md` has the ratios.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import common

HERE = Path(__file__).parent
SCRIPTS = [
    "em_step",
    "vb_step",
    "whole_fit",
    "drop_in",
    "pyro_route",
    "scaling",
    "imports",
    "sampling",
]
HEADER = ["what", "size", "against", "times as fast (median)"]


def rows_of(script: str) -> list[dict[str, Any]]:
    """What a script wrote."""
    record = json.loads((common.RESULTS / f"{script}.json").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = record["rows"]
    return rows


def summary() -> list[dict[str, Any]]:
    """One line for each comparison."""
    lines = []
    for row in rows_of("em_step"):
        size = f"{row['n']:,} x {row['d']}, k = {row['k']}, {row['covariance']}"
        for peer in ("scikit-learn", "oneDAL", "pomegranate"):
            lines.append(("EM step", size, peer, row[f"{peer} / ours"]))
        lines.append(("EM step", size, "our torch kernel", row["torch / ours"]))
        lines.append(("EM step, float32", size, "ours in float64", row["ours / float32"]))
    for row in rows_of("vb_step"):
        size = f"{row['n']:,} x {row['d']}, k = {row['k']}, full"
        lines.append(("vb step", size, "scikit-learn", row["scikit-learn / ours"]))
    for row in rows_of("whole_fit"):
        size = f"{row['n']:,} x {row['d']}, k = {row['k']}"
        for tol in ("tol 1e-3", "tol 1e-7"):
            peer = f"scikit-learn, {tol}"
            lines.append(("whole fit, 10 starts", size, peer, row[f"{tol} / ours"]))
        forbidden = row["by torch / with moves"]
        lines.append(("whole fit with moves", size, "compiling forbidden", forbidden))
    for row in rows_of("drop_in"):
        size = f"{row['n']:,} x {row['d']}, k = {row['k']}, {row['arguments']}"
        lines.append(("the estimator", size, "scikit-learn", row["scikit-learn / ours"]))
    for row in rows_of("pyro_route"):
        for peer in ("Pyro", "NumPyro"):
            lines.append(
                (f"{row['method']} to the optimum", row["size"], peer, row[f"{peer} / ours"])
            )
    first, *others = rows_of("samplers")
    for row in others:
        times = first["ESS a second"] / row["ESS a second"]
        lines.append((f"ESS a second, {first['sampler']}", "300 x 2, k = 3", row["sampler"], times))
    return [dict(zip(HEADER, line, strict=True)) for line in lines if isinstance(line[-1], float)]


def main() -> None:
    """Run all scripts, then sum up."""
    for script in SCRIPTS:
        subprocess.run([sys.executable, HERE / f"{script}.py", *sys.argv[1:]], check=True)
    common.report("summary", "How many times as fast as its peers gmm_pyro is", summary())


if __name__ == "__main__":
    main()
