"""Pictures of methods held against each other: critical differences, and performance profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
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

    The bar above the line is as long as the critical difference.

    Args:
        ranks: what `StudyResults.ranks` returned.
        ax: where to draw.
        width: of a new figure, "column" (3.5 inches) or "page" (7 inches).

    Source: Demšar (2006).
    """
    wanted = "what StudyResults.ranks returned"
    frame = journal.table_in("ranks", ranks, ("method", "mean_rank"), wanted)
    names, values = frame["method"].tolist(), frame["mean_rank"].tolist()
    k, half = len(names), math.ceil(len(names) / 2)
    deep = BAR * (len(ranks.groups) + 1)
    ax = journal.axes_of(ax, width, height_of_ranks(ranks))
    for number, group in enumerate(ranks.groups):
        ends = [values[names.index(group[0])], values[names.index(group[-1])]]
        down = BAR * (number + 1)
        ax.plot(
            [ends[0] - 0.02 * (k - 1), ends[1] + 0.02 * (k - 1)], [down, down],
            color=parts.DARK, linewidth=3, solid_capstyle="butt",
        )  # fmt: skip
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        left = place < half
        row = place if left else k - 1 - place
        _name(ax, f"{name} ({value:.2f})", value, deep + ROW * (row + 0.5), k, left=left)
    _ruler(ax, k, ranks.critical_difference)
    ax.set_ylim(deep + ROW * half + BOTTOM, -TOP)
    told = f"mean rank by {ranks.called}"
    label = ax.text((1 + k) / 2, -TOP + 0.03, told, ha="center", va="top", fontsize=journal.LABEL)
    parts.as_written(label)
    return ax


def height_of_ranks(ranks: Ranked) -> float:
    """How high a picture of mean ranks is, in inches."""
    rows = math.ceil(len(ranks.frame) / 2)
    return TOP + BAR * (len(ranks.groups) + 1) + ROW * rows + BOTTOM


def _ruler(ax: Axes, k: int, gap: float) -> None:
    """The line of ranks, and above it the bar of the critical difference, as far as it fits."""
    ax.axis("off")
    ax.plot([1, k], [0, 0], color=parts.DARK, linewidth=0.8)
    step = max(1, round((k - 1) / 8))
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


def _name(ax: Axes, words: str, rank: float, down: float, k: int, *, left: bool) -> None:
    """A line from a rank to the side, and the name there."""
    aside = 1 - ASIDE * (k - 1) if left else k + ASIDE * (k - 1)
    ax.plot([rank, rank, aside], [0, down, down], color=parts.DARK, linewidth=0.8)
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
            linewidth=1.2, marker=look.marker, markersize=journal.MARKER, label=name,
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
