"""What is asked of points in partitions beside sums over all: batches, weights, noise, labels."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.calibration import exact_posterior
from gmm_pyro.data import partitioned
from gmm_pyro.data.observations import observe
from gmm_pyro.data.partitioned import Batch, Partitioned
from gmm_pyro.data.spread import joined_ends
from gmm_pyro.data.works import ends_of
from gmm_pyro.posterior.draws import sampled_rows
from gmm_pyro.reduction.assignments import Drawn, softmax
from gmm_pyro.reduction.choice import reducer_for
from gmm_pyro.reduction.decision import is_ready
from gmm_pyro.reduction.naming import log_probability_of_labels
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import theta_of
from gmm_pyro.running import on_dask
from gmm_pyro.running.counting import places_of, shuffled
from gmm_pyro.running.places import Here
from gmm_pyro.running.threads import in_pairs, in_pairs_at
from oracles import FAILURE_RATE

pytest.importorskip("distributed")
import dask.array as da
import dask.dataframe as dd

MIXTURE = gp.datasets.three_clusters().truth
MODEL = gp.MixtureModel(3)
NOISY = gp.MixtureModel(3, noise_component="uniform")
SIZES = (1_900, 1_400, 1, 2_100, 600)  # of partitions, unlike each other
N = sum(SIZES)
X = MIXTURE.sample(N, seed=3).numpy()
X[::40] = np.random.default_rng(0).uniform(-12, 12, (len(X[::40]), 2))  # what noise is for
X = X[np.argsort(X[:, 0], kind="stable")]  # so that partitions are unlike
WEIGHTS = np.random.default_rng(1).integers(0, 4, N).astype(float)
LABELS = np.where(np.arange(N) % 9 == 0, MIXTURE.predict(torch.as_tensor(X)).numpy(), -1)
LABELS[: SIZES[0]] = -1  # of the first partition nothing is known
STEPS = {"max_steps": 25}
DRAWS = {"n_draws": 3, "n_warmup": 4, "n_chains": 2, "max_doublings": 0, "jumps": "never"}
BATCHES: dict[str, dict[str, Any]] = {
    "gradient": {"batch_size": 300, **STEPS},
    "svi": {"batch_size": 300, "n_particles": 4, **STEPS},
    "vb": {"batch_size": 900, "max_steps": 5},
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::gmm_pyro.inference.task.FitWarning"),
    pytest.mark.timeout(300),
]


def in_parts(values: np.ndarray) -> Any:
    """Values of all points as a Dask array."""
    return da.from_array(values, chunks=(SIZES, *values.shape[1:]))


@cache
def observed(**beside: bool) -> tuple[Partitioned, Any]:
    """The points in partitions, and in memory, with weights or labels if these are asked for."""
    given = {"sample_weight": WEIGHTS, "labels": LABELS}
    given = {name: value for name, value in given.items() if beside.get(name)}
    away = observe(in_parts(X), n_components=3, **{n: in_parts(v) for n, v in given.items()})
    assert isinstance(away, Partitioned)
    return away, observe(X, n_components=3, **given)


def both(method: str, model: gp.MixtureModel = MODEL, **options: Any) -> None:
    """The fit in partitions is that in memory, and in the same blocks to the last bit."""
    beside = {name: options.pop(name, False) for name in ("sample_weight", "labels")}
    away, here = observed(**beside)
    one = gp.fit(model, away, method, start=MIXTURE, **options)
    other = gp.fit(model, here, method, start=MIXTURE, **options)
    again = gp.fit(model, away.held(), method, start=MIXTURE, **options)
    assert torch.equal(one.history, again.history)
    assert one.mixture.means.equal(again.mixture.means)
    torch.testing.assert_close(one.history, other.history, rtol=1e-9, atol=1e-7)
    for name in ("weights", "means", "covariances"):
        found, expected = getattr(one.mixture, name), getattr(other.mixture, name)
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
    if model.noise is not None:
        assert one.mixture.noise_weight == pytest.approx(other.mixture.noise_weight, rel=1e-7)


def rows_in(batch: Any) -> Tensor:
    """Numbers of a batch's rows among all."""
    assert isinstance(batch, Batch)
    firsts = np.cumsum((0, *SIZES))
    return torch.cat([rows + int(firsts[i]) for i, rows in batch.told.items()])


# ---------------------------------------------------------------------- minibatches


@pytest.mark.parametrize("method", BATCHES)
def test_a_fit_by_minibatches_is_that_in_memory(method: str) -> None:
    both(method, **BATCHES[method])


@pytest.mark.parametrize("method", ["gradient", "vb"])
def test_minibatches_have_weights_labels_and_noise(method: str) -> None:
    both(method, NOISY, **BATCHES[method], sample_weight=True, labels=True)


@pytest.mark.parametrize("size", [40, 900])
def test_the_sums_of_a_minibatch_are_those_of_its_rows(size: int) -> None:
    (away, here), generator = observed(sample_weight=True), torch.Generator()
    batch = away.drawn(size, generator.manual_seed(2))
    rows = rows_in(batch)
    wanted = torch.randint(N, (size,), generator=generator.manual_seed(2))
    assert torch.equal(rows.sort().values, wanted.sort().values)
    theta = theta_of(MIXTURE.family, MIXTURE.parameters, here)
    one, other = reduce(batch, theta), reduce(here.subset(rows), theta)
    for a, b in zip((one.log_norm, *one.sums), (other.log_norm, *other.sums), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_every_row_is_in_one_batch_of_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    away, here = observed()
    for most in (2, 100):
        monkeypatch.setattr(partitioned, "AT_ONCE", most)
        parts = [part() for part in away.shared_out(500, torch.Generator().manual_seed(1))]
        assert all(part.n <= 500 and len(part.sizes) <= most for part in parts)
        rows = torch.cat([rows_in(part) for part in parts])
        assert torch.equal(rows.sort().values, torch.arange(N))
    in_memory = [part() for part in here.shared_out(500, torch.Generator().manual_seed(1))]
    for one, other in zip(parts, in_memory, strict=True):
        assert np.array_equal(X[rows_in(one).numpy()], other.x.numpy())


def test_few_of_many_partitions_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are drawn as often as they have rows, and the mean of a batch is not biased."""
    monkeypatch.setattr(partitioned, "AT_ONCE", 2)
    away, generator = observed()[0], torch.Generator().manual_seed(4)
    batches = [away.drawn(7, generator) for _ in range(800)]
    assert {len(batch.sizes) for batch in batches} == {1, 2}
    rows = [rows_in(batch) for batch in batches]
    assert all(len(some) == 7 for some in rows)
    means = np.stack([X[some].mean(0) for some in rows])
    z = (means.mean(0) - X.mean(0)) / (means.std(0) / np.sqrt(len(means)))
    assert np.abs(z).max() < stats.norm.isf(FAILURE_RATE / 4)
    chosen = [next(iter(away.drawn(1, generator).told)) for _ in range(800)]  # type: ignore[attr-defined]
    seen, expected = np.bincount(chosen, minlength=5), 800 * np.array(SIZES) / N
    several = [0, 1, 3, 4]  # one has a single row
    assert (
        stats.chisquare(
            seen[several], expected[several] * seen[several].sum() / expected[several].sum()
        ).pvalue
        > FAILURE_RATE
    )


def test_a_minibatch_goes_to_its_partitions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitioned, "AT_ONCE", 2)
    found, tasks, passed = [], [], on_dask.OnDask._pass

    def counted(places: Any, work: Any, some: Any, join: Any) -> Any:
        tasks.append(len(some))
        return passed(places, work, some, join)

    monkeypatch.setattr(on_dask.OnDask, "_pass", counted)
    for least in (0, 2**20):
        monkeypatch.setattr(on_dask, "LEAST_BYTES", least)
        away, generator = observe(in_parts(X)), torch.Generator().manual_seed(3)
        assert len(away.places.lots) == (len(SIZES) if least == 0 else 1)  # type: ignore[attr-defined]
        theta = theta_of(MIXTURE.family, MIXTURE.parameters, away)
        tasks.clear()
        found.append([reduce(away.drawn(50, generator), theta) for _ in range(3)])
        assert max(tasks) <= 2
    for one, other in zip(*found, strict=True):  # however partitions share tasks
        assert all(torch.equal(a, b) for a, b in zip(one.sums, other.sums, strict=True))


def test_a_batch_gives_sums_alone() -> None:
    batch = observed()[0].drawn(5, torch.Generator().manual_seed(0))
    for ask in (lambda: batch.subset(slice(2)), lambda: batch.x, lambda: batch.total_weight):
        with pytest.raises(ValueError, match="are in partitions and stay there"):
            ask()


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13])
def test_parts_at_some_places_are_joined_as_if_the_others_were_empty(count: int) -> None:
    words = [f"{i}," for i in range(count)]
    whole = in_pairs([(word,) for word in words], lambda a, b: (a, b))  # type: ignore[arg-type, return-value]
    assert in_pairs_at({i: (w,) for i, w in enumerate(words)}, lambda a, b: (a, b)) == whole
    places = Here(words)
    some = {i: i for i in range(0, count, 3)}
    found = places.fold_some(lambda word, told: f"{word}{told};", some, lambda a, b: a + b)
    assert found == "".join(f"{i},{i};" for i in some)


@pytest.mark.parametrize("n", [1, 2, 5, 100, 1025])
def test_an_order_of_rows_is_a_permutation_that_can_be_undone(n: int) -> None:
    order = shuffled(n, n, seed=7)
    assert torch.equal(order.sort().values, torch.arange(n))
    assert torch.equal(places_of(order, n, seed=7), torch.arange(n))
    assert torch.equal(shuffled(n, n - n // 2, seed=7, first=n // 2), order[n // 2 :])


# ---------------------------------------------------------------------- sample weights


@pytest.mark.parametrize(
    ("method", "options"),
    [("em", {}), ("map", {}), ("gradient", STEPS), ("vb", {})],
)
def test_a_weighted_fit_is_that_in_memory(method: str, options: dict[str, Any]) -> None:
    both(method, **options, sample_weight=True)


def test_a_weighted_search_is_that_in_memory() -> None:
    away, here = observed(sample_weight=True)
    options: dict[str, Any] = {"n_starts": 2, "search": "starts"}
    one, other = gp.fit(MODEL, away, **options), gp.fit(MODEL, here, **options)
    assert one.objective == pytest.approx(other.objective, abs=1e-6)


def test_weights_count_as_repeated_points() -> None:
    """numpy's own, and a fit of the repeated points in memory."""
    away = observed(sample_weight=True)[0]
    many = np.repeat(X, WEIGHTS.astype(int), axis=0)
    np.testing.assert_allclose(away.origin, many.mean(0), rtol=1e-12)
    np.testing.assert_allclose(away.scale, many.std(0), rtol=1e-12)
    assert torch.equal(away.ends, torch.as_tensor(np.stack([many.min(0), many.max(0)])))
    assert away.total_weight == len(many)
    assert away.n_weighted == int((WEIGHTS > 0).sum())
    one = gp.fit(MODEL, away, start=MIXTURE, tolerance=1e-10)
    other = gp.fit(MODEL, many, start=MIXTURE, tolerance=1e-10)
    assert one.objective == pytest.approx(other.objective, abs=1e-4)
    mixture = other.mixture
    weighted = mixture.criteria(in_parts(X), in_parts(WEIGHTS))
    assert weighted.bic == pytest.approx(mixture.bic(many), rel=1e-11)
    assert mixture.bic(away, away.sample_weight) == pytest.approx(weighted.bic, rel=1e-12)
    assert mixture.bic(away) == pytest.approx(mixture.bic(X), rel=1e-12)


def test_rows_of_positive_weight_are_those_in_memory() -> None:
    away, here = observed(sample_weight=True)
    assert torch.equal(sampled_rows(away, 100), sampled_rows(here, 100))
    assert torch.equal(sampled_rows(away, N), torch.as_tensor(WEIGHTS).nonzero()[:, 0])
    rows = torch.tensor([0, 5_900, 3, 1_900])
    assert torch.equal(away.subset(rows).weights, here.subset(rows).weights)


def test_a_partition_whose_weights_are_zero_is_not_there() -> None:
    weight = np.where(np.arange(N) < SIZES[0], 0.0, WEIGHTS)
    found = observe(in_parts(X), sample_weight=in_parts(weight))
    expected = observe(X, sample_weight=weight)
    torch.testing.assert_close(found.origin, expected.origin, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.scale, expected.scale, rtol=1e-12, atol=0)
    assert torch.equal(found.ends, expected.ends)
    assert torch.equal(found.held().fold(ends_of, joined_ends), expected.ends)


@pytest.mark.parametrize("kind", ["array of other chunks", "series", "column", "files"])
def test_weights_and_labels_may_be_arrays_series_or_columns(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(X, columns=["width", "height"])
    told = frame.assign(often=WEIGHTS, kind=LABELS.astype(float))
    x: Any = dd.from_pandas(frame, npartitions=3, sort=False)
    beside = dd.from_pandas(told, npartitions=3, sort=False)
    given: dict[str, Any] = {"sample_weight": beside["often"], "labels": beside["kind"]}
    if kind == "array of other chunks":
        x = in_parts(X)
        given = {"sample_weight": da.from_array(WEIGHTS, chunks=999), "labels": in_parts(LABELS)}
    elif kind != "series":
        x, given = beside, {"sample_weight": "often", "labels": "kind"}
    if kind == "files":
        told.to_parquet(tmp_path / "told.parquet", row_group_size=3_000, index=False)
        x = str(tmp_path)
    found, expected = observe(x, n_components=3, **given), observed(sample_weight=True, labels=True)
    assert found.d == 2
    assert found.total_weight == WEIGHTS.sum()
    rows = torch.arange(0, N, 7)
    some, wanted = found.subset(rows), expected[1].subset(rows)
    assert torch.equal(some.x, wanted.x)
    assert torch.equal(some.weights, wanted.weights)
    assert some.allowed is not None
    assert wanted.allowed is not None
    assert torch.equal(
        some.allowed.table[some.allowed.kind], wanted.allowed.table[wanted.allowed.kind]
    )


def changed(values: np.ndarray, row: int, value: float) -> Any:
    """Values as a Dask array, with another one."""
    found = values.astype(float)
    found[row] = value
    return in_parts(found)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sample_weight": WEIGHTS}, "must be a Dask array or series in the same partitions"),
        ({"sample_weight": "often"}, "must be a Dask array or series in the same partitions"),
        ({"sample_weight": da.ones(N - 1)}, "in the 5 partitions of x, got 1"),
        (
            {"sample_weight": da.ones(N + 1, chunks=(N + 1) // 5 + 1)},
            "for each of the .* rows of partition .*, got shape",
        ),
        ({"sample_weight": changed(WEIGHTS, 3_302, -2)}, "got -2 at row 1 of partition 3"),
        ({"sample_weight": changed(WEIGHTS, 7, np.nan)}, "got nan at row 7 of partition 0"),
        ({"sample_weight": in_parts(0 * WEIGHTS)}, "must have a positive entry, got zeros only"),
        ({"labels": LABELS}, "labels of data in partitions must be a Dask array or series"),
        ({"labels": changed(LABELS, 3_305, 3)}, "from 0 to 2.*got 3.* at row 4 of partition 3"),
        ({"noise": np.ones(2)}, "noise is not known of data in partitions"),
    ],
)
def test_what_is_wrong_beside_points_is_refused_where_it_is(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        gp.fit(MODEL, in_parts(X), **given)


def test_a_column_that_is_not_there_is_refused() -> None:
    frame = dd.from_pandas(pd.DataFrame(X, columns=["width", "height"]), npartitions=2)
    with pytest.raises(ValueError, match="x has no column 'often': it has width, height"):
        gp.fit(MODEL, frame, sample_weight="often")


def test_gibbs_takes_no_weights_there_either() -> None:
    with pytest.raises(ValueError, match="gibbs takes no sample_weight"):
        gp.fit(MODEL, observed(sample_weight=True)[0], "gibbs")


def test_observations_keep_what_they_have() -> None:
    away = observed(sample_weight=True)[0]
    assert observe(away, sample_weight=away.sample_weight) is away
    assert observe(away, dtype="float64") is away
    with pytest.raises(ValueError, match="are of torch.float64: for float32 give the data anew"):
        observe(away, dtype="float32")
    with pytest.raises(ValueError, match="keep their sample_weight: give the data anew"):
        observe(away, sample_weight=in_parts(WEIGHTS))
    for ask in (
        lambda: away.weights,
        lambda: away.sample_weight[0],
        lambda: away.sample_weight.sum,
    ):
        with pytest.raises(ValueError, match="this needs them here: weights"):
            ask()


# ---------------------------------------------------------------------- noise and labels


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("em", {}),
        ("em", {"labels": True}),
        ("map", {}),
        ("vb", {"labels": True}),
        ("gibbs", {"labels": True, **DRAWS}),
    ],
)
def test_fits_with_noise_and_known_components(method: str, options: dict[str, Any]) -> None:
    both(method, NOISY, **options)


@pytest.mark.parametrize("method", ["em", "gibbs"])
def test_a_search_with_labels_is_that_in_memory(method: str) -> None:
    options = DRAWS if method == "gibbs" else {"n_starts": 2, "search": "starts"}
    away, here = observed(labels=True)
    one, other = gp.fit(MODEL, away, method, **options), gp.fit(MODEL, here, method, **options)
    torch.testing.assert_close(one.mixture.means, other.mixture.means, rtol=1e-7, atol=1e-9)
    assert np.array_equal(one.labels.compute(), other.labels.numpy())  # which keep to what is known


def test_the_box_of_noise_is_that_of_all_points() -> None:
    found = gp.fit(NOISY, in_parts(X), start=MIXTURE, max_steps=2)
    low, high = found.mixture.noise_component.arrays  # type: ignore[union-attr]
    assert torch.equal(low, torch.as_tensor(X.min(0)))
    assert torch.equal(high, torch.as_tensor(X.max(0)))
    lazily = found.mixture.noise_probability(in_parts(X)).compute()
    np.testing.assert_allclose(lazily, found.mixture.noise_probability(X), rtol=1e-12)


def test_noise_that_reaches_no_point_is_a_problem() -> None:
    far = gp.UniformBox([100.0, 100.0], [101.0, 101.0])
    found = gp.fit(gp.MixtureModel(3, noise_component=far), in_parts(X), start=MIXTURE, max_steps=3)
    assert "the noise component reaches no point" in found.diagnostics["problems"]


def test_a_wide_gaussian_beside_a_tied_family() -> None:
    noise = gp.WideGaussian([200.0, 200.0])
    model = gp.MixtureModel(3, "tied", noise_component=noise)
    away, here = observed()
    one, other = gp.fit(model, away, n_starts=1), gp.fit(model, here, n_starts=1)
    assert one.objective == pytest.approx(other.objective, abs=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["weights", "drawn"])
def test_what_belongs_to_rows_is_found_in_any_partition(
    kind: str,
    compiled: bool,  # noqa: FBT001 - parametrized
) -> None:
    """Weights, labels and noise go by a row's place in its partition, draws by its number."""
    if compiled and not is_ready(torch.float64):
        pytest.skip("numba is not here")
    found = []
    for points in observed(sample_weight=kind == "weights", labels=True):
        model, data = NOISY.beside_noise(points.compiling(compiled))
        start = gp.fit(model, X[::5], start=MIXTURE, max_steps=2).mixture
        theta = theta_of(start.family, start.parameters, data)
        assign = softmax if kind == "weights" else Drawn(5)
        found.append(reduce(data, theta, assign))
        orders = torch.tensor([[0, 1, 2], [2, 0, 1]])
        found[-1:] = [(found[-1], log_probability_of_labels(data, theta, orders))]
    assert type(reducer_for(theta, data, assign)).__name__ == (
        "Compiled" if compiled else "Features"
    )
    (one, known), (other, expected) = found
    torch.testing.assert_close(known, expected, rtol=1e-11, atol=1e-9)
    for a, b in zip((one.log_norm, *one.sums), (other.log_norm, *other.sums), strict=True):
        assert float((a - b).abs().max()) <= 1e-11 * float(b.abs().max())


def test_a_sample_with_labels_is_the_same_in_partitions() -> None:
    away, here = observed(labels=True, sample_weight=True)
    for most in (300, 3_000, N):
        one, other = (
            points.part(most, torch.Generator().manual_seed(7)) for points in (away, here)
        )
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.weights, other.weights)
    assert away.allowed is not None
    assert away.allowed.n_known == int((LABELS >= 0).sum())
    with pytest.raises(ValueError, match="this needs them here: labels"):
        print(away.allowed.known)


def test_labels_that_say_nothing_are_none() -> None:
    found = observe(in_parts(X), labels=in_parts(np.full(N, -1)), n_components=3)
    assert found.allowed is None
    assert found.part(10, torch.Generator()).allowed is None


# ---------------------------------------------------------------------- an unknown number


def test_an_unknown_number_of_components_is_drawn_as_the_exact_posterior_says() -> None:
    """Sweeps and reversible moves alone, of six points in three partitions."""
    x = np.array([-1.2, -0.9, 0.1, 0.3, 2.0, 2.9])[:, None]
    away = observe(da.from_array(x, chunks=((2, 3, 1), 1))).held()  # type: ignore[attr-defined]
    priors = gp.ConjugatePriors(0.7, mean_strength=0.3, scale=0.5)
    model = gp.MixtureModel(gp.Unknown("poisson(1)", most=6), priors=priors)
    chains = 100
    fit = gp.fit(model, away, "gibbs", n_chains=chains, n_draws=40, n_warmup=20, max_doublings=0)
    exact = exact_posterior(model, torch.as_tensor(x))
    assert fit.posterior is not None
    for name, expected in (
        ("n_filled", exact.filled_components),
        ("n_components", exact.components),
    ):
        shares = (fit.posterior.draws[name][..., None] == torch.arange(1, 7)).double().mean(1)
        likely = expected > 1e-3
        error = shares.std(0)[likely] / np.sqrt(chains)
        z = (shares.mean(0)[likely] - expected[likely]) / error
        assert float(z.abs().max()) < stats.norm.isf(FAILURE_RATE / 2 / len(z))


@pytest.mark.parametrize("prior", ["unknown", "process"])
def test_draws_of_an_unknown_number_are_those_in_memory(
    prior: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where points in memory are too many for the splits that need them."""
    monkeypatch.setattr("gmm_pyro.inference.telescoping.kept_moves.MOST_POINTS", 3)
    process = gp.ConjugatePriors(gp.DirichletProcess())
    model = {
        "unknown": gp.MixtureModel(gp.Unknown(most=6)),
        "process": gp.MixtureModel(5, priors=process),
    }[prior]
    start = {"start": MIXTURE} if prior == "unknown" else {}
    found = [gp.fit(model, points, "gibbs", **DRAWS, **start) for points in observed()]
    one, other = (fit.posterior.draws for fit in found if fit.posterior is not None)
    assert list(one) == list(other)
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], rtol=1e-8, atol=1e-9)
