"""Maximum a posteriori: the mode of the posterior density of the sites.

The density is that of (weights, means, scales, correlations) themselves, as AutoDelta's is: no
Jacobian. `laplace` and `svi` work in unconstrained space, with it. A mode depends on the
coordinates that its density is written in, and Cholesky factors of correlations are written in an
order of the features: from three features on, the mode of a full or tied covariance depends a
little on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data.words import listed
from ..model.log_density import LogDensity
from .climb.optimise import em_search, em_start, mode_from, outcome_at
from .modes.beside import Looking, climbs_beside
from .task import Options, Outcome, Run, Status, Task, progress_bar

NEARLY_EMPTY = (1e-100, 1e-150)  # weights; a density that rises from one to the other has no end
RISE = 1e-3  # nats that are no rounding
DENSER = Looking(most=2, tolerance=0.0, only_sound=True, jacobian=False, margin=-RISE)


@dataclass(frozen=True, kw_only=True)
class MAPOptions(Options):
    """Options of MAP: the common ones."""

    tolerance: float = 1e-10


def fit_map(task: Task[MAPOptions]) -> Outcome:
    """The mode that is reached from the best EM start, or from one that is denser than it.

    Where the prior tells components apart, they are numbered as it holds likeliest; a start that
    is given, by labels or a mixture, keeps its own numbering.

    Raises:
        ValueError: if the prior of the weights has no mode.
    """
    density = task.model.log_density(task.observations)
    refuse_no_mode(density)
    with progress_bar(task) as bar:
        search = em_search(task, bar)
        start = em_start(task, density, bar, search)
        tolerance = task.options.tolerance
        run = mode_from(task, density, start, bar, tolerance=tolerance, jacobian=False)
        if run.status is Status.CONVERGED:
            looking = replace(DENSER, tolerance=tolerance)
            others = climbs_beside(task, density, search, run, bar, looking)
            run = _highest(run, others)
    return outcome_at(density, run)


def _highest(first: Run[Tensor], others: list[Run[Tensor]]) -> Run[Tensor]:
    """The highest of some modes: the first, unless another has converged and is higher."""
    best = first
    for other in others:
        if other.status is Status.CONVERGED and other.history[-1] > best.history[-1] + RISE:
            best = replace(other, search=first.search)
        elif other.status is Status.INTERRUPTED:
            best = replace(best, status=Status.INTERRUPTED)
    return best


@torch.no_grad()
def refuse_no_mode(density: LogDensity) -> None:
    """Refuse a prior of the weights whose density still rises where one is next to nothing.

    The density of the unconstrained vector has a mode all the same, and so do averages over draws.
    """
    k, origin = density.model.n_components, density.observations.origin
    if k == 1 or "weights" not in density.prior:  # where they follow from sites, nothing is known
        return
    values = density.constrain(origin.new_zeros(k, density.dimension))

    def without_each(weight: float) -> Tensor:
        others = origin.new_full((k, k), (1 - weight) / (k - 1)).fill_diagonal_(weight)
        return density.prior.log_prob("weights", {**values, "weights": others})

    near, nearer = (without_each(weight) for weight in NEARLY_EMPTY)
    unbounded = (nearer - near > RISE).nonzero()[:, 0].tolist()
    if unbounded:
        raise ValueError(
            "map needs a prior of the weights that has a mode; this one grows without bound where "
            f"{_weights(unbounded, k)}, as a Dirichlet does with a concentration below 1. Take "
            "concentrations of at least 1, or a method that does not look for this mode: laplace, "
            "svi or nuts, or gibbs with ConjugatePriors"
        )


def _weights(components: list[int], k: int) -> str:
    if len(components) == k:
        return "any weight goes to zero"
    return f"the weight of component {listed([str(i) for i in components])} goes to zero"
