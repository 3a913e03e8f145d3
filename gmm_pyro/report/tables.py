"""Tables of a report: which columns there are, what they mean, and whose number is the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

DASH = "–"  # where there is no number
UNSOUND = ("degenerate", "diverged", "interrupted")  # in a status: such a fit is never the best
UNTRUSTED = 0.7  # Pareto k-hat, above which an approximation is not to be trusted
# columns in which independent draws are good anyway
OF_CHAINS = ("r_hat", "ess_bulk", "ess_tail", "ess_per_second")
AGAINST_REFERENCE = ("posterior_mean_error", "posterior_sd_ratio")


def lowest(value: float) -> float:
    """How bad a number is of which lower ones are better."""
    return value


def highest(value: float) -> float:
    """How bad a number is of which higher ones are better."""
    return -value


def down_to_one(value: float) -> float:
    """How bad an R-hat is, as it is shown: one below 1 is chance, and no better than 1."""
    return max(1.0, round(float(value), 3))


def nearest_one(value: float) -> float:
    """How bad a ratio is that is 1 at best."""
    return abs(math.log(value)) if value > 0 else math.inf


def nearest_nominal(value: float) -> float:
    """How bad the coverage of 90 % intervals is."""
    return abs(value - 0.9)


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        name: its name in a comparison's table.
        header: what the page calls it.
        meaning: what it is, in a sentence or two.
        form: format of its numbers.
        badness: of a number; the least bad one is the best. None where none is better.
    """

    name: str
    header: str
    meaning: str
    form: str = ".3f"
    badness: Callable[[float], float] | None = None


OF_FITS = (
    Column("steps", "Steps", "How many steps the method took; for samplers, draws a chain.", "d"),
    Column(
        "seconds", "Seconds",
        "Wall-clock time of the fit. Lower is better.", ".2f", lowest,
    ),
    Column(
        "log_likelihood", "Log lik.",
        "Mean log density of the fitted points, in nats a point. Higher is a closer fit, also "
        "where it is a fit to noise.", ".4f", highest,
    ),
    Column(
        "held_out_log_density", "Held out",
        "Mean log density of points that were not fitted, in nats a point. Higher is better; it "
        "does not reward a fit to noise.", ".4f", highest,
    ),
    Column(
        "bic", "BIC",
        "Bayesian information criterion: −2 log likelihood + parameters × log(points). Lower is "
        "better.", ".1f", lowest,
    ),
    Column("n_parameters", "Free params", "How many free parameters the mixture has.", "d"),
    Column(
        "ari", "ARI",
        "Adjusted Rand index of the clusters against the true classes: 1 for the same partition, "
        "about 0 for chance. Higher is better.", ".3f", highest,
    ),
    Column(
        "nmi", "NMI",
        "Normalised mutual information of the clusters and the true classes, from 0 to 1. Higher "
        "is better.", ".3f", highest,
    ),
    Column(
        "accuracy", "Accuracy",
        "Share of the points in the right class, after the best matching of clusters to classes. "
        "Higher is better.", ".3f", highest,
    ),
    Column(
        "weight_error", "Error of weights",
        "Largest absolute error of a weight against the truth. Lower is better.", ".3f", lowest,
    ),
    Column(
        "mean_error", "Error of means",
        "Root mean square error of the means, in standard deviations of the features. Lower is "
        "better.", ".3f", lowest,
    ),
    Column(
        "covariance_error", "Error of covs",
        "Relative error of the covariances (Frobenius norm). Lower is better.", ".3f", lowest,
    ),
    Column(
        "kl_to_truth", "KL",
        "Kullback-Leibler divergence from the true density, in nats, by Monte Carlo. Lower is "
        "better.", ".4f", lowest,
    ),
    Column("kl_standard_error", "± s.e.", "Monte Carlo standard error of KL, in nats.", ".4f"),
)  # fmt: skip

OF_POSTERIORS = (
    Column(
        "posterior_mean_error", "Error",
        "Error of the posterior means of all parameters, in posterior standard deviations of the "
        "reference, the exact sampler. Lower is better.", ".3f", lowest,
    ),
    Column(
        "posterior_sd_ratio", "S.d. ratio",
        "Posterior standard deviations relative to the reference's, on average. 1 is best; below "
        "1 the posterior is too narrow.", ".3f", nearest_one,
    ),
    Column(
        "coverage", "Coverage",
        "Share of the true parameters inside their 90 % intervals. Near 0.90 is best.",
        ".2f", nearest_nominal,
    ),
    Column(
        "r_hat", "R-hat",
        "Largest R-hat of a parameter: how far chains disagree. 1 is best; above 1.01, run longer.",
        ".3f", down_to_one,
    ),
    Column(
        "ess_bulk", "ESS",
        "Smallest effective number of draws of a parameter. Higher is better; 400 is enough for "
        "means and intervals.", ".0f", highest,
    ),
    Column(
        "ess_tail", "ESS of tails",
        "The same for the 5 % and 95 % quantiles. Higher is better; 400 is enough.", ".0f", highest,
    ),
    Column(
        "ess_per_second", "ESS a second",
        "Effective draws a second, warm-up included. Higher is better.", ".0f", highest,
    ),
    Column(
        "elpd_loo", "ELPD",
        "Expected log predictive density of all points by leave-one-out, in nats. Higher is "
        "better.", ".1f", highest,
    ),
    Column("elpd_standard_error", "± s.e.", "Standard error of ELPD, in nats.", ".1f"),
    Column(
        "elpd_worst_k", "k of ELPD",
        "Largest Pareto k-hat of a point left out. Above 0.7 ELPD is not reliable.", ".2f",
    ),
    Column(
        "k_hat", "k-hat",
        "Pareto k-hat of an approximation. Lower is better; above 0.7 its means and intervals are "
        "not to be trusted.", ".2f", lowest,
    ),
)  # fmt: skip

OF_PARAMETERS = (
    Column("mean", "Mean", "Posterior mean.", "#.4g"),
    Column("sd", "S.d.", "Posterior standard deviation.", "#.4g"),
    Column("lower", "3 %", "Lower end of the central 94 % interval.", "#.4g"),
    Column("upper", "97 %", "Upper end of the central 94 % interval.", "#.4g"),
    Column("r_hat", "R-hat", "How far chains disagree: 1 at best; above 1.01, run longer.", ".3f"),
    Column("ess_bulk", "ESS bulk", "Effective number of draws for the mean.", ".0f"),
    Column("ess_tail", "ESS tail", "Effective number of draws for the interval.", ".0f"),
)


@dataclass(frozen=True)
class Cell:
    """One number.

    Attributes:
        text: what the page shows.
        value: what the page sorts by; empty where there is no number.
        best: whether it is the best of its column.
    """

    text: str
    value: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One row: a method or a parameter.

    Attributes:
        name: what it is called.
        status: how it ended, in few words, or None.
        troubled: whether the status says that something is wrong.
        cells: its numbers.
    """

    name: str
    status: str | None
    troubled: bool
    cells: tuple[Cell, ...]


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
    words = [str(status) for status in frame["status"]] if "status" in frame else None
    cells = [_cells(c, frame[c.name], ranked.get(c.name, sound)) for c in shown]
    rows = [
        Row(
            name=str(name),
            status=None if words is None else heart(words[i]),
            troubled=words is not None and words[i] != "converged",
            cells=tuple(column[i] for column in cells),
        )
        for i, name in enumerate(frame.index)
    ]
    return Table(shown, tuple(rows))


def heart(status: str) -> str:
    """What matters most in a status.

    Example:
        >>> heart("failed: ValueError: no"), heart("converged; degenerate: component 0 is empty")
        ('failed', 'degenerate')
    """
    return status.partition(":")[0].rpartition("; ")[2]


def sound_fits(table: pd.DataFrame) -> list[bool]:
    """Which fits of a comparison can be the best: neither degenerate, diverged nor interrupted."""
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
    numbers = [None if gone else value for value, gone in zip(values, values.isna(), strict=True)]
    texts = [DASH if value is None else number(value, column.form) for value in numbers]
    best = _best(column, numbers, texts, sound)
    return [
        Cell(text, "" if value is None else repr(float(value)), best=text in best and right)
        for text, value, right in zip(texts, numbers, sound, strict=True)
    ]


def _best(
    column: Column, numbers: Sequence[float | None], texts: Sequence[str], sound: Sequence[bool]
) -> set[str]:
    """What the best numbers look like; empty if there is no choice, as far as can be seen."""
    if column.badness is None:
        return set()
    ranked = [
        (column.badness(value), text)
        for value, text, right in zip(numbers, texts, sound, strict=True)
        if value is not None and right
    ]
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
    text = format(int(value), ",") if form == "d" else format(value, _grouped(form))
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("-")  # of a zero
    return text.replace(",", "\u202f").replace("-", "−")


def _grouped(form: str) -> str:
    return form if form.endswith("g") else f",{form}"
