"""Pictures of a study for a page, as wide as a column, as figures that pyplot does not know of."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from . import contests, forests, journal, parts, studies
from .report_figures import drawn_by

WIDE = journal.WIDTHS["column"]


def lines_figure(summary: Any, x: str, measure: str) -> Figure:
    """A measure against a factor: see `study_lines`."""
    methods = list(dict.fromkeys(summary.frame["method"]))
    figure = parts.loose_figure((WIDE, studies.HEIGHT + journal.key_height(methods, WIDE)))
    studies.study_lines(summary, x, figure, measure=measure)
    return figure


def ranks_figure(ranks: Any) -> Figure:
    """Mean ranks and which differ: see `critical_differences`."""
    size = (WIDE, contests.height_of_ranks(ranks, WIDE))
    return drawn_by(lambda ax: contests.critical_differences(ranks, ax), size)


def profile_figure(profile: Any, order: list[str]) -> Figure:
    """Performance profiles: see `performance_profile`."""
    methods = list(dict.fromkeys(profile.frame["method"]))
    size = (WIDE, contests.HEIGHT + journal.key_height(methods, WIDE))
    return drawn_by(lambda ax: contests.performance_profile(profile, ax, order=order), size)


def differences_figure(differences: Any) -> Figure:
    """Paired differences: see `differences`."""
    size = (WIDE, forests.height_of_differences(differences, WIDE))
    return drawn_by(lambda ax: forests.differences(differences, ax), size)
