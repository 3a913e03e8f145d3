"""All measures by name: what each is, which way is better, and what takes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from ...comparison.columns import OF_FITS, OF_POSTERIORS, Column, highest, lowest, nearest_one
from ...data.checks import check_choice, check_list
from .of_densities import of_fitted, of_others, of_parameters
from .of_draws import of_approximation, of_convergence, of_leaving_out, of_truth
from .of_labels import of_information, of_matches, of_pairs
from .of_probabilities import of_probabilities
from .outcome import Outcome

ALL = "all"
REGRET = "regret"  # which takes all methods on a data set, and is computed in the frame


def of_steps(outcome: Outcome) -> dict[str, float]:
    """How many steps a method says that it took."""
    steps = outcome.answer.steps
    return {} if steps is None else {"steps": steps}


TAKEN_BY: dict[Callable[[Outcome], dict[str, float]], tuple[str, ...]] = {
    of_steps: ("steps",),
    of_pairs: ("ari",),
    of_information: ("nmi",),
    of_matches: ("accuracy",),
    of_fitted: ("log_likelihood", "bic", "icl", "n_parameters"),
    of_others: ("held_out_log_density", "kl_to_truth", "kl_standard_error"),
    of_parameters: ("weight_error", "mean_error", "covariance_error"),
    of_probabilities: ("log_score", "brier", "calibration_error"),
    of_convergence: ("r_hat", "ess_bulk", "ess_tail", "ess_per_second"),
    of_truth: ("posterior_error", "posterior_z", "coverage", "interval_width"),
    of_leaving_out: ("elpd_loo", "elpd_standard_error", "elpd_worst_k"),
    of_approximation: ("k_hat",),
}
OF_STUDIES = (
    Column(
        REGRET, "Regret", ".4f", lowest, narrow="regret", group="fit",
        meaning="How far the log likelihood is below the best one that a sound fit has found on "
        "the same data, in nats a point. Lower is better.",
    ),
    Column(
        "icl", "ICL", ".1f", lowest, narrow="ICL", group="fit",
        meaning="Integrated completed likelihood: BIC and a price for overlap. Lower is better.",
    ),
    Column(
        "log_score", "Log score", ".3f", lowest, narrow="log score", group="classes",
        meaning="Mean of −log of the probability of the true class, in nats. Lower is better.",
    ),
    Column(
        "brier", "Brier", ".3f", lowest, narrow="Brier", group="classes",
        meaning="Mean squared error of the probabilities of the classes, summed over classes, "
        "from 0 to 2. Lower is better.",
    ),
    Column(
        "calibration_error", "Calibration", ".3f", lowest, narrow="calibr.", group="classes",
        meaning="How far the share of points in the right class is from the probability that "
        "they are said to have, on average over ten bins. Lower is better.",
    ),
    Column(
        "posterior_error", "Error of posterior", ".3f", lowest, narrow="post. err.", group="exact",
        meaning="Root mean square error of the posterior means of all weights, means and "
        "standard deviations; the last two in standard deviations of the features. Lower is "
        "better.",
    ),
    Column(
        "posterior_z", "Error / s.d.", ".3f", nearest_one, narrow="post. z", group="exact",
        meaning="The same in standard deviations of the posterior. Near 1 is best; above 1 the "
        "posterior is too sure.",
    ),
    Column(
        "interval_width", "Width", ".3f", lowest, narrow="width", group="exact",
        meaning="Mean width of the intervals of all parameters, in the same units as the error. "
        "Lower is better at the same coverage.",
    ),
    Column(
        "memory", "MiB", ".1f", lowest, narrow="MiB", group="fit",
        meaning="By how much the process's memory grew at most while the method ran, in MiB. "
        "Lower is better.",
    ),
)  # fmt: skip
OF_OTHERS = TAKEN_BY[of_others]  # which need points that were not fitted
COLUMNS = {column.name: column for column in (*OF_FITS, *OF_POSTERIORS, *OF_STUDIES)}
DIRECTIONS: dict[Any, str] = {highest: "Higher is better.", lowest: "Lower is better.", None: ""}
MEASURES = {
    name: COLUMNS[name]
    for name in (*(name for names in TAKEN_BY.values() for name in names), REGRET)
}


def direction_of(name: str) -> str:
    """Which values of a measure are better, in a sentence; none where none is."""
    return DIRECTIONS.get(COLUMNS[name].badness, "Nearer to its ideal is better.")


def measures_named(metrics: Any) -> tuple[str, ...]:
    """Names of measures, in the order of the registry.

    Args:
        metrics: "all", a name, or names.

    Raises:
        ValueError: if there is no such measure: the message has all that there are.
    """
    if isinstance(metrics, str) and metrics == ALL:
        return tuple(MEASURES)
    wanted = [metrics] if isinstance(metrics, str) else check_list("metrics", metrics, "names")
    for name in wanted:
        check_choice("metrics", name, MEASURES)
    return tuple(name for name in MEASURES if name in wanted)


def measured(outcome: Outcome, names: Iterable[str]) -> tuple[dict[str, float], list[str]]:
    """Some measures by name, NaN where there is none, and what went wrong with them."""
    wanted, faults = set(names), []
    found: dict[str, float] = {}
    for take, gives in TAKEN_BY.items():
        if not wanted & set(gives):
            continue
        try:
            values = take(outcome)
        except Exception as error:  # noqa: BLE001 - other measures are as good as before
            reason = " ".join(str(error).split())
            faults.append(f"no {gives[0]}: {type(error).__name__}: {reason}")
            values = {}
        found |= {name: float(values.get(name, math.nan)) for name in gives if name in wanted}
    return found, faults
