"""Where chains start: at solutions of their own, so that chains which agree have met.

The ends of the search for the likeliest mixture, and restarts of EM of two kinds run until little
is left to gain, are candidates: those that are regular, and divide the points most unlike each
other. How high a solution is says little about how much of the posterior is around it: that is for
a sampler to find out.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Parameters
from ...covariance.records import TINY
from ...metrics import adjusted_rand
from ...model.log_density import LogDensity
from ...reduction.pointwise import labels
from ...reduction.theta import theta_of
from ...running.seeds import Stream
from ..climb.optimise import away_from_edges
from ..diagnosis import diagnose
from ..expectation import Climb, climbed, expect_at
from ..modes.found import REACH
from ..search.likeliest import searched
from ..search.screening import SAME, best_different
from ..task import Options, Task
from .starting import is_given, sample_of, starting_parameters

OTHERS = "random points"  # starts that end elsewhere more often than those of k-means++
STEPS = 50  # of EM


def distinct_solutions(
    task: Task[Options], density: LogDensity, most: int, *, with_the_highest: bool = False
) -> Parameters:
    """At most so many sound solutions as a batch: the best first, then as different as can be.

    A start that is given is the only one.

    Args:
        task: the task.
        density: its log density.
        most: how many there are at most.
        with_the_highest: whether the one of highest density is the first even if it is degenerate.
    """
    solutions = Parameters.joined([*_ends(task), *restarts(task)])
    order = away_from_edges(task, density, solutions)[1].argsort(descending=True, stable=True)
    sound = [i for i in order.tolist() if is_regular(task, solutions[[i]])]
    highest = order[:1].tolist()
    if with_the_highest and highest != sound[:1]:
        sound = highest + sound
    return most_unlike(task, solutions[sound or highest], most)


def _ends(task: Task[Options]) -> list[Parameters]:
    """Where the search for the likeliest mixture ends."""
    return [end.climb.state.parameters for end in searched(task).best_first()]


def restarts(task: Task[Options]) -> Iterator[Parameters]:
    """Where restarts of two kinds come to, in batches; those of few points are among them.

    The search gives up what is not sound as a solution of maximum likelihood. A prior makes up for
    few points, and much of the posterior may be around them.
    """
    options, k = task.options, task.model.n_components
    if is_given(options.start) or options.n_starts == 1:
        return
    for kind in dict.fromkeys((options.start, OTHERS)):
        generator = task.generator(Stream.SEARCH)
        sample = sample_of(task.observations, k, generator)
        starts = starting_parameters(
            *(kind, sample, task.model.family, k),
            n_starts=options.n_starts,
            floor=task.floor,
            generator=generator,
            fixed=task.model.fixed,
        )
        climb = Climb.begun(expect_at(task, starts, sample))
        climb = climbed(task, climb, sample, STEPS, options.tolerance * sample.total_weight)
        gap = SAME * sample.total_weight
        values = [(True, value) for value in climb.reached.nan_to_num(nan=-torch.inf).tolist()]
        yield climb.state.parameters[best_different(values, options.n_starts, gap)]


def is_regular(task: Task[Options], parameters: Parameters) -> bool:
    """Whether no component is degenerate under a prior, however few its points."""
    model, data = task.model, task.observations
    found = diagnose(data, model.family, parameters, task.floor, fixed=model.fixed)
    return not found.problems


def within_reach(log_mass: Float[Tensor, "s"]) -> list[int]:
    """The sets whose mass is not too far below the largest, largest first."""
    order = log_mass.argsort(descending=True, stable=True)
    return [i for i in order.tolist() if log_mass[i] >= log_mass[order[0]] - REACH]


@torch.no_grad()
def log_mass(
    density: LogDensity, draws: list[Parameters], log_likelihood: Float[Tensor, "t s"]
) -> Float[Tensor, "s"]:
    """How much of the posterior is where each of s chains goes, in nats: log density plus entropy.

    The mean log density alone would say too little of a component without points, which is spread
    as wide as its prior. The entropy is that of Gaussians, one for each site of each component.

    Args:
        density: the log density.
        draws: t draws of the chains, whose components have not been exchanged.
        log_likelihood: of the draws.
    """
    t, s = log_likelihood.shape
    values = density.values(Parameters.joined(draws))
    vectors = density.unconstrain(values)
    heights = density.log_prior(values) + density.log_jacobian(vectors, values)
    total = (heights.view(t, s) + log_likelihood).mean(0)
    if t < 2:
        return total
    vectors = vectors.view(t, s, -1).transpose(0, 1)
    for site in density.sites:
        shared = site.name == "weights" or density.model.family.shares(site.name)
        alone = not shared and density.model.fixed is None
        groups = site.shape[0] if alone else 1
        block = vectors[..., site.entries].unflatten(-1, (groups, -1)).transpose(1, 2)
        total = total + _entropies(block).sum(1)
    return total


def _entropies(draws: Float[Tensor, "s g t m"]) -> Float[Tensor, "s g"]:
    """Of Gaussians with the covariance of the draws, held to its diagonal where these are few."""
    t, m = draws.shape[-2:]
    centred = draws - draws.mean(-2, keepdim=True)
    covariance = centred.mT @ centred / t
    variance = covariance.diagonal(dim1=-2, dim2=-1).clamp_min(TINY)
    width = variance.sqrt()
    correlation = covariance / width[..., None] / width[..., None, :]
    held = (t * correlation + m * torch.eye(m).to(correlation)) / (t + m)
    return variance.log().sum(-1) / 2 + torch.logdet(held) / 2


def most_unlike(task: Task[Options], solutions: Parameters, most: int) -> Parameters:
    """The first, then in turn the one that divides the points least as those before do."""
    observations, k = task.observations, task.model.n_components
    generator = torch.Generator().manual_seed(task.options.seed)
    sample = sample_of(observations, k, generator)
    hard = labels(sample, theta_of(task.model.family, solutions, sample)).cpu()
    chosen, nearest = [0], torch.full((len(hard),), -torch.inf)
    while len(chosen) < min(most, len(hard)):
        alike = [adjusted_rand(hard[chosen[-1]], other) for other in hard]
        nearest = torch.maximum(nearest, torch.tensor(alike))
        nearest[chosen] = torch.inf
        chosen.append(int(nearest.argmin()))
    return solutions[chosen]
