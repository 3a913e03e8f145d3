"""Stochastic variational inference: the Gaussian over unconstrained space that maximises the ELBO.

    ELBO = E_q[log p(sites(z), x) + log |det ∂sites/∂z|] + entropy of q

The ascent starts at the mode with the curvature's widths, and has all draws in one reduction. They
stay the same from step to step, so that the ELBO is a smooth function which a quasi-Newton method
takes to its maximum; minibatches are climbed by Adam with fresh draws, and iterates are averaged.

Source: Kucukelbir et al. (2017); Giordano et al. (2024); Hoffman et al. (2013) for minibatches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..data.checks import shown
from ..model.log_density import LogDensity
from ..running.seeds import Stream
from .chains.sampling import independent_draws
from .climb.adam import ascend, batch, batch_size
from .climb.climb import climb
from .climb.curvature import curvature, inverse, widths
from .climb.optimise import em_search, em_start, likelier_numbering, mode_from, outcome_at
from .guides.bound import FIXED_DRAWS, elbo, enough_draws, matched_noise, normal_noise
from .guides.gaussian import Guide, MultivariateGuide, NormalGuide, low_rank_at_mode
from .guides.several import Fitted, Judged, apart, judged_by, mixed_guides
from .guides.structured import structured_at_mode
from .modes.found import FoundMode, FoundModes
from .modes.places import Places, check_modes, look, worst
from .task import Options, Outcome, Run, Status, Task, progress_bar

AtMode = Callable[[LogDensity, Float[Tensor, "m"], Float[Tensor, "m m"]], Guide]

GUIDES: dict[str, AtMode] = {  # from a mode, and minus the Hessian there
    "normal": lambda _, mode, shape: NormalGuide(mode, widths(shape)),
    "multivariate": lambda _, mode, shape: MultivariateGuide(
        mode, torch.linalg.cholesky(inverse(shape))
    ),
    "low_rank": lambda _, mode, shape: low_rank_at_mode(mode, shape),
    "structured": structured_at_mode,
}
MODE_TOLERANCE = 1e-8  # nats a point, for the mode that the guide starts from
PARTICLES = 16  # draws a step
RENUMBERINGS = 2  # ascents that go on from another numbering of where the last has ended
RATE = 0.05  # first step size, in standard deviations of the guide


@dataclass(frozen=True, kw_only=True)
class GuideOptions(Options):
    """Options of variational inference by any engine.

    Attributes:
        guide: "normal", "multivariate", "low_rank", or "structured" for Dirichlet weights and a
            multivariate normal for each component.
        n_particles: fresh draws a step, for Adam. If None, at least 256 that stay, or 16 fresh
            ones with minibatches.
        n_draws: draws that the posterior keeps.
        batch_size: points in a minibatch, or None for all.
        rate: first step size of Adam, if wanted, in the guide's own units.
    """

    max_steps: int = 3000
    tolerance: float = 1e-6
    guide: Any = "normal"
    n_particles: int | None = None
    n_draws: int = 1000
    batch_size: int | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count(n_draws=1)
        if self.n_particles is not None:
            self._count(n_particles=1)
        if self.batch_size is not None:
            self._count(batch_size=1)
        if self.rate is not None:
            self._measure("rate", positive=True)
        self._check_guide()

    @property
    def reductions(self) -> tuple[int, int]:
        """See `Options`."""
        return super().reductions[0], self.n_particles or FIXED_DRAWS

    def _check_guide(self) -> None:
        if not isinstance(self.guide, str) or self.guide not in GUIDES:
            raise ValueError(
                f"guide must be one of {', '.join(GUIDES)}, or a Pyro guide with "
                f"engine='enumerated'; got {shown(self.guide)}"
            )


@dataclass(frozen=True, kw_only=True)
class SVIOptions(GuideOptions):
    """Options of variational inference.

    Attributes:
        modes: "one", or "all" for a mixture of the guides at all modes that are found.
    """

    modes: str = "one"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_modes(self)


def fit_svi(task: Task[SVIOptions]) -> Outcome:
    """The best guide, draws from it, and the mixture at its centre."""
    density = task.model.log_density(task.observations)
    if task.model.fixed is not None and task.options.guide == "structured":
        raise ValueError("guide='structured' has no room for fixed parameters: take another guide")
    with progress_bar(task) as bar:
        search = em_search(task, bar)
        start = em_start(task, density, bar, search)
        mode = mode_from(task, density, start, bar, tolerance=MODE_TOLERANCE)
        looked = look(task, density, search, mode, bar, modes=task.options.modes)
        if looked.places is not None:
            fitted = _about_all(task, density, looked.places, bar)
            return _outcome(task, density, fitted, mode, looked.places)
        if looked.first.status is Status.COLLAPSED:
            return outcome_at(density, looked.first)
        fitted = [_approximation(task, density, looked.first, bar)]
    return replace(_outcome(task, density, fitted, mode), modes=looked.found)


@torch.no_grad()
def _outcome(
    task: Task[SVIOptions],
    density: LogDensity,
    fitted: list[Fitted],
    mode: Run[Tensor],
    places: Places | None = None,
) -> Outcome:
    """The mixture of some guides that maximises the ELBO, if they do not overlap.

    The weights are in proportion to exp(ELBO) of each.
    """
    judged = [judged_by(task, density, one) for one in fitted]
    judged = [judged[i] for i in apart(judged)]
    mixed, objective = mixed_guides(judged)
    vectors = mixed.draws(task.options.n_draws, task.generator(Stream.DRAWS))
    draws, log_q = density.constrain(vectors), mixed.log_density(vectors)
    best = judged[0].fitted
    status = worst([one.fitted.run.status for one in judged])
    run = replace(best.run, state=best.centre[None], status=status, search=mode.search)
    found = None if places is None else _found(density, judged, places)
    posterior = independent_draws(density, draws, log_q)
    return outcome_at(density, run, objective=objective, posterior=posterior, modes=found)


def _found(density: LogDensity, judged: list[Judged], places: Places) -> FoundModes:
    """The modes by the ELBO of their guides, and those without one as far behind as by Laplace."""
    log_count = places.numberings[0].log_count
    found = [
        FoundMode(float(density(one.fitted.centre[None])), one.bound + log_count, described=True)
        for one in judged
    ]
    shift = judged[0].bound + log_count - max(places.laplace)
    for (i, _), mass in places.left_out.items():
        found.append(FoundMode(places.solutions[i].log_density, mass + shift, described=False))
    return FoundModes.of(found)


def _about_all(
    task: Task[SVIOptions], density: LogDensity, places: Places, bar: tqdm[Any]
) -> list[Fitted]:
    """The best guides that are reached from all modes, or from some before an interrupt."""
    fitted: list[Fitted] = []
    for place in places.places:
        fitted.append(_approximation(task, density, place.mode.run, bar, renumber=False))
        if fitted[-1].run.is_the_last:
            break
    return fitted


def _approximation(
    task: Task[SVIOptions],
    density: LogDensity,
    mode: Run[Float[Tensor, "1 m"]],
    bar: tqdm[Any],
    *,
    renumber: bool = True,
) -> Fitted:
    """The best guide that is reached from a mode.

    All steps share their draws where they have all of the data, unless Adam is asked for. A guide's
    centre is not the mode. Where another numbering of the centre has a higher prior density, the
    ascent goes on from there.
    """
    options = task.options
    whole = batch_size(task.observations, options.batch_size) is None
    by_adam = not whole or options.n_particles is not None or options.rate is not None
    ascent = _ascend_fresh_draws if by_adam else _ascend_fixed_draws

    def ascended(vector: Float[Tensor, "1 m"], max_steps: int) -> tuple[Guide, Run[Tensor]]:
        shape = curvature(density, vector, seed=options.seed)
        guide = GUIDES[options.guide](density, vector[0], shape)
        return guide, ascent(task, density, guide, bar, max_steps)

    guide, leg = ascended(mode.state, mode.allows(options.max_steps))
    run = mode.then(leg)
    for _ in range(RENUMBERINGS if renumber else 0):
        likelier = likelier_numbering(task, density, guide.location(run.state)[None])
        if likelier is None or run.is_the_last:
            break
        guide, leg = ascended(likelier, max(0, options.max_steps - run.steps))
        run = run.followed_by(leg)
    return Fitted(guide, run)


def _ascend_fixed_draws(
    task: Task[SVIOptions], density: LogDensity, guide: Guide, bar: tqdm[Any], max_steps: int
) -> Run[Tensor]:
    """The maximum of the ELBO's estimate by fixed draws, which is a smooth function.

    Source: Giordano, Ingram & Broderick (2024).
    """
    noise = matched_noise(task.generator(), guide, enough_draws(guide))
    return climb(
        lambda vector: elbo(density, guide, vector, noise),
        guide.loc.new_zeros(guide.n_parameters),
        tolerance=task.options.tolerance * task.observations.total_weight,
        max_steps=max_steps,
        bar=bar,
    )


def _ascend_fresh_draws(
    task: Task[SVIOptions], density: LogDensity, guide: Guide, bar: tqdm[Any], max_steps: int
) -> Run[Tensor]:
    """Ascend the ELBO with fresh antithetic draws, judged by fixed ones, averaging iterates.

    The gradient follows the draws only (Roeder, Wu & Duvenaud 2017): its noise vanishes as the
    guide comes to fit.
    """
    judges = matched_noise(task.generator(Stream.JUDGES), guide, FIXED_DRAWS)
    generator = task.generator()

    def gradient(vector: Tensor) -> Tensor:
        vector = vector.detach().requires_grad_()
        count = task.options.n_particles or PARTICLES
        half = normal_noise(generator, guide, (count + 1) // 2)
        noise = torch.cat([half, -half])[:count]  # antithetic pairs
        rows = batch(task.observations, task.options.batch_size, generator)
        draws = guide.draws(vector, noise)
        entropies = -guide.distribution(vector.detach()).log_prob(draws)
        return torch.autograd.grad((density(draws, rows=rows) + entropies).mean(), vector)[0]

    def objective(vector: Tensor) -> float:
        with torch.no_grad():
            return float(elbo(density, guide, vector, judges))

    run = ascend(
        gradient,
        objective,
        guide.loc.new_zeros(guide.n_parameters),
        rate=task.options.rate or RATE,
        tolerance=task.options.tolerance * task.observations.total_weight,
        max_steps=max_steps,
        bar=bar,
        generator=generator,
    )
    return Run(run.state.vector, run.history, run.status, run.stride)
