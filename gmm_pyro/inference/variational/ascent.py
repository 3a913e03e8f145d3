"""The ascent of the bound: a step is one reduction and one update of all factors, of s sets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Parameters, Statistics
from ...data.points import Observations
from ...keeping.loops import resumed
from ...reduction.sums import reduce
from ...reduction.theta import Theta, theta_of
from ..expectation import heading
from .approximation import Expected, Factors, VariationalPrior

NEAR = 5.0  # times the last gain of a step, the most that is taken to be ahead


@dataclass(frozen=True, eq=False)
class State:
    """q of s sets, and what the reduction says there.

    Attributes:
        factors: q, but for q(z).
        theta: what the reduction went by.
        statistics: expected ones of the points, under the best q(z).
        bound: in nats, shape (s,).
    """

    factors: Factors
    theta: Theta
    statistics: Statistics
    bound: Float[Tensor, "s"]

    @property
    def counts(self) -> Float[Tensor, "s k"]:
        """Expected numbers of points of the components."""
        return self.statistics.counts

    def __getitem__(self, sets: list[int]) -> State:
        """The chosen sets."""
        return State(self.factors[sets], self.theta[sets], self.statistics[sets], self.bound[sets])


@dataclass(frozen=True, eq=False)
class Ascent:
    """What steps are made with.

    Attributes:
        prior: of the mixture.
        observations: the points.
        renumber: whether components may change places where that raises the bound.
    """

    prior: VariationalPrior
    observations: Observations
    renumber: bool

    def begun(self, parameters: Parameters) -> State:
        """Where the responsibilities of s mixtures lead."""
        theta = theta_of(self.prior.family, parameters, self.observations)
        return self.begun_from(reduce(self.observations, theta), theta)

    def begun_from(self, statistics: Statistics, theta: Theta | None = None) -> State:
        """Where expected statistics lead."""
        return self._updated(statistics, theta, None)

    def step(self, state: State) -> State:
        """An update of all factors, and the q(z) that follows it."""
        return self._updated(state.statistics, state.theta, state.factors)

    def at(self, factors: Factors) -> State:
        """The best q(z) beside these factors, and the bound."""
        expected = self.prior.expected(factors)
        theta = theta_of(self.prior.family, expected.parameters, self.observations)
        return self._at(factors, theta, expected)

    def _updated(
        self, statistics: Statistics, theta: Theta | None, before: Factors | None
    ) -> State:
        """q given statistics.

        Where a component comes to be so tight that moments about the data's centre have cancelled,
        they are taken once more, about the component's mean.
        """
        factors, expected = self._given(statistics, before)
        following = theta_of(self.prior.family, expected.parameters, self.observations)
        if following.centred and theta is not None and not theta.centred:
            about = Theta.about_means(self.prior.family, theta.parameters)
            factors, expected = self._given(reduce(self.observations, about), before)
            following = theta_of(self.prior.family, expected.parameters, self.observations)
        return self._at(factors, following, expected)

    def _given(self, statistics: Statistics, before: Factors | None) -> tuple[Factors, Expected]:
        """q, and what the reduction is to go by next."""
        if self.renumber and before is not None:
            statistics, before = self.prior.in_best_order(statistics, before)
        factors = self.prior.given(statistics, before)
        return factors, self.prior.expected(factors)

    def _at(self, factors: Factors, theta: Theta, expected: Expected) -> State:
        statistics = reduce(self.observations, theta)
        of_points = statistics.log_norm + expected.left_out * self.observations.total_weight
        return State(factors, theta, statistics, of_points - expected.divergence)


# ---------------------------------------------------------------------- climbs


@dataclass(frozen=True, eq=False)
class Climb:
    """Where some steps of s sets have led.

    Attributes:
        state: where they are.
        history: bounds at the start and after every step.
    """

    state: State
    history: Float[Tensor, "s t"]

    @classmethod
    def begun(cls, state: State) -> Climb:
        """Before the first step."""
        return cls(state, state.bound[:, None])

    def __getitem__(self, sets: list[int]) -> Climb:
        """The chosen sets."""
        return Climb(self.state[sets], self.history[sets])

    @property
    def reached(self) -> list[float]:
        """The bound where each is; -inf, if it is no number."""
        values: list[float] = self.history[:, -1].nan_to_num(nan=-torch.inf).tolist()
        return values

    @property
    def headings(self) -> list[float]:
        """The bound that each is on its way to; -inf, if it is no number.

        Gains of the first steps shrink slowly, and say little of where they end: no more than
        `NEAR` times the last one is promised.
        """
        reached, before = self.history[:, -1], self.history[:, :-1][:, -1:].sum(1)
        most = reached + NEAR * (reached - before).clamp_min(0.0)
        found = torch.minimum(heading(self.history), most)
        values: list[float] = found.nan_to_num(nan=-torch.inf).tolist()
        return values


def climbed(ascent: Ascent, climb: Climb, steps: int, small: float) -> Climb:
    """After so many more steps of all sets, or until none gains more than `small` nats by one."""
    loop = resumed(climb, steps, small)
    state, done = loop.state or (climb.state, False)
    values = [climb.history, *loop.items]
    while not done and len(values) <= steps:
        following = ascent.step(state)
        gains = following.bound - state.bound
        state, done = following, not bool((gains.abs() > small).any())  # nor if none is a number
        values.append(state.bound[:, None])
        loop.keep((state, done), values[-1])
    return Climb(state, torch.cat(values, 1))
