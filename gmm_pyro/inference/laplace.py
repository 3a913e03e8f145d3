"""Laplace's method: the posterior as a Gaussian at its mode, in unconstrained space.

    p(v | x) ≈ N(v | mode, (-H)⁻¹),    log p(x) ≈ log p(mode, x) + m/2 log 2π - 1/2 log |-H|

with the exact Hessian H of the log density, Jacobian included. Importance weights of the draws tell
how far the Gaussian can be trusted.

Source: Tierney & Kadane (1986); Vehtari et al. (2024) for the Pareto k-hat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters
from ..covariance.family import LOG_2PI
from ..model import LogDensity
from ..posterior import Posterior
from .curvature import inverse
from .hessian import hessian
from .optimise import em_start, mode_from
from .task import Options, Outcome, Run, Task, progress_bar

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


def fit_laplace(task: Task) -> Outcome:
    """The mode, draws from the Gaussian there, and an estimate of the log evidence.

    The evidence counts all k! labellings of the mode where the prior does not tell components
    apart, as it should if they do not overlap.

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
    return _at_mode(task, density, mode)


def _at_mode(task: Task, density: LogDensity, mode: Run[Tensor]) -> Outcome:
    centre, m = mode.state[0], density.dimension
    curvature = -hessian(density, centre)
    root = torch.linalg.cholesky(inverse(curvature))
    noise = torch.randn(
        (task.options.n_draws, m),
        generator=task.generator(2),
        dtype=centre.dtype,
        device=centre.device,
    )
    vectors = centre + noise @ root.T
    log_peak = -float(root.diagonal().log().sum()) - 0.5 * m * LOG_2PI
    log_q = log_peak - 0.5 * noise.square().sum(1)
    sites = density.constrain(vectors)
    is_peak = int(torch.linalg.cholesky_ex(curvature)[1]) == 0
    evidence = mode.history[-1] - log_peak + log_labellings(density, mode.state)
    return Outcome(
        parameters=density.parameters(density.constrain(mode.state)),
        objective=mode.history[-1],
        history=mode.history,
        status=mode.status,
        steps=mode.steps,
        posterior=Posterior(
            {name: value[None] for name, value in sites.items()},
            density.model.family,
            density.observations,
            statistics={"log_q": log_q[None]},
            independent=True,
        ),
        diagnostics={"log_evidence": evidence if is_peak else math.nan},
    )


def log_labellings(density: LogDensity, vector: Float[Tensor, "1 m"]) -> float:
    """log k! where the prior does not tell components apart, else 0."""
    p = density.parameters(density.constrain(vector))
    k = p.means.shape[1]
    here = float(density.log_prior(density.values(p))[0])
    for i in range(k - 1):
        order = list(range(k))
        order[i : i + 2] = i + 1, i
        factor = p.factor if density.model.family.tied else p.factor[:, order]
        exchanged = Parameters(p.log_weights[:, order], p.means[:, order], factor)
        there = float(density.log_prior(density.values(exchanged))[0])
        if not math.isclose(here, there, rel_tol=1e-9, abs_tol=1e-9):
            return 0.0
    return math.lgamma(k + 1)
