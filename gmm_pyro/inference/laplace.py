"""Laplace's method: the posterior as a Gaussian at its mode, in unconstrained space.

    p(v | x) ≈ N(v | mode, (-H)⁻¹),    log p(x) ≈ log p(mode, x) + m/2 log 2π - 1/2 log |-H|

with the exact Hessian H of the log density, Jacobian included. Importance weights of the draws tell
how far the Gaussian can be trusted. The evidence is that of importance sampling, in `evidence.py`;
the approximation stands beside it.

Source: Tierney & Kadane (1986); Vehtari et al. (2024) for the Pareto k-hat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance.records import LOG_2PI
from ..model.log_density import LogDensity
from ..model.numbering import Numberings
from ..running.seeds import Stream
from .chains.sampling import independent_draws
from .climb.curvature import inverse
from .climb.hessian import hessian
from .climb.optimise import em_start, mode_from, outcome_at
from .task import Options, Outcome, Run, Status, Task, progress_bar
from .weighing.evidence import UNKNOWN, Evidence, estimated_evidence

LARGEST = 2_000  # unconstrained numbers, above which a Hessian would not fit in memory


@dataclass(frozen=True, kw_only=True)
class LaplaceOptions(Options):
    """Options of Laplace's method.

    Attributes:
        n_draws: draws that the posterior keeps.
    """

    tolerance: float = 1e-10
    n_draws: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count(n_draws=1)


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
        start = em_start(task, density, bar)
        mode = mode_from(task, density, start, bar, tolerance=task.options.tolerance)
    if mode.status is Status.COLLAPSED:
        unknown = {**vars(UNKNOWN), "log_evidence_laplace": math.nan}
        return outcome_at(density, mode, diagnostics=unknown)
    return _at_mode(task, density, mode)


def _at_mode(task: Task[LaplaceOptions], density: LogDensity, mode: Run[Tensor]) -> Outcome:
    centre = mode.state[0]
    curvature = -hessian(density, centre)
    root = torch.linalg.cholesky(inverse(curvature))
    noise = centre.new_empty(task.options.n_draws, len(centre))
    noise.normal_(generator=task.generator(Stream.DRAWS))
    log_q = -_log_volume(root) - 0.5 * noise.square().sum(1)
    sites = density.constrain(centre + noise @ root.T)
    is_peak = int(torch.linalg.cholesky_ex(curvature)[1]) == 0
    status, evidence = _evidence(task, density, mode, root)
    of_laplace = laplace_evidence(density, mode, root) if is_peak else math.nan
    return outcome_at(
        density,
        replace(mode, status=status),
        posterior=independent_draws(density, sites, log_q),
        diagnostics={**vars(evidence), "log_evidence_laplace": of_laplace},
    )


def _log_volume(root: Float[Tensor, "m m"]) -> float:
    """Minus the log density of a normal distribution at its peak."""
    return float(root.diagonal().log().sum()) + 0.5 * len(root) * LOG_2PI


def _evidence(
    task: Task[LaplaceOptions], density: LogDensity, mode: Run[Tensor], root: Float[Tensor, "m m"]
) -> tuple[Status, Evidence]:
    """The evidence, or none after an interrupt, and how the fit has ended."""
    if mode.status is not Status.INTERRUPTED:
        try:
            seed = task.options.seed
            return mode.status, estimated_evidence(density, mode.state, root, seed=seed)
        except KeyboardInterrupt:
            pass
    return Status.INTERRUPTED, UNKNOWN


def laplace_evidence(
    density: LogDensity, mode: Run[Float[Tensor, "1 m"]], root: Float[Tensor, "m m"]
) -> float:
    """Laplace's approximation of the log evidence, with what every numbering of the mode adds.

    That is log Σ_σ prior(σθ) - log prior(θ): log k! where the prior tells no components apart.
    """
    values = density.constrain(mode.state)
    numberings = Numberings.about(density, values)
    of_numberings = float(numberings.log_prior(density, values) - density.log_prior(values))
    return mode.history[-1] + _log_volume(root) + of_numberings
