"""The no-U-turn sampler, for any prior: Hoffman & Gelman (2014).

The collapsed engine runs all chains as one batch over the log density, in coordinates in which the
posterior is round: those of the curvature at the mode to begin with, and of the draws themselves
later on. The enumerated engine is Pyro's own sampler over the Pyro program, chain after chain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from ..checks import check_choice
from ..model import LogDensity
from ..posterior import Posterior
from ..posterior.convergence import Convergence
from ..seeds import Stream
from .curvature import curvature, inverse
from .enumerated import ENGINES, Engine
from .exchange import Exchange
from .optimise import away_from_edges, mode_from, without_draws
from .pyro_nuts import run_pyro_nuts
from .sampling import SamplingOptions, drawn, figures, log_likelihoods, to_next
from .solutions import REACH, distinct_solutions, within_reach
from .spikes import narrowness
from .task import Outcome, Run, Status, Task, progress_bar
from .trajectory import LogDensityAndGradient, NoUTurn, Point, Transition

MODE_TOLERANCE = 1e-6  # nats a point
FIRST_EXCHANGES = 20  # that chains start with
MODES = 6  # that are looked for: each takes a climb
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
    max_doublings: int = 1
    engine: Engine = "collapsed"
    target_accept: float = 0.8
    max_tree_depth: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("engine", self.engine, ENGINES)
        self._count(max_tree_depth=1)
        self._measure("target_accept", high=1.0, positive=True)


def fit_nuts(task: Task) -> Outcome:
    """Draws from the posterior, numbered alike, and the mixture at their mean."""
    density = task.model.log_density(task.observations)
    with progress_bar(task) as bar:
        climbs = _climbs(task, density, bar)
        spike, sound = _highest_spike(density, climbs)
        if spike is not None:
            unknown = Convergence(math.nan, math.nan, math.nan)
            return without_draws(density, spike, figures(unknown))
        modes = _modes(task, density, sound)
        sample = _by_pyro if task.options.engine == "enumerated" else _in_a_batch
        return drawn(density, sample(task, density, modes, bar), task.options)


@dataclass(frozen=True, eq=False)
class Modes:
    """Where the posterior has its mass, the most massive mode first.

    Attributes:
        vectors: of the modes.
        metrics: coordinates around each.
        interrupted: whether there was an interrupt on the way to them.
    """

    vectors: list[Float[Tensor, "1 m"]]
    metrics: list[Metric]
    interrupted: bool


def _climbs(task: Task, density: LogDensity, bar: tqdm[Any]) -> list[Run[Float[Tensor, "1 m"]]]:
    """Where different solutions lead."""
    solutions = distinct_solutions(task, density, MODES, with_the_highest=True)
    status, climbs = Status.STEP_LIMIT, []
    for vector in away_from_edges(task, density, solutions)[0].split(1):
        start = Run(vector, [], status)
        climbs.append(mode_from(task, density, start, bar, tolerance=MODE_TOLERANCE))
        if climbs[-1].status is Status.INTERRUPTED:
            status = Status.INTERRUPTED
    return climbs


def _highest_spike(
    density: LogDensity, climbs: list[Run[Tensor]]
) -> tuple[Run[Tensor] | None, list[Run[Tensor]]]:
    """A spike that all chains would be drawn to, if there is one, and the climbs that are on none.

    It has next to all of the mass if it is higher by more than its narrowness costs.
    """
    spikes = [climb for climb in climbs if climb.status is Status.COLLAPSED]
    sound = [climb for climb in climbs if climb.status is not Status.COLLAPSED]
    highest = max(spikes, key=lambda climb: climb.history[-1], default=None)
    if highest is not None and sound:
        lead = highest.history[-1] - max(climb.history[-1] for climb in sound)
        parameters = density.parameters(density.constrain(highest.state))
        narrow = narrowness(density.observations, density.model.family, parameters)
        highest = highest if lead > narrow + REACH else None
    return highest, sound


def _modes(task: Task, density: LogDensity, climbs: list[Run[Float[Tensor, "1 m"]]]) -> Modes:
    """The modes of some climbs, without those of next to no mass.

    The mass is that of a Gaussian with the curvature at the mode.
    """
    metrics = [Metric.at_mode(density, climb.state, task.options.seed) for climb in climbs]
    masses = [
        climb.history[-1] + float(metric.basis.diagonal().log().sum())
        for climb, metric in zip(climbs, metrics, strict=True)
    ]
    kept = within_reach(torch.tensor(masses).nan_to_num(nan=-math.inf))
    interrupted = climbs[-1].status is Status.INTERRUPTED
    return Modes([climbs[i].state for i in kept], [metrics[i] for i in kept], interrupted)


def _by_pyro(
    task: Task, density: LogDensity, modes: Modes, bar: tqdm[Any]
) -> PosteriorSample | NUTSSample:
    """Draws by Pyro's sampler, which does not go on; an interrupt before it has one draw ready."""
    if modes.interrupted:
        return _in_a_batch(task, density, modes, bar)
    bar.reset(task.options.n_steps * task.options.n_chains)
    starts = density.unconstrain(Walk.begun(task, density, modes).values)
    chains = run_pyro_nuts(task, density, starts, bar)
    return PosteriorSample(density, chains.draws, chains.statistics, interrupted=chains.interrupted)


@dataclass(frozen=True, eq=False)
class PosteriorSample:
    """Draws that are what they are: a `sampling.Sample` that does not go on."""

    density: LogDensity
    draws: dict[str, Tensor]
    statistics: dict[str, Tensor]
    interrupted: bool = False

    def posterior(self) -> Posterior:
        """See `sampling.Sample`."""
        found = {**self.statistics, "log_likelihood": log_likelihoods(self.density, self.draws)}
        family, observations = self.density.model.family, self.density.observations
        return Posterior(self.draws, family, observations, statistics=found)

    def doubled(self) -> PosteriorSample:
        """See `sampling.Sample`."""
        return self


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


def _in_a_batch(task: Task, density: LogDensity, modes: Modes, bar: tqdm[Any]) -> NUTSSample:
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


def run_chains(task: Task, density: LogDensity, modes: Modes, bar: tqdm[Any]) -> NUTSChains:
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
        seen = torch.cov(positions.T, correction=min(1, s - 1)).view(m, m)  # of one draw: zero
        covariance = (s * seen + m * torch.eye(m).to(vectors)) / (s + m)
        return Metric(vectors.mean(0), self.basis @ torch.linalg.cholesky(covariance))

    def seen_by(self, density: Exchange) -> LogDensityAndGradient:
        """The log density of positions, and its gradient."""

        def function(position: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
            position = position.detach().requires_grad_()
            value = density(self.vector(position), order)
            gradient = torch.autograd.grad(value.sum(), position)[0]
            return value.detach().nan_to_num(nan=-math.inf), gradient

        return function


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
    def begun(cls, task: Task, density: LogDensity, modes: Modes) -> Walk:
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
