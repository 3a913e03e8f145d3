"""What all samplers share: their options, how long they draw, and how a sample is an outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from ...data.checks import check_choice
from ...model.log_density import LogDensity
from ...model.numbering import exchangeable_classes, told_apart
from ...posterior import Posterior
from ...posterior.convergence import Convergence
from ...posterior.predictive import mean_parameters
from ..task import Options, Outcome, Status
from .mixing import FEWEST_EFFECTIVE, Mixing, judged
from .persistence import PERSISTENT

DRAWS_AT_ONCE = 64  # parameter sets in one batch of log densities
JUMPS = ("auto", "always", "never")


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(Options):
    """Options common to samplers.

    Attributes:
        n_chains: number of chains.
        n_draws: draws that each chain keeps.
        n_warmup: steps that each chain takes, and forgets, before them.
        thin: steps from one draw that is kept to the next.
        max_doublings: how often chains are made twice as long where R-hat or an effective sample
            size says that the draws are too few, and at their rate that many doublings would be
            enough. `n_draws` of them stay, at twice the distance. Fewer than 400 draws in all are
            never enough, and stay as they are.
        jumps: whether chains jump between modes, if a proposal comes near enough to the posterior:
            "auto" where sweeps of assignments and parameters would be slow to lead from one to
            another, "always" or "never". `diagnostics["jumps"]` is there if they did.
        max_steps: most steps to the start.
        tolerance: of the start.
    """

    tolerance: float = 1e-6
    n_chains: int = 4
    n_draws: int = 1000
    n_warmup: int = 300
    thin: int = 1
    max_doublings: int = 3
    jumps: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        least = {"n_chains": 1, "n_draws": 1, "n_warmup": 0, "thin": 1, "max_doublings": 0}
        settled = {name: n for name, n in least.items() if getattr(self, name) is not None}
        self._count(**settled)  # gibbs settles the others later
        check_choice("jumps", self.jumps, JUMPS)

    def are_to_jump(self, persistence: float) -> bool:
        """Whether chains jump whose quantities have this correlation from sweep to sweep."""
        slow = persistence >= PERSISTENT
        return self.jumps == "always" or (self.jumps == "auto" and slow)

    @property
    def n_steps(self) -> int:
        """Steps of each chain."""
        return self.n_warmup + (self.n_draws - 1) * self.thin + 1

    @property
    def reductions(self) -> tuple[int, int]:
        """See `Options`."""
        return self.n_steps, self.n_chains


def to_next(n_draws: int, thin: int) -> int:
    """Steps before the next draw of chains whose distance is doubled, and every second one gone."""
    return thin * (1 + n_draws % 2) - 1


class Sample(Protocol):
    """What a sampler has drawn so far, and how it goes on."""

    @property
    def interrupted(self) -> bool:
        """Whether there was an interrupt."""
        ...

    def posterior(self) -> Posterior:
        """The draws, with the log-likelihood among their statistics."""
        ...

    def doubled(self) -> Sample:
        """Chains of twice the length: every second draw, and as many new ones at that distance.

        A sampler that cannot go on gives what it has.
        """
        ...


@dataclass(frozen=True, eq=False)
class PosteriorSample:
    """Draws that are what they are: a `sampling.Sample` that does not go on."""

    density: LogDensity
    draws: dict[str, Tensor]
    statistics: dict[str, Tensor]
    interrupted: bool = False

    def posterior(self) -> Posterior:
        """See `sampling.Sample`."""
        found = {**self.statistics, "log_likelihood": log_likelihoods(self.density, self.draws)}
        family, observations = self.density.model.family, self.density.observations
        return Posterior(
            self.draws, family, observations, statistics=found, **of_others(self.density)
        )

    def doubled(self) -> PosteriorSample:
        """See `sampling.Sample`."""
        return self


def drawn(density: LogDensity, sample: Sample, options: SamplingOptions) -> Outcome:
    """The outcome of chains that go on until they have mixed, or it is no use.

    Args:
        density: the log density that is sampled.
        sample: the first draws.
        options: how often the chains may be doubled.
    """
    posterior, alone = _aligned(density, sample.posterior()), _alone(density)
    mixing, doublings = judged(posterior, alone), 0
    while _is_worth_more(mixing, options, doublings) and not sample.interrupted:
        longer = sample.doubled()
        if longer is sample:
            break
        sample, doublings = longer, doublings + 1
        posterior = _aligned(density, sample.posterior())
        mixing = judged(posterior, alone)
    return _outcome(posterior, mixing, doublings, interrupted=sample.interrupted)


def _alone(density: LogDensity) -> list[int]:
    """The components that labels or what is held tell apart from all others."""
    classes = told_apart(density.model, density.observations)
    return [i for i, number in enumerate(classes) if len(classes) > 1 and classes.count(number) < 2]


def _is_worth_more(mixing: Mixing, options: SamplingOptions, doublings: int) -> bool:
    """Whether chains have not mixed, and would with the doublings that are left."""
    enough = options.n_chains * options.n_draws >= FEWEST_EFFECTIVE
    left = options.max_doublings - doublings
    return enough and left > 0 and not mixing.mixed and mixing.may_mix(left)


def _aligned(density: LogDensity, posterior: Posterior) -> Posterior:
    """The draws with their log densities, their components numbered alike.

    Those that the prior tells apart keep the numbers that it knows them by.
    """
    if "lp" in posterior.statistics:  # of which no number says which component is which
        return posterior
    sites = {name: values.flatten(0, 1) for name, values in posterior.draws.items()}
    log_prior = density.log_prior(sites).view(posterior.n_chains, posterior.n_draws)
    lp = posterior.statistics["log_likelihood"] + log_prior
    posterior = replace(posterior, statistics={**posterior.statistics, "lp": lp})
    return posterior.relabel(within=exchangeable_classes(density))


def _outcome(posterior: Posterior, mixing: Mixing, doublings: int, *, interrupted: bool) -> Outcome:
    lp, found = posterior.statistics["lp"], mixing.convergence
    status = Status.CONVERGED if mixing.mixed else Status.UNMIXED
    return Outcome(
        parameters=mean_parameters(posterior),
        objective=float(lp.mean()),
        history=lp.mean(0).tolist(),
        status=Status.INTERRUPTED if interrupted else status,
        message="" if interrupted else mixing.advice,
        steps=posterior.n_draws,
        posterior=posterior,
        diagnostics=figures(found, doublings),
    )


def figures(convergence: Convergence, doublings: int = 0) -> dict[str, float]:
    """What a sampler says of its draws."""
    return {
        "r_hat": convergence.r_hat,
        "ess_bulk": convergence.ess_bulk,
        "ess_tail": convergence.ess_tail,
        "doublings": doublings,
    }


def independent_draws(
    density: LogDensity, values: Mapping[str, Tensor], log_q: Float[Tensor, "s"] | None
) -> Posterior:
    """Draws from an approximation of the posterior, with their log densities there, if known."""
    return Posterior(
        {name: value[None] for name, value in values.items()},
        density.model.family,
        density.observations,
        statistics={} if log_q is None else {"log_q": log_q[None]},
        independent=True,
        **of_others(density),
    )


def of_others(density: LogDensity) -> dict[str, Any]:
    """What a posterior is told of sites that are not a mixture's own."""
    return {
        "axes": density.prior.others,
        "renumbers": density.renumbers,
        "noise_component": density.model.noise,
    }


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
