"""How far the fits of a comparison agree: on labels, and on the density, pair by pair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from .. import metrics
from ..mixture.value import GaussianMixture
from ..running.threads import one_thread_a_product

if TYPE_CHECKING:
    import pandas as pd

    from ..inference.fit import Fit


def label_agreement(fits: Mapping[str, Fit]) -> pd.DataFrame:
    """Adjusted Rand indices of the fits' labels: 1 for the same partition, about 0 for chance.

    Args:
        fits: m fits to the same points, with the same sample weights, by name.

    Returns:
        A symmetric frame of shape (m, m), with ones on its diagonal.
    """
    labels = [fit.labels.cpu() for fit in fits.values()]
    weights = [fit.observations.sample_weight for fit in fits.values()]
    rows = [[1.0] * len(labels) for _ in labels]
    for i, mine in enumerate(labels):
        for j in range(i):
            rows[i][j] = rows[j][i] = metrics.adjusted_rand(mine, labels[j], weights[i])
    return _square(rows, fits)


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
    rows = [[0.0] * len(drawn) for _ in drawn]
    for i in range(len(drawn)):
        for j in range(i):
            ratios = torch.cat([heights[place][i] - heights[place][j] for place in (i, j)])
            rows[i][j] = rows[j][i] = _distance(ratios)
    return _square(rows, mixtures)


def _distance(log_ratios: Float[Tensor, "s"]) -> float:
    """The distance, from log p - log q at as many points of p as of q."""
    share = log_ratios.sigmoid()
    doubt = (torch.special.entr(share) + torch.special.entr(1 - share)) / math.log(2)
    return math.sqrt(max(0.0, 1 - float(doubt.mean())))


def _square(rows: list[list[float]], names: Mapping[str, object]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, index=list(names), columns=list(names), dtype=float)
