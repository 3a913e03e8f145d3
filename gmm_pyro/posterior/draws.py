"""What relabelling, clustering and prediction ask of draws: evenly spaced ones, at points, batched.

A batch of draws is a batch of parameter sets to the reduction, so that no loop over single draws
is written in Python.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..data.points import Observations, Points
from ..data.spread import chunks
from ..reduction.theta import Theta, theta_of
from ..running.threads import one_thread_a_product

DRAWS_AT_ONCE = 64  # parameter sets in one batch
SEED = 0  # of the choice of points that stand for all


def evenly_spaced(n: int, count: int) -> Int[Tensor, "m"]:
    """At most `count` of the numbers 0 to n - 1, evenly spaced, with the first and the last.

    Example:
        >>> evenly_spaced(9, 3).tolist(), evenly_spaced(2, 3).tolist()
        ([0, 4, 8], [0, 1])
    """
    return torch.linspace(0, n - 1, min(n, count), dtype=torch.float64).round().long()


def sampled_rows(observations: Observations, count: int) -> Int[Tensor, "m"]:
    """At most `count` rows of positive weight: one at random from each of as many equal parts."""
    n = observations.n_weighted
    if n <= count:
        return observations.weighted_rows(torch.arange(n))
    generator = torch.Generator().manual_seed(SEED)
    place = torch.arange(count) + torch.rand(count, generator=generator, dtype=torch.float64)
    return observations.weighted_rows((place * (n / count)).long().clamp_max(n - 1))


@one_thread_a_product()
@torch.no_grad()
def over_draws(
    family: CovarianceFamily,
    parameters: Parameters,
    points: Points,
    evaluate: Callable[[Theta, slice], Tensor],
) -> list[Tensor]:
    """What a function of the reduction gives for each batch of draws, in their order.

    Args:
        family: the covariance family.
        parameters: s draws, as sets.
        points: the draws will be evaluated at.
        evaluate: a function of a batch of draws, and of their numbers.
    """
    return [
        evaluate(theta_of(family, parameters[draws], points), draws)
        for draws in chunks(len(parameters.means), DRAWS_AT_ONCE)
    ]
