"""Blocked Gibbs sampling under the conjugate prior: Diebolt & Robert (1994).

A sweep is one reduction and one draw:

    z_n   | θ, x   ~ Categorical(responsibilities of x_n)        in the reduction
    θ     | z, x   ~ Dirichlet, Wishart and Normal, given the counts and moments of z

All chains are one batch, as restarts of EM are. Components are exchanged at random after every
sweep, so that every chain visits all of the labellings that are as probable; relabelling undoes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from tqdm import tqdm

from ..covariance import Parameters
from ..model.declaration import require_conjugate
from ..model.log_density import LogDensity
from ..posterior import Posterior
from ..running.seeds import Stream
from .chains.jumps import SweptJumps
from .chains.population import Population
from .chains.sampling import drawn, to_next
from .chains.setting_out import chosen, concluded, particles, population_of
from .chains.sweep import Sampler
from .chains.sweeping import GibbsChains, GibbsOptions, Step, lengthen, run_chains
from .starts.solutions import distinct_solutions, log_mass, most_unlike, within_reach
from .starts.starting import is_given, starting_parameters
from .task import Outcome, Task, progress_bar
from .telescoping.sampling import fit_telescoping


def fit_gibbs(task: Task[GibbsOptions]) -> Outcome:
    """Draws from the posterior, numbered alike, and the mixture at their mean."""
    hierarchy = task.model.hierarchy(task.observations.origin)
    if hierarchy is not None:
        return fit_telescoping(task, hierarchy)
    density = task.model.log_density(task.observations)
    sampler, options, generator = _sampler(task), task.options, task.generator(Stream.CHAINS)
    with progress_bar(task) as bar:
        bar.reset(options.n_steps)
        way = _warmed_up(task, density, sampler, generator, bar)

        def walk(chains: GibbsChains, thin: int, to_first: int) -> None:
            n, step = task.observations.n, Step(sampler, generator, bar, way.jumps)
            lengthen(chains, step, options, n, thin=thin, to_first=to_first)

        walk(way.chains, options.thin, options.n_warmup - options.n_warmup // 2)
        sample = GibbsSample(density, options, walk, way.chains, options.thin)
        outcome = drawn(density, sample, options)
    return concluded(density, outcome, way.found, way.jumps, generator)


@dataclass(frozen=True, eq=False)
class Way:
    """How chains begin, and go on.

    Attributes:
        chains: without draws.
        found: what the warm-up has found of the posterior, if anything.
        jumps: of the chains, if they need some.
    """

    chains: GibbsChains
    found: Population | None = None
    jumps: SweptJumps | None = None


def _warmed_up(
    task: Task[GibbsOptions],
    density: LogDensity,
    sampler: Sampler,
    generator: torch.Generator,
    bar: tqdm[Any],
) -> Way:
    """Chains that have found their ways by half of the warm-up, without draws.

    They set out from a population that is like the posterior, where there can be one; else from
    solutions.
    """
    try:
        found = population_of(task, density, generator)
    except KeyboardInterrupt:
        start = particles(task, task.options.n_chains)
        return Way(GibbsChains(start, interrupted=True))
    if found is not None:
        chains = GibbsChains(chosen(found, task.options.n_chains, generator))
        if not task.options.are_to_jump(found.persistence):
            return Way(chains, found)
        return Way(chains, found, SweptJumps.by(found.proposal, found.acceptance, sampler))
    alone = replace(sampler, exchange=False)
    return Way(_from_solutions(task, density, alone, generator, bar))


def _from_solutions(
    task: Task[GibbsOptions],
    density: LogDensity,
    sampler: Sampler,
    generator: torch.Generator,
    bar: tqdm[Any],
) -> GibbsChains:
    """Twice as many as are wanted set out, each from a solution of its own.

    Those that have come to where there is next to nothing of the posterior are given up, and of the
    others the most unlike go on.
    """
    options, start = task.options, _start(task, density)
    seen = options.n_warmup // 4
    first = replace(options, n_warmup=options.n_warmup // 2 - seen, n_draws=max(1, seen), thin=1)
    first = replace(first, keep_allocations=0)
    chains = run_chains(sampler, start, first, generator, bar)
    mass = log_mass(density, chains.parameters, torch.stack(chains.log_likelihood))
    found = most_unlike(task, chains.last[within_reach(mass)], options.n_chains)
    dealt = [i % len(found.means) for i in range(options.n_chains)]
    return GibbsChains(found[dealt], interrupted=chains.interrupted)


@dataclass(frozen=True, eq=False)
class GibbsSample:
    """The chains of a fit, which may go on: a `sampling.Sample`.

    Attributes:
        density: the log density that is sampled.
        options: of the fit.
        walk: makes the chains longer, given how far apart draws are, and how far the next one is.
        chains: the draws.
        thin: sweeps from one of them to the next.
    """

    density: LogDensity
    options: GibbsOptions
    walk: Callable[[GibbsChains, int, int], None]
    chains: GibbsChains
    thin: int

    @property
    def interrupted(self) -> bool:
        """See `sampling.Sample`."""
        return self.chains.interrupted

    def posterior(self) -> Posterior:
        """See `sampling.Sample`."""
        chains, n_draws = self.chains, len(self.chains.parameters)
        draws = self.density.values(Parameters.joined(chains.parameters))
        return Posterior(
            {
                name: value.unflatten(0, (n_draws, -1)).transpose(0, 1).contiguous()
                for name, value in draws.items()
            },
            self.density.model.family,
            self.density.observations,
            statistics={"log_likelihood": torch.stack(chains.log_likelihood, 1)},
            allocations=torch.stack(chains.allocations, 1) if chains.allocations else None,
            kept=torch.tensor(chains.kept) if chains.kept else None,
            noise_component=self.density.model.noise,
        )

    def doubled(self) -> GibbsSample:
        """See `sampling.Sample`."""
        chains, thin = self.chains.halved(self.options), 2 * self.thin
        self.walk(chains, thin, to_next(self.chains.n_draws, self.thin))
        return replace(self, chains=chains, thin=thin)


def _sampler(task: Task[GibbsOptions]) -> Sampler:
    """The sampler of the task's posterior.

    Raises:
        ValueError: if the prior is not conjugate, or the points have weights.
    """
    observations = task.observations
    prior = require_conjugate(task.model, "gibbs", observations.origin)
    if observations.sample_weight is not None:
        raise ValueError(
            "gibbs takes no sample_weight: an assignment that is drawn cannot be a fraction"
        )
    sampler = Sampler.of(prior, observations, exchange=task.options.exchange)
    return replace(sampler, fixed=task.model.fixed)


def _start(task: Task[GibbsOptions], density: LogDensity) -> Parameters:
    """Solutions to set out from; with one restart only, restarts that are not run on."""
    options, twice = task.options, 2 * task.options.n_chains
    if options.n_starts > 1 or is_given(options.start):
        return distinct_solutions(task, density, twice)
    return starting_parameters(
        options.start,
        task.observations,
        task.model.family,
        task.model.n_components,
        n_starts=twice,
        floor=task.floor,
        generator=torch.Generator().manual_seed(options.seed),
    )
