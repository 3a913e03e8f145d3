"""Tables of a report: which columns there are, what they mean, and whose number is the best."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ..comparison.columns import Column, heart

if TYPE_CHECKING:
    import pandas as pd

DASH = "–"  # where there is no number
UNSOUND = ("degenerate", "diverged", "collapsed", "interrupted")  # such a fit is never the best
SHADES = 10  # of a cell, from the least to the most
UNTRUSTED = 0.7  # Pareto k-hat, above which an approximation is not to be trusted
# columns in which independent draws are good anyway
OF_CHAINS = ("r_hat", "ess_bulk", "ess_tail", "ess_per_second")
AGAINST_REFERENCE = ("posterior_mean_error", "posterior_sd_ratio")


OF_PARAMETERS = (
    Column("mean", "Mean", "#.4g", meaning="Posterior mean."),
    Column("sd", "S.d.", "#.4g", meaning="Posterior standard deviation."),
    Column("lower", "3 %", "#.4g", meaning="Lower end of the central 94 % interval."),
    Column("upper", "97 %", "#.4g", meaning="Upper end of the central 94 % interval."),
    Column(
        "r_hat",
        "R-hat",
        ".3f",
        meaning="How far chains disagree: 1 at best; above 1.01, run longer.",
    ),
    Column("ess_bulk", "ESS bulk", ".0f", meaning="Effective number of draws for the mean."),
    Column("ess_tail", "ESS tail", ".0f", meaning="Effective number of draws for the interval."),
)


@dataclass(frozen=True)
class Cell:
    """One number.

    Attributes:
        text: what the page shows.
        value: what the page sorts by; empty where there is no number.
        best: whether it is the best of its column.
        shade: how dark it is, from 0 to `SHADES`.
    """

    text: str
    value: str
    best: bool = False
    shade: int = 0


@dataclass(frozen=True)
class Row:
    """One row: a method or a parameter.

    Attributes:
        name: what it is called.
        cells: its numbers.
        status: how it ended, in few words, or None.
    """

    name: str
    cells: tuple[Cell, ...]
    status: str | None = None


@dataclass(frozen=True)
class Table:
    """What a template makes a table of.

    Attributes:
        columns: the columns of numbers.
        rows: the rows.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def table_of(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    sound: Sequence[bool] | None = None,
    ranked: Mapping[str, Sequence[bool]] = MappingProxyType({}),
) -> Table:
    """The columns that have numbers, with the best ones marked.

    Args:
        frame: one row a method or parameter; a column `status` is shown as words.
        columns: what there is to show, in its order.
        sound: which rows can be the best; all, if None.
        ranked: which ones can be in single columns, by name, where that is not the same.
    """
    sound = [True] * len(frame) if sound is None else sound
    shown = tuple(column for column in columns if frame[column.name].notna().any())
    cells = [_cells(c, frame[c.name], ranked.get(c.name, sound)) for c in shown]
    rows = [
        Row(
            name=str(name),
            cells=tuple(column[i] for column in cells),
            status=heart(str(frame["status"].iloc[i])) if "status" in frame else None,
        )
        for i, name in enumerate(frame.index)
    ]
    return Table(shown, tuple(rows))


def shaded_rows(frame: pd.DataFrame) -> list[Row]:
    """The rows of a square of numbers about pairs of methods: 0 is the lightest, 1 the darkest."""
    return [
        Row(str(name), tuple(Cell(number(v), repr(v), shade=_shade(v)) for v in values))
        for name, values in zip(frame.index, frame.to_numpy().tolist(), strict=True)
    ]


def _shade(value: float) -> int:
    return round(SHADES * min(1.0, max(0.0, value)))


def sound_fits(table: pd.DataFrame) -> list[bool]:
    """Which fits of a comparison can be the best, by the words of their status."""
    return [not any(word in str(status) for word in UNSOUND) for status in table["status"]]


def sound_posteriors(table: pd.DataFrame) -> list[bool]:
    """Which posteriors can be the best: also no unmixed chains, nor approximations far off."""
    rows = zip(sound_fits(table), table["status"], table["k_hat"], strict=True)
    return [fit and "unmixed" not in status and not k > UNTRUSTED for fit, status, k in rows]


def is_sound_reference(table: pd.DataFrame, name: str | None) -> bool:
    """Whether the posteriors of a comparison can be ranked by how near they are to this one's."""
    row = table[table.index == name]
    return any(sound_posteriors(row)) and all(row["status"] == "converged")


def ranked_posteriors(
    table: pd.DataFrame, independent: Collection[str], reference: str | None
) -> dict[str, list[bool]]:
    """Which posteriors can be the best in the columns where not every sound one can.

    Args:
        table: of a comparison, or its rows with draws.
        independent: names of the rows whose draws are independent, which says nothing of them.
        reference: name of the row that the others are held against, or None.
    """
    rows = list(zip(table.index, sound_posteriors(table), table["elpd_worst_k"], strict=True))
    chains = [right and name not in independent for name, right, _ in rows]
    comparable = is_sound_reference(table, reference)
    return {
        **dict.fromkeys(OF_CHAINS, chains),
        **dict.fromkeys(AGAINST_REFERENCE, [right and comparable for _, right, _ in rows]),
        "elpd_loo": [right and not k > UNTRUSTED for _, right, k in rows],
    }


def _cells(column: Column, values: pd.Series[float], sound: Sequence[bool]) -> list[Cell]:
    known = values.notna()
    texts = [number(v, column.form) if k else DASH for v, k in zip(values, known, strict=True)]
    best = _best(column, values[known & np.array(sound, dtype=bool)])
    return [
        Cell(text, repr(float(value)) if text != DASH else "", best=text in best and right)
        for text, value, right in zip(texts, values, sound, strict=True)
    ]


def _best(column: Column, values: pd.Series[float]) -> set[str]:
    """What the best numbers look like; empty if there is no choice, as far as can be seen."""
    if column.badness is None:
        return set()
    ranked = [(column.badness(value), number(value, column.form)) for value in values]
    least = min((badness for badness, _ in ranked), default=None)
    best = {text for badness, text in ranked if badness == least}
    return best if {text for _, text in ranked} - best else set()


def number(value: float, form: str = ".3f") -> str:
    r"""A number as text, with a true minus sign and narrow spaces between thousands.

    Example:
        >>> number(-12345.67, ".1f"), number(float("inf")), number(-0.0001), number(2e-7, "#.3g")
        ('−12\u202f345.7', '∞', '0.000', '2.00e−07')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    grouped = form if form.endswith("g") else f",{form}"
    text = format(int(value) if form == "d" else value, grouped)
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("-")  # of a zero
    return text.replace(",", "\u202f").replace("-", "−")
