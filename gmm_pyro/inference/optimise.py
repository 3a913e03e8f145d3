"""The mode of a log density by SciPy's L-BFGS-B, from the best EM start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..model import LogDensity
from .em import best_run
from .task import Run, Status, Task

EM_STEPS = 50  # steps of EM that a start is given
EM_TOLERANCE = 1e-4  # nats a point
MEMORY = 20  # past gradients that L-BFGS keeps


@dataclass
class _Trace:
    """The best point so far and the objective along the way, kept for interrupts."""

    vector: Tensor
    value: float = -math.inf
    history: list[float] = field(default_factory=list)


def em_start(task: Task, density: LogDensity, bar: tqdm[Any]) -> Float[Tensor, "1 m"]:
    """The vector of the best EM start, a little away from the edge of the simplex."""
    parameters = best_run(task, bar, EM_TOLERANCE, EM_STEPS).state.theta.parameters
    values = density.values(parameters)
    k = task.model.n_components
    values["weights"] = 0.99 * values["weights"] + 0.01 / k
    return density.unconstrain(values).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def find_mode(
    density: LogDensity,
    start: Float[Tensor, "1 m"],
    *,
    jacobian: bool,
    tolerance: float,
    max_steps: int,
    bar: tqdm[Any],
) -> Run[Tensor]:
    """The vector, shape (1, m), at which a log density is highest.

    Args:
        density: the log density.
        start: where to begin.
        jacobian: whether the mode is that of the vector or of the sites.
        tolerance: change of the log density, in nats, below which a step is the last.
        max_steps: most steps.
        bar: counts the steps.
    """
    from scipy.optimize import minimize

    unit = units(density)
    trace = _Trace(start)

    def negative(u: np.ndarray) -> tuple[float, np.ndarray]:
        vector = start + torch.as_tensor(u) * unit
        vector = vector.requires_grad_()
        value = density(vector, jacobian=jacobian)[0]
        gradient = torch.autograd.grad(value, vector)[0][0]
        number = float(value.detach())
        if not math.isfinite(number):
            return math.inf, np.zeros_like(u)
        if number > trace.value:
            trace.vector, trace.value = vector.detach(), number
        return -number, -(gradient * unit).numpy()

    def record(_: np.ndarray) -> None:
        trace.history.append(trace.value)
        bar.update()

    first, _ = negative(np.zeros(start.shape[1]))
    trace.history.append(-first)
    if not math.isfinite(first):
        return Run(start, trace.history, Status.DIVERGED)
    options = {
        "maxiter": max_steps,
        "maxfun": 20 * max_steps,
        "ftol": tolerance / max(1.0, abs(first)),
        "gtol": 0.0,
        "maxcor": MEMORY,
    }
    try:
        result = minimize(
            negative,
            np.zeros(start.shape[1]),
            jac=True,
            method="L-BFGS-B",
            callback=record,
            options=options,
        )
    except KeyboardInterrupt:
        return Run(trace.vector, trace.history, Status.INTERRUPTED)
    reached_limit = result.nit >= max_steps or result.nfev >= 20 * max_steps
    status = Status.STEP_LIMIT if reached_limit else Status.CONVERGED
    return Run(trace.vector, trace.history, status)


def units(density: LogDensity) -> Float[Tensor, "m"]:
    """A natural length of each entry of the vector: the data's spread for means, else one."""
    unit = density.observations.scale.new_ones(density.dimension)
    spread = density.observations.scale
    for site in density.sites:
        if site.name == "means":
            unit[site.entries] = spread.expand(site.shape).flatten()
    return unit
