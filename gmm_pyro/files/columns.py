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

from ..data.features import lacks, listed, numbers_in
from ..data.observations import as_points
from ..datasets import OUTLIER, Dataset
from ..disk.untrusted import content_named
from .doubts import Doubt, refusal
from .formats import read_table
from .notation import EMPTY
from .reading import Reading
from .table import DataTable
from .words import in_numbers

LABELS = "label"  # the column that `Dataset.frame` writes
NAMELESS = re.compile(r"Unnamed: \d+$|__index_level_\d+__$")  # what pandas calls columns without
IDENTITY = re.compile(r"(?i:(?:.*[ ._-])?id|row ?(?:number|names?)|uuid|guid)$|.*[a-z]I[Dd]$")
DATE = re.compile(
    r"(\d{4}([-/])\d\d?\2\d\d?|\d\d?([./-])\d\d?\3\d{2,4}|\d\d?[ -]?[A-Za-z]{3,9}[ -]?\d{2,4})"
    r"([ T]\d\d?:\d\d.*)?$"
)
COUNTED = 10  # rows, from which different whole numbers are taken for names of rows


@dataclass(frozen=True, eq=False)
class FileContent:
    """A data set from a file, and what became of the file's columns.

    Attributes:
        dataset: the features, and the classes and weights of their columns if there are some.
        label_column: the column that holds the classes, or None.
        left_out: why each other column is no feature, by its name.
        notes: what was assumed to read the file, and what is odd in it, in words.
        kept: columns that are to stand beside predictions, or None.
    """

    dataset: Dataset
    label_column: str | None
    left_out: Mapping[str, str]
    notes: tuple[str, ...] = ()
    kept: pd.DataFrame | None = None


def read_dataset(
    source: str | Path | DataTable,
    label_column: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    weights_column: str | None = None,
    keep: Sequence[str] = (),
    reading: Reading | None = None,
) -> FileContent:
    """The data set in a file: its numeric columns that have a name and do not only identify rows.

    Args:
        source: a file as `read_table` takes it, or the table itself.
        label_column: column of the true classes, of any type, which is no feature; a missing value
            and -1 mean an outlier. None takes the column "label", if the file has it.
        columns: the features, in this order; None takes all columns that are numeric, have a name,
            are no names of rows, and are not named for something else. Names of rows are whole
            numbers that all differ, and columns that are called id.
        exclude: columns that are no features.
        weights_column: column of sample weights, which is no feature.
        keep: columns to stand beside predictions, as they are.
        reading: what the file does not say itself; that of a table, if it is one.

    Raises:
        ValueError: if the file holds no table, lacks a column, has no numeric one, or has words
            among the numbers of one.
        OSError: if it cannot be read.
        ImportError: if the library that reads it is not installed.
    """
    table = source if isinstance(source, DataTable) else read_table(source, reading)
    named = [*(columns or ()), *filter(None, (label_column, weights_column)), *exclude]
    check_columns(table, named)
    label_column = label_column or _class_column(table, named)
    kept = columns_kept(table, keep) if keep else None
    table, doubts = in_numbers(table)
    left_out, chosen = {}, list(columns or ())
    if not chosen:
        set_aside = {label_column, weights_column, *exclude}
        _refuse_doubts(table, [d for d in doubts if d.column not in set_aside])
        left_out = dict.fromkeys(exclude, "excluded") | _left_out(table, set_aside)
        chosen = _features(table, set_aside, left_out)
    _refuse_doubts(table, [d for d in doubts if d.column in (*chosen, weights_column)])
    dataset = _dataset(table, chosen, label_column, weights_column)
    others = [name for name, reason in left_out.items() if reason in NO_DIFFERENCE]
    notes = (*table.notes, *_repeated(table.frame.drop(columns=others)))
    return FileContent(dataset, label_column, left_out, notes, kept)


def _dataset(
    table: DataTable, features: list[str], label_column: str | None, weights_column: str | None
) -> Dataset:
    """The data set of some columns of a table."""
    with content_named(table.source, ValueError):
        points = as_points(table.frame[features], feature_names=features, missing="integrate")
        labels = None if label_column is None else _classes(table.frame[label_column])
        weights = None if weights_column is None else _weights(table.frame[weights_column])
        return Dataset(points.x, labels, None, table.name, points.feature_names, weights)


def _class_column(table: DataTable, named: Sequence[str]) -> str | None:
    """The column that is called as classes are, unless it is named for something else."""
    return LABELS if LABELS in table.frame and LABELS not in named else None


def features_named(
    table: DataTable, names: Sequence[str], exclude: Sequence[str] = ()
) -> pd.DataFrame:
    """The columns of a table that have these names, in this order.

    Where the names or those of the table are only numbers of columns (x0, x1, …), the table's
    features are taken in their own order, without those that are excluded.

    Raises:
        ValueError: if columns are missing, there are more or fewer features, or there are words
            among the numbers of one.
    """
    missing = [name for name in names if name not in table.frame]
    table, doubts = in_numbers(table)
    features = list(names)
    if missing:
        if table.named and not numbers_in(names):
            raise ValueError(lacks(table.source, missing, map(str, table.frame)))
        check_columns(table, exclude)
        others: set[str | None] = {LABELS, *exclude}
        features = _features(table, others, _left_out(table, others))
    if len(features) != len(names):
        raise ValueError(
            f"{table.source} must have {len(names)} features, as the fit has; it has "
            f"{len(features)}: {', '.join(features)}"
        )
    _refuse_doubts(table, [doubt for doubt in doubts if doubt.column in features])
    return table.frame[features]


def features_by_type(
    types: pd.Series[Any], set_aside: Sequence[str | None]
) -> tuple[list[str], dict[str, str]]:
    """Which columns of these types are features, and why others are not, of values elsewhere.

    Args:
        types: of the columns, by name.
        set_aside: columns that are neither.
    """
    reasons = {
        str(name): _no_feature(name, pd.Series([0]).astype(kind))
        for name, kind in types.items()
        if name not in set_aside
    }
    left_out = {name: reason for name, reason in reasons.items() if reason}
    return [name for name in reasons if name not in left_out], left_out


def columns_kept(table: DataTable, names: Sequence[str]) -> pd.DataFrame:
    """Columns of a table as they are, to stand beside what is predicted.

    Raises:
        ValueError: if there is no such column.
    """
    check_columns(table, names)
    return table.frame[list(names)]


def _refuse_doubts(table: DataTable, doubts: Sequence[Doubt]) -> None:
    """Refuse columns that may have been meant to be numeric."""
    if doubts:
        raise ValueError(refusal(table.source, doubts, table.notation))


def check_columns(table: DataTable, wanted: Sequence[str]) -> None:
    """Refuse columns that do not exist, or are named for two purposes."""
    missing = [name for name in wanted if name not in table.frame]
    if missing:
        raise ValueError(lacks(table.source, missing, map(str, table.frame)))
    for name in wanted:
        if list(wanted).count(name) > 1:
            raise ValueError(f"column {name!r} is named more than once")


IDENTIFIES = "only identifies rows"
NO_DIFFERENCE = (IDENTIFIES, "no name")  # of columns that repeated rows may differ in


def _left_out(table: DataTable, set_aside: set[str | None]) -> dict[str, str]:
    """Why columns that are not set aside are no features, by name.

    Whole numbers that all differ are names of rows, unless there is nothing else.
    """
    reasons = {
        str(name): "beside the array" if name in table.aside else _no_feature(name, column)
        for name, column in table.frame.items()
        if name not in set_aside
    }
    found = {name: reason for name, reason in reasons.items() if reason}
    differing = {
        name: IDENTIFIES
        for name, reason in reasons.items()
        if not reason and _all_differ(table.frame[name], counting=not table.named)
    }
    every = found | differing
    return every if every.keys() != reasons.keys() else found


def _features(table: DataTable, others: set[str | None], left_out: Mapping[str, str]) -> list[str]:
    """The columns that are not among the others, and not left out.

    Raises:
        ValueError: if there are none.
    """
    every = list(map(str, table.frame))
    found = [name for name in every if name not in left_out and name not in others]
    if not found:
        told = [f"{name} ({left_out[name]})" if name in left_out else name for name in every]
        raise ValueError(f"{table.source} has no numeric column to fit: it has {listed(told)}")
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
    if not types.is_numeric_dtype(column) or types.is_complex_dtype(column):
        return "dates" if _are_dates(column) else "not numeric"
    if column.isna().all():
        return "no values"
    return IDENTIFIES if IDENTITY.match(str(name)) else ""


def _are_dates(column: pd.Series[Any]) -> bool:
    """Whether words are dates, as far as there are any."""
    words = column.dropna().astype(str).str.strip()
    words = words[~words.isin(EMPTY)]
    return len(words) > 0 and bool(words.str.match(DATE).all())


def _all_differ(column: pd.Series[Any], *, counting: bool) -> bool:
    """Whether a column has a whole number for each row; or counts them, where only that counts."""
    if len(column) < COUNTED or not pd.api.types.is_integer_dtype(column) or column.isna().any():
        return False
    if counting:
        rows = np.arange(len(column))
        return bool(np.array_equal(column.to_numpy(), column.iloc[0] + rows))
    return bool(column.is_unique)


def _repeated(frame: pd.DataFrame) -> list[str]:
    """A remark on rows that are there more than once."""
    if not frame.shape[1]:
        return []
    is_object = pd.api.types.is_object_dtype  # whose values need not be hashable
    objects = [name for name, column in frame.items() if is_object(column)]
    again = frame.astype(dict.fromkeys(objects, str)).duplicated().to_numpy()
    first, count = int(again.argmax()), int(again.sum())
    if count < 2:
        return [f"row {first} repeats an earlier one"] if count else []
    return [f"{count} of {len(frame)} rows repeat earlier ones, the first is row {first}"]


def _weights(column: pd.Series[Any]) -> Float[Tensor, "n"]:
    return as_points(column, what=f"column {str(column.name)!r}").x[:, 0]


def _classes(column: pd.Series[Any]) -> Int[Tensor, "n"]:
    """Classes numbered from 0 in sorted order; -1 where there is none."""
    codes, _ = pd.factorize(column.mask(column.isin([OUTLIER, str(OUTLIER)])), sort=True)
    return torch.as_tensor(codes.copy(), dtype=torch.int64)
