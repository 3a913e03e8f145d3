"""Expectation-maximisation: Bishop (2006), §9.2.2; Dempster, Laird & Rubin (1977).

A step is the M-step of the covariance family followed by one reduction, which is the E-step and
the log-likelihood in one. Restarts are a batch of parameter sets that take the same steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..covariance import Parameters, Statistics
from ..data.checks import shown
from ..data.points import Observations
from ..reduction.sums import maximise, reduce
from ..reduction.theta import Theta, theta_of
from .climb.coordinates import Coordinates
from .diagnosis import diagnose
from .starts.starting import is_given, sample_of, starting_parameters
from .task import Options, Outcome, Run, Status, Task, iterate, progress_bar, stalled

Rounds = tuple[tuple[int, int], ...]

# Rounds of steps, and how many restarts stay after each.
SCREENING: Rounds = ((5, 4), (10, 3), (20, 2))
SLOWER = 0.01  # share of the tolerance at which leaps end: they come close by jumps, not evenly
SAME = 1e-6  # nats a point: restarts that are closer than this count as one


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


@dataclass(frozen=True, eq=False)
class Expectation:
    """Parameters, and what the E-step says at them."""

    theta: Theta
    statistics: Statistics

    def __getitem__(self, sets: list[int]) -> Expectation:
        """The chosen sets."""
        return Expectation(self.theta[sets], self.statistics[sets])

    @property
    def log_likelihood(self) -> Float[Tensor, "s"]:
        """Log-likelihood in nats."""
        return self.statistics.log_norm


@dataclass(frozen=True, eq=False)
class Restart:
    """One parameter set to run from, and the log-likelihoods of the steps that led there."""

    parameters: Parameters
    history: list[float]


def fit_em(task: Task[EMOptions]) -> Outcome:
    """Maximum-likelihood parameters: the best restart, run to convergence."""
    with progress_bar(task) as bar:
        options = task.options
        run = best_run(task, bar, options.tolerance, options.max_steps, options.acceleration)
    return Outcome(
        parameters=run.state.theta.parameters,
        objective=run.history[-1],
        history=run.history,
        status=run.status,
        steps=run.steps,
    )


def best_run(
    task: Task[Options],
    bar: tqdm[Any],
    tolerance: float,
    max_steps: int,
    acceleration: str | None = None,
) -> Run[Expectation]:
    """The best restart, run on; the next ones too, for as long as the solution is degenerate."""
    runs: list[Run[Expectation]] = []
    for start in best_starts(task):
        left = max_steps - len(start.history)
        run = run_em(task, start.parameters, bar, tolerance, left, acceleration)
        run = Run(run.state, start.history + run.history, run.status)
        if run.status is Status.INTERRUPTED or is_sound(task, run.state.theta.parameters):
            return run
        runs.append(run)
    return max(runs, key=lambda run: run.history[-1])


def expect(theta: Theta, observations: Observations) -> Expectation:
    """The E-step: log-likelihood and expected sufficient statistics."""
    return Expectation(theta, reduce(observations, theta))


def step(task: Task[Options], state: Expectation, observations: Observations) -> Expectation:
    """One M-step and the E-step that follows it."""
    theta = maximise(observations, state.theta, state.statistics, task.floor)
    return expect(theta, observations)


def run_em(
    task: Task[Options],
    start: Parameters,
    bar: tqdm[Any],
    tolerance: float,
    max_steps: int,
    acceleration: str | None = None,
) -> Run[Expectation]:
    """EM from one set of parameters, on all of the data."""
    observations = task.observations
    state = expect(theta_of(task.model.family, start, observations), observations)
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


def _leaps(
    task: Task[Options], state: Expectation, bar: tqdm[Any], tolerance: float, max_steps: int
) -> Run[Expectation]:
    """SQUAREM (Varadhan & Roland 2008, scheme S3): after two steps, a leap, and a step from there.

    A leap that ends below the two steps is taken back, so the log-likelihood never falls.
    """
    observations, family = task.observations, task.model.family
    shape = tuple(state.theta.parameters.means.shape[1:])
    coordinates = Coordinates(family, observations, shape)
    history = [float(state.log_likelihood[0])]

    def leap(state: Expectation) -> Expectation:
        path = [state]
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
        history.extend(float(p.log_likelihood[0]) for p in [*path[1:3], best])
        return best

    run = iterate(
        leap,
        state,
        lambda state: float(state.log_likelihood[0]),
        converged=stalled(tolerance * observations.total_weight),
        max_steps=max_steps,
        bar=bar,
        stride=3,
    )
    sound = [value for value in history if math.isfinite(value)]
    return Run(run.state, sound, run.status)


def best_starts(task: Task[Options], rounds: Rounds = SCREENING) -> list[Restart]:
    """The most promising of the restarts after some rounds of EM, best first."""
    options = task.options
    generator = torch.Generator().manual_seed(options.seed)
    given = is_given(options.start)
    k = task.model.n_components
    sample = task.observations if given else sample_of(task.observations, k, generator)
    starts = starting_parameters(
        options.start,
        sample,
        task.model.family,
        k,
        n_starts=options.n_starts,
        floor=task.floor,
        generator=generator,
    )
    if given or options.n_starts == 1:
        return [Restart(starts, [])]
    return _screen(task, starts, sample, rounds)


def _screen(
    task: Task[Options], starts: Parameters, sample: Observations, rounds: Rounds
) -> list[Restart]:
    """Run all restarts as one batch, in rounds after which only the best that differ stay."""
    state = expect(theta_of(task.model.family, starts, sample), sample)
    history = state.log_likelihood[:, None]
    small = task.options.tolerance * sample.total_weight
    left = task.options.max_steps
    for steps, keep in rounds:
        for _ in range(min(steps, left)):
            following = step(task, state, sample)
            if not following.log_likelihood.isfinite().any():  # the run says that it diverged
                break
            state = following
            history = torch.cat([history, state.log_likelihood[:, None]], 1)
            if (history[:, -1] - history[:, -2]).abs().max() <= small:
                break
        left = max(0, left - steps)
        best = _best_different(history[:, -1], keep, SAME * sample.total_weight)
        state, history = state[best], history[best]
    comparable = sample is task.observations  # else the log-likelihoods are of other data
    return [
        Restart(state.theta.parameters[[i]], history[i, :-1].tolist() if comparable else [])
        for i in range(len(history))
    ]


def _best_different(log_likelihood: Float[Tensor, "s"], count: int, gap: float) -> list[int]:
    """The sets of highest log-likelihood, best first, that are not the same solution twice."""
    values = log_likelihood.nan_to_num(nan=-torch.inf)
    kept: list[int] = []
    for i in values.argsort(descending=True, stable=True).tolist():
        if all(values[j] - values[i] > gap for j in kept):
            kept.append(i)
    return kept[:count]


def is_sound(task: Task[Options], parameters: Parameters) -> bool:
    """Whether no component is degenerate."""
    family, observations = task.model.family, task.observations
    return not diagnose(observations, family, parameters, task.floor).problems
