"""`gmm-pyro study --table`: what the cells of a study say together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .names import listed
from .output import print_json

if TYPE_CHECKING:
    from ..study.statistics import Summary

BY = ("method",)
WRITERS: Mapping[str, Callable[[Summary, Path], Any]] = {
    ".md": lambda table, path: path.write_text(table.to_markdown(), encoding="utf-8"),
    ".tex": lambda table, path: path.write_text(table.to_latex(), encoding="utf-8"),
    ".csv": lambda table, path: table.to_csv(path),
    ".tsv": lambda table, path: table.to_csv(path),
    ".parquet": lambda table, path: table.to_parquet(path),
}
ENDINGS = listed(tuple(WRITERS))


def show_table(
    folder: Path,
    by: Sequence[str],
    measures: Sequence[str],
    of: str,
    *,
    out: Path | None,
    as_json: bool,
    force: bool,
) -> None:
    """Print a table of a study, or write it.

    Args:
        folder: where the study is.
        by: names of what makes groups.
        measures: names of measures; all that have numbers if empty.
        of: "mean" or "median".
        out: a file to write it to, or None.
        as_json: whether to print JSON.
        force: whether the file may be replaced.

    Raises:
        ValueError: if there is no such study, factor or measure, or the file has another ending.
        OSError: if the file exists, or cannot be written.
    """
    from ..disk.placing import refuse_existing
    from ..study import StudyResults

    if out is not None:
        if out.suffix.lower() not in WRITERS:
            raise ValueError(f"--out must end in {ENDINGS} beside --table, got {str(out)!r}")
        refuse_existing(out, force=force)
    table = StudyResults.load(folder).table(by or BY, measures or None, of=of)
    if out is not None:
        _write(table, out)
    if as_json:
        print_json(_document(table, out))
    else:
        typer.echo(str(table) if out is None else f"wrote the table to {out}")


def _write(table: Summary, path: Path) -> None:
    from ..disk.placing import whole_file

    with whole_file(path) as partial:
        WRITERS[path.suffix.lower()](table, partial)


def _document(table: Summary, out: Path | None) -> dict[str, Any]:
    """The table for programs."""
    frame = table.frame.astype(object)
    return {
        "by": list(table.by),
        "measures": list(table.measures),
        "of": table.of,
        "rows": frame.where(frame.notna(), None).to_dict("records"),
        "notes": list(table.notes),
        "out": out,
    }
