"""Excel's workbooks as tables, and tables as workbooks."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.features import default_names
from ..disk.placing import write_bytes
from ..disk.untrusted import refuse_expansion
from .table import DataTable

HEADLESS = "the first row holds numbers, so columns are called x0, x1, …"


def read_workbook(path: Path, member: str | None) -> DataTable:
    """The sheet of this name, or else the first one, whose first row names the columns.

    Raises:
        ValueError: if there is no such sheet, or nothing in it.
        ImportError: if openpyxl is not installed.
    """
    from openpyxl import load_workbook

    with zipfile.ZipFile(path) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
    refuse_expansion(declared, path.stat().st_size)
    with warnings.catch_warnings():  # of styles and the like, which are nothing to us
        warnings.simplefilter("ignore", UserWarning)
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            name, notes = _chosen([sheet.title for sheet in book.worksheets], member, path)
            rows = _filled(book[name].iter_rows(values_only=True), path.stat().st_size)
        finally:
            book.close()
    named = not _is_headless(rows[0])
    if not named:
        notes = [*notes, HEADLESS]
    return DataTable(_frame(rows, named=named), str(path), path.stem, named, notes=tuple(notes))


def _chosen(names: Sequence[str], member: str | None, path: Path) -> tuple[str, list[str]]:
    """The sheet to read, and what is said of the others."""
    if not names:
        raise ValueError("it has no sheets of cells")
    if member is None:
        others = ", ".join(map(repr, names[1:]))
        note = f"sheet {names[0]!r} is read; {path.name}:NAME reads another one ({others})"
        return names[0], [note] if others else []
    if member not in names:
        raise ValueError(f"it has no sheet {member!r}: it has {', '.join(names)}")
    return member, []


def _filled(rows: Any, length: int) -> list[list[Any]]:
    """The rows in which there is something, as wide as the widest.

    Raises:
        ValueError: if there are none, or they would take far more memory than the file.
    """
    found: list[list[Any]] = []
    width = 0
    for row in rows:
        last = max((i for i, cell in enumerate(row) if cell is not None), default=-1)
        if last >= 0:
            found.append(list(row[: last + 1]))
            width = max(width, last + 1)
            refuse_expansion(8 * width * len(found), length)
    if not found:
        raise ValueError("its sheet has nothing in it")
    return [row + [None] * (width - len(row)) for row in found]


def _is_headless(first: Sequence[Any]) -> bool:
    """Whether the first row is one of numbers."""
    return all(isinstance(cell, Real) and not isinstance(cell, bool) for cell in first)


def _frame(rows: list[list[Any]], *, named: bool) -> pd.DataFrame:
    """Rows of cells as a frame, with pandas' rules for names and missing values."""
    import pandas.io.parsers as parsers

    reader: Any = parsers.TextParser  # type: ignore[attr-defined]
    frame: pd.DataFrame = reader(rows, header=0 if named else None).read()
    if not named:
        frame.columns = pd.Index(default_names(frame.shape[1]))
    return frame


def write_workbook(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as the only sheet of a workbook.

    Raises:
        ImportError: if openpyxl is not installed.
    """
    file = io.BytesIO()
    frame.to_excel(file, index=False, engine="openpyxl")
    write_bytes(path, file.getvalue())
