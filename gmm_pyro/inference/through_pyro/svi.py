"""Variational inference by Pyro's SVI, with a guide of Pyro's or of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ...data.checks import shown
from ...model.log_density import LogDensity
from ..chains.sampling import independent_draws
from ..climb.optimise import em_start, outcome_at
from ..svi import GuideOptions
from ..task import Outcome, Run, Task, progress_bar
from .program import Program, isolated, told_of
from .training import RATE, Steps, loss_by, train

GUIDES = {  # of Pyro's, by our names
    "normal": "AutoNormal",
    "multivariate": "AutoMultivariateNormal",
    "low_rank": "AutoLowRankMultivariateNormal",
}
FINAL_PARTICLES = 64  # draws that the reported ELBO is the mean of; 16 times as many at once
INITIAL_SCALE = 0.05  # of a guide: narrow, so that components do not swap or merge early


@dataclass(frozen=True, kw_only=True)
class EnumeratedSVIOptions(GuideOptions):
    """Options of Pyro's SVI with TraceEnum_ELBO and Adam.

    Attributes:
        guide: "normal", "multivariate" or "low_rank", or a guide of Pyro's: an AutoGuide class, or
            a function or module with the model's arguments.
        n_particles: fresh draws a step; 1 if None.
        rate: first step size of Adam, in Pyro's parameters; .02 if None.
    """

    def _check_guide(self) -> None:
        known = self.guide in GUIDES if isinstance(self.guide, str) else callable(self.guide)
        if not known:
            raise ValueError(
                f"guide must be one of {', '.join(GUIDES)}, or a Pyro guide; "
                f"got {shown(self.guide)}"
            )


def fit_enumerated_svi(task: Task[EnumeratedSVIOptions]) -> Outcome:
    """The best guide that Pyro's SVI trains, draws from it, and the mixture at its centre."""
    density = task.model.log_density(task.observations)
    with progress_bar(task) as bar:
        return _trained(task, density, em_start(task, density, bar), bar)


def _trained(
    task: Task[EnumeratedSVIOptions], density: LogDensity, start: Run[Tensor], bar: tqdm[Any]
) -> Outcome:
    """SVI with one of Pyro's guides, or the user's, and draws from the trained guide."""
    options = task.options
    with isolated(options.seed, task.observations.device):
        program, guide = _program_and_guide(task, density, start.state)
        steps = Steps(
            noisy=True,
            rate=options.rate or RATE,
            n_particles=options.n_particles or 1,
            batch_size=options.batch_size,
        )
        leg = train(task, program, guide, steps, start, bar)
        run, ours = start.then(leg), isinstance(options.guide, str)
        many, x = ours and density.prior.vectorises, task.observations.measurements
        loss = loss_by(program, FINAL_PARTICLES * (16 if many else 1), at_once=many)
        elbo = -float(loss.loss(program.run, guide, x, **told_of(task)))
        with torch.no_grad():
            if ours:
                centre, draws, log_q = _centre_and_draws(task, program, guide)
            else:
                draws, log_q = _draws(task, program, guide), None
                centre = density.unconstrain(draws).mean(0, keepdim=True)
    posterior = independent_draws(density, draws, log_q)
    return outcome_at(density, replace(run, state=centre), objective=elbo, posterior=posterior)


def _program_and_guide(
    task: Task[EnumeratedSVIOptions], density: LogDensity, start: Float[Tensor, "1 m"]
) -> tuple[Program, Callable[..., Any]]:
    """The program, and an automatic guide by name or class, or the user's own."""
    from pyro.infer import autoguide

    guide: Any = task.options.guide
    guide = getattr(autoguide, GUIDES[guide]) if isinstance(guide, str) else guide
    if not (isinstance(guide, type) and issubclass(guide, autoguide.AutoGuide)):
        return Program.plain(task.model, density), cast(Callable[..., Any], guide)
    of_pyro = guide.__module__.startswith("pyro.")  # a user's own class may go by site names
    program = (Program.standardised if of_pyro else Program.plain)(task.model, density)
    options: dict[str, Any] = {"init_loc_fn": autoguide.init_to_value(values=program.values(start))}
    if issubclass(guide, autoguide.AutoNormal | autoguide.AutoContinuous):
        options["init_scale"] = INITIAL_SCALE
    return program, cast(Callable[..., Any], guide(program.continuous(), **options))


def _centre_and_draws(
    task: Task[EnumeratedSVIOptions], program: Program, guide: Any
) -> tuple[Float[Tensor, "1 m"], dict[str, Tensor], Float[Tensor, "s"]]:
    """The log density's vector at the centre of a Gaussian guide; draws, and their log density."""
    from pyro.infer.autoguide import AutoNormal

    if isinstance(guide, AutoNormal):
        parts = [guide._get_loc_and_scale(name) for name in program.site_names]
        loc, scale = (torch.cat([t.flatten() for t in ts]) for ts in zip(*parts, strict=True))
        gaussian = torch.distributions.Independent(torch.distributions.Normal(loc, scale), 1)
    else:
        gaussian = guide.get_posterior()
    drawn = gaussian.sample((task.options.n_draws,))
    log_q = gaussian.log_prob(drawn) - program.unit.log().sum()
    vectors = program.origin + program.unit * torch.cat([gaussian.mean[None], drawn])
    return vectors[:1], program.density.constrain(vectors[1:]), log_q


def _draws(
    task: Task[EnumeratedSVIOptions], program: Program, guide: Callable[..., Any]
) -> dict[str, Tensor]:
    """Draws of every site from any guide, one run each, shape (draw, *site)."""
    import pyro

    draws: dict[str, list[Tensor]] = {name: [] for name in program.site_names}
    for _ in range(task.options.n_draws):
        trace = pyro.poutine.trace(guide).get_trace(task.observations.measurements, **told_of(task))
        for name, values in draws.items():
            values.append(cast(Tensor, trace.nodes[name]["value"]))
    return program.restore({name: torch.stack(values) for name, values in draws.items()})
