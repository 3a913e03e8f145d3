"""The columns of a comparison's table: their names, what they are called, and what they mean.

The table, its CSV file, the terminal and the report read them here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

WORDS = ("method", "status")  # the first columns, which are no numbers
COUNTS = ("steps", "n_parameters")


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
        header: what a page calls it.
        form: format of its numbers.
        badness: of a number; the least bad one is the best. None where none is better.
        narrow: what the terminal calls it.
        group: the columns next to it that stay with it there, where a line has room for them.
        meaning: what it is, in a sentence or two.
    """

    name: str
    header: str
    form: str = ".3f"
    badness: Callable[[float], float] | None = None
    narrow: str = ""
    group: str = ""
    meaning: str = ""


OF_FITS = (
    Column(
        "steps", "Steps", "d", narrow="steps", group="fit",
        meaning="How many steps the method took; for samplers, draws a chain.",
    ),
    Column(
        "seconds", "Seconds", ".2f", lowest, narrow="seconds", group="fit",
        meaning="Wall-clock time of the fit. Lower is better.",
    ),
    Column(
        "log_likelihood", "Log lik.", ".4f", highest, narrow="log lik.", group="fit",
        meaning="Mean log density of the fitted points, in nats a point. Higher is a closer "
        "fit, also where it is a fit to noise.",
    ),
    Column(
        "held_out_log_density", "Held out", ".4f", highest, narrow="held out", group="fit",
        meaning="Mean log density of points that were not fitted, in nats a point. Higher is "
        "better; it does not reward a fit to noise.",
    ),
    Column(
        "bic", "BIC", ".1f", lowest, narrow="BIC", group="fit",
        meaning="Bayesian information criterion: −2 log likelihood + parameters × log(points). "
        "Lower is better.",
    ),
    Column(
        "n_parameters", "Free params", "d", narrow="params", group="fit",
        meaning="How many free parameters the mixture has.",
    ),
    Column(
        "ari", "ARI", ".3f", highest, narrow="ARI", group="classes",
        meaning="Adjusted Rand index of the clusters against the true classes: 1 for the same "
        "partition, about 0 for chance. Higher is better.",
    ),
    Column(
        "nmi", "NMI", ".3f", highest, narrow="NMI", group="classes",
        meaning="Normalised mutual information of the clusters and the true classes, from 0 to "
        "1. Higher is better.",
    ),
    Column(
        "accuracy", "Accuracy", ".3f", highest, narrow="accuracy", group="classes",
        meaning="Share of the points in the right class, after the best matching of clusters to "
        "classes. Higher is better.",
    ),
    Column(
        "weight_error", "Error of weights", ".3f", lowest, narrow="weights", group="truth",
        meaning="Largest absolute error of a weight against the truth. Lower is better.",
    ),
    Column(
        "mean_error", "Error of means", ".3f", lowest, narrow="means", group="truth",
        meaning="Root mean square error of the means, in standard deviations of the features. "
        "Lower is better.",
    ),
    Column(
        "covariance_error", "Error of covs", ".3f", lowest, narrow="covs.", group="truth",
        meaning="Relative error of the covariances (Frobenius norm). Lower is better.",
    ),
    Column(
        "kl_to_truth", "KL", ".4f", lowest, narrow="KL", group="truth",
        meaning="Kullback-Leibler divergence from the true density, in nats, by Monte Carlo. "
        "Lower is better.",
    ),
    Column(
        "kl_standard_error", "± s.e.", ".4f", narrow="± se", group="truth",
        meaning="Monte Carlo standard error of KL, in nats.",
    ),
)  # fmt: skip

OF_POSTERIORS = (
    Column(
        "posterior_mean_error", "Error", ".3f", lowest, narrow="error", group="exact",
        meaning="Error of the posterior means of all parameters, in posterior standard "
        "deviations of the reference, the exact sampler. Lower is better.",
    ),
    Column(
        "posterior_sd_ratio", "S.d. ratio", ".3f", nearest_one, narrow="sd ratio", group="exact",
        meaning="Posterior standard deviations relative to the reference's, on average. 1 is "
        "best; below 1 the posterior is too narrow.",
    ),
    Column(
        "coverage", "Coverage", ".0%", nearest_nominal, narrow="coverage", group="exact",
        meaning="Share of the true parameters inside their 90 % intervals. Near 90 % is best.",
    ),
    Column(
        "r_hat", "R-hat", ".3f", down_to_one, narrow="R-hat", group="draws",
        meaning="Largest R-hat of a parameter: how far chains disagree. 1 is best; above 1.01, "
        "run longer.",
    ),
    Column(
        "ess_bulk", "ESS", ".0f", highest, narrow="ESS", group="draws",
        meaning="Smallest effective number of draws of a parameter. Higher is better; 400 is "
        "enough for means and intervals.",
    ),
    Column(
        "ess_tail", "ESS of tails", ".0f", highest, narrow="tail ESS", group="draws",
        meaning="The same for the 5 % and 95 % quantiles. Higher is better; 400 is enough.",
    ),
    Column(
        "ess_per_second", "ESS a second", ".0f", highest, narrow="ESS/s", group="draws",
        meaning="Effective draws a second, warm-up included. Higher is better.",
    ),
    Column(
        "elpd_loo", "ELPD", ".1f", highest, narrow="elpd", group="elpd",
        meaning="Expected log predictive density of all points by leave-one-out, in nats. "
        "Higher is better.",
    ),
    Column(
        "elpd_standard_error", "± s.e.", ".1f", narrow="± se", group="elpd",
        meaning="Standard error of ELPD, in nats.",
    ),
    Column(
        "elpd_worst_k", "k of ELPD", ".2f", narrow="worst k", group="elpd",
        meaning="Largest Pareto k-hat of a point left out. Above 0.7 ELPD is not reliable.",
    ),
    Column(
        "k_hat", "k-hat", ".2f", lowest, narrow="k-hat", group="elpd",
        meaning="Pareto k-hat of an approximation. Lower is better; above 0.7 its means and "
        "intervals are not to be trusted.",
    ),
)  # fmt: skip

COLUMNS = (*WORDS, *(column.name for column in (*OF_FITS, *OF_POSTERIORS)))


def heart(status: str) -> str:
    """What matters most in a status.

    Example:
        >>> heart("failed: ValueError: no"), heart("converged; degenerate: component 0 is empty")
        ('failed', 'degenerate')
    """
    return status.partition(":")[0].rpartition("; ")[2]
