"""A study run by the command line: how far it is, what an interrupt leaves, and its frame."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .cells import headline, outcome_said
from .names import TABLE_FORMATS
from .output import FAILED, INTERRUPTED, say
from .progress import progress_said

if TYPE_CHECKING:
    from ..study import Study, StudyResults

FRAME = "frame"


@dataclass(frozen=True)
class Way:
    """How a study is run.

    Attributes:
        file: what it was read from; None for the file in its folder.
        jobs: number of processes.
        shuffle: whether cells are run in a random order.
        table_format: of the frame.
        json: whether what came of it is printed for programs.
    """

    file: Path | None
    jobs: int
    shuffle: bool
    table_format: str
    json: bool


def run_study(study: Study, folder: Path, way: Way) -> None:
    """Run the cells that are left, write the frame, and say what came of them.

    Raises:
        OSError: if the folder cannot be written, is another study's, or is in use.
        typer.Exit: if no cell has an answer, or after an interrupt.
    """
    from ..study.folder import STUDY, refuse_another

    begun = time.perf_counter()
    if (folder / STUDY).is_file():
        refuse_another(folder, study.plan)
    with _interrupts_said(folder, way):
        if not way.json:
            typer.echo(headline(study, (way.file or folder.resolve()).stem, folder))
        results = _results(study, folder, way)
        frame = _write_frame(results, way.table_format)
    seconds = time.perf_counter() - begun
    if not outcome_said(results, seconds, frame, as_json=way.json):
        raise typer.Exit(FAILED)


def _results(study: Study, folder: Path, way: Way) -> StudyResults:
    """What all cells have come to; a worker that cannot begin is said."""
    with progress_said():
        try:
            return study.run(folder, n_jobs=way.jobs, shuffle=way.shuffle, progress=True)
        except RuntimeError as error:
            reason = str(error)
    say(f"gmm-pyro: {' '.join(reason.split())}")
    raise typer.Exit(FAILED)


def _write_frame(results: StudyResults, table_format: str) -> Path:
    """The frame in the folder; one of another format, which would be an earlier one, goes."""
    from ..files import write_table

    path = results.folder / f"{FRAME}.{table_format}"
    write_table(results.frame, path)
    remove_frames(results.folder, but=path)
    return path


def remove_frames(folder: Path, but: Path | None = None) -> None:
    """Remove frames that are no longer what the rows say."""
    for table_format in TABLE_FORMATS:
        path = folder / f"{FRAME}.{table_format}"
        if path != but:
            path.unlink(missing_ok=True)


# ---------------------------------------------------------------------- interrupts


@contextmanager
def _interrupts_said(folder: Path, way: Way) -> Iterator[None]:
    """Say what is there after an interrupt, and which command goes on."""
    from ..study.folder import STUDY

    try:
        yield
    except (KeyboardInterrupt, SystemExit) as ended:
        if not (folder / STUDY).is_file():
            raise
        _say_interrupted(folder, way)
        if isinstance(ended, KeyboardInterrupt):
            raise typer.Exit(INTERRUPTED) from None
        raise


def _say_interrupted(folder: Path, way: Way) -> None:
    from ..study import StudyResults

    found = StudyResults.load(folder)
    done = f"{found.n_cells - found.n_left} of {found.n_cells} cells are in {folder}"
    say(f"gmm-pyro: interrupted; {done}; to go on: {going_on(folder, way)}")


def going_on(folder: Path, way: Way | None = None) -> str:
    """The command that goes on with a study, as a shell would take it.

    It has the file only where modules may be beside that which are not where the command is given.
    """
    words = ["gmm-pyro", "study", "--resume", str(folder)]
    if way is None:
        return shlex.join(words)
    if way.file is not None and way.file.parent.resolve() != Path.cwd():
        words.insert(2, str(way.file))
    if way.jobs > 1:
        words += ["--jobs", str(way.jobs)]
    if way.shuffle:
        words += ["--shuffle"]
    if way.table_format != TABLE_FORMATS[0]:
        words += ["--table-format", way.table_format]
    return shlex.join(words)
