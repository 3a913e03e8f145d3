"""Files of Parquet that are read where work is done, a row group at a time."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .features import lacks

PATTERN = "*?["  # characters of a name that stands for several files
ENDINGS = (".parquet", ".pq")


@dataclass(frozen=True)
class RowGroup:
    """Rows of a file of Parquet that are read together.

    Attributes:
        path: the file.
        number: of the group in it.
    """

    path: str
    number: int

    def __str__(self) -> str:
        return f"row group {self.number} of {self.path}"

    def frame(self, columns: Sequence[str] | None = None) -> Any:
        """Those of the columns that there are, as a frame; the file is closed again.

        Raises:
            ValueError: if it cannot be read.
        """
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                there = file.schema_arrow.names
                wanted = [name for name in columns or there if name in there]
                table = file.read_row_group(self.number, columns=wanted, use_threads=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"{self} cannot be read: {error}") from None
        return table.to_pandas()

    def table(self, columns: Sequence[str]) -> Any:
        """Columns as they are, as a table of Arrow's; the file is closed again.

        Raises:
            ValueError: if there is no such column, or it cannot be read.
        """
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                there = file.schema_arrow.names
                missing = [name for name in columns if name not in there]
                if missing:
                    raise ValueError(lacks(str(self), missing, there))
                return file.read_row_group(self.number, columns=list(columns), use_threads=False)
        except OSError as error:
            raise ValueError(f"{self} cannot be read: {error}") from None


def names_files(x: Any) -> bool:
    """Whether x is the name of a folder, or a name or pattern of files of Parquet."""
    if not isinstance(x, str | Path):
        return False
    return str(x).endswith(ENDINGS) or Path(x).is_dir()


def files_of(pattern: str) -> list[str]:
    """The files that a folder or a pattern stands for, in the order of their names."""
    path = Path(pattern)
    if path.is_dir():
        found = sorted(map(str, path.glob("**/*.parquet")))
    elif any(character in pattern for character in PATTERN):
        found = sorted(glob.glob(pattern, recursive=True))
    else:
        found = [pattern] if path.is_file() else []
    if not found:
        raise ValueError(
            f"x must be data, or a folder, a name or a pattern of files of Parquet; there are none "
            f"at {pattern!r}"
        )
    return found


def footer(path: str) -> tuple[tuple[int, ...], Any]:
    """The rows of each row group in a file, and the types of its columns."""
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
            rows = tuple(group.num_rows for group in groups)
            return rows, file.schema_arrow.empty_table().to_pandas().dtypes
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from None
