"""How much of where chains are is left after a sweep."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Parameters
from ...model.log_density import LogDensity
from ...reduction.pointwise import responsibilities
from ...reduction.theta import theta_of

PERSISTENT = 0.3  # correlation from sweep to sweep, below which chains need no jumps
PAIRS, FAR_APART = 100, (1, 17, 43)  # points, and how far on those are that they may belong with
NOTABLE = 0.02  # variance of the probability that two points belong together


def correlation(density: LogDensity, one: Parameters, other: Parameters) -> float:
    """The largest correlation between sets and what has become of them.

    It is that of what no numbering changes: of sums over the components, and of whether two points
    belong together, where that differs.
    """
    sums = _correlations(_sums(density, one), _sums(density, other), 0.0)
    together = _correlations(_together(density, one), _together(density, other), NOTABLE)
    return float(torch.cat([sums, together]).max())


def _sums(density: LogDensity, p: Parameters) -> Float[Tensor, "s q"]:
    """Of the components, their weights in falling order, and the weight of noise, if any is."""
    squared = (2 * p.log_weights).exp()[..., None]
    deviations = density.model.family.deviations(p.factor, p.means.shape[-1])
    sums = [(squared * value).sum(1) for value in (p.means, deviations)]
    noise = [] if p.log_odds is None else [p.log_odds[:, None]]
    return torch.cat([p.log_weights.sort(1).values, *sums, *noise], 1)


def _together(density: LogDensity, p: Parameters) -> Float[Tensor, "s q"]:
    """Probabilities that some pairs of points belong together."""
    observations = density.observations
    some = observations.subset(slice(None, None, -(-observations.n // PAIRS)))
    shares = responsibilities(some, theta_of(density.model.family, p, observations))
    return torch.cat([(shares * shares.roll(far, -1)).sum(1) for far in FAR_APART], 1)


def _correlations(
    one: Float[Tensor, "s q"], other: Float[Tensor, "s q"], least: float
) -> Float[Tensor, "q"]:
    """Correlations of quantities, next to none of those with a variance below the least."""
    one, other = (value - value.mean(0) for value in (one, other))
    scale = (one.square().mean(0) * other.square().mean(0)).sqrt()
    return ((one * other).mean(0) / (scale + least)).nan_to_num()
