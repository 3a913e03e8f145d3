"""CSV and Parquet files as data sets, and data sets as such files."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from .datasets import OUTLIER, Dataset
from .observations import as_points

if TYPE_CHECKING:
    import pandas as pd

FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
LABELS = "label"  # the column that `Dataset.frame` writes


@dataclass(frozen=True, eq=False)
class FileContent:
    """A data set from a file, and what became of the file's columns.

    Attributes:
        dataset: the numeric columns, and the classes of the label column if there is one.
        label_column: the column that holds the classes, or None.
        left_out: columns that are neither.
    """

    dataset: Dataset
    label_column: str | None
    left_out: tuple[str, ...]


def is_data_file(name: str | Path) -> bool:
    """Whether a name ends as a file does that can be read here."""
    return Path(name).suffix.lower() in FORMATS


def read_dataset(path: str | Path, label_column: str | None = None) -> FileContent:
    """The data set in a CSV or Parquet file: its numeric columns that have a name.

    Args:
        path: a file with a header, a row for each point.
        label_column: column of the true classes, of any type, which is no feature; a missing value
            and -1 mean an outlier. None takes the column "label", if the file has it.

    Raises:
        ValueError: if the file is no such table, has no numeric column, or lacks the label column.
        OSError: if it cannot be read.
        ImportError: if it is a Parquet file and pyarrow is not installed.
    """
    path = Path(path)
    table = _read(path)
    names = [str(name) for name in table.columns]
    label_column = _label_column(path, names, label_column)
    labels = None if label_column is None else _classes(table.pop(label_column))
    features = table.select_dtypes("number").loc[:, lambda t: ~t.columns.str.match("Unnamed: ")]
    if features.shape[1] == 0:
        raise ValueError(f"{path} has no numeric column with a name: it has {', '.join(names)}")
    points, feature_names = as_points(features)
    dataset = Dataset(points, labels, None, path.stem, feature_names)
    left_out = tuple(str(name) for name in table.columns if name not in features.columns)
    return FileContent(dataset, label_column, left_out)


def _label_column(path: Path, names: list[str], wanted: str | None) -> str | None:
    """The column of the classes: the one that is wanted, or else "label", if there is one."""
    if wanted is None:
        return LABELS if LABELS in names else None
    if wanted in names:
        return wanted
    close = difflib.get_close_matches(wanted, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{path} has no column {wanted!r}: it has {', '.join(names)}{hint}")


def write_dataset(data: Dataset, path: str | Path) -> Path:
    """Write the points, and the labels as a last column "label", as CSV or Parquet.

    The file appears only when it is whole. Numbers are kept to the last bit.

    Raises:
        ValueError: if the name ends in neither .csv nor .parquet.
        OSError: if it cannot be written.
        ImportError: if it is to be a Parquet file and pyarrow is not installed.
    """
    path = Path(path)
    kind = _kind(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with _pyarrow_named(path):
            getattr(data.frame(), f"to_{kind}")(partial, index=False)
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _kind(path: Path) -> str:
    if not is_data_file(path):
        raise ValueError(f"the name of a data file must end in {' or '.join(FORMATS)}, got {path}")
    return FORMATS[path.suffix.lower()]


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    is_csv = _kind(path) == "csv"
    try:
        with _pyarrow_named(path):
            return pd.read_csv(path) if is_csv else pd.read_parquet(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


@contextmanager
def _pyarrow_named(path: Path) -> Iterator[None]:
    """Say how to get pyarrow where it is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{path} needs pyarrow: pip install 'gmm-pyro[parquet]'") from error


def _classes(column: pd.Series[Any]) -> Int[Tensor, "n"]:
    """Classes numbered from 0 in sorted order; -1 where there is none."""
    import pandas as pd

    codes, _ = pd.factorize(column.mask(column.isin([OUTLIER, str(OUTLIER)])), sort=True)
    return torch.as_tensor(codes.copy(), dtype=torch.int64)
