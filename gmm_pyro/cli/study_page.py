"""`gmm-pyro study --report`: the page of a study."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .output import print_json
from .tables import Asked

if TYPE_CHECKING:
    from ..study import StudyResults

PAGE = "report.html"
ENDING = ".html"


def write_page(asked: Asked, baseline: str | None) -> None:
    """Write the page of a study, and say where it is.

    Args:
        asked: for what; without a file, it is in the folder, where an earlier page is replaced.
        baseline: the method that paired differences are from, or None.

    Raises:
        ValueError: if there is no such measure or method, or the file has another ending.
        OSError: if the file exists, or cannot be written.
    """
    from ..disk.placing import whole_file, write_bytes
    from ..study import StudyResults

    asked.refuse_out([ENDING], "--report")
    results = StudyResults.load(asked.folder)
    path = asked.out or asked.folder / PAGE
    # made elsewhere, so that no new folder is there without it
    with tempfile.TemporaryDirectory() as elsewhere:
        page = results.report(
            Path(elsewhere) / PAGE,
            measures=asked.measures or None,
            baseline=baseline,
            command=_command(results),
        )
        with whole_file(path) as partial:
            write_bytes(partial, page.read_bytes())
    if asked.as_json:
        print_json({"out": path, "cells": results.n_cells, "left": results.n_left})
    else:
        typer.echo(f"wrote the page to {path}")


def _command(results: StudyResults) -> str | None:
    """The command that makes the study, where a file can say what it is."""
    from ..study.page import of_terminal

    return None if results.toml is None else of_terminal(results)
