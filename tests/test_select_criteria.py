"""Criteria of `gp.select` that have errors: held-out densities, stability, leave-one-out; signs."""

from __future__ import annotations

import inspect
import math
import re
import warnings
from dataclasses import replace
from typing import Any

import arviz as az
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as SklearnMixture

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.running.seeds import Stream
from gmm_pyro.selection.estimates import OfPairs, OfPoints
from gmm_pyro.selection.measuring import agreement, folds
from gmm_pyro.selection.resamples import exponential_weights
from oracles import close, normal, normal_array

TRIANGLE = torch.tensor([[0.0, 0.0], [8.0, 0.0], [4.0, 6.9]], dtype=torch.float64)


def three_clusters(n: int = 40, spread: float = 1.0) -> torch.Tensor:
    """As many points about each corner of a triangle of equal sides."""
    return torch.cat([corner + spread * normal(n, 2, seed=i) for i, corner in enumerate(TRIANGLE)])


# ---------------------------------------------------------------------- held-out points


def test_folds_are_even_and_by_seed() -> None:
    points = observe(normal(53, 2)).labelled([0, 1] * 10 + [-1] * 33, 2)
    part = folds(points, 5, seed=0)
    assert sorted(part.bincount().tolist()) == [10, 10, 11, 11, 11]
    for first in (0, 1):
        assert part[first:20:2].bincount(minlength=5).tolist() == [2] * 5
    assert part.equal(folds(points, 5, seed=0))
    assert not part.equal(folds(points, 5, seed=1))
    weighted = observe(normal(12, 2), sample_weight=[0.0] * 6 + [2.0] * 6)
    assert folds(weighted, 3, seed=0)[6:].bincount().tolist() == [2, 2, 2]


@pytest.mark.parametrize("weighted", [False, True])
def test_held_out_densities_of_one_component_are_in_closed_form(weighted: bool) -> None:  # noqa: FBT001
    """By the mean and covariance of the other points: the mean, its error, the paired difference.

    With a covariance of all features or with none of them there is no search.
    """
    x = normal_array(40, 3) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.2], [0.0, 0.0, 3.0]])
    weight = 1.0 + np.arange(40) % 3 if weighted else np.ones(40)
    found = gp.select(
        *(x, 1, ["full", "diag"], "cross_validation"),
        n_folds=4,
        seed=3,
        sample_weight=weight if weighted else None,
    )
    part = folds(observe(x), 4, seed=3).numpy()
    values = {name: np.empty(40) for name in ("full", "diag")}
    for i in range(4):
        train = part != i
        mean = np.average(x[train], axis=0, weights=weight[train])
        covariance = np.cov(x[train].T, aweights=weight[train], ddof=0)
        for name, sigma in (("full", covariance), ("diag", np.diag(np.diag(covariance)))):
            values[name][~train] = multivariate_normal(mean, sigma).logpdf(x[~train])
    n = weight.sum()
    for name, value in values.items():
        row = found.cell(1, name).found
        assert row["cross_validation"] == pytest.approx(weight @ value / n, abs=1e-9)
        error = np.sqrt(np.cov(value, fweights=weight.astype(int), ddof=0) / n)
        assert row["cross_validation_se"] == pytest.approx(error, abs=1e-9)
    best, last = sorted(values, key=lambda name: -float(weight @ values[name]))
    apart = values[best] - values[last]
    row = found.table.iloc[1]
    assert row["covariance"] == last
    assert row["cross_validation_diff"] == pytest.approx(weight @ apart / n, abs=1e-9)
    error = np.sqrt(np.cov(apart, fweights=weight.astype(int), ddof=0) / n)
    assert row["cross_validation_diff_se"] == pytest.approx(error, abs=1e-9)
    assert found.table.iloc[0]["cross_validation_diff"] == 0


@pytest.mark.parametrize("method", ["em", "kmeans"])
def test_held_out_densities_are_those_of_scikit_learn(method: str) -> None:
    """Of clusters that are so far apart that k-means finds the same."""
    x = three_clusters(spread=0.5).numpy()
    found = gp.select(x, range(1, 5), "full", "cross_validation", method, n_folds=3)
    part, value = folds(observe(x), 3, seed=0).numpy(), np.empty(len(x))
    for i in range(3):
        fitted = SklearnMixture(3, n_init=5, random_state=0, reg_covar=0).fit(x[part != i])
        value[part == i] = fitted.score_samples(x[part == i])
    assert found.cell(3, "full").found["cross_validation"] == pytest.approx(value.mean(), abs=1e-4)
    assert found.best_cell.n_components == 3


def test_what_a_part_of_the_points_is_too_few_for_has_no_value() -> None:
    found = gp.select(normal(6, 2), [1, 5], "EII", "cross_validation", n_folds=3, least_points=1)
    assert found.cell(5, "EII").counts
    assert math.isnan(found.cell(5, "EII").found["cross_validation"])
    assert found.best_cell.n_components == 1
    assert list(found.table["n_components"]) == [1, 5]


def test_another_unit_shifts_all_held_out_densities_alike() -> None:
    x = three_clusters(15)
    one, other = (
        gp.select(part, [1, 3], ["full", "tied"], "cross_validation", n_folds=2)
        for part in (x, 1000 * x + 1e5)
    )
    shift = one.grid() - other.grid()
    assert shift.to_numpy() == pytest.approx(2 * math.log(1000), abs=1e-4)


# ---------------------------------------------------------------------- stability


def test_the_jackknife_of_pairs_is_in_closed_form() -> None:
    """The mean of (a + b) / 2 over pairs is the mean of a, of error s / √n."""
    a = normal_array(9)
    found = OfPairs((a[:, None] + a) / 2)
    assert found.value == pytest.approx(a.mean())
    assert found.error == pytest.approx(a.std(ddof=1) / 3)
    assert found.behind(OfPairs(np.zeros((9, 9)))).value == pytest.approx(-a.mean())


def test_stability_is_the_agreement_of_separate_fits() -> None:
    """By `gp.fit` with the same weights, and scikit-learn's index of every pair."""
    x = three_clusters(spread=1.6)
    found = gp.select(x, 3, "tied", "stability", n_resamples=4, seed=2)
    generator = torch.Generator().manual_seed(Stream.RESAMPLES.seed(2))
    labels = [
        gp.fit(gp.MixtureModel(3, "tied"), x, sample_weight=weight).mixture.predict(x).numpy()
        for weight in exponential_weights(torch.ones(len(x)).double(), 4, generator)
    ]
    pairs = [adjusted_rand_score(labels[i], labels[j]) for i in range(4) for j in range(i)]
    assert 0.5 < np.mean(pairs) < 0.99
    assert found.best_cell.found["stability"] == pytest.approx(np.mean(pairs), abs=0.01)


def test_the_most_stable_number_of_clusters() -> None:
    """Of a triangle of equal sides: two of its corners are one cluster by chance alone."""
    found = gp.select(three_clusters(), range(1, 5), "spherical", "stability", n_resamples=6)
    assert found.best_cell.n_components == 3
    assert found.best_cell.found["stability"] == pytest.approx(1, abs=0.02)
    assert found.cell(2, "spherical").found["stability"] < 0.9
    assert math.isnan(found.cell(1, "spherical").found["stability"])
    assert math.isnan(found.grid().loc[1, "spherical"])
    assert found.cell(1, "spherical").counts
    assert found.ties == (found.best_cell,)
    assert str(found).endswith("no other model is near>")


def test_clusterings_of_one_cluster_agree_with_nothing() -> None:
    """Though any index takes them for the same."""
    one, two = np.zeros(6, dtype=int), np.array([0, 0, 0, 1, 1, 1])
    assert adjusted_rand_score(one, one) == 1
    assert agreement([one, one, one], None).value == 0
    assert agreement([two, 1 - two, one], None).value == pytest.approx(1 / 3)
    assert agreement([two, two, None], None) is None


def test_the_index_counts_points_by_their_weights() -> None:
    one, two = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 0, 1])
    weight = np.array([1, 3, 2, 1, 4])
    expected = adjusted_rand_score(one.repeat(weight), two.repeat(weight))
    assert agreement([one, two], weight.astype(float)).value == pytest.approx(expected)


# ---------------------------------------------------------------------- leave-one-out


@pytest.fixture(scope="module")
def drawn() -> gp.Selection:
    return gp.select(three_clusters(12)[:24], [1, 2], "tied", "elpd", "laplace", n_draws=400)


def test_differences_of_leave_one_out_are_those_of_arviz(drawn: gp.Selection) -> None:
    fits = {str(cell.n_components): cell.fitted.to_arviz() for cell in drawn.cells}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of points that are not reliable
        rounded = "round_to" in inspect.signature(az.compare).parameters  # ArviZ 1.x
        expected = az.compare(fits, var_name="x", **({"round_to": "none"} if rounded else {}))
    table = drawn.table.set_index("n_components")
    assert list(table.index) == [int(name) for name in expected.index]
    assert table["elpd_diff"].iloc[0] == 0
    close(table["elpd_diff"].to_numpy(), abs(expected["elpd_diff"].to_numpy()), 1e-6)
    close(table["elpd_diff_se"].to_numpy(), expected["dse"].to_numpy(), 1e-6)


def test_models_are_near_by_nats_or_by_the_error_of_the_difference(drawn: gp.Selection) -> None:
    """Of the differences 3 ± 0.1, 10 ± 14 and 11 ± 1 in all, the last is not near."""
    n = 100
    signs, ones = np.tile([1.0, -1.0], n // 2), np.ones(n)
    cells = []
    for k, (apart, each) in enumerate([(0, 0), (3, 0.01), (10, 1.4), (11, 0.1)], start=1):
        estimate = OfPoints(-apart / n - each * signs, ones, summed=True)
        figures = {"elpd": estimate.value, "elpd_se": estimate.error}
        cells.append(
            replace(drawn.best_cell, n_components=k, estimate=estimate, found=figures, fitted=None)
        )
    found = replace(drawn, cells=tuple(cells))
    assert list(found.table["elpd_diff_se"].round(6)) == [0, 0.1, 14, 1]
    assert [cell.n_components for cell in found.ties] == [1, 2, 3]
    assert "3 models within 4 nats or a standard error of the best" in str(found)


def test_bars_are_errors_of_differences(drawn: gp.Selection) -> None:
    ax = drawn.plot(Figure().subplots())
    (bars,) = ax.collections
    tops = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    errors = drawn.table.sort_values("n_components")["elpd_diff_se"].to_numpy()
    assert tops == pytest.approx(2 * errors)
    assert ax.get_legend().get_title().get_text().startswith("bars: standard error")
    assert not drawn.plot(Figure().subplots(), criterion="bic").collections


# ---------------------------------------------------------------------- signs


@pytest.mark.parametrize(
    ("x", "k", "code", "published"),
    [
        (gp.datasets.iris().x, 2, "VEV", -561.7285),
        (gp.datasets.old_faithful().x, 3, "EEE", -2314.2957),
    ],
    ids=["iris", "old_faithful"],
)
def test_the_sign_of_mclust(x: torch.Tensor, k: int, code: str, published: float) -> None:
    """Of BIC, as mclust publishes it."""
    found = gp.select(x, k, code)
    family = found.best_cell.covariance
    assert found.grid(sign="mclust").loc[k, family] == pytest.approx(published, abs=0.02)
    assert found.grid().loc[k, family] == pytest.approx(-published, abs=0.02)
    icl = found.grid("icl", sign="mclust").loc[k, family]
    assert icl == -found.best_cell.criteria.icl
    ax = found.plot(Figure().subplots(), sign="mclust")
    assert ax.get_ylabel() == "BIC, 2 log L - p log n as in mclust (higher is better)"


def test_the_best_is_ringed_with_the_sign_of_mclust() -> None:
    found = gp.select(three_clusters(), range(1, 5), "tied")
    for sign in ("own", "mclust"):
        ax = found.plot(Figure().subplots(), sign=sign)
        assert "best: 3, tied" in [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criterion": "elpd"}, "criterion 'elpd' was not computed: select(..., criterion='elpd')"),
        ({"criterion": "stability"}, "criterion 'stability' was not computed"),
        ({"criterion": "evidence"}, "with log_evidence: laplace, or gibbs or nuts, does"),
        ({"criterion": "aic", "sign": "mclust"}, "sign='mclust' is of BIC and ICL"),
        ({"sign": "mclus"}, "did you mean 'mclust'"),
    ],
)
def test_what_was_not_computed(arguments: dict[str, Any], message: str) -> None:
    found = gp.select(normal(20, 1), 1)
    for show in (found.grid, found.plot):
        with pytest.raises(ValueError, match=re.escape(message)):
            show(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_folds": 5}, "n_folds is of criterion='cross_validation', not 'bic'"),
        ({"n_resamples": 5, "criterion": "elpd", "method": "gibbs"}, "n_resamples is of"),
        ({"n_folds": 1, "criterion": "cross_validation"}, "n_folds must be an integer of at"),
        ({"n_folds": 31, "criterion": "cross_validation"}, "n_folds must be at most 30, got 31"),
        ({"n_resamples": 2, "criterion": "stability"}, "n_resamples must be an integer of at"),
        ({"k": 1, "criterion": "stability"}, "stability is of two components or more"),
        ({"criterion": "stability", "method": "gibbs"}, "gibbs takes no weights"),
    ],
)
def test_bad_numbers_of_fits(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        gp.select(normal(30, 2), **{"k": [1, 2], **arguments})


def test_evidences_are_near_that_are_within_their_errors() -> None:
    """1.5 nats apart, with errors of 0.1 or of 1.2 each."""
    x = gp.datasets.make_mixture(n=60, d=1, k=2, separation=8, seed=1).x
    found = gp.select(x, [1, 2], "full", "evidence", method="laplace")

    def told(error: float) -> gp.Selection:
        at = {"log_evidence": -100.0, "log_evidence_se": error}
        values = [at, {**at, "log_evidence": -101.5}]
        pairs = zip(found.cells, values, strict=True)
        return replace(found, cells=tuple(replace(cell, found=value) for cell, value in pairs))

    assert [len(told(error).ties) for error in (0.1, 1.2, math.nan)] == [1, 2, 1]
    assert "within 1 nats or a standard error" in told(1.2).in_words()
