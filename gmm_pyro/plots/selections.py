"""A picture of a selection: a criterion against the number of components, a line a family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from . import parts

if TYPE_CHECKING:
    import pandas as pd


MOST = 0.6  # share of the models that are always in the picture
FLAT = 0.5  # share of the height that these take at least, or the others are left out


def plot_selection(
    grid: pd.DataFrame, label: str, *, higher_is_better: bool, ax: Axes | None = None
) -> Axes:
    """Draw a criterion against the number of components, a line for each family, the best ringed.

    Args:
        grid: the criterion, a row for each number and a column for each family; NaN where a model
            does not count.
        label: what the axis calls it.
        higher_is_better: its direction.
        ax: where to draw.
    """
    ax = parts.given_or_new(ax)
    values = grid.to_numpy(dtype=float)
    numbers = grid.index.to_numpy()
    for i, family in enumerate(grid.columns):
        marker = parts.MARKERS[i // len(parts.COLOURS) % len(parts.MARKERS)]
        ax.plot(
            numbers,
            values[:, i],
            color=parts.COLOURS[i % len(parts.COLOURS)],
            marker=marker,
            markersize=4,
            linewidth=1.2,
            label=str(family),
        )
    if np.isfinite(values).any():
        best = np.nanargmax(values) if higher_is_better else np.nanargmin(values)
        row, column = np.unravel_index(best, values.shape)
        name = f"best: {numbers[row]}, {list(grid.columns)[int(column)]}"
        ax.plot(
            numbers[row], values[row, column], "o", markersize=12, markerfacecolor="none",
            markeredgecolor=parts.DARK, markeredgewidth=1.5, label=name, linestyle="none",
        )  # fmt: skip
    if (cut := _cut(values, higher_is_better=higher_is_better)) is not None:
        ax.set_ylim(*cut)
        label += f"\n(up to {abs(cut[1] - cut[0]):.0f} from the best)"
    ax.set(xlabel="number of components", ylabel=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    if len(grid.columns) < len(parts.COLOURS):
        ax.legend(fontsize="small")
    else:
        ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


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
