"""A picture of a selection: a criterion against the number of components, a line a family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from . import parts

if TYPE_CHECKING:
    import pandas as pd


MOST = 0.6  # share of the models that are always in the picture
BESIDE = 0.4  # of the way to the next number that bars of all families take
MANY = 12  # numbers of components, up to which each has a tick
LARGE = 10.0  # from which a range is shown in whole numbers
FLAT = 0.5  # share of the height that these take at least, or the others are left out


def plot_selection(
    grid: pd.DataFrame,
    label: str,
    *,
    higher_is_better: bool,
    errors: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a criterion against the number of components, a line for each family, the best ringed.

    Args:
        grid: the criterion, a row for each number and a column for each family; NaN where a model
            does not count.
        label: what the axis calls it.
        higher_is_better: its direction.
        errors: standard errors of differences to the best, in the same order, or None.
        ax: where to draw.
    """
    ax = parts.given_or_new(ax)
    values = grid.to_numpy(dtype=float)
    numbers = grid.index.to_numpy()
    places = _lines(ax, grid, errors)
    if np.isfinite(values).any():
        best = np.nanargmax(values) if higher_is_better else np.nanargmin(values)
        row, column = np.unravel_index(best, values.shape)
        name = f"best: {numbers[row]}, {list(grid.columns)[int(column)]}"
        ax.plot(
            places[row, column], values[row, column], "o", markersize=12, markerfacecolor="none",
            markeredgecolor=parts.DARK, markeredgewidth=1.5, label=name, linestyle="none",
        )  # fmt: skip
    if (cut := _cut(values, higher_is_better=higher_is_better)) is not None:
        ax.set_ylim(*cut)
        shown = abs(cut[1] - cut[0])
        label += f"\n(up to {shown:.{0 if shown >= LARGE else 2}f} from the best)"
    ax.set(xlabel="number of components", ylabel=label)
    if len(numbers) > MANY:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        ax.set_xticks(numbers)
    ax.grid(alpha=0.3)
    title = None if errors is None else "bars: standard error of\ndifference from the best"
    outside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    few = len(grid.columns) < len(parts.COLOURS) and errors is None
    ax.legend(fontsize="small", title=title, title_fontsize="small", **({} if few else outside))
    return ax


def _lines(
    ax: Axes, grid: pd.DataFrame, errors: pd.DataFrame | None
) -> Float[np.ndarray, "numbers families"]:
    """A line for each family, with bars beside each other if there are errors; where points are."""
    numbers, count = grid.index.to_numpy(dtype=float), len(grid.columns)
    apart = (np.arange(count) - (count - 1) / 2) * (0.0 if errors is None else BESIDE / count)
    places = numbers[:, None] + apart
    for i, family in enumerate(grid.columns):
        colour = parts.COLOURS[i % len(parts.COLOURS)]
        marker = parts.MARKERS[i // len(parts.COLOURS) % len(parts.MARKERS)]
        values = grid[family].to_numpy(dtype=float)
        ax.plot(
            places[:, i],
            values,
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.2,
            linestyle=("-", "--", ":")[i // len(parts.COLOURS) % 3],
            label=str(family),
        )
        if errors is not None:
            reach = errors[family].to_numpy(dtype=float)
            ax.errorbar(places[:, i], values, reach, color=colour, linestyle="none", alpha=0.5)
    return places


def _cut(values: np.ndarray, *, higher_is_better: bool) -> tuple[float, float] | None:
    """Limits of the axis, where a few bad models would leave the others no room."""
    behind = np.sort((-values if higher_is_better else values)[np.isfinite(values)])
    if not len(behind):
        return None
    behind = behind - behind[0]
    most = behind[int(MOST * (len(behind) - 1))]
    if not 0 < most < FLAT * behind[-1]:
        return None
    best = np.nanmax(values) if higher_is_better else np.nanmin(values)
    sign = -1.0 if higher_is_better else 1.0
    low, high = sorted((best - sign * 0.05 * most, best + sign * 1.05 * most))
    return float(low), float(high)
