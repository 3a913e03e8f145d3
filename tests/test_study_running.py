"""Claims about running studies: what fails is a row, and what ends is gone on with, to the bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

import gmm_pyro as gp
import studied
from gmm_pyro.cli.away import environment_as_it_was
from gmm_pyro.study.frame import frame_of

linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="asks Linux")
BAD = {
    "raising": ("failed", "ZeroDivisionError: no way"),
    "leaving": ("failed", "SystemExit: 3"),
    "hanging": ("timed out", "took longer than 4 s"),
    "exiting": ("process ended", "its process ended with exit code 7"),
    "crashing": ("process ended", "its process ended with signal SIGSEGV"),
    "with_nan": ("wrong output", "labels must be numbers or words, one a point; got NaN"),
    "too_short": ("wrong output", "labels must have shape (30,), got (29,)"),
    "fractions": ("wrong output", "labels must be whole numbers or words"),
    "nothing": ("wrong output", "labels must"),
    "other_features": ("wrong output", "a mixture of 3 features, where data have 2"),
}


def found_as_left(x: np.ndarray) -> np.ndarray:
    """Whether the process is as it was before a method that meddles."""
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (1, torch.float32)
    assert Path.cwd() != Path("/")
    return np.zeros(len(x), int)


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, str, Path]:
    """The frame of a study whose methods are mostly bad, its token and its folder."""
    shift = 3.0

    def closure(x: np.ndarray, k: int, seed: int) -> np.ndarray:
        assert (k, type(seed)) == (2, int)
        return (x[:, 0] > x[:, 0].mean() + 0 * shift).astype(int)

    methods = [*(getattr(studied, name) for name in BAD), studied.CHEAP, closure]
    methods += [{"method": lambda x: np.zeros(len(x), int), "name": "lambda"}, KMeans(n_init=1)]
    methods += [GaussianMixture(), studied.meddling, {"method": found_as_left, "name": "after"}]
    study = gp.Study(
        gp.designs.Design("separated", {"n": 30, "d": 2, "k": 2, "separation": 3.0}),
        *(methods, studied.SOME),
        timeout=4.0,
    )
    folder, token = tmp_path_factory.mktemp("trouble"), f"trouble-{os.getpid()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(studied.TOKEN, token)
        frame = study.run(folder, n_jobs=2).frame
    return frame.set_index("method"), token, folder


@pytest.mark.parametrize("name", BAD)
def test_a_bad_method_is_a_row_with_its_reason(name: str, trouble) -> None:
    status, reason = BAD[name]
    row = trouble[0].loc[name]
    assert row["status"] == status
    assert row["reason"].startswith(reason)
    assert np.isnan(row["ari"])


def test_good_methods_beside_bad_ones_are_no_worse_for_it(trouble) -> None:
    frame = trouble[0]
    good = frame.loc[["em", "closure", "lambda", "KMeans", "GaussianMixture", "meddling", "after"]]
    ended = ["converged", "done", "done", "done", "converged", "done", "done"]
    assert good["status"].tolist() == ended, good["reason"].tolist()
    assert good["ari"].notna().all()
    assert frame.loc["lambda", "ari"] == 0
    assert frame.loc["em", "log_likelihood"] > frame.loc["GaussianMixture", "log_likelihood"] - 0.1
    assert (frame["data_seed"].nunique(), frame["method_seed"].nunique()) == (1, len(frame))


@linux
def test_workers_and_what_methods_start_are_gone_afterwards(trouble) -> None:
    assert studied.none_left(trouble[1])


# ---------------------------------------------------------------------- to the bit


def study() -> gp.Study:
    methods = [studied.CHEAP, "kmeans", KMeans(n_init=1), studied.by_chance]
    return gp.Study(studied.design(), methods, metrics=studied.SOME, seed=5)


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    """The frame by this process, one cell after the other."""
    whole = study()
    return frame_of(whole.plan, studied.rows_here(whole)).drop(columns=studied.TIMES)


def same(found: gp.StudyResults, expected: pd.DataFrame) -> None:
    frame = found.frame.drop(columns=studied.TIMES)
    pd.testing.assert_frame_equal(frame, expected, check_exact=True)


RUN = "import test_study_running; test_study_running.study().run({!r}, n_jobs=1, shuffle=True)"


@linux
def test_a_killed_study_goes_on_to_the_same_frame(expected: pd.DataFrame, tmp_path: Path) -> None:
    """Killed at a random moment; in another order, and with another number of jobs."""
    token = f"killed-{os.getpid()}"
    here = [str(Path(__file__).parent), *sys.path]
    environment = os.environ | {studied.TOKEN: token, "PYTHONPATH": os.pathsep.join(here)}
    folder = tmp_path / "results"
    process = subprocess.Popen([sys.executable, "-c", RUN.format(str(folder))], env=environment)
    while not list(folder.glob("cells-*.jsonl")):
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(random.random() * 0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert studied.none_left(token)
    before = len(gp.StudyResults.load(folder).frame)
    done = study().run(folder, n_jobs=2)
    assert 0 < before <= len(done.frame)
    assert done.n_left == 0
    same(done, expected)
    same(gp.StudyResults.load(folder), expected)


def test_a_client_gives_the_same_frame(expected: pd.DataFrame, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as client:
        same(study().run(tmp_path / "results", client=client, n_jobs=3), expected)


@linux
def test_a_cluster_gives_the_same_frame_and_ends_what_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two processes of Dask's, which the cells' own processes end with."""
    distributed = pytest.importorskip("distributed")
    token = f"cluster-{os.getpid()}"
    resource_tracker.ensure_running()  # which ends with this process, whoever has started it
    monkeypatch.setenv(studied.TOKEN, token)
    methods = [studied.CHEAP, studied.hanging, "kmeans", studied.by_chance]
    data = gp.designs.Design("separated", {"n": 30, "d": 2, "k": 2, "separation": 3.0})
    asked = gp.Study(data, methods, studied.SOME, timeout=3.0)
    told = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1"}
    with (
        environment_as_it_was(),
        distributed.LocalCluster(**told, dashboard_address="127.0.0.1:0") as cluster,
        distributed.Client(cluster) as client,
    ):
        frame = asked.run(tmp_path / "results", client=client, n_jobs=2).frame
    assert studied.none_left(token)
    hung = frame[frame["method"] == "hanging"]
    assert hung["reason"].tolist() == ["took longer than 3 s"]
    methods.remove(studied.hanging)
    here = gp.Study(data, methods, studied.SOME, timeout=3.0)
    expected = frame_of(here.plan, studied.rows_here(here))
    found = frame.drop(index=hung.index).reset_index(drop=True)
    pd.testing.assert_frame_equal(
        found.drop(columns=studied.TIMES), expected.drop(columns=studied.TIMES), check_exact=True
    )


def test_a_worker_that_cannot_begin_is_an_error(tmp_path: Path) -> None:
    class Unreadable:
        """A method that no other process can load."""

        def __call__(self, x: np.ndarray) -> np.ndarray:
            return x

        def __reduce__(self):
            return int, ("no number",)

    bad = gp.Study(studied.design(), [Unreadable()])
    with pytest.raises(RuntimeError, match="could not begin: ValueError: invalid literal"):
        bad.run(tmp_path / "results")
