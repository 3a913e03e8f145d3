"""Shrink by one: two components that are nearly one become it, or one that is not missed goes.

Sources: Ueda, Nakano, Ghahramani & Hinton (2000), "SMEM algorithm for mixture models"; Runnalls
(2007), "Kullback-Leibler approach to Gaussian mixture reduction", for what a merger costs.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import CovarianceFamily, Parameters
from ...covariance.records import times
from ...data.points import Observations
from ...reduction.pointwise import responsibilities
from ..expectation import Expectation


def shrunk(
    family: CovarianceFamily,
    state: Expectation,
    sample: Observations,
    n_mergers: int,
    n_removals: int,
) -> Parameters:
    """Sets of one component fewer: of each set, its cheapest mergers and removals.

    The last component of each is the newcomer, and takes no part.
    """
    p = state.parameters
    s, k = len(p.means), p.means.shape[1] - 1
    pairs = torch.triu_indices(k, k, 1, device=p.means.device)
    costs = merger_costs(family, p, pairs)
    cheapest = costs.topk(min(n_mergers, len(pairs[0])), largest=False).indices
    sets = torch.arange(s, device=pairs.device).repeat_interleave(cheapest.shape[1])
    batches = [merged(family, p[sets], *pairs[:, cheapest.flatten()])]
    if n_removals:
        missed = _missed(state, sample)[:, :k]
        least = missed.topk(min(n_removals, k), largest=False).indices
        sets = torch.arange(s, device=pairs.device).repeat_interleave(least.shape[1])
        batches.append(without(family, p[sets], least.flatten()))
    return Parameters.joined(batches)


def merger_costs(
    family: CovarianceFamily, p: Parameters, pairs: Int[Tensor, "2 q"]
) -> Float[Tensor, "s q"]:
    """At most so many nats a point are lost by each merger (Runnalls 2007, equation 16)."""
    d, w = p.means.shape[-1], p.log_weights.exp()
    first, second = w[:, pairs[0]], w[:, pairs[1]]
    both = first + second
    if family.shares("covariances"):
        z = family.whiten(p.factor, (p.means[:, pairs[0]] - p.means[:, pairs[1]])[:, None])[:, 0]
        return 0.5 * first * second / both * z.square().sum(-1)
    own = family.log_determinant(p.factor, d)  # half of it
    together = family.log_determinant(_together(family, p, pairs).factor, d)
    return both * together - first * own[:, pairs[0]] - second * own[:, pairs[1]]


def _together(family: CovarianceFamily, p: Parameters, pairs: Int[Tensor, "2 q"]) -> Parameters:
    """What each pair is as one component, of the same moments; a shared factor stays as it is."""
    d, (i, j) = p.means.shape[-1], pairs
    share = torch.softmax(p.log_weights[:, pairs.T], -1)
    apart = p.means[:, i] - p.means[:, j]
    mean = p.means[:, j] + share[..., :1] * apart
    log_weights = p.log_weights[:, pairs.T].logsumexp(-1)
    if family.shares("covariances"):
        return Parameters(log_weights, mean, p.factor)
    own = family.covariance(p.factor, d)
    within = times(share[..., 0], own[:, i]) + times(share[..., 1], own[:, j])
    between = family.square(share.prod(-1, keepdim=True).sqrt() * apart)
    return Parameters(log_weights, mean, family.fit(within + between, mean.new_zeros(d)))


def merged(
    family: CovarianceFamily, p: Parameters, first: Int[Tensor, "s"], second: Int[Tensor, "s"]
) -> Parameters:
    """Each set with the second of two components taken into the first, moments kept."""
    pair = family.permuted(p, torch.stack([first, second], 1))
    one = _together(family, pair, torch.tensor([[0], [1]], device=first.device))
    sets = torch.arange(len(first), device=first.device)
    log_weights, means, factor = (v.clone() for v in (p.log_weights, p.means, p.factor))
    log_weights[sets, first], means[sets, first] = one.log_weights[:, 0], one.means[:, 0]
    if not family.shares("covariances"):
        factor[sets, first] = one.factor[:, 0]
    found = replace(p, log_weights=log_weights, means=means, factor=factor)
    return without(family, found, second)


def without(family: CovarianceFamily, p: Parameters, gone: Int[Tensor, "s"]) -> Parameters:
    """Each set without one of its components."""
    places = torch.arange(p.means.shape[1] - 1, device=gone.device).expand(len(gone), -1)
    left = family.permuted(p, places + (places >= gone[:, None]))
    return replace(left, log_weights=left.log_weights.log_softmax(1))


def _missed(state: Expectation, sample: Observations) -> Float[Tensor, "s k"]:
    """Nats that are lost with each component, the others being left as they are."""
    share = responsibilities(sample, state.theta, torch.float64)
    lost = -(1 - share).clamp_min(1e-12).log() @ sample.weights
    w = state.parameters.log_shares.exp()
    return lost + sample.total_weight * torch.log1p(-w.clamp_max(1 - 1e-12))
