"""Blocked Gibbs sampling under the conjugate prior: Diebolt & Robert (1994).

A sweep is one reduction and one draw:

    z_n   | θ, x   ~ Categorical(responsibilities of x_n)        in the reduction
    θ     | z, x   ~ Dirichlet, Wishart and Normal, given the counts and moments of z

All chains are one batch, as restarts of EM are. Components are exchanged at random after every
sweep, so that every chain visits all of the labellings that are as probable; relabelling undoes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from ..conjugate import ConjugatePriors
from ..covariance import CovarianceFamily, Parameters, Statistics
from ..kernels import theta_of
from ..normal_wishart import Hyperparameters
from ..posterior import Posterior
from ..reduction import Assign, categorical, reduce, softmax
from ..start import is_given, starting_parameters
from .em import best_run
from .optimise import EM_STEPS
from .sampling import SamplingOptions, sampled
from .task import Outcome, Run, Status, Task, progress_bar

SEEDS = 2**62  # as many seeds of sweeps; a chunk adds the number of its first row


@dataclass(frozen=True, kw_only=True)
class GibbsOptions(SamplingOptions):
    """Options of Gibbs sampling.

    Attributes:
        n_starts: restarts of EM, the best of which all chains start from; with 1, each chain has
            a start of its own.
        exchange: whether components are exchanged at random.
        keep_allocations: how many draws of each chain keep the component of every point, evenly
            spaced; 0 keeps none.
    """

    n_warmup: int = 200
    exchange: bool = True
    keep_allocations: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count(keep_allocations=0)
        self._flag("exchange")

    def allocates(self, draw: int | None) -> bool:
        """Whether the components of all points are kept with this draw."""
        if draw is None or not self.keep_allocations:
            return False
        return draw % math.ceil(self.n_draws / self.keep_allocations) == 0


@dataclass(eq=False)
class Chains:
    """What a batch of s chains has drawn: one entry a draw that is kept."""

    parameters: list[Parameters] = field(default_factory=list)
    log_likelihood: list[Float[Tensor, "s"]] = field(default_factory=list)
    allocations: list[Int[Tensor, "s n"]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    interrupted: bool = False

    def add(self, p: Parameters, statistics: Statistics, labels: Tensor | None) -> None:
        """Keep a draw, with the log-likelihood and the assignments that a sweep found at it."""
        if labels is not None:
            self.kept.append(len(self.parameters))
            self.allocations.append(labels)
        self.parameters.append(p)
        self.log_likelihood.append(statistics.log_norm)


@dataclass(frozen=True, eq=False)
class Sampler:
    """The two conditional distributions of a sweep.

    Attributes:
        family: covariance family.
        prior: the conjugate prior in numbers.
        allocate: statistics of an assignment of all points, given parameters of s chains.
        exchange: whether components are exchanged after a sweep.
    """

    family: CovarianceFamily
    prior: Hyperparameters
    allocate: Callable[[Parameters, Assign], Statistics]
    exchange: bool = True

    @cached_property
    def is_exchangeable(self) -> bool:
        """Whether the prior does not tell components apart."""
        return self.prior.is_exchangeable

    def sweep(
        self,
        parameters: Parameters,
        generator: torch.Generator,
        labels: Int[Tensor, "s n"] | None = None,
    ) -> tuple[Parameters, Statistics]:
        """New parameters, and the statistics of the assignments that were drawn on the way.

        The statistics' `log_norm` is the log-likelihood of the old parameters.
        """
        device = generator.device
        seed = int(torch.randint(SEEDS, (), generator=generator, device=device))
        statistics = self.allocate(parameters, categorical(seed, labels))
        drawn = self.prior.draw(self.family, statistics, parameters, generator)
        return (self._exchanged(drawn, generator) if self.exchange else drawn), statistics

    def _exchanged(self, p: Parameters, generator: torch.Generator) -> Parameters:
        """A random permutation of the components, by the rule of Metropolis & Hastings.

        Only the concentrations can tell components apart; where they do not, all are accepted.
        """
        s, k = p.log_weights.shape
        order = torch.rand(s, k, generator=generator, device=generator.device).argsort(1)
        if not self.is_exchangeable:
            alpha = self.prior.concentration
            gain = ((alpha - 1) * (p.log_weights.gather(1, order) - p.log_weights)).sum(1)
            uniform = torch.rand(s, generator=generator, dtype=gain.dtype, device=gain.device)
            stay = torch.arange(k, device=order.device)
            order = torch.where((uniform.log() < gain)[:, None], order, stay)
        chain = torch.arange(s, device=order.device)[:, None]
        factor = p.factor if self.family.tied else p.factor[chain, order]
        return Parameters(p.log_weights[chain, order], p.means[chain, order], factor)


def fit_gibbs(task: Task) -> Outcome:
    """Draws from the posterior, aligned, and the mixture at their mean."""
    density = task.model.log_density(task.observations)
    sampler = _sampler(task)
    with progress_bar(task) as bar:
        start = _start(task, bar)
        bar.reset(task.options.n_steps)
        chains = run_chains(
            sampler,
            start.state,
            task.options,
            task.generator(4),
            bar,
            task.observations.n,
            interrupted=start.status is Status.INTERRUPTED,
        )
    draws = density.values(_joined(chains.parameters))
    draws = {
        name: value.unflatten(0, (-1, len(chains.parameters))) for name, value in draws.items()
    }
    allocations = torch.stack(chains.allocations, 1) if chains.allocations else None
    posterior = Posterior(
        draws,
        task.model.family,
        task.observations,
        statistics={"log_likelihood": torch.stack(chains.log_likelihood, 1)},
        allocations=allocations,
        kept=torch.tensor(chains.kept) if chains.kept else None,
    )
    return sampled(density, posterior, interrupted=chains.interrupted)


def _sampler(task: Task) -> Sampler:
    """The sampler of the task's posterior.

    Raises:
        ValueError: if the prior is not conjugate, or the points have weights.
    """
    model, observations = task.model, task.observations
    if not isinstance(model.priors, ConjugatePriors):
        raise ValueError(  # noqa: TRY004 - a wrong value of a right model
            "gibbs needs a conjugate prior: MixtureModel(..., priors=ConjugatePriors()), got "
            f"{type(model.priors).__name__}"
        )
    if observations.sample_weight is not None:
        raise ValueError(
            "gibbs takes no sample_weight: an assignment that is drawn cannot be a fraction"
        )

    def allocate(parameters: Parameters, assign: Assign) -> Statistics:
        return reduce(observations, theta_of(model.family, parameters, observations), assign)

    prior = model.priors.hyperparameters(model.family, model.n_components, observations.origin)
    return Sampler(model.family, prior, allocate, task.options.exchange)


def _start(task: Task, bar: tqdm[Any]) -> Run[Parameters]:
    """Where each chain starts: all at the best restart, or each at a restart of its own."""
    options, k = task.options, task.model.n_components
    if options.n_starts > 1 or is_given(options.start):
        best = best_run(task, bar, options.tolerance, min(EM_STEPS, options.max_steps))
        return Run(best.state.theta.parameters[[0] * options.n_chains], [], best.status)
    starts = starting_parameters(
        options.start,
        task.observations,
        task.model.family,
        k,
        n_starts=options.n_chains,
        floor=task.floor,
        generator=torch.Generator().manual_seed(options.seed),
    )
    return Run(starts, [], Status.STEP_LIMIT)


def run_chains(
    sampler: Sampler,
    start: Parameters,
    options: GibbsOptions,
    generator: torch.Generator,
    bar: tqdm[Any],
    n_points: int = 0,
    *,
    interrupted: bool = False,
) -> Chains:
    """Sweeps of s chains; an interrupt ends them with what there is.

    Args:
        sampler: what a sweep does.
        start: where the chains start, s sets.
        options: how many sweeps, and which of them are kept.
        generator: source of randomness.
        bar: counts the sweeps.
        n_points: number of points, where their components are to be kept.
        interrupted: whether there was an interrupt already, so that no sweep is to follow.
    """
    chains, parameters = Chains(interrupted=interrupted), start
    try:
        for step in range(0 if interrupted else options.n_steps):
            draw = options.draw_at(step)
            labels = _no_labels(start, n_points) if options.allocates(draw) else None
            following, statistics = sampler.sweep(parameters, generator, labels)
            if draw is not None:
                chains.add(parameters, statistics, labels)
            parameters = following
            bar.update()
    except KeyboardInterrupt:
        chains.interrupted = True
    if not chains.parameters:
        chains.add(parameters, sampler.allocate(parameters, softmax), None)
    return chains


def _joined(draws: list[Parameters]) -> Parameters:
    """Batches of s chains, one for each draw, as one batch: chain after chain."""
    parts = [
        torch.stack([getattr(p, field.name) for p in draws], 1).flatten(0, 1)
        for field in fields(Parameters)
    ]
    return Parameters(*parts)


def _no_labels(p: Parameters, n_points: int) -> Int[Tensor, "s n"]:
    return torch.zeros(len(p.means), n_points, dtype=torch.int64, device=p.means.device)
