"""A picture of how many components there are: what the data say, beside what was thought before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..data.checks import shown
from ..inference.result import Result
from ..posterior.record import Draws
from ..posterior.sizes import FILLED, SIZE, numbers
from . import mixtures, parts

if TYPE_CHECKING:
    import pandas as pd

WORDS = {FILLED: "components with points", SIZE: "components in all"}
COLOURS = {FILLED: parts.COLOURS[0], SIZE: parts.COLOURS[5]}
SEEN = 0.002  # probability without the data from which a number is in the picture
MOST = 40  # numbers in the picture
MANY = 20  # numbers, up to which each has a tick
WIDTH = 0.8  # of all bars of a number


def number_of_components(fit: Result, ax: Axes | None = None) -> Axes:
    """Draw the posterior of the number of components as bars, and the prior as circles.

    Bars of components with points stand beside those of all components, where the model does not
    know how many there are. Lines on the bars are two Monte Carlo standard errors up and down.

    Args:
        fit: a fit of an unknown number of components, or with a concentration that may leave some
            empty.
        ax: where to draw.

    Raises:
        ValueError: if the fit does not ask how many components there are.
    """
    table = _table_of(fit)
    ax = parts.given_or_new(ax)
    k = table.index.to_numpy()
    found = [name for name in WORDS if name in table]
    width = WIDTH / len(found)
    for i, name in enumerate(found):
        _bars(ax, k + (i - (len(found) - 1) / 2) * width, table, name, 0.92 * width)
    if len(k) > MANY:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        ax.set_xticks(k)
    ax.set_xlim(k[0] - 0.6, k[-1] + 0.6)
    ax.set_ylim(bottom=0)
    ax.set(xlabel="number of components", ylabel="probability")
    keys, words = ax.get_legend_handles_labels()  # with points before bars
    ax.legend([*keys[1:], keys[0]], [*words[1:], words[0]], frameon=False)
    return ax


def number_traces(posterior: Draws, ax: Axes) -> Axes:
    """Draw the number of components with points over the draws, chain after chain.

    Args:
        posterior: draws that have it.
        ax: where to draw.
    """
    values = numbers(posterior, FILLED)
    chains, draws = values.shape
    for chain, drawn in enumerate(values):
        at = np.arange(chain * draws, (chain + 1) * draws)
        ax.step(at, drawn, where="mid", color=parts.COLOURS[0], linewidth=0.8)
        if chain:
            ax.axvline(chain * draws - 0.5, color=parts.GREY, linewidth=0.8)
    ax.set_xlim(-0.5, chains * draws - 0.5)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="draw", ylabel=WORDS[FILLED])
    return ax


def _table_of(fit: Any) -> pd.DataFrame:
    """The rows from the first to the last that have a probability worth drawing."""
    fit = mixtures.fit_of(fit)
    if not isinstance(fit, Result):
        raise TypeError(f"fit must be a fit, or a fitted estimator, got {shown(fit)}")
    table = fit.number_of_components
    names = [name for name in WORDS if name in table]
    drawn = (table[names] > 0).any(axis=1) | (table[f"{FILLED}_prior"] > SEEN)
    rows: Int[np.ndarray, "rows"] = np.flatnonzero(drawn.to_numpy())
    return table.iloc[rows[0] : rows[-1] + 1].iloc[:MOST]


def _bars(
    ax: Axes, places: Float[np.ndarray, "k"], table: pd.DataFrame, name: str, width: float
) -> None:
    """Bars of one posterior, with circles for its prior."""
    colour, words = COLOURS[name], WORDS[name]
    errors = 2 * table[f"{name}_se"].to_numpy()
    height = table[name].to_numpy()
    ax.bar(places, height, width, color=colour, alpha=0.85, label=words)
    reach = np.nan_to_num(np.stack([np.minimum(errors, height), np.minimum(errors, 1 - height)]))
    some = reach[0] > 0
    ax.errorbar(
        places[some], height[some], reach[:, some],
        linestyle="none", color=parts.DARK, linewidth=1.0, capsize=2,
    )  # fmt: skip
    ax.plot(
        places, table[f"{name}_prior"], "o", markersize=4.5, markerfacecolor="white",
        markeredgecolor=parts.DARK, linestyle="none", zorder=3,
        label="prior" if name == FILLED else "_prior",
    )  # fmt: skip
