"""Modes beside the one that the likeliest solution leads to.

Other ends of the search for the likeliest mixture lead to them, and restarts of EM. Two climbs have
come to the same mode if renumbering the components brings one to within two standard deviations of
the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from ...covariance import Parameters
from ...data.points import Observations
from ...metrics import accuracy
from ...model.log_density import LogDensity
from ...model.numbering import exchangeable_classes, permuted_values
from ...posterior.alignment import cheapest, costs, memberships
from ...reduction.pointwise import labels
from ...reduction.theta import theta_of
from ..climb.optimise import away_from_edges, mode_from
from ..search.likeliest import Search
from ..starts.solutions import is_regular, restarts
from ..starts.starting import is_given, sample_of
from ..task import Options, Run, Status, Task
from .found import REACH
from .mode import Mode

ALIKE = 0.995  # share of the points that two partitions agree on if they lead to one mode
GAIN = 2.0  # nats for each unconstrained number, that a climb or a wide mode may make up for


@dataclass(frozen=True)
class Looking:
    """How modes are looked for.

    Attributes:
        most: climbs, at most.
        tolerance: of a climb, in nats a point.
        anew: whether restarts are tried that the search has left out.
        only_sound: whether ends of the search that are not sound are left out.
        jacobian: whether modes are those of the vector or of the sites.
        margin: nats below the end of the first climb, from where on climbs begin; None takes all
            that may lead to a mode of some mass.
    """

    most: int
    tolerance: float
    anew: bool = False
    only_sound: bool = False
    jacobian: bool = True
    margin: float | None = None


def climbs_beside(
    task: Task[Options],
    density: LogDensity,
    search: Search,
    first: Run[Float[Tensor, "1 m"]],
    bar: tqdm[Any],
    looking: Looking,
) -> list[Run[Float[Tensor, "1 m"]]]:
    """Where other solutions lead than a first climb, from the highest of them first.

    A start that is given is the only one. An interrupt ends it with a climb that says so.

    Args:
        task: the task.
        density: its log density.
        search: the search for the likeliest mixture.
        first: the climb from there.
        bar: counts the steps.
        looking: how many climbs, from where.
    """
    found: list[Run[Tensor]] = []
    if is_given(task.options.start) or task.model.n_components == 1:
        return found
    solutions = _solutions(task, density, search, looking)
    partitions = _Partitions(task, density)
    partitions.add(density.parameters(density.constrain(first.state)))
    vectors, heights = _heights(task, density, solutions, jacobian=looking.jacobian)
    margin = _far(density) if looking.margin is None else looking.margin
    for i in heights.argsort(descending=True, stable=True).tolist():
        if len(found) == looking.most or heights[i] < first.history[-1] - margin:
            break
        if not is_regular(task, solutions[[i]]) or not partitions.add(solutions[[i]]):
            continue
        start = Run(vectors[[i]], [], Status.STEP_LIMIT)
        climb = mode_from(
            *(task, density, start, bar), tolerance=looking.tolerance, jacobian=looking.jacobian
        )
        found.append(climb)
        if climb.status is Status.INTERRUPTED:
            break
        partitions.add(density.parameters(density.constrain(climb.state)))
    return found


def _far(density: LogDensity) -> float:
    """Nats below the best, from where no climb leads to a mode of some mass."""
    return REACH + GAIN * density.dimension


def _solutions(
    task: Task[Options], density: LogDensity, search: Search, looking: Looking
) -> Parameters:
    """Ends of the search that are not far behind its best, and restarts."""
    ends = search.best_first()
    reached = [float(end.climb.reached) for end in ends]
    alike = [end.sound == ends[0].sound for end in ends]
    best = max(value for value, same in zip(reached, alike, strict=True) if same)
    far = _far(density) * search.sample.total_weight / task.observations.total_weight
    near = [i for i, value in enumerate(reached) if best - value <= far]
    near = [i for i in near if alike[i] or not looking.only_sound]
    parts = [ends[i].climb.state.parameters for i in near]
    return Parameters.joined([*parts, *(restarts(task) if looking.anew else [])])


@torch.no_grad()
def _heights(
    task: Task[Options], density: LogDensity, solutions: Parameters, *, jacobian: bool
) -> tuple[Float[Tensor, "s m"], Float[Tensor, "s"]]:
    """Where climbs from solutions begin, and the log densities there."""
    vectors, heights = away_from_edges(task, density, solutions)
    if not jacobian:
        heights = density(vectors, jacobian=False).nan_to_num(nan=-torch.inf)
    return vectors, heights


class _Partitions:
    """Partitions of some of the points that solutions seen so far make."""

    def __init__(self, task: Task[Options], density: LogDensity) -> None:
        generator = torch.Generator().manual_seed(task.options.seed)
        observations, k = task.observations, task.model.n_components
        self.sample: Observations = sample_of(observations, k, generator)
        self.family = density.model.family
        self.seen: list[Int[Tensor, "n"]] = []

    def add(self, one: Parameters) -> bool:
        """Note a solution, and whether its partition is another than those before."""
        hard = labels(self.sample, theta_of(self.family, one, self.sample))[0].cpu()
        is_new = all(accuracy(hard, other) < ALIKE for other in self.seen)
        self.seen.append(hard)
        return is_new


# ---------------------------------------------------------------------- the same or another


def distinct(density: LogDensity, runs: Sequence[Run[Float[Tensor, "1 m"]]]) -> list[Mode]:
    """The modes of some climbs that no numbering makes the same, numbered alike.

    Args:
        density: the log density.
        runs: the climbs, the first of which stays and numbers the components; of others that are
            the same the highest stays.
    """
    first, *others = runs
    classes = torch.tensor(exchangeable_classes(density))
    far = max(run.history[-1] for run in runs) - _far(density)
    kept: list[Mode] = []
    for run in (first, *sorted(others, key=lambda run: run.history[-1], reverse=True)):
        is_far = run is not first and run.history[-1] < far
        if not is_far and not is_known(density, run.state, kept, torch.zeros_like(classes)):
            state = numbered_like(density, run.state, first.state, classes)
            kept.append(Mode.at(density, replace(run, state=state)))
    return kept


def is_known(
    density: LogDensity, vector: Float[Tensor, "1 m"], modes: Sequence[Mode], classes: Tensor
) -> bool:
    """Whether one of the modes is at a vector, but for exchanges within the classes."""
    return any(
        mode.is_at(numbered_like(density, vector, mode.run.state, classes)[0]) for mode in modes
    )


@torch.no_grad()
def numbered_like(
    density: LogDensity,
    vector: Float[Tensor, "1 m"],
    like: Float[Tensor, "1 m"],
    classes: Int[Tensor, "k"],
) -> Float[Tensor, "1 m"]:
    """The vector with its components numbered as another one's that share most points with them."""
    if not density.renumbers:
        return vector
    family, values = density.model.family, density.constrain(vector)
    both = density.parameters(density.constrain(torch.cat([like, vector])))
    held = memberships(family, both, density.observations, classes)
    order = cheapest(costs(held, held.share[0]), held.unchanged, held.tie, held.apart)[1:]
    if order.equal(held.unchanged[1:]):
        return vector
    return density.unconstrain(permuted_values(density, values, order))
