"""Chains of the no-U-turn sampler on their way: where they are, and how they learn their steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...keeping.loops import resumed
from ...model.log_density import LogDensity
from ...running.seeds import Stream
from ..climb.optimise import away_from_edges
from ..task import Task
from ..weighing.nearest import Nearest
from .exchange import Exchange
from .jumps import Jumps
from .modes import Metric, Modes
from .population import Population
from .sampling import SamplingOptions
from .setting_out import chosen
from .trajectory import NoUTurn, Point, Transition

LEAPFROGS = 8  # of a trajectory, often
JUMPING_DEPTH = 5  # doublings of trajectories that jumps follow, which lead further at less cost
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

    @property
    def reductions(self) -> tuple[int, int]:
        """See `Options`."""
        return LEAPFROGS * self.n_steps, self.n_chains


@dataclass(frozen=True, eq=False)
class Walk:
    """Where the chains are, and how they go on.

    Attributes:
        density: the log density of vectors, and exchanges of their components.
        metric: coordinates of the vector.
        sampler: makes transitions in these coordinates.
        point: where the chains are.
        domain: where chains stay, if they jump: so their components keep the numbers in which
            the coordinates are those of the vector, and a trajectory that ends beyond is refused.
    """

    density: Exchange
    metric: Metric
    sampler: NoUTurn
    point: Point
    domain: Nearest | None = None

    @classmethod
    def begun(
        cls,
        task: Task[NUTSOptions],
        density: LogDensity,
        modes: Modes,
        found: Population | None = None,
    ) -> Walk:
        """Chains that start in a population; else at draws from Gaussians at the modes, in turn."""
        options, generator, metric = task.options, task.generator(Stream.CHAINS), modes.metrics[0]
        step = StepSize.started(density.dimension, options.target_accept).step
        exchange = Exchange.of(density)
        jump = found is not None and options.are_to_jump(found.persistence)
        depth = min(options.max_tree_depth, JUMPING_DEPTH if jump else math.inf)
        sampler = NoUTurn(metric.seen_by(exchange), step, int(depth), generator)
        domain = Nearest.to(density, modes.vectors[0][0])
        if found is None:
            vectors = modes.draws(options.n_chains, generator)
        else:
            some = chosen(found, options.n_chains, generator)
            vectors = domain.numbered_vectors(away_from_edges(task, density, some)[0])
        point = sampler.at(metric.position(vectors), exchange.home(options.n_chains))
        walk = cls(exchange, metric, sampler, point, domain if jump else None)
        for _ in range(FIRST_EXCHANGES):
            walk = walk.exchanged()
        return walk

    @property
    def vector(self) -> Float[Tensor, "c m"]:
        """Where the chains are, as vectors."""
        return self.metric.vector(self.point.position)

    @property
    def kept(self) -> tuple[Point, Tensor]:
        """What changes as the chains go on, for a loop to keep."""
        return self.point, self.sampler.generator.get_state()

    def gone_on_from(self, kept: tuple[Point, Tensor]) -> Walk:
        """The same as it was where this was kept."""
        self.sampler.generator.set_state(kept[1])
        return replace(self, point=kept[0])

    @property
    def values(self) -> dict[str, Tensor]:
        """Site values of the chains, their components numbered as the prior knows them now."""
        return self.density.numbered(self.density.density.constrain(self.vector), self.point.order)

    def advanced(self) -> tuple[Walk, Transition]:
        """One draw on for each chain."""
        transition = self.sampler.transition(self.point)
        point = transition.point
        if self.domain is not None:
            inside = self.domain.holds(self.metric.vector(point.position))
            point = point.where(inside, self.point)
        return replace(self, point=point).exchanged(), transition

    def jumped(self, jumps: Jumps) -> Walk:
        """The same after jumps, to where the order of the components is drawn anew."""
        assert self.domain is not None
        density, generator = self.density.density, self.sampler.generator
        values = density.constrain(self.vector)
        here = jumps.places(density.parameters(values), generator)
        there, moved = jumps.jumped(here, generator)
        if not moved.any():
            return self
        vector, order = self.vector.clone(), self.point.order.clone()
        vectors = density.unconstrain(density.values(there.parameters[moved]))
        vector[moved] = self.domain.numbered_vectors(vectors)
        order[moved] = self.density.drawn(vector[moved], generator)
        return replace(self, point=self.sampler.at(self.metric.position(vector), order))

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
        loop = resumed(walk.kept, length)
        if loop.state is not None:
            kept, rate = loop.state
            walk = walk.gone_on_from(kept)
        seen = list(loop.items)
        for _ in seen:
            yield walk
        while len(seen) < length:
            walk, transition = walk.with_step(rate.step).advanced()
            rate = rate.learned(float(transition.acceptance.mean()))
            seen.append(walk.vector)
            loop.keep((walk.kept, rate), walk.vector)
            yield walk
        if renew and seen:
            walk = walk.in_metric(walk.metric.learned(about_one_mean(torch.stack(seen))))
        walk = walk.with_step(rate.average)
    yield walk


def about_one_mean(vectors: Float[Tensor, "t c m"]) -> Float[Tensor, "s m"]:
    """Vectors of chains, moved so that all chains have one mean.

    Chains in different modes would else take the way between these for the width of each.
    """
    return (vectors - vectors.mean(0) + vectors.mean((0, 1))).flatten(0, 1)
