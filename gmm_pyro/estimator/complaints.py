"""What an estimator warns of: in scikit-learn's words where it is scikit-learn's EM."""

from __future__ import annotations

import warnings

from sklearn.exceptions import ConvergenceWarning

from ..inference.fit import Fit
from ..inference.task import FitWarning

NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)


def warn_of(result: Fit, *, limited: bool) -> None:
    """Warn as scikit-learn does of EM, and as `gmm_pyro.fit` of other methods.

    Args:
        result: the fit.
        limited: whether EM was to take any steps at all.
    """
    if result.method == "em":
        if not result.converged and limited:
            warnings.warn(NOT_CONVERGED, ConvergenceWarning, stacklevel=5)
        return
    if not result.converged:
        message = f"{result.method} {result.message} (after {result.steps} steps)"
        warnings.warn(message, ConvergenceWarning, stacklevel=5)
    problems = result.diagnostics["problems"]
    if problems:
        message = f"{result.method} found a degenerate solution: {'; '.join(problems)}"
        warnings.warn(message, FitWarning, stacklevel=5)
