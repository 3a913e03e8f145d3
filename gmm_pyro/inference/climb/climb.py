"""The maximum of a smooth function, by SciPy's L-BFGS-B."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ...keeping.loops import Loop, resumed
from ..task import Run, Status

MEMORY = 20  # past gradients that L-BFGS keeps
WALL = 4.0  # times what a step promises: how far the function falls where it is not finite
STEEP = 0.01  # nats that a step may promise where a climb has ended; more, and it goes on
LEG = 20  # steps after which the curvature is taken anew, or it is asked where they lead


def climb(
    function: Callable[[Tensor], Tensor],
    start: Float[Tensor, "*shape"],
    basis: Float[Tensor, "m m"] | Float[Tensor, "m"] | None = None,
    *,
    tolerance: float,
    max_steps: int,
    bar: tqdm[Any],
    leads_nowhere: Callable[[Tensor], bool] | None = None,
) -> Run[Tensor]:
    """The array at which a smooth function, in nats, is highest: L-BFGS-B (Byrd et al. 1995).

    Args:
        function: from an array of the start's shape to a number, differentiable.
        start: where to begin.
        basis: steps in its columns are taken to be of one size; a vector is its diagonal, and None
            the identity.
        tolerance: change of the function, in nats, below which a step is the last.
        max_steps: most steps; each may take twenty evaluations on average.
        bar: counts the steps.
        leads_nowhere: asked after every so many steps whether to give up.
    """
    beginning = value_and_gradient(function, start)  # which tells the function, too
    loop = resumed(start, *beginning, basis, tolerance, max_steps)
    path = _Climb(function, start, beginning, basis, bar, leads_nowhere, loop)
    first, _ = path(np.zeros(start.numel()))
    path.history.append(path.value)
    if max_steps == 0 or not math.isfinite(first):
        status = Status.STEP_LIMIT if math.isfinite(first) else Status.DIVERGED
        return Run(start, path.history, status)
    try:
        status = path.run(tolerance / max(1.0, abs(first)), max_steps)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return Run(path.best, path.history, status)


def value_and_gradient(
    function: Callable[[Tensor], Tensor], at: Float[Tensor, "*shape"]
) -> tuple[Tensor, Float[Tensor, "*shape"]]:
    """One or more values of a function at an array, and the gradient of their sum."""
    at = at.detach().requires_grad_()
    value = function(at)
    return value.detach(), torch.autograd.grad(value.sum(), at)[0]


@dataclass(eq=False)
class _Climb:
    """The function as SciPy wants it, and the best array so far, kept for interrupts.

    SciPy does not stop in the middle. A climb that goes on begins anew, and is told the values that
    its loop has kept: so SciPy comes to be where it was.
    """

    function: Callable[[Tensor], Tensor]
    start: Tensor
    beginning: tuple[Tensor, Tensor]  # value and gradient at the start
    basis: Tensor | None
    bar: tqdm[Any]
    leads_nowhere: Callable[[Tensor], bool] | None
    loop: Loop
    has_given_up: bool = False

    def __post_init__(self) -> None:
        self.best, self.value, self.history = self.start, -math.inf, list[float]()
        self.at = self.slope = np.zeros(self.start.numel())  # in the basis

    def __call__(self, u: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the function and its gradient, in the basis."""
        shift = self._times_basis(torch.as_tensor(u).to(self.start))
        vector = self.start + shift.view_as(self.start)
        value, gradient = self.loop.told(
            lambda: value_and_gradient(self.function, vector) if u.any() else self.beginning
        )
        gradient = self._times_basis(gradient.flatten(), transposed=True)
        number = float(value)
        if not math.isfinite(number):
            return self._wall(u)
        slope = gradient.cpu().numpy()
        if number > self.value:
            self.best, self.value, self.at, self.slope = vector, number, u.copy(), slope
        return -number, -slope

    def _wall(self, u: np.ndarray) -> tuple[float, np.ndarray]:
        """What is said of a place where the function is none, so that a tenth of the way is tried.

        An infinity would stop the search, and no slope there would be taken for a top.
        """
        if not math.isfinite(self.value):
            return math.inf, np.zeros_like(u)
        fall = WALL * max(1.0, abs(float(self.slope @ (u - self.at))))
        return fall - self.value, self.slope

    def _times_basis(self, vector: Tensor, *, transposed: bool = False) -> Tensor:
        if self.basis is None:
            return vector
        if self.basis.ndim == 1:
            return self.basis * vector
        return vector @ self.basis if transposed else self.basis @ vector

    def record(self, _: Any = None) -> None:
        """Keep the objective of a finished step."""
        self.history.append(self.value)
        self.bar.update()
        is_a_leg = (len(self.history) - 1) % LEG == 0
        if self.leads_nowhere is not None and is_a_leg and self.leads_nowhere(self.best):
            self.has_given_up = True
            raise StopIteration

    def run(self, tolerance: float, max_steps: int) -> Status:
        """Climb until a step gains less than this share; how it ended.

        A line search may fail because of rounding; only if the slope promises more is it stuck.
        """
        from scipy.optimize import minimize

        result = minimize(
            self,
            np.zeros(self.start.numel()),
            jac=True,
            method="L-BFGS-B",
            callback=self.record,
            options={
                "maxiter": max_steps,
                "maxfun": 20 * max_steps,
                "ftol": tolerance,
                "gtol": 0.0,
                "maxcor": MEMORY,
            },
        )
        if self.has_given_up:
            return Status.COLLAPSED
        if result.nit >= max_steps:
            return Status.STEP_LIMIT
        promise = 0.5 * float(self.slope @ self.slope)
        return Status.CONVERGED if result.success or promise <= STEEP else Status.STUCK
