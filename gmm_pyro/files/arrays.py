"""Files of arrays as tables: NumPy's npy and npz, and NetCDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.features import default_names
from ..disk.untrusted import read_npy, read_npz
from .netcdf import read_netcdf
from .table import DataTable


def read_npy_table(path: Path, member: str | None) -> DataTable:
    """The array in an npy file as a table; a structured one has columns."""
    del member
    array = read_npy(path)
    if array.dtype.names:  # a structured array is a table
        return DataTable(pd.DataFrame(array), str(path), path.stem)
    return _beside(path, array, {})


def read_npz_table(path: Path, member: str | None) -> DataTable:
    """The arrays in an npz file as a table."""
    arrays = read_npz(path)
    name = chosen({name: array.ndim for name, array in arrays.items()}, member)
    if name is not None:
        return _beside(path, arrays[name], {k: v for k, v in arrays.items() if k != name})
    columns = {name: array for name, array in arrays.items() if array.ndim == 1}
    _check_lengths({name: len(array) for name, array in columns.items()}, arrays)
    return DataTable(pd.DataFrame(columns), str(path), path.stem)


def read_netcdf_table(path: Path, member: str | None) -> DataTable:
    """The variables in a NetCDF file as a table."""
    data = read_netcdf(path)
    variables = {str(name): variable for name, variable in data.data_vars.items()}
    name = chosen({name: variable.ndim for name, variable in variables.items()}, member)
    if name is not None:
        return _labelled(path, data, name)
    columns = {name: variable for name, variable in variables.items() if variable.ndim == 1}
    lengths = {f"{name} along {v.dims[0]!s}": len(v) for name, v in columns.items()}
    _check_lengths(lengths, variables)
    frame = data[list(columns)].to_dataframe()[list(columns)]
    return DataTable(frame.reset_index(drop=True), str(path), path.stem)


def chosen(dimensions: Mapping[str, int], member: str | None) -> str | None:
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
