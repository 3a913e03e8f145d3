"""Means or medians of measures, with what was drawn and what failed beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ...data.checks import check_choice
from ..measures.registry import COLUMNS
from .means import Mean, mean_of, median_of
from .rows import Rows, grouped, table_of
from .written import Written, headers, key_cells, with_errors

OF = {"mean": mean_of, "median": median_of}
COUNTS = ("cells", "failed")
REST = ("standard_error", "dof", *COUNTS, "missing", "replicates", "replicates_to_halve")
FOUR = 4  # times as many replicates halve a standard error


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Summary(Written):
    """Means or medians over replicates. `frame` has a row for each group and measure.

    Columns: those that make groups; `measure`; `mean` or `median`; `standard_error`, by how much
    that would differ if all replicates were drawn anew at the same settings; `dof`, its degrees of
    freedom, NaN for medians; `cells`, how many there are; `failed`, how many have no answer;
    `missing`, how many have an answer and no finite number; `replicates` at each setting, the most
    that there are; `replicates_to_halve`, with how many the standard error would be half of what it
    is.

    Attributes:
        by: names of the columns that make groups.
        measures: names of the measures.
        of: "mean" or "median".
    """

    by: tuple[str, ...]
    measures: tuple[str, ...]
    of: str

    @property
    def called(self) -> dict[str, str]:
        """What readers call each measure, by its name."""
        return dict(zip(self.measures, headers(self.measures), strict=True))


def summary_of(rows: Rows, by: Any, measures: Any, of: Any) -> Summary:
    """A table of groups, as `StudyResults.table`."""
    names = rows.check_names("by", by, ["design", *rows.factors, "method"])
    of = check_choice("of", of, OF)
    rows.refuse_none("a table of measures")
    if measures is None:
        known = [name for name in rows.measures if np.isfinite(rows.values(name)).any()]
    else:
        known = rows.check_names("measures", measures, rows.measures)
    values = {name: rows.values(name) for name in known}
    found = (
        (*levels, *entry)
        for levels, places in grouped(rows.frame, names)
        for entry in _entries(rows, places, values, OF[of])
    )
    frame = table_of(found, rows.frame, names, ("measure", of, *REST))
    return Summary(
        frame=frame,
        title=f"{of.capitalize()}s ± standard errors over replicates",
        cells=_cells(frame, names, known, of),
        n_keys=len(names),
        notes=(*_notes(frame), *rows.notes()),
        by=tuple(names),
        measures=tuple(known),
        of=of,
    )


def _entries(
    rows: Rows,
    places: Int[np.ndarray, "m"],
    values: Mapping[str, Float[np.ndarray, "n"]],
    over: Callable[..., Mean],
) -> Iterator[tuple[Any, ...]]:
    """What there is to say of each measure of a group."""
    failed, settings = rows.failed[places], rows.setting[places]
    first = np.unique(rows.data[places], return_index=True)[1]  # a row of each data set
    replicates = int(np.bincount(settings[first]).max())
    for measure, numbers in values.items():
        found = over(numbers[places], settings)
        missing = len(places) - int(failed.sum()) - found.n
        counts = (len(places), int(failed.sum()), missing, replicates, FOUR * replicates)
        yield measure, found.mean, found.standard_error, found.dof, *counts


def _cells(
    frame: pd.DataFrame, by: Sequence[str], measures: Sequence[str], of: str
) -> dict[str, list[str]]:
    """A row for each group, a column for each measure."""
    first = frame.iloc[:: max(len(measures), 1)]
    cells = key_cells(first, by) | {name: first[name].map(str).tolist() for name in COUNTS}
    for measure, header in zip(measures, headers(measures), strict=True):
        part = frame[frame["measure"] == measure]
        text = with_errors(part[of], part["standard_error"], COLUMNS[measure].form)
        n = part["cells"] - part["failed"] - part["missing"]
        fewer = (part["missing"] > 0) & (n > 0)
        cells[header] = [
            f"{cell} ({count})" if few else cell
            for cell, count, few in zip(text, n, fewer, strict=True)
        ]
    return cells


def _notes(frame: pd.DataFrame) -> Iterator[str]:
    """What is not in a row, and what would halve the errors."""
    if frame["failed"].any():
        yield "Cells that failed are counted and have no part in the numbers."
    n = frame["cells"] - frame["failed"] - frame["missing"]
    if ((frame["missing"] > 0) & (n > 0)).any():
        yield "In brackets: how many cells have a number, where others that did not fail have none."
    if frame["standard_error"].notna().any():
        low, high = frame["replicates"].min(), frame["replicates"].max()
        now = f"{low}" if low == high else f"{low} to {high}"
        then = f"{FOUR * low}" if low == high else f"{FOUR * low} to {FOUR * high}"
        yield f"{then} replicates a setting, for {now} now, would halve the standard errors."
