"""The evidence by bridge sampling, between draws of the posterior and of a proposal.

With draws θ of the posterior and θ' of the proposal q, and w = p(x, θ) / q(θ), the evidence Z
solves

    Z = mean of w(θ') / (c w(θ') + c' Z)  over  mean of 1 / (c w(θ) + c' Z)

where c and c' are the shares of the two kinds of draws. Numberings count once: q is the average
over all of them, as the posterior is.

Source: Meng & Wong (1996); Frühwirth-Schnatter (2004) for the standard error of draws of chains.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ...posterior import Posterior
from ...posterior.convergence import FEWEST, ess_mean
from .evidence import UNKNOWN, Evidence, pareto_k
from .proposal import Proposal

NAME = "bridge sampling"
PROPOSED, DRAWN = 256, 256  # draws of either kind, about
STEPS = 1000  # of the iteration, at most
SETTLED = 1e-10  # nats


@torch.no_grad()
def bridged(proposal: Proposal, posterior: Posterior, generator: torch.Generator) -> Evidence:
    """The evidence of the points, from the draws of chains and fresh ones of a proposal.

    It is unknown where there is one draw only, or weights are not finite.

    Args:
        proposal: one that does not depend on the draws.
        posterior: the draws.
        generator: source of randomness.
    """
    if posterior.n_chains * posterior.n_draws < 2:
        return UNKNOWN
    thin = -(-posterior.n_chains * posterior.n_draws // DRAWN)
    sites = {name: value[:, ::thin] for name, value in posterior.draws.items()}
    shape = sites["weights"].shape[:2]
    p = proposal.density.parameters({name: v.flatten(0, 1) for name, v in sites.items()})
    known = posterior.statistics["log_likelihood"][:, ::thin].flatten()
    of_chains = proposal.log_weight(p, known).view(shape)
    of_proposal = proposal.log_weight(proposal.draw(PROPOSED, generator))
    return bridge(of_chains, of_proposal)


def bridge(of_chains: Float[Tensor, "c t"], of_proposal: Float[Tensor, "m"]) -> Evidence:
    """The evidence from log p(x, θ) - log q(θ) in nats of draws of the posterior and of q.

    Draws of the posterior count as much as independent ones would, by what the second mean is of.
    """
    centre = of_chains.median()
    ours, theirs = (of_chains - centre).double(), (of_proposal - centre).double()
    n, m = ours.numel(), len(theirs)
    log_z = _solved(ours, theirs, ours.new_zeros(()), n)
    effective = _effective(_terms(ours, log_z, n, m))
    log_z = _solved(ours, theirs, log_z, effective)
    above = (theirs - torch.logaddexp(math.log(effective) + theirs, math.log(m) + log_z)).exp()
    below = _terms(ours, log_z, effective, m)
    variance = _relative(above) / m + _relative(below) / effective
    if not math.isfinite(variance):
        return UNKNOWN
    weights = (theirs - theirs.logsumexp(0)).exp()
    return Evidence(float(centre + log_z), math.sqrt(variance), pareto_k(weights), NAME)


def _terms(
    log_weights: Float[Tensor, "c t"], log_z: Float[Tensor, ""], n: float, m: int
) -> Float[Tensor, "c t"]:
    return (-torch.logaddexp(math.log(n) + log_weights, math.log(m) + log_z)).exp()


def _solved(
    ours: Float[Tensor, "c t"], theirs: Float[Tensor, "m"], log_z: Float[Tensor, ""], n: float
) -> Float[Tensor, ""]:
    """The fixed point for so many draws of the posterior as count."""
    m = len(theirs)
    for _ in range(STEPS):
        above = theirs - torch.logaddexp(math.log(n) + theirs, math.log(m) + log_z)
        below = -torch.logaddexp(math.log(n) + ours, math.log(m) + log_z)
        found = above.logsumexp(0) - math.log(m) - below.flatten().logsumexp(0)
        found = found + math.log(ours.numel())
        if abs(float(found - log_z)) < SETTLED:
            return found
        log_z = found
    return log_z


def _relative(values: Tensor) -> float:
    """The variance in units of the squared mean."""
    return float(values.var() / values.mean().square())


def _effective(values: Float[Tensor, "c t"]) -> float:
    """As how many independent draws those of chains count, for their mean."""
    if values.shape[1] < FEWEST:
        return values.numel()
    found = float(ess_mean(values.cpu().numpy()[..., None])[0])
    return min(found, values.numel()) if math.isfinite(found) else values.numel()
