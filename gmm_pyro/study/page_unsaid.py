"""What a study does not say: cells that failed or are left to run, errors that are unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..data.words import counted, level_text
from ..report.advice import Advice
from .cell import Row
from .plan import Plan
from .pool import DIED, TIMED_OUT
from .record import Found
from .statistics.rows import FAILURES

MOST = 30  # kinds of failures that are listed
HOW = {  # what is done about failures of each kind
    TIMED_OUT: "Raise timeout, or take a setting of the method that is faster.",
    DIED: "It may have taken more memory than there is, or be a fault of a library.",
}
USUAL = "Run the method on one of these data sets, which the row's seed gives again."


@dataclass(frozen=True)
class Failure:
    """Cells of a method that failed in the same way.

    Attributes:
        method: its name.
        status: how they ended.
        reason: what there is to say about that.
        n: how many cells.
        first: where the first one is.
    """

    method: str
    status: str
    reason: str
    n: int
    first: str


def failures_of(frame: pd.DataFrame, factors: Sequence[str]) -> list[Failure]:
    """All kinds of failures, by method; the most frequent ones, where there are too many."""
    failed = frame[frame["status"].isin(FAILURES)]
    kinds: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], str] = {}
    for row in failed.to_dict("records"):
        kind = row["method"], row["status"], row["reason"]
        kinds[kind] += 1
        first.setdefault(kind, _place(row, factors))
    return [Failure(*kind, n, first[kind]) for kind, n in kinds.most_common(MOST)]


def _place(row: Mapping[Any, Any], factors: Sequence[str]) -> str:
    """Which cell a row is of, in words."""
    levels = [(name, level_text(row[name])) for name in factors]
    told = [f"{name} = {text}" for name, text in levels if text not in ("–", "nan")]
    return ", ".join([str(row["design"]), *told, f"replicate {row['replicate']}"])


def left_by_method(plan: Plan, rows: Mapping[str, Row]) -> dict[str, int]:
    """How many cells of each method have not been run."""
    left = Counter(cell.method for cell in plan.cells() if cell.key not in rows)
    return {method.name: left[i] for i, method in enumerate(plan.methods)}


def unsaid(results: Found, left: Mapping[str, int]) -> list[Advice]:
    """What the page does not say, and what can be done about it."""
    return [*_left(results, left), *_failed(results), *_alone(results), *_versions(results)]


def _left(results: Found, left: Mapping[str, int]) -> Iterator[Advice]:
    if results.n_left:
        none = [name for name, n in left.items() if n * len(left) == results.n_cells]
        told = f" Not begun: {', '.join(none)}." if none and results.rows else ""
        yield Advice(
            None,
            f"{results.n_left} of {counted(results.n_cells, 'cell')} have not been run.{told}",
            "Run the study again in its folder: it goes on where it ended, and nothing is lost.",
        )


def _failed(results: Found) -> Iterator[Advice]:
    for name, rows in results.frame.groupby("method", sort=False):
        statuses = rows["status"][rows["status"].isin(FAILURES)]
        if not len(statuses):
            continue
        kinds = ", ".join(f"{n} {kind}" for kind, n in statuses.value_counts().items())
        fact = f"{len(statuses)} of {counted(len(rows), 'cell')} have no answer ({kinds})"
        remedy = HOW.get(statuses.iloc[0], USUAL)
        if len(statuses) < len(rows):
            fact += ": its means are of other data sets than those of the others"
            remedy = f"Look at paired differences, ranks and profiles. {remedy}"
        yield Advice(str(name), f"{fact}.", remedy)


def _alone(results: Found) -> Iterator[Advice]:
    names = [design.name for design in results.plan.designs if design.replicates < 2]
    if names:
        yield Advice(
            None,
            f"There is one data set at each setting of {', '.join(names)}: how much numbers would "
            "differ on another one is not known there.",
            "Raise replicates; a study that has grown goes on in its folder.",
        )


def _versions(results: Found) -> Iterator[Advice]:
    if len({row.versions for row in results.rows.values()}) > 1:
        yield Advice(
            None,
            "Cells were run by several versions of the libraries, as listed at the end.",
            "Where that may matter, run the study anew in another folder.",
        )
