"""Tables of a study's page: what statistics write, in the form that all pages show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import pandas as pd

from ..comparison.columns import Column
from ..data.words import listed
from ..report.tables import Cell, Row, Table
from .cell import FAILED, WRONG
from .measures.registry import COLUMNS
from .plan import Plan
from .pool import DIED, TIMED_OUT
from .statistics import Differences, Profile, Ranks, Summary, Written
from .statistics.written import MINUS

NUMBER = re.compile(r"-?\d+(\.\d+)?")
BETWEEN = " · "  # of two keys
LEFT = "left to run"
MEANINGS = {
    "cells": "How many cells have been run: a method on a data set.",
    "failed": "How many of them have no answer.",
    "pairs": "On how many data sets both methods have a number.",
    "lost": "On how many one of the two failed or has no number.",
    "p (Holm)": "p-value of the paired t test, adjusted for all comparisons of the table.",
    "mean rank": "Mean over data sets of the method's rank, 1 being the best.",
    "best": "Share of the data sets on which no other method is better.",
    "any": "Share of the data sets on which the method has a number at all.",
}
OF_STATUSES = {
    "done": "The method gave an answer, and says no more of how it ended.",
    FAILED: "The method, or its data set, raised an error.",
    WRONG: "What the method gave is no answer about these data.",
    TIMED_OUT: "The cell was ended after the time that it may take.",
    DIED: "The cell's process ended.",
    LEFT: "The cell has not been run.",
}
OF_STATUS = "The method gave an answer, and says this of how it ended."
OF_DIFFERENCE = "Method less baseline, by the same data sets: mean and standard error, or interval."
OF_SHARE = "Share of the data sets on which the method is within this of the best."


@dataclass(frozen=True)
class Shown:
    """A table of a page.

    Attributes:
        key: what its parts are called in the page.
        head: what it is, in few words.
        caption: what it is.
        what: what its first column is called.
        table: its numbers.
        notes: what readers have to know.
    """

    key: str
    head: str
    caption: str
    what: str
    table: Table
    notes: str = ""


def summary_shown(key: str, summary: Summary) -> Shown:
    """Means by groups."""
    named = {header: name for name, header in summary.called.items()}
    head = f"By {summary.by[0]}"
    found = _shown(key, head, summary, {header: COLUMNS[name] for header, name in named.items()})
    return replace(found, caption=f"{summary.title}, by {listed(summary.by)}")


def differences_shown(key: str, found: Differences) -> Shown:
    """Paired differences."""
    return _shown(key, "Paired differences", found, default=OF_DIFFERENCE)


def ranks_shown(key: str, ranks: Ranks) -> Shown:
    """Mean ranks."""
    return _shown(key, "Mean ranks", ranks)


def profile_shown(key: str, profile: Profile) -> Shown:
    """Shares near the best."""
    return _shown(key, "Performance profile", profile, default=OF_SHARE)


def statuses_shown(plan: Plan, frame: pd.DataFrame, left: Mapping[str, int]) -> Shown:
    """How the cells of each method ended, and how many have not been run."""
    kinds = list(dict.fromkeys(frame["status"]))
    counts = {
        kind: frame.loc[frame["status"] == kind, "method"].value_counts().to_dict()
        for kind in kinds
    }
    if any(left.values()):
        counts[LEFT] = dict(left)
    names = [method.name for method in plan.methods]
    cells = {kind: [str(counts[kind].get(name, 0)) for name in names] for kind in counts}
    columns = [
        Column(f"status-{i}", kind, meaning=OF_STATUSES.get(kind, OF_STATUS))
        for i, kind in enumerate(counts)
    ]
    caption = "Cells by how they ended"
    return Shown("statuses", caption, caption, "Method", _table(columns, names, cells))


def _shown(
    key: str,
    head: str,
    written: Written,
    known: Mapping[str, Column] = MappingProxyType({}),
    default: str = "",
) -> Shown:
    headers = list(written.cells)
    keys, rest = headers[: written.n_keys], headers[written.n_keys :]
    columns = [
        replace(known[header], header=header)
        if header in known
        else Column(f"column-{i}", header, meaning=MEANINGS.get(header, default))
        for i, header in enumerate(rest)
    ]
    names = [BETWEEN.join(row) for row in zip(*(written.cells[k] for k in keys), strict=True)]
    table = _table(columns, names, {header: written.cells[header] for header in rest})
    return Shown(key, head, written.title, BETWEEN.join(keys), table, " ".join(written.notes))


def _table(
    columns: Sequence[Column], names: Sequence[str], cells: Mapping[str, Sequence[str]]
) -> Table:
    rows = [tuple(_cell(column[i]) for column in cells.values()) for i in range(len(names))]
    return Table(tuple(columns), tuple(map(Row, names, rows)))


def _cell(text: str) -> Cell:
    """A cell that is sorted by its first number."""
    found = NUMBER.search(text)
    return Cell(MINUS.sub("−", text), found[0] if found else "")
