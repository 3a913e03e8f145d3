"""Files of every format as tables: delimited text, Parquet, NumPy's npy and npz, and NetCDF."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.features import default_names
from ..disk.untrusted import content_named, read_gzip, read_npy, read_npz, refuse_expansion
from .netcdf import read_netcdf
from .text import read_text

STDIN = "-"
COMPRESSED = ".gz"  # after the name of a text
FORMATS = {
    ".csv": "text",
    ".tsv": "text",
    ".txt": "text",
    ".dat": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npy": "npy",
    ".npz": "npz",
    ".nc": "netcdf",
}
HOLDERS = r"(.+\.(?:npz|nc)):([^:/\\]+)"  # a file of several arrays, and the name of one


@dataclass(frozen=True, eq=False)
class DataTable:
    """What a file holds.

    Attributes:
        frame: a row a point; a pandas frame with strings as column names.
        source: what was read, as errors say it.
        name: what the data are called in tables and reports.
        named: whether the columns have names of their own.
        aside: columns that are beside an array of features, and so are none by themselves.
        notes: what was assumed to read it, in words.
    """

    frame: pd.DataFrame
    source: str
    name: str
    named: bool = True
    aside: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


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
        known = ", ".join([*FORMATS, f".csv{COMPRESSED} or the like"])
        raise ValueError(f"the name of a data file must end in {known}; got {path}")
    return found


def read_table(source: str | Path) -> DataTable:
    """The table in a file.

    Text may be compressed (.gz), separated by tabs, semicolons, commas, bars or blanks, and have
    decimal commas or no header. Of an npz or NetCDF file, it is the array of two dimensions, which
    `FILE:NAME` names if there are several, with arrays of one dimension beside it; or all arrays of
    one dimension and one length as columns.

    Args:
        source: a file; "-" is text on standard input, as that of any named pipe.

    Raises:
        ValueError: if it holds no table.
        OSError: if it cannot be read.
        ImportError: if it is a Parquet file and pyarrow is not installed.
    """
    path, member = _member(source)
    if str(source) == STDIN:
        with content_named("standard input cannot be read"):
            return _text(io.BytesIO(sys.stdin.buffer.read()), "standard input", "stdin")
    if path.is_fifo():
        with content_named(f"{path} cannot be read"):
            return _text(io.BytesIO(path.read_bytes()), str(path), "pipe")
    kind = format_of(path)
    path.stat()  # a file that is not there is no unreadable file
    with pyarrow_named(path), content_named(f"{path} cannot be read"):
        found = READERS[kind](path, member)
    found.frame.columns = found.frame.columns.map(str)
    return replace(found, source=str(source))


@contextmanager
def pyarrow_named(path: Path) -> Iterator[None]:
    """Say how to get pyarrow where a Parquet file needs it, and it is missing."""
    try:
        yield
    except ImportError as error:
        if _format(path) != "parquet":
            raise
        raise ImportError(f"{path} needs pyarrow: pip install 'gmm-pyro[parquet]'") from error


def _member(source: str | Path) -> tuple[Path, str | None]:
    """A file, and the name of one of its arrays."""
    found = re.fullmatch(HOLDERS, str(source), re.IGNORECASE)
    return (Path(found[1]), found[2]) if found else (Path(source), None)


def _format(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix == COMPRESSED:
        kind = FORMATS.get(Path(path.stem).suffix.lower())
        return kind if kind == "text" else None
    return FORMATS.get(suffix)


# ---------------------------------------------------------------------- readers


def _read_text(path: Path, member: str | None) -> DataTable:
    del member
    is_compressed = path.suffix.lower() == COMPRESSED
    name = Path(path.stem).stem if is_compressed else path.stem
    with io.BytesIO(read_gzip(path)) if is_compressed else path.open("rb") as stream:
        return _text(stream, str(path), name)


def _text(stream: Any, source: str, name: str) -> DataTable:
    frame, dialect = read_text(stream)
    return DataTable(frame, source, name, named=dialect.header, notes=dialect.notes)


def _read_parquet(path: Path, member: str | None) -> DataTable:
    import pyarrow.parquet as pq

    del member
    metadata = pq.read_metadata(path)
    refuse_expansion(8 * metadata.num_rows * metadata.num_columns, path.stat().st_size)
    frame = pd.read_parquet(path, page_checksum_verification=True)
    return DataTable(frame, str(path), path.stem)


def _read_npy(path: Path, member: str | None) -> DataTable:
    del member
    array = read_npy(path)
    if array.dtype.names:  # a structured array is a table
        return DataTable(pd.DataFrame(array), str(path), path.stem)
    return _beside(path, array, {})


def _read_npz(path: Path, member: str | None) -> DataTable:
    arrays = read_npz(path)
    name = _chosen({name: array.ndim for name, array in arrays.items()}, member)
    if name is not None:
        return _beside(path, arrays[name], {k: v for k, v in arrays.items() if k != name})
    columns = {name: array for name, array in arrays.items() if array.ndim == 1}
    _check_lengths({name: len(array) for name, array in columns.items()}, arrays)
    return DataTable(pd.DataFrame(columns), str(path), path.stem)


def _read_netcdf(path: Path, member: str | None) -> DataTable:
    data = read_netcdf(path)
    variables = {str(name): variable for name, variable in data.data_vars.items()}
    name = _chosen({name: variable.ndim for name, variable in variables.items()}, member)
    if name is not None:
        return _labelled(path, data, name)
    columns = {name: variable for name, variable in variables.items() if variable.ndim == 1}
    lengths = {f"{name} along {v.dims[0]!s}": len(v) for name, v in columns.items()}
    _check_lengths(lengths, variables)
    frame = data[list(columns)].to_dataframe()[list(columns)]
    return DataTable(frame.reset_index(drop=True), str(path), path.stem)


READERS: Mapping[str, Callable[[Path, str | None], DataTable]] = {
    "text": _read_text,
    "parquet": _read_parquet,
    "npy": _read_npy,
    "npz": _read_npz,
    "netcdf": _read_netcdf,
}


# ---------------------------------------------------------------------- arrays


def _chosen(dimensions: Mapping[str, int], member: str | None) -> str | None:
    """The array that is named, or the only one of two dimensions, or None if there is none.

    Raises:
        ValueError: if there is no such array, or there are several.
    """
    if member is not None:
        if member not in dimensions:
            raise ValueError(f"it has no array {member!r}: it has {', '.join(dimensions)}")
        return member
    wide = [name for name, number in dimensions.items() if number == 2]
    if len(wide) > 1:
        raise ValueError(
            f"it has several arrays of two dimensions, {', '.join(wide)}: "
            f"name one, as FILE:{wide[0]}"
        )
    return wide[0] if wide else None


def _check_lengths(lengths: Mapping[str, int], arrays: Mapping[str, Any]) -> None:
    """Refuse arrays that are no columns of one table."""
    if not lengths:
        held = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
        raise ValueError(f"it has no array of one or two dimensions: it has {held or 'none'}")
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} ({length})" for name, length in lengths.items())
        raise ValueError(f"its arrays of one dimension differ in length: {listed}")


def _beside(
    path: Path, array: np.ndarray, others: Mapping[str, np.ndarray], names: Sequence[str] = ()
) -> DataTable:
    """An array as a table, with the arrays of one dimension that have an entry for each row."""
    if array.ndim not in (1, 2):
        raise ValueError(f"an array must have shape (n, d) or (n,), got {array.shape}")
    wide = array[:, None] if array.ndim == 1 else array
    frame = pd.DataFrame(wide, columns=pd.Index(names or default_names(wide.shape[1])))
    columns = {
        name: other
        for name, other in others.items()
        if other.shape == (len(frame),) and name not in frame
    }
    return DataTable(
        frame.assign(**columns), str(path), path.stem, named=bool(names), aside=frozenset(columns)
    )


def _labelled(path: Path, data: Any, name: str) -> DataTable:
    """A NetCDF variable of points and features, with variables along the points beside it."""
    variable = data[name]
    features = variable.coords.get(variable.dims[-1]) if variable.ndim == 2 else None
    if variable.ndim == 1:
        names = [name]
    elif features is not None and features.dtype.kind in "OUST":
        names = [str(value) for value in features.values]
    else:
        names = []
    beside = {
        str(other): values.values
        for other, values in [*data.data_vars.items(), *data.coords.items()]
        if values.dims == variable.dims[:1] and other != name
    }
    return _beside(path, variable.values, beside, names)
