"""EM as scikit-learn takes its steps, on this package's reduction.

A step is an E-step and the M-step that follows it; the bound of a step is the log-likelihood
before its M-step; a trial stops when two bounds in a row are closer than the tolerance; and the
best of several trials is the one with the highest last bound. So a fit from the same start gives
the numbers that `sklearn.mixture.GaussianMixture` gives.

Trials run one after the other, since a library rounds a product of many rows otherwise than one of
few, and a start is to lead to the same bits alone and among ten. (One batch of ten takes about two
thirds of the time.)

`em.py` is the package's own EM: other starts, a stricter rule to stop, degenerate trials left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from ..covariance import Parameters, Statistics
from ..inference.methods import Method
from ..inference.task import Outcome, Task
from ..reduction.sums import maximise, reduce
from ..reduction.theta import Theta, theta_of
from .trials import TrialOptions, refuse_ill_defined, run_trials

ROUNDING = torch.finfo(torch.float64).eps  # of squares, in units of each feature's variance


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(TrialOptions):
    """Options of scikit-learn's EM; bounds are in nats a point.

    Attributes:
        trials: where to begin: a batch of parameter sets.
    """

    trials: Parameters


def fit_recipe(task: Task[RecipeOptions]) -> Outcome:
    """The best trial; its objective is the log-likelihood at its last bound."""
    trials, family, total = task.options.trials, task.model.family, task.observations.total_weight
    starts = [
        theta_of(family, trials[[number]], task.observations) for number in range(len(trials.means))
    ]
    ended = run_trials(starts, partial(_step, task), task.options)
    return ended.outcome(ended.best.state.parameters, lambda bound: bound * total)


RECIPE = Method(fit_recipe, RecipeOptions, by_m_steps=True)


def _step(task: Task[RecipeOptions], theta: Theta) -> tuple[Theta, float]:
    """An E-step, the M-step that follows it, and the mean log-likelihood in between."""
    observations, ridge = task.observations, task.options.ridge
    statistics = reduce(observations, theta)
    bound = float(statistics.log_norm[0]) / observations.total_weight
    floor = torch.zeros_like(task.floor)
    following = maximise(observations, theta, statistics, floor, ridge=ridge)
    if _only_rounded(task, following, statistics):
        floor = ROUNDING * observations.scale.square()
        following = maximise(observations, theta, statistics, floor, ridge=ridge)
    refuse_ill_defined(following.parameters)
    return following, bound


def _only_rounded(task: Task[RecipeOptions], theta: Theta, statistics: Statistics) -> bool:
    """Whether variances vanish of components that do have points.

    scikit-learn subtracts squares, so that the variance of a single point is what rounding leaves,
    and goes on where that is positive. A matrix it refuses, as it does an empty component.
    """
    vanished = not bool(theta.parameters.factor.isfinite().all())
    return vanished and not task.model.family.is_matrix and bool((statistics.counts > 0).all())
