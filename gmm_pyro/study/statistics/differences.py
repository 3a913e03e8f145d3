"""Paired differences: two methods on the same data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ...data.checks import check_choice, check_number
from ...data.words import counted
from ..measures.registry import COLUMNS, direction_of
from .means import Mean, holm, mean_of
from .rows import Rows, grouped, table_of
from .written import (
    OfMeasure,
    headers,
    intervals,
    key_cells,
    probability,
    with_errors,
)

COMPARED = ("method", "baseline", "difference", "standard_error", "low", "high", "dof")
TESTED = ("p", "p_holm")
COUNTED = ("pairs", "lost")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Differences(OfMeasure):
    """Paired differences of a measure. `frame` has a row for each group and comparison.

    Columns: those that make groups; `method` and `baseline`; `difference`, the mean over data sets
    of the method's value less the baseline's; `standard_error`; `low` and `high` of the t interval;
    `dof` of it; `p` of the two-sided t test that there is none; `p_holm`, the same after Holm's
    adjustment for all comparisons of the table; `pairs`, how many data sets; `lost`, how many have
    no pair since one of the two failed or has no finite number.

    Attributes:
        measure: name of the measure.
        by: names of the columns that make groups.
        level: what each interval is to hold.
        n_comparisons: how many `p_holm` is about; of a method with itself is none.
    """

    by: tuple[str, ...]
    level: float
    n_comparisons: int


def differences_of(
    rows: Rows, measure: Any, baseline: Any, methods: Any, by: Any, level: Any
) -> Differences:
    """Paired differences, as `StudyResults.differences`."""
    measure = rows.check_measure(measure)
    names = rows.check_names("by", by, ["design", *rows.factors])
    level = check_number("level", level, high=1.0, positive=True)
    pairs = _comparisons(rows, baseline, methods)
    frame = _frame(rows, measure, pairs, names, level)
    n = int(frame["p_holm"].notna().sum())
    keys = [*names, "method", *(["baseline"] if baseline is None else [])]
    against = "" if baseline is None else f" from {baseline}"
    return Differences(
        frame=frame,
        title=f"Paired differences of {measure}{against} ± standard errors",
        cells=_cells(frame, measure, keys, level),
        n_keys=len(keys),
        notes=(*_notes(measure, level, n, frame), *rows.notes()),
        measure=measure,
        by=tuple(names),
        level=level,
        n_comparisons=n,
    )


def _comparisons(rows: Rows, baseline: Any, methods: Any) -> list[tuple[str, str]]:
    """(method, baseline): all against one, or all pairs."""
    known = rows.methods
    chosen = list(known) if methods is None else rows.check_names("methods", methods, known)
    if baseline is None:
        return [(later, earlier) for earlier, later in combinations(chosen, 2)]
    baseline = check_choice("baseline", baseline, known)
    return [(name, baseline) for name in chosen if methods is not None or name != baseline]


def _frame(
    rows: Rows, measure: str, pairs: Sequence[tuple[str, str]], by: Sequence[str], level: float
) -> pd.DataFrame:
    values, ran = rows.by_method(measure), rows.ran
    _, first = np.unique(rows.data, return_index=True)  # the order of `values`
    about, settings = rows.frame.iloc[first], rows.setting[first]
    found = (
        (*levels, *pair, *_compared(values.iloc[i], ran.iloc[i], settings[i], pair, level))
        for levels, i in grouped(about, by)
        for pair in pairs
    )
    frame = table_of(found, about, by, (*COMPARED, *TESTED, *COUNTED))
    others = (frame["method"] != frame["baseline"]).to_numpy(bool)
    tests = np.where(others, frame["p"].to_numpy(float), np.nan)
    return frame.assign(p_holm=holm(tests))


def _compared(
    values: pd.DataFrame,
    ran: pd.DataFrame,
    settings: Int[np.ndarray, "m"],
    pair: tuple[str, str],
    level: float,
) -> tuple[float, ...]:
    """The numbers of one comparison, before p-values are adjusted."""
    method, baseline = pair
    both: Bool[np.ndarray, "m"] = (ran[method] & ran[baseline]).to_numpy()
    gap: Float[np.ndarray, "m"] = (values[method] - values[baseline]).to_numpy()
    found = mean_of(gap, settings)
    if method == baseline and found.n:  # nothing to be unsure of, whatever the number of pairs
        found = Mean(0.0, 0.0, found.dof, found.n)
    ends = found.interval(level)
    numbers = (found.mean, found.standard_error, *ends, found.dof, found.p, np.nan)
    return *numbers, found.n, int(both.sum()) - found.n


def _cells(
    frame: pd.DataFrame, measure: str, keys: Sequence[str], level: float
) -> dict[str, list[str]]:
    form = COLUMNS[measure].form
    header = headers([measure])[0]
    return {
        **key_cells(frame, keys),
        **{name: frame[name].map(str).tolist() for name in COUNTED},
        f"{header}, difference": with_errors(frame["difference"], frame["standard_error"], form),
        f"{level * 100:g} % interval": intervals(frame, "difference", form),
        "p (Holm)": [probability(p) for p in frame["p_holm"]],
    }


def _notes(measure: str, level: float, n: int, frame: pd.DataFrame) -> Iterator[str]:
    """How to read the table."""
    better = direction_of(measure)
    yield "Method less baseline on the same data sets." + (f" {better}" if better else "")
    yield (
        f"Each interval holds at {level * 100:g} % by itself; p-values are adjusted by Holm's "
        f"method for {counted(n, 'comparison')} together."
    )
    if frame["lost"].any():
        yield "Lost are data sets on which one of the two failed or has no number."
