"""The columns of a selection's table, for the terminal and for the page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..comparison.columns import Column, highest, lowest
from ..covariance import family_named
from .criteria import CRITERIA
from .record import Model

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("n_components", "covariance", "status")  # what a model is, and how it ended
FEW = 100.0  # numbers that are all smaller have more decimals
KNOWN = {
    "log_likelihood": Column(
        "log_likelihood", "Log likelihood", narrow="log lik.",
        meaning="Log-likelihood of all points at the model's estimate, in nats.",
    ),
    "n_parameters": Column(
        "n_parameters", "Free params", "d", narrow="params",
        meaning="How many free parameters the mixture has.",
    ),
    "bic": Column(
        "bic", "BIC", narrow="BIC",
        meaning="Bayesian information criterion: −2 log likelihood + parameters × log(points).",
    ),
    "aic": Column(
        "aic", "AIC", narrow="AIC",
        meaning="Akaike's information criterion: −2 log likelihood + 2 × parameters.",
    ),
    "icl": Column(
        "icl", "ICL", narrow="ICL",
        meaning="Integrated completed likelihood: BIC, and a penalty for points whose component is "
        "in doubt, which is small where clusters are well apart.",
    ),
    "cross_validation": Column(
        "cross_validation", "Held out", narrow="held out",
        meaning="Mean log density of points that are held out in turn, in nats a point.",
    ),
    "stability": Column(
        "stability", "Stability", narrow="stability",
        meaning="Mean adjusted Rand index of the clusterings by fits to pairs of resamples: 1 for "
        "the same partition, about 0 for chance.",
    ),
    "elpd": Column(
        "elpd", "ELPD", narrow="elpd",
        meaning="Expected log predictive density of all points by leave-one-out, in nats.",
    ),
    "elpd_worst_k": Column(
        "elpd_worst_k", "k of ELPD", narrow="worst k",
        meaning="Largest Pareto k-hat of a point left out. Above 0.7 ELPD is not reliable.",
    ),
    "log_evidence": Column(
        "log_evidence", "Log evidence", narrow="evidence",
        meaning="Log marginal likelihood of the model, in nats.",
    ),
}  # fmt: skip


def columns_of(table: pd.DataFrame, criterion: str) -> list[Column]:
    """The columns of numbers that a table has: the criterion and its errors, then all others.

    Args:
        table: that of a selection.
        criterion: what its models are compared by.
    """
    numbers = table.drop(columns=list(WORDS)).select_dtypes("number")
    known = [name for name in map(str, numbers) if numbers[name].notna().any()]
    known.sort(key=lambda name: not name.startswith(CRITERIA[criterion].column))
    return [_column(name, numbers[name]) for name in known]


def _column(name: str, values: pd.Series[float]) -> Column:
    known = KNOWN.get(name) or _unknown(name)
    form = known.form if known.form == "d" else form_of(values)
    kind = next((kind for kind in CRITERIA.values() if kind.column == name), None)
    if kind is None:
        return replace(known, form=form)
    better = "Higher is better." if kind.higher_is_better else "Lower is better."
    badness = highest if kind.higher_is_better else lowest
    return replace(known, form=form, badness=badness, meaning=f"{known.meaning} {better}")


def _unknown(name: str) -> Column:
    """A column that goes by its name: a criterion, a difference, a standard error of one of them.

    Example:
        >>> _unknown("elpd_diff").narrow, _unknown("elpd_diff_se").narrow, _unknown("a_b").header
        ('behind', '± behind', 'A b')
    """
    base = name.removesuffix("_se")
    if base != name:
        of = KNOWN.get(base) or _unknown(base)
        meaning = f"Standard error of the column “{of.header}”."
        return Column(name, "± s.e.", narrow=f"± {of.narrow}", meaning=meaning)
    if name.endswith("_diff"):
        return Column(name, "Behind the best", narrow="behind", meaning="Difference from the best.")
    words = name.replace("_", " ")
    return Column(name, words.capitalize(), narrow=words, meaning=f"{words.capitalize()}.")


def form_of(values: pd.Series[float]) -> str:
    """The format of numbers: three decimals of small ones, one of others.

    Example:
        >>> import pandas as pd
        >>> form_of(pd.Series([0.5, 0.75])), form_of(pd.Series([-2314.3, float("nan")]))
        ('.3f', '.1f')
    """
    return ".3f" if values.dropna().astype(float).abs().max() < FEW else ".1f"


def name_of(cell: Model) -> str:
    """What a model is called: its number of components, its family, and mclust's code for it.

    Example:
        >>> from gmm_pyro.selection import Cell
        >>> name_of(Cell(3, "tied", "converged")), name_of(Cell(2, "VEI", "converged"))
        ('3, tied (EEE)', '2, VEI')
    """
    code = family_named(cell.covariance).mclust
    same = code == cell.covariance
    return f"{cell.n_components}, {cell.covariance}{'' if same else f' ({code})'}"
