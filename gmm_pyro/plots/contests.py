"""Pictures of methods held against each other: critical differences, and performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from ..data.words import counted
from . import journal, parts

ROW = 0.16  # between two names, in inches
BAR = 0.11  # between two bars
TOP, BOTTOM = 0.72, 0.1  # above the axis of ranks and below the last name
ASIDE = 0.05  # of the axis, that a name is outside of it
TICK_ROOM = 0.22  # from one rank that is written to the next, in inches
LEAST = 1.2  # of the axis, in inches, where there are names on both sides
BAND: Mapping[str, Any] = {"color": parts.DARK, "linewidth": 3, "solid_capstyle": "butt"}
HEIGHT = 2.1  # of profiles, in inches
APART = 0.3  # of the diagonal, between two markers of a line
FACTOR = "factor"
NEAR, FAR = 3.0, 300.0  # factors, from which an axis is logarithmic, and has few ticks
LAST = 1.06  # of the axis, where curves go on after the last step


class Ranked(Protocol):
    """What a picture needs to know of mean ranks."""

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each method, best first."""

    @property
    def critical_difference(self) -> float:
        """How far two are apart that differ."""

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """Methods that cannot be told apart."""

    @property
    def called(self) -> str:
        """What readers call the measure."""


class Profiled(Protocol):
    """What a picture needs to know of performance profiles."""

    @property
    def frame(self) -> pd.DataFrame:
        """Steps of each method."""

    @property
    def within(self) -> str:
        """Whether distances are factors or differences."""

    @property
    def n(self) -> int:
        """Number of data sets."""

    @property
    def called(self) -> str:
        """What readers call the measure."""


# ---------------------------------------------------------------------- ranks


def critical_differences(ranks: Ranked, ax: Axes | None = None, *, width: str = "column") -> Axes:
    """Draw mean ranks on a line, the best on the left, with bars over methods that do not differ.

    The bar above the line is as long as the critical difference. Where names are too long to stand
    on both sides of the line, each has a row of its own, and the bars are at their right.

    Args:
        ranks: what `StudyResults.ranks` returned.
        ax: where to draw.
        width: of a new figure, "column" (3.5 inches) or "page" (7 inches).

    Source: Demšar (2006).
    """
    wanted = "what StudyResults.ranks returned"
    frame = journal.table_in("ranks", ranks, ("method", "mean_rank"), wanted)
    names, values = frame["method"].tolist(), frame["mean_rank"].tolist()
    ax = journal.axes_of(ax, width, height_of_ranks(ranks, journal.width_of(width)))
    wide, k = journal.inches_of(ax), len(names)
    if _fit_both_sides(names, wide):
        deep, room = _both_sides(ax, names, values, ranks.groups), wide / 2
    else:
        deep, room = _in_rows(ax, names, values, ranks.groups, wide), (1 - journal.MOST_NAME) * wide
    _ruler(ax, k, ranks.critical_difference, max(1, round((k - 1) * TICK_ROOM / room)))
    ax.set_ylim(deep + BOTTOM, -TOP)
    told = f"mean rank by {ranks.called}"
    label = ax.text((1 + k) / 2, -TOP + 0.03, told, ha="center", va="top", fontsize=journal.LABEL)
    parts.as_written(label)
    return ax


def height_of_ranks(ranks: Ranked, wide: float) -> float:
    """How high a picture of mean ranks is that is so wide, in inches."""
    names = ranks.frame["method"].tolist()
    if not _fit_both_sides(names, wide):
        return TOP + journal.row_height(_in_lines(names, wide), ROW) * len(names) + BOTTOM
    return TOP + BAR * (len(ranks.groups) + 1) + ROW * math.ceil(len(names) / 2) + BOTTOM


def _fit_both_sides(names: Sequence[str], wide: float) -> bool:
    """Whether names on both sides leave enough of so many inches for the line between them."""
    half = math.ceil(len(names) / 2)
    sides = (max(map(_room, some), default=0.0) for some in (names[:half], names[half:]))
    return wide - sum(sides) >= LEAST


def _room(name: str) -> float:
    return journal.breadth(_with_rank(name, 10.0))


def _in_lines(names: Sequence[str], wide: float) -> list[str]:
    """Names at one side of so many inches, in as many lines as they need."""
    room = journal.MOST_NAME * wide - journal.breadth(_with_rank("", 10.0))
    return [journal.wrapped(name, room) for name in names]


def _with_rank(name: str, rank: float) -> str:
    return f"{name} ({rank:.2f})"


def _both_sides(
    ax: Axes, names: Sequence[str], values: Sequence[float], groups: Sequence[Sequence[str]]
) -> float:
    """Names on both sides of the line, and bars under it; how far down that goes, in inches."""
    k, half, deep = len(names), math.ceil(len(names) / 2), BAR * (len(groups) + 1)
    for number, group in enumerate(groups):
        ends = [values[names.index(group[0])], values[names.index(group[-1])]]
        down = BAR * (number + 1)
        ax.plot([ends[0] - 0.02 * (k - 1), ends[1] + 0.02 * (k - 1)], [down, down], **BAND)
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        left = place < half
        row = place if left else k - 1 - place
        down = deep + ROW * (row + 0.5)
        aside = 1 - ASIDE * (k - 1) if left else k + ASIDE * (k - 1)
        ax.plot([value, value, aside], [0, down, down], color=parts.DARK, linewidth=0.8)
        _name(ax, _with_rank(name, value), aside, down, left=left)
    return deep + ROW * half


def _in_rows(
    ax: Axes,
    names: Sequence[str],
    values: Sequence[float],
    groups: Sequence[Sequence[str]],
    wide: float,
) -> float:
    """A row for each name, and bars at the right of all; how far down that goes, in inches."""
    k, shown = len(names), _in_lines(names, wide)
    high = journal.row_height(shown, ROW)
    rows = {name: high * (place + 0.5) for place, name in enumerate(names)}
    for words, value, down in zip(shown, values, rows.values(), strict=True):
        ax.plot([1, value], [down, down], color=parts.GREY, linewidth=0.6)
        ax.plot([value], [down], "o", color=parts.DARK, markersize=journal.MARKER)
        _name(ax, _with_rank(words, value), 1 - ASIDE * (k - 1), down, left=True)
    right = k + ASIDE * (k - 1)
    for number, group in enumerate(groups):
        at = right + number * ASIDE * (k - 1)
        ends = [rows[group[0]] - 0.4 * high, rows[group[-1]] + 0.4 * high]
        ax.plot([at, at], ends, **BAND)
    return high * k


def _ruler(ax: Axes, k: int, gap: float, step: int) -> None:
    """The line of ranks, and above it the bar of the critical difference, as far as it fits.

    Every so many ranks, one is written.
    """
    ax.axis("off")
    ax.plot([1, k], [0, 0], color=parts.DARK, linewidth=0.8)
    for rank in range(1, k + 1):
        ax.plot([rank, rank], [0, -0.05], color=parts.DARK, linewidth=0.8)
        if (rank - 1) % step == 0:
            ax.text(rank, -0.07, str(rank), ha="center", va="bottom", fontsize=journal.TICK)
    end = min(1 + gap, k)
    ax.plot([1, end], [-0.32, -0.32], color=parts.DARK, linewidth=0.8, label="critical difference")
    for side in (1, end) if end == 1 + gap else (1,):
        ax.plot([side, side], [-0.35, -0.29], color=parts.DARK, linewidth=0.8)
    more = "" if end == 1 + gap else ", more than the line"
    words = f" CD = {gap:.2f}{more}"
    ax.text(1, -0.35, words, ha="left", va="bottom", fontsize=journal.TICK)


def _name(ax: Axes, words: str, aside: float, down: float, *, left: bool) -> None:
    """A name at one side."""
    text = ax.annotate(
        words, (aside, down), (-3 if left else 3, 0), textcoords="offset points", va="center",
        ha="right" if left else "left", fontsize=journal.TICK, annotation_clip=False,
    )  # fmt: skip
    parts.as_written(text)


# ---------------------------------------------------------------------- profiles


def performance_profile(
    profile: Profiled, ax: Axes | None = None, *, order: Any = None, width: str = "column"
) -> Axes:
    """Draw on which share of the data sets each method is within τ of the best, against τ.

    The higher a line, the better; where it begins, it is the best itself, and where it ends, it has
    a number at all. τ is a factor, on a logarithmic axis where it goes far, or a
    difference.

    Args:
        profile: what `StudyResults.profile` returned.
        ax: where to draw.
        order: names of methods in the order of their colours, as those of all methods of a study;
            None for their order here.
        width: of a new figure, "column" (3.5 inches) or "page" (7 inches).

    Raises:
        ValueError: if the order does not have a method.

    Source: Dolan & Moré (2002).
    """
    wanted = "what StudyResults.profile returned"
    frame = journal.table_in("profile", profile, ("method", "tau", "share"), wanted)
    looks = journal.looks_of(list(dict.fromkeys(frame["method"])), order)
    ax = journal.axes_of(
        ax, width, HEIGHT + journal.key_height(list(looks), journal.width_of(width))
    )
    factor = profile.within == FACTOR
    end = _end(frame["tau"].to_numpy(float), factor=factor)
    for number, (name, look) in enumerate(looks.items()):
        steps = frame[frame["method"] == name]
        tau = np.append(steps["tau"].to_numpy(float), end)
        share = steps["share"].to_numpy(float)
        ax.step(
            tau, np.append(share, share[-1]), look.dashes, where="post", color=look.colour,
            linewidth=1.2, marker=look.marker, markersize=look.size, label=name, clip_on=False,
            markevery=(APART * (number + 0.5) / len(looks), APART),
        )  # fmt: skip
    if factor and end > NEAR:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if end < FAR else (1.0,)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlim=(1.0 if factor else 0.0, end), ylim=(0, 1.02))
    ax.grid(alpha=0.3, linewidth=0.5)
    sign = "within a factor τ of" if factor else "within τ of"
    journal.dress(
        ax, f"{profile.called} {sign} the best", f"share of {counted(profile.n, 'data set')}"
    )
    keys = [journal.key_of(look, name) for name, look in looks.items()]
    journal.key_above(ax, keys, journal.inches_of(ax))
    return ax


def _end(tau: Any, *, factor: bool) -> float:
    """Where the axis of distances ends, beyond the last step."""
    last = float(tau.max())
    if factor:
        return max(last**LAST, 1.01)
    return last * LAST if last > 0 else 1.0
