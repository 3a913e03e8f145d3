"""A picture of the tree of merges."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ..agglomeration.tree import Tree, clusters
from ..data.checks import check_count
from . import parts

MOST_LEAVES = 40  # that are drawn as such
MARGIN = 0.01  # of the largest height, below zero
TOPS = 30  # clusters that the tree ends in, where there are more leaves


def dendrogram(tree: Tree, k: int | None = None, ax: Axes | None = None) -> Axes:
    """Draw a tree of merges: how much each loses, with k clusters in colour.

    Of more than 40 points, the tree ends in the last 30 clusters (or k, if they are more), each
    with the number of its points in parentheses; other numbers at the ends are rows of the data. A
    dashed line crosses the tree where k clusters are left, which have the colours that other
    pictures of `tree.labels(k)` give them.

    Args:
        tree: what `gmm_pyro.agglomerate` has returned.
        k: number of clusters; None for no colours.
        ax: where to draw.

    Raises:
        ValueError: if there are not so many leaves.
    """
    from scipy.cluster import hierarchy

    tree = parts.checked("tree", tree, Tree)
    m = len(tree.rows)
    k = None if k is None else check_count("k", k, 1, m)
    ax, whole = parts.given_or_new(ax), m <= MOST_LEAVES
    colours = [parts.DARK] * (2 * m - 1) if k is None else _colours(tree, k)
    hierarchy.dendrogram(
        tree.linkage,
        p=max(TOPS, k or 1),
        truncate_mode=None if whole else "lastp",
        labels=tree.rows.numpy() if whole else None,
        link_color_func=colours.__getitem__,
        leaf_rotation=90,
        ax=ax,
    )
    ax.set_ylim(bottom=-MARGIN * tree.linkage[-1, 2])  # merges at zero are seen
    if k is not None:
        _cut(ax, tree, k)
    squares = tree.criterion == "EII"
    ax.set_ylabel("squares added by the merge" if squares else "loss by the merge, nats")
    ax.set_xlabel("row" if whole else "row, or (number of points)")
    ax.set_title(f"{tree.criterion}" + ("" if k is None else f", {k} clusters"))
    return ax


def _cut(ax: Axes, tree: Tree, k: int) -> None:
    """A line where k clusters are left, if these are several."""
    if k == 1:
        return
    left, heights = len(tree.rows) - k, np.concatenate([[0.0], tree.linkage[:, 2]])
    level = heights[left : left + 2].mean()
    ax.axhline(level, color=parts.DARK, linewidth=0.8, linestyle="--", zorder=0)


def _colours(tree: Tree, k: int) -> list[str]:
    """Of every cluster on the way, the colour of the one of k that it is a part of; or dark."""
    m, whole = len(tree.rows), clusters(tree.linkage, k)
    labels = tree.labels(k)[tree.rows].tolist()
    numbers = dict(zip(whole[:m].tolist(), labels, strict=True))
    return [parts.colour_of(numbers[i]) if i in numbers else parts.DARK for i in whole.tolist()]
