"""The mode of a log density, or of any smooth function, by SciPy's L-BFGS-B."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..covariance import Parameters
from ..model import LogDensity
from ..numbering import best_numbering, permuted_values
from ..start import is_given
from .curvature import LARGEST, curvature, inverse, units
from .em import best_run
from .task import Run, Status, Task

EM_STEPS = 300  # steps of EM that a start is given: each takes a sixth of a gradient's time
EM_TOLERANCE = 1e-6  # nats a point
WIDENINGS = (1e-4, 1e-3, 1e-2, 1e-1)  # least shares of the data's variance that starts may have
STEEP = 0.01  # nats that a step may promise where a climb has ended; more, and it goes on
LEG = 20  # steps after which the curvature is taken anew
MEMORY = 20  # past gradients that L-BFGS keeps
MOST_NUMBERINGS = 5  # climbs that go on from another numbering of where the last has ended


def em_start(task: Task, density: LogDensity, bar: tqdm[Any]) -> Run[Float[Tensor, "1 m"]]:
    """The vector of the best EM start, a little away from the edges of the density."""
    run = best_run(task, bar, EM_TOLERANCE, EM_STEPS)
    vector, _ = away_from_edges(task, density, run.state.theta.parameters)
    return Run(vector, run.history, run.status)


@torch.no_grad()
def away_from_edges(
    task: Task, density: LogDensity, parameters: Parameters
) -> tuple[Float[Tensor, "s m"], Float[Tensor, "s"]]:
    """Vectors near s solutions of EM, a little away from the edges of the density, and its values.

    Where EM has ended on a component that the prior thinks far too thin, it is made as wide as is
    best: a climb from beyond a cliff leaps too far. Components are numbered as the prior holds
    likeliest; a start that is given numbers them itself.

    Raises:
        ValueError: if the density is not finite there.
    """
    values = density.values(_widened(density, parameters))
    values["weights"] = 0.99 * values["weights"] + 0.01 / density.model.n_components
    if not is_given(task.options.start):
        values = permuted_values(density.model.family, values, best_numbering(density, values))
    vectors = density.unconstrain(values).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    heights = density(vectors).nan_to_num(nan=-math.inf).view(-1, len(parameters.means))
    heights, best = heights.max(0)
    vectors = vectors.view(-1, *heights.shape, vectors.shape[1])
    vectors = vectors[best, torch.arange(len(best), device=best.device)]
    if not heights.isfinite().any():
        _refuse_start(density, vectors[:1])
    return vectors, heights


def _refuse_start(density: LogDensity, vector: Float[Tensor, "1 m"]) -> NoReturn:
    """Say which part of the density it is that a fit cannot begin with."""
    values = density.constrain(vector)
    found = {f"prior of {site.name}": float(site.log_prior(values)) for site in density.sites}
    found["likelihood"] = float(density.log_likelihood(values))
    wrong = ", ".join(
        f"log {part} {value}" for part, value in found.items() if not math.isfinite(value)
    )
    raise ValueError(f"the log density is no number where the fit begins: {wrong}")


def _widened(density: LogDensity, p: Parameters) -> Parameters:
    """The parameters, and the same with no covariance below some shares of the data's variance."""
    family, observations = density.model.family, density.observations
    covariance = family.compress(family.dense(p.factor, observations.d))
    floors = [share * observations.scale.square() for share in WIDENINGS]
    factor = torch.cat([p.factor, *(family.fit(covariance, floor) for floor in floors)])
    copies = list(range(len(p.means))) * (1 + len(floors))
    return Parameters(p.log_weights[copies], p.means[copies], factor)


def mode_from(
    task: Task,
    density: LogDensity,
    start: Run[Tensor],
    bar: tqdm[Any],
    *,
    tolerance: float,
    jacobian: bool = True,
) -> Run[Tensor]:
    """The mode that is reached from a start, within as many steps as the task allows.

    Args:
        task: the task, which gives the seed and the steps.
        density: its log density.
        start: where to begin; the mode is marked as interrupted if this was.
        bar: counts the steps.
        tolerance: change of the log density, in nats a point, below which a step is the last.
        jacobian: whether the mode is that of the vector or of the sites.
    """

    def climb_from(run: Run[Tensor]) -> Run[Tensor]:
        return find_mode(
            density,
            run.state,
            jacobian=jacobian,
            seed=task.options.seed,
            tolerance=tolerance * task.observations.total_weight,
            max_steps=run.allows(task.options.max_steps - max(0, run.steps)),
            bar=bar,
        )

    return in_best_numbering(task, density, start, climb_from)


def in_best_numbering(
    task: Task,
    density: LogDensity,
    start: Run[Float[Tensor, "1 m"]],
    climb_from: Callable[[Run[Tensor]], Run[Tensor]],
) -> Run[Float[Tensor, "1 m"]]:
    """Where a climb ends, its components numbered as the prior holds likeliest.

    Where another numbering of the end has a higher prior density, the climb goes on from there. A
    start that is given numbers the components itself, and its numbering is kept.

    Args:
        task: the task, which says whether the start is given.
        density: its log density.
        start: where to begin; the end is marked as interrupted if this was.
        climb_from: climbs from the end of a run, within the steps that it leaves.
    """
    run = start.then(climb_from(Run(start.state, [], start.status)))
    for _ in range(0 if is_given(task.options.start) else MOST_NUMBERINGS):
        values = density.constrain(run.state)
        order = best_numbering(density, values)
        if order.equal(torch.arange(order.shape[1])[None]):
            break
        state = density.unconstrain(permuted_values(density.model.family, values, order))
        on = climb_from(Run(state, run.history, run.status, run.stride))
        run = run.then(Run(on.state, run.history[:-1] + on.history, on.status, on.stride))
    return run


def find_mode(
    density: LogDensity,
    start: Float[Tensor, "1 m"],
    *,
    jacobian: bool,
    seed: int,
    tolerance: float,
    max_steps: int,
    bar: tqdm[Any],
) -> Run[Tensor]:
    """The vector, shape (1, m), at which a log density is highest.

    Args:
        density: the log density.
        start: where to begin.
        jacobian: whether the mode is that of the vector or of the sites.
        seed: of the sample of the data whose curvature gives the lengths of the steps.
        tolerance: change of the log density, in nats, below which a step is the last.
        max_steps: most steps.
        bar: counts the steps.
    """

    def function(vector: Tensor) -> Tensor:
        return density(vector, jacobian=jacobian)[0]

    if density.dimension > LARGEST:  # a matrix of that size would take longer than the climb
        return climb(
            function, start, units(density), tolerance=tolerance, max_steps=max_steps, bar=bar
        )
    run = Run(start, [], Status.STEP_LIMIT)
    while True:  # the curvature far from the mode is not that at the mode
        shape = inverse(curvature(density, run.state, seed=seed, jacobian=jacobian).nan_to_num())
        basis = torch.linalg.cholesky_ex(shape)[0]
        limit = min(LEG, max_steps - max(0, run.steps))
        leg = climb(function, run.state, basis, tolerance=tolerance, max_steps=limit, bar=bar)
        run = Run(leg.state, run.history[:-1] + leg.history, leg.status)
        if leg.status is Status.CONVERGED and _promise(function, leg.state, basis) > STEEP:
            run = Run(leg.state, run.history, Status.STEP_LIMIT)
        if run.status is not Status.STEP_LIMIT or leg.steps == 0 or run.steps >= max_steps:
            return run


def _promise(
    function: Callable[[Tensor], Tensor], state: Float[Tensor, "1 m"], basis: Float[Tensor, "m m"]
) -> float:
    """Nats that a step would gain from here, if the curvature were that of the basis."""
    vector = state.detach().requires_grad_()
    slope = torch.autograd.grad(function(vector), vector)[0]
    return 0.5 * float((slope @ basis).square().sum())


def climb(
    function: Callable[[Tensor], Tensor],
    start: Float[Tensor, "*shape"],
    basis: Float[Tensor, "m m"] | Float[Tensor, "m"] | None = None,
    *,
    tolerance: float,
    max_steps: int,
    bar: tqdm[Any],
) -> Run[Tensor]:
    """The array at which a smooth function, in nats, is highest: L-BFGS-B (Byrd et al. 1995).

    Args:
        function: from an array of the start's shape to a number, differentiable.
        start: where to begin.
        basis: steps in its columns are taken to be of one size; a vector is its diagonal, and None
            the identity.
        tolerance: change of the function, in nats, below which a step is the last.
        max_steps: most steps.
        bar: counts the steps.
    """
    path = _Climb(function, start, basis, bar)
    first, _ = path(np.zeros(start.numel()))
    path.history.append(path.value)
    if max_steps == 0 or not math.isfinite(first):
        status = Status.STEP_LIMIT if math.isfinite(first) else Status.DIVERGED
        return Run(start, path.history, status)
    try:
        limit_reached = path.run(tolerance / max(1.0, abs(first)), max_steps)
    except KeyboardInterrupt:
        return Run(path.best, path.history, Status.INTERRUPTED)
    status = Status.STEP_LIMIT if limit_reached else Status.CONVERGED
    return Run(path.best, path.history, status)


class _Climb:
    """The function as SciPy wants it, and the best array so far, kept for interrupts."""

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        start: Tensor,
        basis: Tensor | None,
        bar: tqdm[Any],
    ) -> None:
        self.function, self.start, self.basis, self.bar = function, start, basis, bar
        self.best, self.value = start, -math.inf
        self.history: list[float] = []

    def __call__(self, u: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the function and its gradient, in the basis."""
        shift = torch.as_tensor(u).to(self.start)
        shift = self._times_basis(shift)
        vector = (self.start + shift.view_as(self.start)).requires_grad_()
        value = self.function(vector)
        gradient = torch.autograd.grad(value, vector)[0].flatten()
        gradient = self._times_basis(gradient, transposed=True)
        number = float(value.detach())
        if not math.isfinite(number):
            return math.inf, np.zeros_like(u)
        if number > self.value:
            self.best, self.value = vector.detach(), number
        return -number, -gradient.cpu().numpy()

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

    def run(self, tolerance: float, max_steps: int) -> bool:
        """Climb until a step gains less than this share; whether a limit came first."""
        from scipy.optimize import minimize

        evaluations = 20 * max_steps
        result = minimize(
            self,
            np.zeros(self.start.numel()),
            jac=True,
            method="L-BFGS-B",
            callback=self.record,
            options={
                "maxiter": max_steps,
                "maxfun": evaluations,
                "ftol": tolerance,
                "gtol": 0.0,
                "maxcor": MEMORY,
            },
        )
        return bool(result.nit >= max_steps or result.nfev >= evaluations)
