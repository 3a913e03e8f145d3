"""Grow by one: Gaussians that would add most to a mixture, tried many at a time.

Each begins at a point, as wide as the point's own component is out to a few of the nearest points,
and takes some steps of EM beside a mixture that is held fixed, whose density is then one number a
point.

Source: Verbeek, Vlassis & Kröse (2003), "Efficient greedy learning of Gaussian mixture models".
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import CovarianceFamily, Parameters, untied
from ...covariance.records import TINY
from ...data.points import Observations
from ...reduction.assignments import Beside
from ...reduction.pointwise import log_density_and_labels
from ...reduction.sums import maximise, reduce
from ...reduction.theta import theta_of
from ..expectation import Expectation
from ..soundness import Soundness
from ..task import Options, Task

SEEDS = 64  # points that newcomers are tried at
PARTIAL = 3  # steps of EM of the newcomers alone
NUMBERS = 500_000  # differences between points that are held at once
APART = 1.0  # squared Mahalanobis distance of two newcomers that are both worth joining


def insertions(
    task: Task[Options],
    state: Expectation,
    sample: Observations,
    rule: Soundness,
    generator: torch.Generator,
    most: int,
) -> Parameters | None:
    """The mixture, joined by one newcomer a set: at most so many sets, or None if none adds."""
    family, shared = task.model.family, task.model.family.shares("covariances")
    own = untied(family)  # beside a density, what components would share does not drop out
    rest, component = log_density_and_labels(sample, state.theta)
    weights, means, factor = _seeds(state, component[0], sample, rule, generator)
    base = state.log_likelihood[0]
    for left in reversed(range(PARTIAL + 1)):
        alone = Parameters(weights.log()[:, None], means, factor)
        theta, beside = theta_of(own, alone, sample), Beside(rest[0], (-weights).log1p())
        statistics = reduce(sample, theta, beside)
        gain = statistics.log_norm - base
        if left:
            counts = statistics.counts[:, 0]
            weights = (counts / sample.total_weight).clamp(TINY, 1 - 1e-3)
            if shared:
                means = statistics.means
            else:
                found = maximise(sample, theta, statistics, task.floor, beside).parameters
                means, factor = found.means, found.factor
            fit = (counts >= rule.least) & factor.flatten(1).isfinite().all(1) & gain.isfinite()
            weights, means, factor = weights[fit], means[fit], factor[fit]
            if not len(weights):
                return None
    chosen = _apart(family, means, factor, gain, most)
    if not chosen:
        return None
    return joined(family, state.parameters, weights[chosen], means[chosen], factor[chosen])


def _seeds(
    state: Expectation,
    component: Int[Tensor, "n"],
    sample: Observations,
    rule: Soundness,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and factors of newcomers to try, given the component that each point is of."""
    family, p = state.theta.family, state.parameters
    k, d = p.means.shape[1:]
    weights = (sample.weights / sample.weights.max()).cpu().float()  # which a float32 can hold
    chosen = torch.multinomial(weights, SEEDS, replacement=True, generator=generator)
    chosen = chosen.to(p.means.device)
    fewest = max(2, round(rule.least_points))
    widest = max(fewest + 1, sample.n // k)
    share = torch.rand(SEEDS, generator=generator, dtype=torch.float64)
    held = (
        (fewest * (widest / fewest) ** share).long().clamp(fewest, sample.n - 1).to(chosen.device)
    )
    own = family.of_component(component[chosen])
    factor = p.factor[0][own][:, None]
    weights = (held / sample.n).to(p.means)
    if not family.shares("covariances"):
        reach = _reach(family, factor, sample, chosen, held)
        width = (reach / (d + 2)).clamp_min(TINY).sqrt()
        factor = factor * width.view(-1, *(1,) * (factor.ndim - 1))
    return weights, sample.filled[chosen].to(p.means)[:, None], factor


def _reach(
    family: CovarianceFamily,
    factor: Tensor,
    sample: Observations,
    chosen: Int[Tensor, "c"],
    held: Int[Tensor, "c"],
) -> Float[Tensor, "c"]:
    """Squared Mahalanobis distance from each chosen point to the neighbour of this number."""
    x, most, found = sample.filled.to(factor), int(held.max()) + 1, []
    for some in torch.arange(len(chosen), device=x.device).split(max(1, NUMBERS // x.numel())):
        z = x - x[chosen[some], None]
        distance = family.whiten(factor[some], z[:, None]).square().sum(-1)[:, 0]
        nearest = distance.topk(most, largest=False).values  # in order, and sooner than all are
        found.append(nearest.gather(1, held[some, None]))
    return torch.cat(found)[:, 0]


def _apart(
    family: CovarianceFamily,
    means: Float[Tensor, "c 1 d"],
    factor: Tensor,
    gain: Float[Tensor, "c"],
    most: int,
) -> list[int]:
    """The newcomers that gain most and lie apart, best first."""
    kept: list[int] = []
    free = (gain > 0).tolist()
    for i in gain.nan_to_num(nan=-torch.inf).argsort(descending=True).tolist():
        if len(kept) == most:
            break
        if free[i]:
            kept.append(i)
            near = family.whiten(factor[i], means[:, 0] - means[i]).square().sum(-1)[0] < APART
            free = [one and not other for one, other in zip(free, near.tolist(), strict=True)]
    return kept


def joined(
    family: CovarianceFamily,
    p: Parameters,
    weights: Float[Tensor, "c"],
    means: Float[Tensor, "c 1 d"],
    factor: Tensor,
) -> Parameters:
    """One set of k components with each of c newcomers."""
    c = len(weights)
    together = p.factor.expand(c, *p.factor.shape[1:])
    log_weights = torch.cat([p.log_shares + (-weights).log1p()[:, None], weights.log()[:, None]], 1)
    log_odds = None
    if p.log_noise is not None:
        log_odds = p.log_noise + (-weights).log1p() - log_weights.logsumexp(1)
    return Parameters(
        log_weights.log_softmax(1),
        torch.cat([p.means.expand(c, -1, -1), means], 1),
        together if family.shares("covariances") else torch.cat([together, factor], 1),
        log_odds,
    )
