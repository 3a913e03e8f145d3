"""Passes over partitions: how often data are read, what is made once, who works, how far it is."""

from __future__ import annotations

import re
import time
from collections import Counter
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import gmm_pyro as gp
from gmm_pyro.cli.away import environment_as_it_was
from gmm_pyro.data.observations import observe
from gmm_pyro.data.parquet import RowGroup
from gmm_pyro.data.partitioned import Partitioned
from gmm_pyro.data.workers import WorkerWarning, say_unlike
from gmm_pyro.reduction import decision, shared
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import theta_of
from gmm_pyro.running.libraries import refuse_strange
from gmm_pyro.running.watching import Watch, shown_alone, watched

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")
import dask.array as da
from distributed import Client, LocalCluster

from gmm_pyro.running import dask_watching, on_dask, watching

MIXTURE = gp.datasets.three_clusters().truth
X = MIXTURE.sample(3000, seed=3).numpy()
SIZES = (600, 400) * 3
START = {
    name: gp.fit(gp.MixtureModel(3, name), X[:300], n_starts=1, tolerance=1e-3).mixture
    for name in ("full", "tied", "tied_diag")
}
PARTS = ("weights", "means", "covariances")


def array() -> Any:
    """The points as a Dask array."""
    return da.from_array(X, chunks=(SIZES, X.shape[1]))


def fitted(x: Any, covariance: str = "full", **options: Any) -> gp.Fit:
    """Some steps of EM, from a start that is given."""
    return gp.fit(gp.MixtureModel(3, covariance), x, start=START[covariance], **options)


def equal(one: gp.Fit, other: gp.Fit) -> bool:
    """Whether two fits are the same to the last bit."""
    same = (torch.equal(getattr(one.mixture, n), getattr(other.mixture, n)) for n in PARTS)
    return torch.equal(one.history, other.history) and all(same)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of two row groups each."""
    for i in range(3):
        rows = pd.DataFrame(X[1000 * i : 1000 * (i + 1)], columns=["x0", "x1"])
        rows.to_parquet(tmp_path / f"{i}.parquet", row_group_size=600, index=False)
    return tmp_path


# ---------------------------------------------------------------------- how often data are read


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each row group has been read, from now on."""
    found: Counter[str] = Counter()
    content = RowGroup.content

    def counting(group: RowGroup, columns: Any, dtype: Any) -> Any:
        found[str(group)] += 1
        return content(group, columns, dtype)

    monkeypatch.setattr(RowGroup, "content", counting)
    return found


@pytest.mark.parametrize("least", [0, 2**20], ids=["a task each", "a task for all"])
def test_what_fits_is_read_once(
    folder: Path, reads: Counter[str], least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "LEAST_BYTES", least)
    found = fitted(str(folder))
    assert found.steps > 2
    assert sorted(reads.values()) == [1] * 6
    assert equal(found, fitted(array()))


def test_what_does_not_fit_is_read_in_every_pass(
    folder: Path, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "FITS", 0.0)
    found = fitted(str(folder))
    assert min(reads.values()) > found.steps
    assert equal(found, fitted(array()))


def test_an_array_that_is_not_as_long_as_it_says_is_counted() -> None:
    shorter = array().map_blocks(lambda block: block[:-10], dtype=float)
    found = observe(shorter)
    assert found.sizes == (590, 390) * 3
    assert torch.equal(found.origin, observe(found.held()).origin)


def test_rows_without_which_a_row_group_is_empty_change_nothing(folder: Path) -> None:
    empty = pd.DataFrame(X[:0], columns=["x0", "x1"])
    empty.to_parquet(folder / "1-and-none.parquet", index=False)
    found = fitted(str(folder))
    assert found.observations.sizes == SIZES
    np.testing.assert_allclose(found.mixture.means, fitted(array()).mixture.means, rtol=1e-12)


# ---------------------------------------------------------------------- what is made once


@pytest.mark.parametrize("covariance", ["tied", "tied_diag"])
def test_what_a_tied_family_shares_is_made_in_the_first_pass_alone(
    covariance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: list[int] = []
    total = shared.total

    def counting(make: Any, blocks: list[Any]) -> Any:
        moments.append(len(blocks))
        return total(make, blocks)

    monkeypatch.setattr(shared, "total", counting)
    parts = observe(array()).held()
    found = fitted(parts, covariance)
    assert found.steps > 2
    assert len(moments) == len(SIZES)
    assert equal(found, fitted(array(), covariance))


def test_the_sums_of_a_tied_family_are_those_of_its_density() -> None:
    covariance = np.array([[1.5, 0.3], [0.3, 0.8]])
    mixture = gp.GaussianMixture(MIXTURE.weights, MIXTURE.means, covariance, "tied")
    parts = observe(array())
    theta = theta_of(mixture.family, mixture.parameters, parts)
    log_p = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(X)
        for weight, mean in zip(MIXTURE.weights.numpy(), MIXTURE.means.numpy(), strict=True)
    ]
    z = X - parts.origin.numpy()
    for _ in range(2):  # the first pass and a later one
        found = reduce(parts, theta)
        assert float(found.log_norm) == pytest.approx(logsumexp(log_p, 0).sum(), rel=1e-12)
        np.testing.assert_allclose(found.second[0, 0].numpy(), z.T @ z, rtol=1e-12)


# ---------------------------------------------------------------------- who works

LIKE = {"gmm_pyro": "0.1.0", "torch": "2.9.0", "numpy": "2.3.0", "numba": "0.62.0"}


def test_workers_with_other_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = {"tcp://a": LIKE, "tcp://b": {**LIKE, "torch": "2.8.0"}}
    monkeypatch.setattr(on_dask, "_client", lambda: "a client")
    monkeypatch.setattr(on_dask, "libraries_of", lambda _: (LIKE, workers))
    words = "which worker .* tcp://b has torch 2.8.0, and this process torch 2.9.0$"
    with pytest.warns(WorkerWarning, match=words) as caught:
        say_unlike()
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ({"gmm_pyro": "0.0.9"}, "tcp://b has gmm_pyro 0.0.9, and this process gmm_pyro 0.1.0"),
        ({"torch": None}, "tcp://b has no torch, and this process torch 2.9.0"),
    ],
)
def test_workers_that_cannot_work_are_refused(lacks: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refuse_strange(LIKE, {"tcp://a": LIKE, "tcp://b": {**LIKE, **lacks}})


def test_a_worker_without_numba_is_no_matter_before_a_fit_would_compile() -> None:
    assert refuse_strange(LIKE, {"tcp://a": {**LIKE, "numba": None}}) == []


@pytest.fixture
def one_lacks_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, as they would answer, for a fit that would compile."""
    pytest.importorskip("numba")
    answers = {"tcp://a": True, "tcp://b": False}
    monkeypatch.setattr(on_dask.OnDask, "asked", lambda _places, _question: answers)
    monkeypatch.setattr(decision, "WORTH", 0.0)


@pytest.mark.usefixtures("one_lacks_numba")
def test_all_workers_compile_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(decision.SETTING, "auto")
    with pytest.warns(WorkerWarning, match="numba is not there .* on tcp://b: .* all 2 workers"):
        found = fitted(array())
    monkeypatch.setenv(decision.SETTING, "never")
    assert equal(found, fitted(array()))


@pytest.mark.usefixtures("one_lacks_numba")
def test_what_a_worker_lacks_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(decision.SETTING, "always")
    with pytest.raises(ValueError, match="is 'always', and numba is not there .* on tcp://b$"):
        fitted(array())


def test_a_worker_that_joins_without_numba_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = observe(array()).compiling(compiled=True)
    theta = theta_of(MIXTURE.family, MIXTURE.parameters, parts)
    monkeypatch.setattr(decision, "is_ready", lambda _: False)
    with pytest.raises(ImportError, match="has no numba that works, and the fit has been begun"):
        reduce(parts, theta)


# ---------------------------------------------------------------------- how far a pass is


def slowly(partition: Any, seconds: float) -> int:
    """The rows of a partition, after a while."""
    time.sleep(seconds)
    return len(partition.x)


def told_of(parts: Partitioned, seconds: float) -> list[tuple[int, int]]:
    """What a pass tells of itself."""
    told: list[tuple[int, int]] = []
    with watched(lambda done, count: told.append((done, count))):
        assert parts.places.fold(partial(slowly, seconds=seconds), add) == len(X)
    return told


def often(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A word every so many seconds."""
    monkeypatch.setattr(watching, "EVERY", seconds)
    monkeypatch.setattr(dask_watching, "EVERY", seconds)
    monkeypatch.setattr(on_dask, "LEAST_BYTES", 0)


def test_a_pass_counts_its_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    often(monkeypatch, 0.0)
    assert told_of(observe(array()), 0.0) == [*((i, 6) for i in range(1, 7)), (6, 6)]


def test_a_pass_that_is_over_before_it_would_say_a_word_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    often(monkeypatch, float("inf"))
    assert told_of(observe(array()), 0.0) == []


def test_a_pass_that_nobody_watches_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    often(monkeypatch, 0.0)
    made: list[Any] = []
    monkeypatch.setattr(Watch, "at", lambda _watch, done: made.append(done))
    fitted(array())
    assert made == []


def test_a_scheduler_is_asked_how_far_a_pass_is(monkeypatch: pytest.MonkeyPatch) -> None:
    often(monkeypatch, 0.02)
    own: dict[str, Any] = {
        "processes": False,
        "dashboard_address": "127.0.0.1:0",
        "protocol": "inproc://",
    }
    with (
        environment_as_it_was(),
        LocalCluster(n_workers=1, threads_per_worker=1, **own) as cluster,
        Client(cluster),
    ):
        told = told_of(observe(array()), 0.1)
    assert told == sorted(told)
    assert {count for _, count in told} == {6}
    assert told[-1] == (6, 6)
    assert any(0 < done < 6 for done, _ in told)


def test_the_bar_of_a_fit_says_which_partition(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    often(monkeypatch, 0.0)
    fitted(array(), progress=True)
    told = capsys.readouterr().err
    assert re.search(r"em: .* [1-9]\d*/\d+ .*step/s, partition 3 of 6]", told)
    assert "partition" not in told.splitlines()[-1]


def test_a_pass_alone_has_a_bar_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    often(monkeypatch, 0.0)
    slow = array().map_blocks(lambda block: (time.sleep(0.06), block)[1], dtype=float, meta=X[:0])
    with shown_alone("data"):
        observe(slow)
    told = capsys.readouterr().err
    assert re.search(r"data: +\d+%.* [1-6]/6 .*partition/s]", told)
    assert told.split("\r")[-2].strip() == ""  # it is gone again
