"""The modes that chains of the no-U-turn sampler set out from, and coordinates around each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ...model.log_density import LogDensity
from ..climb.curvature import curvature, inverse
from ..climb.optimise import away_from_edges, mode_from
from ..climb.spikes import narrowness
from ..modes.found import REACH
from ..starts.solutions import distinct_solutions, within_reach
from ..task import Options, Run, Status, Task
from .exchange import Exchange
from .trajectory import LogDensityAndGradient

MODE_TOLERANCE = 1e-6  # nats a point
MODES = 6  # that are looked for: each takes a climb


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

    def draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "s m"]:
        """Draws from the Gaussians at the modes, which take turns."""
        like = self.vectors[0]
        shape = count, like.shape[1]
        noise = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        turns = [self.metrics[i % len(self.metrics)] for i in range(count)]
        return torch.stack([metric.vector(z) for metric, z in zip(turns, noise, strict=True)])


def climbs_of(
    task: Task[Options], density: LogDensity, bar: tqdm[Any]
) -> list[Run[Float[Tensor, "1 m"]]]:
    """Where different solutions lead."""
    solutions = distinct_solutions(task, density, MODES, with_the_highest=True)
    status, climbs = Status.STEP_LIMIT, []
    for vector in away_from_edges(task, density, solutions)[0].split(1):
        start = Run(vector, [], status)
        climbs.append(mode_from(task, density, start, bar, tolerance=MODE_TOLERANCE))
        if climbs[-1].status is Status.INTERRUPTED:
            status = Status.INTERRUPTED
    return climbs


def highest_spike(
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


def modes_of(
    task: Task[Options], density: LogDensity, climbs: list[Run[Float[Tensor, "1 m"]]]
) -> Modes:
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
