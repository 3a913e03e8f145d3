"""Expectation-maximisation: Bishop (2006), §9.2.2; Dempster, Laird & Rubin (1977).

A step is the M-step of the covariance family followed by one reduction, which is the E-step and
the log-likelihood in one. Restarts are a batch of parameter sets that take the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..covariance import Parameters, Statistics
from ..observations import Observations
from ..reduction import Theta, maximise, reduce, theta_of
from ..start import is_given, sample_of, starting_parameters
from .diagnosis import diagnose
from .task import Options, Outcome, Run, Task, iterate, progress_bar, stalled

SCREENING_STEPS = 8  # steps after which restarts are compared
FINALISTS = 2  # restarts that run to the end
SAME = 1e-6  # nats a point: restarts closer than this after screening count as one


@dataclass(frozen=True, kw_only=True)
class EMOptions(Options):
    """Options of EM: the common ones, with room for slow convergence."""

    max_steps: int = 5000


@dataclass(frozen=True, eq=False)
class Expectation:
    """Parameters, and what the E-step says at them."""

    theta: Theta
    statistics: Statistics

    @property
    def log_likelihood(self) -> Float[Tensor, "s"]:
        """Log-likelihood in nats."""
        return self.statistics.log_norm


@dataclass(frozen=True, eq=False)
class Start:
    """One parameter set to run from, and the log-likelihoods of the steps that led there."""

    parameters: Parameters
    history: list[float]


def fit_em(task: Task) -> Outcome:
    """Maximum-likelihood parameters: the best few restarts, run to convergence."""
    with progress_bar(task) as bar:
        run = best_run(task, bar, task.options.tolerance, task.options.max_steps)
    return Outcome(
        parameters=run.state.theta.parameters,
        objective=run.history[-1],
        history=run.history,
        status=run.status,
        steps=run.steps,
    )


def best_run(task: Task, bar: tqdm[Any], tolerance: float, max_steps: int) -> Run[Expectation]:
    """The best of the finalists: a sound solution before a degenerate one, then the likelier."""
    runs = [
        _followed_by(
            start.history,
            run_em(task, start.parameters, bar, tolerance, max_steps - len(start.history)),
        )
        for start in best_starts(task)
    ]
    if len(runs) == 1:
        return runs[0]
    return max(runs, key=lambda run: (_is_sound(task, run), run.history[-1]))


def _followed_by(history: list[float], run: Run[Expectation]) -> Run[Expectation]:
    return Run(run.state, history + run.history, run.status)


def expect(theta: Theta, observations: Observations) -> Expectation:
    """The E-step: log-likelihood and expected sufficient statistics."""
    return Expectation(theta, reduce(observations, theta))


def step(task: Task, state: Expectation, observations: Observations) -> Expectation:
    """One M-step and the E-step that follows it."""
    theta = maximise(observations, state.theta, state.statistics, task.floor)
    return expect(theta, observations)


def run_em(
    task: Task, start: Parameters, bar: tqdm[Any], tolerance: float, max_steps: int
) -> Run[Expectation]:
    """EM from one set of parameters, on all of the data."""
    observations = task.observations
    return iterate(
        lambda state: step(task, state, observations),
        expect(theta_of(task.model.family, start, observations), observations),
        lambda state: float(state.log_likelihood[0]),
        converged=stalled(tolerance * observations.total_weight),
        max_steps=max_steps,
        bar=bar,
    )


def best_starts(task: Task, count: int = FINALISTS) -> list[Start]:
    """The most promising of the restarts, best first: at most `count` different ones."""
    options = task.options
    generator = torch.Generator().manual_seed(options.seed)
    given = is_given(options.start)
    sample = task.observations if given else sample_of(task.observations, generator)
    starts = starting_parameters(
        options.start,
        sample,
        task.model.family,
        task.model.n_components,
        n_starts=options.n_starts,
        floor=task.floor,
        generator=generator,
    )
    if given or options.n_starts == 1:
        return [Start(starts, [])]
    return _screen(task, starts, sample, count)


def _screen(task: Task, starts: Parameters, sample: Observations, count: int) -> list[Start]:
    """Run all restarts for a few steps as one batch, and keep the best that differ."""
    states = [expect(theta_of(task.model.family, starts, sample), sample)]
    for _ in range(min(SCREENING_STEPS, task.options.max_steps)):
        states.append(step(task, states[-1], sample))
    history = torch.stack([state.log_likelihood for state in states], 1)
    last = history[:, -1].nan_to_num(nan=-torch.inf)
    kept: list[int] = []
    for i in last.argsort(descending=True, stable=True).tolist():
        if all(abs(last[i] - last[j]) > SAME * sample.total_weight for j in kept):
            kept.append(i)
    comparable = sample is task.observations
    return [
        Start(states[-1].theta.parameters[[i]], history[i, :-1].tolist() if comparable else [])
        for i in kept[:count]
    ]


def _is_sound(task: Task, run: Run[Expectation]) -> bool:
    parameters = run.state.theta.parameters
    problems = diagnose(task.observations, task.model.family, parameters, task.floor).problems
    return not problems
