"""Shapes of mixtures: ellipses of components, curves and regions of the density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse, Patch
from torch import Tensor

from ..mixture.value import GaussianMixture
from .parts import COLOURS, DARK, MEAN, MOST_NATS, draw_key

GRID = 201  # points along an axis at which a density is evaluated
REACH = 3.5  # standard deviations about each mean over which a density is drawn
REGIONS = (0.99, 0.9, 0.5)  # probabilities that the contours of a density hold
SHADES = (0.08, 0.25, 0.55)  # how dark their insides are


Chosen = Sequence[int] | None  # components that are drawn and set limits; all, where None


def draw_ellipses(
    ax: Axes, mixture: GaussianMixture, colours: list[str], components: Chosen = None
) -> None:
    """Means as crosses, covariances as ellipses at one and two standard deviations."""
    _draw_outlines(ax, mixture, (1, 2), colours, components, linewidth=1.8)
    x, y = mixture.means[_numbers(mixture, components)].numpy().T
    ax.scatter(x, y, marker="+", s=60, color=DARK, linewidths=1.5, zorder=4, label=MEAN)
    ax.autoscale_view()


def draw_thin_ellipses(
    ax: Axes, mixtures: list[GaussianMixture], colours: list[str], components: Chosen = None
) -> None:
    """Covariances of many mixtures, as thin ellipses at two standard deviations."""
    for mixture in mixtures:
        _draw_outlines(ax, mixture, (2,), colours, components, linewidth=0.5, alpha=0.35)
    if mixtures:
        ax.plot([], [], DARK, linewidth=0.5, alpha=0.35, label="posterior draws, 2 sd")


def _draw_outlines(
    ax: Axes,
    mixture: GaussianMixture,
    radii: Sequence[int],
    colours: list[str],
    components: Chosen,
    **style: Any,
) -> None:
    """Ellipses of components, at so many standard deviations."""
    variances, axes = np.linalg.eigh(mixture.covariances.numpy())
    sd = np.sqrt(variances.clip(0))  # of a line, where rounding may leave less than nothing
    angles = np.degrees(np.arctan2(axes[:, 1, 1], axes[:, 0, 1]))
    for i in _numbers(mixture, components):
        x, y = mixture.means[i].tolist()
        for radius in radii:
            short, long = 2 * radius * sd[i]
            shape = {"angle": angles[i], "color": colours[i], "fill": False}
            ax.add_patch(Ellipse((x, y), long, short, **shape, **style))


def draw_bells(
    ax: Axes, mixture: GaussianMixture, colours: list[str], components: Chosen = None
) -> None:
    """Each component's share of a density over one axis."""
    grid = _grid(mixture, 0, components)
    share = mixture.responsibilities(grid) * mixture.log_prob(grid).exp()[:, None]
    for i in _numbers(mixture, components):
        ax.plot(grid.numpy(), share[:, i].numpy(), color=colours[i], linewidth=3)


def draw_shares(
    ax: Axes,
    x: Float[Tensor, "n"],
    mixture: GaussianMixture,
    colours: list[str],
    components: Chosen = None,
) -> None:
    """Responsibilities as curves over one axis, above a tick for each point."""
    grid = _grid(mixture, 0, components)
    share = mixture.responsibilities(grid)
    for i in _numbers(mixture, components):
        ax.plot(grid.numpy(), share[:, i].numpy(), color=colours[i], linewidth=1.8)
    ax.plot(x.numpy(), np.full(len(x), -0.04), "|", color=DARK, alpha=0.3, markersize=5)
    ax.set_ylabel("responsibility")


def draw_curves(
    ax: Axes, mixture: GaussianMixture, draws: list[GaussianMixture], components: Chosen = None
) -> None:
    """A density over one axis, with those of posterior draws as thin curves."""
    grid = _grid(mixture, 0, components)
    x = grid.numpy()
    for i, draw in enumerate(draws):
        name = "_draw" if i else "posterior draws"
        ax.plot(x, draw.log_prob(grid).exp().numpy(), "0.4", lw=0.5, alpha=0.4, label=name)
    height = mixture.log_prob(grid).exp().numpy()
    ax.plot(x, height, DARK, linewidth=1, label="mixture", zorder=2.5)


def draw_regions(ax: Axes, mixture: GaussianMixture, components: Chosen = None) -> None:
    """The smallest regions of a plane that hold given probabilities, as contours."""
    across, up = _grid(mixture, 0, components), _grid(mixture, 1, components)
    points = torch.cartesian_prod(across, up)
    log_height = mixture.log_prob(points).reshape(GRID, GRID).T
    peak = float(log_height.max())
    if abs(peak) > MOST_NATS:  # relative to the peak, where densities are out of range
        log_height = log_height - peak
    height = log_height.exp().numpy()
    levels = _levels(height)
    shades = [(*to_rgb(COLOURS[0]), alpha) for alpha in SHADES[: len(levels)]]
    edges = list(levels.values())
    ax.contourf(across.numpy(), up.numpy(), height, [*edges, 1.01 * height.max()], colors=shades)
    ax.contour(across.numpy(), up.numpy(), height, edges, colors=DARK, linewidths=0.6)
    inside = zip(reversed(levels), reversed(shades), strict=True)
    keys = [Patch(fc=shade, ec=DARK, lw=0.6, label=f"{region:.0%}") for region, shade in inside]
    draw_key(ax, "probability\ninside", keys)


def _levels(height: Float[np.ndarray, "g g"]) -> dict[float, float]:
    """Probabilities of `REGIONS`, and the densities above which a grid holds them.

    Of a density that is narrower than the grid, several regions are one place, which goes by the
    largest probability.
    """
    falling = np.sort(height, axis=None)[::-1]
    held = falling.cumsum() / falling.sum()
    levels: dict[float, float] = {}
    for region in REGIONS:
        level = float(falling[np.searchsorted(held, region)])
        if level > max(levels.values(), default=0.0):
            levels[region] = level
    return levels


def _numbers(mixture: GaussianMixture, components: Chosen) -> list[int]:
    return list(range(mixture.n_components) if components is None else components)


def _grid(mixture: GaussianMixture, axis: int, components: Chosen) -> Float[Tensor, "g"]:
    """Places along an axis that cover components, and the noise if there is any."""
    chosen = _numbers(mixture, components)
    sd, mean = mixture.covariance_matrices()[chosen, axis, axis].sqrt(), mixture.means[chosen, axis]
    low, high = mean - REACH * sd, mean + REACH * sd
    if mixture.noise_component is not None:
        ends = [end[[axis]].to(low) for end in mixture.noise_component.ends(REACH)]
        low, high = torch.cat([low, ends[0]]), torch.cat([high, ends[1]])
    return torch.linspace(float(low.min()), float(high.max()), GRID, dtype=torch.float64)
