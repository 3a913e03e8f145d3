"""Chains of the no-U-turn sampler on their way: where they are, and how they learn their steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...model.log_density import LogDensity
from ...running.seeds import Stream
from ..task import Task
from .exchange import Exchange
from .modes import Metric, Modes
from .sampling import SamplingOptions
from .trajectory import NoUTurn, Point, Transition

FIRST_EXCHANGES = 20  # that chains start with
SHRINKAGE, DELAY, FORGETTING = 0.05, 10, 0.75  # γ, t₀ and κ of dual averaging


@dataclass(frozen=True, kw_only=True)
class NUTSOptions(SamplingOptions):
    """Options of the no-U-turn sampler.

    A batch of many chains takes hardly longer than one chain, and learns their metric together: so
    there are many, and each is short.

    Attributes:
        target_accept: acceptance probability that the step size is adapted to.
        max_tree_depth: most doublings of a trajectory.
    """

    n_chains: int = 16
    n_draws: int = 250
    n_warmup: int = 150
    max_doublings: int = 1
    target_accept: float = 0.8
    max_tree_depth: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count(max_tree_depth=1)
        self._measure("target_accept", high=1.0, positive=True)


@dataclass(frozen=True, eq=False)
class Walk:
    """Where the chains are, and how they go on.

    Attributes:
        density: the log density of vectors, and exchanges of their components.
        metric: coordinates of the vector.
        sampler: makes transitions in these coordinates.
        point: where the chains are.
        home: which of the modes each chain started at.
    """

    density: Exchange
    metric: Metric
    sampler: NoUTurn
    point: Point
    home: Int[Tensor, "c"]

    @classmethod
    def begun(cls, task: Task[NUTSOptions], density: LogDensity, modes: Modes) -> Walk:
        """Chains that start at draws from Gaussians at the modes, which they take in turn."""
        options, generator, metric = task.options, task.generator(Stream.CHAINS), modes.metrics[0]
        shape, like = (options.n_chains, density.dimension), metric.basis
        jitter = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        home = torch.arange(options.n_chains) % len(modes.metrics)
        starts = [modes.metrics[i].vector(z) for i, z in zip(home.tolist(), jitter, strict=True)]
        step = StepSize.started(density.dimension, options.target_accept).step
        exchange = Exchange.of(density)
        sampler = NoUTurn(metric.seen_by(exchange), step, options.max_tree_depth, generator)
        position = metric.position(torch.stack(starts))
        point = sampler.at(position, exchange.home(options.n_chains))
        walk = cls(exchange, metric, sampler, point, home)
        for _ in range(FIRST_EXCHANGES):
            walk = walk.exchanged()
        return walk

    @property
    def vector(self) -> Float[Tensor, "c m"]:
        """Where the chains are, as vectors."""
        return self.metric.vector(self.point.position)

    @property
    def values(self) -> dict[str, Tensor]:
        """Site values of the chains, their components numbered as the prior knows them now."""
        return self.density.numbered(self.density.density.constrain(self.vector), self.point.order)

    def advanced(self) -> tuple[Walk, Transition]:
        """One draw on for each chain."""
        transition = self.sampler.transition(self.point)
        return replace(self, point=transition.point).exchanged(), transition

    def exchanged(self) -> Walk:
        """The same after an exchange of components."""
        order = self.density.moved(self.vector, self.point.order, self.sampler.generator)
        if order.equal(self.point.order):
            return self
        return replace(self, point=self.sampler.at(self.point.position, order))

    def with_step(self, step: float) -> Walk:
        """The same with another step size."""
        return replace(self, sampler=replace(self.sampler, step=step))

    def in_metric(self, metric: Metric) -> Walk:
        """The same in other coordinates."""
        sampler = replace(self.sampler, function=metric.seen_by(self.density))
        point = sampler.at(metric.position(self.vector), self.point.order)
        return replace(self, metric=metric, sampler=sampler, point=point)

    def about_homes(self, vectors: Float[Tensor, "t c m"]) -> Float[Tensor, "s m"]:
        """Vectors moved so that those of all homes have one mean: that of the first.

        Chains in different modes would else take the way between these for the width of each.
        """
        moved = vectors.clone()
        first = vectors[:, self.home == 0].flatten(0, 1).mean(0)
        for mode in self.home.unique():
            there = self.home == mode
            moved[:, there] += first - vectors[:, there].flatten(0, 1).mean(0)
        return moved.flatten(0, 1)


@dataclass(frozen=True)
class StepSize:
    """Dual averaging of the logarithm of a step size (Hoffman & Gelman 2014, §3.2).

    Attributes:
        target: acceptance probability that is aimed at.
        first: logarithm of the first step size.
        count: transitions so far.
        error: weighted mean of what acceptance was short of the target.
        now: logarithm of the step size to take.
        mean: weighted mean of `now`.
    """

    target: float
    first: float
    count: int = 0
    error: float = 0.0
    now: float = 0.0
    mean: float = 0.0

    @classmethod
    def started(cls, dimension: int, target: float) -> StepSize:
        """For a round density in as many dimensions."""
        first = math.log(dimension**-0.25)
        return cls(target, first, now=first, mean=first)

    @property
    def step(self) -> float:
        """Step size to take."""
        return math.exp(self.now)

    @property
    def average(self) -> float:
        """Step size to keep."""
        return math.exp(self.mean)

    def learned(self, acceptance: float) -> StepSize:
        """After a transition with this acceptance probability."""
        count = self.count + 1
        share = 1 / (count + DELAY)
        error = (1 - share) * self.error + share * (self.target - acceptance)
        now = self.first + math.log(2) - math.sqrt(count) / SHRINKAGE * error
        weight = count**-FORGETTING
        mean = weight * now + (1 - weight) * self.mean
        return replace(self, count=count, error=error, now=now, mean=mean)


def warm_up(walk: Walk, steps: int, target: float) -> Iterator[Walk]:
    """Every transition of a warm-up, which adapts the step size all the time and the metric twice.

    Coordinates are taken from the draws of the first and second quarter: all chains' together.
    """
    for length, renew in (
        (steps // 4, True),
        (steps // 4, True),
        (steps - 2 * (steps // 4), False),
    ):
        rate = StepSize.started(walk.vector.shape[1], target)
        seen = []
        for _ in range(length):
            walk, transition = walk.with_step(rate.step).advanced()
            rate = rate.learned(float(transition.acceptance.mean()))
            seen.append(walk.vector)
            yield walk
        if renew and seen:
            walk = walk.in_metric(walk.metric.learned(walk.about_homes(torch.stack(seen))))
        walk = walk.with_step(rate.average)
    yield walk
