"""Anything that holds numbers, as a real array with the names of its columns.

What an object is, its class says, not its attributes: coordinates of an xarray object and columns
of a frame are attributes too, and may be called anything. The libraries are not imported: an object
of theirs cannot be there unless they are loaded.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from datetime import date, time, timedelta
from typing import Any

import numpy as np
from torch import Tensor

from .arrays import KINDS, array_of, dense_tensor, real
from .features import OURS, lacks, listed, places, refuse_repeated

Names = tuple[str, ...]
DATA = "x"  # what messages call the data themselves
PACKAGE = __name__.partition(".")[0]


class ColumnWarning(UserWarning):
    """Columns of a frame that hold no numbers, and so are left out of the data."""


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
    """The columns of a frame side by side, in the order that is wanted, and their names.

    Where the columns of data are not named, those of words and of dates are no features.
    """
    keys, names = list(x.columns), tuple(str(name) for name in x.columns)
    chosen = _chosen(names, what, wanted)
    if wanted is None and what == DATA:
        chosen = _features(x, [(i, keys[i], names[i]) for i in chosen])
    columns = [_column(x[keys[i]], names[i]) for i in chosen]
    values = np.column_stack(columns) if columns else np.empty((len(x), 0))
    return values, tuple(names[i] for i in chosen)


def _features(x: Any, columns: Sequence[tuple[int, Any, str]]) -> list[int]:
    """The places of columns that hold neither words nor dates; a warning says which others do.

    Where there is nothing else, all of them are left to whoever refuses them.

    Raises:
        ValueError: if a column holds some words among numbers.
    """
    kinds = {place: _kind(x[key], name) for place, key, name in columns}
    left_out = [f"{name} ({kinds[place]})" for place, _, name in columns if kinds[place]]
    if not left_out or len(left_out) == len(columns):
        return list(kinds)
    warnings.warn(
        f"columns that hold no numbers are left out: {', '.join(left_out)}; nothing is said of "
        "data without them",
        ColumnWarning,
        stacklevel=outside(),
    )
    return [place for place, kind in kinds.items() if not kind]


def _kind(column: Any, name: str) -> str:
    """What a column holds in the place of numbers, or nothing."""
    values = np.asarray(column.to_numpy())
    if values.dtype.kind in "Mm":
        return KINDS[values.dtype.kind]
    if values.dtype.kind not in "OUT":  # objects, and NumPy's two kinds of strings
        return ""
    there = [value for value in values.tolist() if not _is_missing(value)]
    strings = [value for value in there if isinstance(value, str)]
    if strings:
        _refuse_some(name, strings, there, len(values))
        return "strings"
    is_date = [isinstance(value, date | time | timedelta) for value in there]
    return "dates" if there and all(is_date) else ""


def _refuse_some(name: str, strings: Sequence[str], there: Sequence[Any], n: int) -> None:
    """Refuse a column in which half of the values or more are numbers, and others strings."""
    words = [word for word in strings if not _is_number(word)]
    if 2 * len(words) > len(there):
        return
    hint = f"pandas.to_numeric(x[{name!r}]"
    if not words:
        raise ValueError(
            f"column {name!r} must hold real numbers, got numbers as strings: {hint}) reads them"
        )
    listed = ", ".join(repr(word) for word in list(dict.fromkeys(words))[:3])
    raise ValueError(
        f"{len(words)} of {n} values of column {name!r} are no numbers: {listed}; {hint}, "
        "errors='coerce') takes them for missing"
    )


def _is_missing(value: Any) -> bool:
    return value is None or value != value or type(value).__name__ == "NAType"  # noqa: PLR0124


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def outside() -> int:
    """How far above the caller of this function the first one is that is not of this package."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] == PACKAGE:
        frame, depth = frame.f_back, depth + 1
    return depth


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
    names = axis_names(x)
    if names is None:
        return values, None
    chosen = _chosen(names, what, wanted)
    taken = values if chosen == list(range(len(names))) else values[:, chosen]
    return taken, tuple(names[i] for i in chosen)


def axis_names(x: Any) -> Names | None:
    """What the columns of an array of xarray are called, by a coordinate of its second axis."""
    if x.ndim != 2:
        return None
    along = x.dims[1]
    coordinates = [x.coords[along]] if along in x.coords else []
    coordinates += [c for c in x.coords.values() if c.dims == (along,)]
    if not coordinates:
        return None
    return tuple(str(name) for name in coordinates[0].to_numpy().tolist())


def feature_columns(types: Any, names: Sequence[str] | None, apart: Names) -> tuple[Names, Names]:
    """Names of the features, and of their columns in a frame of these types.

    Where features have no names yet, they are the columns of numbers that are not left out.
    """
    from pandas.api.types import is_numeric_dtype

    there = tuple(map(str, types.index))
    if missing := [name for name in apart if name not in there]:
        raise ValueError(lacks("x", missing, there))
    types = types[[name not in apart for name in there]]
    there = tuple(name for name in there if name not in apart)
    if names is not None:
        chosen = places(names, there)
        return tuple(names), there if chosen is None else tuple(there[i] for i in chosen)
    refuse_repeated(there)
    numbers = tuple(n for n, kind in zip(there, types, strict=True) if is_numeric_dtype(kind))
    others = [name for name in there if name not in numbers]
    if not numbers:
        raise ValueError(f"x must have columns of numbers, got {listed(others)}")
    if others:
        warnings.warn(
            f"columns whose type is not one of numbers are left out: {listed(others)}; nothing is "
            "said of data without them, and a cast makes features of numbers in other types",
            ColumnWarning,
            stacklevel=outside(),
        )
    return numbers, numbers
