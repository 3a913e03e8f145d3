"""The picture of a simulation-based calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase, SubFigure
from torch import Tensor

from ..data.checks import shown
from . import parts

COLUMNS = 5  # most panels in a row
WIDTH, HEIGHT = 1.9, 1.6  # of a panel, in inches
MARGIN = 0.5  # beside and below the panels, in inches
RIGHT, WRONG = parts.COLOURS[0], parts.COLOURS[4]


class Banded(Protocol):
    """Places, and between which differences a curve should lie there."""

    @property
    def places(self) -> Tensor:
        """Between 0 and 1, shape (z,)."""

    @property
    def lower(self) -> Tensor:
        """Smallest differences, shape (z,)."""

    @property
    def upper(self) -> Tensor:
        """Largest differences, shape (z,)."""


class Ranked(Protocol):
    """What the picture needs to know of a calibration."""

    @property
    def ecdf_difference(self) -> Mapping[str, Tensor]:
        """Curves by quantity, shape (z,)."""

    @property
    def band(self) -> Banded:
        """Where they should lie."""

    @property
    def passes(self) -> Mapping[str, bool]:
        """Whether they do."""


def calibration(
    calibration: Ranked, figure: Figure | SubFigure | None = None
) -> Figure | SubFigure:
    """Draw how far the ranks of each quantity are from uniform, in a small panel each.

    A curve is the share of ranks below a place, less what it should be, within the band that the
    whole curve of a right posterior leaves only at the failure rate. A posterior that is too narrow
    has a hill and then a valley; one that is too wide, a valley and then a hill; one that is
    shifted, a single hill or valley. Dots are where a curve leaves the band.

    Args:
        calibration: what `gmm_pyro.calibration.simulation_based_calibration` returned.
        figure: an empty figure, or part of one, to draw in; a new one of pyplot's if there is none.

    Returns:
        The figure.

    Source: Säilynoja, Bürkner & Vehtari (2022).
    """
    if not hasattr(type(calibration), "ecdf_difference"):
        wanted = "what simulation_based_calibration returned"
        raise TypeError(f"calibration must be {wanted}, got {shown(calibration)}")
    figure = parts.new_figure("constrained") if figure is None else figure
    parts.checked("figure", figure, FigureBase)
    curves, band, passes = calibration.ecdf_difference, calibration.band, calibration.passes
    panels = _panels(figure, len(curves))
    for (name, curve), ax in zip(curves.items(), panels, strict=True):
        colour, outside = (RIGHT, "") if passes[name] else (WRONG, " ✗")
        _draw(ax, curve, band, colour)
        parts.as_written(ax.set_title(name.replace("_", " ") + outside, fontsize="medium"))
    figure.supxlabel("rank of the truth, as a share of the draws", fontsize="medium")
    figure.supylabel("ECDF less uniform", fontsize="medium")
    return figure


def _draw(ax: Axes, curve: Tensor, band: Banded, colour: str) -> None:
    """One curve in its band, both zero at either end."""
    places = [0.0, *band.places.tolist(), 1.0]
    lower, upper, middle = ([0.0, *v.tolist(), 0.0] for v in (band.lower, band.upper, curve))
    ax.fill_between(places, lower, upper, color="0.88", linewidth=0)
    ax.axhline(0, color=parts.GREY, linewidth=0.6)
    ax.plot(places, middle, color=colour, linewidth=1.4)
    outside = (curve < band.lower) | (curve > band.upper)
    ax.plot(band.places[outside].numpy(), curve[outside].numpy(), ".", color=colour, markersize=7)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])


def _panels(figure: Figure | SubFigure, count: int) -> list[Axes]:
    """Panels on shared axes, in rows of about the same length."""
    columns = parts.evenly(count, COLUMNS)
    if isinstance(figure, Figure):
        rows = math.ceil(count / columns)
        figure.set_size_inches(WIDTH * columns + MARGIN, HEIGHT * rows + MARGIN)
    panels = parts.panels(figure, count, columns, shared=True)
    for ax in panels[-columns:]:
        ax.tick_params(labelbottom=True)  # also above an empty place
    return panels
