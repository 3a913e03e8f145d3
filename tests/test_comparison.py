"""Claims about `compare`: what the table holds, what outlives a failure, what is written."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from gmm_pyro import metrics
from gmm_pyro.comparison import COLUMNS, Comparison, compare
from gmm_pyro.comparison.scores import COUNTS, WORDS
from gmm_pyro.datasets import Dataset, iris, make_mixture, three_clusters
from gmm_pyro.inference import METHODS, Method, fit
from gmm_pyro.inference.task import Outcome, Status, Task
from gmm_pyro.mixture.value import GaussianMixture
from gmm_pyro.model.conjugate import ConjugatePriors
from gmm_pyro.model.program import MixtureModel

DATA, MODEL = three_clusters(), MixtureModel(3)
NUMBERS = [name for name in COLUMNS if name not in WORDS]
OF_POSTERIORS = [
    *(
        "posterior_mean_error",
        "posterior_sd_ratio",
        "coverage",
        "r_hat",
        "ess_bulk",
        "ess_tail",
        "ess_per_second",
    ),
    *("elpd_loo", "elpd_standard_error", "elpd_worst_k", "k_hat"),
]
WITHOUT_TRUTH = ["weight_error", "mean_error", "covariance_error", "kl_to_truth"]


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(MODEL, DATA, ["kmeans", "em"])


@pytest.fixture(scope="module")
def folder(comparison, tmp_path_factory) -> Path:
    """The comparison, saved in a folder that did not exist."""
    folder = tmp_path_factory.mktemp("saved") / "new" / "results"
    comparison.save(folder)
    return folder


@pytest.fixture(scope="module")
def engines() -> Comparison:
    options = {"map:enumerated": {"max_steps": 50}}
    return compare(MODEL, DATA, ["map", "map:enumerated"], options=options)


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A method of the test's own: `method(run)` adds it, and gives its name."""

    def add(run: Callable[[Task], Outcome]) -> str:
        monkeypatch.setitem(METHODS, "own", Method(run, METHODS["em"].options))
        return "own"

    return add


def unlabelled(data: Dataset = DATA) -> Dataset:
    return replace(data, labels=None, truth=None)


@pytest.fixture(scope="module")
def posteriors() -> Comparison:
    return compare(MODEL, DATA, ["em", "laplace", "gibbs"], options={"gibbs": {"n_draws": 500}})


class TestPosteriors:
    def test_gibbs_brings_its_prior_to_all(self, posteriors) -> None:
        for name in ("laplace", "gibbs"):
            assert isinstance(posteriors.fits[name].model.priors, ConjugatePriors)

    def test_a_prior_that_was_given_stays(self) -> None:
        priors = ConjugatePriors(mean_strength=0.5)
        found = compare(MixtureModel(3, priors=priors), DATA, ["laplace"]).fits["laplace"]
        assert found.model.priors.mean_strength == 0.5

    def test_the_exact_sampler_is_the_reference(self, posteriors, comparison) -> None:
        assert posteriors.reference == "gibbs"
        assert comparison.reference is None

    def test_rows_without_draws_are_empty(self, posteriors) -> None:
        assert posteriors.table.loc["em", OF_POSTERIORS].isna().all()

    def test_the_numbers_are_those_of_the_draws(self, posteriors) -> None:
        row, fit = posteriors.table.loc["laplace"], posteriors.fits["laplace"]
        exact = posteriors.fits["gibbs"]
        order = metrics.match_components(fit.posterior.mixture(), exact.posterior.mixture())
        means, right = (
            f.posterior.parameters().means[:, o].flatten(1)
            for f, o in ((fit, order), (exact, [0, 1, 2]))
        )
        of_means = (means.mean(0) - right.mean(0)) / right.std(0)
        assert row["k_hat"] == fit.k_hat
        assert row["ess_per_second"] == pytest.approx(row["ess_bulk"] / row["seconds"])
        # 6 of the 15 numbers are means, and the other errors are not zero
        assert row["posterior_mean_error"] ** 2 * 15 >= float(of_means.square().sum())
        assert row["posterior_mean_error"] < 0.5
        assert row["posterior_sd_ratio"] == pytest.approx(1, abs=0.15)

    def test_chains_have_mixed_and_cover_the_truth(self, posteriors) -> None:
        row = posteriors.table.loc["gibbs"]
        assert row["r_hat"] < 1.02
        assert row["ess_bulk"] > 500
        assert 0.6 <= row["coverage"] <= 1  # of 15 intervals of 90 %
        assert pd.isna(row["posterior_mean_error"])
        assert pd.isna(row["k_hat"])

    def test_the_elpd_is_near_the_held_out_density(self, posteriors) -> None:
        row = posteriors.table.loc["gibbs"]
        held_out = row["held_out_log_density"] * DATA.n
        assert abs(row["elpd_loo"] - held_out) < 4 * row["elpd_standard_error"]

    @pytest.mark.usefixtures("no_pictures")
    @pytest.mark.filterwarnings("ignore:.* chains that disagree:gmm_pyro.FitWarning")
    def test_posteriors_are_written_if_asked_for(self, tmp_path) -> None:
        import xarray

        few = {"gibbs": {"n_draws": 20, "n_warmup": 20}, "laplace": {"n_draws": 20}}
        posteriors = compare(MODEL, DATA, ["laplace", "gibbs"], options=few)
        assert not [path for path in posteriors.save(tmp_path) if path.suffix == ".nc"]
        written = [path for path in posteriors.save(tmp_path, posteriors=True)]
        names = {path.name for path in written if path.suffix == ".nc"}
        assert names == {"laplace.nc", "gibbs.nc"}
        path = tmp_path / "posteriors" / "gibbs.nc"
        with xarray.open_dataset(path, group="posterior", engine="h5netcdf") as read:
            assert dict(read["means"].sizes) == {
                "chain": 4,
                "draw": 20,
                "component": 3,
                "feature": 2,
            }
        posteriors.save(tmp_path)
        assert not list(tmp_path.glob("posteriors/*.nc"))


class TestTable:
    def test_the_columns_are_the_promised_ones_in_their_order(self, comparison) -> None:
        assert list(comparison.table.columns) == [
            *("method", "status", "steps", "seconds", "log_likelihood"),
            *("held_out_log_density", "bic", "n_parameters", "ari", "nmi", "accuracy"),
            *("weight_error", "mean_error", "covariance_error", "kl_to_truth"),
            "kl_standard_error",
            *OF_POSTERIORS,
        ]

    def test_a_row_for_each_method_by_its_name(self, comparison) -> None:
        assert list(comparison.table.index) == list(comparison.fits) == ["kmeans", "em"]
        assert (comparison.table["status"] == "converged").all()

    def test_the_numbers_are_those_of_metrics(self, comparison) -> None:
        row, mixture = comparison.table.loc["em"], comparison.fits["em"].mixture
        errors = metrics.parameter_errors(mixture, DATA.truth)
        divergence = metrics.kl_divergence(DATA.truth, mixture)
        expected = {
            "steps": comparison.fits["em"].steps,
            "log_likelihood": comparison.fits["em"].objective / DATA.n,
            "held_out_log_density": metrics.mean_log_density(mixture, comparison.held_out.x),
            "bic": mixture.bic(DATA.x),
            "n_parameters": 17,
            "ari": metrics.adjusted_rand(DATA.labels, mixture.predict(DATA.x)),
            "nmi": metrics.normalised_mutual_information(DATA.labels, mixture.predict(DATA.x)),
            "accuracy": metrics.accuracy(DATA.labels, mixture.predict(DATA.x)),
            "weight_error": errors.weights,
            "mean_error": errors.means,
            "covariance_error": errors.covariances,
            "kl_to_truth": divergence.value,
            "kl_standard_error": divergence.standard_error,
        }
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-9)

    def test_the_fits_are_those_of_fit(self, comparison) -> None:
        alone = fit(MODEL, DATA.x, method="em", seed=0)
        torch.testing.assert_close(comparison.fits["em"].mixture.means, alone.mixture.means)

    def test_mixtures_carry_the_names_of_the_features(self) -> None:
        comparison = compare(MODEL, iris(), ["em"])
        assert comparison.fits["em"].mixture.feature_names == iris().feature_names

    def test_what_cannot_be_had_is_empty(self) -> None:
        table = compare(MODEL, unlabelled().x, ["kmeans"]).table
        empty = {name for name in NUMBERS if table[name].isna().all()}
        assert empty == {
            *("held_out_log_density", "ari", "nmi", "accuracy", "kl_standard_error"),
            *WITHOUT_TRUTH,
            *OF_POSTERIORS,
        }

    def test_labels_without_a_truth_give_the_scores_of_labels(self) -> None:
        table = compare(MODEL, iris(), ["kmeans"]).table
        assert table[["ari", "nmi", "accuracy"]].notna().all(axis=None)
        assert table[WITHOUT_TRUTH].isna().all(axis=None)

    def test_another_number_of_components_has_a_divergence_but_no_errors(self) -> None:
        row = compare(MixtureModel(2), DATA, ["em"]).table.loc["em"]
        assert row["kl_to_truth"] > 0.1
        assert np.isnan(row["mean_error"])

    def test_methods_through_pyro_are_rows_of_their_own(self, engines) -> None:
        assert list(engines.table.index) == ["map", "map:enumerated"]
        assert list(engines.table["method"]) == ["map", "map:enumerated"]

    @pytest.mark.filterwarnings("ignore:.* stopped at the step limit:gmm_pyro.FitWarning")
    def test_an_engine_among_the_options_means_that_row(self) -> None:
        found = compare(
            MODEL,
            DATA,
            ["map"],
            options={"map": {"engine": "enumerated", "rate": 1, "max_steps": 5}},
        )
        assert found.fits["map"].method == found.table.loc["map", "method"] == "map:enumerated"
        assert found.fits["map"].options.rate == 1


class TestHeldOut:
    def test_as_many_points_of_the_truth_as_there_are(self, comparison) -> None:
        assert comparison.held_out.n == DATA.n
        assert comparison.dataset is DATA
        assert not torch.isin(comparison.held_out.x, DATA.x).any()

    @pytest.mark.parametrize(("test_size", "n"), [(0.5, 150), (20, 20), (20.0, 20)])
    def test_of_the_truth_the_size_is_a_share_or_a_number(self, test_size, n) -> None:
        comparison = compare(MODEL, DATA, ["kmeans"], test_size=test_size)
        assert (comparison.held_out.n, comparison.dataset.n) == (n, DATA.n)

    def test_without_a_truth_points_are_split_off_at_random(self) -> None:
        flowers = iris()
        one, same, other = (
            compare(MODEL, flowers, ["kmeans"], seed=s, test_size=0.2) for s in (0, 0, 1)
        )
        assert (one.held_out.n, one.dataset.n) == (30, 120)
        whole = torch.cat([one.dataset.x, one.held_out.x]).sort(0).values
        torch.testing.assert_close(whole, flowers.x.sort(0).values)
        assert len(one.dataset.labels) == 120
        assert one.table["held_out_log_density"].notna().all()
        assert torch.equal(one.held_out.x, same.held_out.x)
        assert not torch.equal(one.held_out.x, other.held_out.x)

    @pytest.mark.parametrize("test_size", [0, -1, 1.5, float("nan")])
    def test_a_size_that_is_neither_share_nor_number_is_refused(self, test_size) -> None:
        with pytest.raises(ValueError, match="share between 0 and 1, or a whole number"):
            compare(MODEL, DATA, ["em"], test_size=test_size)

    def test_points_must_be_left(self) -> None:
        with pytest.raises(ValueError, match="must leave points to fit, got 300 of 300"):
            compare(MODEL, unlabelled(), ["em"], test_size=300)


class TestFailures:
    def test_a_method_that_fails_does_not_stop_the_others(self, method) -> None:
        def fail(_: Task) -> Outcome:
            raise ArithmeticError("it does not\nwork")

        comparison = compare(MODEL, DATA, ["kmeans", method(fail), "em"])
        row = comparison.table.loc["own"]
        assert row["status"] == "failed: ArithmeticError: it does not work"
        assert row[NUMBERS].isna().all()
        assert list(comparison.fits) == ["kmeans", "em"]
        assert not comparison.interrupted

    def test_an_interrupt_keeps_what_is_finished_and_ends_the_rest(self, method) -> None:
        def interrupt(_: Task) -> Outcome:
            raise KeyboardInterrupt

        comparison = compare(MODEL, DATA, ["kmeans", method(interrupt), "em"])
        statuses = ["converged", "not run: interrupted", "not run: interrupted"]
        assert list(comparison.table["status"]) == statuses
        assert list(comparison.fits) == ["kmeans"]
        assert comparison.interrupted

    def test_an_interrupted_fit_is_the_last_one(self, method) -> None:
        def stop(task: Task) -> Outcome:
            status = Status.INTERRUPTED if task.observations.n == DATA.n else Status.CONVERGED
            return replace(METHODS["em"].run(task), status=status)

        comparison = compare(MODEL, DATA, [method(stop), "kmeans"])
        assert list(comparison.table["status"]) == ["interrupted", "not run: interrupted"]
        assert list(comparison.fits) == ["own"]
        assert comparison.interrupted

    def test_an_interrupt_while_a_method_warms_up_is_not_lost(self, method) -> None:
        def stop(task: Task) -> Outcome:
            return replace(METHODS["em"].run(task), status=Status.INTERRUPTED)

        comparison = compare(MODEL, DATA, [method(stop), "kmeans"])
        assert list(comparison.table["status"]) == ["not run: interrupted"] * 2

    def test_warnings_of_fits_become_notes_and_words_of_the_status(self) -> None:
        options = {"em": {"max_steps": 1, "n_starts": 1}}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            comparison = compare(MODEL, DATA, ["kmeans", "em"], options=options)
        assert caught == []
        assert comparison.table.loc["em", "status"] == "step limit"
        assert list(comparison.notes) == ["em"]
        assert "stopped at the step limit" in comparison.notes["em"][0]

    def test_a_degenerate_solution_is_named(self) -> None:
        x = torch.cat([DATA.x, torch.full((40, 2), 99.0, dtype=torch.float64)])
        comparison = compare(MixtureModel(4), x, ["em"])
        assert comparison.table.loc["em", "status"].startswith("converged; degenerate: the cov")
        assert "degenerate" in comparison.notes["em"][0]

    def test_the_clock_does_not_run_while_a_method_warms_up(self, method) -> None:
        calls = []

        def slow_at_first(task: Task) -> Outcome:
            time.sleep(0.5 if not calls else 0)
            calls.append(task.observations.n)
            return METHODS["kmeans"].run(task)

        table = compare(MODEL, DATA, [method(slow_at_first)]).table
        assert len(calls) == 2
        assert table.loc["own", "seconds"] < 0.5


class TestBadInput:
    @pytest.mark.parametrize(
        ("methods", "message"),
        [
            (["em", "svj"], "got 'svj'; did you mean 'svi'"),
            (["em:enumerated"], "method must be one of kmeans, em,"),
            (["svi:enum"], "got 'svi:enum'; did you mean 'svi:enumerated'"),
            (["em", "em"], "one or more different names"),
            ([], "one or more different names"),
        ],
    )
    def test_names_are_checked_before_anything_runs(self, methods, message, monkeypatch) -> None:
        monkeypatch.setattr("gmm_pyro.comparison.run.fit", lambda *_, **__: pytest.fail("it ran"))
        with pytest.raises(ValueError, match=message):
            compare(MODEL, DATA, methods)

    def test_options_must_be_for_a_method_that_runs(self) -> None:
        with pytest.raises(ValueError, match="options are for 'map', which is not among em"):
            compare(MODEL, DATA, ["em"], options={"map": {}})

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            ([[1.0, np.inf], [2.0, 3.0], [0.0, 1.0]], "1 infinite value, the first at row 0"),
            ([[1.0, 2.0]], "1 points, fewer than the 3 components"),
        ],
    )
    def test_bad_data_are_an_error_and_not_a_failed_method(self, x, message) -> None:
        with pytest.raises(ValueError, match=message):
            compare(MODEL, x, ["em"])

    def test_a_single_name_is_a_list_of_one(self) -> None:
        assert list(compare(MODEL, DATA, "kmeans").fits) == ["kmeans"]


class TestSave:
    FILES = (
        *("comparison.csv", "figures/clusters.png", "figures/data.png"),
        *("figures/parameter_errors.png", "figures/traces.png"),
        *("mixtures/em.json", "mixtures/kmeans.json"),
    )

    @staticmethod
    def files(folder: Path) -> tuple[str, ...]:
        found = (path for path in folder.rglob("*") if path.is_file())
        return tuple(sorted(path.relative_to(folder).as_posix() for path in found))

    def test_the_folder_holds_the_table_the_pictures_and_the_mixtures(
        self, folder, comparison
    ) -> None:
        assert self.files(folder) == self.FILES
        assert comparison.save(folder) == [folder / name for name in self.FILES]

    def test_pyplot_hears_of_no_figure(self, folder) -> None:
        assert plt.get_fignums() == []

    def test_the_csv_file_holds_the_table_to_the_last_bit(self, folder, comparison) -> None:
        table = pd.read_csv(folder / "comparison.csv", dtype={n: "Int64" for n in COUNTS})
        expected = comparison.table.reset_index(drop=True)
        pd.testing.assert_frame_equal(table[NUMBERS], expected[NUMBERS], check_exact=True)
        assert list(table.columns) == list(COLUMNS)
        assert list(table["method"]) == ["kmeans", "em"]

    def test_the_mixtures_are_those_of_the_fits(self, folder, comparison) -> None:
        loaded = GaussianMixture.load(folder / "mixtures" / "em.json")
        assert torch.equal(loaded.means, comparison.fits["em"].mixture.means)

    def test_the_pictures_are_pictures(self, folder) -> None:
        for path in folder.glob("figures/*.png"):
            height, width, _ = plt.imread(path).shape
            assert min(height, width) > 400

    def test_files_of_an_earlier_comparison_go_and_those_of_the_user_stay(
        self, comparison, tmp_path
    ) -> None:
        (tmp_path / "mixtures").mkdir()
        (tmp_path / "figures").mkdir()
        for name in ("mixtures/svi-enumerated.json", "mixtures/mine.json", "figures/mine.png"):
            (tmp_path / name).write_text("{}")
        (tmp_path / "comparison.csv").write_text("old")
        comparison.save(tmp_path)
        expected = {*self.FILES, "mixtures/mine.json", "figures/mine.png"}
        assert set(self.files(tmp_path)) == expected
        assert (tmp_path / "comparison.csv").read_text().startswith("method,")

    def test_without_truth_and_traces_their_pictures_are_left_out(self, tmp_path) -> None:
        comparison = compare(MODEL, unlabelled(), ["kmeans"])
        (tmp_path / "figures").mkdir()
        (tmp_path / "figures" / "traces.png").write_text("old")
        comparison.save(tmp_path)
        pictures = [name for name in self.files(tmp_path) if name.startswith("figures")]
        assert pictures == ["figures/clusters.png", "figures/data.png"]

    def test_if_writing_fails_nothing_changes(self, comparison, tmp_path, monkeypatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError("disk full")

        (tmp_path / "comparison.csv").write_text("old")
        monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
        with pytest.raises(OSError, match="disk full"):
            comparison.save(tmp_path)
        assert self.files(tmp_path) == ("comparison.csv",)
        assert (tmp_path / "comparison.csv").read_text() == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["comparison.csv"]

    def test_a_colon_in_a_name_becomes_a_dash(self, engines, tmp_path) -> None:
        engines.save(tmp_path)
        assert "mixtures/map-enumerated.json" in self.files(tmp_path)

    def test_a_comparison_in_which_all_methods_failed_can_be_saved(self, method, tmp_path) -> None:
        comparison = compare(MODEL, DATA, [method(lambda _: 1 / 0)])
        comparison.save(tmp_path)
        assert "failed: ZeroDivisionError" in (tmp_path / "comparison.csv").read_text()


def test_plot_shows_the_data_and_each_fit(comparison) -> None:
    figure = comparison.plot()
    assert [ax.get_title().split()[0] for ax in figure.axes] == ["data,", "kmeans", "em"]
    plt.close(figure)


def test_outliers_count_in_no_score() -> None:
    data = make_mixture(n=200, outliers=0.1, separation=8.0)
    comparison = compare(MODEL, data, ["em"])
    predicted = comparison.fits["em"].mixture.predict(data.x)
    known = data.labels >= 0
    expected = metrics.adjusted_rand(data.labels[known], predicted[known])
    assert comparison.table.loc["em", "ari"] == expected


def test_a_seed_says_it_all(comparison) -> None:
    again = compare(MODEL, DATA, ["kmeans", "em"])
    columns = [name for name in COLUMNS if name != "seconds"]
    pd.testing.assert_frame_equal(again.table[columns], comparison.table[columns], check_exact=True)
