"""Stochastic ascent with averaged iterates: Adam in blocks, with a rate that halves.

A block of steps ends in the average of its iterates (Polyak & Juditsky 1992), which is judged by
the objective on the whole data and fixed random numbers; a block that brings less than the
tolerance halves the rate. torch.optim is not used: its first step imports a compiler, which takes
longer than a whole fit.

Source of the update: Kingma & Ba (2015), algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ...data.points import Observations
from ..task import Run, iterate

BLOCK = 25  # steps whose iterates are averaged
HALVINGS = 4  # halvings of the rate after which there is nothing left to gain
DECAY = (0.9, 0.99)  # of the moments; the second adapts within a few blocks
EPSILON = 1e-12


@dataclass(frozen=True, eq=False)
class Ascent:
    """Where an ascent is.

    Attributes:
        vector: the best average so far.
        objective: its value in nats.
        rate: step size of the next block.
        moments: Adam's running first and second moments of the gradient.
        count: steps taken.
        lost: blocks that ended where the objective is no number, which have halved the rate, too.
        randomness: state of the generator before the next block, if there is one.
    """

    vector: Float[Tensor, "m"]
    objective: float
    rate: float
    moments: tuple[Tensor, Tensor]
    count: int
    lost: int = 0
    randomness: Tensor | None = None


def ascend(
    gradient: Callable[[Float[Tensor, "m"]], Float[Tensor, "m"]],
    objective: Callable[[Float[Tensor, "m"]], float],
    start: Float[Tensor, "m"],
    *,
    rate: float,
    tolerance: float,
    max_steps: int,
    bar: tqdm[Any],
    leads_nowhere: Callable[[Float[Tensor, "m"]], bool] = lambda _: False,
    generator: torch.Generator | None = None,
) -> Run[Ascent]:
    """Climb from a starting vector until `HALVINGS` blocks have brought too little.

    Blocks that lead to where the objective is no number halve the rate as well, but say nothing of
    what is left to gain.

    Args:
        gradient: an unbiased estimate of the objective's gradient.
        objective: the value that decides between vectors, in nats.
        start: where to begin.
        rate: first step size, in units of the vector.
        tolerance: gain of a block, in nats, below which the rate is halved.
        max_steps: most steps.
        bar: counts the steps.
        leads_nowhere: asked after every block whether to give up.
        generator: that estimates of the gradient draw from.
    """
    zero = torch.zeros_like(start)
    last: list[Ascent] = []

    def randomness() -> Tensor | None:
        return None if generator is None else generator.get_state()

    def block(state: Ascent) -> Ascent:
        if generator is not None and state.randomness is not None:
            generator.set_state(state.randomness)
        following = _block(gradient, objective, state, tolerance)
        last[:] = [replace(following, randomness=randomness())]
        return last[0]

    return iterate(
        block,
        Ascent(start, objective(start), rate, (zero, zero), 0, randomness=randomness()),
        lambda state: state.objective,
        converged=lambda _: last[0].rate <= rate / 2 ** (HALVINGS + last[0].lost),
        max_steps=max_steps,
        bar=bar,
        stride=BLOCK,
        leads_nowhere=lambda state: leads_nowhere(state.vector),
    )


def batch_size(observations: Observations, wanted: int | None) -> int | None:
    """Points in a minibatch; None where a step has them all."""
    return None if wanted is None or wanted >= observations.n else wanted


def batch(
    observations: Observations, wanted: int | None, generator: torch.Generator
) -> Observations:
    """The data, or so many random points of them."""
    size = batch_size(observations, wanted)
    return observations if size is None else observations.drawn(size, generator)


def _block(
    gradient: Callable[[Tensor], Tensor],
    objective: Callable[[Tensor], float],
    state: Ascent,
    tolerance: float,
) -> Ascent:
    """One block of steps, kept only if its end or its average is better."""
    vector, moments, total = state.vector, state.moments, torch.zeros_like(state.vector)
    for i in range(1, BLOCK + 1):
        step, moments = _adam(gradient(vector), moments, state.count + i)
        vector = vector + state.rate * step
        total += vector
    ends = [(objective(v), v) for v in (total / BLOCK, vector)]
    value, best = max(ends, key=lambda end: end[0] if math.isfinite(end[0]) else -math.inf)
    is_lost = not math.isfinite(value)
    rate = state.rate if not is_lost and value > state.objective + tolerance else state.rate / 2
    if is_lost or not value > state.objective:
        value, best = state.objective, state.vector
    count = state.count + BLOCK
    if not all(bool(moment.isfinite().all()) for moment in moments):  # they would be so for ever
        moments, count = state.moments, state.count
    return Ascent(best, value, rate, moments, count, state.lost + is_lost)


def _adam(
    gradient: Tensor, moments: tuple[Tensor, Tensor], count: int
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The direction of one step, and the moments after it."""
    first = torch.lerp(gradient, moments[0], DECAY[0])
    second = torch.lerp(gradient.square(), moments[1], DECAY[1])
    unbiased = first / (1 - DECAY[0] ** count)
    return unbiased / ((second / (1 - DECAY[1] ** count)).sqrt() + EPSILON), (first, second)
