"""The columns of a comparison's table: their names, what they are called, and what they mean.

The table, its CSV file, the terminal and the report read them here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

WORDS = ("method", "engine", "status")  # the first columns, which are no numbers
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
        meaning: what it is, in a sentence or two.
        form: format of its numbers.
        badness: of a number; the least bad one is the best. None where none is better.
        narrow: what the terminal calls it.
        rank: there, the first ranks are shown first where there is no room for all; 0 is never.
    """

    name: str
    header: str
    meaning: str
    form: str = ".3f"
    badness: Callable[[float], float] | None = None
    narrow: str = ""
    rank: int = 0


OF_FITS = (
    Column(
        "steps",
        "Steps",
        "How many steps the method took; for samplers, draws a chain.",
        "d",
        narrow="steps",
        rank=6,
    ),
    Column(
        "seconds",
        "Seconds",
        "Wall-clock time of the fit. Lower is better.",
        ".2f",
        lowest,
        narrow="seconds",
        rank=4,
    ),
    Column(
        "log_likelihood",
        "Log lik.",
        "Mean log density of the fitted points, in nats a point. Higher is a closer fit, also "
        "where it is a fit to noise.",
        ".4f",
        highest,
        narrow="log lik.",
        rank=1,
    ),
    Column(
        "held_out_log_density",
        "Held out",
        "Mean log density of points that were not fitted, in nats a point. Higher is better; it "
        "does not reward a fit to noise.",
        ".4f",
        highest,
        narrow="held out",
        rank=2,
    ),
    Column(
        "bic",
        "BIC",
        "Bayesian information criterion: −2 log likelihood + parameters × log(points). Lower is "
        "better.",
        ".1f",
        lowest,
        narrow="BIC",
        rank=7,
    ),
    Column("n_parameters", "Free params", "How many free parameters the mixture has.", "d"),
    Column(
        "ari",
        "ARI",
        "Adjusted Rand index of the clusters against the true classes: 1 for the same partition, "
        "about 0 for chance. Higher is better.",
        ".3f",
        highest,
        narrow="ARI",
        rank=3,
    ),
    Column(
        "nmi",
        "NMI",
        "Normalised mutual information of the clusters and the true classes, from 0 to 1. Higher "
        "is better.",
        ".3f",
        highest,
    ),
    Column(
        "accuracy",
        "Accuracy",
        "Share of the points in the right class, after the best matching of clusters to classes. "
        "Higher is better.",
        ".3f",
        highest,
    ),
    Column(
        "weight_error",
        "Error of weights",
        "Largest absolute error of a weight against the truth. Lower is better.",
        ".3f",
        lowest,
        narrow="weights",
        rank=10,
    ),
    Column(
        "mean_error",
        "Error of means",
        "Root mean square error of the means, in standard deviations of the features. Lower is "
        "better.",
        ".3f",
        lowest,
        narrow="means",
        rank=9,
    ),
    Column(
        "covariance_error",
        "Error of covs",
        "Relative error of the covariances (Frobenius norm). Lower is better.",
        ".3f",
        lowest,
        narrow="covs.",
        rank=8,
    ),
    Column(
        "kl_to_truth",
        "KL",
        "Kullback-Leibler divergence from the true density, in nats, by Monte Carlo. Lower is "
        "better.",
        ".4f",
        lowest,
        narrow="KL",
        rank=5,
    ),
    Column("kl_standard_error", "± s.e.", "Monte Carlo standard error of KL, in nats.", ".4f"),
)

OF_POSTERIORS = (
    Column(
        "posterior_mean_error",
        "Error",
        "Error of the posterior means of all parameters, in posterior standard deviations of the "
        "reference, the exact sampler. Lower is better.",
        ".3f",
        lowest,
        narrow="error",
        rank=1,
    ),
    Column(
        "posterior_sd_ratio",
        "S.d. ratio",
        "Posterior standard deviations relative to the reference's, on average. 1 is best; below "
        "1 the posterior is too narrow.",
        ".3f",
        nearest_one,
        narrow="sd ratio",
        rank=2,
    ),
    Column(
        "coverage",
        "Coverage",
        "Share of the true parameters inside their 90 % intervals. Near 90 % is best.",
        ".0%",
        nearest_nominal,
        narrow="coverage",
        rank=6,
    ),
    Column(
        "r_hat",
        "R-hat",
        "Largest R-hat of a parameter: how far chains disagree. 1 is best; above 1.01, run longer.",
        ".3f",
        down_to_one,
        narrow="R-hat",
        rank=3,
    ),
    Column(
        "ess_bulk",
        "ESS",
        "Smallest effective number of draws of a parameter. Higher is better; 400 is enough for "
        "means and intervals.",
        ".0f",
        highest,
        narrow="ESS",
        rank=4,
    ),
    Column(
        "ess_tail",
        "ESS of tails",
        "The same for the 5 % and 95 % quantiles. Higher is better; 400 is enough.",
        ".0f",
        highest,
        narrow="tail ESS",
        rank=8,
    ),
    Column(
        "ess_per_second",
        "ESS a second",
        "Effective draws a second, warm-up included. Higher is better.",
        ".0f",
        highest,
        narrow="ESS/s",
        rank=5,
    ),
    Column(
        "elpd_loo",
        "ELPD",
        "Expected log predictive density of all points by leave-one-out, in nats. Higher is "
        "better.",
        ".1f",
        highest,
        narrow="elpd",
        rank=7,
    ),
    Column(
        "elpd_standard_error",
        "± s.e.",
        "Standard error of ELPD, in nats.",
        ".1f",
        narrow="± se",
        rank=9,
    ),
    Column(
        "elpd_worst_k",
        "k of ELPD",
        "Largest Pareto k-hat of a point left out. Above 0.7 ELPD is not reliable.",
        ".2f",
    ),
    Column(
        "k_hat",
        "k-hat",
        "Pareto k-hat of an approximation. Lower is better; above 0.7 its means and intervals are "
        "not to be trusted.",
        ".2f",
        lowest,
        narrow="k-hat",
        rank=10,
    ),
)

COLUMNS = (*WORDS, *(column.name for column in (*OF_FITS, *OF_POSTERIORS)))


def heart(status: str) -> str:
    """What matters most in a status.

    Example:
        >>> heart("failed: ValueError: no"), heart("converged; degenerate: component 0 is empty")
        ('failed', 'degenerate')
    """
    return status.partition(":")[0].rpartition("; ")[2]
