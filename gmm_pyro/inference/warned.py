"""What a fit warns of, in sentences."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from ..data.points import Observations
from ..data.words import counted
from ..model.program import MixtureModel
from .result import Result
from .task import FitWarning, Status


def integrated_out(observations: Observations) -> str:
    """What becomes of missing values, where nobody has asked for it."""
    assert observations.measured is not None
    return (
        f"{observations.measured.in_words()}, which are integrated out: right if it does not "
        "depend on a value whether it is missing; missing='integrate' says so, and "
        "missing='refuse' refuses them"
    )


def held_fixed(model: MixtureModel) -> MixtureModel:
    """The model with priors that learn nothing; a warning says which would have, if some would."""
    if not model.learned:
        return model
    warnings.warn(
        f"parameters of the priors of {', '.join(model.learned)} require gradients: a fit holds "
        "them as they are, and learns nothing about them",
        FitWarning,
        stacklevel=3,
    )
    return model.held()


def complaints(result: Result) -> Iterator[str]:
    """What went wrong, in sentences."""
    if result.status is not Status.CONVERGED:
        yield f"{result.method} {result.message} (after {counted(result.steps, 'step')})"
    elif result.found_modes is not None and result.found_modes.leaves_out_much:
        yield f"{result.method} {result.found_modes.in_words()}"
    problems = result.diagnostics["problems"]
    if problems:
        yield f"{result.method} found a degenerate solution: {'; '.join(problems)}"
