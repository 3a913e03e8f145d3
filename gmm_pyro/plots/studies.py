"""Pictures of studies: a measure against a factor, a line for each method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.lines import Line2D

from ..data.checks import check_choice, check_number
from ..data.words import level_text
from . import journal, parts
from .scales import Scale, in_order, scale_of

HEIGHT = 1.9  # of a panel, in inches
ABREAST = {"column": 1, "page": 3}  # panels in a row
LARGE = 50.0  # ratio of positive means from which their axis is logarithmic
EDGE = {True: 0.3, False: 1.0}  # of full markers, which may lie on others, and of open ones
MORE = {True: 0.8, False: 0.0}  # of a marker's size, as its edge is no part of what is seen
OPEN = "open markers: a part of the cells has no number"
NUMBERS = ("method", "measure", "standard_error", "dof", "failed", "missing")


class Summarised(Protocol):
    """What a picture needs to know of a table of means or medians."""

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each group and measure."""

    @property
    def by(self) -> tuple[str, ...]:
        """Columns that make groups."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of measures."""

    @property
    def of(self) -> str:
        """The column of the numbers."""

    @property
    def called(self) -> Mapping[str, str]:
        """What readers call measures."""


def study_lines(
    summary: Summarised,
    x: str,
    figure: Figure | SubFigure | None = None,
    *,
    measure: str | None = None,
    methods: Any = None,
    level: float | None = None,
    width: str = "column",
) -> Figure | SubFigure:
    """Draw a measure against a factor, a line for each method, a panel for each level of another.

    Bars are standard errors up and down, or intervals; methods stand beside each other, so that
    bars do not hide bars. The axis of the factor is logarithmic where levels are positive and far
    apart, and has words where they are words, without lines between them. A marker is open where a
    part of the cells has no number. A method has the same look with and without the others.

    Args:
        summary: what `StudyResults.table` returned, by the factor, "method", and perhaps another.
        x: name of the factor.
        figure: an empty figure, or part of one, to draw in; a new one of pyplot's if there is none.
        measure: name of the measure; the only one, if None.
        methods: names of methods to draw; None for all.
        level: of t intervals in place of standard errors, as 0.95; of medians they are normal.
        width: of a new figure, "column" (3.5 inches) or "page" (7 inches).

    Returns:
        The figure.

    Raises:
        ValueError: if the table is by something else, or has no such measure or method, or no
            number of it.
    """
    drawn = _lines_of(summary, x, measure, methods, level)
    wide, abreast = journal.width_of(width), ABREAST[width]
    across = parts.evenly(len(drawn.panels), abreast)
    if figure is None:
        rows = -(-len(drawn.panels) // across)
        above = journal.key_height(list(drawn.looks), wide)
        figure = parts.new_figure("constrained", (wide, HEIGHT * rows + above))
    parts.checked("figure", figure, FigureBase)
    panels = parts.panels(figure, len(drawn.panels), across, shared=True)
    for number, (ax, place) in enumerate(zip(panels, drawn.panels, strict=True)):
        drawn.draw(ax, place)
        below = number + across >= len(panels)
        ax.tick_params(labelbottom=below)
        journal.dress(ax, x if below else "", "" if number % across else drawn.label)
    journal.key_above(figure, list(drawn.keys()), wide, drawn.note)
    return figure


@dataclass(frozen=True, eq=False)
class _Lines:
    """Numbers to draw.

    Attributes:
        frame: rows of one measure: `x` and `panel` as words, `method`, `value`, `reach` of bars,
            and whether it is `whole`.
        label: what the axis of numbers is called.
        panel: name of the factor that makes panels, or None.
        panels: its levels, in words.
        levels: those of `x`, in words.
        scale: where they are.
        looks: of the methods that are drawn.
    """

    frame: pd.DataFrame
    label: str
    panel: str | None
    panels: list[str]
    levels: list[str]
    scale: Scale
    looks: dict[str, journal.Look]

    def draw(self, ax: Axes, panel: str) -> None:
        """One panel."""
        here = self.frame[self.frame["panel"] == panel]
        for number, (name, look) in enumerate(self.looks.items()):
            rows = here[here["method"] == name].drop_duplicates("x").set_index("x")
            rows = rows.reindex(self.levels)
            self._draw_method(ax, rows, look, self.scale.beside(number, len(self.looks)))
        values = self.frame["value"].dropna()
        if values.min() > 0 and values.max() >= LARGE * values.min():
            ax.set_yscale("log", nonpositive="clip")
        self.scale.dress(ax)
        ax.grid(axis="y", alpha=0.3, linewidth=0.5)
        if self.panel is not None:
            parts.as_written(ax.set_title(f"{self.panel} = {panel}", fontsize=journal.LABEL))

    def _draw_method(
        self, ax: Axes, rows: pd.DataFrame, look: journal.Look, places: Float[np.ndarray, "l"]
    ) -> None:
        there = rows["value"].notna().to_numpy()
        at, values = places[there], rows["value"].to_numpy(float)[there]
        reach = np.nan_to_num(rows["reach"].to_numpy(float)[there])
        if self.scale.joins:
            ax.plot(at, values, look.dashes, color=look.colour, linewidth=1.2)
        ax.errorbar(
            at, values, reach, linestyle="none", color=look.colour, linewidth=0.9, capsize=1.5
        )
        for whole in (True, False):
            some = (rows["whole"].to_numpy()[there] == 1.0) == whole
            ax.plot(
                at[some], values[some], look.marker, color=look.colour, linestyle="none",
                markersize=look.size + MORE[whole], zorder=3,
                markerfacecolor=look.colour if whole else "white",
                markeredgecolor="white" if whole else look.colour, markeredgewidth=EDGE[whole],
            )  # fmt: skip

    def keys(self) -> Iterator[Line2D]:
        """The legend."""
        numbers = set(self.frame.loc[self.frame["value"].notna(), "method"])
        for name, look in self.looks.items():
            words = name if name in numbers else f"{name} (no number)"
            key = journal.key_of(look, words)
            if not self.scale.joins:
                key.set_linestyle("none")
            yield key

    @property
    def note(self) -> str:
        """What an open marker means, if there is one."""
        shown = self.frame[self.frame["value"].notna()]
        return OPEN if (shown["whole"] == 0.0).any() else ""


def _lines_of(summary: Any, x: Any, measure: Any, methods: Any, level: Any) -> _Lines:
    """Choose what is drawn, and refuse what cannot be."""
    wanted = "what StudyResults.table returned"
    frame = journal.table_in("summary", summary, NUMBERS, f"{wanted}, by method")
    factors = [name for name in summary.by if name != "method"]
    x = check_choice("x", x, factors)
    if len(factors) > 2:
        raise ValueError(
            f"summary must be by {x}, method and at most one other factor, got {list(summary.by)}"
        )
    measure = _measure(summary, measure)
    names = list(dict.fromkeys(frame["method"]))
    looks = journal.looks_of(names, None)
    chosen = names if methods is None else journal.names_in("methods", methods, names)
    frame = frame[(frame["measure"] == measure) & frame["method"].isin(chosen)]
    if not np.isfinite(frame[summary.of].to_numpy(float)).any():
        raise ValueError(f"measure {measure} has no number of these methods that could be drawn")
    panel = next((name for name in factors if name != x), None)
    levels = in_order(_levels(frame[x]))
    return _Lines(
        _numbers(frame, x, panel, summary.of, level),
        f"{summary.called[measure]}, {summary.of}",
        panel,
        [""] if panel is None else [level_text(v) for v in in_order(_levels(frame[panel]))],
        [level_text(level) for level in levels],
        scale_of(levels),
        {name: looks[name] for name in chosen},
    )


def _measure(summary: Summarised, measure: Any) -> str:
    if measure is not None:
        return check_choice("measure", measure, summary.measures)
    if len(summary.measures) == 1:
        return summary.measures[0]
    raise ValueError(f"measure must be one of {', '.join(summary.measures)}, got none")


def _levels(column: pd.Series[Any]) -> list[Any]:
    """Each level once; some are lists."""
    return list({level_text(level): level for level in column.tolist()}.values())


def _numbers(frame: pd.DataFrame, x: str, panel: str | None, of: str, level: Any) -> pd.DataFrame:
    """What is drawn of each row."""
    from scipy.stats import norm, t

    errors, dof = frame["standard_error"].to_numpy(float), frame["dof"].to_numpy(float)
    times: Any = 1.0
    if level is not None:
        tail = (1 - check_number("level", level, high=1.0, positive=True)) / 2
        times = np.where(dof > 0, t.isf(tail, np.where(dof > 0, dof, 1.0)), norm.isf(tail))
    return pd.DataFrame(
        {
            "x": [level_text(v) for v in frame[x].tolist()],
            "panel": "" if panel is None else [level_text(v) for v in frame[panel].tolist()],
            "method": frame["method"].to_numpy(),
            "value": frame[of].to_numpy(float),
            "reach": times * errors,
            "whole": ((frame["failed"] + frame["missing"]) == 0).to_numpy(float),
        }
    )
