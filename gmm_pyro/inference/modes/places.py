"""Where the mass of a posterior is: its modes, each in the numberings that the prior tells apart.

Where the prior tells no components apart, every numbering is the same, and counts once. Numberings
that it tells apart are modes as others are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from ...data.checks import check_choice
from ...model.log_density import LogDensity
from ...model.numbering import Numberings, exchangeable_classes, permuted_values
from ..climb.optimise import Search as Climber
from ..search.likeliest import Search
from ..starts.starting import is_given
from ..task import Options, Run, Status, Task
from .beside import Looking, climbs_beside, distinct, is_known
from .found import MODES, REACH, FoundMode, FoundModes
from .mode import LARGEST, Mode

TOLERANCE = 1e-6  # nats a point
THOROUGHLY = Looking(most=8, tolerance=TOLERANCE, anew=True)  # for all modes
BRIEFLY = Looking(most=2, tolerance=1e-4)  # to see whether a mode is alone
MOST_NUMBERED = 24  # modes, where numberings are modes
SHORT = 10.0  # nats that Laplace's approximation of a mode may be short of


class ModesOptions(Protocol):
    """Options that say how many modes are described."""

    @property
    def modes(self) -> str:
        """One of `MODES`."""
        ...

    @property
    def start(self) -> Any:
        """Where to begin."""
        ...


def check_modes(options: ModesOptions) -> None:
    """Refuse other words than "one" and "all", and a start that would be the only one."""
    check_choice("modes", options.modes, MODES)
    if options.modes == "all" and is_given(options.start):
        raise ValueError(
            "modes='all' looks for modes from many starts, and takes no start of one's own"
        )


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
        places: of the solutions in the numberings that matter.
        left_out: claims of numberings that matter too, but are too many to climb to, and Laplace's
            approximation of what is about each, in nats.
    """

    solutions: list[Mode]
    numberings: list[Numberings]
    places: list[Place]
    left_out: dict[tuple[int, int], float]

    @property
    def laplace(self) -> list[float]:
        """Laplace's approximation of what is about each place, and all that are alike, in nats."""
        log_count = self.numberings[0].log_count
        return [place.mode.log_evidence + log_count for place in self.places]

    @property
    def status(self) -> Status:
        """How the climbs have ended: as the one that has ended worst."""
        return worst([place.mode.run.status for place in self.places])


def worst(statuses: Sequence[Status]) -> Status:
    """How all have ended: as an interrupt, or as the first that has not converged."""
    if Status.INTERRUPTED in statuses:
        return Status.INTERRUPTED
    return next((some for some in statuses if some is not Status.CONVERGED), Status.CONVERGED)


@dataclass(frozen=True, eq=False)
class Looked:
    """What looking for other modes than the first has come to.

    Attributes:
        first: the climb to the first mode, marked as interrupted if there was an interrupt.
        places: all modes, where they were looked for and there are some.
        found: what a few climbs found of others, where all were not looked for.
    """

    first: Run[Float[Tensor, "1 m"]]
    places: Places | None = None
    found: FoundModes | None = None


def look(
    task: Task[Options],
    density: LogDensity,
    search: Search,
    first: Run[Float[Tensor, "1 m"]],
    bar: tqdm[Any],
    *,
    modes: str,
) -> Looked:
    """Look for modes beside that of a first climb: for "all", or whether that "one" is alone.

    A start that is given is the only one, and nothing is known of others. Nor is it where the first
    climb, if it is to be the only one, has not converged.

    Raises:
        ValueError: if all modes of too many numbers are asked for.
    """
    everywhere = modes == "all"
    if not _can_look(task, density, first, everywhere=everywhere):
        return Looked(first)
    looking = THOROUGHLY if everywhere else replace(BRIEFLY, anew=search.is_small)
    runs = climbs_beside(task, density, search, first, bar, looking)
    if any(run.status is Status.INTERRUPTED for run in runs):
        return Looked(replace(first, status=Status.INTERRUPTED))
    useless = {Status.COLLAPSED} if everywhere else set(Status) - {Status.CONVERGED}
    runs = [run for run in (first, *runs) if run.status not in useless]
    if not runs:
        return Looked(first)
    solutions = distinct(density, runs)
    numberings = [
        Numberings.about(density, density.constrain(mode.run.state)) for mode in solutions
    ]
    if not everywhere:
        return Looked(first, found=_known(density, solutions, numberings))
    return Looked(first, _places(task, density, solutions, numberings, bar))


def _can_look(
    task: Task[Options], density: LogDensity, first: Run[Tensor], *, everywhere: bool
) -> bool:
    """Whether other modes are looked for at all."""
    if is_given(task.options.start) or first.status is Status.INTERRUPTED:
        return False
    if density.dimension > LARGEST:
        if everywhere:
            raise ValueError(
                f"modes='all' takes at most {LARGEST} unconstrained numbers, the model has "
                f"{density.dimension}"
            )
        return False
    clear = first.status is Status.CONVERGED or everywhere
    return clear and math.isfinite(first.history[-1])


def _known(
    density: LogDensity, solutions: Sequence[Mode], numberings: Sequence[Numberings]
) -> FoundModes:
    """The modes by Laplace's approximation, of which the first is described as it is numbered."""
    found = []
    for mode, some in zip(solutions, numberings, strict=True):
        own = (some.orders == torch.arange(some.orders.shape[1])).all(1)
        own[0] |= not own.any()  # of very many, those are listed that count, the best first
        described = own if mode is solutions[0] else torch.zeros_like(own)
        masses = numbered_evidence(density, mode, some).tolist()
        pairs = zip(masses, described.tolist(), strict=True)
        found += [FoundMode(mode.log_density, mass, here) for mass, here in pairs]
    return FoundModes.of(found)


@torch.no_grad()
def numbered_evidence(
    density: LogDensity, mode: Mode, numberings: Numberings
) -> Float[Tensor, "o"]:
    """Laplace's approximation about a mode, in each of some numberings, and of all alike, in nats.

    The prior density at the mode tells them apart.
    """
    values = density.constrain(mode.run.state)
    of_all = numberings.log_gain(density, values)
    return mode.log_evidence + of_all + numberings.log_shares(density, values)[0]


def _places(
    task: Task[Options],
    density: LogDensity,
    solutions: list[Mode],
    numberings: list[Numberings],
    bar: tqdm[Any],
) -> Places:
    """The modes that solutions have in all numberings that matter, the most massive first.

    A numbering may have no mode of its own, and then its mass is about that of another one.
    """
    classes = torch.tensor(exchangeable_classes(density))
    masses = _claims(density, solutions, numberings)
    near = sorted(masses, key=lambda claim: masses[claim], reverse=True)
    places: list[Place] = []
    for i, j in near[:MOST_NUMBERED]:
        mode = _in_numbering(task, density, solutions[i], numberings[i].orders[j], bar)
        same = [at for at in places if is_known(density, mode.run.state, [at.mode], classes)]
        if same:
            same[0].claims.append((i, j))
        elif mode.run.status is not Status.COLLAPSED:
            places.append(Place(mode, [(i, j)]))
        if mode.run.status is Status.INTERRUPTED:
            break
    left_out = {claim: masses[claim] for claim in near[MOST_NUMBERED:]}
    return Places(solutions, numberings, places, left_out)


def _claims(
    density: LogDensity, solutions: list[Mode], numberings: list[Numberings]
) -> dict[tuple[int, int], float]:
    """Solutions and numberings of them that matter, by their numbers, with their masses in nats."""
    masses = [
        numbered_evidence(density, mode, some).tolist()
        for mode, some in zip(solutions, numberings, strict=True)
    ]
    tops = [max(some) for some in masses]
    return {
        (i, j): mass
        for i, some in enumerate(masses)
        for j, mass in enumerate(some)
        if tops[i] >= max(tops) - REACH - SHORT and mass >= tops[i] - REACH
    }


def _in_numbering(
    task: Task[Options], density: LogDensity, mode: Mode, order: Int[Tensor, "k"], bar: tqdm[Any]
) -> Mode:
    """The mode that is reached where the components of one are numbered otherwise."""
    if order.equal(torch.arange(len(order))):
        return mode
    values = permuted_values(density, density.constrain(mode.run.state), order[None])
    climber = Climber(task, density, bar, TOLERANCE, jacobian=True)
    run = climber.climb_from(Run(density.unconstrain(values), [], Status.STEP_LIMIT))
    return Mode.at(density, run)
