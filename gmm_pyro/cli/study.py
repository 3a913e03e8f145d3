"""`gmm-pyro study`: a study from a file, into a folder that it can be gone on with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .arguments import Force, Json
from .names import AVERAGES, TABLE_FORMATS, completing, listed
from .output import say
from .study_page import PAGE
from .study_run import Way, going_on, remove_frames, run_study
from .tables import ENDINGS, Asked

if TYPE_CHECKING:
    from ..study import Study
    from ..study.data_files import FromFile

OUT = Path("results")
OF_TABLES = "Tables and pages"


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
        typer.Option(
            "--out",
            "-o",
            help="Folder for the rows; with --table, a file for the table, whose name says its "
            f"format: {ENDINGS}; with --report, a file for the page.",
            show_default=f"{OUT}; of a table, standard output; of a page, {PAGE} in its folder",
        ),
    ] = None
    resume: Annotated[
        Path | None,
        typer.Option(help="Folder of a study to go on with, where its cells are left to run."),
    ] = None
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Number of processes that run cells.", show_default="1"
        ),
    ] = None  # fmt: skip
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
    table: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a study whose table is wanted: means with their standard errors.",
            rich_help_panel=OF_TABLES,
        ),
    ] = None
    by: Annotated[
        list[str],
        typer.Option(
            help="What makes groups, with commas between them: method, design, and factors.",
            rich_help_panel=OF_TABLES,
            default_factory=list,
            show_default="method",
        ),
    ]
    measure: Annotated[
        list[str],
        typer.Option(
            help="Measures, with commas between them; seconds and memory are some, too.",
            rich_help_panel=OF_TABLES,
            default_factory=list,
            show_default="all that have numbers; of a page, up to four",
        ),
    ]
    of: Annotated[
        str | None,
        typer.Option(
            help=f"What is taken over replicates: {listed(AVERAGES)}.",
            rich_help_panel=OF_TABLES,
            show_default="mean",
            autocompletion=completing(*AVERAGES),
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a study whose page is wanted: what was asked and found, with pictures.",
            rich_help_panel=OF_TABLES,
        ),
    ] = None
    baseline: Annotated[
        str | None,
        typer.Option(
            help="The method that others are held against on the page.",
            rich_help_panel=OF_TABLES,
            show_default="the first, of more than four",
        ),
    ] = None
    json: Json = False
    force: Force = False


def study(told: StudyArguments) -> None:
    """Run methods on many data sets, as a file says, or go on with it.

    Whatever ends a run, --resume goes on to the same results. A row a cell is written as it comes,
    and all of them to frame.csv in the end.
    """
    from ..data.checks import check_choice

    check_choice("table_format", told.table_format, TABLE_FORMATS)
    _refuse_clashes(told)
    if told.report is not None:
        _write_page(told, told.report)
    elif told.table is not None:
        _show(told, told.table)
    elif told.resume is not None:
        _go_on(told, told.resume)
    elif told.file is not None:
        _begin(told, told.file, told.out or OUT)
    else:
        raise ValueError(
            "study needs a file that says what it is, as in 'gmm-pyro study study.toml', or the "
            "folder of one that has begun, as in 'gmm-pyro study --resume results'"
        )


def _refuse_clashes(told: StudyArguments) -> None:
    """Refuse words and options that say nothing beside each other.

    Raises:
        ValueError: if there are some.
    """
    of_tables = {"--by": told.by, "--of": told.of}
    of_runs = {
        "a file": told.file,
        "--resume": told.resume,
        "--jobs": told.jobs,
        "--shuffle": told.shuffle,
        "--table-format": told.table_format != TABLE_FORMATS[0],
    }
    if told.report is not None:
        _refuse({**of_runs, "--table": told.table, **of_tables}, "beside --report")
        return
    _refuse({"--baseline": told.baseline}, "without --report")
    if told.table is not None:
        _refuse(of_runs, "beside --table")
        return
    _refuse(of_tables, "without --table")
    _refuse({"--measure": told.measure}, "without --table or --report")
    if told.resume is not None:
        _refuse({"--out": told.out, "--force": told.force}, "beside --resume")


def _refuse(options: dict[str, Any], where: str) -> None:
    for name, value in options.items():
        if value:
            raise ValueError(f"{name} says nothing {where}")


def _show(told: StudyArguments, folder: Path) -> None:
    """Print or write the table of a study."""
    from .data import names_in
    from .tables import show_table

    show_table(_asked(told, folder), names_in(told.by), told.of or AVERAGES[0])


def _write_page(told: StudyArguments, folder: Path) -> None:
    """Write the page of a study."""
    from .study_page import write_page

    write_page(_asked(told, folder), told.baseline)


def _asked(told: StudyArguments, folder: Path) -> Asked:
    """What is asked of the study in a folder."""
    from .data import names_in

    _refuse_no_study(folder)
    return Asked(folder, names_in(told.measure), told.out, told.json, told.force)


def _refuse_no_study(folder: Path) -> None:
    from ..study.folder import STUDY

    if not (folder / STUDY).is_file():
        raise ValueError(f"{folder} holds no study: there is no {STUDY} in it")


def _begin(told: StudyArguments, file: Path, out: Path) -> None:
    """Run a study in a new folder, or in the place of an earlier one."""
    text = file.read_bytes()
    _refuse_taken(out, force=told.force)
    with _importing_from(file.parent):
        found = _study_of(text, file, file.parent)
        if told.force:
            from ..study.folder import begin_anew
            from ..study.writing import toml_or_none

            begin_anew(out, found.plan, toml_or_none(found))
            remove_frames(out)
            (out / PAGE).unlink(missing_ok=True)
        run_study(found, out, _way(told))


def _refuse_taken(out: Path, *, force: bool) -> None:
    """Refuse a folder that holds something, with the way on if that is a study."""
    from ..disk.placing import refuse_existing, refuse_unwritable
    from ..study.folder import STUDY

    if (out / STUDY).exists() and not force:
        words = going_on(out)
        raise ValueError(f"{out} holds a study: {words} goes on with it, and --force replaces it")
    refuse_existing(out, force=force)
    refuse_unwritable(out)


def _go_on(told: StudyArguments, folder: Path) -> None:
    """Run what is left of the study in a folder."""
    from ..study import StudyResults
    from ..study.folder import STUDY

    _refuse_no_study(folder)
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
    base = Path() if file is None else file.parent
    with _importing_from(base):
        run_study(_study_of(content, place, base), folder, _way(told))


def _study_of(content: bytes, place: Path, base: Path) -> Study:
    """The study that a file says; what was assumed to read files of data is said.

    Args:
        content: of the file.
        place: the file, as errors say it.
        base: the folder that paths of data files start from.

    Raises:
        ValueError: if it says none, with the file's name and what is wrong.
    """
    from ..disk.untrusted import content_named
    from ..study import Study
    from ..study.data_files import FromFile

    with content_named(str(place), TypeError), content_named(str(place), ValueError):
        found = Study.from_toml(content.decode("utf-8-sig"), base=base)
    for design in found.designs:
        if isinstance(design, FromFile):
            _say_of_file(design)
    return found


def _say_of_file(data: FromFile) -> None:
    """What was assumed to read a file of data."""
    from .data import say_assumed

    begun = f"{data.told['path']}: "
    say_assumed(data.content, data.told.get("labels"), "features", begun)
    for note in data.content.notes:
        say(f"{begun}{note}")


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Modules that a study names may be beside its file, and where the command is given."""
    before = sys.path[:]
    sys.path += [str(folder.resolve()), str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before


def _way(told: StudyArguments) -> Way:
    return Way(told.file, told.jobs or 1, told.shuffle, told.table_format, told.json)
