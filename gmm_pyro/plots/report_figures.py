"""Small pictures that a page sets side by side, as figures that pyplot does not know of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..data.observations import as_points
from ..inference.result import Result
from ..mixture.value import GaussianMixture
from ..posterior import Posterior
from ..posterior.draws import evenly_spaced
from . import fits as of_fits
from . import mixtures, parts, posteriors, searches, sizes
from .views import view_of_points

SQUARE, LOW, WIDE = (3.9, 3.6), (3.9, 2.8), (4.9, 3.3)  # inches
MOST_NUMBERED = 12  # components whose numbers are written at their means
DRAWS = 1000  # of a chain, that its trace shows
OUTLINE = "white"  # behind numbers, so that they can be read over points


def cluster_figures(
    x: Any,
    fits: Mapping[str, Result],
    labels: Any = None,
    feature_names: tuple[str, ...] | None = None,
    sample_weight: Any = None,
) -> list[Figure]:
    """The data, and the clusters of each fit: all on the same axes and in the same colours.

    The number of a component stands at its mean. Of more than two features, the axes are the first
    two principal ones.

    Args:
        x: points, array-like of shape (n, d).
        fits: fits, by name.
        labels: true class of each point, shape (n,), or None; colours then follow the first fit.
        feature_names: d names to show in place of x's own.
        sample_weight: how often each point counts in a histogram, shape (n,), or None.

    Returns:
        One figure more than there are fits.
    """
    found = as_points(x, feature_names=mixtures.names_of(fits.values()), missing="integrate")
    points, shown = found.x, feature_names or found.feature_names
    data = _axes(SQUARE)
    mixtures.scatter(points, labels, data, shown, sample_weight=sample_weight)
    panels, reference = [data], labels
    for fit in fits.values():
        ax = _axes(SQUARE)
        mixtures.clusters(fit, points, ax, reference, sample_weight=sample_weight)
        if reference is None:
            reference = fit.mixture.predict(points).cpu()
        _number_means(ax, fit.mixture, points, shown)
        panels.append(ax)
    _share_limits(panels)
    for ax in panels:
        parts.drop_key(ax)
    return [_figure(ax) for ax in panels]


def marginal_figure(
    x: Tensor,
    fits: Mapping[str, Result],
    column: int,
    name: str,
    sample_weight: Any = None,
) -> Figure:
    """The density of one feature under each fit's point estimate, over a histogram of the data.

    Args:
        x: points, shape (n, d).
        fits: fits, by name.
        column: number of the feature.
        name: what the feature is called.
        sample_weight: how often each point counts in the histogram, shape (n,), or None.
    """
    ax = _axes(LOW)
    values = x[:, column].cpu().double()
    weight = mixtures.weights_of(sample_weight, len(values))
    parts.draw_histogram(ax, values, weight)
    grid = posteriors.places(values)
    for number, (method, fit) in enumerate(fits.items()):
        height = fit.mixture.marginal([column]).log_prob(grid[:, None]).exp().cpu()
        colour, dashes = parts.colour_of(number), of_fits.DASHES[number % len(of_fits.DASHES)]
        ax.plot(grid.numpy(), height.numpy(), dashes, color=colour, label=method)
    ax.set(xlabel=name, ylabel="density", xlim=(float(grid[0]), float(grid[-1])))
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize="small")
    return _figure(ax)


def band_figure(posterior: Posterior, column: int) -> Figure:
    """The posterior predictive density of one feature with its 94 % band: see `density_band`.

    There is no legend, which would hide much of so small a picture.
    """
    ax = posteriors.density_band(posterior, _axes(LOW), feature=column)
    parts.drop_key(ax)
    return _figure(ax)


def numbers_figure(fit: Result) -> Figure:
    """The posterior of the number of components beside its prior: see `number_of_components`."""
    return _figure(sizes.number_of_components(fit, _axes(WIDE)))


def traces_figure(fits: Mapping[str, Result]) -> Figure:
    """How far each fit's objective was from its best, along its steps: see `traces`."""
    ax = of_fits.traces(fits, _axes(WIDE))
    ax.set_ylabel("below its best, nats a point")
    return _figure(ax)


def log_density_figure(posterior: Posterior) -> Figure:
    """The log density of each chain of a sampler, draw by draw.

    Args:
        posterior: draws that have the statistic `lp`, in nats.
    """
    ax = _axes(WIDE)
    lp = posterior.statistics["lp"].cpu()
    shown = evenly_spaced(lp.shape[1], DRAWS)
    for chain in range(len(lp)):
        colour = parts.colour_of(chain)
        ax.plot(shown.numpy(), lp[chain, shown].numpy(), color=colour, linewidth=0.6, alpha=0.7)
    ax.set(xlabel="draw", ylabel="log density, nats")
    return _figure(ax)


def errors_figure(table: Any) -> Figure:
    """The errors of weights, means and covariances of each method: see `parameter_errors`."""
    ax = _axes((4.9, max(2.4, 0.4 * len(table) + 1)))
    of_fits.parameter_errors(table, ax)
    return _figure(ax)


def solutions_figure(fit: Result) -> Figure:
    """How far behind the best each solution of a search is: see `plot_solutions`."""
    assert fit.search is not None
    rows = min(searches.MOST, len(fit.search.solutions))
    ax = searches.plot_solutions(fit, _axes((6.2, max(1.9, 0.26 * rows + 1.3))))
    return _figure(ax)


def drawn_by(draw: Callable[[Axes], object], size: tuple[float, float]) -> Figure:
    """A figure of some inches with what a function draws on its axes."""
    ax = _axes(size)
    draw(ax)
    return _figure(ax)


# ---------------------------------------------------------------------- parts


def _axes(size: tuple[float, float]) -> Axes:
    return parts.loose_figure(size).subplots()


def _figure(ax: Axes) -> Figure:
    """The figure of these axes, with names of features taken as they are, also those with a $."""
    parts.as_written(ax.title, ax.xaxis.label, ax.yaxis.label)
    for artist in (*ax.patches, *ax.lines, *ax.collections):
        artist.set_in_layout(False)  # they lie inside the axes, and measuring them takes long
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def _number_means(
    ax: Axes, mixture: GaussianMixture, points: Tensor, names: tuple[str, ...]
) -> None:
    """The number of each component, beside its mean."""
    from matplotlib.patheffects import withStroke

    view = view_of_points(points, names)
    if not view.is_plane or mixture.n_components > MOST_NUMBERED:
        return
    for number, (across, up) in enumerate(view.points(mixture.means).tolist()):
        ax.annotate(
            str(number), (across, up), (5, 4), textcoords="offset points", weight="bold",
            color=parts.DARK, path_effects=[withStroke(linewidth=2.5, foreground=OUTLINE)],
        )  # fmt: skip


def _share_limits(panels: list[Axes]) -> None:
    """The same axes for all, wide enough for each."""
    limits = np.array([[*ax.get_xlim(), *ax.get_ylim()] for ax in panels])
    low, high = limits.min(0), limits.max(0)
    for ax in panels:
        ax.set(xlim=(low[0], high[1]), ylim=(low[2], high[3]))
