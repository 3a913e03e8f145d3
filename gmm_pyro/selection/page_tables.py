"""The tables of a selection's page: all models, those near the best, the best mixture."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..comparison.columns import Column
from ..data.words import listed
from ..inference.fit import Fit
from ..metrics import adjusted_rand
from ..report.tables import SHADES, Cell, Row, Table, number, table_of
from .columns import columns_of, form_of, name_of
from .criteria import CRITERIA
from .record import Model, Selected

MOST_MATRICES = 12  # features of which covariances are shown
MOST_NEAR = 10  # models near the best whose clusters are held against its
LIGHT = 0.6  # share of the models whose criterion has a shade
MARKS = {  # words of a status after a number
    "not sound": "are not sound",
    "too few points": "have too few points",
    "step limit": "stopped at the step limit",
}
OF_NEAR = (
    Column("behind", "Behind the best", ".2f", meaning="Difference from the best model's."),
    Column(
        "rand", "Agreement", ".3f",
        meaning="Adjusted Rand index of its clusters against those of the best: 1 for the same "
        "partition, about 0 for chance.",
    ),
)  # fmt: skip
OF_WEIGHTS = (
    Column("weight", "Weight", ".3f", meaning="Share of the mixture."),
    Column(
        "points", "Points", ".10g",
        meaning="How many points, or how much weight of them, are most probably of it.",
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
    return table_of(named, columns_of(table), [cell.counts for cell in cells])


def marks(selection: Selected) -> str:
    """How many models have which trouble, as a sentence; nothing if none has."""
    found = Counter(cell.status for cell in selection.cells if cell.status != "converged")
    words = [f"{count} {MARKS.get(status, status)}" for status, count in found.items()]
    return f"Of these, {listed(words)}." if words else ""


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
    column = next(c for c in columns_of(selection.table) if c.name == name)
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
    """The criterion, a row a family and a cell a number of components: the darker, the better."""
    frame, kind = selection.grid(), CRITERIA[selection.criterion]
    status = {(c.n_components, c.covariance): c.status for c in selection.cells}
    values = frame.to_numpy(dtype=float)
    known = np.sort((-values if kind.higher_is_better else values)[~np.isnan(values)])
    behind = known - known[0] if len(known) else known
    most = float(behind[int(LIGHT * (len(behind) - 1))]) if len(behind) else 0.0
    form = form_of(pd.Series(known)) if len(known) else ".1f"

    def cell(value: float, k: int, family: str) -> Cell:
        if math.isnan(value):
            return Cell(status.get((k, family), ""), "")
        gap = (
            abs(value)
            if not len(known)
            else (-value if kind.higher_is_better else value) - known[0]
        )
        share = 1 - gap / most if most > 0 else float(gap == 0)
        return Cell(number(value, form), repr(value), gap == 0, round(SHADES * max(0.0, share)))

    return [
        Row(
            str(family),
            tuple(cell(v, k, str(family)) for v, k in zip(column, frame.index, strict=True)),
        )
        for family, column in zip(frame.columns, values.T.tolist(), strict=True)
    ]


# ---------------------------------------------------------------------- the best mixture


def parameters(best: Fit) -> Table:
    """A row for each component: weight, points, means and standard deviations."""
    mixture, weight = best.mixture, best.observations.sample_weight
    sizes = best.labels.bincount(weight, mixture.n_components).tolist()
    frame = pd.DataFrame({"weight": mixture.weights.tolist(), "points": sizes})
    columns = list(OF_WEIGHTS)
    spreads = mixture.covariances.diagonal(dim1=-2, dim2=-1).sqrt().expand_as(mixture.means)
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
    mixture = best.mixture
    names, shared = mixture.feature_names, mixture.covariances.ndim == 2
    if not 1 < len(names) <= MOST_MATRICES:
        return []
    found = []
    for j, matrix in enumerate(mixture.covariances.view(-1, len(names), len(names)).tolist()):
        rows = [
            Row(name, tuple(Cell(number(v, "#.4g"), repr(v)) for v in values))
            for name, values in zip(names, matrix, strict=True)
        ]
        found.append(Matrix("All components" if shared else f"Component {j}", rows))
    return found
