"""The evidence by sequential Monte Carlo: what particles weigh that learn the points step by step.

Particles live on islands. With the mean weight of an island's particles in every step, which those
that go on are chosen by,

    Z = Π_steps mean of p(new points | θ, seen points)

is an estimate of the evidence without bias, whatever becomes of the particles in between. Islands
know nothing of each other, so that their mean has an error that their differences tell of. It needs
neither a proposal nor numberings, and takes the more particles the wider the prior is.

Source: Chopin (2002); Del Moral, Doucet & Jasra (2006); Vergé et al. (2015) for the islands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import ConjugateFamily
from ...covariance.records import TINY
from ...data.points import Observations
from ...model.log_density import LogDensity
from ...posterior import Posterior
from ...posterior.convergence import ess_mean
from .evidence import UNKNOWN, Evidence
from .learning import Learner, Learnt

NAME = "sequential Monte Carlo"
ISLANDS = 16
FEWEST, MOST = 64, 512  # particles of an island
WORK = 2e7  # particles times points times components times features, in a pass at most
NUMBERS = 2**24  # in the moments of all particles
SPREAD = 64  # points that are chosen by where they are
LEAST, PASSES = 4, 6  # passes over the points, each in an order of its own
PRECISE = 0.03  # nats, an error with which there is no need of another pass
APART = (
    0.7  # nats that estimates of islands may differ by, as a deviation: above, they have no mean
)
AGREES = 5.0  # standard errors between the mean log-likelihoods of particles and of chains


@dataclass(frozen=True, eq=False)
class Islands:
    """What has come of r islands.

    Attributes:
        log_evidence: estimates, in nats, whose exponentials have no bias.
        log_likelihood: means over the particles in the end.
    """

    log_evidence: Float[Tensor, "r"]
    log_likelihood: Float[Tensor, "r"]

    @classmethod
    def joined(cls, some: list[Islands]) -> Islands:
        """All of them."""
        parts = zip(*((each.log_evidence, each.log_likelihood) for each in some), strict=True)
        return cls(*map(torch.cat, parts))

    @property
    def evidence(self) -> Evidence:
        """The log of their mean; unknown where islands are so unlike that it says nothing."""
        r, log_z = len(self.log_evidence), self.log_evidence
        if not bool(log_z.isfinite().all()) or float(log_z.std()) > APART:
            return UNKNOWN
        log_mean = float(log_z.logsumexp(0)) - math.log(r)
        ratio = (log_z - log_mean).exp()
        error = float(ratio.std()) / math.sqrt(r)
        if r >= LEAST * ISLANDS:  # what one order makes all islands miss, others may not
            passes = ratio.view(-1, ISLANDS).mean(1)
            error = max(error, float(passes.std()) / math.sqrt(len(passes)))
        return Evidence(log_mean, error, math.nan, NAME)

    def agrees_with(self, posterior: Posterior) -> bool:
        """Whether the particles are where chains are, by their mean log-likelihood.

        Islands count by what they weigh. Where either has missed a mode, they differ.
        """
        share = self.log_evidence.softmax(0)
        ours = share @ self.log_likelihood
        error = (share * (self.log_likelihood - ours)).norm()
        values = posterior.statistics["log_likelihood"]
        count = float(ess_mean(values.cpu().numpy()[..., None])[0])
        of_chains = float(values.std()) / math.sqrt(max(1.0, count))
        return abs(float(ours - values.mean())) <= AGREES * math.hypot(float(error), of_chains)


@torch.no_grad()
def sequential(density: LogDensity, generator: torch.Generator) -> Islands | None:
    """Islands of particles, as many as it takes; None where there can be none.

    Args:
        density: of the posterior.
        generator: source of randomness.
    """
    data, count = density.observations, particles(density)
    prior = density.model.conjugate(data.origin)
    if prior is None or not count:
        return None
    found: list[Islands] = []
    learner = Learner(prior, data, generator)
    while len(found) < PASSES:
        order = spread_first(data, generator)
        found.append(_islands(replace(learner, data=data.subset(order)), count))
        evidence = Islands.joined(found).evidence
        if evidence is UNKNOWN:  # which more of them would hardly change
            break
        if len(found) >= LEAST and evidence.log_evidence_se <= PRECISE:
            break
    return Islands.joined(found)


def particles(density: LogDensity) -> int:
    """Particles of an island; 0 where there can be none.

    So it is with a prior that is not conjugate, with parameters that are held, with weights of
    points, and with so many points and components that there would be too few particles.
    """
    data, model = density.observations, density.model
    if model.fixed is not None or data.sample_weight is not None:
        return 0
    if model.conjugate(data.origin) is None or not isinstance(model.family, ConjugateFamily):
        return 0
    features = 1 + data.d + math.prod(model.family.event_shape(data.d))
    each = min(WORK / data.n, NUMBERS) / (model.n_components * features * ISLANDS)
    return int(min(MOST, each)) if each >= FEWEST else 0


def spread_first(data: Observations, generator: torch.Generator) -> Int[Tensor, "n"]:
    """A random order of the points, of which the first are far apart, as k-means++ has them.

    What comes late and lies where no point has been is a surprise that few particles survive.
    """
    z = (data.filled - data.origin.to(data.x)) / data.scale.to(data.x)
    left = z.new_ones(data.n).double()
    chosen: list[int] = []
    for _ in range(min(data.n, SPREAD)):
        chosen.append(int(torch.multinomial(left, 1, generator=generator)))
        away = (z - z[chosen[-1]]).square().sum(1).double() + TINY
        left = away if len(chosen) == 1 else torch.minimum(left, away)
        left[chosen] = 0.0
    others = torch.rand(data.n, generator=generator, device=z.device)
    others[chosen] = torch.arange(len(chosen), device=z.device) - float(len(chosen))
    return others.argsort()


def _islands(learner: Learner, count: int) -> Islands:
    """One pass over the points."""
    p = learner.started(ISLANDS * count)
    log_z = p.means.new_zeros(ISLANDS)
    learnt, last = Learnt(), 1
    while learnt.points < learner.data.n:
        before = learnt.points
        learnt, log_weights = learner.step(p, learnt, last)
        last = learnt.points - before
        of_islands = log_weights.nan_to_num(nan=-math.inf, posinf=-math.inf).view(ISLANDS, count)
        log_z = log_z + of_islands.logsumexp(1) - math.log(count)
        p, log_likelihood = learner.moved(p[_chosen(of_islands, learner.generator)], learnt)
    return Islands(log_z, log_likelihood.view(ISLANDS, count).mean(1))


def _chosen(log_weights: Float[Tensor, "r c"], generator: torch.Generator) -> Int[Tensor, "s"]:
    """The particles that go on, of every island: systematic resampling (Kitagawa 1996)."""
    r, c = log_weights.shape
    shares = log_weights.softmax(1).nan_to_num(nan=1.0 / c)  # where none is possible, all are alike
    places = torch.arange(c, device=shares.device) + torch.rand(
        r, 1, generator=generator, dtype=shares.dtype, device=shares.device
    )
    chosen = torch.searchsorted(shares.cumsum(1), places / c).clamp_max(c - 1)
    return (chosen + c * torch.arange(r, device=shares.device)[:, None]).flatten()
