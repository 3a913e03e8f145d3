"""Maximum a posteriori by Pyro's AutoDelta, which searches for the same mode as `map`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ...model.log_density import LogDensity
from ..climb.optimise import em_start, in_best_numbering, outcome_at
from ..map import MAPOptions, refuse_no_mode
from ..task import Outcome, Run, Task, progress_bar
from .program import Program, isolated
from .training import RATE, Steps, train


@dataclass(frozen=True, kw_only=True)
class EnumeratedMAPOptions(MAPOptions):
    """Options of MAP by Pyro's AutoDelta, TraceEnum_ELBO and Adam.

    Attributes:
        rate: first step size of Adam.
    """

    rate: float = RATE

    def __post_init__(self) -> None:
        super().__post_init__()
        self._measure("rate", positive=True)


def fit_enumerated_map(task: Task[EnumeratedMAPOptions]) -> Outcome:
    """The mode that Pyro's AutoDelta reaches from the best EM start, numbered as `map` does.

    Raises:
        ValueError: if the prior of the weights has no mode.
    """
    density = task.model.log_density(task.observations)
    refuse_no_mode(density)
    with progress_bar(task) as bar:
        start = em_start(task, density, bar)
        run = in_best_numbering(
            task, density, start, lambda run: _auto_delta(task, density, run, bar)
        )
    return outcome_at(density, run)


def _auto_delta(
    task: Task[EnumeratedMAPOptions], density: LogDensity, start: Run[Tensor], bar: tqdm[Any]
) -> Run[Tensor]:
    """MAP by AutoDelta and TraceEnum_ELBO, from a vector to a vector."""
    from pyro.infer.autoguide import AutoDelta, init_to_value

    with isolated(task.options.seed, task.observations.device):
        program = Program.standardised(task.model, density)
        init = init_to_value(values=program.values(start.state))
        guide = AutoDelta(program.continuous(), init_loc_fn=init)
        run = train(task, program, guide, Steps(noisy=False, rate=task.options.rate), start, bar)
        modes = {name: mode.detach()[None] for name, mode in guide().items()}
    vector = density.unconstrain(program.restore(modes))
    in_data_units = -float(program.unit.log().sum())  # the density of the means themselves
    history = [value + in_data_units for value in run.history]
    return Run(vector, history, run.status, run.stride)
