"""Pyro's own route: guides and SVI over the program, with the assignment summed out in parallel.

It is here so that what enumeration costs can be compared. Pyro keeps parameters in a store of the
process and draws from torch's default generator; both are put back as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..model import LogDensity
from ..posterior import Posterior
from .task import Outcome, Run, Task, iterate

Engine = Literal["collapsed", "enumerated"]

BLOCK = 25  # steps whose mean loss is one entry of the history
WINDOW = 3  # blocks on either side of the comparison that ends a noisy climb
FINAL_PARTICLES = 64  # draws that the reported ELBO is the mean of; 16 times as many at once
INITIAL_SCALE = 0.05  # of a guide: narrow, so that components do not swap or merge early
RATE = 0.02  # first step size of Adam
SLOWEST = 0.01  # share of the first rate that is left at the step limit


def check_engine(engine: str) -> None:
    """Refuse an engine that does not exist."""
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be one of {', '.join(get_args(Engine))}; got {engine!r}")


@contextmanager
def isolated(seed: int, device: torch.device) -> Iterator[None]:
    """A parameter store and a default generator of its own, restored at the end.

    Pyro's validation is off meanwhile: it costs a fifth of the time, and the model is known.
    """
    import pyro

    cuda = [device] if device.type == "cuda" else []
    with (
        pyro.get_param_store().scope(),
        torch.random.fork_rng(devices=cuda),
        pyro.validation_enabled(is_validate=False),
    ):
        torch.manual_seed(seed)
        yield


def run_auto_delta(
    task: Task, density: LogDensity, start: Float[Tensor, "1 m"], bar: tqdm[Any]
) -> Run[Tensor]:
    """MAP by AutoDelta and TraceEnum_ELBO, from a vector to a vector."""
    from pyro.infer.autoguide import AutoDelta, init_to_value

    with isolated(task.options.seed, task.observations.x.device):
        values = _site_values(density, start)
        guide = AutoDelta(_continuous(task), init_loc_fn=init_to_value(values=values))
        run = _train(task, guide, bar, noisy=False)
        found = guide(task.observations.x, **_weights(task))
        modes = {site.name: found[site.name].detach()[None] for site in density.sites}
    return Run(density.unconstrain(modes), run.history, run.status, run.stride)


def run_pyro_svi(
    task: Task, density: LogDensity, start: Float[Tensor, "1 m"], bar: tqdm[Any]
) -> Outcome:
    """SVI with one of Pyro's guides, or the user's, and draws from the trained guide."""
    with isolated(task.options.seed, task.observations.x.device):
        guide = _guide(task, _site_values(density, start))
        run = _train(task, guide, bar, noisy=True)
        ours = isinstance(task.options.guide, str)
        loss = _loss(particles=FINAL_PARTICLES * (16 if ours else 1), at_once=ours)
        elbo = -float(loss.loss(task.model, guide, task.observations.x, **_weights(task)))
        draws = _draws_at_once(task, guide, density) if ours else _draws(task, guide, density)
    centre = density.unconstrain(draws).mean(0, keepdim=True)
    return Outcome(
        parameters=density.parameters(density.constrain(centre)),
        objective=elbo,
        history=run.history,
        status=run.status,
        steps=run.steps + run.stride,
        posterior=Posterior({name: value[None] for name, value in draws.items()}),
    )


def _continuous(task: Task) -> Callable[..., Any]:
    """The program without its discrete site, which an automatic guide must not see."""
    import pyro

    blocked: Callable[..., Any] = pyro.poutine.block(task.model, hide=["assignment"])
    return blocked


def _guide(task: Task, values: dict[str, Tensor]) -> Callable[..., Any]:
    """An automatic guide by name or class, or the user's own."""
    from pyro.infer import autoguide

    names = {
        "normal": autoguide.AutoNormal,
        "multivariate": autoguide.AutoMultivariateNormal,
        "low_rank": autoguide.AutoLowRankMultivariateNormal,
    }
    guide: Any = task.options.guide
    guide = names[guide] if isinstance(guide, str) else guide
    if not (isinstance(guide, type) and issubclass(guide, autoguide.AutoGuide)):
        return cast(Callable[..., Any], guide)
    options: dict[str, Any] = {"init_loc_fn": autoguide.init_to_value(values=values)}
    if issubclass(guide, autoguide.AutoNormal | autoguide.AutoContinuous):
        options["init_scale"] = INITIAL_SCALE
    return cast(Callable[..., Any], guide(_continuous(task), **options))


def _train(task: Task, guide: Callable[..., Any], bar: tqdm[Any], *, noisy: bool) -> Run[None]:
    """Steps of Pyro's SVI in blocks, with a rate that falls geometrically."""
    from pyro.infer import SVI
    from pyro.optim import ClippedAdam

    decay = SLOWEST ** (1 / task.options.max_steps)
    optimiser = ClippedAdam({"lr": task.options.rate or RATE, "lrd": decay, "clip_norm": 1e6})
    loss = _loss(getattr(task.options, "n_particles", None) or 1)
    svi = SVI(task.model, guide, optimiser, loss)
    stride = min(BLOCK, task.options.max_steps)
    arguments = {**_weights(task), **_minibatch(task)}
    blocks: list[Tensor] = []

    def block(_: None) -> None:
        losses = [svi.step(task.observations.x, **arguments) for _ in range(stride)]
        blocks.append(-torch.tensor(losses, dtype=torch.float64))

    block(None)
    bar.update(stride)
    tolerance = task.options.tolerance * task.observations.total_weight
    return iterate(
        block,
        None,
        lambda _: float(blocks[-1].mean() if noisy else blocks[-1][-1]),
        converged=lambda _: _settled(blocks, tolerance, noisy=noisy),
        max_steps=task.options.max_steps - stride,
        bar=bar,
        stride=stride,
    )


def _settled(blocks: list[Tensor], tolerance: float, *, noisy: bool) -> bool:
    """Whether the objective has stopped rising: by less than the tolerance, or than its noise.

    A noisy one is judged by the means of two windows of blocks, and must rise by less than half of
    the standard error of their difference.
    """
    if not noisy:
        return bool(abs(blocks[-1][-1] - blocks[-2][-1]) <= tolerance)
    if len(blocks) < 2 * WINDOW:
        return False
    after, before = torch.cat(blocks[-WINDOW:]), torch.cat(blocks[-2 * WINDOW : -WINDOW])
    noise = ((before.var() + after.var()) / len(after)).sqrt()
    return bool(after.mean() - before.mean() <= max(tolerance, float(noise) / 2))


def _loss(particles: int = 1, *, at_once: bool = False) -> Any:
    from pyro.infer import TraceEnum_ELBO

    return TraceEnum_ELBO(max_plate_nesting=1, num_particles=particles, vectorize_particles=at_once)


def _weights(task: Task) -> dict[str, Any]:
    """Keyword arguments that the program is called with beside the data."""
    weight = task.observations.sample_weight
    return {} if weight is None else {"sample_weight": weight}


def _minibatch(task: Task) -> dict[str, Any]:
    """The keyword argument that makes the data plate take a part of the rows."""
    size = getattr(task.options, "batch_size", None)
    return {} if size is None or size >= task.observations.n else {"subsample_size": size}


def _site_values(density: LogDensity, start: Float[Tensor, "1 m"]) -> dict[str, Tensor]:
    return {name: value[0].detach() for name, value in density.constrain(start).items()}


def _draws_at_once(task: Task, guide: Any, density: LogDensity) -> dict[str, Tensor]:
    """Draws of every site from one of the Gaussian guides, shape (draw, *site)."""
    from pyro.infer.autoguide import AutoNormal

    with torch.no_grad():
        if isinstance(guide, AutoNormal):
            parts = [guide._get_loc_and_scale(site.name) for site in density.sites]
            loc, scale = (torch.cat([t.flatten() for t in ts]) for ts in zip(*parts, strict=True))
            vectors = torch.distributions.Normal(loc, scale).sample((task.options.n_draws,))
        else:
            vectors = guide.get_posterior().sample((task.options.n_draws,))
        return density.constrain(vectors)


def _draws(task: Task, guide: Callable[..., Any], density: LogDensity) -> dict[str, Tensor]:
    """Draws of every site from any guide, one run each, shape (draw, *site)."""
    import pyro

    draws: dict[str, list[Tensor]] = {site.name: [] for site in density.sites}
    with torch.no_grad():
        for _ in range(task.options.n_draws):
            trace = pyro.poutine.trace(guide).get_trace(task.observations.x, **_weights(task))
            for name, values in draws.items():
                values.append(cast(Tensor, trace.nodes[name]["value"]))
    return {name: torch.stack(values) for name, values in draws.items()}
