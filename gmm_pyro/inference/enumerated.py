"""Pyro's own route: guides and SVI over the program, with the assignment summed out in parallel.

It is here so that what enumeration costs can be compared. Pyro keeps parameters in a store of the
process and draws from torch's default generator; both are put back as they were.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..model import LogDensity
from ..posterior import Posterior
from .task import Outcome, Run, Status, Task, iterate

Engine = Literal["collapsed", "enumerated"]

BLOCK = 25  # steps whose mean loss is one entry of the history
WINDOW = 3  # blocks on either side of the comparison that ends a noisy climb
FINAL_PARTICLES = 64  # draws that the reported ELBO is the mean of; 16 times as many at once
INITIAL_SCALE = 0.05  # of a guide: narrow, so that components do not swap or merge early
VALIDATION = tuple(  # pyro.validation_enabled would not put torch's own back
    f"validate_{what}" for what in ("distributions_pyro", "distributions_torch", "poutine", "infer")
)
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
        pyro.settings.context(**dict.fromkeys(VALIDATION, False)),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Encountered NaN")  # the fit's status says so
        torch.manual_seed(seed)
        yield


def run_auto_delta(
    task: Task, density: LogDensity, start: Run[Tensor], bar: tqdm[Any]
) -> Run[Tensor]:
    """MAP by AutoDelta and TraceEnum_ELBO, from a vector to a vector."""
    from pyro.infer.autoguide import AutoDelta, init_to_value

    with isolated(task.options.seed, task.observations.x.device):
        values = _site_values(density, start.state)
        guide = AutoDelta(_continuous(task), init_loc_fn=init_to_value(values=values))
        run = _train(task, guide, start, bar, noisy=False)
        found = guide(task.observations.x, **_weights(task))
        modes = {site.name: found[site.name].detach()[None] for site in density.sites}
    return Run(density.unconstrain(modes), run.history, run.status, run.stride)


def run_pyro_svi(task: Task, density: LogDensity, start: Run[Tensor], bar: tqdm[Any]) -> Outcome:
    """SVI with one of Pyro's guides, or the user's, and draws from the trained guide."""
    with isolated(task.options.seed, task.observations.x.device):
        guide = _guide(task, _site_values(density, start.state))
        run = start.then(_train(task, guide, start, bar, noisy=True))
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
        steps=run.steps,
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


def _train(
    task: Task, guide: Callable[..., Any], start: Run[Any], bar: tqdm[Any], *, noisy: bool
) -> Run[Any]:
    """Steps of Pyro's SVI in blocks, with a rate that falls geometrically."""
    from pyro.infer import SVI
    from pyro.optim import ClippedAdam

    x, arguments = task.observations.x, {**_weights(task), **_minibatch(task)}
    max_steps, tolerance = task.options.max_steps, task.options.tolerance
    decay = SLOWEST ** (1 / max_steps)
    optimiser = ClippedAdam({"lr": task.options.rate or RATE, "lrd": decay, "clip_norm": 1e6})
    loss = _loss(getattr(task.options, "n_particles", None) or 1)
    svi = SVI(task.model, guide, optimiser, loss)
    stride = min(BLOCK, max_steps)
    blocks = [-torch.tensor([loss.loss(task.model, guide, x, **arguments)], dtype=torch.float64)]

    def block(_: dict[str, Tensor]) -> dict[str, Tensor]:
        losses = [svi.step(x, **arguments) for _ in range(stride)]
        blocks.append(-torch.tensor(losses, dtype=torch.float64))
        return _snapshot()

    def objective(state: dict[str, Tensor]) -> float:
        sound = all(value.isfinite().all() for value in state.values())
        return float(blocks[-1].mean() if noisy else blocks[-1][-1]) if sound else math.nan

    run = iterate(
        block,
        _snapshot(),
        objective,
        converged=lambda _: _settled(blocks, tolerance * task.observations.total_weight, noisy),
        max_steps=start.allows(max_steps),
        bar=bar,
        stride=stride,
    )
    if run.status is Status.DIVERGED:
        _restore(run.state)
    return run


def _snapshot() -> dict[str, Tensor]:
    """A copy of all parameters in Pyro's store."""
    import pyro

    return {
        name: value.detach().clone() for name, value in pyro.get_param_store().named_parameters()
    }


def _restore(state: dict[str, Tensor]) -> None:
    """Put a copy of all parameters back."""
    import pyro

    with torch.no_grad():
        for name, value in pyro.get_param_store().named_parameters():
            value.copy_(state[name])


def _settled(blocks: list[Tensor], tolerance: float, noisy: bool) -> bool:  # noqa: FBT001
    """Whether the objective has stopped rising: by less than the tolerance, or than its noise.

    A noisy one is judged by the means of two windows of blocks, and must rise by less than half of
    the standard error of their difference.
    """
    if not noisy and len(blocks) < 3:  # the first is the start
        return False
    if not noisy:
        return bool(abs(blocks[-1][-1] - blocks[-2][-1]) <= tolerance)
    if len(blocks) <= 2 * WINDOW:
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
