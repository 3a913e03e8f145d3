"""Mixtures that begin at a solution of one component more or less, or of a family within.

Sources: Ueda, Nakano, Ghahramani & Hinton (2000), "SMEM algorithm for mixture models"; Runnalls
(2007) for what a merger costs.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..inference.search.removal import merged, merger_costs

APART = 0.7  # standard deviations from a component's mean to that of each of its halves


def splits(family: CovarianceFamily, p: Parameters, axes: int) -> Parameters:
    """Every component split in two along its longest axes, one after the other.

    Args:
        family: covariance family.
        p: a batch of one set.
        axes: how many of them.

    Returns:
        A batch of sets of one component more.
    """
    k, d = p.means.shape[1:]
    dense = family.dense(p.factor, d).expand(1, k, d, d)[0]
    values, vectors = torch.linalg.eigh(dense)
    away = APART * vectors * values.clamp_min(0).sqrt()[:, None, :]
    longest = range(d - 1, max(-1, d - 1 - axes), -1)
    away = torch.cat([away[:, :, axis] for axis in longest])
    sets = torch.arange(len(away), device=away.device)
    return _halved(family, p[torch.zeros_like(sets)], (sets, sets % k), away)


def _halved(
    family: CovarianceFamily,
    p: Parameters,
    place: tuple[Int[Tensor, "s"], Int[Tensor, "s"]],
    away: Float[Tensor, "s d"],
) -> Parameters:
    """One component of each set in two halves, so far from its mean."""
    means = torch.cat([p.means, (p.means[place] + away)[:, None]], 1)
    means[place] -= away
    log_weights = torch.cat([p.log_weights, p.log_weights[place][:, None]], 1)
    log_weights[place] -= math.log(2)
    log_weights[:, -1] -= math.log(2)
    factor = p.factor if family.tied else torch.cat([p.factor, p.factor[place][:, None]], 1)
    return replace(p, log_weights=log_weights, means=means, factor=factor)


def mergers(family: CovarianceFamily, p: Parameters, most: int) -> Parameters:
    """The cheapest mergers of two components of one set: a batch of sets of one less."""
    k = p.means.shape[1]
    pairs = torch.triu_indices(k, k, 1, device=p.means.device)
    cheapest = merger_costs(family, p, pairs)[0].topk(min(most, len(pairs[0])), largest=False)
    first, second = pairs[:, cheapest.indices]
    return merged(family, p[torch.zeros_like(first)], first, second)


def brought(family: CovarianceFamily, within: CovarianceFamily, p: Parameters) -> Parameters:
    """Mixtures of a family as those of another one that holds it."""
    (s, k, d), dense = p.means.shape, within.dense(p.factor, p.means.shape[-1])
    factor = family.fit(family.compress(dense), dense.new_zeros(d))
    return replace(p, factor=factor.expand(s, *family.factor_shape(k, d)))
