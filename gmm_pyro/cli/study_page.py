"""`gmm-pyro study --report`: the page of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .output import print_json

if TYPE_CHECKING:
    from ..study import StudyResults

PAGE = "report.html"
ENDING = ".html"


def write_page(
    folder: Path,
    measures: Sequence[str],
    baseline: str | None,
    *,
    out: Path | None,
    as_json: bool,
    force: bool,
) -> None:
    """Write the page of a study, and say where it is.

    Args:
        folder: where the study is.
        measures: names of measures with pictures; some that have numbers if empty.
        baseline: the method that paired differences are from, or None.
        out: where to write it; None is the folder, where an earlier page is replaced.
        as_json: whether what is said is JSON.
        force: whether another file may be replaced.

    Raises:
        ValueError: if there is no such measure or method, or the file has another ending.
        OSError: if the file exists, or cannot be written.
    """
    from ..disk.placing import refuse_existing
    from ..study import StudyResults

    if out is not None:
        if out.suffix.lower() != ENDING:
            raise ValueError(f"--out must end in {ENDING} beside --report, got {str(out)!r}")
        refuse_existing(out, force=force)
        out.parent.mkdir(parents=True, exist_ok=True)
    results = StudyResults.load(folder)
    path = results.report(
        folder / PAGE if out is None else out,
        measures=measures or None,
        baseline=baseline,
        command=_command(results),
    )
    if as_json:
        print_json({"out": path, "cells": results.n_cells, "left": results.n_left})
    else:
        typer.echo(f"wrote the page to {path}")


def _command(results: StudyResults) -> str | None:
    """The command that makes the study, where a file can say what it is."""
    from ..study.page import of_terminal

    return None if results.toml is None else of_terminal(results)
