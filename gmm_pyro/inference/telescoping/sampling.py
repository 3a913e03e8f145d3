"""A fit by telescoping: how chains begin and go on, and what their draws are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from ...data.arrays import whole_numbers
from ...mixture.value import GaussianMixture
from ...model.hierarchical_sites import CONCENTRATION, SCALE
from ...model.hierarchy import Hierarchy
from ...model.log_density import LogDensity
from ...model.unknown_sites import FILLED, SIZE
from ...posterior import Posterior
from ...posterior.relabelling import permuted
from ...running.seeds import Stream
from ..chains.sampling import drawn, of_others, to_next
from ..chains.setting_out import unsettled
from ..chains.sweeping import GibbsOptions
from ..starts.starting import is_given, starting_parameters
from ..task import Outcome, Task, progress_bar
from .chains import Chains, Drawn
from .kept_moves import moves_of
from .reversible import Reversible
from .state import State, joined
from .sweep import Telescope
from .visited import leads_anywhere, learnt

FIRST = (1, 2, 4, 8)  # components that chains begin with, in turn


def fit_telescoping(task: Task[GibbsOptions], hierarchy: Hierarchy) -> Outcome:
    """Draws from the posterior of a mixture of which more is unknown than its parameters.

    Raises:
        ValueError: if points have weights, or something is held or known of components.
    """
    _check(task)
    density = task.model.log_density(task.observations)
    telescope = Telescope.of(hierarchy, task.observations)
    jumps = task.options.jumps != "never" and leads_anywhere(hierarchy, task.observations.d)
    chains = Chains(
        telescope,
        moves_of(hierarchy, task.observations),
        None if hierarchy.is_known else Reversible(hierarchy, telescope.log_likelihood),
        begun(task, hierarchy),
        task.generator(Stream.CHAINS),
        keeps=task.options.keep_allocations > 0,
        teach=partial(learnt, density, hierarchy) if jumps else None,
    )
    with progress_bar(task) as bar:
        bar.reset(task.options.n_steps)
        chains.warm_up(task.options.n_warmup, bar)
        chains.lengthen(task.options, bar, task.options.thin, 0)
        sample = TelescopedSample(density, task.options, chains, task.options.thin, bar)
        outcome = drawn(density, sample, task.options)
    if chains.jumps is None:
        return outcome
    jumped = {**outcome.diagnostics, "jumps": chains.jumps.rate}
    outcome = replace(outcome, diagnostics=jumped)
    return outcome if chains.jumps.settled else unsettled(outcome)


def _check(task: Task[GibbsOptions]) -> None:
    unknown = "where the concentration or scale of components is unknown, or their number"
    if task.observations.sample_weight is not None:
        raise ValueError(
            "gibbs takes no sample_weight: an assignment that is drawn cannot be a fraction"
        )
    if task.observations.allowed is not None:
        raise ValueError(f"gibbs takes no labels {unknown}: they number components")
    if task.model.fixed is not None:
        raise ValueError(f"gibbs holds nothing fixed {unknown}")


def begun(task: Task[GibbsOptions], hierarchy: Hierarchy) -> State:
    """Where chains begin: with one, two, four, … components in turn, or as the start says."""
    count, options = task.options.n_chains, task.options
    observations, family = task.observations, task.model.family
    sizes = [min(k, hierarchy.largest, observations.n) for k in FIRST]
    if is_given(options.start) and task.model.unknown is not None:
        sizes = [_components_of(options.start, hierarchy.largest)]
    elif hierarchy.is_known:
        sizes = [hierarchy.most]
    states = []
    for i in range(count):
        k = sizes[i % len(sizes)]
        found = starting_parameters(
            *(options.start, observations, family, k),
            n_starts=1,
            floor=task.floor,
            generator=torch.Generator().manual_seed(options.seed),
            first=i,
        )
        like = found.log_weights[:, 0]
        scale = None
        if hierarchy.scale is not None:
            own = hierarchy.components.scale
            scale = own.expand(1, *own.shape[1:])
        value = hierarchy.concentration.typical
        states.append(State(found, torch.full_like(like, k).long(), like * 0 + value, scale))
    return joined(family, states, max(sizes))


def _components_of(start: Any, most: int) -> int:
    """How many components a start that is given has.

    Raises:
        ValueError: if these are more than there may be.
    """
    if isinstance(start, GaussianMixture):
        k = start.n_components
    else:
        k = 1 + int(whole_numbers(start, "start", "a mixture or integer labels").max(initial=0))
    if k > most:
        raise ValueError(f"start must have at most {most} components, got {k}")
    return k


@dataclass(frozen=True, eq=False)
class TelescopedSample:
    """The chains of a fit, which may go on: a `chains.sampling.Sample`."""

    density: LogDensity
    options: GibbsOptions
    chains: Chains
    thin: int
    bar: tqdm[Any]

    @property
    def interrupted(self) -> bool:
        """See `chains.sampling.Sample`."""
        return self.chains.interrupted

    def posterior(self) -> Posterior:
        """See `chains.sampling.Sample`: components are filled up to the most of all draws."""
        draws, density = self.chains.drawn, self.density
        hierarchy = self.chains.telescope.hierarchy
        k = max(int(draw.state.size.max()) for draw in draws)

        def padded(filled: Bool[Tensor, "s b"]) -> Bool[Tensor, "s k"]:
            return torch.nn.functional.pad(filled[:, :k], (0, max(0, k - filled.shape[1])))

        states = joined(density.model.family, [draw.state for draw in draws], k)
        values = sites_of(hierarchy, density, states)
        log_likelihood = torch.stack([draw.log_likelihood for draw in draws], 1)

        def by_chain(value: Tensor) -> Tensor:
            return value.unflatten(0, (len(draws), -1)).transpose(0, 1).contiguous()

        posterior = Posterior(
            {name: by_chain(value) for name, value in values.items()},
            density.model.family,
            density.observations,
            statistics={"log_likelihood": log_likelihood},
            **_allocations(draws),
            **of_others(density),
        )
        if not density.model.counts_filled:
            return posterior
        lp = log_likelihood + by_chain(density.log_prior(values))
        filled = by_chain(torch.cat([padded(draw.filled) for draw in draws]))
        return with_filled_first(posterior, lp, filled)

    def doubled(self) -> TelescopedSample:
        """See `chains.sampling.Sample`."""
        n_draws, thin = len(self.chains.drawn), 2 * self.thin
        half = [
            replace(draw, labels=draw.labels if self.options.allocates(i) else None)
            for i, draw in enumerate(self.chains.drawn[::2])
        ]
        chains = replace(self.chains, drawn=half)
        chains.lengthen(self.options, self.bar, thin, to_next(n_draws, self.thin))
        return replace(self, chains=chains, thin=thin)


def _allocations(draws: Sequence[Drawn]) -> dict[str, Any]:
    """Components of the points, and which draws they are of, as far as these keep them."""
    labels = {i: draw.labels for i, draw in enumerate(draws) if draw.labels is not None}
    if not labels:
        return {}
    return {"allocations": torch.stack([*labels.values()], 1), "kept": torch.tensor([*labels])}


def with_filled_first(
    posterior: Posterior, lp: Float[Tensor, "chain draw"], filled: Bool[Tensor, "chain draw k"]
) -> Posterior:
    """The draws with their log densities, and the components that have points first.

    On a stick they have been elsewhere, where the prior knows them: `permutation` says where.
    """
    order = (~filled).to(torch.uint8).argsort(dim=-1, stable=True)
    ordered = permuted(posterior, order)
    return replace(
        ordered,
        draws={**ordered.draws, FILLED: filled.sum(-1)},
        statistics={**posterior.statistics, "lp": lp},
        axes={**posterior.axes, FILLED: None},
    )


def sites_of(hierarchy: Hierarchy, density: LogDensity, state: State) -> dict[str, Tensor]:
    """Values of the model's sites."""
    p = state.parameters
    covariance = density.model.prior.covariance_sites(density.model.family, p.factor)
    found = {"weights": p.log_weights.exp(), "means": p.means, **covariance}
    if p.log_odds is not None:
        found["noise_weight"] = p.log_odds.sigmoid()
    if density.model.unknown is not None:
        found[SIZE] = state.size
    if hierarchy.concentration.is_random:
        found[CONCENTRATION] = state.concentration
    if state.scale is not None:
        found[SCALE] = state.scale[:, 0]
    return found
