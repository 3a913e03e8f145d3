"""The log evidence by importance sampling: the log mean of p / q̄ over draws from q.

The likelihood does not depend on how components are numbered, so p and q are both averaged over all
numberings σ: a proposal of one numbering then serves for all, and none counts twice where they
overlap. With lik(θ) the likelihood of the sites θ,

    p(x) = E_q [ lik(θ) Σ_σ prior(σθ) / Σ_σ q(σθ) ]

q is a mixture in fixed shares: of Student's t distributions at the mode, which are close where
points are many, and of posteriors given assignments, which are close where points are few.

Source: Hesterberg (1995); Lee & Robert (2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import ConjugateFamily, Parameters
from ...model.log_density import LogDensity
from ...model.numbering import Numberings, exchanges, permuted_values
from ...model.priors import Priors
from ...posterior.alignment import cheapest
from ...reduction.theta import theta_of
from ..chains.sampling import log_likelihoods
from .assigned import KEPT, Assigned

FEWEST, MOST = 200, 2000  # draws
CHAINS = 128  # of assignments, at most
FEWEST_CHAINS = 8  # with fewer, there are none
MOST_COMPONENTS = 12  # that assignments are summed over the numberings of
POINTWISE = 1e8  # responsibilities that draws, and a quarter as many that assignments, may take
PRIORS = 2e5  # log priors and proposals of numberings
PRODUCTS = 3e8  # in the sums over the numberings of assignments
HALF = 300  # points, of which the mode's proposal has half of the draws
FREEDOM = 5.0  # degrees of freedom of Student's t
WIDTHS = (1.0, 2.0)  # in equal shares, of the normal distribution at the mode
MOST_OVERLAPPING = 120  # numberings of the mode that count at the draws of one
NEGLIGIBLE = 8.0  # nats below the proposal at every draw, where a numbering does not count
NUMBERS_AT_ONCE = 2**21


@dataclass(frozen=True)
class Evidence:
    """An estimate of log p(x), in the words of a fit's diagnostics.

    Attributes:
        log_evidence: in nats.
        log_evidence_se: standard error of it, in nats.
        evidence_k_hat: Pareto's k of the importance weights; above 0.7, the error is larger than
            it says.
    """

    log_evidence: float
    log_evidence_se: float
    evidence_k_hat: float

    @classmethod
    def of(cls, log_weights: Float[Tensor, "s"], strata: list[int]) -> Evidence:
        """The estimate from the logarithms of the weights of draws in strata of fixed sizes."""
        log_mean = float(log_weights.logsumexp(0)) - math.log(len(log_weights))
        if not math.isfinite(log_mean):
            return cls(math.nan, math.nan, math.nan)
        weights = (log_weights - log_mean).exp()
        variance = sum(len(part) * float(part.var()) for part in weights.split(strata))
        return cls(log_mean, math.sqrt(variance) / len(weights), pareto_k(weights))


UNKNOWN = Evidence(math.nan, math.nan, math.nan)


def pareto_k(weights: Float[Tensor, "s"]) -> float:
    """Pareto's k of the largest weights: their mean log ratio to the next (Hill 1975).

    Estimators that go by excesses take a plateau of weights, as mixtures have, for a heavy tail.
    """
    count = math.ceil(min(len(weights) / 5, 3 * math.sqrt(len(weights))))
    largest = weights.sort(descending=True).values[: count + 1]
    return float((largest[:-1] / largest[-1]).log().mean())


@torch.no_grad()
def estimated_evidence(
    density: LogDensity, mode: Float[Tensor, "1 m"], root: Float[Tensor, "m m"], *, seed: int
) -> Evidence:
    """The log evidence, with proposals at a mode and at what Gibbs sampling visits.

    Args:
        density: the log density.
        mode: where it is highest.
        root: Cholesky factor of the covariance of the normal distribution at the mode.
        seed: of all that is drawn.
    """
    centre = density.constrain(mode)
    numberings = Numberings.about(density, centre)
    budget = Budget.of(density, len(numberings.orders), density.parameters(centre))
    generator = torch.Generator(mode.device).manual_seed(seed)
    at_mode = AtMode(density, mode[0], root)
    strata = [budget.at_mode // 2, budget.at_mode - budget.at_mode // 2]
    values = density.constrain(at_mode.draw(strata, generator))
    log_q = mode.new_full((budget.draws,), -math.inf)
    if budget.chains:
        assigned = Assigned.visited(density, chains=budget.chains, seed=seed)
        strata.append(budget.draws - budget.at_mode)
        drawn = at_mode.aligned(density.values(assigned.draw(strata[-1], generator)))
        values = {name: torch.cat([value, drawn[name]]) for name, value in values.items()}
        share = math.log(strata[-1] / budget.draws)
        log_q = share + _in_sites(density, assigned, values)
    share = math.log(budget.at_mode / budget.draws)
    log_q = torch.logaddexp(log_q, share + at_mode.log_density(values, log_q - share))
    log_p = numberings.log_prior(density, values) - math.lgamma(density.model.n_components + 1)
    one_chain = {name: value[None] for name, value in values.items()}
    log_weights = log_p + log_likelihoods(density, one_chain)[0] - log_q
    nothing = -math.inf
    log_weights = log_weights.nan_to_num(nan=nothing, posinf=nothing, neginf=nothing)
    return Evidence.of(log_weights, strata)


@dataclass(frozen=True)
class Budget:
    """Numbers of draws, of those of them that are at the mode, and of chains of assignments."""

    draws: int
    at_mode: int
    chains: int

    @classmethod
    def of(cls, density: LogDensity, numberings: int, mode: Parameters) -> Budget:
        """As many as take a second or so; no assignments where their moments would cancel."""
        n, k = density.observations.n, density.model.n_components
        orders = max(numberings, k * (k - 1) // 2)
        draws = int(min(MOST, max(FEWEST, min(POINTWISE / (n * k), PRIORS / orders))))
        sums = draws * KEPT * k * 2.0 ** (k - 1)
        chains = int(min(CHAINS, POINTWISE / (120 * n * k), PRODUCTS / sums))
        cancels = theta_of(density.model.family, mode, density.observations).centred
        conjugate = isinstance(density.model.family, ConjugateFamily)
        if chains < FEWEST_CHAINS or k > MOST_COMPONENTS or cancels or not conjugate:
            return cls(draws, draws, 0)
        share = min(0.8, max(0.2, n / (n + HALF)))
        return cls(draws, round(share * draws), chains)


def _in_sites(
    density: LogDensity, assigned: Assigned, values: Mapping[str, Tensor]
) -> Float[Tensor, "s"]:
    """The log density of assignments' posteriors, as one of the sites of the model.

    They are over precisions, which the model may have scales and correlations in place of. Both are
    functions of the same unconstrained numbers, but for the logarithms of precisions that are
    numbers: those are -2 times the logarithms of scales.
    """
    model, observations = density.model, density.observations
    parameters = density.parameters(values)
    log_q = assigned.log_density(parameters)
    if "precisions" in values:
        return log_q
    plain = LogDensity(replace(model, priors=Priors().scaled_to(observations)), observations)
    twin = assigned.density.values(parameters)
    shape = model.family.event_shape(observations.d)
    doubled = math.prod(shape) * model.family.n_covariances(model.n_components)
    log_q = log_q + (0.0 if model.family.is_matrix else doubled * math.log(2))
    log_q = log_q + assigned.density.log_jacobian(assigned.density.unconstrain(twin), twin)
    return log_q - plain.log_jacobian(plain.unconstrain(values), dict(values))


@dataclass(frozen=True, eq=False)
class AtMode:
    """Student's t distributions about a mode, over all numberings of the components.

    Attributes:
        density: the log density.
        mode: where it is highest.
        root: Cholesky factor of the covariance of the normal distribution there.
    """

    density: LogDensity
    mode: Float[Tensor, "m"]
    root: Float[Tensor, "m m"]

    def draw(self, counts: list[int], generator: torch.Generator) -> Float[Tensor, "s m"]:
        """As many vectors of each width."""
        shape = sum(counts), len(self.mode)
        noise = self.root.new_empty(shape).normal_(generator=generator)
        half = self.root.new_full((len(noise), 1), 0.5 * FREEDOM)
        square = torch._standard_gamma(half, generator=generator) / half
        width = self.root.new_tensor(WIDTHS).repeat_interleave(torch.tensor(counts))
        return self.mode + width[:, None] * square.rsqrt() * noise @ self.root.T

    def aligned(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same sets, each in the numbering in which it is closest to the mode."""
        density, unit = self.density, self.density.observations.scale
        sets = [density.parameters(values), density.parameters(density.constrain(self.mode[None]))]
        theirs, ours = (self._described(p, unit) for p in sets)
        cost = torch.cdist(theirs, ours.expand_as(theirs)).square().nan_to_num(0.0).cpu()
        stay = torch.arange(cost.shape[1]).expand(cost.shape[:2])
        apart = torch.zeros(cost.shape[1:], dtype=torch.bool)
        return permuted_values(density.model.family, values, cheapest(cost, stay, 0.0, apart))

    def _described(self, p: Parameters, unit: Float[Tensor, "d"]) -> Float[Tensor, "s k q"]:
        """Means and log standard deviations, in the data's units."""
        scale = (self.density.model.family.deviations(p.factor, len(unit)) / unit).log()
        return torch.cat([p.means / unit, scale.expand_as(p.means)], -1)

    def log_density(
        self, values: Mapping[str, Tensor], beside: Float[Tensor, "s"]
    ) -> Float[Tensor, "s"]:
        """Of the sites of s sets, averaged over all numberings.

        Args:
            values: the sets, aligned.
            beside: another log density, beside which numberings of less are left out. They are
                reached by exchanges of components through such as count.
        """
        k = self.density.model.n_components
        moves = exchanges(k, [(i, j) for i in range(k) for j in range(i)])
        waiting, seen = torch.arange(k)[None], set()
        total = torch.full_like(beside, -math.inf)
        while len(waiting):
            seen |= set(map(tuple, waiting.tolist()))
            found = self._in_orders(values, waiting)
            total = torch.logaddexp(total, found.logsumexp(1))
            margin = (found - torch.logaddexp(total, beside)[:, None]).amax(0)
            counting = waiting[(margin > -NEGLIGIBLE).cpu()]
            following = {tuple(order[move].tolist()) for order in counting for move in moves} - seen
            room = MOST_OVERLAPPING - len(seen)
            waiting = torch.tensor(sorted(following)[: max(0, room)], dtype=torch.int64)
        return total - math.lgamma(k + 1)

    def _in_orders(
        self, values: Mapping[str, Tensor], orders: Int[Tensor, "o k"]
    ) -> Float[Tensor, "s o"]:
        s, o = len(values["weights"]), len(orders)
        found = []
        for rows in torch.arange(s * o).split(max(1, NUMBERS_AT_ONCE // self.density.dimension)):
            sets = {name: value[rows // o] for name, value in values.items()}
            sets = permuted_values(self.density.model.family, sets, orders[rows % o])
            vector = self.density.unconstrain(sets)
            log_q = self._log_student(vector) - self.density.log_jacobian(vector, sets)
            found.append(log_q.nan_to_num(nan=-math.inf))
        return torch.cat(found).view(s, o)

    def _log_student(self, vector: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        m = len(self.mode)
        z = torch.linalg.solve_triangular(self.root, (vector - self.mode).T, upper=False)
        width = z.new_tensor(WIDTHS)
        distance = z.square().sum(0)[:, None] / (FREEDOM * width.square())
        peak = math.lgamma(0.5 * (FREEDOM + m)) - math.lgamma(0.5 * FREEDOM)
        peak -= 0.5 * m * math.log(FREEDOM * math.pi) + float(self.root.diagonal().log().sum())
        each = peak - m * width.log() - 0.5 * (FREEDOM + m) * distance.log1p()
        return each.logsumexp(1) - math.log(len(WIDTHS))
