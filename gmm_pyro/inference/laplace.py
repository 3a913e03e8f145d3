"""Laplace's method: the posterior as a Gaussian at its mode, in unconstrained space.

    p(v | x) ≈ N(v | mode, (-H)⁻¹),    log p(x) ≈ log p(mode, x) + m/2 log 2π - 1/2 log |-H|

with the exact Hessian H of the log density, Jacobian included. Importance weights of the draws tell
how far the Gaussian can be trusted. The evidence is that of importance sampling, in `evidence.py`;
the approximation stands beside it. The Gaussians at all modes may be mixed, each with its part of
the evidence.

Source: Tierney & Kadane (1986); Vehtari et al. (2024) for the Pareto k-hat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..model.log_density import LogDensity
from ..running.seeds import Stream
from .chains.sampling import independent_draws
from .climb.optimise import em_search, em_start, mode_from, outcome_at
from .modes.found import FoundMode, FoundModes
from .modes.mixed import Around, Mixed
from .modes.mode import LARGEST, Mode, laplace_evidence
from .modes.places import Places, check_modes, look, worst
from .starts.solutions import within_reach
from .task import Options, Outcome, Run, Status, Task, progress_bar
from .weighing.at_mode import AtMode
from .weighing.evidence import UNKNOWN, Evidence, Sampled, sampled

TRUSTED = 1.0  # Pareto's k of the importance weights, from which on they have no mean


@dataclass(frozen=True, kw_only=True)
class LaplaceOptions(Options):
    """Options of Laplace's method.

    Attributes:
        n_draws: draws that the posterior keeps.
        modes: "one", or "all" for a mixture of the Gaussians at all modes that are found.
    """

    tolerance: float = 1e-10
    n_draws: int = 1000
    modes: str = "one"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count(n_draws=1)
        check_modes(self)


def fit_laplace(task: Task[LaplaceOptions]) -> Outcome:
    """The mode, draws from the Gaussian there, and estimates of the log evidence.

    Where the prior tells components apart, they are numbered as it holds likeliest; a start that
    is given, by labels or a mixture, keeps its own numbering.

    Raises:
        ValueError: if the model has more numbers than a Hessian can be had for.
    """
    density = task.model.log_density(task.observations)
    if density.dimension > LARGEST:
        raise ValueError(
            f"laplace takes at most {LARGEST} unconstrained numbers, the model has "
            f"{density.dimension}; svi with guide='normal' takes any number"
        )
    with progress_bar(task) as bar:
        search = em_search(task, bar)
        start = em_start(task, density, bar, search)
        first = mode_from(task, density, start, bar, tolerance=task.options.tolerance)
        looked = look(task, density, search, first, bar, modes=task.options.modes)
    if looked.places is not None:
        return _at_all(task, density, looked.places, first)
    if looked.first.status is Status.COLLAPSED:
        unknown = {**vars(UNKNOWN), "log_evidence_laplace": math.nan}
        return outcome_at(density, looked.first, diagnostics=unknown)
    return _at_one(task, density, Mode.at(density, looked.first), looked.found)


def _at_one(
    task: Task[LaplaceOptions], density: LogDensity, mode: Mode, found: FoundModes | None
) -> Outcome:
    """The Gaussian at a mode, and what is known of others."""
    sample = _sampled(task, density, [mode], mode.run.status)
    laplace = laplace_evidence(density, mode) if mode.is_peak else math.nan
    mixed = Mixed([Around(mode.centre, mode.root)], [1.0])
    status = mode.run.status if sample is not None else Status.INTERRUPTED
    return _outcome(task, density, replace(mode.run, status=status), mixed, sample, laplace, found)


def _at_all(
    task: Task[LaplaceOptions], density: LogDensity, places: Places, first: Run[torch.Tensor]
) -> Outcome:
    """The mixture of the Gaussians at all modes."""
    sample = _sampled(task, density, places.solutions, places.status)
    masses, others = _masses(places, sample)
    kept = within_reach(torch.tensor([mass.log_evidence for mass in masses]).double())
    modes, masses = [places.places[i].mode for i in kept], [masses[i] for i in kept]
    described = FoundModes.of(
        [
            FoundMode(mode.log_density, described=True, **vars(mass))
            for mode, mass in zip(modes, masses, strict=True)
        ]
    )
    found = FoundModes.of([*described.modes, *others])
    mixed = Mixed([Around(mode.centre, mode.root) for mode in modes], described.shares)
    status = worst([mode.run.status for mode in modes])
    status = status if sample is not None else Status.INTERRUPTED
    laplace = _laplace_of(places, kept)
    run = replace(modes[0].run, status=status, search=first.search)
    return _outcome(task, density, run, mixed, sample, laplace, found)


def _laplace_of(places: Places, kept: list[int]) -> float:
    """Laplace's approximation of what is about some places, in nats; NaN if one is no peak."""
    if not all(places.places[i].mode.is_peak for i in kept):
        return math.nan
    return float(torch.tensor([places.laplace[i] for i in kept]).double().logsumexp(0))


@dataclass(frozen=True)
class Mass:
    """What is around a mode of the log evidence, and its standard error if there is one."""

    log_evidence: float
    log_evidence_se: float = math.nan


def _masses(places: Places, sample: Sampled | None) -> tuple[list[Mass], list[FoundMode]]:
    """What is about each place, and numberings that are left out: by importance sampling if can be.

    Laplace's approximation stands in where importance weights have no mean.
    """
    left_out = {claim: Mass(value) for claim, value in places.left_out.items()}
    masses = [Mass(value) for value in places.laplace]
    if sample is not None and sample.evidence().evidence_k_hat < TRUSTED:
        near = [sample.evidence_near(i, some) for i, some in enumerate(places.numberings)]
        masses = [_sum([near[i][j] for i, j in place.claims]) for place in places.places]
        left_out = {(i, j): _sum([near[i][j]]) for i, j in left_out}
    others = [
        FoundMode(places.solutions[i].log_density, described=False, **vars(mass))
        for (i, _), mass in left_out.items()
    ]
    return masses, others


def _sum(parts: Sequence[Evidence]) -> Mass:
    """Of independent parts of the evidence; a part in which there is no draw is none."""
    logs = torch.tensor([part.log_evidence for part in parts]).double().nan_to_num(nan=-math.inf)
    errors = torch.tensor([part.log_evidence_se for part in parts]).double().nan_to_num(nan=0.0)
    total = logs.logsumexp(0)
    return Mass(float(total), float(((logs - total).exp() * errors).norm()))


def _sampled(
    task: Task[LaplaceOptions], density: LogDensity, modes: Sequence[Mode], status: Status
) -> Sampled | None:
    """Draws by importance sampling about modes that no numbering makes the same.

    None after an interrupt. Half of the draws are shared evenly, half by Laplace's approximation.
    """
    if status is Status.INTERRUPTED:
        return None
    heights = torch.tensor([mode.log_evidence for mode in modes]).nan_to_num(nan=-math.inf)
    shares = heights.softmax(0).nan_to_num(nan=1.0) + 1 / len(modes)
    at_modes = [AtMode(density, mode.centre, mode.root) for mode in modes]
    try:
        return sampled(density, at_modes, shares.tolist(), seed=task.options.seed)
    except KeyboardInterrupt:
        return None


def _outcome(
    task: Task[LaplaceOptions],
    density: LogDensity,
    run: Run[torch.Tensor],
    mixed: Mixed,
    sample: Sampled | None,
    laplace: float,
    found: FoundModes | None,
) -> Outcome:
    """What there is of a mixture of Gaussians, the first of them at the end of a run."""
    vectors = mixed.draws(task.options.n_draws, task.generator(Stream.DRAWS))
    sites, log_q = density.constrain(vectors), mixed.log_density(vectors)
    evidence: Evidence = UNKNOWN if sample is None else sample.evidence()
    if not density.renumbers:  # what other numberings add is not known
        evidence, laplace = UNKNOWN, math.nan
    return outcome_at(
        density,
        run,
        posterior=independent_draws(density, sites, log_q),
        diagnostics={**vars(evidence), "log_evidence_laplace": laplace},
        modes=found,
    )
