"""Pyro's own no-U-turn sampler over the enumerated program, one chain after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ...model.log_density import LogDensity
from ..chains.sampling import PosteriorSample
from ..chains.walk import NUTSOptions
from ..nuts import NUTSSample, Outset, in_a_batch, sampled_by
from ..task import Outcome, Task
from .program import Program, isolated, told_of

STATISTICS = ("energy", "step_size", "diverging")

Draw = dict[str, Tensor]  # values of the program's sites, and the statistics


@dataclass(frozen=True, kw_only=True)
class EnumeratedNUTSOptions(NUTSOptions):
    """Options of Pyro's NUTS over the program.

    Chains run one after the other, so that there are few; they are never made longer.

    Attributes:
        n_chains: number of chains.
        max_doublings: has no effect.
        jumps: has no effect.
    """

    n_chains: int = 4
    max_doublings: int = 0


def fit_enumerated_nuts(task: Task[EnumeratedNUTSOptions]) -> Outcome:
    """Draws from the posterior by Pyro's sampler, from the same starts as `nuts`."""
    return sampled_by(_by_pyro, task)


def _by_pyro(
    task: Task[NUTSOptions], density: LogDensity, outset: Outset, bar: tqdm[Any]
) -> PosteriorSample | NUTSSample:
    """Draws that do not go on; an interrupt before them has one draw ready.

    A later one leaves out the chain that it ends, unless that is the first.
    """
    if outset.interrupted:
        return in_a_batch(task, density, outset, bar)
    bar.reset(task.options.n_steps * task.options.n_chains)
    starts = density.unconstrain(outset.walk.values)
    chains: list[list[Draw]] = []
    interrupted = False
    with isolated(task.options.seed, task.observations.device):
        program = Program.standardised(task.model, density)
        for start in starts:
            chains.append([])
            interrupted = _run(task, program, start[None], chains[-1], bar)
            if interrupted:
                break
        whole = [chain for chain in chains if len(chain) == len(chains[0])]
        found = {
            name: torch.stack([torch.stack([draw[name] for draw in chain]) for chain in whole])
            for name in whole[0][0]
        }
        draws = program.restore(found)
    statistics = {name: found[name] for name in STATISTICS}
    return PosteriorSample(density, draws, statistics, interrupted=interrupted)


def _run(
    task: Task[NUTSOptions],
    program: Program,
    start: Float[Tensor, "1 m"],
    chain: list[Draw],
    bar: tqdm[Any],
) -> bool:
    """Add the draws of one chain; whether it was interrupted."""
    options = task.options
    kernel = _kernel(task, program, start)
    kernel.setup(options.n_warmup, task.observations.measurements, **told_of(task))
    place = kernel.initial_params
    try:
        for step in range(-options.n_warmup, options.n_steps - options.n_warmup):
            potential = float(kernel._potential_energy_last)
            place = kernel.sample(place)
            if step >= 0 and step % options.thin == 0:
                diverging = step in kernel._divergences
                chain.append(_draw(kernel, place, potential + kernel.kinetic, diverging=diverging))
            bar.update()
    except KeyboardInterrupt:
        if not chain:
            energy = float(kernel._potential_energy_last)
            chain.append(_draw(kernel, place, energy, diverging=False))
        return True
    return False


def _draw(kernel: Any, place: dict[str, Tensor], energy: float, *, diverging: bool) -> Draw:
    """Where a chain is, and what it took to get there."""
    found = zip(STATISTICS, (energy, kernel.step_size, diverging), strict=True)
    sites = {name: kernel.transforms[name].inv(z) for name, z in place.items()}
    return sites | {name: torch.tensor(value) for name, value in found}


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
        max_plate_nesting=program.nesting,
        init_strategy=init_to_value(values=program.values(start)),
    )
