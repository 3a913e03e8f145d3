"""`gmm-pyro study`: a study from a file, into a folder that it can be gone on with."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .arguments import Force, Json
from .names import TABLE_FORMATS, completing, listed
from .output import FAILED, INTERRUPTED, say
from .progress import progress_said

if TYPE_CHECKING:
    from ..study import Study, StudyResults

OUT = Path("results")
FRAME = "frame"


@dataclass(frozen=True, kw_only=True)
class StudyArguments:
    """What `gmm-pyro study` is told."""

    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="STUDY.toml",
            help="A TOML file that says what the study is; with --resume, one whose study may have "
            "grown.",
            show_default=False,
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the rows.", show_default=str(OUT)),
    ] = None
    resume: Annotated[
        Path | None,
        typer.Option(help="Folder of a study to go on with, where its cells are left to run."),
    ] = None
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Number of processes that run cells.")
    ] = 1
    shuffle: Annotated[
        bool,
        typer.Option(
            "--shuffle",
            help="Run cells in a random order, so that what is there early is of the whole study.",
        ),
    ] = False
    table_format: Annotated[
        str,
        typer.Option(
            help=f"Format of the frame, which has a row a cell: {listed(TABLE_FORMATS)}.",
            autocompletion=completing(*TABLE_FORMATS),
        ),
    ] = "csv"
    json: Json = False
    force: Force = False


def study(told: StudyArguments) -> None:
    """Run methods on many data sets, as a file says, or go on with it.

    Whatever ends a run, --resume goes on to the same results. A row a cell is written as it comes,
    and all of them to frame.csv in the end.
    """
    from ..data.checks import check_choice

    check_choice("table_format", told.table_format, TABLE_FORMATS)
    if told.resume is not None:
        _refuse_beside("--resume", {"--out": told.out, "--force": told.force or None})
        _go_on(told, told.resume)
    elif told.file is not None:
        _begin(told, told.file, told.out or OUT)
    else:
        raise ValueError(
            "study needs a file that says what it is, as in 'gmm-pyro study study.toml', or the "
            "folder of one that has begun, as in 'gmm-pyro study --resume results'"
        )


def _refuse_beside(option: str, others: dict[str, object]) -> None:
    """Refuse options that say nothing beside another."""
    for name, value in others.items():
        if value is not None:
            raise ValueError(f"{name} says nothing beside {option}")


def _begin(told: StudyArguments, file: Path, out: Path) -> None:
    """Run a study in a new folder, or in the place of an earlier one."""
    text = file.read_bytes()
    _refuse_taken(out, force=told.force)
    with _importing_from(file.parent):
        found = _study_of(text, file)
        if told.force:
            from ..study.folder import begin_anew
            from ..study.writing import toml_or_none

            begin_anew(out, found.plan, toml_or_none(found))
            _remove_frames(out)
        _run(found, told, out)


def _refuse_taken(out: Path, *, force: bool) -> None:
    """Refuse a folder that holds something, with the way on if that is a study."""
    from ..disk.placing import refuse_existing, refuse_unwritable
    from ..study.folder import STUDY

    if (out / STUDY).exists() and not force:
        words = _words(["--resume", out])
        raise ValueError(f"{out} holds a study: {words} goes on with it, and --force replaces it")
    refuse_existing(out, force=force)
    refuse_unwritable(out)


def _go_on(told: StudyArguments, folder: Path) -> None:
    """Run what is left of the study in a folder."""
    from ..study import StudyResults
    from ..study.folder import STUDY

    if not (folder / STUDY).is_file():
        raise ValueError(f"{folder} holds no study: there is no {STUDY} in it")
    file = told.file
    if file is None:
        text = StudyResults.load(folder).toml
        if text is None:
            raise ValueError(
                f"the study in {folder} cannot be written as TOML, and goes on where it was begun: "
                "by Study.run in Python"
            )
        place, content = folder / STUDY, text.encode()
    else:
        place, content = file, file.read_bytes()
    with _importing_from(Path() if file is None else file.parent):
        _run(_study_of(content, place), told, folder)


def _study_of(content: bytes, place: Path) -> Study:
    """The study that a file says.

    Raises:
        ValueError: if it says none, with the file's name and what is wrong.
    """
    from ..disk.untrusted import content_named
    from ..study import Study

    with content_named(str(place), TypeError), content_named(str(place), ValueError):
        return Study.from_toml(content.decode("utf-8-sig"))


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Modules that a study names may be beside its file, and where the command is given."""
    before = sys.path[:]
    sys.path += [str(folder.resolve()), str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before


def _words(words: list[object]) -> str:
    """A command as a shell would take it."""
    return shlex.join(["gmm-pyro", "study", *map(str, words)])


# ---------------------------------------------------------------------- running


def _run(found: Study, told: StudyArguments, folder: Path) -> None:
    """Run the cells that are left, write the frame, and say what came of them."""
    from .cells import headline, outcome_said

    begun = time.perf_counter()
    name = (told.file or folder).stem
    with _interrupts_said(told, folder):
        if not told.json:
            typer.echo(headline(found, name, folder))
        results = _results(found, told, folder)
        frame = _write_frame(results, told.table_format)
    seconds = time.perf_counter() - begun
    if not outcome_said(results, seconds, frame, as_json=told.json):
        raise typer.Exit(FAILED)


def _results(found: Study, told: StudyArguments, folder: Path) -> StudyResults:
    """What all cells have come to; a worker that cannot work is said."""
    with progress_said():
        try:
            return found.run(folder, n_jobs=told.jobs, shuffle=told.shuffle, progress=True)
        except RuntimeError as error:
            reason = str(error)
    say(f"gmm-pyro: {' '.join(reason.split())}")
    raise typer.Exit(FAILED)


def _write_frame(results: StudyResults, table_format: str) -> Path:
    """The frame in the folder; one of another format, which would be an earlier one, goes."""
    from ..files import write_table

    path = results.folder / f"{FRAME}.{table_format}"
    write_table(results.frame, path)
    _remove_frames(results.folder, but=path)
    return path


def _remove_frames(folder: Path, but: Path | None = None) -> None:
    """Remove frames that are no longer what the rows say."""
    for table_format in TABLE_FORMATS:
        path = folder / f"{FRAME}.{table_format}"
        if path != but:
            path.unlink(missing_ok=True)


@contextmanager
def _interrupts_said(told: StudyArguments, folder: Path) -> Iterator[None]:
    """Say what is there after an interrupt, and which command goes on."""
    from ..study.folder import STUDY

    try:
        yield
    except (KeyboardInterrupt, SystemExit) as ended:
        if not (folder / STUDY).is_file():
            raise
        _say_interrupted(told, folder)
        if isinstance(ended, KeyboardInterrupt):
            raise typer.Exit(INTERRUPTED) from None
        raise


def _say_interrupted(told: StudyArguments, folder: Path) -> None:
    from ..study import StudyResults

    found = StudyResults.load(folder)
    elsewhere = told.file is not None and told.file.parent.resolve() != Path.cwd()
    options: dict[str, bool] = {
        f"--jobs {told.jobs}": told.jobs > 1,
        "--shuffle": told.shuffle,
        f"--table-format {told.table_format}": told.table_format != "csv",
    }
    file = [told.file] if elsewhere or found.toml is None else []
    words = _words([*file, "--resume", folder, *_given(options)])
    done = f"{found.n_cells - found.n_left} of {found.n_cells} cells are in {folder}"
    say(f"gmm-pyro: interrupted; {done}; to go on: {words}")


def _given(options: dict[str, bool]) -> list[str]:
    """The words of the options that were given."""
    return [word for option, given in options.items() if given for word in option.split()]
