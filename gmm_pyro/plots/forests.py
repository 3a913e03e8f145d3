"""Paired differences of methods with their intervals, a row for each comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..data.words import level_text
from . import journal, parts

ROW, MARGIN = 0.19, 1.0  # of a comparison, and above and below all of them, in inches
MOST_ROWS = 150
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
    places, heads = _rows(frame, differences.by)
    lowest = max(places)
    ax = journal.axes_of(ax, width, height_of_differences(differences))
    alpha = 1 - differences.level
    for place, row in zip(places, frame.to_dict("records"), strict=True):
        _draw_difference(ax, place, row, filled=row["p_holm"] < alpha)
    ax.axvline(0, color=parts.GREY, linewidth=0.8, zorder=0)
    one = frame["baseline"].nunique() == 1
    names = frame["method"] if one else frame["method"] + " − " + frame["baseline"]
    _name_rows(ax, dict(zip(places, names, strict=True)), heads)
    ax.set_ylim(lowest + 0.6, min([*places, *heads]) - 0.6)
    less = f" less {frame['baseline'].iloc[0]}" if one else ", difference"
    better = differences.direction.rstrip(".")
    lines = [f"{differences.called}{less}", f"({better[:1].lower()}{better[1:]})"]
    journal.dress(ax, "\n".join(lines if better else lines[:1]), "")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    keys = [_mark(KNOWN.format(round(alpha, 10)), filled=True)]
    if not (frame["p_holm"] < alpha).all():
        keys.append(_mark(OTHER, filled=False))
    journal.key_above(ax, keys, journal.inches_of(ax))
    return ax


def _name_rows(ax: Axes, names: Mapping[int, str], heads: Mapping[int, str]) -> None:
    """Names of comparisons, and those of groups above them."""
    ax.set_yticks([*names, *heads], [*names.values(), *heads.values()])
    for label in ax.get_yticklabels()[len(names) :]:
        label.set_fontweight("bold")
    parts.as_written(*ax.get_yticklabels())


def height_of_differences(differences: Compared) -> float:
    """How high a picture of paired differences is, in inches."""
    return ROW * max(_rows(differences.frame, differences.by)[0], default=0) + MARGIN


def _rows(frame: pd.DataFrame, by: Sequence[str]) -> tuple[list[int], dict[int, str]]:
    """The row of each comparison, and those of the heads of groups, with what they say."""
    places: list[int] = []
    heads: dict[int, str] = {}
    row, last = 0, None
    for levels in frame[list(by)].astype(object).to_numpy().tolist():
        words = ", ".join(f"{n} = {level_text(v)}" for n, v in zip(by, levels, strict=True))
        if by and words != last:
            heads[row], last = words, words
            row += 1
        places.append(row)
        row += 1
    return places, heads


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
