"""The no-U-turn sampler, for any prior: Hoffman & Gelman (2014).

The collapsed engine runs all chains as one batch over the log density, in coordinates in which the
posterior is round: those of the curvature at the mode to begin with, and of the draws themselves
later on. The enumerated engine is Pyro's own sampler over the Pyro program, chain after chain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..checks import check_choice
from ..model import LogDensity
from ..posterior import Posterior
from .curvature import curvature, inverse
from .enumerated import ENGINES, Engine
from .optimise import em_start, mode_from
from .pyro_nuts import run_pyro_nuts
from .sampling import SamplingOptions, log_likelihoods, sampled
from .task import Outcome, Run, Status, Task, progress_bar
from .trajectory import NoUTurn, Point, Transition

MODE_TOLERANCE = 1e-6  # nats a point
SHRINKAGE, DELAY, FORGETTING = 0.05, 10, 0.75  # γ, t₀ and κ of dual averaging


@dataclass(frozen=True, kw_only=True)
class NUTSOptions(SamplingOptions):
    """Options of the no-U-turn sampler.

    A batch of many chains takes hardly longer than one chain, and learns their metric together: so
    there are many, and each is short.

    Attributes:
        engine: "collapsed", or "enumerated" for Pyro's NUTS over the program, whose chains run one
            after the other: 16 of them take minutes.
        target_accept: acceptance probability that the step size is adapted to.
        max_tree_depth: most doublings of a trajectory.
    """

    n_chains: int = 16
    n_draws: int = 250
    n_warmup: int = 150
    engine: Engine = "collapsed"
    target_accept: float = 0.8
    max_tree_depth: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("engine", self.engine, ENGINES)
        self._count(max_tree_depth=1)
        self._measure("target_accept", high=1.0, positive=True)


def fit_nuts(task: Task) -> Outcome:
    """Draws from the posterior, aligned, and the mixture at their mean."""
    density = task.model.log_density(task.observations)
    with progress_bar(task) as bar:
        start = em_start(task, density, bar)
        mode = mode_from(task, density, start, bar, tolerance=MODE_TOLERANCE)
        by_pyro = task.options.engine == "enumerated" and mode.status is not Status.INTERRUPTED
        sample = _sample_program if by_pyro else _sample_density
        draws, statistics, interrupted = sample(task, density, mode, bar)
    statistics["log_likelihood"] = log_likelihoods(density, draws)
    posterior = Posterior(draws, density.model.family, density.observations, statistics=statistics)
    return sampled(density, posterior, interrupted=interrupted)


def _sample_program(
    task: Task, density: LogDensity, mode: Run[Tensor], bar: tqdm[Any]
) -> tuple[dict[str, Tensor], dict[str, Tensor], bool]:
    """Draws, statistics, and whether there was an interrupt, by Pyro's sampler."""
    bar.reset(task.options.n_steps * task.options.n_chains)
    starts = Walk.at_mode(task, density, mode.state).vector
    chains = run_pyro_nuts(task, density, starts, bar)
    return chains.draws, chains.statistics, chains.interrupted


def _sample_density(
    task: Task, density: LogDensity, mode: Run[Tensor], bar: tqdm[Any]
) -> tuple[dict[str, Tensor], dict[str, Tensor], bool]:
    """Draws, statistics, and whether there was an interrupt, by the batch of chains."""
    bar.reset(task.options.n_steps)
    chains = run_chains(task, density, mode, bar)
    vectors = torch.stack(chains.vectors, 1)
    draws = density.constrain(vectors.flatten(0, 1))
    draws = {name: value.unflatten(0, vectors.shape[:2]) for name, value in draws.items()}
    statistics = {name: torch.stack(values, 1) for name, values in chains.statistics.items()}
    return draws, statistics, chains.interrupted


# ---------------------------------------------------------------------- chains


@dataclass(eq=False)
class Chains:
    """What a batch of chains has drawn: one entry a draw that is kept."""

    vectors: list[Float[Tensor, "c m"]] = field(default_factory=list)
    statistics: dict[str, list[Float[Tensor, "c"]]] = field(default_factory=dict)
    interrupted: bool = False

    def add(self, vector: Tensor, transition: Transition, step: float) -> None:
        """Keep a draw, and what it took."""
        self.vectors.append(vector)
        found = {
            "energy": transition.energy,
            "acceptance_rate": transition.acceptance,
            "tree_depth": transition.depth,
            "n_steps": transition.steps,
            "diverging": transition.diverging,
            "step_size": torch.full_like(transition.energy, step),
        }
        for name, value in found.items():
            self.statistics.setdefault(name, []).append(value)


def run_chains(task: Task, density: LogDensity, mode: Run[Tensor], bar: tqdm[Any]) -> Chains:
    """Transitions of all chains; an interrupt, now or on the way here, ends them."""
    options, chains = task.options, Chains(interrupted=mode.status is Status.INTERRUPTED)
    n_warmup, n_kept = (
        mode.allows(steps) for steps in (options.n_warmup, options.n_steps - options.n_warmup)
    )
    walk = start = Walk.at_mode(task, density, mode.state)
    try:
        for walk in warm_up(start, n_warmup, options.target_accept):  # noqa: B007
            bar.update()
        for step in range(n_kept):
            walk, transition = walk.advanced()
            if step % options.thin == 0:
                chains.add(walk.vector, transition, walk.sampler.step)
            bar.update()
    except KeyboardInterrupt:
        chains.interrupted = True
    if not chains.vectors:
        chains.add(walk.vector, walk.advanced()[1], walk.sampler.step)
    return chains


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
            walk = walk.in_metric(walk.metric.learned(torch.cat(seen)))
        walk = walk.with_step(rate.average)
    yield walk


@dataclass(frozen=True, eq=False)
class Metric:
    """Coordinates u of a vector v = centre + basis u, in which the posterior is about round."""

    centre: Float[Tensor, "m"]
    basis: Float[Tensor, "m m"]

    @classmethod
    def at_mode(cls, density: LogDensity, mode: Float[Tensor, "1 m"], seed: int) -> Metric:
        """The coordinates of the curvature at the mode."""
        shape = inverse(curvature(density, mode, seed=seed).nan_to_num())
        return cls(mode[0], torch.linalg.cholesky(shape))

    def vector(self, position: Float[Tensor, "c m"]) -> Float[Tensor, "c m"]:
        """The vectors of positions."""
        return self.centre + position @ self.basis.T

    def position(self, vector: Float[Tensor, "c m"]) -> Float[Tensor, "c m"]:
        """The positions of vectors."""
        return torch.linalg.solve_triangular(self.basis, (vector - self.centre).T, upper=False).T

    def learned(self, vectors: Float[Tensor, "s m"]) -> Metric:
        """The coordinates of draws, drawn towards the present ones where the draws are few."""
        positions = self.position(vectors)
        s, m = positions.shape
        covariance = (s * torch.cov(positions.T).view(m, m) + m * torch.eye(m).to(vectors)) / (
            s + m
        )
        return Metric(vectors.mean(0), self.basis @ torch.linalg.cholesky(covariance))

    def seen_by(self, density: LogDensity) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """The log density of positions, and its gradient."""

        def function(position: Float[Tensor, "c m"]) -> tuple[Tensor, Tensor]:
            position = position.detach().requires_grad_()
            value = density(self.vector(position))
            gradient = torch.autograd.grad(value.sum(), position)[0]
            return value.detach().nan_to_num(nan=-math.inf), gradient

        return function


@dataclass(frozen=True, eq=False)
class Walk:
    """Where the chains are, and how they go on.

    Attributes:
        density: the log density of a vector.
        metric: coordinates of the vector.
        sampler: makes transitions in these coordinates.
        point: where the chains are.
    """

    density: LogDensity
    metric: Metric
    sampler: NoUTurn
    point: Point

    @classmethod
    def at_mode(cls, task: Task, density: LogDensity, mode: Float[Tensor, "1 m"]) -> Walk:
        """Chains that start at draws from the Gaussian at the mode."""
        metric, generator = Metric.at_mode(density, mode, task.options.seed), task.generator(4)
        shape, like = (task.options.n_chains, density.dimension), metric.basis
        jitter = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        step = StepSize.started(density.dimension, task.options.target_accept).step
        depth = task.options.max_tree_depth
        sampler = NoUTurn(metric.seen_by(density), step, depth, generator)
        return cls(density, metric, sampler, sampler.at(jitter))

    @property
    def vector(self) -> Float[Tensor, "c m"]:
        """Where the chains are, as vectors."""
        return self.metric.vector(self.point.position)

    def advanced(self) -> tuple[Walk, Transition]:
        """One draw on for each chain."""
        transition = self.sampler.transition(self.point)
        return replace(self, point=transition.point), transition

    def with_step(self, step: float) -> Walk:
        """The same with another step size."""
        return replace(self, sampler=replace(self.sampler, step=step))

    def in_metric(self, metric: Metric) -> Walk:
        """The same in other coordinates."""
        sampler = replace(self.sampler, function=metric.seen_by(self.density))
        point = sampler.at(metric.position(self.vector))
        return Walk(self.density, metric, sampler, point)


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
