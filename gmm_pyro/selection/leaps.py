"""Leaps: steps that go on to where the last ones are heading, of sets that are likelier for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters, Statistics
from ..covariance.records import times
from ..data.points import Points
from ..reduction.small import tried_m_step
from ..reduction.theta import Theta, theta_of

SHRUNK = 4.0  # times, that a leap may shrink the volume of a component at most
FARTHEST = 50.0  # times the last step, the most that a leap takes


@dataclass(frozen=True, eq=False)
class Leaps:
    """How sets leap.

    Attributes:
        family: covariance family.
        floor: smallest variance of each feature.
        points: what is fitted.
        expected: the E-step.
    """

    family: CovarianceFamily
    floor: Float[Tensor, "d"]
    points: Points
    expected: Callable[[Theta], Statistics]

    def leapt(
        self, theta: Theta, statistics: Statistics, last: Statistics, history: Float[Tensor, "s 3"]
    ) -> tuple[Theta, Statistics, Float[Tensor, "s 3"]]:
        """Where sets are after a leap, their statistics there, and their log-likelihoods.

        Args:
            theta: where they are.
            statistics: there.
            last: before the last step.
            history: the last three log-likelihoods of each, in nats.
        """
        there = self._there(theta, _ahead(last, statistics, history))
        if there.centred:
            return theta, statistics, history
        found = _better(self.points, theta, statistics, there, self.expected(there))
        theta, statistics, better = found
        return theta, statistics, torch.where(better[:, None], _anew(history, statistics), history)

    def _there(self, theta: Theta, ahead: Statistics) -> Theta:
        """The M-step from there; sets whose covariances would shrink too much stay as they are."""
        family, before = self.family, theta.parameters
        factor, small = before.factor, None
        if self.points.compiled:
            small = tried_m_step(family, ahead, self.floor, factor)
        found, sound = small or (family.m_step(ahead, self.floor, 0.0, factor), None)
        d = before.means.shape[-1]
        least = family.log_determinant(factor, d) - math.log(SHRUNK)
        good = (family.log_determinant(found.factor, d) >= least).flatten(1).all(1)
        good = good if sound is None else good & sound
        place = torch.arange(len(good), device=good.device)
        place = torch.where(good, place + len(good), place)
        return theta_of(family, Parameters.joined([before, found])[place], self.points)


def _ahead(last: Statistics, statistics: Statistics, history: Float[Tensor, "s 3"]) -> Statistics:
    """Where statistics are on their way to, if the distance shrinks by the same share at each step.

    Likelihoods then approach their limit by the square of this share. Between two sets of moments
    of nonnegative weights, and a little beyond, M-steps are as they should be; where they are not,
    the likelihood says so.
    """
    gain, before = history[:, 2] - history[:, 1], history[:, 1] - history[:, 0]
    share = (gain / before).nan_to_num(posinf=0.0, neginf=0.0).clamp(0.0, 1.0).sqrt()
    far = (share / (1 - share)).clamp_max(FARTHEST)
    counts = statistics.counts + times(far, statistics.counts - last.counts)
    far = torch.where((counts > 0).all(1), far, 0.0)

    def beyond(now: Tensor, then: Tensor) -> Tensor:
        return now + times(far, now - then)

    both = statistics.noise, last.noise
    noise = None if both[0] is None or both[1] is None else beyond(both[0], both[1])
    return replace(
        statistics,
        counts=beyond(statistics.counts, last.counts),
        first=beyond(statistics.first, last.first),
        second=beyond(statistics.second, last.second),
        noise=noise,
    )


def _better(
    points: Points, theta: Theta, statistics: Statistics, there: Theta, found: Statistics
) -> tuple[Theta, Statistics, Bool[Tensor, "s"]]:
    """What a leap has found of each set where that is likelier, and else what there was."""
    better = found.log_norm > statistics.log_norm
    if not bool(better.any()):
        return theta, statistics, better
    place = torch.arange(len(better), device=better.device)
    place = torch.where(better, place + len(better), place)
    parameters = Parameters.joined([theta.parameters, there.parameters])[place]
    statistics = Statistics.joined([statistics, found])[place]
    return theta_of(theta.family, parameters, points), statistics, better


def _anew(history: Float[Tensor, "s 3"], statistics: Statistics) -> Float[Tensor, "s 3"]:
    """Only the last value: those before it say nothing of steps."""
    nothing = torch.full_like(history[:, 1:], torch.nan)
    return torch.cat([nothing, statistics.log_norm[:, None]], 1)
