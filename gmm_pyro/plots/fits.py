"""Pictures of several fits beside each other: panels, objectives, errors."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..data.checks import check_count, check_mapping, shown
from ..data.features import check_names
from ..data.observations import as_points
from ..data.tables import is_a
from ..inference.result import Result
from ..metrics import adjusted_rand
from ..mixture.value import GaussianMixture
from . import mixtures, parts

if TYPE_CHECKING:
    import pandas as pd

LEAST_GAP = 1e-9  # nats a point; below it, the scale of the traces is linear down to zero
PANEL, KEY = 3.2, 1.6  # widths of a panel and of the key beside them, in inches
SIZE = (6.4, 4.8)  # of other figures, in inches
MOST_DOTS = 10_000  # an inch; more would be gigabytes
COLUMNS = 4  # most panels in a row
ERRORS = {"weight_error": "weights", "mean_error": "means", "covariance_error": "covariances"}
DASHES = ("-", "--", ":")  # one for each round through the colours


def comparison_figure(
    x: Any,
    fits: Mapping[str, Result | GaussianMixture],
    labels: Any = None,
    *,
    feature_names: tuple[str, ...] | None = None,
    sample_weight: Any = None,
    figure: Figure | None = None,
) -> Figure:
    """A figure with the data in its first panel and the clusters of one fit in each other.

    All panels have the same axes, and a cluster the same colour in each.

    Args:
        x: points, array-like of shape (n, d).
        fits: fits or mixtures, by what their panels are called.
        labels: true class of each point, shape (n,), or None; colours then follow the first fit.
        feature_names: d names to show in place of x's own.
        sample_weight: how often each point counts in scores and histograms, shape (n,), or None.
        figure: an empty figure to draw in; a new one of pyplot's if there is none.

    Raises:
        ValueError: if x or labels do not have these shapes.
    """
    fits = check_mapping("fits", fits, "fits or mixtures by name")
    found = as_points(x, feature_names=mixtures.names_of(fits.values()), missing="integrate")
    points, names = found.x, found.feature_names
    new = parts.new_figure("compressed") if figure is None else figure
    figure = parts.checked("figure", new, Figure)
    panels = _panels(figure, 1 + len(fits))
    weight = mixtures.weights_of(sample_weight, len(points))
    names = names if feature_names is None else check_names(feature_names, len(names))
    mixtures.scatter(points, labels, panels[0], names, sample_weight=weight)
    panels[0].set_title("data" if labels is None else "data, true classes")
    reference = labels
    for (name, fit), ax in zip(fits.items(), panels[1:], strict=True):
        predicted = _labels(fit, points)
        reference = predicted if reference is None else reference
        mixtures.clusters(fit, points, ax, reference, sample_weight=weight)
        score = "" if labels is None else f"   ARI {adjusted_rand(labels, predicted, weight):.3f}"
        parts.as_written(ax.set_title(f"{name}{score}"))
    key = f"cluster of {next(iter(fits), '')}" if labels is None else "class"
    _share_key(figure, panels, key)
    _name_outer_axes(panels)
    return figure


def _labels(fit: Any, points: Tensor) -> Tensor:
    """The fit's own labels of its data, as k-means has them, or its mixture's of other points."""
    own = getattr(mixtures.fit_of(fit), "labels", None)
    if own is None or len(own) != len(points):
        return mixtures.mixture_of(fit).predict(points).cpu()
    return own.cpu()


def png(figure: Figure, dots_per_inch: int) -> bytes:
    """A figure as the content of a PNG file; it is laid out once and for all."""
    dots_per_inch = check_count("dots_per_inch", dots_per_inch, 1, MOST_DOTS)
    engine = parts.checked("figure", figure, Figure).get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")  # saving would do it twice more
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dots_per_inch)
    return file.getvalue()


def comparison_figures(
    x: Any,
    fits: Mapping[str, Result],
    table: pd.DataFrame,
    labels: Any = None,
    feature_names: tuple[str, ...] | None = None,
    sample_weight: Any = None,
) -> dict[str, Figure]:
    """The pictures of a comparison, as figures that pyplot does not know of.

    Args:
        x: points, array-like of shape (n, d).
        fits: fits, by name.
        table: the comparison's table, one row a fit.
        labels: true class of each point, shape (n,), or None.
        feature_names: d names to show in place of x's own.
        sample_weight: as in `comparison_figure`.

    Returns:
        `data`, `clusters`, and where there is something to show in them, `traces` (not of
        samplers) and `parameter_errors`.
    """
    given = check_mapping("fits", fits, "fits by name")
    fits = {name: mixtures.fit_of(fit) for name, fit in given.items()}
    data, panels, lines, dots = (parts.loose_figure(SIZE) for _ in range(4))
    known: dict[str, Any] = {"feature_names": feature_names, "sample_weight": sample_weight}
    mixtures.scatter(x, labels, data.subplots(), **known)
    comparison_figure(x, fits, labels, **known, figure=panels)
    figures = {"data": data, "clusters": panels}
    climbs = {name: fit for name, fit in fits.items() if not wanders(fit)}
    if any(len(fit.history) > 1 for fit in climbs.values()):
        traces(climbs, lines.subplots())
        figures["traces"] = lines
    if _errors_in(table).notna().any(axis=None):
        parameter_errors(table, dots.subplots())
        figures["parameter_errors"] = dots
    return figures


def wanders(fit: Result) -> bool:
    """Whether a fit is a sampler's, whose log density goes up and down for ever."""
    return fit.posterior is not None and "lp" in fit.posterior.statistics


def _panels(figure: Figure, count: int) -> list[Axes]:
    """Panels on shared axes, in rows of about the same length."""
    columns = parts.evenly(count, COLUMNS)
    figure.set_size_inches(PANEL * columns + KEY, PANEL * math.ceil(count / columns) + 0.2)
    return parts.panels(figure, count, columns, shared=True)


def _share_key(figure: Figure, panels: list[Axes], title: str) -> None:
    """One legend for all panels, in place of the first one's."""
    parts.drop_key(panels[0])
    keys: dict[str, Artist] = {}
    for ax in panels:
        handles, names = ax.get_legend_handles_labels()
        keys |= zip(names, handles, strict=True)
    place: Any = {"loc": "outside right center", "frameon": False}
    parts.show_plainly(figure.legend(list(keys.values()), list(keys), title=title, **place))


def _name_outer_axes(panels: list[Axes]) -> None:
    """Keep the names of axes at the left and at the bottom only."""
    columns = parts.evenly(len(panels), COLUMNS)
    for i, ax in enumerate(panels):
        if i % columns:
            ax.set_ylabel("")
        if i < len(panels) - columns:
            ax.set_xlabel("")
        else:
            ax.tick_params(labelbottom=True)  # also above an empty place


# ---------------------------------------------------------------------- lines and dots


def traces(fits: Mapping[str, Result], ax: Axes | None = None) -> Axes:
    """Draw how far each fit's objective was from its best, along its steps.

    Methods maximise different things: a likelihood, a posterior density, a lower bound. Only the
    gap to a fit's own best value can be compared. It is in nats a point, on logarithmic scales;
    fits that keep no trace, as k-means, are left out.

    Args:
        fits: fits, by what the legend calls them.
        ax: where to draw.
    """
    ax = parts.given_or_new(ax)
    drawn = {name: fit for name, fit in _traced(fits).items() if len(fit.history) > 1}
    for number, (name, fit) in enumerate(drawn.items()):
        history = fit.history.numpy()
        steps = np.linspace(0, fit.steps, len(history))
        gap = (np.nanmax(history) - history) / fit.observations.total_weight
        dashes = DASHES[number // len(parts.COLOURS) % len(DASHES)]
        ax.plot(steps, gap, dashes, color=parts.colour_of(number), label=name)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_yscale("symlog", linthresh=LEAST_GAP)
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=-0.2 * LEAST_GAP)  # a line at zero is seen whole
    ax.set(xlabel="step", ylabel="below the fit's own best objective, nats a point")
    ax.grid(alpha=0.3)
    parts.draw_key(ax, "")
    return ax


def _traced(fits: Mapping[str, Any]) -> dict[str, Result]:
    """Fits by name, also those of estimators; mixtures have no trace."""
    given = check_mapping("fits", fits, "fits by name")
    found = {name: mixtures.fit_of(fit) for name, fit in given.items()}
    for name, fit in found.items():
        if not hasattr(fit, "history"):
            raise TypeError(f"fits must be fits by name, got {shown(fit)} for {shown(name)}")
    return found


def parameter_errors(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the errors of weights, means and covariances of each method.

    Args:
        table: a comparison's table, one row a method, with the columns of `ERRORS`.
        ax: where to draw.

    Raises:
        ValueError: if no row has an error, as without a known truth.
    """
    rows = _errors_in(table).dropna(how="all").astype(float)
    if rows.empty:
        raise ValueError("the table has no parameter errors: they need data with a known truth")
    ax = parts.given_or_new(ax)
    places = np.arange(len(rows))
    for number, (column, name) in enumerate(ERRORS.items()):
        ax.plot(
            rows[column],
            places + 0.2 * (number - 1),
            parts.MARKERS[number],
            color=parts.colour_of(number),
            label=name,
            clip_on=False,  # a dot at zero is seen whole
        )
    for place in places[1:]:
        ax.axhline(place - 0.5, color="0.9", linewidth=0.8)
    ax.set_yticks(places, [str(name) for name in rows.index])
    parts.as_written(*ax.get_yticklabels())
    ax.invert_yaxis()
    ax.set_xlim(left=0, right=1.1 * rows.to_numpy().max())
    ax.set_xlabel("weights: absolute;  means: in sd;  covariances: relative", fontsize="medium")
    ax.grid(axis="x", alpha=0.3)
    parts.draw_key(ax, "error of")
    return ax


def _errors_in(table: Any) -> pd.DataFrame:
    """The columns of errors of a comparison's table."""
    if not is_a(table, "pandas", "DataFrame") or not set(ERRORS) <= set(table.columns):
        wanted = f"a comparison's, with the columns {', '.join(ERRORS)}"
        raise ValueError(f"table must be {wanted}; got {shown(table)}")
    return table[list(ERRORS)]
