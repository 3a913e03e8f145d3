"""A selection by a method that takes one model at a time, or of models that EM's ladder has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..covariance import CovarianceFamily
from ..data.points import Observations
from ..inference.evidences import evidence_if_any
from ..inference.fit import Fit, fit_quietly
from ..inference.soundness import Soundness
from ..inference.task import Status, Task
from ..reduction.theta import theta_of
from .cell import ERRORS, FAILED, NOT_SOUND, TOO_FEW, Cell
from .estimates import OfPoints
from .plan import Plan, of_number

Measure = Callable[[Fit], dict[str, Any]]  # what a cell has beside, from its fit


def one_by_one(
    observations: Observations, plan: Plan, measure: Measure, done: Callable[[], Any]
) -> list[Cell]:
    """The cells of all families, each by a fit of its own.

    Args:
        observations: the data.
        plan: the models.
        measure: what a criterion needs of each fit.
        done: is told of every family.

    Raises:
        KeyboardInterrupt: if a fit was interrupted.
    """
    cells = []
    for family in plan.families:
        cells += [_cell(k, family, observations, plan, measure) for k in plan.numbers]
        done()
    return cells


def _cell(
    k: int, family: CovarianceFamily, observations: Observations, plan: Plan, measure: Measure
) -> Cell:
    if k > observations.n_weighted:
        return Cell(k, family.name, TOO_FEW)
    try:
        model = plan.model(k, family, observations)
        found = fit_quietly(model, of_number(observations, k), plan.choice)
        if found.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        criteria = found.mixture.criteria(found.observations, observations.sample_weight)
        status = found.status.name.lower().replace("_", " ")
        return Cell(
            *(k, family.name, status if _is_sound(found, plan) else NOT_SOUND),
            mixture=found.mixture,
            criteria=criteria,
            fitted=found,
            **measure(found),
        )
    except ERRORS as error:
        return Cell(k, family.name, FAILED, error=error)


def _is_sound(found: Fit, plan: Plan) -> bool:
    """Whether it is by the rule of maximum likelihood, which a prior has no need of."""
    if found.status is Status.COLLAPSED:
        return False
    if plan.choice.method.priors is not None:
        return True
    task = Task(found.method, found.model, found.observations, found.options)
    theta = theta_of(found.mixture.family, found.mixture.parameters, found.observations)
    return bool(Soundness.for_task(task).of(theta, found.observations).all())


# ---------------------------------------------------------------------- what criteria need


def nothing(found: Fit) -> dict[str, Any]:
    """Of criteria that take the mixture alone."""
    del found
    return {}


def evidence(found: Fit) -> dict[str, Any]:
    """The log evidence and its standard error; NaN where the fit has none."""
    known = evidence_if_any(found)
    return {"found": {name: getattr(known, name) for name in ("log_evidence", "log_evidence_se")}}


def leave_one_out(found: Fit) -> dict[str, Any]:
    """The expected log predictive density, and that of every point."""
    from ..inference_data import elpd_loo  # arviz takes seconds to import

    loo = elpd_loo(found)
    figures = {"elpd": loo.elpd, "elpd_se": loo.se, "elpd_worst_k": loo.worst_k}
    return {"found": figures, "estimate": OfPoints(loo.pointwise, loo.weight, summed=True)}


MEASURES: dict[str, Measure] = {"evidence": evidence, "elpd": leave_one_out}
