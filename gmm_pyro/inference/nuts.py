"""The no-U-turn sampler, for any prior: Hoffman & Gelman (2014).

All chains are one batch over the log density, in coordinates in which the posterior is round: those
of the curvature at the mode to begin with, and of the draws themselves later on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..model.log_density import LogDensity
from ..posterior import Posterior
from ..posterior.convergence import Convergence
from .chains.modes import Modes, climbs_of, highest_spike, modes_of
from .chains.sampling import PosteriorSample, Sample, drawn, figures, to_next
from .chains.trajectory import Transition
from .chains.walk import NUTSOptions, Walk, warm_up
from .climb.optimise import without_draws
from .task import Outcome, Task, progress_bar

By = Callable[[Task[NUTSOptions], LogDensity, Modes, "tqdm[Any]"], Sample]


def fit_nuts(task: Task[NUTSOptions]) -> Outcome:
    """Draws from the posterior, numbered alike, and the mixture at their mean."""
    return sampled_by(in_a_batch, task)


def sampled_by(sample: By, task: Task[NUTSOptions]) -> Outcome:
    """The outcome of chains that some sampler starts at the modes."""
    density = task.model.log_density(task.observations)
    with progress_bar(task) as bar:
        climbs = climbs_of(task, density, bar)
        spike, sound = highest_spike(density, climbs)
        if spike is not None:
            unknown = Convergence(math.nan, math.nan, math.nan)
            return without_draws(density, spike, figures(unknown))
        modes = modes_of(task, density, sound)
        return drawn(density, sample(task, density, modes, bar), task.options)


@dataclass(frozen=True, eq=False)
class NUTSSample:
    """The batch of chains, which may go on: a `sampling.Sample`.

    Attributes:
        density: the log density that is sampled.
        options: of the fit.
        chains: the draws.
        thin: transitions from one of them to the next.
        bar: counts the transitions.
    """

    density: LogDensity
    options: NUTSOptions
    chains: NUTSChains
    thin: int
    bar: tqdm[Any]

    @property
    def interrupted(self) -> bool:
        """See `sampling.Sample`."""
        return self.chains.interrupted

    def posterior(self) -> Posterior:
        """See `sampling.Sample`."""
        values = self.chains.values
        draws = {name: torch.stack([draw[name] for draw in values], 1) for name in values[0]}
        found = {name: torch.stack(values, 1) for name, values in self.chains.statistics.items()}
        return PosteriorSample(self.density, draws, found).posterior()

    def doubled(self) -> NUTSSample:
        """See `sampling.Sample`."""
        chains, thin = self.chains.halved(), 2 * self.thin
        lengthen(chains, self.options, self.bar, thin, to_next(self.chains.n_draws, self.thin))
        return replace(self, chains=chains, thin=thin)


def in_a_batch(
    task: Task[NUTSOptions], density: LogDensity, modes: Modes, bar: tqdm[Any]
) -> NUTSSample:
    """Draws by the batch of chains."""
    bar.reset(task.options.n_steps)
    chains = run_chains(task, density, modes, bar)
    return NUTSSample(density, task.options, chains, task.options.thin, bar)


# ---------------------------------------------------------------------- chains


@dataclass(eq=False)
class NUTSChains:
    """What a batch of chains has drawn: one entry a draw that is kept.

    Attributes:
        last: where the chains are.
    """

    last: Walk
    values: list[dict[str, Tensor]] = field(default_factory=list)
    statistics: dict[str, list[Float[Tensor, "c"]]] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def n_draws(self) -> int:
        """Number of draws so far."""
        return len(self.values)

    def advance(self) -> Transition:
        """A transition of all chains, which is not kept."""
        self.last, transition = self.last.advanced()
        return transition

    def add(self, transition: Transition) -> None:
        """Keep where the chains are, and what it took to get there."""
        self.values.append(self.last.values)
        found = {
            "energy": transition.energy,
            "acceptance_rate": transition.acceptance,
            "tree_depth": transition.depth,
            "n_steps": transition.steps,
            "diverging": transition.diverging,
            "step_size": torch.full_like(transition.energy, self.last.sampler.step),
        }
        for name, value in found.items():
            self.statistics.setdefault(name, []).append(value)

    def halved(self) -> NUTSChains:
        """The same with every second draw only."""
        statistics = {name: values[::2] for name, values in self.statistics.items()}
        return NUTSChains(self.last, self.values[::2], statistics)


def run_chains(
    task: Task[NUTSOptions], density: LogDensity, modes: Modes, bar: tqdm[Any]
) -> NUTSChains:
    """Transitions of all chains; an interrupt, now or on the way here, ends them."""
    options = task.options
    start = Walk.begun(task, density, modes)
    chains = NUTSChains(start, interrupted=modes.interrupted)
    n_warmup = 0 if modes.interrupted else options.n_warmup
    try:
        for walk in warm_up(start, n_warmup, options.target_accept):
            chains.last = walk
            bar.update()
    except KeyboardInterrupt:
        chains.interrupted = True
    lengthen(chains, options, bar, options.thin, 0)
    return chains


def lengthen(
    chains: NUTSChains, options: NUTSOptions, bar: tqdm[Any], thin: int, to_first: int
) -> None:
    """Go on until there are as many draws as wanted; an interrupt ends it with what there is.

    Args:
        chains: where draws are added.
        options: how many there are to be.
        bar: counts the transitions.
        thin: transitions from one draw to the next.
        to_first: transitions before that of the first one.
    """
    try:
        while chains.n_draws < options.n_draws and not chains.interrupted:
            for _ in range(to_first):
                chains.advance()
                bar.update()
            chains.add(chains.advance())
            bar.update()
            to_first = thin - 1
    except KeyboardInterrupt:
        chains.interrupted = True
    if not chains.values:
        chains.add(chains.advance())
