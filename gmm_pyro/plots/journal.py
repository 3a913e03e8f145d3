"""What pictures for a journal share: widths of columns, fonts, and the looks of methods.

Methods differ in colour, marker and dashes, so that they differ in grey as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from ..data.checks import check_choice, check_list, shown
from . import parts

WIDTHS = {"column": 3.5, "page": 7.0}  # inches
LABEL, TICK = 8.0, 7.0  # size of letters, in typographic points
MARKERS = "os^Dvp"  # alike in size
Dashes = Literal["-", "--", "-.", ":"]
DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")
LETTER = 0.062  # of a key's width, in inches
KEY = 0.5  # of its line and the room around it
KEY_ROW = 0.15  # between two keys, in inches
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
        """That of a method by its number: no two of the first 84 are alike."""
        return cls(
            parts.colour_of(number),
            MARKERS[number % len(MARKERS)],
            DASHES[number // len(MARKERS) % len(DASHES)],
        )


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
    """How wide the figure of some axes is."""
    figure = ax.get_figure(root=True)
    return float(figure.get_figwidth()) if isinstance(figure, Figure) else WIDTHS["column"]


def dress(ax: Axes, x: str, y: str) -> None:
    """Small letters, names as they are, and no frame where there is no axis."""
    ax.set_xlabel(x, fontsize=LABEL)
    ax.set_ylabel(y, fontsize=LABEL)
    parts.as_written(ax.xaxis.label, ax.yaxis.label)
    ax.tick_params(which="both", labelsize=TICK)
    ax.spines[["top", "right"]].set_visible(False)


def key_columns(labels: Sequence[str], wide: float) -> int:
    """In how many columns a legend with these labels stands, where there are so many inches."""
    longest = max(len(label) for label in labels)
    return min(len(labels), max(1, int(wide / (LETTER * longest + KEY))))


def key_height(labels: Sequence[str], wide: float) -> float:
    """How high such a legend is, in inches."""
    return KEY_ROW * math.ceil(len(labels) / key_columns(labels, wide))


def key_above(
    where: Axes | FigureBase, keys: Sequence[Line2D], wide: float, note: str = ""
) -> None:
    """A legend above the axes, or above all of a figure, in as many columns as there is room for.

    Args:
        where: the axes or the figure.
        keys: what it has.
        wide: how many inches there are.
        note: a line above all keys, or nothing.
    """
    place: dict[str, Any] = {"loc": "outside upper center"}
    if isinstance(where, Axes):
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
    legend = where.legend(
        handles=list(keys), ncols=key_columns([str(key.get_label()) for key in keys], wide),
        frameon=False, fontsize=TICK, handlelength=2.4, columnspacing=1.2,
        title=note or None, title_fontsize=TICK, **place,
    )  # fmt: skip
    parts.as_written(*legend.get_texts(), legend.get_title())


def key_of(look: Look, label: str, *, marked: bool = True) -> Line2D:
    """The key of a method."""
    return Line2D(
        [], [], color=look.colour, linestyle=look.dashes, linewidth=1.2,
        marker=look.marker if marked else "", markersize=MARKER, label=label,
    )  # fmt: skip
