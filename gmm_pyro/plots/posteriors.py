"""Pictures of posteriors: density, components, clusterings, and labels as sampled and aligned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

from ..data.checks import check_count, check_list, check_number
from ..posterior import Posterior
from ..posterior.alignment import values_of
from ..posterior.draws import evenly_spaced
from ..posterior.predictive import feature_column
from ..posterior.sizes import of_one_number
from . import outlines, parts
from .mixtures import DRAWS
from .views import mixtures_drawn, view_of_points

PLACES = 301  # at which a density is evaluated
MARGIN = 0.15  # of the data's range, on either side
POINTS = 400  # most points in a matrix of pairs
DOTS = 2000  # most draws in a trace


def density_band(
    posterior: Posterior,
    ax: Axes | None = None,
    *,
    feature: int | str | None = None,
    prob: float = 0.94,
) -> Axes:
    """Draw the posterior predictive density of one feature, with a band, over a histogram.

    Args:
        posterior: draws.
        ax: where to draw.
        feature: name or number of the feature; only univariate data need none.
        prob: what the band holds of the densities of the draws, at each place, with equal tails.

    Raises:
        ValueError: if there is no such feature, or prob is not between 0 and 1.
    """
    data = check_posterior(posterior).observations
    column = feature_column(data.feature_names, feature)
    prob = check_number("prob", prob, high=1.0, positive=True)
    values = data.x[:, column].detach().cpu().double()
    grid = places(values)
    band = posterior.density_band(grid, prob, feature=column)
    ax = parts.prepared(ax, view_of_points(data.x, data.feature_names, [column]))
    parts.draw_histogram(ax, values, data.sample_weight)
    mean, lower, upper = (t.cpu().double().numpy() for t in (band.mean, band.lower, band.upper))
    colour, x = parts.COLOURS[0], grid.numpy()
    ax.fill_between(x, lower, upper, color=colour, alpha=0.3, linewidth=0, label=f"{prob:.0%} band")
    ax.plot(x, mean, color=colour, linewidth=1.5, label="posterior mean")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax


def places(values: Float[Tensor, "n"]) -> Float[Tensor, "g"]:
    """Where a density is evaluated to be drawn over these values: a little beyond them."""
    there = values[~values.isnan()]
    low, high = float(there.min()), float(there.max())
    margin = MARGIN * (high - low)
    return torch.linspace(low - margin, high + margin, PLACES, dtype=torch.float64)


def posterior_ellipses(
    posterior: Posterior,
    ax: Axes | None = None,
    *,
    features: Sequence[int | str] | None = None,
    n_draws: int = DRAWS,
) -> Axes:
    """Draw the components of many draws over the points, as thin ellipses at two deviations.

    The mean mixture is drawn as crosses and ellipses at one and two. Of univariate data, curves
    are the densities of the draws and of the mean mixture, over a histogram. Colours mean
    something where components are aligned: see `Posterior.relabel`. Where their number is unknown,
    draws are those with as many components with points as most have.

    Args:
        posterior: draws.
        ax: where to draw.
        features: names or numbers of one or two features to show; None shows all of one or two,
            and the first two principal axes of more.
        n_draws: how many draws at most, evenly spaced.

    Raises:
        ValueError: if a feature does not exist.
    """
    n_draws = check_count("n_draws", n_draws)
    posterior = of_one_number(check_posterior(posterior))
    data, mixture = posterior.observations, posterior.mixture()
    view = view_of_points(data.x, data.feature_names, features)
    ax = parts.prepared(ax, view)
    draws = [view.mixture(draw) for draw in mixtures_drawn(posterior, mixture, n_draws)]
    parts.draw_points(ax, view.points(data.x), None, data.sample_weight)
    if view.is_plane:
        colours = parts.colours_of(range(posterior.n_components))
        outlines.draw_thin_ellipses(ax, draws, colours)
        outlines.draw_ellipses(ax, view.mixture(mixture), colours)
    else:
        outlines.draw_curves(ax, view.mixture(mixture), draws)
    # above the axes: beside them there is no room for so long a text
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return ax


def label_traces(
    posterior: Posterior,
    axes: tuple[Axes, Axes] | None = None,
    *,
    by: str | tuple[str, Any] | None = None,
) -> tuple[Axes, Axes]:
    """Draw one number of each component over the draws: as sampled, and with labels aligned.

    Args:
        posterior: draws; they are aligned by `relabel()` if they have not been. Where the number of
            components is unknown, they are those with as many with points as most have.
        axes: where to draw the draws as they were sampled, and aligned.
        by: which number: a site, or a site and an index into it, as ("means", 1); the first entry
            of a site alone. None is the mean of the first feature.

    Raises:
        ValueError: if there is no such number.
    """
    posterior = of_one_number(check_posterior(posterior))
    known = posterior.ambiguous is not None
    aligned = posterior if known else posterior.relabel()
    chains = [
        values_of(draws.draws, draws.family, by).detach().cpu().double()
        for draws in (aligned.raw(), aligned)
    ]
    left, right = _two(axes)
    name, ambiguous = _name(posterior, by), aligned.ambiguous
    note = f" ({ambiguous:.0%} ambiguous)" if ambiguous else ""
    titles = ("as sampled", f"aligned{note}")
    for ax, values, title in zip((left, right), chains, titles, strict=True):
        _dots(ax, values)
        ax.set(title=title, xlabel="draw")
    parts.as_written(left.yaxis.label)
    left.set_ylabel(name)
    _draw_dots_key(right, posterior.n_components)
    return left, right


def check_posterior(value: Any) -> Posterior:
    """The posterior.

    Raises:
        TypeError: if it is none, with where that of a fit is.
    """
    if isinstance(value, Posterior):
        return value
    within = isinstance(getattr(value, "posterior", None), Posterior)
    hint = ": pass its .posterior" if within else ""
    raise TypeError(f"posterior must be a gmm_pyro.Posterior, got {type(value).__name__}{hint}")


def _two(axes: Any) -> list[Axes]:
    """The two Axes that are given, or those of a new figure of pyplot's."""
    if axes is None:
        return list(parts.new_figure("constrained", (9.0, 3.6)).subplots(1, 2, sharey=True))
    given = check_list("axes", axes, "two Axes")
    if len(given) != 2:
        raise ValueError(f"axes must be two Axes, got {len(given)}")
    return [parts.checked("axes", ax, Axes) for ax in given]


def _name(posterior: Posterior, by: str | tuple[str, Any] | None) -> str:
    """What the number is called."""
    site, index = by if isinstance(by, tuple) else (by or "means", None)
    width = posterior.draws[site].ndim - 3 if site in posterior.draws else 0
    place = index if isinstance(index, tuple) else (0 if index is None else index,) * width
    names = ", ".join(posterior.observations.feature_names[i] for i in place)
    return f"{site} of {names}" if names else str(site)


def _dots(ax: Axes, values: Float[Tensor, "chain draw k"]) -> None:
    """A dot for each draw and component, chain after chain, with a line between chains."""
    chains, draws, k = values.shape
    shown = evenly_spaced(draws, max(1, DOTS // chains))
    at = (torch.arange(chains)[:, None] * draws + shown).flatten()
    for component in range(k):
        ax.plot(
            at.numpy(),
            values[:, shown, component].flatten().numpy(),
            ".",
            markersize=3,
            markeredgewidth=0,
            color=parts.colour_of(component),
            rasterized=len(at) > parts.MANY,
        )
    for chain in range(1, chains):
        ax.axvline(chain * draws - 0.5, color=parts.GREY, linewidth=0.8)
    ax.set_xlim(-0.5, chains * draws - 0.5)


def _draw_dots_key(ax: Axes, k: int) -> None:
    """A legend whose dots are large enough to see their colours."""
    dots = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=str(component))
        for component, colour in enumerate(parts.colours_of(range(k)))
    ]
    parts.draw_key(ax, "component", dots)


def co_clustering(
    posterior: Posterior, ax: Axes | None = None, *, loss: str = "vi", max_points: int = POINTS
) -> Axes:
    """Draw how probably points share a component: a matrix, ordered by the best partition.

    Lines separate the clusters of the partition, the largest first. Within one, those points come
    first that are together with the others most surely.

    Args:
        posterior: draws; how their components are labelled plays no part.
        ax: where to draw.
        loss: what the partition minimises: see `Posterior.partition`.
        max_points: how many points at most, evenly spaced among the data.

    Raises:
        ValueError: if there is no such loss.
    """
    max_points = check_count("max_points", max_points)
    rows = evenly_spaced(check_posterior(posterior).observations.n, max_points)
    found = posterior.partition(loss, rows=rows)
    order = _by_cluster(found.labels, found.co_clustering)
    ax = parts.given_or_new(ax)
    together = found.co_clustering[order][:, order].numpy()
    picture = ax.imshow(together, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    ends = found.labels.bincount().cumsum(0).numpy()
    for end in ends[:-1]:
        for draw_line in (ax.axhline, ax.axvline):
            draw_line(end - 0.5, color=parts.DARK, linewidth=0.6)
    _mark_clusters(ax, ends)
    bar = ax.figure.colorbar(picture, ax=ax, shrink=0.85)
    bar.set_label("probability of sharing a component")
    return ax


def _by_cluster(labels: Int[Tensor, "n"], together: Float[Tensor, "n n"]) -> Int[Tensor, "n"]:
    """Points cluster by cluster, the surest first."""
    same = (labels[:, None] == labels).double()
    sureness = (together * same).sum(1) / same.sum(1)
    return torch.from_numpy(np.lexsort([-sureness.numpy(), labels.numpy()]))


def _mark_clusters(ax: Axes, ends: Int[np.ndarray, "clusters"]) -> None:
    """The number of points in each cluster, at its middle, where there is room for it."""
    sizes = np.diff(ends, prepend=0)
    room = sizes > 0.04 * ends[-1]
    middles = ((ends - sizes / 2) - 0.5)[room]
    names = [str(size) for size in sizes[room]]
    ax.set_xticks(middles, names)
    ax.set_yticks(middles, names)
    ax.tick_params(length=0)
    ax.set_xlabel("points in each cluster")
