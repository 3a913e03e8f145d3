"""Files of every format as tables: which reader a name asks for, and what it is told."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..disk.untrusted import content_named
from .arrays import read_netcdf_table, read_npy_table, read_npz_table
from .arrow import read_arrow_table, read_parquet_table
from .compression import COMPRESSED
from .reading import Reading
from .sheets import read_workbook
from .table import DataTable
from .text import read_text

STDIN = "-"
FORMATS = {
    ".csv": "text",
    ".tsv": "text",
    ".txt": "text",
    ".dat": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "arrow",
    ".arrow": "arrow",
    ".xlsx": "excel",
    ".npy": "npy",
    ".npz": "npz",
    ".nc": "netcdf",
}
READERS: Mapping[str, Callable[[Path, str | None], DataTable]] = {
    "parquet": read_parquet_table,
    "arrow": read_arrow_table,
    "excel": read_workbook,
    "npy": read_npy_table,
    "npz": read_npz_table,
    "netcdf": read_netcdf_table,
}
NEEDED = {  # libraries of formats, and the extras that install them
    "parquet": ("pyarrow", "parquet"),
    "arrow": ("pyarrow", "parquet"),
    "excel": ("openpyxl", "excel"),
}
HOLDERS = r"(.+\.(?:npz|nc|xlsx)):([^:/\\]+)"  # a file of several tables, and the name of one


def is_data_file(source: str | Path) -> bool:
    """Whether this can be read here, by its name: a file of a known format, "-", or a pipe."""
    path, _ = _member(source)
    return str(source) == STDIN or _format(path) is not None or path.is_fifo()


def format_of(path: Path) -> str:
    """The format of a file, by its name.

    Raises:
        ValueError: if the name does not tell.
    """
    found = _format(path)
    if found is None:
        raise ValueError(f"the name of a data file must end in {known_endings()}; got {path}")
    return found


def known_endings() -> str:
    """What names of data files end in, in words."""
    return ", ".join([*FORMATS, *(f".csv{suffix}" for suffix in COMPRESSED)])


def text_name(path: Path) -> Path:
    """The name of a file without what says that it is compressed."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path


def refuse_missing(source: str | Path) -> None:
    """Refuse a file that is not there.

    Raises:
        OSError: if it is not.
    """
    if str(source) != STDIN:
        _member(source)[0].stat()


def read_table(source: str | Path, reading: Reading | None = None) -> DataTable:
    """The table in a file.

    Text may be compressed (.gz, .bz2, .xz, .zip), separated by tabs, semicolons, commas, bars or
    blanks, and have decimal commas or no header. Of an npz or NetCDF file, it is the array of two
    dimensions, which `FILE:NAME` names if there are several, with arrays of one dimension beside
    it; or all arrays of one dimension and one length as columns. Of a workbook, it is the first
    sheet, or that of this name.

    Args:
        source: a file; "-" is text on standard input, as that of any named pipe.
        reading: what the file does not say itself.

    Raises:
        ValueError: if it holds no table.
        OSError: if it cannot be read.
        ImportError: if the library that reads it is not installed.
    """
    told = reading or Reading()
    path, member = _member(source)
    if str(source) == STDIN:
        with content_named("standard input cannot be read"):
            return _text(io.BytesIO(sys.stdin.buffer.read()), "standard input", "stdin", told)
    if path.is_fifo():
        with content_named(f"{path} cannot be read"):
            return _text(io.BytesIO(path.read_bytes()), str(path), "pipe", told)
    kind = format_of(path)
    path.stat()  # a file that is not there is no unreadable file
    with library_named(path), content_named(f"{path} cannot be read"):
        found = _read_text(path, told) if kind == "text" else READERS[kind](path, member)
    found.frame.columns = found.frame.columns.map(str)
    decimal = told.decimal_mark(found.decimal)
    return replace(found, source=str(source), reading=told, decimal=decimal)


@contextmanager
def library_named(path: Path) -> Iterator[None]:
    """Say how to get the library that a file needs, where it is missing."""
    try:
        yield
    except ImportError as error:
        kind = _format(path)
        if kind not in NEEDED:
            raise
        library, extra = NEEDED[kind]
        raise ImportError(f"{path} needs {library}: pip install 'gmm-pyro[{extra}]'") from error


def _member(source: str | Path) -> tuple[Path, str | None]:
    """A file, and the name of one of its arrays or sheets."""
    found = re.fullmatch(HOLDERS, str(source), re.IGNORECASE)
    return (Path(found[1]), found[2]) if found else (Path(source), None)


def _format(path: Path) -> str | None:
    kind = FORMATS.get(text_name(path).suffix.lower())
    return kind if kind == "text" or text_name(path) == path else None


def _read_text(path: Path, reading: Reading) -> DataTable:
    read = COMPRESSED.get(path.suffix.lower())
    name = text_name(path).stem
    with io.BytesIO(read(path)) if read is not None else path.open("rb") as stream:
        return _text(stream, str(path), name, reading)


def _text(stream: Any, source: str, name: str, reading: Reading) -> DataTable:
    frame, dialect = read_text(stream, reading)
    return DataTable(
        frame,
        source,
        name,
        named=dialect.named,
        notes=dialect.notes,
        reading=reading,
        decimal=dialect.decimal,
    )
