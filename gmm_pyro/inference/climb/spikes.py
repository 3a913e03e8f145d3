"""Spikes of a likelihood: where components shrink without end onto points that have no spread.

The density of a component whose points are equal, or lie in a plane, grows as its covariance
shrinks (Day 1969). A climb that is on the way up a spike has a thin covariance, as it may have on
the way to a tight cluster; but there the points have a spread, however small.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...covariance import CovarianceFamily, Parameters, Statistics
from ...covariance.fixed import Fixed
from ...covariance.records import TINY
from ...data.partitioned import Partitioned
from ...data.points import Observations
from ...data.spread import ROWS, chunks
from ...reduction.pointwise import responsibilities
from ...reduction.theta import theta_of
from ...running.threads import Sums, added

THIN = 1e-12  # share of the data's variance from which on a climb is asked where it leads
THIN_AT_A_HALT = 1.01e-6  # and where it goes no further: at the floor of the starts
LOST = 1e-28  # share of it that is less than rounding
NONE = 1e-10  # of a covariance: a spread that is none but for rounding
FLAT = 1e-12  # the least that is told from zero


@torch.no_grad()
def on_spike(
    observations: Observations,
    family: CovarianceFamily,
    parameters: Parameters,
    thinner_than: float = THIN,
    fixed: Fixed | None = None,
) -> bool:
    """Whether one set of parameters is on a spike.

    Args:
        observations: the data.
        family: covariance family.
        parameters: a batch of one set.
        thinner_than: smallest eigenvalue of a covariance, as a share of the data's variance, above
            which it is on none.
        fixed: what is held of the parameters, if anything is: its covariances do not shrink.
    """
    ratio = family.smallest_ratio(parameters.factor[0], observations.bulk.square())
    if fixed is not None:
        ratio = ratio.masked_fill(~fixed.free_covariances, torch.inf)
    thin = ratio < thinner_than
    if not thin.any() or (ratio < LOST).any():
        return bool(thin.any())
    return bool((thin & (_spread(observations, family, parameters, thin) < NONE)).any())


@torch.no_grad()
def narrowness(
    observations: Observations, family: CovarianceFamily, parameters: Parameters
) -> float:
    """Nats that its mass may be short of its height, as a spike is narrow.

    In a direction in which a covariance is thin its mean must be as near, and the covariance turned
    as exactly.
    """
    k, d = parameters.means.shape[1:]
    ratio = family.smallest_ratio(parameters.factor[0], observations.bulk.square())
    thin = ratio[ratio < THIN_AT_A_HALT].clamp_min(TINY)
    return -0.5 * d * (k / len(ratio)) * float(thin.log().sum())


def _spread(
    observations: Observations,
    family: CovarianceFamily,
    parameters: Parameters,
    wanted: Bool[Tensor, "k1"],
) -> Float[Tensor, "k1"]:
    """The least variance of each component's points in any direction, in units of its covariance.

    Points are whitened one by one: moments would not tell a spread from rounding.
    """
    means = parameters.means[0]
    count, first, second = whitened_sums(observations, family, parameters)
    sums = Statistics(count[None], count[None], first[None], family.pooled(second[None]), means)
    own = family.empirical(sums, sums.first / sums.counts.clamp_min(TINY)[..., None])[0]
    least = family.fit(own.nan_to_num(posinf=1.0), means.new_full(means.shape[1:], FLAT))
    seen = wanted & family.pooled(count[None])[0].gt(0)
    return torch.where(seen, family.smallest_ratio(least, torch.ones_like(means[0])), torch.inf)


@torch.no_grad()
def whitened_sums(
    observations: Observations, family: CovarianceFamily, parameters: Parameters
) -> Sums:
    """Counts, first and second moments of each component's points, about its mean in its units."""
    if isinstance(observations, Partitioned):
        own = partial(whitened_sums, family=family, parameters=parameters)
        return observations.fold(own, added)
    means, factor = parameters.means[0], parameters.factor[0]
    k, d = means.shape
    theta = theta_of(family, parameters, observations)
    first, count = torch.zeros_like(means), means.new_zeros(k)
    second = family.square(first)
    for rows in chunks(observations.n, max(1, ROWS // (k * d))):
        part = observations.subset(rows)
        weight = responsibilities(part, theta)[0].to(means)
        if part.sample_weight is not None:
            weight = weight * part.sample_weight.to(means)
        if part.has_holes:  # whole rows alone say how far points are apart
            weight = weight * ~part.x.isnan().any(1)
        z = family.whiten(factor, part.filled.to(means) - means[:, None])
        second = second + family.weighted_square(z, weight)
        first += (weight[:, None] @ z)[:, 0]
        count += weight.sum(1)
    return count, first, second
