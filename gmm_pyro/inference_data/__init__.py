"""Fits as ArviZ objects, and ArviZ's diagnostics of them: the only package that imports ArviZ.

`InferenceData` on ArviZ 0.x and `DataTree` on 1.x have the same groups, names and numbers.
`groups.py` says what is in them, `quantities.py` computes what draws say of the data,
`diagnostics.py` reads it; `generation.py` is the one place where the two generations of ArviZ
differ.
"""

from .diagnostics import Elpd, elpd_loo, posterior_summary, psis_k_hat
from .groups import resamples_to_arviz, to_arviz
from .quantities import pointwise_log_likelihood

__all__ = [
    "Elpd",
    "elpd_loo",
    "pointwise_log_likelihood",
    "posterior_summary",
    "psis_k_hat",
    "resamples_to_arviz",
    "to_arviz",
]
