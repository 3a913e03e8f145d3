"""Chains of Gibbs sampling: their options, what takes them on, and what they have drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from ...covariance import Parameters, Statistics
from ...keeping.loops import resumed
from ...model.program import MixtureModel
from ...reduction.assignments import softmax
from .jumps import SweptJumps
from .sampling import SamplingOptions
from .sweep import Sampler

CHAINS, MANY_CHAINS = 4, 16  # the latter mix slowly, and take hardly longer than one chain does
DRAWS, FEWER_DRAWS = 1000, 500  # of each of so many chains


@dataclass(frozen=True, kw_only=True)
class GibbsOptions(SamplingOptions):
    """Options of Gibbs sampling.

    Attributes:
        n_chains: number of chains, which are one batch; if None, 4, and 16 where the number of
            components, their concentration or scale is unknown.
        n_draws: draws that each chain keeps; if None, 1000, and 500 where there are 16 chains.
        n_starts: restarts of EM, where chains set out from solutions and not from a population:
            each chain starts at a solution of its own, of those that are not far below the best;
            with 1, each at a restart of its own that is not run on.
        exchange: whether components are exchanged at random.
        keep_allocations: how many draws of each chain keep the component of every point, evenly
            spaced; 0 keeps none.
    """

    n_chains: int = None  # type: ignore[assignment]  # until it is settled
    n_draws: int = None  # type: ignore[assignment]  # likewise
    n_warmup: int = 200
    exchange: bool = True
    keep_allocations: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count(keep_allocations=0)
        self._flag("exchange")

    def settled(self, model: MixtureModel) -> Self:
        """See `Options`."""
        chains, draws = (MANY_CHAINS, FEWER_DRAWS) if model.hierarchical else (CHAINS, DRAWS)
        return replace(
            self,
            n_chains=chains if self.n_chains is None else self.n_chains,
            n_draws=draws if self.n_draws is None else self.n_draws,
        )

    def allocates(self, draw: int) -> bool:
        """Whether the components of all points are kept with this draw."""
        if not self.keep_allocations:
            return False
        return draw % math.ceil(self.n_draws / self.keep_allocations) == 0


@dataclass(eq=False)
class GibbsChains:
    """What a batch of s chains has drawn: one entry a draw that is kept.

    Attributes:
        last: where the chains are, s sets.
    """

    last: Parameters
    parameters: list[Parameters] = field(default_factory=list)
    log_likelihood: list[Float[Tensor, "s"]] = field(default_factory=list)
    allocations: list[Int[Tensor, "s n"]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    interrupted: bool = False

    @property
    def n_draws(self) -> int:
        """Number of draws so far."""
        return len(self.parameters)

    def add(self, p: Parameters, log_likelihood: Float[Tensor, "s"], labels: Tensor | None) -> None:
        """Keep a draw, with the log-likelihood and the assignments that a sweep found at it."""
        if labels is not None:
            self.kept.append(self.n_draws)
            self.allocations.append(labels)
        self.parameters.append(p)
        self.log_likelihood.append(log_likelihood)

    def halved(self, options: GibbsOptions) -> GibbsChains:
        """The same with every second draw only."""
        held = dict(zip(self.kept, self.allocations, strict=True))
        kept = [i for i in range((self.n_draws + 1) // 2) if options.allocates(i) and 2 * i in held]
        return GibbsChains(
            self.last,
            self.parameters[::2],
            self.log_likelihood[::2],
            [held[2 * i] for i in kept],
            kept,
        )


@dataclass(frozen=True, eq=False)
class Step:
    """What takes chains from one state to the next: a sweep, or jumps.

    Attributes:
        sampler: what a sweep does.
        generator: source of randomness.
        bar: counts the steps.
        jumps: between modes.
    """

    sampler: Sampler
    generator: torch.Generator
    bar: tqdm[Any]
    jumps: SweptJumps | None = None

    @property
    def kept(self) -> tuple[Any, ...]:
        """What changes as chains go on, beside where they are, for a loop to keep."""
        return self.generator.get_state(), None if self.jumps is None else self.jumps.kept

    def go_on_from(self, kept: tuple[Any, ...]) -> None:
        """Go on as from where this was kept."""
        self.generator.set_state(kept[0])
        if self.jumps is not None:
            self.jumps.go_on_from(kept[1])

    def __call__(
        self, p: Parameters, labels: Int[Tensor, "s n"] | None = None
    ) -> tuple[Parameters, Statistics, Parameters]:
        """Where chains are, what a sweep finds there, and where it leads.

        Where labels are wanted a sweep follows the jumps, whose own assignments have none.
        """
        self.bar.update()
        if self.jumps is not None:
            p, statistics, following = self.jumps(p, self.generator)
            if labels is None:
                return p, statistics, following
            self.jumps.here = None
        following, statistics = self.sampler.sweep(p, self.generator, labels)
        return p, statistics, following


def run_chains(
    sampler: Sampler,
    start: Parameters,
    options: GibbsOptions,
    generator: torch.Generator,
    bar: tqdm[Any],
    n_points: int = 0,
) -> GibbsChains:
    """Sweeps of s chains from s sets of parameters, as the options say."""
    chains, step = GibbsChains(start), Step(sampler, generator, bar)
    lengthen(chains, step, options, n_points, thin=options.thin, to_first=options.n_warmup)
    return chains


def lengthen(
    chains: GibbsChains,
    step: Step,
    options: GibbsOptions,
    n_points: int,
    *,
    thin: int,
    to_first: int,
) -> None:
    """Go on until there are as many draws as wanted; an interrupt ends it with what there is.

    Args:
        chains: where draws are added.
        step: takes all of them on.
        options: how many draws there are to be, and which of them keep the points' components.
        n_points: number of points, where their components are to be kept.
        thin: steps from one draw to the next.
        to_first: steps before the first one.
    """
    loop = resumed(chains.last, step.kept, chains.n_draws, options.n_draws, thin, to_first)
    if loop.state is not None:
        chains.last, left, kept = loop.state
        step.go_on_from(kept)
        step.bar.update(to_first + thin * len(loop.items) - left)
        to_first = left
        for draw in loop.items:
            chains.add(*draw)
    try:
        while chains.n_draws < options.n_draws and not chains.interrupted:
            if to_first:
                _, _, chains.last = step(chains.last)
                to_first -= 1
                loop.keep((chains.last, to_first, step.kept))
                continue
            keeps = options.allocates(chains.n_draws)
            labels = _no_labels(chains.last, n_points) if keeps else None
            here, statistics, chains.last = step(chains.last, labels)
            draw = here, statistics.log_norm, labels
            chains.add(*draw)
            to_first = thin - 1
            loop.keep((chains.last, to_first, step.kept), draw)
    except KeyboardInterrupt:
        chains.interrupted = True
    if not chains.parameters:
        found = step.sampler.allocate(chains.last, softmax)
        chains.add(chains.last, found.log_norm, None)


def _no_labels(p: Parameters, n_points: int) -> Int[Tensor, "s n"]:
    return torch.zeros(len(p.means), n_points, dtype=torch.int64, device=p.means.device)
