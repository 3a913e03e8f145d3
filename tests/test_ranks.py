"""Data that ranks of torch.distributed hold: all ranks have the fit that one process has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

import gmm_pyro as gp
from gmm_pyro.running.on_ranks import OnRanks, within
from gmm_pyro.running.places import Here
from gmm_pyro.running.threads import in_pairs, in_pairs_at
from ranks import FITS, PARTS, SIZES, X, fitted, told

SCRIPT = Path(__file__).with_name("ranks.py")
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="has no gloo"
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two processes that have ended, each a rank."""
    folder = tmp_path_factory.mktemp("ranks")
    running = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(folder)],
            env={**os.environ, **LOOPBACK, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(200) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    return folder


def messages(folder: Path, rank: int) -> dict[str, Any]:
    return json.loads((folder / f"{rank}.json").read_text())


@pytest.mark.parametrize("method", FITS)
def test_all_ranks_have_the_fit_of_the_same_partitions_on_dask(method: str, ended: Path) -> None:
    array = pytest.importorskip("dask.array")
    wanted = told(fitted(array.from_array(X, chunks=(SIZES, X.shape[1])), method))
    for rank in range(2):
        found = torch.load(ended / f"{rank}.pt")[method]
        assert found.keys() == wanted.keys()
        assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


def test_ranks_have_sums_and_some_points_of_all(ended: Path) -> None:
    found = torch.load(ended / "0.pt")["em"]
    mixture = gp.GaussianMixture(found["weights"], found["means"], found["covariances"])
    for rank in range(2):
        assert messages(ended, rank)["bic"] == pytest.approx(mixture.bic(X), rel=1e-13)
        assert messages(ended, rank)["some"] == X[[0, 700, 2000, 1201, 2499]].tolist()


REFUSED = {
    "no rows": "rank 1 has no rows",
    "an empty partition": r"rank 1: x must have at least one row; got shape \(0, 2\)",
    "other columns": "same columns in .*: rank 0 has x0, x1 of .*, and rank 1 x0 of",
    "another type": "rank 0 has x0, x1 of torch.float64, and rank 1 x0, x1 of torch.float32",
    "a missing value": "x has 1 NaN value, the first at row 5 of partition 1, column 'x1'",
    "a constant column": "constant over its 10 rows: 'x0'",
    "another model": "ranks of torch.distributed do not work on the same",
    "a checkpoint": "checkpoint is for fits by one process",
    "labels": r"mixture.predict\(x\)",
}


@pytest.mark.parametrize("what", REFUSED)
def test_all_ranks_refuse_what_one_cannot_do(what: str, ended: Path) -> None:
    kind = "RuntimeError" if what == "another model" else "ValueError"
    for rank in range(2):
        with pytest.raises(ValueError, match=f"^{kind}: .*{REFUSED[what]}"):
            raise ValueError(messages(ended, rank)[what])


def test_a_rank_that_is_gone_is_an_error_of_the_others(ended: Path) -> None:
    assert "a rank of torch.distributed is gone" in messages(ended, 0)["a rank that is gone"]


def test_without_a_process_group_there_are_no_ranks() -> None:
    with pytest.raises(ValueError, match=r"call torch.distributed.init_process_group\('gloo'\)"):
        gp.across_ranks(PARTS[0])


@pytest.mark.parametrize("counts", [(1, 1), (3, 3), (1, 6, 2), (5, 1, 4, 1), (13,), (7, 8, 9)])
@pytest.mark.parametrize("every", [1, 3])
def test_ranks_join_as_the_tree_of_all_does(counts: tuple[int, ...], every: int) -> None:
    """The word that joining makes shows every pair."""
    word, parts, begin = "({} {})".format, dict[int, str](), 0
    for count in counts:
        own = range(begin, begin + count)
        left = within(own, {i: str(i) for i in own if i % every == 0}, word)
        assert len(left) <= 2 * count.bit_length()
        parts, begin = parts | left, begin + count
    whole = {i: str(i) for i in range(begin) if i % every == 0}
    assert in_pairs_at(parts, word) == in_pairs_at(whole, word)
    assert every > 1 or in_pairs_at(whole, word) == in_pairs(list(whole.values()), word)


def test_one_rank_works_on_some_partitions_as_one_process_does() -> None:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        places = OnRanks(Here([10, 20, 30, 40, 50]), (5,))
        found = places.fold_some("{} of {}".format, {4: "c", 0: "a", 1: "b"}, "({} {})".format)
        assert found == "((10 of a 20 of b) 50 of c)"
        assert places.each({3: str, 1: float}) == {3: "40", 1: 20.0}
    finally:
        distributed.destroy_process_group()
