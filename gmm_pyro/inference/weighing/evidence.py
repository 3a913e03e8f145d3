"""The log evidence by importance sampling: the log mean of p / q̄ over draws from q.

The likelihood does not depend on how components are numbered, so p and q are both averaged over all
numberings σ: a proposal of one numbering then serves for all, and none counts twice where they
overlap. With lik(θ) the likelihood of the sites θ,

    p(x) = E_q [ lik(θ) Σ_σ prior(σθ) / Σ_σ q(σθ) ]

q is a mixture in fixed shares: of Student's t distributions at the mode, or at some modes, which
are close where points are many, and of posteriors given assignments, which are close where points
are few. What draws near a mode weigh is the part of the evidence that is there.

Source: Hesterberg (1995); Lee & Robert (2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import ConjugateFamily, Parameters
from ...model.log_density import LogDensity
from ...model.numbering import Numberings, log_movable
from ...reduction.theta import theta_of
from ..chains.sampling import log_likelihoods
from .assigned import KEPT, Assigned
from .at_mode import AtMode

FEWEST, MOST = 200, 2000  # draws
SEVERAL = 3  # times as many, where they are to say what is about each of some modes
CHAINS = 128  # of assignments, at most
FEWEST_CHAINS = 8  # with fewer, there are none
MOST_COMPONENTS = 12  # that assignments are summed over the numberings of
POINTWISE = 1e8  # responsibilities that draws, and a quarter as many that assignments, may take
PRIORS = 2e5  # log priors and proposals of numberings
PRODUCTS = 3e8  # in the sums over the numberings of assignments
HALF = 300  # points, of which the mode's proposal has half of the draws


@dataclass(frozen=True)
class Evidence:
    """An estimate of log p(x), in the words of a fit's diagnostics.

    Attributes:
        log_evidence: in nats.
        log_evidence_se: standard error of it, in nats.
        evidence_k_hat: Pareto's k of the importance weights; above 0.7, the error is larger than
            it says. NaN where there are none.
        evidence_by: what it is estimated by.
    """

    log_evidence: float
    log_evidence_se: float
    evidence_k_hat: float
    evidence_by: str = "importance sampling"

    @classmethod
    def among(cls, diagnostics: Mapping[str, Any]) -> Evidence | None:
        """What diagnostics say of it, if they do."""
        if "log_evidence" not in diagnostics:
            return None
        return cls(**{field.name: diagnostics[field.name] for field in fields(cls)})

    @classmethod
    def of(cls, log_weights: Float[Tensor, "s"], strata: list[int]) -> Evidence:
        """The estimate from the logarithms of the weights of draws in strata of fixed sizes."""
        log_mean = float(log_weights.logsumexp(0)) - math.log(len(log_weights))
        if not math.isfinite(log_mean):
            return UNKNOWN
        weights = (log_weights - log_mean).exp()
        variance = sum(len(part) * float(part.var()) for part in weights.split(strata))
        return cls(log_mean, math.sqrt(variance) / len(weights), pareto_k(weights))


UNKNOWN = Evidence(math.nan, math.nan, math.nan, "nothing")


def pareto_k(weights: Float[Tensor, "s"]) -> float:
    """Pareto's k of the largest weights: their mean log ratio to the next (Hill 1975).

    Estimators that go by excesses take a plateau of weights, as mixtures have, for a heavy tail.
    """
    count = math.ceil(min(len(weights) / 5, 3 * math.sqrt(len(weights))))
    largest = weights.sort(descending=True).values[: count + 1]
    return float((largest[:-1] / largest[-1]).log().mean())


def effective(log_weights: Float[Tensor, "s"]) -> float:
    """The effective number of draws of these weights (Kish 1965)."""
    return float((2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp())


def power_with(log_weights: Float[Tensor, "s"], least: float) -> float:
    """The power up to 1 of weights at which so many of them are effective."""
    low, high = 0.0, 1.0
    if effective(log_weights) >= least:
        return high
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if effective(middle * log_weights) < least else (middle, high)
    return low


@dataclass(frozen=True, eq=False)
class Sampled:
    """What the draws of importance sampling weigh, and which of the modes each is near.

    Attributes:
        density: the log density.
        values: of the sites, numbered as the mode that each draw is near.
        log_weights: log p / q of the draws, averaged over all numberings.
        strata: how many draws there are in turn from each proposal.
        home: the mode whose distribution is densest at each draw.
    """

    density: LogDensity
    values: dict[str, Tensor]
    log_weights: Float[Tensor, "s"]
    strata: list[int]
    home: Int[Tensor, "s"]

    def evidence(self) -> Evidence:
        """The log evidence."""
        return Evidence.of(self.log_weights, self.strata)

    @torch.no_grad()
    def evidence_near(self, mode: int, numberings: Numberings) -> list[Evidence]:
        """The part of the evidence that is near a mode, in each of some numberings of it.

        A draw counts for the numberings by their prior densities there.
        """
        there = (self.home == mode).nonzero()[:, 0]
        values = {name: value[there] for name, value in self.values.items()}
        parts = []
        for share in numberings.log_shares(self.density, values).T:
            log_weights = torch.full_like(self.log_weights, -math.inf)
            log_weights[there] = (self.log_weights[there] + share).nan_to_num(nan=-math.inf)
            parts.append(Evidence.of(log_weights, self.strata))
        return parts


@torch.no_grad()
def sampled(density: LogDensity, modes: list[AtMode], shares: list[float], *, seed: int) -> Sampled:
    """Draws by importance sampling, with proposals at modes and at what Gibbs sampling visits.

    Args:
        density: the log density.
        modes: modes that no numbering makes the same.
        shares: of each, in the draws at the modes.
        seed: of all that is drawn.
    """
    centre = density.constrain(modes[0].mode[None])
    numberings = Numberings.about(density, centre)
    budget = Budget.of(
        density,
        len(numberings.orders),
        density.parameters(centre),
        most=MOST * (SEVERAL if len(modes) > 1 else 1),
    )
    generator = torch.Generator(modes[0].mode.device).manual_seed(seed)
    strata, parts = [], []
    for mode, count in zip(modes, _in_shares(budget.at_mode, shares), strict=True):
        widths = [count // 2, count - count // 2]
        parts.append(density.constrain(mode.draw(widths, generator)))
        strata += widths
    assigned = None
    if budget.chains:
        assigned = Assigned.visited(density, chains=budget.chains, seed=seed)
        strata.append(budget.draws - budget.at_mode)
        parts.append(density.values(assigned.draw(strata[-1], generator)))
    values = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    log_q = values["weights"].new_full((sum(strata),), -math.inf)
    if assigned is not None:
        log_q = math.log(strata[-1] / len(log_q)) + assigned.log_density_of(density, values)
    log_q, home, values = _about_modes(modes, strata, values, log_q)
    log_p = numberings.log_prior(density, values) - log_movable(density.model)
    one_chain = {name: value[None] for name, value in values.items()}
    log_weights = log_p + log_likelihoods(density.unlabelled, one_chain)[0] - log_q
    nothing = -math.inf
    log_weights = log_weights.nan_to_num(nan=nothing, posinf=nothing, neginf=nothing)
    return Sampled(density, values, log_weights, strata, home)


def _in_shares(total: int, shares: list[float]) -> list[int]:
    """Parts of a number, of at least two each where it is large enough."""
    ends = [round(total * sum(shares[: i + 1]) / sum(shares)) for i in range(len(shares))]
    return [max(2, end - start) for start, end in zip([0, *ends], ends, strict=False)]


def _about_modes(
    modes: list[AtMode],
    strata: list[int],
    values: Mapping[str, Tensor],
    log_q: Float[Tensor, "s"],
) -> tuple[Float[Tensor, "s"], Int[Tensor, "s"], dict[str, Tensor]]:
    """The log density of the whole proposal, the mode that draws are near, and them so numbered.

    Args:
        modes: the modes.
        strata: numbers of draws, the first of them two for each mode.
        values: of the sites.
        log_q: the log density of what else is in the proposal, times its share.
    """
    home, nearest = torch.zeros_like(log_q, dtype=torch.int64), torch.full_like(log_q, -math.inf)
    placed = dict(values)
    for i, mode in enumerate(modes):
        alike, share = mode.aligned(values), math.log(sum(strata[2 * i : 2 * i + 2]) / len(log_q))
        found = mode.log_density(alike, log_q - share)
        nearer = (found > nearest) | (i == 0)
        placed = {name: _where(nearer, alike[name], placed[name]) for name in placed}
        home, nearest = torch.where(nearer, i, home), torch.where(nearer, found, nearest)
        log_q = torch.logaddexp(log_q, share + found)
    return log_q, home, placed


def _where(rows: Tensor, these: Tensor, those: Tensor) -> Tensor:
    """Entries of the one in some rows, and of the other elsewhere."""
    return torch.where(rows.view(-1, *[1] * (these.ndim - 1)), these, those)


@dataclass(frozen=True)
class Budget:
    """Numbers of draws, of those of them that are at the mode, and of chains of assignments."""

    draws: int
    at_mode: int
    chains: int

    @classmethod
    def of(cls, density: LogDensity, numberings: int, mode: Parameters, most: int) -> Budget:
        """As many as take a second or so; no assignments where their moments would cancel."""
        n, k = density.observations.n, density.model.n_components
        orders = max(numberings, k * (k - 1) // 2)
        draws = int(min(most, max(FEWEST, min(POINTWISE / (n * k), PRIORS / orders))))
        sums = draws * KEPT * k * 2.0 ** (k - 1)
        chains = int(min(CHAINS, POINTWISE / (120 * n * k), PRODUCTS / sums))
        cancels = theta_of(density.model.family, mode, density.observations).centred
        conjugate = isinstance(density.model.family, ConjugateFamily) and not density.model.fixed
        conjugate &= density.prior.are_a_mixtures  # of others an assignment says nothing
        if chains < FEWEST_CHAINS or k > MOST_COMPONENTS or cancels or not conjugate:
            return cls(draws, draws, 0)
        share = min(0.8, max(0.2, n / (n + HALF)))
        return cls(draws, round(share * draws), chains)
