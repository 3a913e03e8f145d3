"""No fit changes anything outside of itself: not when it ends, not when it fails or is stopped.

The first fit of a process imports what it needs. These libraries add warning filters of their own
(SciPy's against its special functions' warnings, say), which stay.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from pyro.infer.util import is_validation_enabled
from torch import Tensor
from torch.distributions import Distribution
from tqdm import tqdm

import gmm_pyro as gp
from gmm_pyro.inference import METHODS
from gmm_pyro.running.threads import one_thread_a_product
from oracles import clusters
from runs import STEP_LIMIT, THROUGH_PYRO, UNMIXED, brief, every_method, our_methods

INTERRUPTED = pytest.mark.filterwarnings("ignore:.* interrupted:gmm_pyro.FitWarning")
pytestmark = [STEP_LIMIT, UNMIXED, INTERRUPTED]
X = clusters(n=40).x


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Every library that a fit imports when it first needs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in METHODS:
            brief(method, X)


def state() -> dict[str, Any]:
    """Everything that a program keeps outside of its objects, in values that can be compared."""
    store = pyro.get_param_store()
    return {
        "parameters": {name: value.tolist() for name, value in store.items()},
        "constraints": dict(store._constraints),
        "torch generator": torch.get_rng_state().tolist(),
        "numpy generator": [np.asarray(part).tolist() for part in np.random.get_state()],  # noqa: NPY002
        "python generator": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "settings of Pyro": pyro.settings.get(),
        "validation of distributions": Distribution._validate_args,
        "validation of inference": is_validation_enabled(),
        "validation of handlers": pyro.poutine.is_validation_enabled(),
        "handlers": list(pyro.poutine.runtime._PYRO_STACK),
        "warning filters": list(warnings.filters),
        "numpy's errors": np.geterr(),
    }


@pytest.fixture
def unusual() -> Iterator[dict[str, Any]]:
    """A state that differs from the default in as much as it can."""
    with (
        torch.random.fork_rng(devices=[]),
        pyro.get_param_store().scope(),
        pyro.validation_enabled(is_validate=False),
        warnings.catch_warnings(),
    ):
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
        pyro.param("weights", torch.ones(3), constraint=torch.distributions.constraints.positive)
        torch.manual_seed(11)
        np.random.seed(12)  # noqa: NPY002
        random.seed(13)
        torch.set_num_threads(2)
        torch.set_default_dtype(torch.float16)
        try:
            yield state()
        finally:
            torch.set_default_dtype(dtype)
            torch.set_num_threads(threads)
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def unchanged(before: dict[str, Any]) -> None:
    after = state()
    for name, value in before.items():
        assert after[name] == value, f"{name} changed"


# ---------------------------------------------------------------------- at the end


@every_method
def test_a_fit_leaves_no_trace(method: str, unusual: dict[str, Any]) -> None:
    assert brief(method, X).mixture.means.isfinite().all()
    unchanged(unusual)


@every_method
def test_the_default_state_stays_the_default(method: str) -> None:
    before = state()
    brief(method, X)
    unchanged(before)


@every_method
def test_the_state_outside_does_not_change_the_fit(method: str, unusual: dict[str, Any]) -> None:
    """Nor the other way round: the seed alone decides."""
    del unusual
    inside = brief(method, X, seed=4).mixture.means
    torch.manual_seed(99)
    np.random.seed(98)  # noqa: NPY002
    random.seed(97)
    assert brief(method, X, seed=4).mixture.means.equal(inside)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "kmeans"])
def test_a_parameter_of_the_same_name_is_left_alone(method: str) -> None:
    """Pyro's guides name their parameters; a user's own may have the same name."""
    with pyro.get_param_store().scope():
        mine = pyro.param("AutoNormal.locs.means", torch.full((2, 2), 7.0))
        brief(method, X)
        assert pyro.get_param_store().keys() == {"AutoNormal.locs.means"}
        assert pyro.param("AutoNormal.locs.means") is mine


@every_method
def test_validation_that_torch_and_pyro_do_not_share(method: str, unusual: dict[str, Any]) -> None:
    """Pyro's own distributions are not validated here, and torch's are."""
    del unusual
    Distribution.set_default_validate_args(True)
    before = state()
    brief(method, X)
    unchanged(before)


FIRST_FIT = """
import random
from oracles import clusters
from runs import OURS, brief

random.seed(1)
before = random.getstate()
for method in OURS:
    brief(method, clusters().x)
    assert random.getstate() == before, method
"""


@pytest.mark.slow
def test_libraries_that_the_first_fit_imports_draw_no_random_numbers() -> None:
    subprocess.run([sys.executable, "-c", FIRST_FIT], check=True, cwd=Path(__file__).parent)


# ---------------------------------------------------------------------- not at the end


@every_method
@pytest.mark.parametrize(
    "options",
    [{"start": "nowhere"}, {"sample_weight": [-1.0] * 40}, {"no_such_option": 1}],
    ids=["start", "weights", "option"],
)
def test_after_bad_input(method: str, options: dict[str, Any], unusual: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"start must|sample_weight must|no option"):
        brief(method, X, **options)
    unchanged(unusual)


def stop_with(
    monkeypatch: pytest.MonkeyPatch, method: str, error: type[BaseException]
) -> Callable[[], bool]:
    """Raise an error in the middle of a fit; returns whether it was raised."""
    raised = False

    def stop(*args: Any, **kwargs: Any) -> None:
        nonlocal raised
        raised = True
        raise error("in the middle")

    if method == "nuts:enumerated":
        monkeypatch.setattr(pyro.infer.NUTS, "sample", stop)
    elif method in THROUGH_PYRO:
        monkeypatch.setattr(pyro.infer.SVI, "step", stop)
    else:
        monkeypatch.setattr(tqdm, "update", stop)
    return lambda: raised


@every_method
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_after_an_error_in_the_middle(
    method: str,
    error: type[BaseException],
    unusual: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised = stop_with(monkeypatch, method, error)
    with contextlib.suppress(error):
        brief(method, X, n_starts=1)  # EM then has steps of its own, beside those of all starts
    assert raised()
    unchanged(unusual)


def test_after_an_error_in_the_user_s_own_guide(unusual: dict[str, Any]) -> None:
    def guide(x: Tensor) -> None:
        pyro.param("started", torch.zeros(3))
        raise RuntimeError("no guide after all")

    with pytest.raises(RuntimeError, match="no guide after all"):
        brief("svi:enumerated", X, guide=guide)
    unchanged(unusual)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "gibbs"])
# Gibbs sampling has no such case.
def test_after_a_warning_that_is_an_error(method: str, unusual: dict[str, Any]) -> None:
    """Gibbs sampling has no such case."""
    warnings.simplefilter("error")
    before = state()
    x = torch.cat([X, X[:1].expand(30, 2) + 30])
    with pytest.raises(gp.FitWarning):
        brief(method, x, start=[0] * 40 + [1] * 30)
    unchanged(before)
    del unusual


# ---------------------------------------------------------------------- several at once


@our_methods
def test_fits_in_threads_leave_no_trace(method: str, unusual: dict[str, Any]) -> None:
    """Those that draw from generators of their own: Pyro's engine has the process's only."""
    with ThreadPoolExecutor(3) as pool:
        fits = pool.map(lambda _: (brief(method, X), torch.get_num_threads()), range(3))
        threads = [number for _, number in fits]
    unchanged(unusual)
    assert set(threads) == {2}


def test_a_thread_that_started_beside_a_fit_gets_the_process_s_number(
    unusual: dict[str, Any],
) -> None:
    del unusual
    started, ended = threading.Event(), threading.Event()

    def beside() -> list[int]:
        numbers = [torch.get_num_threads()]  # which torch keeps for this thread
        started.set()
        assert ended.wait(10)
        brief("em", X)
        return [*numbers, torch.get_num_threads()]

    with ThreadPoolExecutor(1) as pool:
        with one_thread_a_product():
            numbers = pool.submit(beside)
            assert started.wait(10)
        ended.set()
        assert numbers.result() == [1, 2]


def test_a_fit_inside_of_a_program_of_pyro_s(unusual: dict[str, Any]) -> None:
    """A fit within a traced program adds no site to it."""

    def program() -> None:
        pyro.sample("mine", pyro.distributions.Normal(0.0, 1.0))
        brief("em", X)

    trace = pyro.poutine.trace(program).get_trace()
    assert set(trace.nodes) == {"_INPUT", "_RETURN", "mine"}
    torch.set_rng_state(torch.tensor(unusual["torch generator"], dtype=torch.uint8))
    unchanged(unusual)
