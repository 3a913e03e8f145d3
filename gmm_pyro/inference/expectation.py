"""The two steps of expectation-maximisation, of s parameter sets at a time, and a climb of some."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters, Statistics
from ..data.points import Observations
from ..keeping.loops import resumed
from ..reduction.sums import maximise, reduce
from ..reduction.theta import Theta, theta_of
from .task import Options, Task


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

    @property
    def parameters(self) -> Parameters:
        """The parameters of all sets."""
        return self.theta.parameters


def expect(theta: Theta, observations: Observations) -> Expectation:
    """The E-step: log-likelihood and expected sufficient statistics."""
    return Expectation(theta, reduce(observations, theta))


def expect_at(
    task: Task[Options], parameters: Parameters, observations: Observations
) -> Expectation:
    """The E-step at parameters."""
    return expect(theta_of(task.model.family, parameters, observations), observations)


def step(task: Task[Options], state: Expectation, observations: Observations) -> Expectation:
    """One M-step and the E-step that follows it."""
    fixed = task.model.fixed
    theta = maximise(observations, state.theta, state.statistics, task.floor, fixed=fixed)
    return expect(theta, observations)


@dataclass(frozen=True, eq=False)
class Climb:
    """Where some steps of s sets have led.

    Attributes:
        state: where they are.
        history: log-likelihoods at the start and after every step.
    """

    state: Expectation
    history: Float[Tensor, "s t"]

    @classmethod
    def begun(cls, state: Expectation) -> Climb:
        """Before the first step."""
        return cls(state, state.log_likelihood[:, None])

    def __getitem__(self, sets: list[int]) -> Climb:
        """The chosen sets."""
        return Climb(self.state[sets], self.history[sets])

    def __len__(self) -> int:
        return len(self.history)

    @property
    def reached(self) -> Float[Tensor, "s"]:
        """The log-likelihood where each is."""
        return self.history[:, -1]

    @property
    def last_gain(self) -> Float[Tensor, "s"]:
        """Of the last step, in nats; infinite before the first."""
        if self.history.shape[1] < 2:
            return torch.full_like(self.reached, torch.inf)
        return self.reached - self.history[:, -2]

    @property
    def ceiling(self) -> Float[Tensor, "s"]:
        """What each may come to if its gains hardly shrink: `CEILING` times the last one."""
        return self.reached + CEILING * self.last_gain.clamp_min(0.0)

    @property
    def heading(self) -> Float[Tensor, "s"]:
        """The log-likelihood that each is on its way to, by Aitken's extrapolation.

        Gains that do not shrink, or hardly, say little of where they end: no more than `FAR` times
        the last gain is promised.
        """
        return heading(self.history)


CEILING = 500.0  # times the last gain of a step, more than which is hardly ever ahead
FAR = 50.0  # times the last gain of a step, the most that is taken to be ahead


def heading(values: Float[Tensor, "s t"]) -> Float[Tensor, "s"]:
    """What objectives are on their way to, from those after each step; see `Climb.heading`."""
    if values.shape[1] < 3:
        return values[:, -1]
    last, before = values[:, -1] - values[:, -2], values[:, -2] - values[:, -3]
    ratio = torch.where(before > 0, last / before, 0.0).nan_to_num().clamp(0.0, FAR / (1 + FAR))
    return values[:, -1] + last.clamp_min(0.0) * ratio / (1 - ratio)


def climbed(
    task: Task[Options], climb: Climb, observations: Observations, steps: int, small: float
) -> Climb:
    """After so many more steps of all sets, or until none gains more than `small` nats by one."""
    loop = resumed(climb, steps, small)
    state, done = loop.state or (climb.state, False)
    values = [climb.history, *loop.items]
    while not done and len(values) <= steps:
        following = step(task, state, observations)
        gains = following.log_likelihood - state.log_likelihood
        if not following.log_likelihood.isfinite().any():
            break  # the run that follows says that it diverged
        state, done = following, bool(gains.abs().max() <= small)
        values.append(state.log_likelihood[:, None])
        loop.keep((state, done), values[-1])
    return Climb(state, torch.cat(values, 1))
