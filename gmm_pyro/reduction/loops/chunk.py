"""A pass over some rows: features, logits, responsibilities and moments, a group of panels a time.

See `sums.py` for the formulae, and `records.py` for what is where. A group of panels stays in cache
from its features to its moments; both products are sums in registers (`products.py`).
"""

from __future__ import annotations

from .build import part_of_caller
from .features import write_features
from .lanes import lanes_of
from .products import WIDEST, multiply
from .records import (
    ARGMAX,
    DRAWN,
    LABELS,
    SHARES,
    SOFTMAX,
    Array,
    Asked,
    Known,
    Places,
    Shape,
    places_of,
    points_of,
)
from .responsibilities import (
    add_densities,
    add_log_norm,
    argmax,
    densities,
    draw,
    single_out,
    softmax,
    turn,
)
from .rows import (
    add_offsets,
    keep_labels,
    read_labels,
    read_shares,
    write_uniforms,
    write_weights,
)


@part_of_caller
def work_on(
    x: Array,
    first: int,
    origin: Array,
    theta: Array,
    shape: Shape,
    known: Known,
    asked: Asked,
    work: Array,
    totals: Array,
) -> None:
    """Add what some rows give to totals.

    Args:
        x: the rows, shape (n, d).
        first: the number of the first one among all that `known` and `asked` know of.
        origin: what features are about, shape (d,).
        theta: coefficients of all features, row of Θ after row.
        shape: sizes.
        known: what belongs to rows.
        asked: what logits are made into.
        work: where to work, as long as `compiled.Plan` says.
        totals: of each set log_norm, then moments (features, rows of Θ of all sets, filled up).
    """
    rows, points = shape.sets * shape.k, points_of(work)
    features = len(theta) // rows
    at = places_of(shape, features, lanes_of(work))
    for start in range(0, len(x), shape.group * points):
        panels = min(shape.group, -(-(len(x) - start) // points))
        cells, here = panels * shape.sets, (first + start, min(len(x) - start, panels * points))
        write_features(x, start, panels, origin, shape.form, work)
        write_weights(known, here, shape.sets, cells, work, at.weights)
        if asked.mode < LABELS:
            write_logits(theta, rows, features, panels, work, at)
            add_offsets(known, here, shape, cells, work, at.logits)
        assign(asked, here, shape, cells, work, at)
        if asked.mode < LABELS:
            add_log_norm(work, at, shape.sets, cells, totals)
        add_moments(rows, features, panels, work, at, totals[shape.sets :])


@part_of_caller
def write_logits(
    theta: Array, rows: int, features: int, panels: int, work: Array, at: Places
) -> None:
    """Θ Φ of panels."""
    points = points_of(work)
    multiply(
        *(theta, (0, features, 0)),
        *(work, (0, points, 0, features * points)),
        *(work, (at.logits, points, rows * points)),
        (rows, WIDEST, features, 1, panels),
    )


@part_of_caller
def assign(
    asked: Asked, here: tuple[int, int], shape: Shape, cells: int, work: Array, at: Places
) -> None:
    """Make logits into responsibilities times weights, and keep each point's share of log_norm."""
    mode, k = asked.mode, shape.k
    if mode in (SOFTMAX, DRAWN):
        densities(work, at, k, cells)
        add_densities(work, at, cells)
    if mode == SOFTMAX:
        softmax(work, at, k, cells)
    elif mode == SHARES:
        read_shares(asked, here, k, cells, work, at.logits, at.weights)
    else:
        if mode == ARGMAX:
            argmax(work, at, k, cells)
        elif mode == DRAWN:
            write_uniforms(asked, here, shape.sets, cells, work, at.chosen)
            draw(work, at, k, cells)
            keep_labels(asked.labels, here, cells, work, at.chosen)
        else:
            read_labels(asked.labels, here, cells, work, at.chosen)
        single_out(work, at, k, cells)


@part_of_caller
def add_moments(
    rows: int, features: int, panels: int, work: Array, at: Places, totals: Array
) -> None:
    """Φ Rᵀ of panels, in float64 from here on."""
    lanes, points = lanes_of(work), points_of(work)
    width = -(-rows // lanes) * lanes
    turn(work, at, rows, panels, width)
    multiply(
        *(work, (0, points, features * points)),
        *(work, (at.turned, width, points * width, 0)),
        *(work, (at.moments, width, 0)),
        (features, width // lanes, points, panels, 1),
    )
    for i in range(features * width):
        totals[i] += work[at.moments + i]
