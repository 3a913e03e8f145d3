"""The elbow of a falling entropy: where two lines meet that fit it better than one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

FEWEST = 3  # places that two lines may meet between


@dataclass(frozen=True)
class Line:
    """A straight line."""

    slope: float
    intercept: float

    def __call__(self, x: float) -> float:
        """Its height at a place."""
        return self.intercept + self.slope * x


@dataclass(frozen=True)
class Elbow:
    """Two lines of least squares that share one of the places.

    Attributes:
        n_clusters: the number of clusters at the place that they share.
        explained: which share of the squared deviations from one line two lines remove: 0 where one
            does as well, 1 where two leave none. Of three places two lines always leave none.
        x: what the entropy is drawn against, of 1, 2, … clusters: their number, or how many points
            merges have moved from there to one cluster.
        y: the entropies in nats.
        lines: below the place and above it.

    Source: Baudry et al. (2010), §4.
    """

    n_clusters: int
    explained: float
    x: tuple[float, ...]
    y: tuple[float, ...]
    lines: tuple[Line, Line]


def elbow_of(x: Sequence[float], y: Sequence[float]) -> Elbow | None:
    """The elbow of entropies of 1, 2, … clusters; None of fewer than three.

    Of places that are equally good the first counts.

    Example:
        >>> found = elbow_of([1, 2, 3, 4, 5], [0, 1, 2, 12, 22])
        >>> found.n_clusters, found.explained, found.lines[1].slope
        (3, 1.0, 10.0)
    """
    places, heights = np.asarray(x, float), np.asarray(y, float)
    if len(places) < FEWEST:
        return None
    candidates = []
    for c in range(1, len(places) - 1):
        below, above = _line(places[: c + 1], heights[: c + 1]), _line(places[c:], heights[c:])
        candidates.append((below[1] + above[1], c, (below[0], above[0])))
    left, c, lines = min(candidates, key=lambda found: found[:2])
    whole = _line(places, heights)[1]
    negligible = np.finfo(float).eps * float(np.square(heights).sum())
    explained = 1 - left / whole if whole > negligible else 0.0
    explained = min(1.0, max(0.0, round(explained, 12)))
    return Elbow(c + 1, explained, tuple(places.tolist()), tuple(heights.tolist()), lines)


def _line(x: Float[np.ndarray, "m"], y: Float[np.ndarray, "m"]) -> tuple[Line, float]:
    """The line of least squares, and the sum of squares that it leaves; level at one place."""
    shift, rise = x - x.mean(), y - y.mean()
    width = float(shift @ shift)
    slope = float(shift @ rise) / width if width > 0 else 0.0
    line = Line(slope, float(y.mean() - slope * x.mean()))
    return line, float(np.square(rise - slope * shift).sum())
