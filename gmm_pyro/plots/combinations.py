"""Pictures of components combined into clusters: the tree, its elbow, and the points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ..combining.record import CombinationRecord
from ..data.words import counted
from . import outlines, parts
from .views import view_of_points

WIDTHS, HEIGHT = (3.6, 3.6, 4.4), 3.6  # of the panels, in inches
GAP = 0.12  # beside each of them, in inches
LEAST = 1e-6  # of a strength that is drawn
MOST_TICKS = 10
FLAT = 30  # components whose numbers have room beside each other
MOST_KEYS = 10  # clusters that a key has room for
JOINED = "0.45"  # colour of links between clusters


def combination(
    combination: CombinationRecord,
    n_clusters: int | None = None,
    *,
    features: Sequence[int | str] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """A figure with the tree, what says where to stop, and the points in their clusters.

    Args:
        combination: what `gmm_pyro.combine` returns.
        n_clusters: how many clusters are shown; None for the proposal.
        features: names or numbers of one or two features to show, as in `scatter`.
        figure: an empty figure to draw in; a new one of pyplot's if there is none.

    Raises:
        ValueError: if there cannot be as many clusters, or a feature does not exist.
    """
    found = parts.checked("combination", combination, CombinationRecord)
    found.clusters(n_clusters)  # before there is a figure
    size = (sum(WIDTHS), HEIGHT)
    new = parts.new_figure("constrained", size) if figure is None else figure
    figure = parts.checked("figure", new, Figure)
    left, middle, right = figure.subplots(1, 3, gridspec_kw={"width_ratios": WIDTHS})
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=GAP)
    merging_tree(found, n_clusters, left)
    merging_elbow(found, middle)
    combined_clusters(found, n_clusters, right, features=features)
    return figure


def _below(steps: np.ndarray, k: int) -> list[set[int]]:
    """The components below each node of a tree, those of the ends first."""
    below = [{i} for i in range(k)]
    for one, other in steps[:, :2].astype(int).tolist():
        below.append(below[one] | below[other])
    return below


def merging_tree(
    combination: CombinationRecord, n_clusters: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw which components are merged at which number of clusters, cut where some are shown.

    A cluster has the colour of its points in `combined_clusters`. The heights count merges:
    `combination.linkage` has those of the rule for `scipy.cluster.hierarchy.dendrogram`.

    Args:
        combination: what `gmm_pyro.combine` returns.
        n_clusters: how many clusters are coloured; None for the proposal.
        ax: where to draw.

    Raises:
        ValueError: if there cannot be as many clusters.
    """
    from scipy.cluster.hierarchy import dendrogram

    found = parts.checked("combination", combination, CombinationRecord)
    clusters, k = found.clusters(n_clusters), found.mixture.n_components
    ax = parts.given_or_new(ax)
    steps = found.linkage
    steps[:, 2] = range(1, k)
    own = {i: number for number, part in enumerate(clusters) for i in part}
    below = _below(steps, k)

    def colour(node: int) -> str:
        numbers = {own[i] for i in below[node]}
        return parts.colour_of(numbers.pop()) if len(numbers) == 1 else JOINED

    if k > 1:
        style = {"leaf_rotation": 90 * (k > FLAT), "leaf_font_size": min(10.0, max(4.0, 160 / k))}
        dendrogram(steps, ax=ax, link_color_func=colour, **style)
    else:
        ax.vlines(5.0, 0, 1, color=parts.colour_of(0))
        ax.set(xlim=(0, 10), xticks=[5.0], xticklabels=["0"])
    cut = k - len(clusters) + 0.5
    ax.axhline(cut, color=parts.DARK, linestyle="--", linewidth=0.8)
    for label in ax.get_xticklabels():
        label.set(color=parts.colour_of(own[int(label.get_text())]), fontweight="bold")
    ax.set_ylim(0, k + 0.2)
    ticks = range(0, k, max(1, -(-k // MOST_TICKS)))
    ax.set_yticks(list(ticks), [str(k - tick) for tick in ticks])
    title = f"{counted(k, 'component')} in {counted(len(clusters), 'cluster')}"
    ax.set(xlabel="component", ylabel="clusters left", title=title)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def merging_elbow(combination: CombinationRecord, ax: Axes | None = None) -> Axes:
    """Draw what says where to stop, against the number of clusters.

    By entropy, that of the assignment, with the two lines that meet in the elbow; else how strongly
    the next two clusters are alike, with the threshold.

    Args:
        combination: what `gmm_pyro.combine` returns.
        ax: where to draw.
    """
    found = parts.checked("combination", combination, CombinationRecord)
    ax = parts.given_or_new(ax)
    if found.threshold is None:
        _draw_entropy(ax, found)
    else:
        _draw_strengths(ax, found, found.threshold)
    ax.axvline(found.n_clusters, color=parts.DARK, linestyle=":", linewidth=1.2, zorder=1)
    ax.set_title(f"proposed: {found.n_clusters}")
    ax.set_xlabel("number of clusters")
    ax.set_xlim(0.6, found.mixture.n_components + 0.4)
    k = found.mixture.n_components
    ax.set_xticks(range(1, k + 1, max(1, -(-k // MOST_TICKS))))
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small", framealpha=0.9, edgecolor="none")
    return ax


def _draw_entropy(ax: Axes, found: CombinationRecord) -> None:
    entropies = found.entropies.flip(0).numpy()
    numbers = np.arange(1, len(entropies) + 1)
    ax.plot(numbers, entropies, "o", color=parts.COLOURS[0], label="entropy", clip_on=False)
    elbow = found.elbow
    if elbow is not None:
        for number, (line, ends) in enumerate(
            zip(
                elbow.lines,
                ((1, elbow.n_clusters), (elbow.n_clusters, len(elbow.x))),
                strict=True,
            )
        ):
            name = "_line" if number else f"two lines: {elbow.explained:.0%} better than one"
            ax.plot(ends, [line(x) for x in ends], "--", color=parts.COLOURS[4], lw=1.2, label=name)
    ax.set_ylabel("entropy of the assignment, nats")


def _draw_strengths(ax: Axes, found: CombinationRecord, threshold: float) -> None:
    strengths = np.array([merge.strength for merge in found.merges]).clip(LEAST)
    numbers = np.arange(len(strengths) + 1, 1, -1)
    ax.plot(numbers, strengths, "o", color=parts.COLOURS[0], label="of the next merge")
    ax.axhline(threshold, color=parts.COLOURS[4], linestyle="--", lw=1.2, label="threshold")
    ax.set_yscale("log")
    ax.set_ylim(bottom=min(LEAST, threshold) * 0.5, top=2.0)
    ax.set_ylabel(found.rule.strength)


def combined_clusters(
    combination: CombinationRecord,
    n_clusters: int | None = None,
    ax: Axes | None = None,
    *,
    features: Sequence[int | str] | None = None,
) -> Axes:
    """Draw the points coloured by their most probable cluster, with the components of each.

    Components are drawn as in `clusters`, in the colour of the cluster that they belong to. There
    is a key of up to ten clusters.

    Args:
        combination: what `gmm_pyro.combine` returns.
        n_clusters: how many clusters are shown; None for the proposal.
        ax: where to draw.
        features: names or numbers of one or two features to show, as in `scatter`.

    Raises:
        ValueError: if there cannot be as many clusters, or a feature does not exist.
    """
    found = parts.checked("combination", combination, CombinationRecord)
    clusters, mixture = found.clusters(n_clusters), found.mixture
    filled, weight = mixture.impute(found.seen.points.x), found.seen.weight
    view = view_of_points(filled, mixture.feature_names, features)
    ax, shown = parts.prepared(ax, view), view.mixture(mixture)
    labels = found.labels(len(clusters)).cpu()
    numbers = torch.empty(mixture.n_components, dtype=torch.long)
    for number, components in enumerate(clusters):
        numbers[list(components)] = number
    colours = parts.colours_of(numbers.tolist())
    weight = None if weight is None else weight.cpu()
    parts.draw_points(ax, view.points(filled), labels, weight)
    if view.is_plane:
        outlines.draw_ellipses(ax, shown, colours)
    else:
        outlines.draw_curves(ax, shown, [])
        outlines.draw_bells(ax, shown, colours)
    if len(clusters) <= MOST_KEYS:
        parts.draw_key(ax, "cluster")
    return ax
