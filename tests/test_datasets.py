"""Claims about the data sets: they are what their names say, and nothing else is disturbed."""

from __future__ import annotations

import io
import random
import shutil
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, load_wine

import gmm_pyro as gp
from gmm_pyro import metrics
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.datasets import (
    DATASETS,
    Dataset,
    anisotropic,
    dataset_named,
    galaxies,
    iris,
    make_mixture,
    old_faithful,
)
from gmm_pyro.datasets import three_clusters as make_three_clusters
from oracles import STANDARD_ERRORS

DRAWN = [name for name in DATASETS if name not in ("iris", "wine", "old-faithful", "galaxies")]


@pytest.fixture(params=DATASETS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=DRAWN)
def drawn(request: pytest.FixtureRequest) -> Dataset:
    return dataset_named(request.param)


class TestEveryDataset:
    def test_is_a_table_of_finite_numbers(self, name: str) -> None:
        data = dataset_named(name)
        assert data.name == name
        assert data.x.shape == (data.n, data.d)
        assert len(data.feature_names) == data.d
        assert data.x.dtype == torch.float64
        assert data.x.isfinite().all()

    def test_has_a_label_for_each_point_or_none(self, name: str) -> None:
        data = dataset_named(name)
        assert (data.labels is None) == (name in ("old-faithful", "galaxies"))
        if data.labels is not None:
            assert data.labels.shape == (data.n,)
            assert data.labels.dtype == torch.int64

    def test_as_a_frame_holds_the_features_and_what_labels_there_are(self, name: str) -> None:
        data = dataset_named(name)
        frame = data.frame()
        assert np.array_equal(frame[list(data.feature_names)], data.x)
        others = frame.drop(columns=list(data.feature_names))
        assert list(others) == ([] if data.labels is None else ["label"])
        assert data.labels is None or np.array_equal(others["label"], data.labels)

    def test_touches_no_global_generator(self, name: str) -> None:
        before = global_states()
        data = dataset_named(name, seed=5)
        if data.truth is not None:
            data.held_out(10, seed=5)
        assert global_states() == before


class TestDrawnData:
    def test_are_fixed_by_their_seed(self, drawn: Dataset) -> None:
        first, again, other = (dataset_named(drawn.name, seed).x for seed in (7, 7, 8))
        assert torch.equal(first, again)
        assert not torch.isin(first, other).any()

    def test_scatter_about_the_means_as_the_truth_says(self, drawn: Dataset) -> None:
        # Given its component, a point's squared Mahalanobis distance is chi-squared with d degrees.
        components = drawn.truth.distribution().component_distribution
        shift = (drawn.x - drawn.truth.means[drawn.labels])[..., None]
        whitened = torch.linalg.solve_triangular(
            components.scale_tril[drawn.labels], shift, upper=False
        )
        degrees = drawn.n * drawn.d
        assert abs(whitened.sum()) < STANDARD_ERRORS * degrees**0.5
        assert abs(whitened.square().sum() - degrees) < STANDARD_ERRORS * (2 * degrees) ** 0.5

    def test_held_out_are_new_points_of_the_same_truth(self, drawn: Dataset) -> None:
        new = drawn.held_out(drawn.n, seed=0)
        assert new.truth is drawn.truth
        assert new.feature_names == drawn.feature_names
        assert not torch.isin(new.x, drawn.x).any()
        gap = new.truth.log_prob(new.x), new.truth.log_prob(drawn.x)
        error = (gap[0].var() / drawn.n + gap[1].var() / drawn.n).sqrt()
        assert abs(gap[0].mean() - gap[1].mean()) < STANDARD_ERRORS * error


class TestThreeClusters:
    def test_has_the_numbers_of_numpys_global_generator(self) -> None:
        state = np.random.get_state()  # noqa: NPY002
        try:
            np.random.seed(42)  # noqa: NPY002
            means = [[0, 0], [5, 5], [5, 0]]
            draws = [np.random.multivariate_normal(m, np.eye(2), 100) for m in means]  # noqa: NPY002
        finally:
            np.random.set_state(state)  # noqa: NPY002
        data = make_three_clusters(seed=42)
        assert np.array_equal(data.x, np.vstack(draws))
        assert data.truth.means.tolist() == means


class TestAnisotropic:
    def test_is_hard_for_nearest_means_and_easy_for_its_truth(self) -> None:
        data = anisotropic()
        nearest = KMeans(3, n_init=5, random_state=0).fit_predict(data.x.numpy())
        assert metrics.accuracy(data.labels, nearest) < 0.9
        assert metrics.accuracy(data.labels, data.truth.predict(data.x)) > 0.97


class TestMakeMixture:
    @settings(max_examples=30, deadline=None)
    @given(
        d=st.integers(1, 6),
        k=st.integers(2, 8),
        separation=st.floats(0, 100),
        imbalance=st.floats(0, 0.9),
        covariance=st.sampled_from(list(FAMILIES)),
        seed=st.integers(0, 2**32),
    )
    def test_separation_is_exact_in_within_cluster_standard_deviations(
        self, d: int, k: int, separation: float, imbalance: float, covariance: str, seed: int
    ) -> None:
        truth = make_mixture(
            10,
            d,
            k,
            separation=separation,
            imbalance=imbalance,
            covariance=covariance,
            seed=seed,
        ).truth
        variances = truth.covariance_matrices().diagonal(dim1=-2, dim2=-1)
        within = (truth.weights @ variances.mean(-1)).sqrt()
        assert float(within) == pytest.approx(1)
        assert float(torch.pdist(truth.means).min()) == pytest.approx(separation, abs=1e-9)

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
    def test_truth_is_of_the_family_and_uses_its_freedom(self, family) -> None:
        truth = make_mixture(covariance=family.name, d=3, k=4).truth
        assert truth.family is family
        free = truth.covariances.reshape(family.n_covariances(4), -1)
        assert len(free.unique(dim=0)) == family.n_covariances(4)
        assert len(free[0].unique()) == family.n_covariance_parameters(3)

    def test_imbalance_is_the_loss_of_weight_from_one_component_to_the_next(self) -> None:
        weights = make_mixture(k=4, imbalance=0.25).truth.weights
        assert (weights[1:] / weights[:-1]).tolist() == pytest.approx([0.75] * 3)
        assert make_mixture(k=4).truth.weights.tolist() == [0.25] * 4

    def test_outliers_come_last_in_a_box_of_twice_the_sides(self) -> None:
        data = make_mixture(n=1000, outliers=0.3)
        inside, outside = data.x[data.labels >= 0], data.x[data.labels < 0]
        assert data.labels[-300:].tolist() == [-1] * 300
        assert len(outside) == 300
        low, high = inside.amin(0), inside.amax(0)
        assert ((outside - (low + high) / 2).abs() <= high - low).all()

    def test_more_points_or_outliers_leave_the_truth_alone(self) -> None:
        few, many = make_mixture(n=10, seed=3).truth, make_mixture(n=99, outliers=0.5, seed=3).truth
        assert torch.equal(few.means, many.means)
        assert torch.equal(few.covariances, many.covariances)

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"n": 0}, "n must be an integer of at least 1, got 0"),
            ({"d": 2.5}, "d must be an integer of at least 1, got 2.5"),
            ({"k": -1}, "k must be an integer of at least 1, got -1"),
            ({"separation": -1.0}, "separation must be a finite number of at least 0, got -1.0"),
            (
                {"imbalance": 1.0},
                "imbalance must be a finite number of at least 0 and below 1, got 1.0",
            ),
            (
                {"outliers": float("nan")},
                "outliers must be a finite number of at least 0 and below 1, got nan",
            ),
            ({"covariance": "sperical"}, "did you mean 'spherical'?"),
        ],
    )
    def test_refuses_what_makes_no_mixture(self, bad: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message.replace("?", r"\?")):
            make_mixture(**bad)


class TestRealData:
    @pytest.mark.parametrize(("name", "load"), [("iris", load_iris), ("wine", load_wine)])
    def test_are_those_of_scikit_learn(self, name: str, load) -> None:
        data, theirs = dataset_named(name, seed=1), load()
        assert np.array_equal(data.x, theirs.data)
        assert np.array_equal(data.labels, theirs.target)
        assert all(feature.isidentifier() for feature in data.feature_names)

    def test_have_no_held_out_points(self) -> None:
        with pytest.raises(ValueError, match="iris has no known truth"):
            iris().held_out(10, seed=0)


class TestOldFaithful:
    def test_is_the_table_that_r_documents(self) -> None:
        """`summary(faithful)`, the standard deviations and the correlation, as R prints them."""
        frame = old_faithful().frame()
        assert frame.shape == (272, 2)
        assert list(frame) == ["eruptions", "waiting"]
        summary = frame.describe().loc[["min", "25%", "50%", "mean", "75%", "max", "std"]]
        durations = [1.6, 2.163, 4.0, 3.488, 4.454, 5.1, 1.141371]
        assert summary["eruptions"].tolist() == pytest.approx(durations, abs=5e-4)
        waits = [43.0, 58.0, 76.0, 70.9, 82.0, 96.0, 13.594974]
        assert summary["waiting"].tolist() == pytest.approx(waits, abs=5e-3)
        assert frame.corr().iloc[0, 1] == pytest.approx(0.9008112, abs=5e-8)

    @pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
    def test_is_number_for_number_that_of_r(self) -> None:
        command = ["Rscript", "--vanilla", "-e", "write.csv(faithful, row.names = FALSE)"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        theirs = np.loadtxt(io.StringIO(done.stdout), delimiter=",", skiprows=1)
        assert np.array_equal(old_faithful().x, theirs)

    @pytest.mark.parametrize(
        ("covariance", "k", "log_likelihood", "bic", "count"),
        [("tied", 3, -1126.326, 2314.316, 11), ("full", 2, -1130.264, 2322.192, 11)],
    )
    def test_has_the_maximum_likelihood_that_mclust_prints(
        self, covariance: str, k: int, log_likelihood: float, bic: float, count: int
    ) -> None:
        """`Mclust(faithful)` of mclust 6.0, which stops when a step gains less than 1e-5 of it."""
        data = old_faithful()
        fit = gp.fit(gp.MixtureModel(k, covariance=covariance), data.x, method="em", seed=0)
        assert fit.mixture.n_parameters == count
        assert log_likelihood - 5e-4 < fit.objective < log_likelihood + 0.011
        assert fit.mixture.bic(data.x) == pytest.approx(bic, abs=0.022)


class TestGalaxies:
    def test_are_the_velocities_that_published_figures_are_of(self) -> None:
        """Roeder's table 1, with quartiles as R has them of it."""
        data = galaxies()
        assert data.feature_names == ("velocity",)
        summary = data.frame()["velocity"].describe()
        known = [82, 9.172, 19.532, 20.8335, 23.133, 34.279]
        assert summary[["count", "min", "25%", "50%", "75%", "max"]].tolist() == pytest.approx(
            known
        )

    @pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
    def test_are_those_of_r_but_for_its_misprint(self) -> None:
        command = ["Rscript", "--vanilla", "-e", "cat(MASS::galaxies)"]
        done = subprocess.run(command, capture_output=True, text=True)
        if "MASS" in done.stderr:
            pytest.skip("R has no package MASS")
        theirs = np.array(done.stdout.split(), float)
        assert theirs[77] == 26690
        theirs[77] = 26960
        assert np.array_equal(galaxies().x[:, 0], theirs / 1000)


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="did you mean 'three-clusters'"):
        dataset_named("three_cluster")


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (torch.zeros(4, dtype=torch.int64), ("a", "b"), "labels must have shape"),
        (None, ("a",), "feature_names must hold 2 names"),
    ],
)
def test_a_dataset_whose_parts_do_not_fit_is_refused(labels, names, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset(torch.zeros(3, 2), labels, None, "mine", names)


def global_states() -> tuple[object, ...]:
    """The states of Python's, NumPy's and torch's global generators, as comparable values."""
    return (
        random.getstate(),
        repr(np.random.get_state()[1].tolist()),  # noqa: NPY002
        torch.get_rng_state().tolist(),
    )
