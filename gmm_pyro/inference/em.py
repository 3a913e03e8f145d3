"""Expectation-maximisation: Bishop (2006), §9.2.2; Dempster, Laird & Rubin (1977).

A step is the M-step of the covariance family followed by one reduction, which is the E-step and
the log-likelihood in one. Restarts are a batch of parameter sets that take the same steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

from ..data.checks import shown
from ..reduction.theta import theta_of
from .climb.coordinates import Coordinates
from .expectation import Climb, Expectation, expect, expect_at, step
from .search.likeliest import Search, searched
from .task import (
    Options,
    Outcome,
    Run,
    Status,
    Task,
    iterate,
    progress_bar,
    stalled,
)

SLOWER = 0.01  # share of the tolerance at which leaps end: they come close by jumps, not evenly


@dataclass(frozen=True, kw_only=True)
class EMOptions(Options):
    """Options of EM: the common ones, with room for slow convergence.

    Attributes:
        acceleration: "squarem" to leap along the path of EM where it is slow (overlapping
            clusters, surplus components), or None.
    """

    max_steps: int = 5000
    acceleration: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.acceleration is None or isinstance(self.acceleration, str)
        if not known or self.acceleration not in (None, "squarem"):
            raise ValueError(
                f"acceleration must be 'squarem' or None, got {shown(self.acceleration)}"
            )


def fit_em(task: Task[EMOptions]) -> Outcome:
    """Maximum-likelihood parameters: the best restart, run to convergence."""
    with progress_bar(task) as bar:
        options = task.options
        run = best_run(task, bar, options.tolerance, options.max_steps, options.acceleration)
    return run.outcome(run.state.parameters)


def best_run(
    task: Task[Options],
    bar: tqdm[Any],
    tolerance: float,
    max_steps: int,
    acceleration: str | None = None,
) -> Run[Expectation]:
    """The likeliest sound end of a search, run on; if none is sound, the likeliest."""
    return best_of(task, run_search(task, bar, tolerance, max_steps, acceleration), bar)


def run_search(
    task: Task[Options],
    bar: tqdm[Any],
    tolerance: float,
    max_steps: int,
    acceleration: str | None = None,
) -> Search:
    """A search of which the best ends have run on to convergence."""

    def finish(climb: Climb) -> Run[Expectation]:
        before = climb.history[0, :-1].tolist()
        left = max(0, max_steps - len(before))
        run = run_em(task, climb.state, bar, tolerance, left, acceleration)
        return Run(run.state, before + run.history, run.status)

    return searched(task, finish)


def best_of(task: Task[Options], search: Search, bar: tqdm[Any]) -> Run[Expectation]:
    """The run to the best end of a search."""
    run = search.best.run
    if run is None:  # after an interrupt
        state = expect_at(task, search.best.climb.state.parameters, task.observations)
        run = run_em(task, state, bar, 0.0, 0)
    status = Status.INTERRUPTED if search.interrupted else run.status
    return replace(run, status=status, search=search.figures())


def run_em(
    task: Task[Options],
    state: Expectation,
    bar: tqdm[Any],
    tolerance: float,
    max_steps: int,
    acceleration: str | None = None,
) -> Run[Expectation]:
    """EM from a state on, on all of the data."""
    observations = task.observations
    history: list[float] = []
    if acceleration is not None:
        leaps = _leaps(task, state, bar, SLOWER * tolerance, max_steps)
        if leaps.status not in (Status.CONVERGED, Status.STEP_LIMIT):
            return leaps
        state, history = leaps.state, leaps.history[:-1]  # plain steps have the last word
    run = iterate(
        lambda state: step(task, state, observations),
        state,
        lambda state: float(state.log_likelihood[0]),
        converged=stalled(tolerance * observations.total_weight),
        max_steps=max(0, max_steps - len(history)),
        bar=bar,
    )
    return Run(run.state, history + run.history, run.status)


@dataclass(frozen=True, eq=False)
class Leap:
    """Where a leap has led, and the log-likelihoods on the way there from the start."""

    state: Expectation
    path: tuple[float, ...]


def _leaps(
    task: Task[Options], state: Expectation, bar: tqdm[Any], tolerance: float, max_steps: int
) -> Run[Expectation]:
    """SQUAREM (Varadhan & Roland 2008, scheme S3): after two steps, a leap, and a step from there.

    A leap that ends below the two steps is taken back, so the log-likelihood never falls.
    """
    observations, family = task.observations, task.model.family
    shape = tuple(state.theta.parameters.means.shape[1:])
    coordinates = Coordinates(family, observations, shape, task.model.fixed)

    def leap(last: Leap) -> Leap:
        path = [last.state]
        for _ in range(2):
            path.append(step(task, path[-1], observations))
        origin, first, second = (coordinates.vector(p.theta.parameters) for p in path)
        change, bend = first - origin, second - 2 * first + origin
        length = float(change.norm() / bend.norm())
        if length > 1:  # else there is nothing to gain on the two steps
            there = coordinates.parameters(origin + 2 * length * change + length**2 * bend)
            landed = expect(theta_of(family, there, observations), observations)
            path.append(step(task, landed, observations))
        best = path[-1] if path[-1].log_likelihood >= path[2].log_likelihood else path[2]
        reached = (float(p.log_likelihood[0]) for p in [*path[1:3], best])
        return Leap(best, (*last.path, *reached))

    run = iterate(
        leap,
        Leap(state, (float(state.log_likelihood[0]),)),
        lambda leap: float(leap.state.log_likelihood[0]),
        converged=stalled(tolerance * observations.total_weight),
        max_steps=max_steps,
        bar=bar,
        stride=3,
    )
    sound = [value for value in run.state.path if math.isfinite(value)]
    return Run(run.state.state, sound, run.status)
