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

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from ..covariance import Parameters, Statistics
from ..inference.methods import Method
from ..inference.task import Options, Outcome, Status, Task
from ..reduction.sums import maximise, reduce
from ..reduction.theta import Theta, theta_of

ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)

ROUNDING = torch.finfo(torch.float64).eps  # of squares, in units of each feature's variance


class Watch(Protocol):
    """What looks on while trials run."""

    def begin(self, trial: Trial) -> None:
        """A trial begins."""

    def step(self, trial: Trial) -> None:
        """It has taken a step."""

    def end(self, trial: Trial) -> None:
        """It has converged, or reached the limit."""


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(Options):
    """Options of scikit-learn's EM.

    Attributes:
        trials: where to begin: a batch of parameter sets.
        ridge: a variance that every M-step adds to all variances.
        bound: mean log-likelihood that the first step is compared with, in nats.
        watch: what looks on, or None.
    """

    trials: Parameters
    ridge: float = 0.0
    bound: float = -math.inf
    watch: Watch | None = None

    def __post_init__(self) -> None:
        """scikit-learn has checked them; it allows no steps at all."""


@dataclass(eq=False)
class Trial:
    """One start and where it has led.

    Attributes:
        number: place among the starts.
        parameters: a batch of one parameter set, after the last M-step.
        before: what the first bound is compared with, in nats.
        bounds: mean log-likelihood before the M-step of every step, in nats.
        converged: whether the last two bounds are close enough.
    """

    number: int
    parameters: Parameters
    before: float
    bounds: list[float] = field(default_factory=list)
    converged: bool = False

    @property
    def change(self) -> float:
        """How far the last step has come, in nats a point."""
        return self.bounds[-1] - (self.bounds[-2] if len(self.bounds) > 1 else self.before)


def fit_recipe(task: Task[RecipeOptions]) -> Outcome:
    """The best trial; its objective is the log-likelihood at its last bound."""
    options = task.options
    total = task.observations.total_weight
    count = len(options.trials.means)
    trials = [Trial(i, options.trials[[i]], options.bound) for i in range(count)]
    interrupted = False
    try:
        for trial in trials:
            _run(task, trial)
    except KeyboardInterrupt:
        interrupted = True
    best = _best(trials) if options.max_steps else trials[-1]  # without steps, the last start
    ended = Status.CONVERGED if best.converged else Status.STEP_LIMIT
    last = best.bounds[-1] if best.bounds else -math.inf
    return Outcome(
        parameters=best.parameters,
        objective=last * total,
        history=[bound * total for bound in best.bounds],
        status=Status.INTERRUPTED if interrupted else ended,
        steps=len(best.bounds),
    )


RECIPE = Method(fit_recipe, RecipeOptions)


def _run(task: Task[RecipeOptions], trial: Trial) -> None:
    """Steps of a trial until it has converged, or the limit is reached."""
    options = task.options
    theta = theta_of(task.model.family, trial.parameters, task.observations)
    if options.watch is not None:
        options.watch.begin(trial)
    for _ in range(options.max_steps):
        theta, bound = _step(task, theta)
        trial.parameters = theta.parameters
        trial.bounds.append(bound)
        trial.converged = abs(trial.change) < options.tolerance
        if options.watch is not None:
            options.watch.step(trial)
        if trial.converged:
            break
    if options.watch is not None:
        options.watch.end(trial)


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


def refuse_ill_defined(parameters: Parameters) -> None:
    """Say what scikit-learn says of covariances that are not positive definite."""
    if not parameters.factor.isfinite().all():
        raise ValueError(ILL_DEFINED)


def _best(trials: list[Trial]) -> Trial:
    """The trial of highest last bound, the first of them if none has a bound that is a number."""

    def last(trial: Trial) -> Any:
        bound = trial.bounds[-1] if trial.bounds else -math.inf
        return -math.inf if math.isnan(bound) else bound

    return max(trials, key=last)
