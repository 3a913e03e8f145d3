"""Chains that set out from a population, and what is said of it in the end."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...covariance import ConjugateFamily, Parameters
from ...model.declaration import require_conjugate
from ...model.log_density import LogDensity
from ..starts.starting import SEVERAL, starting_parameters
from ..task import Outcome, Status, Task
from ..weighing.assigned import twin_of
from ..weighing.deciding import figures_of
from .jumps import Jumps
from .population import Growth, Numbers, Population, populated
from .sampling import SamplingOptions
from .sweep import Sampler

UNSETTLED = (
    "found new modes until its search for them had to end, so that there may be more: look whether "
    "other seeds agree, or choose by priors or n_components which mode is meant"
)
PLACES = ("k-means++", "random points", "random")  # kinds of starts that lead to different modes


def population_of(
    task: Task[SamplingOptions], density: LogDensity, generator: torch.Generator
) -> Population | None:
    """A population that is like the posterior; None where there can be none, or no warm-up.

    Where a mean is held in part there is none: nothing closed is left of its component.
    """
    observations = task.observations
    if not task.options.n_warmup or not _may_have_one(task, density):
        return None
    numbers = Numbers.of(density)
    if numbers is None:
        return None
    own = task.model.conjugate(observations.origin)
    prior = own or require_conjugate(twin_of(density).model, "a sweep", observations.origin)
    sampler = replace(Sampler.of(prior, observations, exchange=False), fixed=task.model.fixed)
    n_draws = task.options.n_chains * task.options.n_draws
    growth = Growth(density, sampler, numbers, generator, n_draws)
    found = populated(growth, particles(task, numbers.started))
    near = found.weighed or own is not None  # else the prior may be too unlike a conjugate one
    return found if near and found.is_like_the_posterior else None


def _may_have_one(task: Task[SamplingOptions], density: LogDensity) -> bool:
    """Whether a posterior is one that populations know how to be like."""
    fixed, family = task.model.fixed, task.model.family
    if fixed is not None and not fixed.whole_means.all():
        return False
    conjugate = isinstance(family, ConjugateFamily)
    return conjugate and density.prior.are_a_mixtures  # a sweep says nothing of others


def particles(task: Task[SamplingOptions], count: int) -> Parameters:
    """Starts of several kinds, or the one that is given."""
    options, observations = task.options, task.observations
    several = isinstance(options.start, str) and options.start == SEVERAL
    kinds = PLACES if several else (options.start,)
    starts = [
        starting_parameters(
            *(kind, observations, task.model.family, task.model.n_components),
            n_starts=-(-count // len(kinds)),
            floor=task.floor,
            generator=torch.Generator().manual_seed(options.seed),
            fixed=task.model.fixed,
        )
        for kind in kinds
    ]
    together = Parameters.joined(starts)
    return together[[i % len(together.means) for i in range(count)]]


def chosen(found: Population, count: int, generator: torch.Generator) -> Parameters:
    """Some of a population, each as often as any other."""
    size, device = len(found.parameters.means), generator.device
    rows = torch.randperm(max(size, count), generator=generator, device=device) % size
    return found.parameters[rows[:count]]


def concluded(
    density: LogDensity,
    outcome: Outcome,
    found: Population | None,
    jumps: Jumps | None,
    generator: torch.Generator,
) -> Outcome:
    """The outcome, with its evidence, and in doubt where the search for modes was cut short."""
    if outcome.posterior is None or (found is None and outcome.status is Status.INTERRUPTED):
        return outcome
    proposal = None if found is None else found.proposal
    try:
        known = figures_of(density, outcome.posterior, proposal, generator)
    except KeyboardInterrupt:  # the draws are there, and stay
        return replace(outcome, status=Status.INTERRUPTED, message="")
    jumped = {} if jumps is None else {"jumps": jumps.rate}
    outcome = replace(outcome, diagnostics={**outcome.diagnostics, **jumped, **known})
    return outcome if found is None or found.settled else unsettled(outcome)


def unsettled(outcome: Outcome) -> Outcome:
    """The outcome of chains that have mixed, but may not know of all modes."""
    if outcome.status is not Status.CONVERGED:
        return outcome
    return replace(outcome, status=Status.UNMIXED, message=UNSETTLED)
