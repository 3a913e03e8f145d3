"""Maximum a posteriori: the mode of the posterior density of the sites.

The density is that of (weights, means, scales, correlations) themselves, as AutoDelta's is: no
Jacobian. `laplace` and `svi` work in unconstrained space, with it. A mode depends on the
coordinates that its density is written in, and Cholesky factors of correlations are written in an
order of the features: from three features on, the mode of a full or tied covariance depends a
little on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import check_choice
from .enumerated import ENGINES, Engine, run_auto_delta
from .optimise import em_start, in_best_numbering, mode_from
from .task import Options, Outcome, Task, progress_bar


@dataclass(frozen=True, kw_only=True)
class MAPOptions(Options):
    """Options of MAP.

    Attributes:
        engine: "collapsed" climbs the log density by L-BFGS; "enumerated" runs Pyro's AutoDelta
            with TraceEnum_ELBO and Adam.
        rate: step size of Adam, for the enumerated engine.
    """

    tolerance: float = 1e-10
    engine: Engine = "collapsed"
    rate: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("engine", self.engine, ENGINES)
        self._measure("rate", positive=True)


def fit_map(task: Task) -> Outcome:
    """The mode that is reached from the best EM start.

    Where the prior tells components apart, they are numbered as it holds likeliest; a start that
    is given, by labels or a mixture, keeps its own numbering.
    """
    density = task.model.log_density(task.observations)
    with progress_bar(task) as bar:
        start = em_start(task, density, bar)
        if task.options.engine == "enumerated":
            run = in_best_numbering(
                task, density, start, lambda run: run_auto_delta(task, density, run, bar)
            )
        else:
            tolerance = task.options.tolerance
            run = mode_from(task, density, start, bar, tolerance=tolerance, jacobian=False)
    return Outcome(
        parameters=density.parameters(density.constrain(run.state)),
        objective=run.history[-1],
        history=run.history,
        status=run.status,
        steps=run.steps,
    )
