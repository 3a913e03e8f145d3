"""The mode of a log density: where a search for it begins, how it goes, and what it numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ...covariance import Parameters
from ...model.log_density import LogDensity
from ...model.numbering import best_numbering, permuted_values
from ..em import best_of, run_search
from ..search.likeliest import Search as Ends
from ..starts.starting import is_given
from ..task import Options, Outcome, Run, Status, Task
from .climb import LEG, STEEP, climb, value_and_gradient
from .curvature import LARGEST, curvature, inverse, units
from .spikes import THIN, THIN_AT_A_HALT, on_spike

EM_STEPS = 300  # steps of EM that a start is given: each takes a sixth of a gradient's time
EM_TOLERANCE = 1e-6  # nats a point
WIDENINGS = (1e-4, 1e-3, 1e-2, 1e-1)  # least shares of the data's variance that starts may have
TIGHTER = 0.1  # share of the tolerance, after each of them, of the last change of the next leg
FRUITLESS = 4  # curvatures in turn that bring no way up
RENUMBERINGS = 5  # climbs that go on from another numbering of where the last has ended


def em_search(task: Task[Options], bar: tqdm[Any]) -> Ends:
    """The search for the likeliest mixture, whose ends climbs begin at."""
    return run_search(task, bar, EM_TOLERANCE, min(EM_STEPS, task.options.max_steps))


def em_start(
    task: Task[Options], density: LogDensity, bar: tqdm[Any], ends: Ends | None = None
) -> Run[Float[Tensor, "1 m"]]:
    """The vector of the best EM start, a little away from the edges of the density.

    The search for it is made where there has been none.
    """
    run = best_of(task, ends or em_search(task, bar), bar)
    vector, _ = away_from_edges(task, density, run.state.parameters)
    return Run(vector, run.history, run.status, search=run.search)


@torch.no_grad()
def away_from_edges(
    task: Task[Options], density: LogDensity, parameters: Parameters
) -> tuple[Float[Tensor, "s m"], Float[Tensor, "s"]]:
    """Vectors near s solutions of EM, a little away from the edges of the density, and its values.

    Where EM has ended on a component that the prior thinks far too thin, it is made as wide as is
    best: a climb from beyond a cliff leaps too far. Components are numbered as the prior holds
    likeliest; a start that is given numbers them itself.

    Raises:
        ValueError: if the density is not finite there.
    """
    weights = 0.99 * parameters.log_weights.exp() + 0.01 / density.model.n_components
    parameters = replace(parameters, log_weights=weights.log(), log_odds=_off_the_edge(parameters))
    values = density.values(_widened(density, parameters))
    if not is_given(task.options.start):
        values = permuted_values(density, values, best_numbering(density, values))
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
    prior = density.prior
    found = {f"prior of {name}": float(prior.log_prob(name, values)) for name in prior}
    found["likelihood"] = float(density.log_likelihood(values))
    wrong = ", ".join(
        f"log {part} {value}" for part, value in found.items() if not math.isfinite(value)
    )
    raise ValueError(f"the log density is no number where the fit begins: {wrong}")


def _widened(density: LogDensity, p: Parameters) -> Parameters:
    """The parameters, and the same with no covariance below some shares of the data's variance."""
    family, observations = density.model.family, density.observations
    covariance = family.covariance(p.factor, observations.d)
    floors = [share * observations.bulk.square() for share in WIDENINGS]
    factor = torch.cat([p.factor, *(family.fit(covariance, floor) for floor in floors)])
    copies = list(range(len(p.means))) * (1 + len(floors))
    return replace(p[copies], factor=factor)


def _off_the_edge(p: Parameters) -> Float[Tensor, "s"] | None:
    """Log odds of the noise, a little away from 0 and 1."""
    return None if p.log_noise is None else (0.99 * p.log_noise.exp() + 0.005).logit()


def mode_from(
    task: Task[Options],
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
    search = Search(task, density, bar, tolerance, jacobian)
    return in_best_numbering(task, density, start, search.climb_from)


def in_best_numbering(
    task: Task[Options],
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
    for _ in range(RENUMBERINGS):
        likelier = likelier_numbering(task, density, run.state)
        if likelier is None:
            break
        on = climb_from(Run(likelier, run.history, run.status, run.stride))
        run = run.then(run.followed_by(on))
    return run


@torch.no_grad()
def likelier_numbering(
    task: Task[Options], density: LogDensity, vector: Float[Tensor, "1 m"]
) -> Float[Tensor, "1 m"] | None:
    """The vector numbered as the prior holds likeliest; None if it is, or a start has numbered."""
    if is_given(task.options.start):
        return None
    values = density.constrain(vector)
    order = best_numbering(density, values)
    if order.equal(torch.arange(order.shape[1])[None]):
        return None
    return density.unconstrain(permuted_values(density, values, order))


def outcome_at(density: LogDensity, run: Run[Float[Tensor, "1 m"]], **more: Any) -> Outcome:
    """What a method hands back whose climb has ended at a vector; `more` as in `Run.outcome`."""
    return run.outcome(density.parameters(density.constrain(run.state)), **more)


@dataclass(frozen=True, eq=False)
class Search:
    """A search for the vector, shape (1, m), at which a log density is highest.

    Attributes:
        task: the task, which gives the seed and the steps.
        density: its log density.
        bar: counts the steps.
        tolerance: change of the log density, in nats a point, below which a step is the last.
        jacobian: whether the mode is that of the vector or of the sites.
    """

    task: Task[Options]
    density: LogDensity
    bar: tqdm[Any]
    tolerance: float
    jacobian: bool

    def climb_from(self, start: Run[Tensor]) -> Run[Tensor]:
        """The mode that is reached from the end of a run, within the steps that it leaves."""
        most = start.allows(self.task.options.max_steps - max(0, start.steps))
        run = Run(start.state, [], Status.STEP_LIMIT)
        if self.density.dimension > LARGEST:  # a matrix of that size takes longer than the climb
            run = self._in_natural_units(run, most)
        fruitless = 0
        while run.status is Status.STEP_LIMIT and run.steps < most:
            path = self._leg(run, most, tighter=TIGHTER**fruitless)
            fruitless = 0 if path.history[-1] - path.history[0] > STEEP else fruitless + 1
            status = path.status
            if status is Status.STUCK and path.steps and fruitless < FRUITLESS:
                status = Status.STEP_LIMIT  # the curvature far from the mode is not that at it
            run = self._judged(replace(run.followed_by(path), status=status))
        return run

    def _in_natural_units(self, run: Run[Tensor], most: int) -> Run[Tensor]:
        """One climb all the way, with a length of each entry alone."""
        share = self.density.model.n_components / self.density.observations.total_weight
        basis = units(self.density) * math.sqrt(share)
        return self._judged(self._climb(run.state, basis, most))

    def _leg(self, run: Run[Tensor], most: int, tighter: float) -> Run[Tensor]:
        """Some steps in coordinates of the curvature here; stuck where these should go further."""
        seed = self.task.options.seed
        shape = curvature(self.density, run.state, seed=seed, jacobian=self.jacobian)
        basis = torch.linalg.cholesky_ex(inverse(shape.nan_to_num()))[0]
        path = self._climb(run.state, basis, min(LEG, most - max(0, run.steps)), tighter)
        if path.status is not Status.CONVERGED:
            return path
        slope = value_and_gradient(self._function, path.state)[1]
        promise = 0.5 * float((slope @ basis).square().sum())  # nats, if that is the curvature
        return replace(path, status=Status.STUCK) if promise > STEEP else path

    def _climb(
        self, start: Float[Tensor, "1 m"], basis: Tensor, most: int, tighter: float = 1.0
    ) -> Run[Tensor]:
        return climb(
            self._function,
            start,
            basis,
            tolerance=self.tolerance * self.task.observations.total_weight * tighter,
            max_steps=most,
            bar=self.bar,
            leads_nowhere=self._leads_nowhere,
        )

    def _function(self, vector: Tensor) -> Tensor:
        """The log density of a batch of one vector, as a number."""
        return self.density(vector, jacobian=self.jacobian)[0]

    def _leads_nowhere(self, vector: Tensor, thinner_than: float = THIN) -> bool:
        """Whether the vector is on a spike."""
        density = self.density
        parameters = density.parameters(density.constrain(vector))
        model, data = density.model, density.observations
        return on_spike(data, model.family, parameters, thinner_than, model.fixed)

    def _judged(self, run: Run[Tensor]) -> Run[Tensor]:
        """The run, marked if it has come to a spike."""
        if run.status in (Status.DIVERGED, Status.INTERRUPTED):
            return run
        thin = THIN_AT_A_HALT if run.status is Status.STUCK else THIN
        collapsed = self._leads_nowhere(run.state, thin)
        return replace(run, status=Status.COLLAPSED) if collapsed else run
