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

from ..keeping.loops import resumed
from ..model.log_density import LogDensity
from ..posterior import Posterior
from ..posterior.convergence import Convergence
from ..running.seeds import Stream
from .chains.jumps import Jumps, tries_for
from .chains.modes import Modes, climbs_of, highest_spike, modes_of
from .chains.population import Population
from .chains.sampling import PosteriorSample, Sample, drawn, figures, to_next
from .chains.setting_out import concluded, population_of
from .chains.trajectory import Transition
from .chains.walk import NUTSOptions, Walk, warm_up
from .climb.optimise import outcome_at
from .task import Outcome, Task, progress_bar

By = Callable[[Task[NUTSOptions], LogDensity, "Outset", "tqdm[Any]"], Sample]


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
            return outcome_at(density, spike, diagnostics=figures(unknown))
        outset = Outset.of(task, density, modes_of(task, density, sound))
        outcome = drawn(density, sample(task, density, outset, bar), task.options)
        generator = task.generator(Stream.EVIDENCE)
        return concluded(density, outcome, outset.population, outset.jumps, generator)


@dataclass(frozen=True, eq=False)
class Outset:
    """What chains set out with.

    Attributes:
        walk: where they are.
        population: what has been found of the posterior, if anything.
        jumps: of the chains, if they need some.
        interrupted: whether there was an interrupt on the way.
    """

    walk: Walk
    population: Population | None
    jumps: Jumps | None
    interrupted: bool

    @classmethod
    def of(cls, task: Task[NUTSOptions], density: LogDensity, modes: Modes) -> Outset:
        """Chains in a population, where there can be one, or at modes.

        Where labels or what is held name the components there is none: coordinates are those of
        home, where components have other numbers than jumps lead to.
        """
        found, interrupted = None, modes.interrupted
        named = task.observations.allowed is not None or task.model.fixed is not None
        try:
            if not interrupted and not named:
                found = population_of(task, density, task.generator(Stream.POPULATION))
        except KeyboardInterrupt:
            interrupted = True
        walk = Walk.begun(task, density, modes, found)
        jumps = None
        if found is not None and walk.domain is not None:
            jumps = Jumps(found.proposal, tries_for(found.acceptance))
        return cls(walk, found, jumps, interrupted)


@dataclass(eq=False)
class NUTSSample:
    """What a batch of chains has drawn, which may go on: a `sampling.Sample`.

    Attributes:
        density: the log density that is sampled.
        options: of the fit.
        bar: counts the transitions.
        last: where the chains are.
        thin: transitions from one draw to the next.
        jumps: that follow transitions, if chains need some.
        values: of the sites, one entry a draw that is kept.
        statistics: name -> one entry a draw.
        interrupted: whether there was an interrupt.
    """

    density: LogDensity
    options: NUTSOptions
    bar: tqdm[Any]
    last: Walk
    thin: int
    jumps: Jumps | None = None
    values: list[dict[str, Tensor]] = field(default_factory=list)
    statistics: dict[str, list[Float[Tensor, "c"]]] = field(default_factory=dict)
    interrupted: bool = False

    def posterior(self) -> Posterior:
        """See `sampling.Sample`."""
        draws = {name: torch.stack([at[name] for at in self.values], 1) for name in self.values[0]}
        found = {name: torch.stack(values, 1) for name, values in self.statistics.items()}
        return PosteriorSample(self.density, draws, found).posterior()

    def doubled(self) -> NUTSSample:
        """See `sampling.Sample`."""
        statistics = {name: values[::2] for name, values in self.statistics.items()}
        longer = replace(self, thin=2 * self.thin, values=self.values[::2], statistics=statistics)
        longer.lengthen(to_next(len(self.values), self.thin))
        return longer

    def lengthen(self, to_first: int) -> None:
        """Go on until there are as many draws as wanted; an interrupt ends it with what there is.

        Args:
            to_first: transitions before that of the first draw.
        """
        loop = resumed(self._kept, len(self.values), self.thin, to_first)
        if loop.state is not None:
            left = self._go_on_from(*loop.state)
            self.bar.update(to_first + self.thin * len(loop.items) - left)
            to_first = left
            for draw in loop.items:
                self._add(*draw)
        try:
            while len(self.values) < self.options.n_draws and not self.interrupted:
                transition = self._advance()
                self.bar.update()
                if to_first:
                    to_first -= 1
                    loop.keep((self._kept, to_first))
                    continue
                draw = self._draw(transition)
                self._add(*draw)
                to_first = self.thin - 1
                loop.keep((self._kept, to_first), draw)
        except KeyboardInterrupt:
            self.interrupted = True
        if not self.values:
            self._add(*self._draw(self._advance()))

    @property
    def _kept(self) -> tuple[Any, ...]:
        """What changes as the chains go on, for a loop to keep."""
        return self.last.kept, None if self.jumps is None else self.jumps.kept

    def _go_on_from(self, kept: tuple[Any, ...], to_first: int) -> int:
        """Go on as from where this was kept; transitions before that of the next draw."""
        self.last = self.last.gone_on_from(kept[0])
        if self.jumps is not None:
            self.jumps.go_on_from(kept[1])
        return to_first

    def _advance(self) -> Transition:
        """A transition of all chains, and jumps, which are not kept."""
        self.last, transition = self.last.advanced()
        if self.jumps is not None:
            self.last = self.last.jumped(self.jumps)
        return transition

    def _draw(self, transition: Transition) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Where the chains are, and what it took to get there."""
        found = {
            "energy": transition.energy,
            "acceptance_rate": transition.acceptance,
            "tree_depth": transition.depth,
            "n_steps": transition.steps,
            "diverging": transition.diverging,
            "step_size": torch.full_like(transition.energy, self.last.sampler.step),
        }
        return self.last.values, found

    def _add(self, values: dict[str, Tensor], statistics: dict[str, Tensor]) -> None:
        """Keep a draw."""
        self.values.append(values)
        for name, value in statistics.items():
            self.statistics.setdefault(name, []).append(value)


def in_a_batch(
    task: Task[NUTSOptions], density: LogDensity, outset: Outset, bar: tqdm[Any]
) -> NUTSSample:
    """Draws by the batch of chains; an interrupt, now or on the way here, ends them."""
    options = task.options
    bar.reset(options.n_steps)
    sample = NUTSSample(
        *(density, options, bar, outset.walk, options.thin, outset.jumps),
        interrupted=outset.interrupted,
    )
    n_warmup = 0 if outset.interrupted else options.n_warmup
    try:
        for walk in warm_up(outset.walk, n_warmup, options.target_accept):
            sample.last = walk
            bar.update()
    except KeyboardInterrupt:
        sample.interrupted = True
    sample.lengthen(0)
    return sample
