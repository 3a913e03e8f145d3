"""Mean ranks of methods over data sets, and which differ: Friedman's and Nemenyi's tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...data.checks import check_choice, check_number
from ...data.words import counted
from ..measures.registry import direction_of
from .contest import Contest, contest_of
from .rows import Rows
from .written import OfMeasure, with_sign

FAILURES = ("last", "drop")


@dataclass(frozen=True)
class Friedman:
    """Whether methods differ at all.

    Attributes:
        statistic: Friedman's χ², with ties accounted for.
        p: its p-value, of χ² with k - 1 degrees of freedom for k methods.
        f: Iman & Davenport's (1980) F, which is less conservative; infinite where all data sets
            rank the methods alike.
        f_p: its p-value, of F with k - 1 and (k - 1)(n - 1) degrees of freedom for n data sets.
    """

    statistic: float
    p: float
    f: float
    f_p: float


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Ranks(OfMeasure):
    """Mean ranks over data sets, 1 being the best. `frame` has a row for each method, best first.

    Columns: `method`; `mean_rank`; `best`, the share of data sets on which no other is better;
    `failed`, the number of data sets on which it has no finite number.

    Attributes:
        measure: name of the measure.
        n: number of data sets.
        friedman: whether the methods differ at all.
        alpha: the error that Nemenyi's test may make, over all pairs.
        critical_difference: of mean ranks, that it takes two methods to differ.
        groups: methods that cannot be told apart, the largest groups of neighbours, best first: the
            bars of a critical-difference diagram.
    """

    n: int
    friedman: Friedman
    alpha: float
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]


def ranks_of(rows: Rows, measure: Any, failures: Any, alpha: Any) -> Ranks:
    """Mean ranks, as `StudyResults.ranks`."""
    measure = rows.check_measure(measure)
    failures = check_choice("failures", failures, FAILURES)
    alpha = check_number("alpha", alpha, high=1.0, positive=True)
    contest = contest_of(rows, measure)
    table = contest.table
    kept = table[np.isfinite(table).all(1)] if failures == "drop" else table
    if kept.shape[0] < 1 or kept.shape[1] < 2:
        raise ValueError(
            f"ranks by measure {measure} need two methods and a data set that all of them were "
            f"run on, got {counted(kept.shape[1], 'method')} and "
            f"{counted(kept.shape[0], 'data set')}"
        )
    ranks = ranks_in(kept)
    frame = _frame(contest, kept, ranks)
    gap = critical_difference(kept.shape[1], len(kept), alpha)
    friedman = friedman_of(ranks)
    return Ranks(
        frame=frame,
        title=f"Mean ranks by {measure} over {counted(len(kept), 'data set')}",
        cells=_cells(frame),
        notes=(*_notes(contest, failures, friedman, gap, alpha, len(kept)), *rows.notes()),
        measure=measure,
        n=len(kept),
        friedman=friedman,
        alpha=alpha,
        critical_difference=gap,
        groups=groups_of(frame["method"].tolist(), frame["mean_rank"].tolist(), gap),
    )


def ranks_in(table: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Ranks of the columns in each row, 1 for the smallest number, ties averaged."""
    from scipy.stats import rankdata

    ranks: Float[np.ndarray, "n k"] = rankdata(table, axis=1)
    return ranks


def friedman_of(ranks: Float[np.ndarray, "n k"]) -> Friedman:
    """Friedman's (1937) test of ranks, as Conover (1999, §5.8) has it with ties.

    SciPy's takes three columns or more, and has no number where all are tied.
    """
    from scipy.stats import chi2
    from scipy.stats import f as f_distribution

    n, k = ranks.shape
    centre = (k + 1) / 2
    spread = ((ranks - centre) ** 2).sum()
    if spread == 0:
        return Friedman(0.0, 1.0, 0.0, 1.0)
    between = n * ((ranks.mean(0) - centre) ** 2).sum()
    statistic = (k - 1) * n * between / spread
    left = n * (k - 1) - statistic
    f = (n - 1) * statistic / left if left > 1e-9 * n * (k - 1) else math.inf
    dof = (k - 1, (k - 1) * (n - 1))
    f_p = float(f_distribution.sf(f, *dof)) if n > 1 else math.nan
    return Friedman(float(statistic), float(chi2.sf(statistic, k - 1)), float(f), f_p)


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """How far mean ranks of two of k methods over n data sets are apart, if they differ.

    Source: Nemenyi (1963); Demšar (2006).

    Example:
        >>> round(critical_difference(4, 14), 2)
        1.25
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.isf(alpha, k, np.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))


def groups_of(
    names: Sequence[str], mean_ranks: Sequence[float], gap: float
) -> tuple[tuple[str, ...], ...]:
    """Neighbours, in the order of their ranks, of which the first and last do not differ."""
    found: list[tuple[int, int]] = []
    for start, rank in enumerate(mean_ranks):
        end = max(i for i, other in enumerate(mean_ranks) if other - rank < gap) + 1
        if end - start > 1 and (not found or end > found[-1][1]):
            found.append((start, end))
    return tuple(tuple(names[start:end]) for start, end in found)


def _frame(
    contest: Contest, kept: Float[np.ndarray, "n k"], ranks: Float[np.ndarray, "n k"]
) -> pd.DataFrame:
    best = (kept == kept.min(1, keepdims=True)) & np.isfinite(kept)
    columns = {
        "method": list(contest.methods),
        "mean_rank": ranks.mean(0),
        "best": best.mean(0),
        "failed": (~np.isfinite(contest.table)).sum(0),
    }
    frame = pd.DataFrame(columns)
    return frame.sort_values("mean_rank", kind="stable", ignore_index=True)


def _cells(frame: pd.DataFrame) -> dict[str, list[str]]:
    return {
        "method": frame["method"].tolist(),
        "mean rank": [f"{rank:.2f}" for rank in frame["mean_rank"]],
        "best": [f"{share:.2f}" for share in frame["best"]],
        "failed": [str(n) for n in frame["failed"]],
    }


def _notes(
    contest: Contest, failures: str, friedman: Friedman, gap: float, alpha: float, n: int
) -> Iterator[str]:
    """What the tests say, and what became of failures."""
    yield direction_of(contest.measure)
    yield (
        f"Friedman's test: χ² = {friedman.statistic:.2f}, p {with_sign(friedman.p)}; "
        f"Iman and Davenport's: p {with_sign(friedman.f_p)}."
    )
    yield (
        f"Mean ranks that differ by {gap:.2f} or more differ by Nemenyi's test at {alpha:g}, "
        "all pairs together."
    )
    dropped = len(contest.table) - n
    if failures == "drop" and dropped:
        yield f"{counted(dropped, 'data set')} without a number of all methods left out."
    elif not np.isfinite(contest.table).all():
        yield "Where a method has no number, it ranks last."
    yield from contest.notes()
