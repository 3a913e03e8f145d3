"""A picture of a search for the likeliest mixture: is the optimum alone, or one of many."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes

from ..data.checks import shown
from ..inference.result import Result
from ..inference.searched import Searched, Solution
from . import mixtures, parts

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
    search = searched(fit)
    drawn = search.solutions[:MOST]
    ax = parts.given_or_new(ax)
    behind = [drawn[0].log_likelihood - solution.log_likelihood for solution in drawn]
    ax.axvline(0, color=parts.DARK, linewidth=0.8, zorder=1)
    _draw_stems(ax, drawn, behind)
    _scale(ax, [gap for gap in behind if math.isfinite(gap)])
    ax.set_yticks(range(len(drawn)), [str(number + 1) for number in range(len(drawn))])
    ax.set_ylim(len(drawn) - 0.4, -0.6)
    ax.set(xlabel="behind the best, nats", ylabel="solution")
    ax.set_title(_title(search))
    ax.grid(axis="x", alpha=0.3)
    parts.draw_key(ax, "")
    return ax


def searched(fit: Any) -> Searched:
    """The search of a fit.

    Raises:
        TypeError: if it is no fit.
        ValueError: if it has none.
    """
    fit = mixtures.fit_of(fit)
    if not hasattr(fit, "search"):
        raise TypeError(f"fit must be a fit, or a fitted estimator, got {shown(fit)}")
    if fit.search is None:
        reason = f"{fit.method} does not search for the likeliest mixture"
        raise ValueError(f"fit has no solutions to draw: {reason}; em does")
    return fit.search


def in_words(search: Searched) -> str:
    """Whether the optimum is alone, as a title or a sentence says it.

    Example:
        >>> in_words(Searched(90, 10, 6, 0, (Solution(-5.0, True, 16, 0),)))
        'one solution, found 16 times'
    """
    found, best = search.solutions, search.solutions[0]
    often = "once" if best.times == 1 else f"{best.times} times"
    n_sound = sum(solution.sound for solution in found)
    if len(found) == 1:
        return f"one solution, {'' if n_sound else 'not sound, '}found {often}"
    sound = "" if n_sound == len(found) else f", {n_sound or 'none'} of them sound"
    return f"{len(found)} solutions{sound}, the best found {often}"


def _title(search: Searched) -> str:
    left = len(search.solutions) - MOST
    return in_words(search) + (f"\n(the last {left} are not shown)" if left > 0 else "")


def _draw_stems(ax: Axes, drawn: tuple[Solution, ...], behind: list[float]) -> None:
    """A stem from zero to each solution, its mark, and how many times the search came there."""
    for (sound, moved), name in KINDS.items():
        rows = [
            row
            for row, (solution, gap) in enumerate(zip(drawn, behind, strict=True))
            if (solution.sound, solution.moves > 0) == (sound, moved) and math.isfinite(gap)
        ]
        if not rows:
            continue
        colour, gaps = parts.colour_of(0 if sound else 4), [behind[row] for row in rows]
        ax.hlines(rows, 0, gaps, color=colour, linewidth=1.2, alpha=0.6)
        mark = {"color": colour, "markerfacecolor": colour if sound else "white"}
        ax.plot(gaps, rows, "D" if moved else "o", label=name, zorder=3, **mark)
    for row, (solution, gap) in enumerate(zip(drawn, behind, strict=True)):
        place = max(gap, 0.0) if math.isfinite(gap) else 0.0
        times = f"×{solution.times}" + ("" if math.isfinite(gap) else "  no finite likelihood")
        beside: Any = {"textcoords": "offset points", "va": "center", "fontsize": "small"}
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
