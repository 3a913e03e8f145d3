"""Whether the reductions of a fit are compiled: once a fit, by its sizes and options alone.

The environment variable `GMM_PYRO_COMPILED` overrides it: "always", "never", or "auto", the
default. What is on disk from earlier fits does not count, so that a first and a second run are the
same to the last bit.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import platform
import warnings
from collections.abc import Callable
from types import ModuleType

import torch

from ..covariance import CovarianceFamily
from ..data.checks import check_choice
from ..data.partitioned import Partitioned
from ..data.points import Observations
from ..data.tables import outside
from ..data.words import counted, enumerated
from ..data.workers import MOST_NAMED, WorkerWarning
from ..running.threads import beside

WIDE = 100  # features, from which the centred kernel takes over
SETTING = "GMM_PYRO_COMPILED"
CHOICES = ("auto", "always", "never")
SAVED_A_PASS, SAVED_AN_OPERATION = 2e-4, 3e-11  # seconds that a compiled reduction spares
WORTH = 0.5  # seconds spared, from which it is compiled: numba takes .2 to .9 to import


def operations(features: int, rows: int) -> int:
    """What a point takes: two products, an exponential a row of Θ, and its features."""
    return 4 * rows * features + 50 * rows + 4 * features


def decided(
    observations: Observations,
    family: CovarianceFamily,
    k: int,
    passes: int,
    sets: int = 1,
    rows: int | None = None,
) -> Observations:
    """The data, which know whether their reductions are to be compiled.

    Args:
        observations: the data.
        family: covariance family.
        k: number of components.
        passes: how many reductions are to be expected.
        sets: how many sets of components each is of.
        rows: of how many points each is; of all, if None.

    Raises:
        ValueError: if the setting is none of those that there are, or asks for what is not there.
    """
    setting = os.environ.get(SETTING) or "auto"
    check_choice(SETTING, setting, CHOICES)
    if setting == "always" and not is_installed():
        raise ValueError(
            f"the environment variable {SETTING} is 'always', and numba is not there or does not "
            "work: pip install 'gmm-pyro[fast]', or leave the variable away"
        )
    work = min(rows or observations.n, observations.n) * operations(
        1 + observations.d + family.n_own_features(observations.d), sets * k
    )
    spared = passes * (SAVED_A_PASS + SAVED_AN_OPERATION * work)
    wanted = setting == "always" or (setting == "auto" and spared > WORTH)
    possible = wanted and _can_be(observations, family) and is_ready(observations.dtype)
    return observations.compiling(possible and _by_all(observations, setting))


def _can_be(observations: Observations, family: CovarianceFamily) -> bool:
    """Whether the loops can do what is to be done: not what is the centred kernel's anyhow."""
    d = observations.d
    if observations.measured is not None or (d > WIDE and family.n_features(d) > d):
        return False
    if observations.log_noise is not None and not family.n_own_features(d):
        return False
    if isinstance(observations, Partitioned):
        return True
    return observations.device.type == "cpu" and not observations.x.is_neg()  # no view of NumPy's


def _by_all(observations: Observations, setting: str) -> bool:
    """Whether all processes that work on the data can compile: sums differ if only some do.

    Raises:
        ValueError: if they cannot, and the setting asks for it.
    """
    if not isinstance(observations, Partitioned):
        return True
    answers = observations.places.asked(is_installed)
    lacking = [name for name, able in answers.items() if not able]
    if not lacking:
        return True
    where = f"numba is not there or does not work on {enumerated(lacking, MOST_NAMED)}"
    if setting == "always":
        raise ValueError(f"the environment variable {SETTING} is 'always', and {where}")
    warnings.warn(
        f"{where}: torch works in its place on all {counted(len(answers), 'worker')}, which takes "
        "longer",
        WorkerWarning,
        stacklevel=outside(),
    )
    return False


def refuse_unready(observations: Observations) -> None:
    """Refuse to work on a partition in another way than those that were asked before.

    Raises:
        ImportError: if reductions are to be compiled, and cannot be in this process.
    """
    if observations.compiled and not is_ready(observations.dtype):
        raise ImportError(
            f"process {os.getpid()} on {platform.node()} has no numba that works, and the fit has "
            "been begun with compiled loops: workers that join must have the libraries of others"
        )


@functools.cache
def is_installed() -> bool:
    """Whether numba is there and works; what it is not asked for, it does not import."""
    if importlib.util.find_spec("numba") is None:
        return False
    try:
        return bool(loops().lanes.SERVES)
    except Exception:  # noqa: BLE001 - a numba that does not fit its NumPy or Python
        return False


@functools.cache
def is_ready(dtype: torch.dtype) -> bool:
    """Whether all loops for a type of number are compiled, or read from where they are kept.

    Whatever a compiler may fail of, a fit does not: torch's kernels then do the work.
    """
    return is_installed() and _works(functools.partial(loops().make_ready, dtype))


@functools.cache
def coupled_is_ready() -> bool:
    """The same of the M-steps of coupled families."""
    return is_installed() and _works(loops().make_coupled_ready)


def _works(make: Callable[[], None]) -> bool:
    try:
        make()
    except Exception as error:  # noqa: BLE001 - whatever it is
        warnings.warn(
            f"numba could not compile the loops of gmm_pyro ({type(error).__name__}: {error}): "
            "torch works in their place",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


@functools.cache
def loops() -> ModuleType:
    """The compiled functions, by name."""
    return beside(lambda: importlib.import_module("gmm_pyro.reduction.loops.entry"))
