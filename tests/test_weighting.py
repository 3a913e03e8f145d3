"""Every figure of weighted data is that of the repeated rows."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from typing import Any

from runs import quietly

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import gmm_pyro as gp
from gmm_pyro import comparison, metrics, plots
from gmm_pyro.data.observations import observe
from gmm_pyro.datasets import Dataset
from gmm_pyro.estimator import GaussianMixtureClassifier, PyroGaussianMixture
from gmm_pyro.files import read_dataset, write_dataset
from gmm_pyro.inference_data import elpd_loo
from gmm_pyro.saved_fit.save import fit_facts

TRUTH = gp.GaussianMixture(
    [0.3, 0.7], [[-2.0, 1.0], [2.0, 0.0]], [[[1.0, 0.4], [0.4, 0.5]]] * 2, "full", ["a", "b"]
)
DRAWN = TRUTH.sample_labelled(60, seed=1)
WEIGHT = np.random.default_rng(5).integers(0, 5, size=60)
X, LABELS = DRAWN.x.numpy(), DRAWN.labels.numpy()
REPEATED, REPEATED_LABELS = (np.repeat(values, WEIGHT, axis=0) for values in (X, LABELS))
START = TRUTH.permute([1, 0])
ALIKE = {"rel": 1e-6, "abs": 1e-6}  # two fits stop apart by less, and rounding by far less

# a histogram: 60 bins, 5,000 points from two clusters
BINS = np.linspace(-5, 7, 60)
COUNTS = np.rint(
    5000 * 12 / 59 * (
        0.4 * np.exp(-0.5 * BINS**2) + 0.6 * np.exp(-0.5 * (BINS - 4) ** 2)
    ) / math.sqrt(2 * math.pi)
).astype(int)  # fmt: skip


def fitted(x: Any, method: str = "em", **options: Any) -> gp.Fit:
    with quietly():
        return gp.fit(gp.MixtureModel(2), x, method, **{"start": START, **options})


class TestCriteria:
    @pytest.mark.parametrize("name", ["bic", "aic", "icl", "mean_log_density"])
    def test_are_those_of_the_repeated_rows(self, name: str) -> None:
        figure = getattr(metrics, name)
        assert figure(TRUTH, X, sample_weight=WEIGHT) == pytest.approx(figure(TRUTH, REPEATED))
        if name != "mean_log_density":
            own = getattr(TRUTH, name)
            assert own(X, sample_weight=torch.tensor(WEIGHT)) == pytest.approx(own(REPEATED))

    @pytest.mark.parametrize("name", ["bic", "aic", "icl", "mean_log_density"])
    def test_a_point_of_weight_zero_is_not_there(self, name: str) -> None:
        figure, far = getattr(metrics, name), np.vstack([X, [[1e170, -1e170]]])
        weighted = figure(TRUTH, far, sample_weight=[*WEIGHT, 0])
        assert weighted == pytest.approx(figure(TRUTH, REPEATED))

    @pytest.mark.parametrize(
        ("weight", "message"),
        [
            ([1.0], r"sample_weight must have shape \(60,\), got \(1,\)"),
            ([-1.0] * 60, "sample_weight must be finite and not negative, got -1 at row 0"),
            ([0.0] * 60, "sample_weight must have a positive entry"),
            (["many"] * 60, "sample_weight must hold real numbers, got strings"),
        ],
    )
    def test_bad_weights_are_refused(self, weight: list[Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            TRUTH.bic(X, weight)
        with pytest.raises(ValueError, match=message):
            metrics.accuracy(LABELS, LABELS, weight)


weighted_labels = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-1, 3), min_size=n, max_size=n),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        st.lists(st.integers(0, 4), min_size=n, max_size=n),
    )
)


class TestLabels:
    @settings(max_examples=60)
    @given(weighted_labels)
    def test_scores_are_scikit_learns_of_the_repeated_rows(self, drawn: Any) -> None:
        labels, predicted, weight = (np.array(part) for part in drawn)
        if not (weight[labels >= 0] > 0).any():
            return
        true, found = (
            np.repeat(part, weight)[np.repeat(labels, weight) >= 0] for part in drawn[:2]
        )
        for ours, theirs in (
            (metrics.adjusted_rand, adjusted_rand_score),
            (metrics.normalised_mutual_information, normalized_mutual_info_score),
            (metrics.accuracy, metrics.accuracy),
        ):
            value = ours(labels, predicted, sample_weight=weight)
            assert value == pytest.approx(theirs(true, found), abs=1e-12)

    def test_shares_make_no_pairs(self) -> None:
        assert math.isnan(metrics.adjusted_rand([0, 0, 1], [0, 1, 1], [0.2, 0.3, 0.5]))
        assert metrics.adjusted_rand([0, 0, 1], [1, 1, 0], [0.2, 0.3, 0.5]) == 1.0


class TestFits:
    @pytest.mark.parametrize("method", ["em", "map", "laplace", "svi"])
    def test_all_facts_are_those_of_the_repeated_rows(self, method: str) -> None:
        options = {"n_draws": 60} if method in ("laplace", "svi") else {}
        found = fit_facts(fitted(X, method, sample_weight=WEIGHT, **options), LABELS)
        expected = fit_facts(fitted(REPEATED, method, **options), REPEATED_LABELS)
        for name in ("log_likelihood", "bic", "aic", "adjusted_rand", "objective"):
            assert found[name] == pytest.approx(expected[name], **ALIKE), name
        assert found["total_weight"] == expected["total_weight"] == expected["n"] == WEIGHT.sum()
        assert (found["status"], found["problems"]) == (expected["status"], expected["problems"])

    def test_leave_one_out_leaves_one_of_the_repeated_rows_out(self) -> None:
        options = {"n_draws": 400}
        weighted = fitted(X, "laplace", sample_weight=WEIGHT, **options)
        found, expected = elpd_loo(weighted), elpd_loo(fitted(REPEATED, "laplace", **options))
        assert found.elpd == pytest.approx(expected.elpd, rel=1e-6)
        assert found.se == pytest.approx(expected.se, rel=1e-6)
        assert found.worst_k == pytest.approx(expected.worst_k, abs=1e-4)
        assert elpd_loo(weighted.to_arviz()).elpd == pytest.approx(found.elpd)

    def test_the_criterion_chooses_as_for_the_repeated_rows(self) -> None:
        every, found, expected = np.repeat(BINS, COUNTS), [], []
        for k in (1, 2, 3):
            with quietly():
                fit = gp.fit(
                    gp.MixtureModel(k), BINS, sample_weight=COUNTS, n_starts=2, max_steps=50
                )
            found.append(fit_facts(fit)["bic"])
            expected.append(fit.mixture.bic(every))
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert np.argmin(found) == 1

    def test_weights_of_less_than_one_do_not_make_single_points(self) -> None:
        shares = WEIGHT / WEIGHT.sum()
        assert fitted(X, sample_weight=shares).diagnostics["problems"] == ()

    def test_a_point_of_weight_fifty_is_fifty_copies(self) -> None:
        x, weight = np.vstack([X, [[40.0, 40.0]]]), np.append(50 * WEIGHT, 50)
        model = gp.MixtureModel(2, priors=gp.ConjugatePriors(scale=1.0))
        start = np.append(np.zeros(60), 1).astype(int)
        with pytest.warns(gp.FitWarning, match="component 1 rests on copies of a single point"):
            gp.fit(model, x, "map", start=start, sample_weight=weight)
        with pytest.warns(gp.FitWarning, match="component 1 rests on a single point"):
            gp.fit(model, x, "map", start=start)


class TestEstimators:
    @pytest.mark.parametrize("figure", ["score", "bic", "aic"])
    def test_mixture(self, figure: str) -> None:
        model = PyroGaussianMixture(2, random_state=0).fit(X, sample_weight=WEIGHT)
        ask = getattr(model, figure)
        assert ask(X, sample_weight=WEIGHT) == pytest.approx(ask(REPEATED), rel=1e-12)

    @pytest.mark.parametrize("figure", ["score", "bic", "aic"])
    def test_classifier(self, figure: str) -> None:
        model = GaussianMixtureClassifier(random_state=0).fit(X, LABELS, sample_weight=WEIGHT)
        ask = getattr(model, figure)
        expected = ask(REPEATED, REPEATED_LABELS)
        assert ask(X, LABELS, sample_weight=WEIGHT) == pytest.approx(expected, rel=1e-12)


def table(data: Any, **options: Any) -> pd.DataFrame:
    starts = {name: {"start": START} for name in ("em", "map")}
    starts["laplace"] = {"n_draws": 60, "start": START}
    names = list(starts)
    return gp.compare(gp.MixtureModel(2), data, names, options=starts, **options).table


class TestComparison:
    DATA = Dataset(DRAWN.x, DRAWN.labels, None, "drawn", ("a", "b"))
    EVERY = Dataset(
        torch.from_numpy(REPEATED), torch.from_numpy(REPEATED_LABELS), None, "drawn", ("a", "b")
    )

    @pytest.mark.filterwarnings("ignore:More chains")
    def test_the_table_is_that_of_the_repeated_rows(self) -> None:
        expected = table(self.EVERY).drop(columns=["seconds", "ess_per_second"])
        known = expected.columns[expected.notna().any()]
        assert {"log_likelihood", "bic", "ari", "nmi", "accuracy", "elpd_loo", "k_hat"} <= {*known}
        numbers = [name for name in known if expected[name].dtype == "float64" and name != "r_hat"]
        weighted = replace(self.DATA, sample_weight=torch.from_numpy(WEIGHT).double())
        for found in (table(self.DATA, sample_weight=WEIGHT), table(weighted)):
            assert found["status"].tolist() == expected["status"].tolist()
            for name in numbers:
                np.testing.assert_allclose(
                    found[name].astype(float), expected[name].astype(float), rtol=1e-3, err_msg=name
                )

    def test_held_out_points_keep_their_weights(self) -> None:
        comparison = gp.compare(
            gp.MixtureModel(1), self.DATA, ["em"], sample_weight=WEIGHT, test_size=0.3
        )
        held_out, mixture = comparison.held_out, comparison.fits["em"].mixture
        counts = held_out.sample_weight.long()
        repeated = mixture.log_prob(held_out.x.repeat_interleave(counts, 0)).mean()
        found = comparison.table.loc["em", "held_out_log_density"]
        assert found == pytest.approx(float(repeated))
        rows = [tuple(x) + (w,) for x, w in zip(X.tolist(), WEIGHT.tolist(), strict=True)]
        parts = [
            tuple(x) + (w,)
            for part in (comparison.dataset, held_out)
            for x, w in zip(part.x.tolist(), part.sample_weight.tolist(), strict=True)
        ]
        assert sorted(rows) == sorted(parts)

    def test_points_of_a_truth_count_once(self) -> None:
        data = replace(self.DATA, truth=TRUTH, sample_weight=torch.from_numpy(WEIGHT))
        assert data.held_out(5, seed=0).sample_weight is None

    def test_labels_agree_by_weight(self) -> None:
        fits = {
            "one": fitted(X, sample_weight=WEIGHT),
            "other": fitted(X, "kmeans", sample_weight=WEIGHT),
        }
        pair = [np.repeat(fit.labels.numpy(), WEIGHT) for fit in fits.values()]
        agreement = comparison.label_agreement(fits).loc["one", "other"]
        assert agreement == pytest.approx(adjusted_rand_score(*pair))

    def test_weights_of_a_single_method_are_refused(self) -> None:
        with pytest.raises(ValueError, match="sample_weight is no option of one method"):
            gp.compare(gp.MixtureModel(2), X, ["em"], options={"em": {"sample_weight": WEIGHT}})


class TestCommandLine:
    @pytest.fixture
    def files(self, tmp_path) -> None:
        weighted = pd.DataFrame(X, columns=["a", "b"]).assign(label=LABELS, count=WEIGHT)
        weighted.to_csv(tmp_path / "weighted.csv", index=False)
        weighted.loc[weighted.index.repeat(WEIGHT)].drop(columns="count").to_csv(
            tmp_path / "repeated.csv", index=False
        )

    def test_fit(self, run, files, tmp_path) -> None:
        facts, sizes = [], []
        for told in (("weighted.csv", "--weights-column", "count"), ("repeated.csv",)):
            shown = run("fit", *told, "-k", 2, "--force").out
            facts.append(json.loads((tmp_path / "fit" / "fit.json").read_text()))
            rows = [line.split() for line in shown.splitlines()]
            sizes.append([row[2] for row in rows if row and row[0] in ("0", "1")])
            weight = f" with weights that sum to {WEIGHT.sum()}" if len(told) > 1 else ""
            assert f"points{weight}, 2 features" in shown
        for name in ("bic", "aic", "log_likelihood", "adjusted_rand", "total_weight"):
            assert facts[0][name] == pytest.approx(facts[1][name], rel=1e-5), name
        assert len(sizes[0]) == 2
        assert sorted(sizes[0]) == sorted(sizes[1])

    def test_compare(self, run, files) -> None:
        told = "compare", "--methods", "em", "-k", 2, "-o", "out", "--force", "--json"
        found = run(*told, "--data", "weighted.csv", "--weights-column", "count")
        expected = run(*told, "--data", "repeated.csv")
        ours, theirs = (json.loads(done.out)["methods"]["em"] for done in (found, expected))
        for name in ("bic", "log_likelihood", "ari", "nmi", "accuracy"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5), name


class TestPictures:
    def test_a_score_above_a_panel_counts_weights(self) -> None:
        figure = plots.comparison_figure(
            X, {"em": TRUTH}, LABELS[::-1].copy(), sample_weight=WEIGHT, figure=Figure()
        )
        predicted = np.repeat(TRUTH.predict(X).numpy(), WEIGHT)
        score = adjusted_rand_score(np.repeat(LABELS[::-1], WEIGHT), predicted)
        assert figure.axes[1].get_title() == f"em   ARI {score:.3f}"

    @pytest.mark.parametrize("draw", [plots.scatter, plots.clusters])
    def test_a_histogram_is_that_of_the_repeated_rows(self, draw: Any) -> None:
        first = () if draw is plots.scatter else (TRUTH.marginal(["a"]),)
        heights = []
        for x, weight in ((X, WEIGHT), (REPEATED, None)):
            ax = Figure().subplots()
            ends = np.vstack([x[:, :1], [[X.min()], [X.max()]]])  # with the same bins
            draw(*first, ends, ax=ax, sample_weight=None if weight is None else [*weight, 1, 1])
            heights.append([bar.get_height() for bar in ax.patches])
        np.testing.assert_allclose(*heights)


class TestFiles:
    @pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
    def test_weights_are_written_and_read(self, suffix: str, tmp_path) -> None:
        data = Dataset(DRAWN.x, DRAWN.labels, None, "d", ("a", "b"), torch.from_numpy(WEIGHT))
        path = write_dataset(data, tmp_path / f"d.{suffix}")
        found = read_dataset(path, weights_column="sample_weight").dataset
        assert found.sample_weight.tolist() == WEIGHT.tolist()
        assert found.d == 2

    def test_weights_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ValueError, match="sample_weight must have shape"):
            Dataset(DRAWN.x, None, None, "d", ("a", "b"), torch.ones(3))


def test_a_wide_models_curvature_counts_weights(monkeypatch) -> None:
    """With very many numbers, an information of total weight / k points stands for it."""
    from gmm_pyro.inference.climb import curvature

    monkeypatch.setattr(curvature, "LARGEST", 1)
    found = []
    for data, weight in ((X, WEIGHT), (REPEATED, None)):
        density = gp.MixtureModel(1).log_density(observe(data, sample_weight=weight))
        vector = torch.zeros(1, density.dimension, dtype=torch.float64)
        found.append(curvature.curvature(density, vector, seed=0).diagonal())
    torch.testing.assert_close(*found)
