"""A regression of a measure on methods and the factors of the designs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ...data.checks import check_choice, check_flag, check_number
from ...data.words import counted, listed
from ..measures.registry import COLUMNS
from .clustered import Fitted, clustered_fit
from .means import holm
from .rows import Rows
from .terms import Term, crossed, intercept, of_factor, of_methods
from .written import Written, intervals, probability, with_errors, with_sign

SMALLEST = 2  # levels that make a factor


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Effects(Written):
    """Effects of factors and methods on a measure. `frame` has a row for each effect.

    The first row is the mean of the baseline over all levels of all factors. A level of a factor
    is how far the baseline's mean there is from that; a method, how far its mean is from the
    baseline's; a method and a level, how much of that difference comes at that level. Levels of a
    factor sum to zero.

    Columns: `term`; `method`; `level`, empty for all of them together; `effect`; `standard_error`,
    which holds though methods share data sets; `low` and `high` of the t interval; `p` of the
    two-sided t test.

    Attributes:
        terms: a row for each term: `term`, `dof`, `f` of Wald's test that all its effects are
            none, its `p`, and `p_holm`, adjusted for all terms together.
        measure: name of the measure.
        baseline: name of the method that others are held against.
        level: what each interval is to hold.
        log: whether it is the measure's logarithm that is explained.
        r_squared: which share of the variance is explained.
        n_cells: number of values.
        n_data_sets: number of data sets that they are on.
    """

    terms: pd.DataFrame
    measure: str
    baseline: str
    level: float
    log: bool
    r_squared: float
    n_cells: int
    n_data_sets: int


def effects_of(
    rows: Rows, measure: Any, factors: Any, baseline: Any, level: Any, log: Any
) -> Effects:
    """A regression, as `StudyResults.effects`."""
    measure = rows.check_measure(measure)
    level = check_number("level", level, high=1.0, positive=True)
    log = check_flag("log", log)
    y, kept = _outcome(rows, measure, log)
    frame, data = rows.frame[kept], rows.data[kept]
    methods = [name for name in rows.methods if (frame["method"] == name).any()]
    baseline = methods[0] if baseline is None else check_choice("baseline", baseline, methods)
    terms = _terms(frame, _factors(rows, frame, factors), methods, baseline)
    fitted = clustered_fit(_design(terms, measure), y[kept], data)
    found = pd.DataFrame(_effects(terms, fitted, baseline, level))
    tests = _tests(terms, fitted)
    return Effects(
        frame=found,
        title=f"Effects on {'log ' if log else ''}{measure} ± standard errors",
        cells=_cells(found, measure, baseline, level, log=log),
        n_keys=2,
        notes=(*_notes(rows, fitted, tests, int((~kept).sum())), *rows.notes()),
        terms=tests,
        measure=measure,
        baseline=baseline,
        level=level,
        log=log,
        r_squared=fitted.r_squared,
        n_cells=len(data),
        n_data_sets=fitted.n_clusters,
    )


def _outcome(
    rows: Rows,
    measure: str,
    log: bool,  # noqa: FBT001
) -> tuple[Float[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
    """What is explained, and which rows have it."""
    values = rows.values(measure)
    kept = np.isfinite(values)
    if not kept.any():
        raise ValueError(f"measure {measure} has no number in any cell")
    if log and (values[kept] <= 0).any():
        raise ValueError(f"log=True needs positive numbers, and {measure} has others")
    return np.log(np.where(kept, values, 1.0)) if log else values, kept


def _factors(rows: Rows, frame: pd.DataFrame, wanted: Any) -> list[str]:
    """Names of factors: those that are asked for, or all that have levels."""
    known = ["design", *rows.factors]
    if wanted is not None:
        known = rows.check_names("factors", wanted, known)
    return [name for name in known if _levels(frame[name])[1] >= SMALLEST]


def _levels(column: pd.Series[Any]) -> tuple[Int[np.ndarray, "n"], int, list[Any]]:
    """The number of each row's level, how many there are, and the levels."""
    as_words = column.map(repr) if column.dtype == object else column
    number, _ = pd.factorize(as_words, use_na_sentinel=False)
    first = np.unique(number, return_index=True)[1]
    return number, len(first), column.iloc[first].tolist()


def _terms(
    frame: pd.DataFrame, factors: Sequence[str], methods: Sequence[str], baseline: str
) -> list[Term]:
    """The mean, methods, factors, and methods by factors."""
    of_method = of_methods(frame["method"].tolist(), [m for m in methods if m != baseline])
    alone = [of_factor(name, *_levels(frame[name])[::2]) for name in factors]
    both = [crossed(of_method, term) for term in alone]
    return [term for term in (intercept(len(frame)), of_method, *alone, *both) if term.n_columns]


def _design(terms: Sequence[Term], measure: str) -> Float[np.ndarray, "n p"]:
    """All columns side by side.

    Raises:
        ValueError: if there are more than cells, or some cannot be told apart.
    """
    x = np.concatenate([term.columns for term in terms], axis=1)
    names = [term.name for term in terms[1:]]
    if len(x) <= x.shape[1]:
        raise ValueError(
            f"factors have {x.shape[1]} effects, which is not fewer than the {len(x)} cells with "
            f"a number for measure {measure}: name fewer factors, or run more replicates"
        )
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError(
            f"factors cannot be told apart in these cells: {listed(names)}; name fewer factors"
        )
    return x


def _effects(
    terms: Sequence[Term], fitted: Fitted, baseline: str, level: float
) -> Iterator[dict[str, Any]]:
    """The rows of the table."""
    start = 0
    for term in terms:
        here = slice(start, start + term.n_columns)
        start = here.stop
        for label, contrast in zip(term.labels, term.contrasts, strict=True):
            found = fitted.combined(contrast, here)
            low, high = found.interval(level)
            numbers = (found.mean, found.standard_error, low, high, found.p)
            words = {"term": term.name, "method": label[0] or baseline, "level": label[1]}
            yield words | dict(zip(NUMBERS, numbers, strict=True))


NUMBERS = ("effect", "standard_error", "low", "high", "p")


def _tests(terms: Sequence[Term], fitted: Fitted) -> pd.DataFrame:
    """Wald's test of each term but the mean."""
    start, found = terms[0].n_columns, []
    for term in terms[1:]:
        f, p = fitted.wald(slice(start, start + term.n_columns))
        found.append((term.name, term.n_columns, f, p))
        start += term.n_columns
    table = pd.DataFrame(found, columns=["term", "dof", "f", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy(float)))


def _cells(
    frame: pd.DataFrame, measure: str, baseline: str, level: float, *, log: bool
) -> dict[str, list[str]]:
    form = ".3f" if log else COLUMNS[measure].form
    return {
        "method": [
            word if word == baseline else f"{word} - {baseline}" for word in frame["method"]
        ],
        "level": [word or "all" for word in frame["level"]],
        "effect": with_errors(frame["effect"], frame["standard_error"], form),
        f"{level * 100:g} % interval": intervals(frame, "effect", form),
        "p": [probability(p) for p in frame["p"]],
    }


def _notes(rows: Rows, fitted: Fitted, tests: pd.DataFrame, n_lost: int) -> Iterator[str]:
    yield (
        "All: the mean over levels. Levels: departures from that, which sum to zero over the "
        "levels of a factor."
    )
    yield (
        f"Least squares, R² = {fitted.r_squared:.3f}; standard errors by "
        f"{counted(fitted.n_clusters, 'data set')}. Intervals and p-values are each for themselves."
    )
    if len(tests):
        pairs = zip(tests["term"], tests["p_holm"], strict=True)
        whole = "; ".join(f"{term}, p {with_sign(p)}" for term, p in pairs)
        yield f"Whole terms by Wald's test, adjusted by Holm's method: {whole}."
    if n_lost:
        failed = int(rows.failed.sum())
        yield (
            f"Without a number, and left out: {counted(n_lost, 'cell')}, {failed} of which failed."
        )
