"""A picture of how many components there are: what the data say, beside what was thought before."""

from __future__ import annotations

from collections.abc import Iterable
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
from .evidences import by_evidence

if TYPE_CHECKING:
    import pandas as pd

BY_EVIDENCE = "by_evidence"
WORDS = {
    FILLED: "components with points",
    SIZE: "components in all",
    BY_EVIDENCE: "components in all, by evidence",
}
COLOURS = {FILLED: parts.COLOURS[0], SIZE: parts.COLOURS[5], BY_EVIDENCE: parts.COLOURS[2]}
SEEN = 0.002  # probability without the data from which a number is in the picture
MOST = 40  # numbers in the picture
MANY = 20  # numbers, up to which each has a tick
WIDTH = 0.8  # of all bars of a number


def number_of_components(fit: Result, ax: Axes | None = None, *, evidence: Any = None) -> Axes:
    """Draw the posterior of the number of components as bars, and the prior as circles.

    Bars of components with points stand beside those of all components, where the model does not
    know how many there are. Lines on the bars are two standard errors up and down.

    Args:
        fit: a fit of an unknown number of components, or with a concentration that may leave some
            empty.
        ax: where to draw.
        evidence: what to compare the draws with: fits of known numbers that have an evidence, to
            the same data under the same prior, or a selection of such fits by `gmm_pyro.select`, of
            which those of the fit's family count. Bars of all components then stand beside what the
            evidences times the prior of their number imply. Where some numbers have no evidence,
            these bars share the probability that the draws give to those that have.

    Raises:
        ValueError: if the fit does not ask how many components there are, or the evidence is of
            other data or under another prior, as far as that can be told.
    """
    fit = _result_of(fit)
    table = _seen(fit.number_of_components if evidence is None else _compared(fit, evidence))
    ax = parts.given_or_new(ax)
    k = table.index.to_numpy()
    found = [name for name in WORDS if name in table]
    width = WIDTH / len(found)
    for i, name in enumerate(found):
        places = k + (i - (len(found) - 1) / 2) * width
        _bars(ax, places, table, name, 0.92 * width, key=i == 0)
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


def _result_of(fit: Any) -> Result:
    fit = mixtures.fit_of(fit)
    if isinstance(fit, Result):
        return fit
    raise TypeError(f"fit must be a fit, or a fitted estimator, got {shown(fit)}")


def _fits_of(evidence: Any, family: str) -> list[Result]:
    """The fits of a selection that are of a family, or those that are given.

    Raises:
        TypeError: if there are other things among them.
    """
    cells = getattr(evidence, "cells", None)
    if cells is None:
        fits = list(evidence) if isinstance(evidence, Iterable) else [evidence]
    else:
        of_family = [cell for cell in cells if cell.covariance == family]
        fits = [cell.fitted for cell in of_family if cell.fitted is not None]
    for fit in fits:
        if not isinstance(fit, Result):
            raise TypeError(f"evidence must be a selection, or fits, got {shown(fit)}")
    return fits


def _compared(fit: Result, evidence: Any) -> pd.DataFrame:
    """The table of all components, with what evidences imply."""
    found = by_evidence(fit, _fits_of(evidence, fit.model.family.name))
    table = fit.number_of_components[[SIZE, f"{SIZE}_se", f"{SIZE}_prior"]].copy()
    share = table[SIZE].loc[found.k].sum()
    table.loc[found.k, BY_EVIDENCE] = share * found.probability
    table.loc[found.k, f"{BY_EVIDENCE}_se"] = share * found.se
    return table.assign(**{f"{BY_EVIDENCE}_prior": table[f"{SIZE}_prior"]})


def _seen(table: pd.DataFrame) -> pd.DataFrame:
    """The rows from the first to the last that have a probability worth drawing."""
    names = [name for name in WORDS if name in table]
    before = f"{FILLED if FILLED in table else SIZE}_prior"
    drawn = (table[names] > 0).any(axis=1) | (table[before] > SEEN)
    rows: Int[np.ndarray, "rows"] = np.flatnonzero(drawn.to_numpy())
    return table.iloc[rows[0] : rows[-1] + 1].iloc[:MOST]


def _bars(
    ax: Axes,
    places: Float[np.ndarray, "k"],
    table: pd.DataFrame,
    name: str,
    width: float,
    *,
    key: bool,
) -> None:
    """Bars of one posterior, with circles for its prior, which may have a key."""
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
        label="prior" if key else "_prior",
    )  # fmt: skip
