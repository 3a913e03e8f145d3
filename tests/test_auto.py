"""Estimators with "auto": BIC chooses the number and the family, and scikit-learn sees no change.

The right choices come from mclust's vignettes and from scikit-learn's own mixtures.
"""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import gmm_pyro as gp
from gmm_pyro.estimator import GaussianMixtureClassifier, GMMRegressor, PyroGaussianMixture

FAITHFUL = gp.datasets.old_faithful().x.numpy()
WAITING = FAITHFUL[:, 1:].copy()
BOTH: dict[str, Any] = {"n_components": "auto", "covariance_type": "auto"}


def groups(k: int, n: int = 40) -> np.ndarray:
    """So many groups of n points along a line, eight deviations apart."""
    generator = np.random.default_rng(k)
    return (8.0 * np.arange(k)[:, None] + generator.normal(size=(k, n))).reshape(-1, 1)


@pytest.fixture
def up_to_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the number that is found is smaller, and nine would take time."""
    monkeypatch.setattr("gmm_pyro.estimator.auto.MOST", 4)


@pytest.fixture(scope="module")
def waiting() -> PyroGaussianMixture:
    return PyroGaussianMixture(**BOTH, random_state=0).fit(WAITING)


# ---------------------------------------------------------------------- what is chosen


def test_number_and_family_are_those_of_mclust(waiting: PyroGaussianMixture) -> None:
    """Scrucca et al. (2016): faithful$waiting has two components of one variance, BIC -2090.427."""
    assert (waiting.n_components_, waiting.covariance_type_) == (2, "tied")
    assert waiting.bic(WAITING) == pytest.approx(2090.427, abs=0.001)
    assert waiting.means_.shape == (2, 1)
    assert waiting.converged_


def test_the_family_alone_is_that_of_mclust() -> None:
    """Scrucca et al. (2016): of three components, EEE is the best for faithful, BIC -2314.2957."""
    model = PyroGaussianMixture(3, covariance_type="auto", random_state=0).fit(FAITHFUL)
    assert (model.n_components_, model.covariance_type_) == (3, "tied")
    assert model.bic(FAITHFUL) == pytest.approx(2314.2957, abs=0.001)
    assert {cell.n_components for cell in model.selection_.cells} == {3}
    assert len(model.selection_.cells) == 14
    assert model.covariances_.shape == (2, 2)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_the_number_alone_is_that_of_scikit_learns_fits(covariance_type: str) -> None:
    ours = PyroGaussianMixture("auto", covariance_type=covariance_type).fit(FAITHFUL)
    told: dict[str, Any] = {"covariance_type": covariance_type, "n_init": 5, "tol": 1e-6}
    theirs = {
        k: GaussianMixture(k, max_iter=1000, random_state=0, **told).fit(FAITHFUL).bic(FAITHFUL)
        for k in range(1, 5)
    }
    assert ours.n_components_ == min(theirs, key=lambda k: theirs[k])
    assert ours.bic(FAITHFUL) == pytest.approx(min(theirs.values()), abs=0.01)
    tried = [cell.n_components for cell in ours.selection_.cells]
    assert tried == list(range(1, 10))


def test_no_more_components_than_points() -> None:
    model = PyroGaussianMixture("auto", covariance_type="tied").fit(groups(1, n=5))
    assert [cell.n_components for cell in model.selection_.cells] == [1, 2, 3, 4, 5]


def test_it_is_the_selection_of_the_function() -> None:
    """With the constructor's options by their names."""
    chosen = PyroGaussianMixture("auto", max_iter=7, n_init=3, random_state=1).fit(groups(2))
    seed = int(np.random.RandomState(1).randint(2**31 - 1))
    told = gp.select(groups(2), covariance="full", seed=seed, max_steps=7, n_starts=3)
    assert chosen.selection_.options == told.options
    assert chosen.selection_.table.equals(told.table)


@pytest.mark.usefixtures("up_to_four")
@pytest.mark.parametrize("method", ["map", "gradient"])
def test_other_methods_that_maximise(method: str) -> None:
    told: dict[str, Any] = {"method": method, "method_options": {"max_steps": 50}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gp.FitWarning)  # of numbers that are not the best
        model = PyroGaussianMixture("auto", covariance_type="tied", **told).fit(groups(2))
    assert model.n_components_ == 2
    assert model.fit_.method == method


# ---------------------------------------------------------------------- scikit-learn's rules


@pytest.mark.filterwarnings("ignore")
def test_it_passes_the_checks_of_estimators(monkeypatch: pytest.MonkeyPatch) -> None:
    """They fit a hundred times, and one check has more features than points."""
    monkeypatch.setattr("gmm_pyro.estimator.auto.MOST", 2)
    estimator = PyroGaussianMixture("auto", covariance_type="spherical")
    random = {"check_sample_weight_equivalence_on_dense_data": "starts are drawn by row number"}
    results = check_estimator(estimator, on_fail=None, expected_failed_checks=random)
    others = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not others
    assert len(results) > 40


def test_arguments_stay_as_they_are(waiting: PyroGaussianMixture) -> None:
    assert {name: waiting.get_params()[name] for name in BOTH} == BOTH
    again = clone(waiting)
    assert not hasattr(again, "n_components_")
    assert again.get_params() == waiting.get_params()


@pytest.mark.usefixtures("up_to_four")
def test_a_named_model_says_what_it_is_by_the_same_names() -> None:
    model = PyroGaussianMixture("auto", random_state=0).fit(groups(2))
    assert hasattr(model, "selection_")
    model.set_params(n_components=3, covariance_type="EEE").fit(groups(2))
    assert (model.n_components_, model.covariance_type_) == (3, "tied")
    assert not hasattr(model, "selection_")


def test_predictions_follow_attributes_that_their_owner_changes(
    waiting: PyroGaussianMixture,
) -> None:
    moved = copy.deepcopy(waiting)
    moved.means_ = waiting.means_ + 100.0
    np.testing.assert_allclose(
        moved.score_samples(WAITING + 100.0), waiting.score_samples(WAITING), rtol=1e-9
    )


def test_a_pickle_has_the_table_and_no_data(waiting: PyroGaussianMixture) -> None:
    data = WAITING[:, 0].tobytes()
    assert data in pickle.dumps(waiting.selection_)
    assert data not in pickle.dumps(waiting)
    again = pickle.loads(pickle.dumps(waiting))
    assert again.selection_.table.equals(waiting.selection_.table)
    np.testing.assert_array_equal(again.predict(WAITING), waiting.predict(WAITING))
    with pytest.raises(ValueError, match="left out of an estimator's pickle"):
        again.selection_.fit(3, "VVV")


@pytest.mark.usefixtures("up_to_four")
def test_grid_searches_take_it_as_one_value_among_others() -> None:
    x = np.random.default_rng(0).permutation(groups(3))
    model = PyroGaussianMixture(covariance_type="tied", random_state=0)
    search = GridSearchCV(model, {"n_components": [1, 2, "auto"]}, cv=2).fit(x)
    assert search.best_params_ == {"n_components": "auto"}
    assert search.best_estimator_.n_components_ == 3
    families = {"n_components": [1, 3], "covariance_type": ["spherical", "auto"]}
    search = GridSearchCV(model, families, cv=2).fit(x)
    assert search.best_params_["n_components"] == 3
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    pipeline = make_pipeline(StandardScaler(), clone(model).set_params(n_components="auto"))
    assert pipeline.fit(x)[-1].n_components_ == 3


@pytest.mark.usefixtures("up_to_four")
def test_columns_keep_their_names() -> None:
    model = PyroGaussianMixture("auto").fit(pd.DataFrame({"waiting": WAITING[:, 0]}))
    assert model.selection_.best_cell.mixture.feature_names == ("waiting",)
    assert model.fit_.mixture.feature_names == ("waiting",)


# ---------------------------------------------------------------------- data of other kinds


@pytest.mark.usefixtures("up_to_four")
def test_weights_count_points() -> None:
    x, weight = WAITING[:60], np.arange(60) % 3
    weighted = PyroGaussianMixture("auto", random_state=0).fit(x, sample_weight=weight)
    repeated = PyroGaussianMixture("auto", random_state=0).fit(np.repeat(x, weight, axis=0))
    assert weighted.n_components_ == repeated.n_components_
    best, other = weighted.selection_.best_cell, repeated.selection_.best_cell
    assert best.criteria.bic == pytest.approx(other.criteria.bic, abs=0.1)


@pytest.mark.usefixtures("up_to_four")
def test_missing_values_are_integrated_out() -> None:
    x = np.column_stack([groups(2), groups(2)[::-1]])
    x[::5, 0] = np.nan
    model = PyroGaussianMixture("auto", covariance_type="tied", random_state=0).fit(x)
    assert model.n_components_ == 2
    assert not np.isnan(model.means_).any()


@pytest.mark.usefixtures("up_to_four")
def test_single_precision_stays_single() -> None:
    model = PyroGaussianMixture("auto", random_state=0).fit(groups(2).astype(np.float32))
    assert model.means_.dtype == np.float32


# ---------------------------------------------------------------------- the other estimators


@pytest.mark.usefixtures("up_to_four")
def test_each_class_has_a_number_of_its_own() -> None:
    x, y = np.concatenate([groups(1), 40 + groups(3)]), np.repeat(["a", "b"], [40, 120])
    both = GaussianMixtureClassifier("auto", covariance_type="tied", random_state=0).fit(x, y)
    assert [mixture.n_components_ for mixture in both.mixtures_] == [1, 3]
    assert both.score(x, y) == 1.0
    one = GaussianMixtureClassifier({"a": 2, "b": "auto"}, covariance_type="tied").fit(x, y)
    assert [mixture.n_components_ for mixture in one.mixtures_] == [2, 3]
    with pytest.raises(ValueError, match="n_components of class 'b' must be"):
        GaussianMixtureClassifier({"a": 2, "b": "many"}).fit(x, y)


@pytest.mark.parametrize("name", BOTH)
def test_points_without_a_class_leave_nothing_to_choose(name: str) -> None:
    y = np.arange(80) % 3 - 1
    with pytest.raises(ValueError, match=f"{name}='auto' chooses for each class by itself"):
        GaussianMixtureClassifier(**{name: "auto"}).fit(groups(2), y)


@pytest.mark.usefixtures("up_to_four")
def test_a_regression_has_the_number_of_inputs_and_outputs() -> None:
    """Of one number of inputs alone: three groups of outputs, at the same inputs."""
    x, y = np.tile(groups(1), (3, 1)), groups(3)[:, 0]
    model = GMMRegressor("auto", covariance_type="tied", random_state=0).fit(x, y)
    assert model.mixture_.n_components_ == 3
    assert model.predict([[0.0]]) == pytest.approx([y.mean()], abs=0.2)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights_init": [0.5, 0.5]}, "weights_init cannot be given with n_components='auto'"),
        ({"means_init": [[0.0]]}, "means_init cannot be given with"),
        ({"precisions_init": [[[1.0]]]}, "precisions_init cannot be given with"),
        ({"priors": gp.Priors(), "method": "map"}, "priors cannot be given with"),
        ({"noise_component": "uniform"}, "noise_component cannot be given with"),
        ({"warm_start": True}, "warm_start cannot be given with"),
        ({"init_params": "random"}, "init_params cannot be given with"),
        (
            {"method": "gibbs"},
            "is for the methods em, gradient, map; got method='gibbs'",
        ),
        ({"method": "kmeans"}, "got method='kmeans'"),
        ({"method_options": {"start": "random"}}, "select takes no start"),
        ({"method_options": {"n_draws": 3}}, "method 'em' has no option 'n_draws'"),
        ({"method_options": {"k": 3}}, "method 'em' has no option 'k'"),
        ({"n_components": 50, "covariance_type": "auto"}, "40 points, fewer than the 50"),
        ({"n_components": "automatic"}, "'n_components' parameter"),
    ],
)
def test_what_supposes_a_model_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PyroGaussianMixture(**{"n_components": "auto", **arguments}).fit(groups(1))
