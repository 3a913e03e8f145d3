"""What a study's page has of each measure: pictures in words and lines, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import pandas as pd

from ..data.words import level_text, listed
from ..plots import study_figures as figures
from ..report.pictures import Picture, picture
from ..report.tables import number
from .measures.registry import COLUMNS, direction_of
from .page_tables import Shown, differences_shown, profile_shown, ranks_shown
from .record import Found
from .statistics import Differences, Profile, Ranks, Summary

MOST_TOLD = 8  # numbers that a description tells of
FEW = 4  # methods, up to which all pairs are compared
Made = TypeVar("Made")


@dataclass(frozen=True)
class OfMeasure:
    """What the page has of a measure.

    Attributes:
        name: of the measure.
        header: what readers call it.
        meaning: what it is.
        pictures: in their order.
        tables: the same in numbers.
        notes: what could not be made, and why.
        finding: who is first, in a sentence, or nothing.
    """

    name: str
    header: str
    meaning: str
    pictures: list[Picture]
    tables: list[Shown]
    notes: list[str]
    finding: str


def section_of(
    results: Found, measure: str, summaries: Sequence[Summary], baseline: str | None
) -> OfMeasure:
    """All that there is of a measure.

    Args:
        results: of the study.
        measure: its name.
        summaries: means by each factor that varies.
        baseline: the method that others are held against; None compares all pairs of a few
            methods, and else all with the first.
    """
    order = list(dict.fromkeys(results.frame["method"]))
    if baseline is None and len(order) > FEW:
        baseline = order[0]
    notes: list[str] = []
    pictures = [made(partial(_lines, summary, measure), notes) for summary in summaries]
    tables = []
    ranks = made(partial(results.ranks, measure), notes)
    if ranks is not None:
        pictures.append(_ranks(ranks))
        tables.append(ranks_shown(f"ranks-{measure}", ranks))
    profile = made(partial(results.profile, measure), notes)
    if profile is not None:
        pictures.append(_profile(profile, order))
        tables.append(profile_shown(f"profile-{measure}", profile))
    found = results.differences(measure, baseline)
    if len(found.frame):
        pictures.append(made(partial(_differences, found), notes))
        tables.append(differences_shown(f"differences-{measure}", found))
    return OfMeasure(
        measure,
        COLUMNS[measure].header,
        COLUMNS[measure].meaning or direction_of(measure),
        [one for one in pictures if one is not None],
        tables,
        list(dict.fromkeys(notes)),
        _finding(ranks) if ranks else "",
    )


def made(make: Callable[[], Made], notes: list[str]) -> Made | None:
    """Something, or None with a note that says why it cannot be."""
    try:
        return make()
    except ValueError as error:
        text = str(error)
        notes.append(f"Not shown: {text}.")
        return None


def _finding(ranks: Ranks) -> str:
    """Who is first, and who is not told apart from it."""
    first, *others = ranks.frame["method"]
    near = {name for group in ranks.groups if first in group for name in group}
    told = _apart([n for n in others if n in near], [n for n in others if n not in near])
    return (
        f"By mean rank of {ranks.called} over {ranks.n} data sets, {first} is first, and {told} "
        f"(Nemenyi's test at {ranks.alpha:g})."
    )


def _apart(near: Sequence[str], far: Sequence[str]) -> str:
    """From whom the first is told apart, or from whom not, by whichever are fewer."""
    if not near:
        return "apart from all others"
    if not far:
        return "not told apart from any other"
    if len(near) <= max(len(far), FEW):
        return f"not told apart from {listed(near)}"
    return f"told apart from {listed(far)} alone"


# ---------------------------------------------------------------------- pictures in words


def _lines(summary: Summary, measure: str) -> Picture:
    x, called = summary.by[0], summary.called[measure]
    rows = summary.frame[summary.frame["measure"] == measure]
    told = [
        f"{row['method']} {_with_error(row[summary.of], row['standard_error'])} at "
        f"{level_text(row[x])}"
        for row in rows.to_dict("records")[:MOST_TOLD]
    ]
    alt = f"{called} against {x}, {summary.of} ± standard error: {_ended(told, len(rows))}"
    name, note = f"{called} by {x}", f"{summary.of} ± Monte Carlo standard error"
    return picture(figures.lines_figure(summary, x, measure), name, alt, note)


def _ranks(ranks: Ranks) -> Picture:
    told = [f"{row['method']} {row['mean_rank']:.2f}" for row in ranks.frame.to_dict("records")]
    groups = [listed(group) for group in ranks.groups]
    apart = f"Not told apart: {'; '.join(groups)}." if groups else "All are told apart."
    alt = (
        f"Mean ranks by {ranks.called}, best first: {_ended(told, len(told))} The critical "
        f"difference is {ranks.critical_difference:.2f}. {apart}"
    )
    note = "bars: not told apart by Nemenyi's test"
    return picture(figures.ranks_figure(ranks), "Mean ranks", alt, note)


def _profile(profile: Profile, order: list[str]) -> Picture:
    told = []
    for name in profile.frame["method"].unique():
        share = profile.frame.loc[profile.frame["method"] == name, "share"]
        told.append(f"{name} from {share.iloc[0]:.2f} to {share.iloc[-1]:.2f}")
    alt = (
        f"Share of {profile.n} data sets on which {profile.called} is within a {profile.within} "
        f"τ of the best: {_ended(told, len(told))}"
    )
    name, note = "Performance profile", "higher is better"
    return picture(figures.profile_figure(profile, order), name, alt, note)


def _differences(found: Differences) -> Picture:
    rows = found.frame
    told = [
        f"{row['method']} less {row['baseline']} "
        f"{_with_error(row['difference'], row['standard_error'])}"
        for row in rows.to_dict("records")[:MOST_TOLD]
    ]
    alt = f"Paired differences of {found.called}: {_ended(told, len(rows))}"
    note = f"{found.level * 100:g} % intervals"
    return picture(figures.differences_figure(found), "Paired differences", alt, note)


def _with_error(value: float, error: float) -> str:
    if pd.isna(value):
        return "without a number"
    return f"{number(value, '.3g')} ± {number(error, '.2g')}" if pd.notna(error) else f"{value:.3g}"


def _ended(told: Sequence[str], count: int) -> str:
    """Some things told, and how many are not."""
    left = count - len(told[:MOST_TOLD])
    return "; ".join(told[:MOST_TOLD]) + (f"; and {left} more." if left else ".")
