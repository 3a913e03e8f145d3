"""Steps of Pyro's SVI in blocks, until the objective settles."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..climb.adam import batch_size
from ..task import Options, Run, Task, iterate
from .program import Program, told_of

State = dict[str, Tensor]  # all of a guide's parameters

BLOCK = 25  # steps whose mean loss is one entry of the history
WINDOW = 3  # blocks on either side of the comparison that ends a noisy climb
RATE = 0.02  # first step size of Adam
SLOWEST = 0.01  # share of the first rate that is left at the step limit


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How Pyro's SVI steps.

    Attributes:
        noisy: whether the loss is noisy.
        rate: first step size of Adam.
        n_particles: fresh draws a step.
        batch_size: points in a minibatch, or None for all.
    """

    noisy: bool
    rate: float = RATE
    n_particles: int = 1
    batch_size: int | None = None


def train(
    task: Task[Options],
    program: Program,
    guide: Callable[..., Any],
    steps: Steps,
    start: Run[Any],
    bar: tqdm[Any],
) -> Run[Any]:
    """Steps of Pyro's SVI in blocks, with a rate that falls geometrically.

    A noisy climb ends at the mean of its last iterates (Polyak & Juditsky 1992).

    Args:
        task: the task.
        program: the program.
        guide: its guide.
        steps: how it steps.
        start: what has led here, whose steps count.
        bar: counts the steps.
    """
    from pyro.infer import SVI
    from pyro.optim import ClippedAdam

    x, noisy = task.observations.measurements, steps.noisy
    size = batch_size(task.observations, steps.batch_size)
    arguments = told_of(task) | ({} if size is None else {"subsample_size": size})
    max_steps, tolerance = task.options.max_steps, task.options.tolerance
    rate = {"lr": steps.rate, "lrd": SLOWEST ** (1 / max_steps), "clip_norm": 1e6}
    loss = loss_by(program, steps.n_particles)
    svi = SVI(program.run, guide, ClippedAdam(rate), loss)
    stride = min(BLOCK, max_steps)
    blocks = [-torch.tensor([loss.loss(program.run, guide, x, **arguments)], dtype=torch.float64)]
    iterates: deque[State] = deque(maxlen=WINDOW * stride if noisy else 1)

    def block(_before: State) -> State:  # which is in the parameter store
        losses = []
        for _ in range(stride):
            losses.append(svi.step(x, **arguments))
            iterates.append(_snapshot())
        blocks.append(-torch.tensor(losses, dtype=torch.float64))
        return {name: torch.stack([s[name] for s in iterates]).mean(0) for name in iterates[-1]}

    def objective(state: State) -> float:
        sound = all(value.isfinite().all() for value in state.values())
        return float(blocks[-1].mean() if noisy else blocks[-1][-1]) if sound else math.nan

    run = iterate(
        block,
        _snapshot(),
        objective,
        converged=lambda _: _settled(blocks, tolerance * task.observations.total_weight, noisy),
        max_steps=start.allows(max_steps),
        bar=bar,
        stride=stride,
    )
    _restore(run.state)
    return run


def _snapshot() -> State:
    """A copy of all parameters in Pyro's store."""
    import pyro

    return {
        name: value.detach().clone() for name, value in pyro.get_param_store().named_parameters()
    }


def _restore(state: State) -> None:
    """Put a copy of all parameters back."""
    import pyro

    with torch.no_grad():
        for name, value in pyro.get_param_store().named_parameters():
            value.copy_(state[name])


def _settled(blocks: list[Tensor], tolerance: float, noisy: bool) -> bool:  # noqa: FBT001
    """Whether the objective has stopped rising: by less than the tolerance, or than its noise.

    A noisy one is judged by the means of two windows of blocks, and must rise by less than half of
    the standard error of their difference.
    """
    if not noisy:
        enough = len(blocks) > 2  # the first is the start
        return enough and bool(abs(blocks[-1][-1] - blocks[-2][-1]) <= tolerance)
    if len(blocks) <= 2 * WINDOW:
        return False
    after, before = torch.cat(blocks[-WINDOW:]), torch.cat(blocks[-2 * WINDOW : -WINDOW])
    noise = ((before.var() + after.var()) / len(after)).sqrt()
    return bool(after.mean() - before.mean() <= max(tolerance, float(noise) / 2))


def loss_by(program: Program, particles: int = 1, *, at_once: bool = False) -> Any:
    """Minus the ELBO of a program by this many draws, with the assignment summed out."""
    from pyro.infer import TraceEnum_ELBO

    return TraceEnum_ELBO(
        max_plate_nesting=program.nesting, num_particles=particles, vectorize_particles=at_once
    )
