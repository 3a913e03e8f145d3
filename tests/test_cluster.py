"""Data in partitions: fits go to where they are, and are the same to the last bit anywhere."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as Theirs

import gmm_pyro as gp
from gmm_pyro.cli.away import environment_as_it_was
from gmm_pyro.data.observations import observe
from gmm_pyro.data.partitioned import Described, Partition, Partitioned
from gmm_pyro.inference.climb.spikes import whitened_sums
from gmm_pyro.inference.task import FitWarning
from gmm_pyro.reduction.assignments import Drawn, argmax, softmax
from gmm_pyro.reduction.choice import reducer_for
from gmm_pyro.reduction.pointwise import ends_of_components
from gmm_pyro.reduction.sums import information, reduce
from gmm_pyro.reduction.theta import theta_of
from gmm_pyro.running.places import Here

pytest.importorskip("distributed")
import dask.array as da
from dask.sizeof import sizeof
from distributed import Client, KilledWorker, LocalCluster, get_worker

from gmm_pyro.running import on_dask
from killed import Killed, killed_after

MIXTURE = gp.datasets.three_clusters().truth
MODEL = gp.MixtureModel(3)
SIZES = (7_000, 5_000, 1, 8_999, 2_000, 2_000)  # of partitions, unlike each other
X = MIXTURE.sample(sum(SIZES), seed=3).numpy()
SHORT = {
    "em": {},
    "map": {},
    "svi": {"max_steps": 25},
    "gibbs": {"n_draws": 3, "n_warmup": 4, "n_chains": 2},
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::gmm_pyro.inference.task.FitWarning"),
    pytest.mark.timeout(300),
]


def array() -> Any:
    """The points as a Dask array."""
    return da.from_array(X, chunks=(SIZES, X.shape[1]))


def in_partitions(x: np.ndarray, sizes: tuple[int, ...]) -> Partitioned:
    """Points in partitions of this process, with what plain observations know of them."""
    whole = observe(x)
    ends = np.cumsum(sizes).tolist()
    parts = [
        Partition(end - n, whole.x[end - n : end].clone())
        for end, n in zip(ends, sizes, strict=True)
    ]
    described = Described(whole.feature_names, whole.origin, whole.scale)
    return Partitioned(Here(parts), sizes, described, whole.dtype)


def fitted(x: Any, method: str, **more: Any) -> gp.Fit:
    """A fit from a start that is given."""
    return gp.fit(MODEL, x, method, start=MIXTURE, **SHORT[method], **more)


def equal(one: gp.Fit, other: gp.Fit) -> bool:
    """Whether two fits are the same to the last bit."""
    draws = [] if one.posterior is None else list(one.posterior.draws)
    return all(
        torch.equal(a, b)
        for a, b in [
            (one.history, other.history),
            (one.mixture.weights, other.mixture.weights),
            (one.mixture.means, other.mixture.means),
            (one.mixture.covariances, other.mixture.covariances),
            *((one.posterior.draws[n], other.posterior.draws[n]) for n in draws),
        ]
    )


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that are running."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture(autouse=True)
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task for each partition, however small."""
    monkeypatch.setattr(on_dask, "LEAST_BYTES", 0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Worker processes, of which none is left in the end."""
    options: dict[str, Any] = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    before = dict(os.environ)
    with (
        environment_as_it_was(),
        LocalCluster(n_workers=1, threads_per_worker=1, **options) as running,
    ):
        yield running
        with Client(running) as client:
            pids = list(client.run(os.getpid).values())
    assert os.environ == before
    deadline = time.monotonic() + 20
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive(pids) == []


@contextmanager
def workers(cluster: LocalCluster, count: int) -> Iterator[Client]:
    """A client of so many workers."""
    cluster.scale(count)
    with Client(cluster) as client:
        while len(client.nthreads()) != count:
            time.sleep(0.05)
        yield client


@pytest.fixture(scope="module")
def in_threads() -> dict[str, gp.Fit]:
    """A short fit by each method, by Dask's threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return {method: fitted(array(), method) for method in SHORT}


# ---------------------------------------------------------------------- the same numbers anywhere


@pytest.mark.parametrize("method", SHORT)
def test_a_fit_in_memory_is_the_same(method: str, in_threads: dict[str, gp.Fit]) -> None:
    assert equal(fitted(in_threads[method].observations.held(), method), in_threads[method])


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("nuts", {"n_draws": 3, "n_warmup": 4, "n_chains": 2, "max_tree_depth": 3}),
        ("laplace", {"n_draws": 5}),
    ],
)
def test_methods_of_many_passes_are_the_same_too(method: str, options: dict[str, Any]) -> None:
    one = gp.fit(MODEL, array(), method, start=MIXTURE, **options)
    assert equal(one, gp.fit(MODEL, one.observations.held(), method, start=MIXTURE, **options))


@pytest.mark.parametrize(
    ("count", "methods"), [(1, ("em", "gibbs")), (2, tuple(SHORT)), (4, ("em", "gibbs"))]
)
def test_fits_are_the_same_on_any_number_of_workers(
    count: int, methods: tuple[str, ...], cluster: LocalCluster, in_threads: dict[str, gp.Fit]
) -> None:
    with workers(cluster, count):
        found = {method: fitted(array(), method) for method in methods}
    assert [method for method in methods if not equal(found[method], in_threads[method])] == []


@pytest.mark.parametrize("least", [0, 2**20])
def test_a_search_is_the_same_however_partitions_share_tasks(
    least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "LEAST_BYTES", least)
    one = gp.fit(MODEL, array(), n_starts=2, search="starts")
    assert len(one.observations.places.lots) == (len(SIZES) if least == 0 else 1)
    assert equal(one, gp.fit(MODEL, one.observations.held(), n_starts=2, search="starts"))


@pytest.mark.parametrize("assign", [softmax, argmax, Drawn(5)], ids=["softmax", "argmax", "drawn"])
@pytest.mark.parametrize("covariance", ["full", "diag", "tied"])
def test_a_reduction_is_that_of_the_points_in_one_piece(covariance: str, assign: Any) -> None:
    mixture = gp.fit(gp.MixtureModel(3, covariance), X[:2000], max_steps=2).mixture
    whole, parts = observe(X), in_partitions(X, SIZES)
    theta = theta_of(mixture.family, mixture.parameters, whole)
    one, other = reduce(whole, theta, assign), reduce(parts, theta, assign)
    for a, b in zip((one.log_norm, *one.sums), (other.log_norm, *other.sums), strict=True):
        assert float((a - b).abs().max()) <= 1e-12 * float(b.abs().max())


@pytest.mark.parametrize("assign", [softmax, Drawn(5)], ids=["softmax", "drawn"])
def test_a_reduction_in_the_kernels_own_blocks_is_the_same_to_the_bit(assign: Any) -> None:
    x = MIXTURE.sample(150_000, seed=4).numpy()
    whole = observe(x)
    theta = theta_of(MIXTURE.family, MIXTURE.parameters, whole)
    sizes = tuple(len(block.x) for block in reducer_for(theta, whole, assign).blocks())
    assert len(sizes) > 2
    one, other = reduce(whole, theta, assign), reduce(in_partitions(x, sizes), theta, assign)
    for a, b in zip((one.log_norm, *one.sums), (other.log_norm, *other.sums), strict=True):
        assert torch.equal(a, b)


def test_em_goes_as_scikit_learns() -> None:
    start = {"weights_init": MIXTURE.weights, "means_init": MIXTURE.means}
    precisions = torch.linalg.inv(MIXTURE.covariances).numpy()
    theirs = Theirs(3, reg_covar=0.0, tol=1e-10, max_iter=500, precisions_init=precisions, **start)
    theirs.fit(X)
    found = fitted(array(), "em", tolerance=1e-12, covariance_floor=0.0)
    assert found.objective / len(X) == pytest.approx(theirs.score(X), abs=1e-9)
    np.testing.assert_allclose(found.mixture.means, theirs.means_, atol=1e-4)


def test_location_and_scale_are_numpys_far_from_zero() -> None:
    far = X * np.array([1.0, 1e-3]) + np.array([1e6, -1e5])
    found = observe(da.from_array(far, chunks=(SIZES, 2)))
    np.testing.assert_allclose(found.origin, far.mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.scale, far.std(0), rtol=1e-9)


def test_a_sample_is_the_same_in_any_partitions() -> None:
    generator = torch.Generator()
    plain = observe(X).part(3000, generator.manual_seed(7))
    for sizes in (SIZES, (len(X) - 5, 5)):
        found = in_partitions(X, sizes).part(3000, generator.manual_seed(7))
        assert torch.equal(found.x, plain.x)


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_sums_over_partitions_are_those_of_the_points_in_one_piece(covariance: str) -> None:
    """Second derivatives, the spread of components, and their ends."""
    mixture = gp.fit(gp.MixtureModel(3, covariance), X[:2000], max_steps=2).mixture
    family, p = mixture.family, mixture.parameters
    whole, parts = observe(X), in_partitions(X, SIZES)
    theta = theta_of(family, p, whole)
    one, other = information(whole, theta), information(parts, theta)
    # its entries are differences of sums some thousand times as large
    assert float((one - other).abs().max()) <= 1e-9 * float(one.abs().max())
    assert torch.equal(ends_of_components(whole, theta), ends_of_components(parts, theta))
    pairs = zip(whitened_sums(whole, family, p), whitened_sums(parts, family, p), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("method", ["gradient", "vb"])
def test_other_methods_take_partitions_too(method: str) -> None:
    own = {"max_steps": 25} if method == "gradient" else {}
    one = gp.fit(MODEL, array(), method, start=MIXTURE, **own)
    other = gp.fit(MODEL, X, method, start=MIXTURE, **own)
    assert one.objective == pytest.approx(other.objective, abs=1e-4)


def test_a_selection_by_bic_is_that_in_memory() -> None:
    some = MIXTURE.sample(6_000, seed=5).numpy()  # more than the sample that it begins with
    wanted: dict[str, Any] = {"covariance": ["diag"]}
    one = gp.select(da.from_array(some, chunks=(2_500, 2)), [2, 3], **wanted).table
    other = gp.select(some, [2, 3], **wanted).table
    assert list(one["n_components"]) == list(other["n_components"]) == [3, 2]
    np.testing.assert_allclose(one["bic"], other["bic"], atol=1e-3)


# ---------------------------------------------------------------------- what goes wrong


def at_pass(number: int, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Have something done as a pass begins, the n-th; the list has what all passes work."""
    passes: list[Any] = []
    fold = on_dask.OnDask.fold

    def folded(places: Any, work: Any, join: Any) -> Any:
        passes.append(work)
        if len(passes) == number:
            act()
        return fold(places, work, join)

    monkeypatch.setattr(on_dask.OnDask, "fold", folded)
    return passes


@pytest.mark.parametrize("method", ["em", "svi", "gibbs"])
def test_a_worker_that_is_killed_changes_nothing(
    method: str,
    cluster: LocalCluster,
    in_threads: dict[str, gp.Fit],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with workers(cluster, 2) as client:
        pid = next(iter(client.run(os.getpid).values()))
        kill = threading.Timer(0.02, os.kill, (pid, signal.SIGKILL)).start
        passes = at_pass(4, kill, monkeypatch)
        found = fitted(array(), method)
    assert len(passes) > 5
    assert equal(found, in_threads[method])


def test_a_worker_that_is_slow_changes_nothing(
    cluster: LocalCluster, in_threads: dict[str, gp.Fit], monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = on_dask.OnDask.fold

    def folded(places: Any, work: Any, join: Any) -> Any:
        def done(partition: Any) -> Any:  # goes to the workers as it is
            time.sleep(0.05 if get_worker().name == slow else 0)
            return work(partition)

        return fold(places, done, join)

    with workers(cluster, 2) as client:
        slow = next(iter(client.scheduler_info()["workers"].values()))["name"]
        monkeypatch.setattr(on_dask.OnDask, "fold", folded)
        assert equal(fitted(array(), "em"), in_threads["em"])


@pytest.mark.parametrize("method", ["em", "gibbs"])
def test_a_fit_that_is_killed_goes_on_from_its_checkpoint_on_the_cluster(
    method: str,
    cluster: LocalCluster,
    in_threads: dict[str, gp.Fit],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = at_pass(0, list, monkeypatch)
    with workers(cluster, 2):
        with killed_after(7, monkeypatch), pytest.raises(Killed):
            fitted(array(), method, checkpoint=tmp_path, checkpoint_seconds=0.0)
        passes.clear()
        found = fitted(array(), method, checkpoint=tmp_path)
    again = len(passes)
    passes.clear()
    assert equal(fitted(array(), method), found)
    assert again < len(passes)
    assert equal(found, in_threads[method])


SCHEDULER = """
import time
from distributed import LocalCluster
own = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "protocol": "tcp://"}
cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **own)
print(cluster.scheduler_address, flush=True)
time.sleep(200)
"""


def test_a_client_that_loses_the_scheduler_says_so_and_the_checkpoint_is_whole(
    in_threads: dict[str, gp.Fit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = [sys.executable, "-c", SCHEDULER]
    with subprocess.Popen(text, stdout=subprocess.PIPE, text=True) as process:
        at_pass(9, process.kill, monkeypatch)
        with (
            Client(process.stdout.readline().strip()),
            pytest.raises(ConnectionError, match="scheduler of Dask is gone.*same call again"),
        ):
            fitted(array(), "gibbs", checkpoint=tmp_path, checkpoint_seconds=0.0)
    assert list(tmp_path.glob("part-*.npz"))
    assert equal(fitted(array(), "gibbs", checkpoint=tmp_path), in_threads["gibbs"])


def test_partitions_that_a_closed_client_has_kept_are_lost(cluster: LocalCluster) -> None:
    with workers(cluster, 1):
        found = fitted(array(), "em")
    with pytest.raises(ConnectionError, match="or the client was closed"):
        found.mixture.bic(found.observations)


def test_partitions_over_which_workers_die_are_said_to_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dying(*values: Any, **_: Any) -> Any:
        raise KilledWorker("a task", SimpleNamespace(address="tcp://host:1"), 3)

    monkeypatch.setattr(on_dask, "compute", dying)
    with pytest.raises(RuntimeError, match=r"take smaller partitions.*4 different workers"):
        fitted(array(), "em")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_where_they_are(bad: float) -> None:
    x = X.copy()
    x[12_004, 1] = x[20_000, 0] = bad
    kind = "NaN" if np.isnan(bad) else "infinite"
    with pytest.raises(ValueError, match=f"2 {kind} values.*row 3 of partition 3, column 'x1'"):
        gp.fit(MODEL, da.from_array(x, chunks=(SIZES, 2)))


def test_a_constant_column_is_refused() -> None:
    x = np.column_stack([X[:, 0], np.full(len(X), 4.0)])
    with pytest.raises(ValueError, match="constant over its 25000 rows: 'x1' .always 4."):
        gp.fit(MODEL, da.from_array(x, chunks=(SIZES, 2)))


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("kmeans", {}, "kmeans needs all points in memory"),
        ("map:enumerated", {}, "map:enumerated needs all points in memory"),
        ("gibbs", {"keep_allocations": 2}, "keep_allocations is for points in memory"),
        ("em", {"start": np.arange(len(X)) % 3}, "no labels as a start"),
        ("em", {"sample_weight": np.ones(len(X))}, "sample_weight of data in partitions must be"),
    ],
)
def test_what_needs_every_point_here_is_refused(
    method: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        gp.fit(MODEL, array(), method, **options)


def test_values_of_every_point_are_refused_by_name(in_threads: dict[str, gp.Fit]) -> None:
    found = in_threads["gibbs"]
    with pytest.raises(ValueError, match="to_arviz, with .* is for points in memory"):
        found.to_arviz()
    with pytest.raises(ValueError, match="combine is for points in memory"):
        found.combine()
    with pytest.raises(ValueError, match="stay there, and this needs them here: x"):
        print(found.observations.x)


# ---------------------------------------------------------------------- what travels


def test_what_comes_to_the_client_does_not_depend_on_the_number_of_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    computed = on_dask.computed

    def measured(values: Any) -> Any:
        found = computed(values)
        sizes.append(len(pickle.dumps(found)))
        return found

    monkeypatch.setattr(on_dask, "computed", measured)

    def bytes_of(n: int) -> int:
        sizes.clear()
        x = da.from_array(X[:n], chunks=(n // 4, 2))
        gp.fit(MODEL, x, start=MIXTURE, max_steps=2)
        return max(sizes[1:])  # after the survey, which has the rows of each partition

    small = bytes_of(6_000)
    monkeypatch.setattr("gmm_pyro.data.points.SAMPLE", 100)
    monkeypatch.setattr("gmm_pyro.data.points.ROWS", 200)
    assert bytes_of(24_000) == bytes_of(12_000) < small


def test_a_scheduler_knows_how_large_partitions_are() -> None:
    lot = [Partition(0, torch.zeros(1000, 8)), Partition(1000, torch.zeros(500, 8))]
    assert 48_000 <= sizeof(lot) < 50_000


# ---------------------------------------------------------------------- predictions


def test_labels_and_responsibilities_are_lazy_in_the_same_partitions() -> None:
    found = fitted(array(), "em")
    labels, shares = found.labels, found.responsibilities
    assert labels.chunks == (SIZES,)
    assert shares.chunks == (SIZES, (3,))
    np.testing.assert_array_equal(labels.compute(), found.mixture.predict(X))
    np.testing.assert_allclose(shares.compute(), found.mixture.responsibilities(X), atol=1e-14)
    lazily = found.mixture.log_prob(array())
    np.testing.assert_allclose(lazily.compute(), found.mixture.log_prob(X), rtol=1e-14)
    assert found.mixture.bic(array()) == pytest.approx(found.mixture.bic(X), rel=1e-14)
