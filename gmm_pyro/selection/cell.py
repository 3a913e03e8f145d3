"""One model of a selection: what was found for it, what it is worth, or why there is nothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.words import counted
from ..inference.fit import Fit
from ..inference.task import FitWarning
from ..mixture.criteria import Criteria
from ..mixture.value import GaussianMixture
from .criteria import Criterion
from .estimates import Estimate

NUMBERS = ("log_likelihood", "n_parameters", "bic", "aic", "icl")  # columns that all have
TOO_FEW, NOT_SOUND, FAILED = "too few points", "not sound", "failed"
OUTDONE = "outdone"
MARKS = (TOO_FEW, NOT_SOUND, FAILED)  # status of a cell that is never the best
ERRORS = (ArithmeticError, MemoryError, RuntimeError, ValueError)  # of numbers and of libraries


@dataclass(frozen=True, eq=False)
class Cell:
    """One model of a selection.

    Attributes:
        n_components: its number of components.
        covariance: its covariance family.
        status: "converged"; "step limit"; "outdone", where a model of fewer components or of a
            family within is likelier, and nothing sound was found beyond it; "not sound", where
            only an accident of few points was found (`soundness.py`); "too few points"; "failed",
            where the fit raised an error; of fits model by model, how they ended.
        mixture: the likeliest sound mixture that was found, or the point estimate of the method;
            None of too few points, and where it failed.
        criteria: of that mixture at the data.
        found: other criteria by column: `cross_validation`, `stability`, `elpd`, `log_evidence`
            and their standard errors.
        fitted: the fit, of methods that are run cell by cell.
        estimate: the criterion with what its error is made of, of those that are means.
        error: what the fit raised, if it failed.
    """

    n_components: int
    covariance: str
    status: str
    mixture: GaussianMixture | None = None
    criteria: Criteria | None = None
    found: Mapping[str, float] = field(default_factory=dict)
    fitted: Fit | None = field(default=None, repr=False)
    estimate: Estimate | None = field(default=None, repr=False)
    error: Exception | None = None

    @property
    def counts(self) -> bool:
        """Whether it may be the best."""
        return self.status not in MARKS and self.criteria is not None

    @property
    def message(self) -> str:
        """What went wrong, if the fit failed."""
        if self.error is None:
            return ""
        kind = type(self.error).__name__.lstrip("_")  # torch has a _LinAlgError
        return f"{kind}: {self.error}"

    def row(self) -> dict[str, Any]:
        """Its row of the table."""
        c = self.criteria
        known = (
            dict.fromkeys(NUMBERS) if c is None else {name: getattr(c, name) for name in NUMBERS}
        )
        model = {"n_components": self.n_components, "covariance": self.covariance}
        return {**model, **known, **self.found, "status": self.status}

    def value(self, criterion: Criterion) -> float:
        """A criterion; NaN where it is not known."""
        value = self.row().get(criterion.column)
        return math.nan if value is None else float(value)


def refuse_if_all_failed(cells: Sequence[Cell]) -> None:
    """Raise what the first fit has raised, if no other has come to anything.

    Raises:
        Exception: if so.
    """
    errors = [cell.error for cell in cells if cell.error is not None]
    if errors and not any(cell.mixture is not None for cell in cells):
        raise errors[0]
    for error in errors:
        error.__traceback__ = None  # which would keep all that the fit had at hand


def complain(cells: Sequence[Cell]) -> None:
    """Warn of models that have failed, and of fits that have not converged."""
    failed = [cell for cell in cells if cell.error is not None]
    ended = [cell.status for cell in cells if cell.fitted is not None]
    ended = [status for status in ended if status not in ("converged", *MARKS)]
    said = [f"{counted(ended.count(status), 'fit')}: {status}" for status in sorted(set(ended))]
    if failed:
        first = f"{counted(failed[0].n_components, 'component')} of {failed[0].covariance}"
        said.append(f"{len(failed)} failed, the first, {first}, by {failed[0].message}")
    if said:
        message = f"of {counted(len(cells), 'model')}, {'; '.join(said)}"
        warnings.warn(message, FitWarning, stacklevel=3)
