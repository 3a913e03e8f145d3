"""Stochastic variational inference: the Gaussian over unconstrained space that maximises the ELBO.

    ELBO = E_q[log p(sites(z), x) + log |det ∂sites/∂z|] + entropy of q

The collapsed engine starts at the mode with the curvature's widths, draws all particles in one
reduction, and averages iterates; the enumerated engine is Pyro's own SVI over the Pyro program.

Source: Kucukelbir et al. (2017); Hoffman et al. (2013) for minibatches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..model import LogDensity
from ..observations import Observations
from ..posterior import Posterior
from ..start import sample_of
from .adam import ascend
from .enumerated import Engine, check_engine, run_pyro_svi
from .guide import Guide, guide_at_mode
from .optimise import em_start, find_mode, units
from .task import Options, Outcome, Run, Task, check_batch_and_rate, check_count, progress_bar

GUIDES = ("normal", "multivariate", "low_rank")
JUDGES = 256  # fixed draws that blocks are judged by
MODE_TOLERANCE = 1e-8  # nats a point, for the mode that the guide starts from
LARGEST_CURVATURE = 300  # unconstrained numbers up to which the whole Hessian is taken
PARTICLES = 16  # draws a step
RATE = 0.05  # first step size, in standard deviations of the guide
SETS_AT_ONCE = 64  # parameter sets in one batch of gradients


@dataclass(frozen=True, kw_only=True)
class SVIOptions(Options):
    """Options of variational inference.

    Attributes:
        guide: "normal", "multivariate" or "low_rank"; with the enumerated engine also a guide of
            Pyro's: an AutoGuide class, or a function or module with the model's arguments.
        engine: "collapsed", or "enumerated" for Pyro's SVI with TraceEnum_ELBO.
        n_particles: draws a step; 16 for the collapsed engine, 1 for the enumerated one, if None.
        n_draws: draws that the posterior keeps.
        batch_size: points in a minibatch, or None for all.
        rate: first step size of Adam: of the guide's own units for the collapsed engine, of
            Pyro's parameters for the enumerated one, which does not average its iterates.
    """

    max_steps: int = 3000
    tolerance: float = 1e-5
    guide: Any = "normal"
    engine: Engine = "collapsed"
    n_particles: int | None = None
    n_draws: int = 1000
    batch_size: int | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_engine(self.engine)
        check_count("n_draws", self.n_draws, 1)
        check_count("n_particles", PARTICLES if self.n_particles is None else self.n_particles, 1)
        check_batch_and_rate(self.batch_size, self.rate)
        named = isinstance(self.guide, str) or self.engine == "collapsed"
        if named and self.guide not in GUIDES:
            raise ValueError(
                f"guide must be one of {', '.join(GUIDES)}, or a Pyro guide with "
                f"engine='enumerated'; got {self.guide!r}"
            )


def fit_svi(task: Task) -> Outcome:
    """The best guide, draws from it, and the mixture at its centre."""
    density = task.model.log_density(task.observations)
    with progress_bar(task) as bar:
        start = em_start(task, density, bar)
        if task.options.engine == "enumerated":
            return run_pyro_svi(task, density, start, bar)
        mode = find_mode(
            density,
            start.state,
            jacobian=True,
            tolerance=MODE_TOLERANCE * task.observations.total_weight,
            max_steps=start.allows(task.options.max_steps),
            bar=bar,
        )
        mode = start.then(mode)
        guide = guide_at_mode(task.options.guide, mode.state[0], _curvature(task, density, mode))
        run = mode.then(
            _run_collapsed(task, density, guide, bar, mode.allows(task.options.max_steps))
        )
    noise = _noise(task.generator(2), guide, task.options.n_draws)
    with torch.no_grad():
        draws = density.constrain(guide.draws(run.state.vector, noise))
    centre = density.constrain(guide.location(run.state.vector)[None])
    return Outcome(
        parameters=density.parameters(centre),
        objective=run.history[-1],
        history=run.history,
        status=run.status,
        steps=run.steps,
        posterior=Posterior({name: value[None] for name, value in draws.items()}),
    )


def elbo(
    density: LogDensity | Callable[..., Tensor],
    guide: Guide,
    vector: Float[Tensor, "p"],
    noise: Float[Tensor, "s e"],
    rows: Observations | None = None,
) -> Float[Tensor, ""]:
    """Monte Carlo estimate of the ELBO in nats, differentiable in the guide's parameters."""
    value = density(guide.draws(vector, noise), rows=rows).mean()
    return value + guide.distribution(vector).entropy()


def _run_collapsed(
    task: Task, density: LogDensity, guide: Guide, bar: tqdm[Any], max_steps: int
) -> Run[Any]:
    """Ascend the ELBO with fresh antithetic draws, judged by fixed ones.

    The gradient follows the draws only (Roeder, Wu & Duvenaud 2017): its noise vanishes as the
    guide comes to fit.
    """
    judges = _noise(task.generator(1), guide, JUDGES)
    generator = task.generator()

    def gradient(vector: Tensor) -> Tensor:
        vector = vector.detach().requires_grad_()
        noise = _noise(generator, guide, task.options.n_particles or PARTICLES)
        rows = _minibatch(task, generator)
        draws = guide.draws(vector, noise)
        entropies = -guide.distribution(vector.detach()).log_prob(draws)
        return torch.autograd.grad((density(draws, rows=rows) + entropies).mean(), vector)[0]

    def objective(vector: Tensor) -> float:
        with torch.no_grad():
            return float(elbo(density, guide, vector, judges))

    return ascend(
        gradient,
        objective,
        guide.loc.new_zeros(guide.n_parameters),
        rate=task.options.rate or RATE,
        tolerance=task.options.tolerance * task.observations.total_weight,
        max_steps=max_steps,
        bar=bar,
    )


def _noise(generator: torch.Generator, guide: Guide, count: int) -> Float[Tensor, "s e"]:
    """Standard normal numbers in antithetic pairs."""
    half = torch.randn(
        (count + 1) // 2,
        guide.n_noise,
        generator=generator,
        dtype=guide.loc.dtype,
        device=guide.loc.device,
    )
    return torch.cat([half, -half])[:count]


def _minibatch(task: Task, generator: torch.Generator) -> Observations | None:
    size, n = task.options.batch_size, task.observations.n
    if size is None or size >= n:
        return None
    device = task.observations.x.device
    return task.observations.subset(torch.randint(n, (size,), generator=generator, device=device))


def _curvature(task: Task, density: LogDensity, mode: Run[Tensor]) -> Tensor:
    """Minus the Hessian at the mode, by differences of exact gradients in one batch.

    It only starts the guide, so it is taken on a sample of the data; and where it would be too
    large, an information of n / k points a number stands in for its diagonal.
    """
    m = density.dimension
    unit = units(density)
    if m > LARGEST_CURVATURE:
        return task.observations.n / task.model.n_components / unit.square()
    generator = torch.Generator().manual_seed(task.options.seed)
    rows = sample_of(task.observations, task.model.n_components, generator)
    steps = torch.diag(1e-4 * unit)
    points = torch.cat([mode.state + steps, mode.state - steps])
    gradients = torch.cat([_gradients(density, part, rows) for part in points.split(SETS_AT_ONCE)])
    return (gradients[m:] - gradients[:m]) / (2e-4 * unit[:, None])


def _gradients(
    density: LogDensity, vectors: Float[Tensor, "s m"], rows: Observations
) -> Float[Tensor, "s m"]:
    vectors = vectors.detach().requires_grad_()
    return torch.autograd.grad(density(vectors, rows=rows).sum(), vectors)[0]
