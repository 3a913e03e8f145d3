"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings
from torch import Tensor

from gmm_pyro.covariance import CovarianceFamily, Parameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, max_examples=30
)
settings.load_profile("repeatable")

# Threads that share a small product wait for each other, and take the other worker's core to do so.
# Tests of threads set the number that they need; `make check-rounding` asks for two everywhere.
if "OMP_NUM_THREADS" not in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries and processes to come
    torch.set_num_threads(1)

# A list of fonts beside the user's own, which may be one of another environment and lack some.
os.environ.setdefault("MPLCONFIGDIR", str(Path(sys.prefix) / "matplotlib"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for a shell's jobs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests, none of which is garbage; later searches for it leave them out."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """Threads that a test asks for end with it: in later ones they would wait for each other."""
    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Run:
    """What a run of the command line printed, and how it ended."""

    code: int | None
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys, tmp_path) -> Callable[..., Run]:
    """Run the command line in an empty folder, 80 columns wide."""
    from gmm_pyro import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["gmm-pyro", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Run(ended.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error is taken for one."""
    monkeypatch.setattr("gmm_pyro.cli.progress.is_terminal", lambda: True)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sound file of every format that the package reads."""
    from damage import write_sound

    home = tmp_path_factory.mktemp("sound")
    write_sound(home)
    return home


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `python` and `gmm-pyro`, which begin without the import of torch."""
    from prepared import commands

    with commands(tmp_path_factory.mktemp("prepared")) as folder:
        yield folder


@pytest.fixture(autouse=True)
def pyplot_as_it_was() -> Iterator[None]:
    """No test sees what another one left with pyplot."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def no_figures_left() -> Iterator[None]:
    """Figures without windows, closed afterwards."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits and comparisons are saved without what takes most of the time."""
    for name in ("fit_figures", "comparison_figures"):
        monkeypatch.setattr(f"gmm_pyro.plots.{name}", lambda *_, **__: {})


@pytest.fixture
def ax() -> Axes:
    """Axes without a layout, which takes long."""
    from matplotlib.figure import Figure

    return Figure().subplots()


@pytest.fixture
def random_parameters() -> Callable[..., Parameters]:
    """Draws of well-conditioned parameters: `random_parameters(family, s, k, d, seed)`."""

    def draw(family: CovarianceFamily, s: int, k: int, d: int, seed: int = 0) -> Parameters:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        root = normal(s, family.n_covariances(k), d, d + 2)
        covariances = root @ root.mT / (d + 2) + 0.3 * torch.eye(d, dtype=torch.float64)
        factor = family.fit(family.compress(covariances), covariances.new_zeros(d))
        return Parameters(normal(s, k).log_softmax(-1), 2 * normal(s, k, d), factor)

    return draw


@pytest.fixture
def pyro_of_its_own() -> Iterator[None]:
    """A seeded default generator and an empty parameter store, put back afterwards."""
    import pyro

    with torch.random.fork_rng(devices=[]), pyro.get_param_store().scope():
        torch.manual_seed(0)
        yield
