"""`gmm-pyro study --table`: what the cells of a study say together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Asked:
    """What is asked of a study: a table or a page.

    Attributes:
        folder: where the study is.
        measures: names of measures; empty if nobody says which.
        out: a file to write, or None.
        as_json: whether what is said is JSON.
        force: whether the file may be replaced.
    """

    folder: Path
    measures: Sequence[str]
    out: Path | None
    as_json: bool
    force: bool

    def refuse_out(self, endings: Iterable[str], option: str) -> None:
        """Refuse a file of another kind, one that is there, and one that cannot be written.

        Args:
            endings: of names that there may be.
            option: what asks for the file.

        Raises:
            ValueError: if its name has another ending.
            OSError: if it exists, or cannot be written.
        """
        from ..disk.placing import refuse_existing, refuse_unwritable

        if self.out is None:
            return
        known = tuple(endings)
        if self.out.suffix.lower() not in known:
            words = listed(known) if len(known) > 1 else known[0]
            raise ValueError(f"--out must end in {words} beside {option}, got {str(self.out)!r}")
        refuse_existing(self.out, force=self.force)
        refuse_unwritable(self.out.parent)


def show_table(asked: Asked, by: Sequence[str], of: str) -> None:
    """Print a table of a study, or write it.

    Args:
        asked: for which; all measures that have numbers if it names none.
        by: names of what makes groups.
        of: "mean" or "median".

    Raises:
        ValueError: if there is no such study, factor or measure, or the file has another ending.
        OSError: if the file exists, or cannot be written.
    """
    from ..study import StudyResults

    asked.refuse_out(WRITERS, "--table")
    out = asked.out
    table = StudyResults.load(asked.folder).table(by or BY, asked.measures or None, of=of)
    if out is not None:
        _write(table, out)
    if asked.as_json:
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
