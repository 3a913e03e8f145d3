"""Anything that holds numbers, as a real array with the names of its columns.

What an object is, its class says, not its attributes: coordinates of an xarray object and columns
of a frame are attributes too, and may be called anything. The libraries are not imported: an object
of theirs cannot be there unless they are loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .arrays import array_of, dense_tensor, real
from .features import OURS, places, refuse_repeated

Names = tuple[str, ...]


def to_numeric(
    x: Any, what: str = "x", wanted: Sequence[str] | None = None
) -> tuple[np.ndarray | Tensor, Names | None]:
    """A real numeric array of any shape, and column names where x has them.

    Args:
        x: what was given.
        what: what messages call it.
        wanted: names of the columns to take, in their order, as far as x has names.

    Raises:
        ValueError: if it does not hold real numbers, or lacks a column.
    """
    if isinstance(x, Tensor):
        return dense_tensor(x, what), None
    if is_a(x, "xarray", "DataArray"):
        return _data_array(x, what, wanted)
    if is_a(x, "pyarrow", "Table"):
        x = x.to_pandas()
    _refuse_unread(x, what)
    if hasattr(type(x), "to_numpy"):
        if hasattr(type(x), "columns"):  # a frame of pandas, polars or a relative of theirs
            return _frame(x, what, wanted)
        if hasattr(type(x), "name"):  # a series
            return _named(_column(x, _plainly(x.name)), x.name, wanted)
    return real(array_of(x, what), what), None


def one_row(values: Any, what: str) -> Any:
    """Values of features as one row: with their names, where they have any."""
    if is_a(values, "pandas", "Series"):
        return values.to_frame().T
    if is_a(values, "xarray", "DataArray") and values.ndim == 1:
        return values.expand_dims("one row")
    if hasattr(type(values), "columns"):
        return values
    return np.atleast_2d(real(array_of(values, what), what))


def is_a(x: Any, library: str, kind: str) -> bool:
    """Whether x is of a class of a library, which is not loaded for the question."""
    return isinstance(x, getattr(sys.modules.get(library), kind, ()))


def _refuse_unread(x: Any, what: str) -> None:
    """Refuse frames that are not in memory, and sets of arrays."""
    if hasattr(type(x), "columns") and not hasattr(type(x), "to_numpy"):
        reads = [name for name in ("collect", "compute", "to_pandas") if hasattr(type(x), name)]
        hint = f": call its {reads[0]}()" if reads else ""
        raise ValueError(f"{what} must be in memory, got a {type(x).__name__}{hint}")
    for kind in ("Dataset", "DataTree"):
        if is_a(x, "xarray", kind):
            raise ValueError(
                f"{what} must be one array, got an xarray {kind}: take one of its variables, or "
                "the to_dataframe() of a Dataset"
            )


def _named(
    values: np.ndarray, name: Any, wanted: Sequence[str] | None
) -> tuple[np.ndarray, Names | None]:
    """One column with its name; of what has other axes, the name is not that of a column."""
    if values.ndim != 1:
        return values, None
    if wanted is not None and isinstance(name, str) and name:
        places(wanted, [name])  # refuses another name
    return values, (_plainly(name),)


def _plainly(name: Any) -> str:
    return f"{OURS}0" if name is None or name == "" else str(name)


def _frame(x: Any, what: str, wanted: Sequence[str] | None) -> tuple[np.ndarray, Names]:
    """The columns of a frame side by side, in the order that is wanted, and their names."""
    keys, names = list(x.columns), tuple(str(name) for name in x.columns)
    chosen = _chosen(names, what, wanted)
    columns = [_column(x[keys[i]], names[i]) for i in chosen]
    values = np.column_stack(columns) if columns else np.empty((len(x), 0))
    return values, tuple(names[i] for i in chosen)


def _chosen(names: Names, what: str, wanted: Sequence[str] | None) -> list[int]:
    """Which columns are taken: all of them as they are, where none are wanted by name."""
    chosen = None if wanted is None else places(wanted, names, what)
    if chosen is None:
        refuse_repeated(names, what)
        return list(range(len(names)))
    return chosen


def _column(column: Any, name: str) -> np.ndarray:
    """One column of a frame as a real array; missing values become NaN."""
    values = np.asarray(column.to_numpy())
    if values.dtype == object and hasattr(type(column), "isna"):  # pandas' nullable types
        values = np.where(column.isna(), np.nan, values)
    return real(values, f"column {name!r}")


def _data_array(x: Any, what: str, wanted: Sequence[str] | None) -> tuple[np.ndarray, Names | None]:
    """An array of xarray's, whose columns are called as a coordinate of its second axis is."""
    values = real(np.asarray(x.to_numpy()), what)
    if values.ndim != 2:
        return _named(values, x.name, wanted)
    along = x.dims[1]
    coordinates = [x.coords[along]] if along in x.coords else []
    coordinates += [c for c in x.coords.values() if c.dims == (along,)]
    if not coordinates:
        return values, None
    names = tuple(str(name) for name in coordinates[0].to_numpy().tolist())
    chosen = _chosen(names, what, wanted)
    taken = values if chosen == list(range(len(names))) else values[:, chosen]
    return taken, tuple(names[i] for i in chosen)
