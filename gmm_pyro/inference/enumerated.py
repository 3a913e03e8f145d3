"""Pyro's own route: guides and SVI over the program, with the assignment summed out in parallel.

It is here so that what enumeration costs can be compared. Pyro keeps parameters in a store of the
process and draws from torch's default generator; both are put back as they were.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..model import LogDensity
from .curvature import origins, units
from .sampling import independent_draws
from .task import Outcome, Run, Task, iterate

State = dict[str, Tensor]  # all of a guide's parameters
Engine = Literal["collapsed", "enumerated"]
ENGINES = get_args(Engine)

BLOCK = 25  # steps whose mean loss is one entry of the history
WINDOW = 3  # blocks on either side of the comparison that ends a noisy climb
FINAL_PARTICLES = 64  # draws that the reported ELBO is the mean of; 16 times as many at once
INITIAL_SCALE = 0.05  # of a guide: narrow, so that components do not swap or merge early
STANDARDISED = "standardised_means"  # the site of the means in the data's own units
VALIDATION = tuple(  # pyro.validation_enabled would not put torch's own back
    f"validate_{what}" for what in ("distributions_pyro", "distributions_torch", "poutine", "infer")
)
RATE = 0.02  # first step size of Adam
SLOWEST = 0.01  # share of the first rate that is left at the step limit


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


@dataclass(frozen=True, eq=False)
class Program:
    """The Pyro program as a guide sees it, and its numbers in terms of the log density's vector.

    A guide's first width and Adam's step are lengths, and data come in any unit, so the automatic
    guides see the means from the data's centre, in units of their spread. Densities of guide and
    program change by the same constant, which leaves the ELBO as it is.

    Attributes:
        run: the program.
        density: the log density that it stands for.
        origin: what the log density's vector is where the guide's is zero, shape (m,).
        unit: how much it changes where the guide's changes by one, shape (m,).
        names: what the program calls the sites that it does not call by their own name.
    """

    run: Callable[..., Any]
    density: LogDensity
    origin: Float[Tensor, "m"]
    unit: Float[Tensor, "m"]
    names: Mapping[str, str]

    @classmethod
    def plain(cls, density: LogDensity) -> Program:
        """The model itself."""
        one = density.observations.scale.new_ones(density.dimension)
        return cls(density.model, density, torch.zeros_like(one), one, {})

    @classmethod
    def standardised(cls, density: LogDensity) -> Program:
        """The model with its means, where they are unbounded, in the data's own units."""
        import pyro
        import pyro.distributions as dist
        from pyro.infer.reparam.reparam import Reparam

        site = next(site for site in density.sites if site.name == "means")
        if not site.unbounded:
            return cls.plain(density)

        data = density.observations
        origin, scale = (value.expand(site.shape) for value in (data.origin, data.scale))
        affine = dist.transforms.AffineTransform(origin, scale, event_dim=2)  # must not broadcast

        class Standardise(Reparam):
            def apply(self, message: Any) -> Any:
                prior = dist.TransformedDistribution(message["fn"], affine.inv)
                means = affine(pyro.sample(STANDARDISED, prior))
                fixed = dist.Delta(means, event_dim=2)
                return {"fn": fixed, "value": means, "is_observed": True}

        run = pyro.poutine.reparam(density.model, {"means": Standardise()})
        return cls(run, density, origins(density), units(density), {"means": STANDARDISED})

    @property
    def site_names(self) -> list[str]:
        """The program's names of the log density's sites."""
        return [self.names.get(site.name, site.name) for site in self.density.sites]

    def values(self, vector: Float[Tensor, "1 m"]) -> dict[str, Tensor]:
        """Values of the program's sites at a vector of the log density's."""
        values = self.density.constrain((vector - self.origin) / self.unit)
        return {self.names.get(name, name): value[0].detach() for name, value in values.items()}

    def continuous(self) -> Callable[..., Any]:
        """The program without its discrete site, which an automatic guide must not see."""
        import pyro

        blocked: Callable[..., Any] = pyro.poutine.block(self.run, hide=["assignment"])
        return blocked

    def restore(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Values of the log density's sites from those of the program's."""
        restored = {
            site.name: values[name]
            for site, name in zip(self.density.sites, self.site_names, strict=True)
        }
        if STANDARDISED in values:
            data = self.density.observations
            restored["means"] = data.origin + data.scale * values[STANDARDISED]
        return restored


def run_auto_delta(
    task: Task, density: LogDensity, start: Run[Tensor], bar: tqdm[Any]
) -> Run[Tensor]:
    """MAP by AutoDelta and TraceEnum_ELBO, from a vector to a vector."""
    from pyro.infer.autoguide import AutoDelta, init_to_value

    with isolated(task.options.seed, task.observations.x.device):
        program = Program.standardised(density)
        init = init_to_value(values=program.values(start.state))
        guide = AutoDelta(program.continuous(), init_loc_fn=init)
        run = _train(task, program, guide, start, bar, noisy=False)
        modes = {name: mode.detach()[None] for name, mode in guide().items()}
    vector = density.unconstrain(program.restore(modes))
    in_data_units = -float(program.unit.log().sum())  # the density of the means themselves
    history = [value + in_data_units for value in run.history]
    return Run(vector, history, run.status, run.stride)


def run_pyro_svi(task: Task, density: LogDensity, start: Run[Tensor], bar: tqdm[Any]) -> Outcome:
    """SVI with one of Pyro's guides, or the user's, and draws from the trained guide."""
    with isolated(task.options.seed, task.observations.x.device):
        program, guide = _program_and_guide(task, density, start.state)
        run = start.then(_train(task, program, guide, start, bar, noisy=True))
        ours = isinstance(task.options.guide, str)
        loss = _loss(particles=FINAL_PARTICLES * (16 if ours else 1), at_once=ours)
        elbo = -float(loss.loss(program.run, guide, task.observations.x, **weights_of(task)))
        with torch.no_grad():
            if ours:
                centre, draws, log_q = _centre_and_draws(task, program, guide)
            else:
                draws, log_q = _draws(task, program, guide), None
                centre = density.unconstrain(draws).mean(0, keepdim=True)
    return Outcome(
        parameters=density.parameters(density.constrain(centre)),
        objective=elbo,
        history=run.history,
        status=run.status,
        steps=run.steps,
        posterior=independent_draws(density, draws, log_q),
    )


def _program_and_guide(
    task: Task, density: LogDensity, start: Float[Tensor, "1 m"]
) -> tuple[Program, Callable[..., Any]]:
    """The program, and an automatic guide by name or class, or the user's own."""
    from pyro.infer import autoguide

    names = {
        "normal": autoguide.AutoNormal,
        "multivariate": autoguide.AutoMultivariateNormal,
        "low_rank": autoguide.AutoLowRankMultivariateNormal,
    }
    guide: Any = task.options.guide
    guide = names[guide] if isinstance(guide, str) else guide
    if not (isinstance(guide, type) and issubclass(guide, autoguide.AutoGuide)):
        return Program.plain(density), cast(Callable[..., Any], guide)
    of_pyro = guide.__module__.startswith("pyro.")  # a user's own class may go by site names
    program = Program.standardised(density) if of_pyro else Program.plain(density)
    options: dict[str, Any] = {"init_loc_fn": autoguide.init_to_value(values=program.values(start))}
    if issubclass(guide, autoguide.AutoNormal | autoguide.AutoContinuous):
        options["init_scale"] = INITIAL_SCALE
    return program, cast(Callable[..., Any], guide(program.continuous(), **options))


def _train(
    task: Task,
    program: Program,
    guide: Callable[..., Any],
    start: Run[Any],
    bar: tqdm[Any],
    *,
    noisy: bool,
) -> Run[Any]:
    """Steps of Pyro's SVI in blocks, with a rate that falls geometrically.

    A noisy climb ends at the mean of its last iterates (Polyak & Juditsky 1992).
    """
    from pyro.infer import SVI
    from pyro.optim import ClippedAdam

    x, arguments = task.observations.x, {**weights_of(task), **_minibatch(task)}
    max_steps, tolerance = task.options.max_steps, task.options.tolerance
    decay = SLOWEST ** (1 / max_steps)
    optimiser = ClippedAdam({"lr": task.options.rate or RATE, "lrd": decay, "clip_norm": 1e6})
    loss = _loss(getattr(task.options, "n_particles", None) or 1)
    svi = SVI(program.run, guide, optimiser, loss)
    stride = min(BLOCK, max_steps)
    blocks = [-torch.tensor([loss.loss(program.run, guide, x, **arguments)], dtype=torch.float64)]
    iterates: deque[State] = deque(maxlen=WINDOW * stride if noisy else 1)

    def block(before: State) -> State:
        del before  # it is in the parameter store
        losses = []
        for _ in range(stride):
            losses.append(svi.step(x, **arguments))
            iterates.append(_snapshot())
        blocks.append(-torch.tensor(losses, dtype=torch.float64))
        return {name: torch.stack([s[name] for s in iterates]).mean(0) for name in iterates[-1]}

    def objective(state: State) -> float:
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
    _restore(run.state)
    return run


def _snapshot() -> State:
    """A copy of all parameters in Pyro's store."""
    import pyro

    return {
        name: value.detach().clone() for name, value in pyro.get_param_store().named_parameters()
    }


def _restore(state: State) -> None:
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


def weights_of(task: Task) -> dict[str, Any]:
    """Keyword arguments that the program is called with beside the data."""
    weight = task.observations.sample_weight
    return {} if weight is None else {"sample_weight": weight}


def _minibatch(task: Task) -> dict[str, Any]:
    """The keyword argument that makes the data plate take a part of the rows."""
    size = getattr(task.options, "batch_size", None)
    return {} if size is None or size >= task.observations.n else {"subsample_size": size}


def _centre_and_draws(
    task: Task, program: Program, guide: Any
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


def _draws(task: Task, program: Program, guide: Callable[..., Any]) -> dict[str, Tensor]:
    """Draws of every site from any guide, one run each, shape (draw, *site)."""
    import pyro

    draws: dict[str, list[Tensor]] = {name: [] for name in program.site_names}
    for _ in range(task.options.n_draws):
        trace = pyro.poutine.trace(guide).get_trace(task.observations.x, **weights_of(task))
        for name, values in draws.items():
            values.append(cast(Tensor, trace.nodes[name]["value"]))
    return program.restore({name: torch.stack(values) for name, values in draws.items()})
