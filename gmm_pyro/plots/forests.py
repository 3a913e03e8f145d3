"""Paired differences of methods with their intervals, a row for each comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..data.words import level_text
from . import journal, parts

ROW, MARGIN = 0.19, 1.0  # of a comparison, and above and below all of them, in inches
MOST_ROWS = 150
MOST_HEAD = 0.94  # of the width, that the heads of groups may take
PAD = 3.5  # between names and the axis, in typographic points
KNOWN, OTHER = "filled: p (Holm) below {:g}", "open: not below"
COMPARED = ("method", "baseline", "difference", "low", "high", "p_holm", "pairs")


class Compared(Protocol):
    """What a picture needs to know of paired differences."""

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each group and comparison."""

    @property
    def by(self) -> tuple[str, ...]:
        """Columns that make groups."""

    @property
    def level(self) -> float:
        """What each interval is to hold."""

    @property
    def called(self) -> str:
        """What readers call the measure."""

    @property
    def direction(self) -> str:
        """Which values are better, in a sentence."""


def differences(differences: Compared, ax: Axes | None = None, *, width: str = "column") -> Axes:
    """Draw paired differences with their intervals, a row for each comparison.

    A marker is filled where the p-value, adjusted by Holm's method for all comparisons of the
    table, is below one less the level of the intervals, which hold each by itself.

    Args:
        differences: what `StudyResults.differences` returned.
        ax: where to draw.
        width: of a new figure, "column" (3.5 inches) or "page" (7 inches).

    Raises:
        ValueError: if no comparison has a pair, or there are more than 150.
    """
    wanted = "what StudyResults.differences returned"
    frame = journal.table_in("differences", differences, COMPARED, wanted)
    if len(frame) > MOST_ROWS or not np.isfinite(frame["difference"].to_numpy(float)).any():
        raise ValueError(
            f"differences must have from 1 to {MOST_ROWS} comparisons, and pairs in one, got "
            f"{len(frame)} comparisons of {int(frame['pairs'].sum())} pairs"
        )
    ax = journal.axes_of(ax, width, height_of_differences(differences, journal.width_of(width)))
    rows = _rows_of(differences, journal.inches_of(ax))
    places = list(rows.names)
    alpha = 1 - differences.level
    for place, row in zip(places, frame.to_dict("records"), strict=True):
        _draw_difference(ax, place, row, filled=row["p_holm"] < alpha)
    ax.axvline(0, color=parts.GREY, linewidth=0.8, zorder=0)
    _name_rows(ax, rows)
    ax.set_ylim(max(places) + 0.6, min([*places, *rows.heads]) - 0.6)
    _name_axis(ax, differences)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    keys = [_mark(KNOWN.format(round(alpha, 10)), filled=True)]
    if not (frame["p_holm"] < alpha).all():
        keys.append(_mark(OTHER, filled=False))
    journal.key_above(ax, keys, journal.inches_of(ax))
    return ax


def height_of_differences(differences: Compared, wide: float) -> float:
    """How high a picture of paired differences is that is so wide, in inches."""
    rows = _rows_of(differences, wide)
    high = journal.row_height([*rows.names.values(), *rows.heads.values()], ROW)
    return high * max(rows.names, default=0) + MARGIN


@dataclass(frozen=True)
class _Rows:
    """What is written at the left: names of comparisons, and heads above groups, by row."""

    names: dict[int, str]
    heads: dict[int, str]


def _rows_of(differences: Compared, wide: float) -> _Rows:
    """The rows of a picture that is so wide, in inches: by what makes groups.

    With several baselines names are pairs, or, where these are too long, methods below the head of
    their baseline.
    """
    room = journal.MOST_NAME * wide
    rows = _Rows({}, {})
    last = ""
    for name, head in zip(*_words_of(differences, room), strict=True):
        if head != last:
            last = head
            row = len(rows.names) + len(rows.heads)
            rows.heads[row] = journal.wrapped(head, MOST_HEAD * wide, bold=True)
        rows.names[len(rows.names) + len(rows.heads)] = journal.wrapped(name, room)
    return rows


def _words_of(differences: Compared, room: float) -> tuple[list[str], list[str]]:
    """Names of comparisons and heads of their groups; a name has so much room, in inches."""
    frame, by = differences.frame, list(differences.by)
    names, bases = frame["method"].tolist(), frame["baseline"].tolist()
    pairs = [f"{name} − {base}" for name, base in zip(names, bases, strict=True)]
    groups = [
        [f"{n} = {level_text(v)}" for n, v in zip(by, levels, strict=True)]
        for levels in frame[by].astype(object).to_numpy().tolist()
    ]
    if len(set(bases)) > 1:
        if max(map(journal.breadth, pairs)) > room:
            groups = [[*group, f"less {base}"] for group, base in zip(groups, bases, strict=True)]
        else:
            names = pairs
    return names, [", ".join(group) for group in groups]


def _name_rows(ax: Axes, rows: _Rows) -> None:
    """Names of comparisons, and above them heads, from the left edge of the names on."""
    ax.set_yticks(list(rows.names), list(rows.names.values()))
    parts.as_written(*ax.get_yticklabels())
    left = max(map(journal.breadth, rows.names.values())) * journal.INCH + PAD
    for place, head in rows.heads.items():
        text = ax.annotate(
            head, (0, place), (-left, 0), ("axes fraction", "data"), "offset points",
            va="center", fontsize=journal.TICK, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
        parts.as_written(text)


def _name_axis(ax: Axes, differences: Compared) -> None:
    """What the numbers are, under the names as well where that is long."""
    bases, better = differences.frame["baseline"].unique(), differences.direction.rstrip(".")
    less = f" less {bases[0]}" if len(bases) == 1 else ", difference"
    wide = journal.inches_of(ax)
    words = journal.wrapped(f"{differences.called}{less}", wide * journal.TICK / journal.LABEL)
    more = f"\n({better[:1].lower()}{better[1:]})" if better else ""
    journal.dress(ax, f"{words}{more}", "")
    if journal.breadth(words) > (1 - journal.MOST_NAME) * wide:
        ax.xaxis.label.set(x=1.0, horizontalalignment="right")


def _draw_difference(ax: Axes, place: int, row: Mapping[Any, Any], *, filled: bool) -> None:
    if not np.isfinite(row["difference"]):
        ax.text(0, place, " no pairs", fontsize=journal.TICK, color=parts.DARK, va="center")
        return
    if np.isfinite(row["low"]):
        ax.plot([row["low"], row["high"]], [place, place], color=parts.COLOURS[0], linewidth=1.2)
    mark = _mark("", filled=filled)
    mark.set_data([row["difference"]], [place])
    ax.add_line(mark)
    ax.update_datalim([(row["difference"], place)])
    ax.autoscale_view()


def _mark(label: str, *, filled: bool) -> Line2D:
    """A difference."""
    return Line2D(
        [], [], color=parts.COLOURS[0], marker="o", markersize=journal.MARKER, zorder=3,
        markerfacecolor=parts.COLOURS[0] if filled else "white", linestyle="none", label=label,
    )  # fmt: skip
