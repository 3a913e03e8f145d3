"""The parts that pictures are made of: axes, points, ellipses, curves and contours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, FigureBase
from matplotlib.legend import Legend
from matplotlib.text import Text
from torch import Tensor

from ..data.checks import shown
from .views import View

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
MARKERS = "osD^vP"  # one for each round through the colours
DARK, GREY = "0.15", "0.6"
BINS = 40
MANY = 1000  # points
KEY_SIZE = 30.0  # area of a point in a legend, in square typographic points
RING, MEAN = "in another cluster", "mean, 1 and 2 sd"  # in legends
MOST_NATS = 600.0  # of a log density whose exponential is a number
Kind = TypeVar("Kind")
ALIKE = 3.0  # ratio of two axes' lengths up to which they have the same scale


def prepared(ax: Axes | None, view: View) -> Axes:
    """Axes that carry the names of a view; new ones of pyplot's if there are none."""
    ax = given_or_new(ax)
    ax.set_xlabel(view.names[0])
    ax.set_ylabel(view.names[1] if view.is_plane else "density")
    as_written(ax.xaxis.label, ax.yaxis.label)
    return ax


def given_or_new(ax: Any) -> Axes:
    """The Axes that are given, or those of a new figure of pyplot's.

    Raises:
        TypeError: if something else is given.
    """
    return new_figure("constrained").subplots() if ax is None else checked("ax", ax, Axes)


def new_figure(layout: str, size: tuple[float, float] | None = None) -> Figure:
    """A figure of pyplot's, of its own size if none is given."""
    import matplotlib.pyplot as plt  # a figure of the caller's needs no pyplot

    return plt.figure(layout=layout, figsize=size)


def loose_figure(size: tuple[float, float]) -> Figure:
    """A figure of some inches that pyplot does not know of."""
    return Figure(layout="compressed", figsize=size)


def evenly(count: int, most: int) -> int:
    """Panels in a row, of so many in as few rows as may be, all about as long."""
    return math.ceil(count / math.ceil(count / most))


def panels(figure: FigureBase, count: int, columns: int, *, shared: bool) -> list[Axes]:
    """So many axes in rows, on the same scales if they are shared."""
    rows = math.ceil(count / columns)
    grid = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).flat
    for ax in grid[count:]:
        ax.remove()
    return list(grid[:count])


def checked(name: str, value: Any, kind: type[Kind]) -> Kind:
    """A value of a class.

    Raises:
        TypeError: if it is of another one.
    """
    if isinstance(value, kind):
        return value
    raise TypeError(f"{name} must be of the class {kind.__name__}, got {shown(value)}")


def as_written(*texts: Text) -> None:
    """Show names as they are, also those in which a $ would begin a formula."""
    for text in texts:
        text.set_parse_math(False)


def colour_of(number: int | None) -> str:
    """The colour of a class or component; grey for an outlier, and where there is none."""
    return GREY if number is None or number < 0 else COLOURS[number % len(COLOURS)]


def colours_of(numbers: Iterable[int]) -> list[str]:
    """The colours of components."""
    return [colour_of(number) for number in numbers]


# ---------------------------------------------------------------------- points


def draw_points(
    ax: Axes,
    shown: Float[Tensor, "n v"],
    numbers: Int[Tensor, "n"] | None,
    weight: Float[Tensor, "n"] | None = None,
) -> None:
    """Points of a plane, or a stacked histogram, by colour number; grey where there are none.

    Weights are those of the points in a histogram; dots are alike.
    """
    values = [None] if numbers is None else numbers.unique().tolist()
    chosen = [slice(None) if value is None else numbers == value for value in values]
    groups = [shown[rows].numpy() for rows in chosen]
    if shown.shape[1] == 2:
        return _scatter(ax, groups, values)
    weight = shown.new_ones(len(shown)) if weight is None else weight.to(shown)
    return _stack(ax, groups, values, [(weight[rows] / weight.sum()).numpy() for rows in chosen])


def _scatter(ax: Axes, groups: list[np.ndarray], numbers: Sequence[int | None]) -> None:
    n = sum(len(group) for group in groups)
    for group, number in zip(groups, numbers, strict=True):
        outlier = number is not None and number < 0
        ax.scatter(
            group[:, 0],
            group[:, 1],
            s=_size(n),
            color=colour_of(number),
            marker="x" if outlier else MARKERS[(number or 0) // len(COLOURS) % len(MARKERS)],
            linewidths=0.8 if outlier else 0,
            alpha=0.6,
            label=_name(number),
            zorder=2 - len(group) / n,  # small groups on top of large ones
            rasterized=n > MANY,  # a vector file of so many points is slow to open
        )
    _scale_alike(ax, np.concatenate(groups))


def _stack(
    ax: Axes,
    groups: list[np.ndarray],
    numbers: Sequence[int | None],
    shares: list[np.ndarray],
) -> None:
    edges = np.histogram_bin_edges(np.concatenate(groups), BINS)
    width = edges[1] - edges[0]
    ax.hist(
        [group[:, 0] for group in groups],
        edges.tolist(),
        weights=[share / width for share in shares],
        stacked=True,
        color=[colour_of(number) for number in numbers],
        label=[_name(number) for number in numbers],
        alpha=0.45,
    )


def _name(number: int | None) -> str:
    """What a legend calls a class; one with a leading underscore is left out of it."""
    if number is None:
        return "_points"
    return "outlier" if number < 0 else str(number)


def _size(n: int) -> float:
    """Area of a point among n, in square typographic points."""
    return float(np.clip(6000 / n, 3, 20))


def _scale_alike(ax: Axes, points: Float[np.ndarray, "n 2"]) -> None:
    """Give both axes one scale where the points are about as high as wide: circles are round."""
    width, height = np.ptp(points, axis=0)
    if width < ALIKE * height and height < ALIKE * width:
        ax.set_aspect("equal", adjustable="box")


def draw_histogram(ax: Axes, values: Float[Tensor, "n"], weight: Float[Tensor, "n"] | None) -> None:
    """A histogram of one feature, as a density, of the values that are not missing."""
    there = ~values.isnan()
    weights = None if weight is None else weight.cpu()[there].numpy()
    shown = values[there].numpy()
    ax.hist(shown, BINS, weights=weights, density=True, color=GREY, alpha=0.45, label="data")


def draw_rings(ax: Axes, shown: Float[Tensor, "n 2"], chosen: Bool[Tensor, "n"]) -> None:
    """A ring around each chosen point, unless they are among so many that rings would hide them."""
    if not chosen.any() or len(shown) > MANY:
        return
    x, y = shown[chosen].numpy().T
    size = 2.5 * _size(len(shown))
    ax.scatter(x, y, s=size, facecolors="none", edgecolors=DARK, linewidths=0.9, label=RING)


def draw_blended(
    ax: Axes, shown: Float[Tensor, "n 2"], share: Float[Tensor, "n k"], colours: list[str]
) -> None:
    """Points in the mean of the components' colours, their edges dark where that is uncertain."""
    palette = np.array([to_rgb(colour) for colour in colours])
    entropy = torch.special.entr(share).sum(1).numpy() / math.log(max(2, len(colours)))
    edges = np.concatenate([np.zeros((len(share), 3)), np.sqrt(entropy)[:, None]], 1)
    order = entropy.argsort()  # the uncertain ones on top
    x, y = shown.numpy()[order].T
    ax.scatter(
        x,
        y,
        s=1.5 * _size(len(shown)),
        c=(share.numpy() @ palette)[order].clip(0, 1),
        edgecolors=edges[order].clip(0, 1),
        linewidths=1.0,
    )
    _scale_alike(ax, shown.numpy())


def draw_key(ax: Axes, title: str, keys: Sequence[Artist] | None = None) -> None:
    """A legend beside the axes, where it hides nothing."""
    keys = ax.get_legend_handles_labels()[0] if keys is None else keys
    place: Any = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    show_plainly(ax.legend(handles=keys, title=title, frameon=False, **place))


def drop_key(ax: Axes) -> None:
    """Take away the legend, if there is one."""
    if (legend := ax.get_legend()) is not None:
        legend.remove()


def show_plainly(legend: Legend) -> None:
    """Show names as they are, and points in one size, however small they are in the picture."""
    as_written(*legend.get_texts(), legend.get_title())
    for key in legend.legend_handles:
        if isinstance(key, PathCollection):
            key.set_sizes([KEY_SIZE])
            key.set_alpha(1.0)


# ---------------------------------------------------------------------- components
