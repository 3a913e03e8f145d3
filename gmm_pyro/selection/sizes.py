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
from ..inference.soundness import Soundness
from ..inference.task import Options, Task
from ..reduction.assignments import Assignment, argmax
from ..reduction.sums import maximise, reduce
from ..reduction.theta import Theta, theta_of
from ..reduction.together import Same
from .climbing import Ends, Rule, stepped

LARGE = 1 << 20  # logits of all sets, from which arithmetic takes longer than calls


@dataclass(frozen=True, eq=False)
class Sizes:
    """Mixtures of one family, with their numbers of components, on their way up.

    Attributes:
        family: covariance family.
        ends: where they are, filled up.
        numbers: of components of each.
    """

    family: CovarianceFamily
    ends: Ends
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, sets: Sequence[int]) -> Sizes:
        """The chosen sets."""
        some = torch.tensor(sets, dtype=torch.int64, device=self.ends.steps.device)
        return Sizes(self.family, self.ends[some], tuple(self.numbers[i] for i in sets))

    @property
    def absent(self) -> Bool[Tensor, "s k"]:
        """Which components only fill their place."""
        return absent(self.numbers, self.ends.parameters)

    def parameters(self, i: int) -> Parameters:
        """One set, a batch of one, without what fills it up."""
        return without_filling(self.family, self.ends.parameters[[i]], self.numbers[i])

    def stepped(self, points: Observations, rule: Rule, steps: int) -> Sizes:
        """After so many steps of EM of all, at most; sets may come in another order.

        Where the data are large, sets of one number are taken at a time, and nothing is filled up.
        """
        log_weights = self.ends.parameters.log_weights
        if log_weights.numel() * points.n < LARGE or len(set(self.numbers)) == 1:
            absent = self.absent if min(self.numbers) < log_weights.shape[1] else None
            return replace(self, ends=stepped(Same(points), self.ends, rule, steps, absent))
        groups = [self._alone(k).stepped(points, rule, steps) for k in sorted(set(self.numbers))]
        return Sizes.joined(groups)

    def _alone(self, k: int) -> Sizes:
        """The sets of one number, without what fills them up."""
        some = self[[i for i, number in enumerate(self.numbers) if number == k]]
        p = without_filling(self.family, some.ends.parameters, k)
        return replace(some, ends=replace(some.ends, parameters=p))

    def sound(self, rules: dict[int, Soundness], points: Observations) -> list[bool]:
        """Whether each is, by the rule for its number."""
        theta = theta_of(self.family, self.ends.parameters, points)
        return self._sound(rules, reduce(points, theta, argmax).counts)

    def nearly_sound(self, rules: dict[int, Soundness], points: Observations) -> list[bool]:
        """The same by weights in place of hard labels, which take a pass over the data."""
        return self._sound(rules, self.ends.parameters.log_weights.exp() * points.total_weight)

    def _sound(self, rules: dict[int, Soundness], counts: Float[Tensor, "s k"]) -> list[bool]:
        least = counts.new_tensor([rules[k].least for k in self.numbers])
        rule, p = rules[max(rules)], self.ends.parameters
        good: list[bool] = rule.with_counts(p, counts, absent=self.absent, least=least).tolist()
        return good

    @classmethod
    def joined(cls, batches: Sequence[Sizes]) -> Sizes:
        """Some batches of one family as one."""
        family, most = batches[0].family, max(b.ends.parameters.means.shape[1] for b in batches)
        ends = [
            replace(b.ends, parameters=filled_up(family, b.ends.parameters, most)) for b in batches
        ]
        return cls(family, Ends.joined(ends), tuple(k for b in batches for k in b.numbers))


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


def without_filling(family: CovarianceFamily, p: Parameters, k: int) -> Parameters:
    """The first k components of sets, of which the others only fill their place."""
    factor = p.factor if family.tied else p.factor[:, :k]
    log_weights = p.log_weights[:, :k].log_softmax(1)
    return replace(p, log_weights=log_weights, means=p.means[:, :k], factor=factor)


def absent(numbers: Sequence[int], p: Parameters) -> Bool[Tensor, "s k"]:
    """Which components of sets of these numbers only fill their place."""
    k = torch.tensor(numbers, device=p.means.device)
    return torch.arange(p.means.shape[1], device=k.device) >= k[:, None]


def side_by_side(family: CovarianceFamily, mixtures: Sequence[Parameters]) -> Sizes:
    """Batches of mixtures of any numbers of components as one, before their first step."""
    most = max(p.means.shape[1] for p in mixtures)
    numbers = [p.means.shape[1] for p in mixtures for _ in range(len(p.means))]
    together = Parameters.joined([filled_up(family, p, most) for p in mixtures])
    return Sizes(family, Ends.begun(together), tuple(numbers))


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
    return Sizes(family, Ends.begun(found.parameters), tuple(numbers))


def rules_for(task: Task[Options], numbers: Sequence[int]) -> dict[int, Soundness]:
    """What is sound, by the number of components."""
    models = {k: replace(task.model, n_components=k) for k in numbers}
    return {k: Soundness.for_task(replace(task, model=model)) for k, model in models.items()}
