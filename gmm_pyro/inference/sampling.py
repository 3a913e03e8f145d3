"""What all samplers share: their options, chains of draws, and how a sample becomes an outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters
from ..model import LogDensity
from ..posterior import Posterior
from ..threads import one_thread_a_product
from .task import Options, Outcome, Status

DRAWS_AT_ONCE = 64  # parameter sets in one batch of log densities
MIXED = 1.05  # R-hat, from which chains are said to disagree
FEWEST = 8  # draws of a chain, below which there is no R-hat


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(Options):
    """Options common to samplers.

    Attributes:
        n_chains: number of chains.
        n_draws: draws that each chain keeps.
        n_warmup: steps that each chain takes, and forgets, before them.
        thin: steps from one draw that is kept to the next.
        max_steps: most steps to the start.
        tolerance: of the start.
    """

    tolerance: float = 1e-6
    n_chains: int = 4
    n_draws: int = 1000
    n_warmup: int = 300
    thin: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count(n_chains=1, n_draws=1, n_warmup=0, thin=1)

    @property
    def n_steps(self) -> int:
        """Steps of each chain."""
        return self.n_warmup + (self.n_draws - 1) * self.thin + 1

    def draw_at(self, step: int) -> int | None:
        """The number of the draw that is kept at a step, or None."""
        number, since = divmod(step - self.n_warmup, self.thin)
        return number if number >= 0 and since == 0 else None


def sampled(density: LogDensity, posterior: Posterior, *, interrupted: bool) -> Outcome:
    """The outcome of a sampler: aligned draws, their mean, and whether the chains agree.

    Args:
        density: the log density that was sampled.
        posterior: the sampler's own draws, with the log-likelihood among their statistics.
        interrupted: whether the sampler was stopped before it had them all.
    """
    sites = {name: values.flatten(0, 1) for name, values in posterior.draws.items()}
    log_prior = density.log_prior(sites).view(posterior.n_chains, posterior.n_draws)
    lp = posterior.statistics["log_likelihood"] + log_prior
    posterior = replace(posterior, statistics={**posterior.statistics, "lp": lp}).relabel()
    aligned = [posterior.draws[name].flatten(2) for name in ("weights", "means")]
    r_hat, ess = r_hat_and_ess(torch.cat([lp[..., None], *aligned], 2))
    status = Status.UNMIXED if r_hat > MIXED else Status.CONVERGED
    return Outcome(
        parameters=mean_parameters(posterior),
        objective=float(lp.mean()),
        history=lp.mean(0).tolist(),
        status=Status.INTERRUPTED if interrupted else status,
        steps=posterior.n_draws,
        posterior=posterior,
        diagnostics={"r_hat": r_hat, "ess": ess},
    )


def r_hat_and_ess(values: Float[Tensor, "chain draw q"]) -> tuple[float, float]:
    """The largest split R-hat and the smallest effective sample size of some quantities.

    Source: Gelman et al. (2013), §11.4 and 11.5.
    """
    from pyro.ops.stats import effective_sample_size, split_gelman_rubin

    varies = (values != values[:1, :1]).flatten(0, 1).any(0)  # not the weight of one component
    values = values[..., varies]
    if values.shape[1] < FEWEST or values.shape[2] == 0:
        return math.nan, math.nan
    return float(split_gelman_rubin(values).max()), float(effective_sample_size(values).min())


def mean_parameters(posterior: Posterior) -> Parameters:
    """Weights, means and covariances averaged over the draws, as a batch of one set."""
    family, p = posterior.family, posterior.parameters()
    d = p.means.shape[-1]
    with one_thread_a_product():
        covariance = family.dense(p.factor, d).mean(0, keepdim=True)
        factor = family.fit(family.compress(covariance), covariance.new_zeros(d))
    weights = p.log_weights.exp().mean(0, keepdim=True)
    return Parameters(weights.log(), p.means.mean(0, keepdim=True), factor)


@torch.no_grad()
def log_ratios(density: LogDensity, posterior: Posterior) -> Float[Tensor, "s"]:
    """log p(v, x) - log q(v) in nats of draws from an approximation q: their importance weights."""
    sites = {name: values.flatten(0, 1) for name, values in posterior.draws.items()}
    vectors = density.unconstrain(sites)
    log_p = torch.cat([density(part) for part in vectors.split(DRAWS_AT_ONCE)])
    return log_p - posterior.statistics["log_q"].flatten()


@torch.no_grad()
def log_likelihoods(
    density: LogDensity, draws: Mapping[str, Tensor]
) -> Float[Tensor, "chain draw"]:
    """Log-likelihood in nats of every draw."""
    shape = draws["weights"].shape[:2]
    sites = {name: values.flatten(0, 1) for name, values in draws.items()}
    parts = [
        density.log_likelihood({name: values[rows] for name, values in sites.items()})
        for rows in torch.arange(math.prod(shape)).split(DRAWS_AT_ONCE)
    ]
    return torch.cat(parts).view(shape)
