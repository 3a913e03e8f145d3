"""Mixtures of different numbers of components as one batch: the smaller ones are filled up.

What fills them up are copies of their first component, of a weight that no logit ever shows. So a
step of all sizes is one pass over the data and one M-step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..covariance.records import ABSENT
from ..data.points import Observations
from ..inference.expectation import Climb, expect
from ..inference.soundness import Soundness
from ..inference.task import Options, Task
from ..reduction.assignments import Assignment, argmax
from ..reduction.sums import maximise, reduce
from ..reduction.theta import Theta, theta_of


def filled_up(family: CovarianceFamily, p: Parameters, k: int) -> Parameters:
    """Sets of k components, those that they lack being copies of their first."""
    lacking = k - p.log_weights.shape[1]
    if lacking == 0:
        return p
    places = [0] * lacking
    log_weights = p.log_weights[:, places] + math.log(ABSENT)
    factor = p.factor
    if factor.shape[1] == p.log_weights.shape[1] and not family.tied:
        factor = torch.cat([factor, factor[:, places]], 1)
    return Parameters(
        torch.cat([p.log_weights, log_weights], 1),
        torch.cat([p.means, p.means[:, places]], 1),
        factor,
    )


@dataclass(frozen=True, eq=False)
class Sizes:
    """Mixtures of one family, with their numbers of components, on their way up.

    Attributes:
        family: covariance family.
        climb: where they are, filled up.
        numbers: of components of each.
    """

    family: CovarianceFamily
    climb: Climb
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, sets: Sequence[int]) -> Sizes:
        """The chosen sets."""
        some = list(sets)
        return Sizes(self.family, self.climb[some], tuple(self.numbers[i] for i in some))

    @property
    def theta(self) -> Theta:
        """All of them, filled up."""
        return self.climb.state.theta

    @property
    def absent(self) -> Bool[Tensor, "s k"]:
        """Which components only fill their place."""
        return absent(self.numbers, self.theta.parameters)

    def parameters(self, i: int) -> Parameters:
        """One set, a batch of one, without what fills it up."""
        p, k = self.theta.parameters[[i]], self.numbers[i]
        factor = p.factor if self.family.tied else p.factor[:, :k]
        return replace(
            p, log_weights=p.log_weights[:, :k].log_softmax(1), means=p.means[:, :k], factor=factor
        )

    def of(self, number: int) -> list[int]:
        """The sets of so many components."""
        return [i for i, k in enumerate(self.numbers) if k == number]

    def stepped(self, points: Observations, floor: Float[Tensor, "d"], steps: int) -> Sizes:
        """After so many steps of EM of all."""
        state, values = self.climb.state, [self.climb.history]
        for _ in range(steps):
            theta = maximise(points, state.theta, state.statistics, floor, absent=self.absent)
            state = expect(theta, points)
            values.append(state.log_likelihood[:, None])
        return replace(self, climb=Climb(state, torch.cat(values, 1)[:, -3:]))

    def sound(self, rules: dict[int, Soundness], points: Observations) -> list[bool]:
        """Whether each is, by the rule for its number."""
        p, absent = self.theta.parameters, self.absent
        finite = p.factor.flatten(1).isfinite().all(1)
        p = replace(p, factor=torch.where(_first(finite, p.factor), p.factor, 1.0))
        rule = rules[max(rules)]
        wide = torch.minimum(rule.above_floor(p), rule.above_rounding(p)) > 1
        least = p.means.new_tensor([rules[k].least for k in self.numbers])[:, None]
        held = reduce(points, self.theta, argmax).counts >= least
        good: list[bool] = (finite & ((wide & held) | absent).all(1)).tolist()
        return good


def absent(numbers: Sequence[int], p: Parameters) -> Bool[Tensor, "s k"]:
    """Which components of sets of these numbers only fill their place."""
    k = torch.tensor(numbers, device=p.means.device)
    return torch.arange(p.means.shape[1], device=k.device) >= k[:, None]


def side_by_side(
    family: CovarianceFamily, mixtures: Sequence[Parameters], points: Observations
) -> Sizes:
    """Batches of mixtures of any numbers of components as one, before their first step."""
    most = max(p.means.shape[1] for p in mixtures)
    numbers = [p.means.shape[1] for p in mixtures for _ in range(len(p.means))]
    together = Parameters.joined([filled_up(family, p, most) for p in mixtures])
    state = expect(theta_of(family, together, points), points)
    return Sizes(family, Climb.begun(state), tuple(numbers))


def joined(batches: Sequence[Sizes], points: Observations) -> Sizes:
    """Some batches as one; histories begin anew."""
    family = batches[0].family
    return side_by_side(family, [b.parameters(i) for b in batches for i in range(len(b))], points)


def from_assignment(
    family: CovarianceFamily,
    theta: Theta,
    assign: Assignment,
    numbers: Sequence[int],
    points: Observations,
    floor: Float[Tensor, "d"],
) -> Sizes:
    """The M-step from what is known to belong where, of sets of these numbers of components."""
    missing = absent(numbers, theta.parameters)
    statistics = reduce(points, theta, assign)
    found = maximise(points, theta, statistics, floor, assign, absent=missing)
    return Sizes(family, Climb.begun(expect(found, points)), tuple(numbers))


def rules_for(task: Task[Options], numbers: Sequence[int]) -> dict[int, Soundness]:
    """What is sound, by the number of components."""
    models = {k: replace(task.model, n_components=k) for k in numbers}
    return {k: Soundness.for_task(replace(task, model=model)) for k, model in models.items()}


def _first(chosen: Tensor, like: Tensor) -> Tensor:
    return chosen.view(-1, *(1,) * (like.ndim - 1))
