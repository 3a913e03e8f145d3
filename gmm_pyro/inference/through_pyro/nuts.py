"""Pyro's own no-U-turn sampler over the enumerated program, one chain after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ...model.log_density import LogDensity
from ..chains.modes import Modes
from ..chains.sampling import PosteriorSample
from ..chains.walk import NUTSOptions, Walk
from ..nuts import NUTSSample, in_a_batch, sampled_by
from ..task import Outcome, Task
from .program import Program, isolated, weights_of


@dataclass(frozen=True, kw_only=True)
class EnumeratedNUTSOptions(NUTSOptions):
    """Options of Pyro's NUTS over the program.

    Chains run one after the other, so that there are few; they are never made longer.

    Attributes:
        n_chains: number of chains.
        max_doublings: has no effect.
    """

    n_chains: int = 4
    max_doublings: int = 0


def fit_enumerated_nuts(task: Task[EnumeratedNUTSOptions]) -> Outcome:
    """Draws from the posterior by Pyro's sampler, from the same starts as `nuts`."""
    return sampled_by(_by_pyro, task)


def _by_pyro(
    task: Task[NUTSOptions], density: LogDensity, modes: Modes, bar: tqdm[Any]
) -> PosteriorSample | NUTSSample:
    """Draws that do not go on; an interrupt before them has one draw ready."""
    if modes.interrupted:
        return in_a_batch(task, density, modes, bar)
    bar.reset(task.options.n_steps * task.options.n_chains)
    starts = density.unconstrain(Walk.begun(task, density, modes).values)
    chains = run_pyro_nuts(task, density, starts, bar)
    return PosteriorSample(density, chains.draws, chains.statistics, interrupted=chains.interrupted)


@dataclass(eq=False)
class PyroChains:
    """What Pyro's chains have drawn, all of the same length.

    Attributes:
        draws: sites of the log density, shape (chain, draw, *site).
        statistics: name -> (chain, draw).
        interrupted: whether the last chains were not finished; they are then left out, unless
            there is one only.
    """

    draws: dict[str, Tensor] = field(default_factory=dict)
    statistics: dict[str, Tensor] = field(default_factory=dict)
    interrupted: bool = False


def run_pyro_nuts(
    task: Task[NUTSOptions], density: LogDensity, starts: Float[Tensor, "c m"], bar: tqdm[Any]
) -> PyroChains:
    """All chains, from vectors of the log density; an interrupt ends them with what there is."""
    chains: list[_Chain] = []
    interrupted = False
    with isolated(task.options.seed, task.observations.x.device):
        program = Program.standardised(task.model, density)
        for start in starts:
            chain = _Chain()
            interrupted = _run(task, program, start[None], chain, bar)
            chains.append(chain)
            if interrupted:
                break
        whole = [chain for chain in chains if len(chain.draws) == len(chains[0].draws)]
        draws = {
            name: torch.stack([torch.stack([d[name] for d in chain.draws]) for chain in whole])
            for name in whole[0].draws[0]
        }
        draws = program.restore(draws)
    statistics = {
        name: torch.tensor([[row[name] for row in chain.statistics] for chain in whole])
        for name in whole[0].statistics[0]
    }
    return PyroChains(draws, statistics, interrupted)


@dataclass(eq=False)
class _Chain:
    """Draws of one chain, by the program's site names."""

    draws: list[dict[str, Tensor]] = field(default_factory=list)
    statistics: list[dict[str, float]] = field(default_factory=list)

    def add(self, kernel: Any, place: dict[str, Tensor], energy: float, *, diverging: bool) -> None:
        """Keep a draw."""
        self.draws.append({name: kernel.transforms[name].inv(z) for name, z in place.items()})
        row = {"energy": energy, "step_size": kernel.step_size, "diverging": diverging}
        self.statistics.append(row)


def _run(
    task: Task[NUTSOptions],
    program: Program,
    start: Float[Tensor, "1 m"],
    chain: _Chain,
    bar: tqdm[Any],
) -> bool:
    """One chain; whether it was interrupted."""
    options = task.options
    kernel = _kernel(task, program, start)
    kernel.setup(options.n_warmup, task.observations.x, **weights_of(task))
    place = kernel.initial_params
    try:
        for step in range(-options.n_warmup, options.n_steps - options.n_warmup):
            potential = float(kernel._potential_energy_last)
            place = kernel.sample(place)
            if step >= 0 and step % options.thin == 0:
                diverging = step in kernel._divergences
                chain.add(kernel, place, potential + kernel.kinetic, diverging=diverging)
            bar.update()
    except KeyboardInterrupt:
        if not chain.draws:
            chain.add(kernel, place, float(kernel._potential_energy_last), diverging=False)
        return True
    return False


def _kernel(task: Task[NUTSOptions], program: Program, start: Float[Tensor, "1 m"]) -> Any:
    """Pyro's sampler, which also knows the kinetic energy at the start of a trajectory."""
    from pyro.infer import NUTS
    from pyro.infer.autoguide import init_to_value

    class Kernel(NUTS):
        kinetic = 0.0

        def _sample_r(self, name: str) -> Any:
            momenta = super()._sample_r(name)  # type: ignore[no-untyped-call]
            kinetic = self._kinetic_energy(momenta[1])  # type: ignore[no-untyped-call]
            self.kinetic = float(kinetic)
            return momenta

    return Kernel(  # type: ignore[no-untyped-call]
        program.run,
        target_accept_prob=task.options.target_accept,
        max_tree_depth=task.options.max_tree_depth,
        max_plate_nesting=1,
        init_strategy=init_to_value(values=program.values(start)),
    )
