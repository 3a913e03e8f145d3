"""Trials as scikit-learn's mixtures run them: one start after the other, the best is kept.

A trial stops when two bounds in a row are closer than the tolerance; the best of several is the one
with the highest last bound.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..covariance import Parameters
from ..inference.task import Options, Outcome, Status

State = TypeVar("State")

ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)


@dataclass(eq=False)
class Trial(Generic[State]):
    """One start and where it has led.

    Attributes:
        number: place among the starts.
        state: where it is, after the last M-step.
        before: what the first bound is compared with.
        bounds: those of every step, in the units of the tolerance.
        converged: whether the last two bounds are close enough.
    """

    number: int
    state: State
    before: float
    bounds: list[float] = field(default_factory=list)
    converged: bool = False

    @property
    def last(self) -> float:
        """The last bound; none is below all others."""
        return self.bounds[-1] if self.bounds else -math.inf

    @property
    def change(self) -> float:
        """How far the last step has come."""
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

    def begin(self, number: int) -> None:
        """A line on a trial that begins."""
        self.begun = self.printed = time.perf_counter()
        self._print(f"Initialization {number}")

    def step(self, step: int, change: float) -> None:
        """A line on a trial's last step, if it is time for one."""
        if step % self.interval:
            return
        before, self.printed = self.printed, time.perf_counter()
        more = f"\t time lapse {self.printed - before:.5f}s\t ll change {change:.5f}"
        self._print(f"  Iteration {step}{more if self.verbose > 1 else ''}")

    def end(self, bounds: Sequence[float], converged: bool) -> None:  # noqa: FBT001
        """A line on how a trial has ended."""
        ended = f"Initialization {'converged' if converged else 'did not converge'}."
        if self.verbose > 1 and bounds:
            taken = time.perf_counter() - self.begun
            ended += f" time lapse {taken:.5f}s\t lower bound {bounds[-1]:.5f}."
        self._print(ended)

    def _print(self, line: str) -> None:
        if self.verbose:
            print(line)


@dataclass(frozen=True, kw_only=True)
class TrialOptions(Options):
    """Options of scikit-learn's algorithms.

    Attributes:
        ridge: a variance that every M-step adds to all variances.
        bound: what the bound of the first step is compared with.
        printer: prints how they go on.
    """

    ridge: float
    bound: float
    printer: Printer

    def __post_init__(self) -> None:
        """scikit-learn has checked them; it allows no steps at all."""


@dataclass(frozen=True, eq=False)
class Ended(Generic[State]):
    """How trials have ended.

    Attributes:
        best: the trial of the highest last bound; without steps, the last one.
        interrupted: whether they were stopped.
    """

    best: Trial[State]
    interrupted: bool

    def outcome(self, parameters: Parameters, nats: Callable[[float], float]) -> Outcome:
        """What a method hands back, with bounds made into nats."""
        ended = Status.CONVERGED if self.best.converged else Status.STEP_LIMIT
        return Outcome(
            parameters=parameters,
            objective=nats(self.best.last),
            history=[nats(bound) for bound in self.best.bounds],
            status=Status.INTERRUPTED if self.interrupted else ended,
            steps=len(self.best.bounds),
        )


def run_trials(
    starts: Sequence[State],
    step: Callable[[State], tuple[State, float]],
    options: TrialOptions,
) -> Ended[State]:
    """All trials, or those that were run when an interrupt came.

    Args:
        starts: where they begin.
        step: leads on from a state, and says by which bound.
        options: the tolerance, the most steps, and who prints.
    """
    trials = [Trial(number, start, options.bound) for number, start in enumerate(starts)]
    interrupted = False
    try:
        for trial in trials:
            _run(trial, step, options)
    except KeyboardInterrupt:
        interrupted = True
    return Ended(_best(trials) if options.max_steps else trials[-1], interrupted)


def _run(
    trial: Trial[State], step: Callable[[State], tuple[State, float]], options: TrialOptions
) -> None:
    """Steps of a trial until it has converged, or the limit is reached."""
    options.printer.begin(trial.number)
    for _ in range(options.max_steps):
        trial.state, bound = step(trial.state)
        trial.bounds.append(bound)
        trial.converged = abs(trial.change) < options.tolerance
        options.printer.step(len(trial.bounds), trial.change)
        if trial.converged:
            break
    options.printer.end(trial.bounds, trial.converged)


def refuse_ill_defined(parameters: Parameters) -> None:
    """Say what scikit-learn says of covariances that are not positive definite.

    Raises:
        ValueError: if one is not.
    """
    if not parameters.factor.isfinite().all():
        raise ValueError(ILL_DEFINED)


def _best(trials: list[Trial[State]]) -> Trial[State]:
    """The trial of highest last bound, the first of them if none has a bound that is a number."""
    return max(trials, key=lambda trial: -math.inf if math.isnan(trial.last) else trial.last)
