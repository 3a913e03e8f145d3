"""What pictures for a journal share: widths of columns, fonts, and the looks of methods.

Methods differ in colour, marker and dashes, so that they differ in grey as well.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from ..data.checks import check_choice, check_list, shown
from . import parts

WIDTHS = {"column": 3.5, "page": 7.0}  # inches
LABEL, TICK = 8.0, 7.0  # size of letters, in typographic points
COLOURS = (*parts.COLOURS[:-1], parts.DARK)  # the last one, yellow, is no line on white paper
MARKERS = "os^DvPX*<>dp"
LARGER = {"*": 1.5, "P": 1.15, "X": 1.15, "d": 1.15, "p": 1.15}  # to be alike in size
Dashes = Literal["-", "--", "-.", ":"]
DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")
KEY = 0.44  # of a key's line and the room around it, in inches
KEY_ROW, LINE = 0.15, 0.12  # between two keys, and between two lines of words, in inches
MOST_NAME = 0.62  # of the width, that names at a side may take
INCH = 72.0  # typographic points
MARKER = 3.8  # size, in typographic points


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Attributes:
        colour: of all that is its own.
        marker: at its points.
        dashes: of its lines.
    """

    colour: str
    marker: str
    dashes: Dashes

    @classmethod
    def of(cls, number: int) -> Look:
        """That of a method by its number: no two of the first 84 are alike.

        The first 12 differ by their markers alone, as they must in grey, and lines of one colour
        by their dashes.
        """
        return cls(
            COLOURS[number % len(COLOURS)],
            MARKERS[number % len(MARKERS)],
            DASHES[number // len(COLOURS) % len(DASHES)],
        )

    @property
    def size(self) -> float:
        """Of its markers, in typographic points."""
        return MARKER * LARGER.get(self.marker, 1.0)


def looks_of(names: Sequence[str], order: Any) -> dict[str, Look]:
    """The look of each method, by its place in an order, or here if there is none.

    Raises:
        TypeError: if the order holds something else than names.
        ValueError: if it does not have one of them.
    """
    known = list(names) if order is None else check_list("order", order, "names")
    if not all(isinstance(name, str) and name for name in known):
        raise TypeError(f"order must hold names of methods, got {shown(order)}")
    return {name: Look.of(known.index(check_choice("order", name, known))) for name in names}


def names_in(argument: str, value: Any, known: Sequence[str]) -> list[str]:
    """Names of methods, each once.

    Raises:
        ValueError: if one is unknown, or there is none.
    """
    names = [value] if isinstance(value, str) else check_list(argument, value, "names")
    if not names:
        raise ValueError(f"{argument} must hold a name, got {shown(value)}")
    return list(dict.fromkeys(check_choice(argument, name, known) for name in names))


def table_in(name: str, value: Any, columns: Sequence[str], wanted: str) -> pd.DataFrame:
    """The numbers of a table.

    Raises:
        TypeError: if it is none with such columns.
    """
    frame = getattr(value, "frame", None)
    if isinstance(frame, pd.DataFrame) and set(columns) <= set(frame.columns):
        return frame
    raise TypeError(f"{name} must be {wanted}, got {shown(value)}")


def axes_of(ax: Any, width: Any, height: float) -> Axes:
    """The Axes that are given, or those of a new figure, as wide as a column or a page."""
    wide = width_of(width)
    if ax is None:
        return parts.new_figure("constrained", (wide, height)).subplots()
    return parts.checked("ax", ax, Axes)


def width_of(width: Any) -> float:
    """The width of a picture, in inches."""
    return WIDTHS[check_choice("width", width, WIDTHS)]


def inches_of(ax: Axes) -> float:
    """How much of its figure's width some axes have, with what is written beside them."""
    figure = ax.get_figure(root=True)
    whole = float(figure.get_figwidth()) if isinstance(figure, Figure) else WIDTHS["column"]
    place = ax.get_subplotspec()
    if place is None:
        return whole
    return whole * len(place.colspan) / place.get_gridspec().ncols


def dress(ax: Axes, x: str, y: str) -> None:
    """Small letters, names as they are, and no frame where there is no axis."""
    ax.set_xlabel(x, fontsize=LABEL)
    ax.set_ylabel(y, fontsize=LABEL)
    parts.as_written(ax.xaxis.label, ax.yaxis.label)
    ax.tick_params(which="both", labelsize=TICK)
    ax.spines[["top", "right"]].set_visible(False)


def breadth(words: str, *, bold: bool = False) -> float:
    """How wide words of the size of ticks are, in inches; of several lines, the longest."""
    font = FontProperties(size=TICK, weight="bold" if bold else "normal")
    sizes = (
        text_to_path.get_text_width_height_descent(line, font, ismath=False)
        for line in words.split("\n")
    )
    return float(max(width for width, *_ in sizes)) / INCH


def wrapped(words: str, room: float, *, bold: bool = False) -> str:
    """Words in lines, none of which is wider than so many inches."""
    wide = breadth(words, bold=bold)
    if wide <= room:
        return words
    return textwrap.fill(words, max(int(len(words) * room / wide), 8))


def row_height(names: Iterable[str], row: float) -> float:
    """How high rows are for the longest of these names, where one line has so many inches."""
    return row + LINE * max((name.count("\n") for name in names), default=0)


def key_columns(labels: Sequence[str], wide: float) -> list[list[str]]:
    """The columns of a legend, as many as there are inches for: what stands in each, in lines."""
    lines = [wrapped(label, wide - KEY) for label in labels]
    for count in range(len(lines), 1, -1):
        columns = [list(part) for part in np.array_split(np.array(lines, object), count)]
        if key_breadth(columns) <= wide:
            return columns
    return [lines]


def key_breadth(columns: Sequence[Sequence[str]]) -> float:
    """How wide a legend is, in inches."""
    return sum(max(map(breadth, column)) + KEY for column in columns)


def key_height(labels: Sequence[str], wide: float) -> float:
    """How high the legend of these labels is, in inches."""
    columns = key_columns(labels, wide)
    return max(sum(KEY_ROW + LINE * words.count("\n") for words in column) for column in columns)


def key_above(
    where: Axes | FigureBase, keys: Sequence[Line2D], wide: float, note: str = ""
) -> None:
    """A legend above the axes, or above all of a figure, in as many columns as there is room for.

    That of axes which are the only ones of their figure has all of its width.

    Args:
        where: the axes or the figure.
        keys: what it has.
        wide: how many inches there are.
        note: a line above all keys, or nothing.
    """
    columns = key_columns([str(key.get_label()) for key in keys], wide)
    place: dict[str, Any] = {"loc": "outside upper center"}
    if isinstance(where, Axes):
        if _alone(where):
            where = where.figure
        else:
            place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
    legend = where.legend(
        handles=list(keys), labels=[words for column in columns for words in column],
        ncols=len(columns), frameon=False, fontsize=TICK, handlelength=2.4, columnspacing=1.2,
        title=note or None, title_fontsize=TICK, **place,
    )  # fmt: skip
    parts.as_written(*legend.get_texts(), legend.get_title())


def _alone(ax: Axes) -> bool:
    """Whether some axes have a figure for themselves, which makes room for what is above them."""
    figure = ax.figure
    return figure.axes == [ax] and isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)


def key_of(look: Look, label: str, *, marked: bool = True) -> Line2D:
    """The key of a method."""
    return Line2D(
        [], [], color=look.colour, linestyle=look.dashes, linewidth=1.2,
        marker=look.marker if marked else "", markersize=look.size, label=label,
    )  # fmt: skip
