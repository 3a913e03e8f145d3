"""What the cells of a study have come to, in words and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..data.words import counted
from .output import print_json

if TYPE_CHECKING:
    from ..study import Study, StudyResults
    from ..study.failures import Failure

MOST = 10  # reasons that are told; the frame has all


def headline(study: Study, name: str, folder: Path) -> str:
    """What a study has, and how much of that is there."""
    from ..study.folder import read_rows

    done = len(read_rows(folder))
    methods = counted(len(study.entries), "method")
    designs = counted(len(study.designs), "design")
    before = f", {done} of them run before" if done else ""
    return f"{name}: {methods} on {designs}, {counted(len(study.cells), 'cell')}{before}"


def outcome_said(results: StudyResults, seconds: float, frame: Path, *, as_json: bool) -> bool:
    """Print how the cells have ended, why some have failed, and where the frame is.

    Returns:
        Whether any cell has an answer.
    """
    from ..study.failures import failures_of

    statuses = {str(word): int(n) for word, n in results.frame["status"].value_counts().items()}
    failures = failures_of(results.frame)
    if as_json:
        print_json(
            {
                "designs": [design.name for design in results.plan.designs],
                "methods": [method.name for method in results.plan.methods],
                "cells": results.n_cells,
                "seconds": seconds,
                "statuses": statuses,
                "failures": [asdict(failure) for failure in failures],
                "out": results.folder,
                "files": [frame.as_posix()],
            }
        )
    else:
        words = ", ".join(f"{n} {word}" for word, n in statuses.items())
        typer.echo(f"{counted(results.n_cells, 'cell')} in {seconds:.1f} s: {words}")
        for line in _reasons(failures):
            typer.echo(line)
        typer.echo(f"wrote {frame.name} to {results.folder}")
    return sum(failure.cells for failure in failures) < results.n_cells


def _reasons(failures: list[Failure]) -> list[str]:
    """Why cells have failed, the most frequent reasons first."""
    lines = [
        f"{failure.method}: {failure.status} in {counted(failure.cells, 'cell')}: {failure.reason}"
        for failure in failures[:MOST]
    ]
    rest = len(failures) - MOST
    return [*lines, f"and {counted(rest, 'reason')} more, in the frame"] if rest > 0 else lines
