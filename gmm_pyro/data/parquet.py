"""Files of Parquet that are read where work is done, a row group at a time."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .features import lacks

PATTERN = "*?["  # characters of a name that stands for several files
ENDINGS = (".parquet", ".pq")
AT_ONCE = 2**18  # rows, at most, that are decoded before they are copied to where they stay
FOOTERS = 4  # files whose footers a process keeps: that of many row groups takes long to parse


@dataclass(frozen=True)
class RowGroup:
    """Rows of a file of Parquet that are read together.

    Attributes:
        path: the file.
        number: of the group in it.
        stamp: size of the file and the time of its last change, when it was found.
    """

    path: str
    number: int
    stamp: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"row group {self.number} of {self.path}"

    def content(self, columns: Sequence[str], dtype: np.dtype[Any]) -> Any:
        """Those of the columns that there are, after which the file is closed again.

        Returns:
            An array of the type if all are there and hold floating-point numbers, with NaN where
            a value is missing; else a frame.

        Raises:
            ValueError: if it cannot be read.
        """
        try:
            with _opened(self.path, self.stamp) as file:
                kinds = {field.name: field.type for field in file.schema_arrow}
                if all(_is_floating(kinds.get(name)) for name in columns):
                    return _array(file, self.number, columns, dtype)
                wanted = [name for name in columns if name in kinds]
                table = file.read_row_group(self.number, columns=wanted, use_threads=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"{self} cannot be read: {error}") from None
        return table.to_pandas()

    def table(self, columns: Sequence[str]) -> Any:
        """Columns as they are, as a table of Arrow's; the file is closed again.

        Raises:
            ValueError: if there is no such column, or it cannot be read.
        """
        try:
            with _opened(self.path, self.stamp) as file:
                there = file.schema_arrow.names
                missing = [name for name in columns if name not in there]
                if missing:
                    raise ValueError(lacks(str(self), missing, there))
                return file.read_row_group(self.number, columns=list(columns), use_threads=False)
        except OSError as error:
            raise ValueError(f"{self} cannot be read: {error}") from None


def stamp_of(path: str) -> tuple[int, int]:
    """The size of a file, and the time of its last change."""
    told = os.stat(path)
    return told.st_size, told.st_mtime_ns


def _opened(path: str, stamp: tuple[int, int] | None = None) -> Any:
    import pyarrow.parquet

    found = stamp_of(path)
    if stamp not in (None, found):
        raise ValueError("the file has changed since it was read first")
    known = _footer(path, *found)
    return pyarrow.parquet.ParquetFile(path, metadata=known)


@functools.lru_cache(maxsize=FOOTERS)
def _footer(path: str, size: int, changed: int) -> Any:
    """What the file of this size, changed at this time, says of its row groups."""
    import pyarrow.parquet

    del size, changed
    return pyarrow.parquet.read_metadata(path)


def _is_floating(kind: Any) -> bool:
    import pyarrow

    return kind is not None and bool(pyarrow.types.is_floating(kind))


def _array(file: Any, number: int, columns: Sequence[str], dtype: np.dtype[Any]) -> np.ndarray:
    """Columns of a row group as an array (m, d), each in one piece of memory, as they are read."""
    import pyarrow

    shape = len(columns), file.metadata.row_group(number).num_rows
    # Arrow's memory goes from one row group to the next: the system's would be made anew each time
    room = pyarrow.allocate_buffer(shape[0] * shape[1] * dtype.itemsize)
    found, first = np.ndarray(shape, dtype, room), 0
    asked = {"row_groups": [number], "columns": list(columns), "use_threads": False}
    with np.errstate(over="ignore"):  # what is infinite in this type is found by who checks it
        for batch in file.iter_batches(AT_ONCE, **asked):
            last = first + len(batch)
            for own, name in zip(found, columns, strict=True):
                own[first:last] = batch.column(name).to_numpy(zero_copy_only=False)
            first = last
    if first != shape[1]:
        raise ValueError(f"it has {first} rows, and its file says {shape[1]}")
    return found.T


def names_files(x: Any) -> bool:
    """Whether x is the name of a folder, or a name or pattern of files of Parquet."""
    if not isinstance(x, str | Path):
        return False
    return str(x).endswith(ENDINGS) or Path(x).is_dir()


def files_of(pattern: str) -> list[str]:
    """The files that a folder or a pattern stands for, in the order of their names."""
    path = Path(pattern)
    if path.is_dir():
        found = sorted(str(file) for end in ENDINGS for file in path.glob(f"**/*{end}"))
    elif path.is_file():
        found = [pattern]
    elif any(character in pattern for character in PATTERN):
        found = sorted(glob.glob(pattern, recursive=True))
    else:
        found = []
    if not found:
        raise ValueError(
            f"x must be data, or a folder, a name or a pattern of files of Parquet; there are none "
            f"at {pattern!r}"
        )
    return found


def footer(path: str) -> tuple[tuple[int, ...], Any, tuple[int, int]]:
    """The rows of each row group in a file, the types of its columns, and its stamp."""
    import pyarrow.parquet

    try:
        stamp = stamp_of(path)
        with pyarrow.parquet.ParquetFile(path) as file:
            groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
            rows = tuple(group.num_rows for group in groups)
            return rows, file.schema_arrow.empty_table().to_pandas().dtypes, stamp
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from None
