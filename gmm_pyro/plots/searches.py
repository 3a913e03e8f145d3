"""A picture of a search for the likeliest mixture: is the optimum alone, or one of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from ..data.checks import shown
from ..inference.result import Result
from . import mixtures, parts

if TYPE_CHECKING:
    import pandas as pd

MOST = 20  # solutions that are drawn
NEAR = 10.0  # nats behind, up to which the scale is linear where all are as near
LEAST_RANGE = 1.0  # nats that the axis spans where there is one solution only
KINDS = {  # what the key says, by whether a solution is sound and whether moves led to it
    (True, False): "sound, from a start",
    (True, True): "sound, by moves",
    (False, False): "not sound, from a start",
    (False, True): "not sound, by moves",
}


def plot_solutions(fit: Result, ax: Axes | None = None) -> Axes:
    """Draw how far behind the best each solution is that the search came to, in nats.

    The best is at the top, and of many solutions the first 20 are drawn. Those that are sound are
    filled, and those that moves led to are diamonds; the number beside each is how many times the
    search came there. One that is not sound may lie left of zero: it is likelier than the best
    sound one. Distances of more than 10 nats are drawn on a logarithmic scale beyond 1 nat.

    Args:
        fit: a fit by a method that begins with a search.
        ax: where to draw.

    Raises:
        ValueError: if the method has no search, as those that begin at random.
    """
    words, table = _with_solutions(fit)
    left, table = len(table) - MOST, table.head(MOST)
    ax = parts.given_or_new(ax)
    ax.axvline(0, color=parts.DARK, linewidth=0.8, zorder=1)
    _draw_stems(ax, table)
    _scale(ax, table["behind"][np.isfinite(table["behind"])].tolist())
    ax.set_yticks(range(len(table)), [str(number + 1) for number in range(len(table))])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set(xlabel="behind the best, nats", ylabel="solution")
    ax.set_title(words + (f"\n(the last {left} are not shown)" if left > 0 else ""))
    ax.grid(axis="x", alpha=0.3)
    parts.draw_key(ax, "")
    return ax


def _with_solutions(fit: Any) -> tuple[str, pd.DataFrame]:
    """Whether the optimum of a fit's search is alone, in words, and its solutions."""
    fit = mixtures.fit_of(fit)
    if not hasattr(fit, "search"):
        raise TypeError(f"fit must be a fit, or a fitted estimator, got {shown(fit)}")
    if fit.search is None:
        reason = f"{fit.method} does not search for the likeliest mixture"
        raise ValueError(f"fit has no solutions to draw: {reason}; em does")
    return fit.search.in_words(), fit.search.frame()


def _draw_stems(ax: Axes, table: pd.DataFrame) -> None:
    """A stem from zero to each solution, its mark, and how many times the search came there."""
    finite = np.isfinite(table["behind"])
    for (sound, moved), name in KINDS.items():
        kind = (table["sound"] == sound) & ((table["moves"] > 0) == moved)
        rows, gaps = table.index[kind & finite], table["behind"][kind & finite]
        if rows.empty:
            continue
        colour = parts.colour_of(0 if sound else 4)
        ax.hlines(rows, 0, gaps, color=colour, linewidth=1.2, alpha=0.6)
        face = colour if sound else "white"
        mark = "D" if moved else "o"
        ax.plot(gaps, rows, mark, label=name, color=colour, markerfacecolor=face, zorder=3)
    beside: Any = {"textcoords": "offset points", "va": "center", "fontsize": "small"}
    for row, (gap, count) in enumerate(zip(table["behind"], table["times"], strict=True)):
        place = max(gap, 0.0) if finite[row] else 0.0
        times = f"×{count}" + ("" if finite[row] else "  no finite likelihood")
        ax.annotate(times, (place, row), (8, 0), color=parts.DARK, **beside)


def _scale(ax: Axes, behind: list[float]) -> None:
    """Linear where all are near, else logarithmic beyond one nat; with room for the numbers."""
    low, high = min(0.0, *behind, 0.0), max(0.0, *behind, 0.0)
    if max(high, -low) > NEAR:
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xlim(3 * low if low < -0.5 else -0.5, max(8 * high, 1.0))
        return
    high = high if high > low else LEAST_RANGE
    span = high - low
    ax.set_xlim(low - 0.06 * span, high + 0.15 * span)
