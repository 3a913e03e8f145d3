"""Where levels of a factor are on an axis: as numbers, by their logarithms, or as words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ..data.words import level_text
from . import parts

LARGE = 8.0  # ratio of the largest level to the smallest, from which an axis is logarithmic
CLOSE = 25.0  # levels nearer to each other than their range by this are set apart evenly
BESIDE, MOST_BESIDE = 0.5, 0.8  # of the room at a level that methods take, few and many
CROWD = 15.0  # methods, by which more of the room is taken
WIDEST = 4.0  # an axis has room for so many levels at least
MANY = 9  # levels, up to which each has a tick


@dataclass(frozen=True, eq=False)
class Scale:
    """An axis for some levels.

    Attributes:
        kind: "linear" or "log" of numbers, "even" of numbers that are set apart evenly, "words".
        places: where each level is, shape (l,).
        texts: what its tick says.
        gap: room for the methods at a level, in units of the axis: of logarithms, where it has
            these.
    """

    kind: str
    places: Float[np.ndarray, "l"]
    texts: tuple[str, ...]
    gap: float

    @property
    def joins(self) -> bool:
        """Whether what is between levels means something."""
        return self.kind != "words" and len(self.texts) > 1

    def beside(self, number: int, count: int) -> Float[np.ndarray, "l"]:
        """Places of one of several methods, beside those of the others."""
        share = min(max(BESIDE, count / CROWD), MOST_BESIDE)
        step = share * self.gap / max(count, 4)
        apart = (number - (count - 1) / 2) * step
        return self.places * math.exp(apart) if self.kind == "log" else self.places + apart

    def dress(self, ax: Axes) -> None:
        """Ticks at the levels, and room for all."""
        if self.kind == "log":
            ax.set_xscale("log")
            ax.xaxis.set_minor_locator(NullLocator())
        half = 0.5 * self.gap
        low, high = self.places.min(), self.places.max()
        if self.kind == "log":
            ax.set_xlim(low * math.exp(-half), high * math.exp(half))
        else:
            ax.set_xlim(low - half, high + half)
        every = math.ceil(len(self.texts) / MANY) if self.kind != "words" else 1
        ax.set_xticks(self.places[::every], self.texts[::every])
        parts.as_written(*ax.get_xticklabels())


def scale_of(levels: Sequence[Any]) -> Scale:
    """The axis that suits levels, in their order."""
    texts = tuple(level_text(level) for level in levels)
    evenly = np.arange(len(levels), dtype=float)
    if not all(_is_number(level) for level in levels) or len(levels) == 1:
        return Scale("words", evenly, texts, 1.0)
    places = np.array(levels, dtype=float)
    near = float(np.diff(np.sort(places)).min())
    low, high = float(places.min()), float(places.max())
    if low > 0 and high >= LARGE * low:
        return Scale("log", places, texts, _gap(np.log(places)))
    if near * CLOSE < high - low:
        return Scale("even", evenly, texts, _gap(evenly))
    return Scale("linear", places, texts, _gap(places))


def _gap(places: Float[np.ndarray, "l"]) -> float:
    """Room at a level: between the nearest two, but less where there are few."""
    near = float(np.diff(np.sort(places)).min())
    return min(near, (float(np.ptp(places)) + near) / WIDEST)


def in_order(levels: Sequence[Any]) -> list[Any]:
    """Levels, numbers from the smallest to the largest, words as they come."""
    numbers = all(_is_number(level) for level in levels)
    return sorted(levels) if numbers else list(levels)


def _is_number(level: Any) -> bool:
    plain = isinstance(level, Real | np.number) and not isinstance(level, bool | np.bool_)
    return plain and math.isfinite(float(level))
