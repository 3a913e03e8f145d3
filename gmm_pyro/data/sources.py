"""Where data are that are not in this process: in Dask's partitions, or in files of Parquet.

Each is a list of parts that tasks read, and names of columns. What an object is, its class says, as
in `tables.py`: no library is imported for the question.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .beside import Beside, beside, columns_beside
from .features import default_names, places
from .parquet import RowGroup, files_of, footer
from .reader import Reader
from .tables import ColumnWarning, Names, axis_names, feature_columns, is_a, outside


@dataclass(frozen=True, eq=False)
class Source:
    """Parts of data that are elsewhere.

    Attributes:
        parts: one for each partition: what comes of it is an array, a frame or a `RowGroup`.
        labels: what messages call them.
        names: of the features.
        columns: what these are called in the parts; None where they go by their position.
        sizes: rows of the parts, where they are known.
        beside: what there is of points beside their values.
    """

    parts: tuple[Any, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    sizes: tuple[float, ...] | None = None
    beside: tuple[Beside, ...] = ()

    @property
    def all_parts(self) -> tuple[Any, ...]:
        """The parts, each with those of what is beside it."""
        others = [some.parts for some in self.beside if some.column is None]
        return tuple(zip(self.parts, *others, strict=True)) if others else self.parts

    @property
    def counted(self) -> tuple[int, ...] | None:
        """Rows of the parts, where all are known and none is empty."""
        rows = self.rows
        return tuple(map(int, rows)) if all(n > 0 for n in rows) else None

    @property
    def rows(self) -> tuple[float, ...]:
        """Rows of the parts, NaN where they are not known."""
        return self.sizes or (math.nan,) * len(self.parts)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that the parts are of, if they are."""
        paths = (part.path for part in self.parts if isinstance(part, RowGroup))
        return tuple(dict.fromkeys(paths))

    def reader(self, dtype: torch.dtype, k: int = 1) -> Reader:
        """What makes points of the parts, where there are k components."""
        return Reader(len(self.names), self.columns, dtype, self.beside, k)


def source_of(x: Any, names: Sequence[str] | None = None, **given: Any) -> Source:
    """The parts of data that are elsewhere, and what is given as `observed_away` has it.

    Raises:
        ValueError: if they are none that can be read.
    """
    _refuse_without_dask()
    apart = columns_beside(given)
    if isinstance(x, str | Path):
        found = _of_files(str(x), names, apart)
    elif is_a(x, "dask.dataframe", "DataFrame"):
        found = _of_frame(x, names, apart)
    else:
        own = _own_names(x) if is_lazy(x) else None
        found = _of_array(x.data if is_lazy(x) else x, own, names)
    named, count = found.columns is not None, len(found.parts)
    return replace(found, beside=beside(given, count, found.sizes, in_columns=named))


def _own_names(x: Any) -> Names | None:
    """What the columns of an array of xarray are called: of a single one, as the array is."""
    if x.ndim == 1:
        return None if x.name is None else (str(x.name),)
    return axis_names(x)


def _of_array(x: Any, own: tuple[str, ...] | None, names: Sequence[str] | None) -> Source:
    """Of a Dask array, whose rows are cut up and whose columns are not."""
    x = _two_dimensional(x)
    chosen = None if names is None or own is None else places(names, own)
    x = x if chosen is None else x[:, chosen]
    d = x.shape[1]
    if names is not None and len(names) != d:
        raise ValueError(f"x must have {len(names)} features, got {d}: shape {tuple(x.shape)}")
    parts = tuple(x.rechunk({1: -1}).to_delayed()[:, 0])
    called = tuple(names or own or default_names(d))
    return Source(parts, _numbered(parts), called, sizes=x.chunks[0])


def _two_dimensional(x: Any) -> Any:
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or not x.shape[1] > 0:  # NaN, too: where it is not known
        raise ValueError(
            f"x must have shape (n, d), or (n,) for univariate data; got {tuple(x.shape)}"
        )
    return x


def _of_frame(x: Any, names: Sequence[str] | None, apart: Names) -> Source:
    parts = tuple(x.to_delayed())
    return Source(parts, _numbered(parts), *feature_columns(x.dtypes, names, apart))


def _of_files(pattern: str, names: Sequence[str] | None, apart: Names) -> Source:
    """Of files of Parquet, a row group a part: workers read the footers, too."""
    from dask.delayed import delayed

    from ..running.on_dask import computed

    files = files_of(pattern)
    footers = computed([delayed(footer, pure=False)(file) for file in files])
    both = [(file, *found) for file, found in zip(files, footers, strict=True)]
    groups = tuple(
        RowGroup(file, i, stamp) for file, rows, _, stamp in both for i in range(len(rows))
    )
    if any("=" in str(Path(file).parent)[len(pattern) :] for file in files):
        warnings.warn(
            f"what names of folders say, as in {files[0]}, is no column: files alone are read",
            ColumnWarning,
            stacklevel=outside(),
        )
    if not groups:
        raise ValueError(f"x must have at least one row; there are none at {pattern!r}")
    sizes = tuple(n for _, rows, _, _ in both for n in rows)
    return Source(
        groups, tuple(map(str, groups)), *feature_columns(footers[0][1], names, apart), sizes
    )


def types_there(pattern: str) -> Any:
    """The types of the columns of files of Parquet by name, as the footer of the first says."""
    from dask.delayed import delayed

    from ..running.on_dask import computed

    _refuse_without_dask()
    (found,) = computed([delayed(footer, pure=False)(files_of(pattern)[0])])
    return found[1]


def _numbered(parts: Sequence[Any]) -> tuple[str, ...]:
    return tuple(f"partition {i}" for i in range(len(parts)))


def is_lazy(x: Any) -> bool:
    """Whether x is an array of xarray with one of Dask's inside."""
    if not is_a(x, "xarray", "DataArray") or "dask.array" not in sys.modules:
        return False
    return is_a(x.variable._data, "dask.array", "Array")  # `data` would read a file


def _refuse_without_dask() -> None:
    try:
        import dask  # noqa: F401, PLC0415
        import distributed  # noqa: F401, PLC0415
    except ImportError as error:
        raise ValueError(
            f"data in partitions need Dask ({error}): pip install 'gmm-pyro[cluster]'"
        ) from None
