"""Shrink by one: two components that are nearly one become it, or one that is not missed goes.

Sources: Ueda, Nakano, Ghahramani & Hinton (2000), "SMEM algorithm for mixture models"; Runnalls
(2007), "Kullback-Leibler approach to Gaussian mixture reduction", for what a merger costs.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import CovarianceFamily, Parameters
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
    pairs = torch.triu_indices(k, k, 1)
    costs = _merger_costs(family, p, pairs)
    cheapest = costs.topk(min(n_mergers, len(pairs[0])), largest=False).indices
    sets = torch.arange(s).repeat_interleave(cheapest.shape[1])
    batches = [merged(family, p[sets], *pairs[:, cheapest.flatten()])]
    if n_removals:
        missed = _missed(state, sample)[:, :k]
        least = missed.topk(min(n_removals, k), largest=False).indices
        sets = torch.arange(s).repeat_interleave(least.shape[1])
        batches.append(without(family, p[sets], least.flatten()))
    return Parameters.joined(batches)


def _merger_costs(
    family: CovarianceFamily, p: Parameters, pairs: Int[Tensor, "2 q"]
) -> Float[Tensor, "s q"]:
    """At most so many nats a point are lost by each merger (Runnalls 2007, equation 16)."""
    d, w = p.means.shape[-1], p.log_weights.exp()
    first, second = w[:, pairs[0]], w[:, pairs[1]]
    both = first + second
    if family.shares("covariances"):
        z = family.whiten(p.factor, (p.means[:, pairs[0]] - p.means[:, pairs[1]])[:, None])[:, 0]
        return 0.5 * first * second / both * z.square().sum(-1)
    _, factor = _moments(family, p, pairs)
    own = family.log_determinant(p.factor, d)  # of a half power of the determinants
    together = family.log_determinant(factor, d)
    return both * together - first * own[:, pairs[0]] - second * own[:, pairs[1]]


def _moments(
    family: CovarianceFamily, p: Parameters, pairs: Int[Tensor, "2 q"]
) -> tuple[Float[Tensor, "s q d"], Tensor]:
    """Means and factors of what each pair is together."""
    d = p.means.shape[-1]
    share = torch.softmax(p.log_weights[:, pairs.T], -1)
    apart = p.means[:, pairs[0]] - p.means[:, pairs[1]]
    mean = p.means[:, pairs[1]] + share[..., :1] * apart
    own = family.compress(family.dense(p.factor, d))
    between = family.square(share.prod(-1, keepdim=True).sqrt() * apart)
    event = (1,) * (own.ndim - 2)
    parts = [share[..., i].unflatten(-1, (-1, *event)) * own[:, pairs[i]] for i in (0, 1)]
    return mean, family.fit(parts[0] + parts[1] + between, mean.new_zeros(d))


def merged(
    family: CovarianceFamily, p: Parameters, first: Int[Tensor, "s"], second: Int[Tensor, "s"]
) -> Parameters:
    """Each set with the second of two components taken into the first, moments kept."""
    sets = torch.arange(len(first))
    log_weights, means, factor = p.log_weights.clone(), p.means.clone(), p.factor
    w = p.log_weights[sets[:, None], torch.stack([first, second], 1)]
    pair = Parameters(w, *_pair(family, p, first, second))
    mean, root = _moments(family, pair, torch.tensor([[0], [1]]))
    log_weights[sets, first], means[sets, first] = w.logsumexp(1), mean[:, 0]
    if not family.shares("covariances"):
        factor = factor.clone()
        factor[sets, first] = root[:, 0]
    return without(family, Parameters(log_weights, means, factor), second)


def _pair(
    family: CovarianceFamily, p: Parameters, first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor]:
    """Means and factors of two components of each set."""
    order = torch.stack([first, second], 1)
    sets = torch.arange(len(first))[:, None]
    factor = family.in_order(p.factor, order)
    if family.shares("covariances"):
        factor = factor.expand(-1, 2, *factor.shape[2:])
    return p.means[sets, order], factor


def without(family: CovarianceFamily, p: Parameters, gone: Int[Tensor, "s"]) -> Parameters:
    """Each set without one of its components."""
    k = p.means.shape[1]
    places = torch.arange(k - 1).expand(len(gone), -1)
    kept = places + (places >= gone[:, None])
    sets = torch.arange(len(gone))[:, None]
    log_weights = p.log_weights[sets, kept].log_softmax(1)
    return Parameters(log_weights, p.means[sets, kept], family.in_order(p.factor, kept))


def _missed(state: Expectation, sample: Observations) -> Float[Tensor, "s k"]:
    """Nats that are lost with each component, the others being left as they are."""
    share = responsibilities(sample, state.theta, torch.float64)
    weight = share.new_ones(sample.n) if sample.sample_weight is None else sample.sample_weight
    lost = -(1 - share).clamp_min(1e-12).log() @ weight.to(share)
    w = state.parameters.log_weights.exp()
    return lost + sample.total_weight * torch.log1p(-w.clamp_max(1 - 1e-12))
