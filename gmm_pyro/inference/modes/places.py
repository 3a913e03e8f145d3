"""Where the mass of a posterior is: its modes, each in the numberings that the prior tells apart.

Where the prior tells no components apart, every numbering is the same, and counts once. Numberings
that it tells apart are modes as others are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from ...model.log_density import LogDensity
from ...model.numbering import Numberings, exchangeable_classes, permuted_values
from ..climb.optimise import Search as Climber
from ..search.likeliest import Search
from ..starts.solutions import within_reach
from ..starts.starting import is_given
from ..task import Options, Run, Status, Task
from .beside import climbs_beside, distinct, is_known
from .found import FoundMode, FoundModes
from .mode import LARGEST, Mode

TOLERANCE = 1e-6  # nats a point
GLANCES = 2  # climbs, to see whether a mode is alone
ROUGH = 1e-4  # nats a point, that they may be short of
MOST = 8  # climbs from other solutions, for all modes
MOST_NUMBERED = 24  # modes, where numberings are modes


@dataclass(frozen=True, eq=False)
class Place:
    """A mode in a numbering that the prior tells from others.

    Attributes:
        mode: the mode.
        claims: solutions and numberings of them, by their numbers, whose mass is about the mode.
    """

    mode: Mode
    claims: list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Places:
    """All modes that have been found.

    Attributes:
        solutions: modes that no numbering makes the same.
        numberings: of each solution.
        places: of the solutions in all numberings that matter.
    """

    solutions: list[Mode]
    numberings: list[Numberings]
    places: list[Place]

    @property
    def laplace(self) -> list[float]:
        """Laplace's approximation of what is about each place, and all that are alike, in nats."""
        log_count = self.numberings[0].log_count
        return [place.mode.log_evidence + log_count for place in self.places]

    @property
    def status(self) -> Status:
        """How the climbs have ended: as the one that has ended worst."""
        return worst([place.mode.run.status for place in self.places])

    def within_reach(self, log_evidence: Sequence[float]) -> Places:
        """The places that are not too far below the most massive one, most massive first."""
        kept = within_reach(torch.tensor(log_evidence, dtype=torch.float64))
        return replace(self, places=[self.places[i] for i in kept])


def worst(statuses: Sequence[Status]) -> Status:
    """How all have ended: as an interrupt, or as the first that has not converged."""
    if Status.INTERRUPTED in statuses:
        return Status.INTERRUPTED
    return next((some for some in statuses if some is not Status.CONVERGED), Status.CONVERGED)


def all_places(
    task: Task[Options],
    density: LogDensity,
    search: Search,
    first: Run[Float[Tensor, "1 m"]],
    bar: tqdm[Any],
) -> Places | None:
    """The modes that different solutions lead to.

    None where all of them are on spikes, after an interrupt, or from a start that is given, which
    is the only one.
    """
    if is_given(task.options.start) or first.status is Status.INTERRUPTED:
        return None
    beside = climbs_beside(
        task, density, search, first, bar, most=MOST, anew=True, tolerance=TOLERANCE
    )
    runs = [first, *beside]
    runs = [run for run in runs if run.status is not Status.COLLAPSED]
    if not runs or runs[-1].status is Status.INTERRUPTED:
        return None
    solutions = distinct(density, runs)
    numberings = [_numberings(density, mode) for mode in solutions]
    places = _places(task, density, solutions, numberings, bar)
    return Places(solutions, numberings, places)


def at_a_glance(
    task: Task[Options],
    density: LogDensity,
    search: Search,
    first: Run[Float[Tensor, "1 m"]],
    bar: tqdm[Any],
) -> FoundModes | None:
    """The modes that a few of the other ends of the search lead to, beside that of the first climb.

    None where this is not known: where the climb has not converged, or from a start that is given.
    """
    if is_given(task.options.start) or first.status is not Status.CONVERGED:
        return None
    if density.dimension > LARGEST or not math.isfinite(first.history[-1]):
        return None
    runs = climbs_beside(
        task, density, search, first, bar, most=GLANCES, anew=False, tolerance=ROUGH
    )
    others = [run for run in runs if run.status is Status.CONVERGED]
    modes = distinct(density, [first, *others])
    found = []
    for mode in modes:
        masses = numbered_evidence(density, mode, numberings := _numberings(density, mode))
        own = _own(numberings.orders) if mode is modes[0] else -1
        for i, mass in enumerate(masses.tolist()):
            found.append(FoundMode(mode.log_density, mass, described=i == own))
    return FoundModes.of(found)


def _numberings(density: LogDensity, mode: Mode) -> Numberings:
    return Numberings.about(density, density.constrain(mode.run.state))


def _own(orders: Int[Tensor, "o k"]) -> int:
    """Which of the orders leaves the components as they are."""
    return int((orders == torch.arange(orders.shape[1])).all(1).nonzero()[0])


@torch.no_grad()
def numbered_evidence(
    density: LogDensity, mode: Mode, numberings: Numberings
) -> Float[Tensor, "o"]:
    """Laplace's approximation about a mode, in each of some numberings, and of all alike, in nats.

    The prior density at the mode tells them apart.
    """
    values = density.constrain(mode.run.state)
    of_all = numberings.log_prior(density, values) - density.log_prior(values)
    return mode.log_evidence + of_all + numberings.log_shares(density, values)[0]


def _places(
    task: Task[Options],
    density: LogDensity,
    solutions: Sequence[Mode],
    numberings: Sequence[Numberings],
    bar: tqdm[Any],
) -> list[Place]:
    """The modes that solutions have in all numberings that matter, the most massive first.

    A numbering may have no mode of its own, and then its mass is about that of another one.
    """
    classes = torch.tensor(exchangeable_classes(density))
    pairs = zip(solutions, numberings, strict=True)
    masses = [numbered_evidence(density, mode, numbers) for mode, numbers in pairs]
    claims = [(i, j) for i, some in enumerate(masses) for j in range(len(some))]
    places: list[Place] = []
    for entry in within_reach(torch.cat(masses))[:MOST_NUMBERED]:
        i, j = claims[entry]
        mode = _in_numbering(task, density, solutions[i], numberings[i].orders[j], bar)
        same = [at for at in places if is_known(density, mode.run.state, [at.mode], classes)]
        if same:
            same[0].claims.append((i, j))
        elif mode.run.status is not Status.COLLAPSED:
            places.append(Place(mode, [(i, j)]))
        if mode.run.status is Status.INTERRUPTED:
            break
    return places


def _in_numbering(
    task: Task[Options], density: LogDensity, mode: Mode, order: Int[Tensor, "k"], bar: tqdm[Any]
) -> Mode:
    """The mode that is reached where the components of one are numbered otherwise."""
    if order.equal(torch.arange(len(order))):
        return mode
    values = permuted_values(density.model.family, density.constrain(mode.run.state), order[None])
    climber = Climber(task, density, bar, TOLERANCE, jacobian=True)
    run = climber.climb_from(Run(density.unconstrain(values), [], Status.STEP_LIMIT))
    return Mode.at(density, run)
