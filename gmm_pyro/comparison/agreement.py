"""How far the fits of a comparison agree: on labels, and on the density, pair by pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import pandas as pd
import torch

from .. import metrics
from ..inference.fit import Fit
from ..mixture.value import GaussianMixture
from ..running.threads import one_thread_a_product


def label_agreement(fits: Mapping[str, Fit]) -> pd.DataFrame:
    """Adjusted Rand indices of the fits' labels: 1 for the same partition, about 0 for chance.

    Args:
        fits: m fits to the same points, with the same sample weights, by name.

    Returns:
        A symmetric frame of shape (m, m), with ones on its diagonal.
    """
    labels = [fit.labels.cpu() for fit in fits.values()]
    weights = [fit.observations.sample_weight for fit in fits.values()]
    return _pairwise(
        fits, 1.0, lambda i, j: metrics.adjusted_rand(labels[i], labels[j], weights[i])
    )


@one_thread_a_product()
def density_distances(
    mixtures: Mapping[str, GaussianMixture], n: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """Jensen-Shannon distances between densities: 0 if they are the same, 1 if nothing overlaps.

    The square root of the mutual information, in bits, between a point and which one of the two
    densities p and q it came from, where both are equally probable:

        1 - mean of h(p(x) / (p(x) + q(x))),    h(u) = -u log₂ u - (1 - u) log₂ (1 - u)

    by Monte Carlo, over n points of each. It does not depend on units, nor on how components are
    numbered, and obeys the triangle inequality up to the error of the means.

    Args:
        mixtures: m mixtures with the same features, by name.
        n: points drawn from each.
        seed: of the draws, the same for all.

    Returns:
        A symmetric frame of shape (m, m), with zeros on its diagonal.

    Raises:
        ValueError: if n is not positive, or the numbers of features differ.

    Source: Lin (1991); Endres & Schindelin (2003), who show that it is a metric.

    Example:
        >>> near = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> far = GaussianMixture([1.0], [90.0], [1.0], "spherical")
        >>> density_distances({"near": near, "far": far}).loc["near"].tolist()
        [0.0, 1.0]
    """
    names = next((mixture.feature_names for mixture in mixtures.values()), ())
    ordered = [mixture.in_order_of(names) for mixture in mixtures.values()]
    drawn = [mixture.sample(n, seed) for mixture in ordered]
    heights = [
        torch.stack([mixture.log_prob(x).double().cpu() for mixture in ordered]) for x in drawn
    ]

    def distance(i: int, j: int) -> float:
        log_ratios = torch.cat([heights[place][i] - heights[place][j] for place in (i, j)])
        share = log_ratios.sigmoid()
        doubt = (torch.special.entr(share) + torch.special.entr(1 - share)) / math.log(2)
        return math.sqrt(max(0.0, 1 - float(doubt.mean())))

    return _pairwise(mixtures, 0.0, distance)


def _pairwise(
    names: Iterable[str], of_itself: float, of_pair: Callable[[int, int], float]
) -> pd.DataFrame:
    """A symmetric frame of one number a pair."""
    frame = pd.DataFrame(of_itself, index=list(names), columns=list(names), dtype=float)
    for i in range(len(frame)):
        for j in range(i):
            frame.iloc[i, j] = frame.iloc[j, i] = of_pair(i, j)
    return frame
