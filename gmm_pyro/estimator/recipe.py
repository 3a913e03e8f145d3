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
import time
from dataclasses import dataclass, field

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
    def last(self) -> float:
        """The last bound; none is below all others."""
        return self.bounds[-1] if self.bounds else -math.inf

    @property
    def change(self) -> float:
        """How far the last step has come, in nats a point."""
        return self.last - (self.bounds[-2] if len(self.bounds) > 1 else self.before)


@dataclass(eq=False)
class Printer:
    """Prints how trials go on, as scikit-learn's mixtures do.

    Attributes:
        verbose: 0 for nothing, 1 for the number of the step, 2 also for the change of the bound and
            the time.
        interval: steps between the lines.
        begun: when the trial began.
        printed: when its last line was printed.
    """

    verbose: int
    interval: int
    begun: float = 0.0
    printed: float = 0.0

    def begin(self, trial: Trial) -> None:
        """A line on a trial that begins."""
        self.begun = self.printed = time.perf_counter()
        self._print(f"Initialization {trial.number}")

    def step(self, trial: Trial) -> None:
        """A line on a trial's last step, if it is time for one."""
        step = len(trial.bounds)
        if step % self.interval:
            return
        before, self.printed = self.printed, time.perf_counter()
        more = f"\t time lapse {self.printed - before:.5f}s\t ll change {trial.change:.5f}"
        self._print(f"  Iteration {step}{more if self.verbose > 1 else ''}")

    def end(self, trial: Trial) -> None:
        """A line on how a trial has ended."""
        ended = f"Initialization {'converged' if trial.converged else 'did not converge'}."
        if self.verbose > 1 and trial.bounds:
            taken = time.perf_counter() - self.begun
            ended += f" time lapse {taken:.5f}s\t lower bound {trial.bounds[-1]:.5f}."
        self._print(ended)

    def _print(self, line: str) -> None:
        if self.verbose:
            print(line)


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(Options):
    """Options of scikit-learn's EM.

    Attributes:
        trials: where to begin: a batch of parameter sets.
        ridge: a variance that every M-step adds to all variances.
        bound: mean log-likelihood that the first step is compared with, in nats.
        printer: prints how they go on.
    """

    trials: Parameters
    ridge: float
    bound: float
    printer: Printer

    def __post_init__(self) -> None:
        """scikit-learn has checked them; it allows no steps at all."""


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
    return Outcome(
        parameters=best.parameters,
        objective=best.last * total,
        history=[bound * total for bound in best.bounds],
        status=Status.INTERRUPTED if interrupted else ended,
        steps=len(best.bounds),
    )


RECIPE = Method(fit_recipe, RecipeOptions, by_m_steps=True)


def _run(task: Task[RecipeOptions], trial: Trial) -> None:
    """Steps of a trial until it has converged, or the limit is reached."""
    options = task.options
    theta = theta_of(task.model.family, trial.parameters, task.observations)
    options.printer.begin(trial)
    for _ in range(options.max_steps):
        theta, bound = _step(task, theta)
        trial.parameters = theta.parameters
        trial.bounds.append(bound)
        trial.converged = abs(trial.change) < options.tolerance
        options.printer.step(trial)
        if trial.converged:
            break
    options.printer.end(trial)


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
    return max(trials, key=lambda trial: -math.inf if math.isnan(trial.last) else trial.last)
