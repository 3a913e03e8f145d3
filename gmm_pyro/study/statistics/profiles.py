"""Performance profiles: how often a method is near the best (Dolan & Moré 2002)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...comparison.columns import lowest
from ...data.checks import check_choice, check_list, check_number
from ...data.words import counted
from ..measures.registry import direction_of
from .contest import Contest, contest_of
from .rows import Rows
from .written import OfMeasure

WITHIN = ("factor", "difference")
FACTORS = (1.0, 1.1, 1.5, 2.0, 5.0, 10.0)  # that a table shows
SHARES = (0.25, 0.5, 0.75, 0.9)  # of the distances that are not zero, in a table of differences


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Profile(OfMeasure):
    """Shares of data sets on which a method is within τ of the best. `frame` has the steps.

    Columns of `frame`: `method`; `tau`, from which on a share holds; `share` of the data sets. The
    first row of a method is at the best itself, and its last one has the share of the data sets on
    which it has a number at all.

    Attributes:
        within: "factor", τ times the best, or "difference", τ more or less than it.
        n: number of data sets.
    """

    within: str
    n: int

    def share(self, method: str, tau: float) -> float:
        """The share of data sets on which a method is within τ of the best.

        Raises:
            ValueError: if there is no such method, or τ is no number.
        """
        method = check_choice("method", method, self.frame["method"].unique().tolist())
        tau = check_number("tau", tau)
        steps = self.frame[(self.frame["method"] == method) & (self.frame["tau"] <= tau)]
        return float(steps["share"].iloc[-1]) if len(steps) else 0.0


def profile_of(rows: Rows, measure: Any, within: Any, taus: Any) -> Profile:
    """Performance profiles, as `StudyResults.profile`."""
    measure = rows.check_measure(measure)
    contest = contest_of(rows, measure)
    if not contest.table.size:
        raise ValueError(
            f"a profile of measure {measure} needs data sets that all methods were run on"
        )
    within = _within(rows, contest, within)
    gaps = distances(contest.table, within)
    shown = _shown(gaps, within) if taus is None else _checked(taus)
    parts = [_steps(name, gap, within) for name, gap in zip(contest.methods, gaps.T, strict=True)]
    return Profile(
        frame=pd.concat(parts, ignore_index=True),
        title=f"Share of {counted(len(gaps), 'data set')} on which {measure} is within a "
        f"{within} of the best",
        cells=_cells(contest, gaps, within, shown),
        notes=(direction_of(measure), *contest.notes(), *rows.notes()),
        measure=measure,
        within=within,
        n=len(gaps),
    )


def distances(table: Float[np.ndarray, "n k"], within: str) -> Float[np.ndarray, "n k"]:
    """How far each method is from the best one on a data set; infinite where it has no number."""
    best = table.min(1, keepdims=True)
    best = np.where(np.isfinite(best), best, 0.0 if within == "difference" else 1.0)
    return table - best if within == "difference" else table / best


def _within(rows: Rows, contest: Contest, within: Any) -> str:
    """Whether distances are factors: as asked, or where numbers are positive and less is better."""
    falls = rows.column_with_direction(contest.measure).badness is lowest
    suited = falls and bool((contest.table > 0).all())
    if within is None:
        return WITHIN[0] if suited else WITHIN[1]
    within = check_choice("within", within, WITHIN)
    if within == WITHIN[0] and not suited:
        raise ValueError(
            "within='factor' needs positive numbers of which lower ones are better, and "
            f"{contest.measure} has others"
        )
    return within


def _checked(taus: Any) -> list[float]:
    return [check_number("taus", tau) for tau in check_list("taus", taus, "numbers")]


def _shown(gaps: Float[np.ndarray, "n k"], within: str) -> list[float]:
    """Which τ a table shows: round numbers."""
    if within == WITHIN[0]:
        return list(FACTORS)
    apart = gaps[np.isfinite(gaps) & (gaps > 0)]
    found = np.quantile(apart, SHARES) if len(apart) else []
    return sorted({0.0, *(float(f"{tau:.0e}") for tau in found)})


def _steps(name: str, gaps: Float[np.ndarray, "n"], within: str) -> pd.DataFrame:
    """Where a method's share rises, and to what."""
    first = 0.0 if within == WITHIN[1] else 1.0
    tau = np.unique([first, *gaps[np.isfinite(gaps)]])
    share = np.searchsorted(np.sort(gaps), tau, side="right") / len(gaps)
    return pd.DataFrame({"method": name, "tau": tau, "share": share})


def _cells(
    contest: Contest, gaps: Float[np.ndarray, "n k"], within: str, taus: list[float]
) -> dict[str, list[str]]:
    sign = "×" if within == WITHIN[0] else "±"
    shares: Iterator[tuple[str, Any]] = (
        (f"{sign} {tau:g}", (gaps <= tau).mean(0)) for tau in dict.fromkeys(taus)
    )
    columns = {header: [f"{share:.2f}" for share in found] for header, found in shares}
    solved = [f"{share:.2f}" for share in np.isfinite(gaps).mean(0)]
    return {"method": list(contest.methods), **columns, "any": solved}
