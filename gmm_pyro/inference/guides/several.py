"""Guides about several modes, and their mixture that maximises the ELBO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...model.log_density import LogDensity
from ...running.seeds import Stream
from ..modes.mixed import Mixed
from ..starts.solutions import within_reach
from ..task import Options, Run, Task
from .bound import elbo, enough_draws, matched_noise, normal_noise
from .gaussian import Guide

SAME = 1.0  # nats of Kullback-Leibler divergence, within which two guides are one


@dataclass(frozen=True, eq=False)
class Fitted:
    """A guide at the end of its ascent: a `mixed.Part`.

    Attributes:
        guide: the guide.
        run: its parameters, and how they were reached.
    """

    guide: Guide
    run: Run[Tensor]

    @property
    def centre(self) -> Float[Tensor, "m"]:
        """Mean of the guide."""
        return self.guide.location(self.run.state)

    def draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "s m"]:
        """See `mixed.Part`."""
        return self.guide.draws(self.run.state, normal_noise(generator, self.guide, count))

    def log_density(self, vectors: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        """See `mixed.Part`."""
        found: Tensor = self.guide.distribution(self.run.state).log_prob(vectors)
        return found


@dataclass(frozen=True, eq=False)
class Judged:
    """A guide, draws from it that its ascent has not seen, and its ELBO by these."""

    fitted: Fitted
    vectors: Float[Tensor, "s m"]
    bound: float


def judged_by(task: Task[Options], density: LogDensity, one: Fitted) -> Judged:
    """The guide, judged by draws of the task's seed."""
    guide, vector = one.guide, one.run.state
    noise = matched_noise(task.generator(Stream.LAST_JUDGES), guide, enough_draws(guide))
    bound = float(elbo(density, guide, vector, noise))
    return Judged(one, guide.draws(vector, noise), bound)


def apart(judged: Sequence[Judged]) -> list[int]:
    """Guides that are not too far below the best, and in no better one's place, best first."""
    kept: list[int] = []
    for i in within_reach(torch.tensor([one.bound for one in judged], dtype=torch.float64)):
        one, at = judged[i].fitted, judged[i].vectors
        away = [one.log_density(at) - judged[j].fitted.log_density(at) for j in kept]
        if all(float(difference.mean()) > SAME for difference in away):
            kept.append(i)
    return kept


def mixed_guides(judged: Sequence[Judged]) -> tuple[Mixed, float]:
    """The mixture of some guides, and its ELBO in nats.

    The weights, in proportion to exp(ELBO) of each, maximise it if guides do not overlap. With
    weights a it is Σ_m a_m (ELBO_m + E_m[log q_m - log q]), which is no more than log Σ_m
    exp(ELBO_m).
    """
    bounds = torch.tensor([one.bound for one in judged], dtype=torch.float64)
    mixed = Mixed([one.fitted for one in judged], bounds.softmax(0).tolist())
    total = 0.0
    for weight, one in zip(mixed.weights, judged, strict=True):
        apart = one.fitted.log_density(one.vectors) - mixed.log_density(one.vectors)
        total += weight * (one.bound + float(apart.mean()))
    return mixed, total
