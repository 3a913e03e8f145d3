"""The tables of a selection's page: all models, those near the best, the best mixture."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import pandas as pd

from ..comparison.columns import Column
from ..inference.fit import Fit
from ..metrics import adjusted_rand
from ..report.tables import SHADES, Cell, Row, Table, number, table_of
from .columns import columns_of, form_of, name_of
from .criteria import CRITERIA
from .record import Model, Selected

MOST_MATRICES = 12  # features of which covariances are shown
MOST_NEAR = 10  # models near the best whose clusters are held against its
LIGHT = 0.6  # share of the models whose criterion has a shade
OF_NEAR = (
    Column("behind", "Behind the best", "#.3g", meaning="Difference from the best model's."),
    Column(
        "rand", "Agreement", ".3f",
        meaning="Adjusted Rand index of its clusters against those of the best: 1 for the same "
        "partition, about 0 for chance.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Matrix:
    """A square of numbers.

    Attributes:
        name: what it is.
        rows: its rows.
    """

    name: str
    rows: list[Row]


# ---------------------------------------------------------------------- models


def models(selection: Selected) -> Table:
    """All models, best first; those that do not count are last, and have no star."""
    table = selection.table
    known = {(cell.n_components, cell.covariance): cell for cell in selection.cells}
    cells = [known[key] for key in zip(table["n_components"], table["covariance"], strict=True)]
    named = table.set_axis([name_of(cell) for cell in cells])
    return table_of(named, columns_of(table, selection.criterion), [cell.counts for cell in cells])


def marks(selection: Selected) -> str:
    """How many models ended otherwise than converged, as a sentence; nothing if none did.

    Args:
        selection: the selection.
    """
    found = Counter(cell.status for cell in selection.cells if cell.status != "converged")
    words = [f"{count} {status}" for status, count in found.items()]
    return f"Of these, marked: {', '.join(words)}." if words else ""


def near(selection: Selected, best: Fit | None) -> Table | None:
    """The models that hardly differ from the best, with how far their clusters agree with its.

    Args:
        selection: the selection.
        best: the fit of the best model, or None where no model counts.

    Returns:
        The table; None where no other model is near.
    """
    ties = selection.ties if best is not None else ()
    if best is None or len(ties) < 2:
        return None
    first, *others = ties[: 1 + MOST_NEAR]
    rows = [_near_row(selection, first, cell, best) for cell in others]
    frame = pd.DataFrame(rows, index=[name_of(cell) for cell in others])
    frame["status"] = [cell.status for cell in others]
    name = CRITERIA[selection.criterion].column
    column = next(c for c in columns_of(selection.table, selection.criterion) if c.name == name)
    return table_of(
        frame, (Column(name, column.header, column.form, meaning=column.meaning), *OF_NEAR)
    )


def _near_row(selection: Selected, first: Model, cell: Model, best: Fit) -> dict[str, float]:
    column = CRITERIA[selection.criterion].column
    value, top = (float(c.row()[column]) for c in (cell, first))
    assert cell.mixture is not None
    labels = cell.mixture.predict(selection.observations).cpu()
    weight = selection.observations.sample_weight
    rand = adjusted_rand(best.labels.cpu(), labels, weight)
    return {column: value, "behind": abs(top - value), "rand": rand}


def grid(selection: Selected) -> list[Row]:
    """The criterion, a row a family and a cell a number of components: the darker, the better.

    Args:
        selection: the selection.
    """
    frame = selection.grid()
    badness = -frame if CRITERIA[selection.criterion].higher_is_better else frame
    behind = badness - badness.min().min()
    most = float(_flat(behind).quantile(LIGHT))
    form = form_of(_flat(frame))
    status = {(c.n_components, c.covariance): c.status for c in selection.cells}

    def cell(k: int, family: str, value: float, gap: float) -> Cell:
        if math.isnan(value):
            return Cell(status.get((k, family), ""), "")
        share = max(0.0, 1 - gap / most) if most > 0 else float(gap == 0)
        return Cell(number(value, form), repr(value), gap == 0, round(SHADES * share))

    def row(family: str) -> Row:
        columns = (frame.index, frame[family].tolist(), behind[family].tolist())
        return Row(family, tuple(cell(k, family, *at) for k, *at in zip(*columns, strict=True)))

    return [row(str(family)) for family in frame]


def _flat(frame: pd.DataFrame) -> pd.Series[float]:
    return pd.Series(frame.to_numpy(dtype=float).ravel())


# ---------------------------------------------------------------------- the best mixture


def parameters(best: Fit) -> Table:
    """A row for each component: weight, points, means and standard deviations."""
    mixture, weight = best.mixture, best.observations.sample_weight
    sizes = (best.labels + 1).bincount(weight, 1 + mixture.n_components)[1:].tolist()  # -1: noise
    frame = pd.DataFrame({"weight": mixture.weights.tolist(), "points": sizes})
    points = "How many points are most probably of it."
    weights = "The weight of the points that are most probably of it."
    columns = [
        Column("weight", "Weight", ".3f", meaning="Share of the mixture."),
        Column("points", "Points", "d", meaning=points)
        if weight is None
        else Column("points", "Weight of points", ".1f", meaning=weights),
    ]
    spreads = mixture.covariance_matrices().diagonal(dim1=-2, dim2=-1).sqrt()
    for j, feature in enumerate(mixture.feature_names):
        for word, says, values in (
            ("Mean", "Mean", mixture.means),
            ("S.d.", "Standard deviation", spreads),
        ):
            name = f"{word[0].lower()}{j}"
            frame[name] = values[:, j].tolist()
            meaning = f"{says} of {feature} in the component, in its own units."
            columns.append(Column(name, f"{word} of {feature}", "#.4g", meaning=meaning))
    return table_of(frame, columns)


def covariances(best: Fit) -> list[Matrix]:
    """Covariance matrices of the components, unless there is one feature, or there are many."""
    names, matrices = best.mixture.feature_names, best.mixture.covariance_matrices()
    if not 1 < len(names) <= MOST_MATRICES:
        return []
    shared = len(matrices) > 1 and bool((matrices == matrices[0]).all())
    found = []
    for j, matrix in enumerate(matrices[: 1 if shared else None].tolist()):
        rows = [
            Row(name, tuple(Cell(number(v, "#.4g"), repr(v)) for v in values))
            for name, values in zip(names, matrix, strict=True)
        ]
        found.append(Matrix("All components" if shared else f"Component {j}", rows))
    return found
