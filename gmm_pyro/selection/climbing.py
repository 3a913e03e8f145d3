"""Expectation-maximisation of many fits at once: each leaves the batch when it has converged.

A step is that of `em.py`, over the sample of each set. Sets take some steps in parts that stay in
cache, one part for each thread at a time; then those that have converged leave, and what is left is
divided anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters, Statistics
from ..covariance.fixed import Fixed
from ..inference.expectation import FAR
from ..inference.soundness import Soundness
from ..inference.task import ROUNDING
from ..reduction.assignments import argmax
from ..reduction.small import filled
from ..reduction.sums import maximised
from ..reduction.theta import Theta, theta_of, tight_ones
from ..reduction.together import Samples
from ..running.threads import map_in_threads, one_thread_a_product
from .leaps import Leaps

NUMBERS = 1 << 20  # features and logits of the sets that take steps together
STRIDE = 10  # steps before those that have converged leave
PLAIN = 2  # steps between two leaps, and after the last


@dataclass(frozen=True, eq=False)
class Rule:
    """How sets climb.

    Attributes:
        family: covariance family.
        floor: smallest variance of each feature.
        tolerance: log-likelihood that may be left, in nats; None of sets that go on in any case.
        max_steps: most steps of each.
        fixed: what is held of the parameters, if anything is.
        leaps: whether every few steps one is tried that goes farther.
    """

    family: CovarianceFamily
    floor: Float[Tensor, "d"]
    tolerance: float | None
    max_steps: int
    fixed: Fixed | None = None
    leaps: bool = False


@dataclass(frozen=True, eq=False)
class Ends:
    """Where s sets have come to.

    Attributes:
        parameters: of all sets.
        history: the last three log-likelihoods of each, in nats; NaN before the first.
        converged: whether each has converged.
        steps: how many each has taken.
    """

    parameters: Parameters
    history: Float[Tensor, "s 3"]
    converged: Bool[Tensor, "s"]
    steps: Int[Tensor, "s"]

    @classmethod
    def begun(cls, parameters: Parameters) -> Ends:
        """Before the first step."""
        s, like = len(parameters.means), parameters.means
        none = torch.zeros(s, dtype=torch.int64, device=like.device)
        return cls(parameters, like.new_full((s, 3), torch.nan), none.bool(), none)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, sets: Tensor | slice) -> Ends:
        """The chosen sets."""
        return Ends(
            self.parameters[sets], self.history[sets], self.converged[sets], self.steps[sets]
        )

    @property
    def log_likelihood(self) -> Float[Tensor, "s"]:
        """Of each set, in nats."""
        return self.history[:, -1]

    @property
    def done(self) -> Bool[Tensor, "s"]:
        """Whether each has converged, or is nowhere."""
        return self.converged | ((self.steps > 0) & ~self.log_likelihood.isfinite())

    @property
    def heading(self) -> Float[Tensor, "s"]:
        """What each is on its way to, as `expectation.Climb` has it; very little, if it is lost."""
        before, last = self.history.diff(dim=1).unbind(1)
        ratio = torch.where(before > 0, last / before, 0.0).nan_to_num().clamp(0.0, FAR / (1 + FAR))
        ahead = (last.clamp_min(0.0) * ratio / (1 - ratio)).nan_to_num()
        lowest = torch.finfo(ahead.dtype).min
        return (self.log_likelihood + ahead).nan_to_num(nan=lowest, neginf=lowest)

    def left(self, rule: Rule) -> Bool[Tensor, "s"]:
        """Which of them have more steps to take."""
        return ~self.done & (self.steps < rule.max_steps)

    @classmethod
    def joined(cls, parts: list[Ends]) -> Ends:
        """All sets of some parts, one part after the other."""
        return cls(
            Parameters.joined([part.parameters for part in parts]),
            torch.cat([part.history for part in parts]),
            torch.cat([part.converged for part in parts]),
            torch.cat([part.steps for part in parts]),
        )

    def replaced(self, sets: Int[Tensor, "t"], others: Ends) -> Ends:
        """With others in the places of some sets."""
        both = Ends.joined([self, others])
        order = torch.arange(len(self), device=sets.device)
        order[sets] = len(self) + torch.arange(len(others), device=sets.device)
        return both[order]


@one_thread_a_product()
@torch.no_grad()
def climbed(
    samples: Samples, ends: Ends, rule: Rule, owner: Int[Tensor, "s"], max_steps: int | None = None
) -> Ends:
    """Where sets come to that go on until they converge.

    Args:
        samples: what is fitted.
        ends: where the sets are.
        rule: how they climb.
        owner: which of the samples each is fitted to.
        max_steps: most steps more; none but those of the rule, if None.
    """
    left = rule.max_steps if max_steps is None else max_steps
    while left > 0:
        going = ends.left(rule).nonzero()[:, 0]
        if not len(going):
            break
        steps = min(left, STRIDE, rule.max_steps - int(ends.steps[going].max()))
        parts = in_parts(samples, rule.family, ends.parameters, going)

        def work(sets: Int[Tensor, "t"], ends: Ends = ends, steps: int = steps) -> Ends:
            return stepped(samples[owner[sets]], ends[sets], rule, steps)

        if samples.takes_threads(rule.family):
            moved = [work(part) for part in parts]
        else:
            moved = map_in_threads(partial(_same, work), parts)
        ends = ends.replaced(going, Ends.joined(moved))
        left -= steps
    return ends


def _same(work: Callable[[Tensor], Ends]) -> Callable[[Tensor], Ends]:
    """Each thread does the same, with nothing of its own."""
    return work


def in_parts(
    samples: Samples, family: CovarianceFamily, parameters: Parameters, sets: Int[Tensor, "t"]
) -> list[Int[Tensor, "u"]]:
    """Sets in parts that are worked on together."""
    k, d = parameters.means.shape[1:]
    numbers = samples.n * (k + 1 + d + family.n_own_features(d))
    count = -(-len(sets) // max(1, NUMBERS // numbers))
    return list(sets.tensor_split(count))


def stepped(
    sample: Samples,
    ends: Ends,
    rule: Rule,
    steps: int,
    absent: Bool[Tensor, "s k"] | None = None,
) -> Ends:
    """Sets after so many more steps, or as many as they may take.

    Components that are absent make sets of fewer fit into the batch, and stay copies of the first.
    """

    def expected(theta: Theta) -> Statistics:
        return filled(sample.reduce(theta), absent, sample.points)

    def maximum(theta: Theta, statistics: Statistics) -> Theta:
        return maximised(sample.points, theta, statistics, expected, rule.floor, fixed=rule.fixed)

    leaps = Leaps(rule.family, rule.floor, sample.points, expected)
    theta = theta_of(rule.family, ends.parameters, sample.points)
    tight = tight_ones(theta, sample.points)
    if tight is not None:
        return _in_groups(sample, ends, rule, steps, absent, tight)
    statistics = expected(theta)
    history, converged, taken = ends.history, ends.converged, ends.steps
    begins = history[:, -1].isnan()
    history = torch.where(begins[:, None], _appended(history, statistics), history)
    last, plain = statistics, 0  # statistics before the last step, and steps since a leap
    for i in range(steps):
        if tight_ones(theta, sample.points) is not None:
            here = Ends(theta.parameters, history, converged, taken)
            return stepped(sample, here, rule, steps - i, absent)
        if rule.leaps and plain >= PLAIN and i + PLAIN < steps and not theta.centred:
            theta, statistics, history = leaps.leapt(theta, statistics, last, history)
            plain = 0
        else:
            theta, last = maximum(theta, statistics), statistics
            statistics = expected(theta)
            history, plain = _appended(history, statistics), plain + 1
        taken = taken + 1
        if rule.tolerance is not None:
            converged = converged | stalled(history, rule.tolerance)
            if bool(converged.all()):
                break
    return Ends(theta.parameters, history, converged, taken)


def _in_groups(
    sample: Samples,
    ends: Ends,
    rule: Rule,
    steps: int,
    absent: Bool[Tensor, "s k"] | None,
    tight: Bool[Tensor, "s"],
) -> Ends:
    """As `stepped`: the tight ones, and the others, so that these need no centred kernel.

    There are no leaps, as a centred batch has none: it is the same way up.
    """
    groups, rule = [tight.nonzero()[:, 0], (~tight).nonzero()[:, 0]], replace(rule, leaps=False)
    parts = [
        stepped(sample[group], ends[group], rule, steps, None if absent is None else absent[group])
        for group in groups
    ]
    return Ends.joined(parts)[torch.cat(groups).argsort()]


def _appended(history: Float[Tensor, "s 3"], statistics: Statistics) -> Float[Tensor, "s 3"]:
    return torch.cat([history[:, 1:], statistics.log_norm[:, None]], 1)


def stalled(history: Float[Tensor, "s 3"], tolerance: float) -> Bool[Tensor, "s"]:
    """The rule of `task.stalled`, for each of s sets by its last log-likelihoods."""
    gain, before = history[:, 2] - history[:, 1], history[:, 1] - history[:, 0]
    no_change = gain.abs() <= ROUNDING * history[:, 2].abs()
    ratio = gain / torch.where(before == 0, gain, before)
    small = (gain.abs() <= tolerance) & (ratio < 1) & (gain * ratio / (1 - ratio) <= tolerance)
    return no_change | small


@one_thread_a_product()
@torch.no_grad()
def sound(
    samples: Samples,
    parameters: Parameters,
    family: CovarianceFamily,
    rule: Soundness,
    owner: Int[Tensor, "s"],
) -> Bool[Tensor, "s"]:
    """Whether each set is, by hard labels of its own sample."""
    everyone = torch.arange(len(owner), device=owner.device)

    def judge(sets: Int[Tensor, "t"]) -> Bool[Tensor, "t"]:
        sample, some = samples[owner[sets]], parameters[sets]
        counts = sample.reduce(theta_of(family, some, sample.points), argmax).counts
        return rule.with_counts(some, counts)

    parts = in_parts(samples, family, parameters, everyone)
    if samples.takes_threads(family):
        return torch.cat([judge(part) for part in parts])
    return torch.cat(map_in_threads(lambda: judge, parts))
