"""Tables and data sets as files that appear only when they are whole."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..datasets import Dataset
from ..disk.placing import whole_file, write_bytes
from .arrow import write_arrow_table, write_parquet_table
from .columns import LABELS
from .formats import format_of, library_named, text_name
from .netcdf import write_netcdf
from .sheets import write_workbook


def write_table(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a frame in the format that the name of the file ends in.

    The file appears only when it is whole. Numbers are kept to the last bit, in a workbook to
    16 digits. An npy file has the columns side by side; npz and NetCDF files have an array of one
    dimension for each.

    Raises:
        ValueError: if the name does not end as `FORMATS` has it.
        OSError: if it cannot be written.
        ImportError: if the library that writes it is not installed.
    """
    path = Path(path)
    write = WRITERS[format_of(path)]
    with whole_file(path) as partial, library_named(path):
        write(frame, partial)
    return path


def write_dataset(data: Dataset, path: str | Path) -> Path:
    """Write the points of a data set, then columns "sample_weight" and "label", where known.

    An npy file has the points alone, and an npz file the arrays "x", "sample_weight" and "label".

    Raises:
        ValueError: if the name does not end as `FORMATS` has it.
        OSError: if it cannot be written.
        ImportError: if the library that writes it is not installed.
    """
    path = Path(path)
    if format_of(path) not in ("npy", "npz"):
        return write_table(data.frame(), path)
    known = {"x": data.x, "sample_weight": data.sample_weight, LABELS: data.labels}
    arrays = {name: values.numpy() for name, values in known.items() if values is not None}
    with whole_file(path) as partial:
        _write_arrays(partial, arrays)
    return path


def _write_text(frame: pd.DataFrame, path: Path) -> None:
    separator = "\t" if text_name(path).suffix.lower() == ".tsv" else ","
    frame.to_csv(path, index=False, sep=separator, compression=_compression(path))


def _compression(path: Path) -> Any:
    """What pandas is told of it: in a zip archive, the text has its own name."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return {"method": "zip", "archive_name": text_name(path).name}
    return {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}.get(suffix)


def _write_numpy(frame: pd.DataFrame, path: Path) -> None:
    columns = {str(name): frame[name].to_numpy() for name in frame}
    _write_arrays(path, {"x": frame.to_numpy()} if format_of(path) == "npy" else columns)


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """The array "x" as npy, or all as npz."""
    file = io.BytesIO()
    if format_of(path) == "npy":
        np.save(file, arrays["x"], allow_pickle=False)
    else:
        np.savez(file, allow_pickle=False, **arrays)
    write_bytes(path, file.getvalue())


def _write_netcdf(frame: pd.DataFrame, path: Path) -> None:
    import xarray

    dimension = next(name for name in ("row", "point", "n") if name not in frame)
    columns = {str(name): (dimension, frame[name].to_numpy()) for name in frame}
    write_netcdf(xarray.Dataset(columns), path)


WRITERS: Mapping[str, Callable[[pd.DataFrame, Path], None]] = {
    "text": _write_text,
    "parquet": write_parquet_table,
    "arrow": write_arrow_table,
    "excel": write_workbook,
    "npy": _write_numpy,
    "npz": _write_numpy,
    "netcdf": _write_netcdf,
}
