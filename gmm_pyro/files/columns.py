"""Which columns of a table are features, which one holds the classes, and which the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.features import lacks, numbers_in
from ..data.observations import as_points
from ..datasets import OUTLIER, Dataset
from ..disk.untrusted import content_named
from .formats import DataTable, read_table

LABELS = "label"  # the column that `Dataset.frame` writes
NAMELESS = re.compile(r"Unnamed: \d+$|__index_level_\d+__$")  # what pandas calls columns without
COUNTED = 10  # rows, from which a column that counts them is remarked upon


@dataclass(frozen=True, eq=False)
class FileContent:
    """A data set from a file, and what became of the file's columns.

    Attributes:
        dataset: the features, and the classes and weights of their columns if there are some.
        label_column: the column that holds the classes, or None.
        left_out: why each other column is no feature, by its name.
        notes: what was assumed to read the file, in words.
    """

    dataset: Dataset
    label_column: str | None
    left_out: Mapping[str, str]
    notes: tuple[str, ...] = ()


def read_dataset(
    source: str | Path | DataTable,
    label_column: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    weights_column: str | None = None,
) -> FileContent:
    """The data set in a file: its numeric columns that have a name.

    Args:
        source: a file as `read_table` takes it, or the table itself.
        label_column: column of the true classes, of any type, which is no feature; a missing value
            and -1 mean an outlier. None takes the column "label", if the file has it.
        columns: the features, in this order; None takes all columns that are numeric, have a name
            and are not named for something else.
        weights_column: column of sample weights, which is no feature.

    Raises:
        ValueError: if the file holds no table, lacks a column, or has no numeric one.
        OSError: if it cannot be read.
        ImportError: if it is a Parquet file and pyarrow is not installed.
    """
    table = source if isinstance(source, DataTable) else read_table(source)
    _check_columns(table, [*(columns or ()), *filter(None, (label_column, weights_column))])
    if label_column is None and LABELS in table.frame and LABELS not in (columns or ()):
        label_column = LABELS
    left_out, notes = {}, list(table.notes)
    if not columns:
        left_out = _left_out(table, {label_column, weights_column})
        columns = _features(table, {label_column, weights_column, *left_out})
        notes += _counting(table.frame, columns)
    with content_named(table.source, ValueError):
        points = as_points(table.frame[[*columns]], missing="integrate")
        labels = None if label_column is None else _classes(table.frame[label_column])
        weights = None if weights_column is None else _weights(table.frame[weights_column])
        dataset = Dataset(points.x, labels, None, table.name, points.feature_names, weights)
    return FileContent(dataset, label_column, left_out, tuple(notes))


def features_named(table: DataTable, names: Sequence[str]) -> pd.DataFrame:
    """The columns of a table that have these names, in this order.

    Where the names or those of the table are only numbers of columns (x0, x1, …), the table's
    features are taken in their own order.

    Raises:
        ValueError: if columns are missing, or there are more or fewer features.
    """
    missing = [name for name in names if name not in table.frame]
    if not missing:
        return table.frame[list(names)]
    if table.named and not numbers_in(names):
        raise ValueError(lacks(table.source, missing, map(str, table.frame)))
    features = _features(table, {LABELS, *_left_out(table, {LABELS})})
    if len(features) != len(names):
        raise ValueError(
            f"{table.source} must have {len(names)} features, as the fit has; it has "
            f"{len(features)}: {', '.join(features)}"
        )
    return table.frame[features]


def _check_columns(table: DataTable, wanted: Sequence[str]) -> None:
    """Refuse columns that do not exist, or are named for two purposes."""
    missing = [name for name in wanted if name not in table.frame]
    if missing:
        raise ValueError(lacks(table.source, missing, map(str, table.frame)))
    for name in wanted:
        if list(wanted).count(name) > 1:
            raise ValueError(f"column {name!r} is named more than once")


def _left_out(table: DataTable, set_aside: set[str | None]) -> dict[str, str]:
    """Why columns that are not set aside are no features, by name."""
    reasons = {
        str(name): "beside the array" if name in table.aside else _no_feature(name, column)
        for name, column in table.frame.items()
        if name not in set_aside
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _features(table: DataTable, others: set[str | None]) -> list[str]:
    """The columns that are not among the others.

    Raises:
        ValueError: if there are none.
    """
    every = list(map(str, table.frame))
    found = [name for name in every if name not in others]
    if not found:
        listed = ", ".join(every)
        raise ValueError(f"{table.source} has no numeric column with a name: it has {listed}")
    return found


def _no_feature(name: Any, column: pd.Series[Any]) -> str:
    """Why a column is no feature, or nothing if it is one."""
    if NAMELESS.match(str(name)):
        return "no name"
    types = pd.api.types
    if types.is_bool_dtype(column):
        return "true or false"
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        return "times"
    numeric = types.is_numeric_dtype(column) and not types.is_complex_dtype(column)
    return "" if numeric else "not numeric"


def _counting(frame: pd.DataFrame, chosen: Sequence[str]) -> list[str]:
    """Remarks on features that only count the rows, as an index does."""
    if len(frame) < COUNTED:
        return []
    rows = np.arange(len(frame))
    return [
        f"column {name!r} only counts the rows, and is a feature; --columns can leave it out"
        for name in chosen
        if frame[name].dtype.kind in "iu"
        and np.array_equal(frame[name].to_numpy(), frame[name].iloc[0] + rows)
    ]


def _weights(column: pd.Series[Any]) -> Float[Tensor, "n"]:
    return as_points(column, what=f"column {str(column.name)!r}").x[:, 0]


def _classes(column: pd.Series[Any]) -> Int[Tensor, "n"]:
    """Classes numbered from 0 in sorted order; -1 where there is none."""
    codes, _ = pd.factorize(column.mask(column.isin([OUTLIER, str(OUTLIER)])), sort=True)
    return torch.as_tensor(codes.copy(), dtype=torch.int64)
