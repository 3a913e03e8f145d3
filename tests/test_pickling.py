"""A pickled estimator predicts as before, and does not carry the data that it was fitted to."""

from __future__ import annotations

import copy
import pickle
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from gmm_pyro.estimator import GaussianMixtureClassifier, PyroGaussianMixture
from runs import BRIEF, our_methods

pytestmark = pytest.mark.filterwarnings("ignore")  # fits so short have not converged


def points(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) + np.where(np.arange(n) % 3 > 0, 6.0, 0.0)[:, None]


def few(method: str) -> dict[str, Any] | None:
    return None if method == "em" else BRIEF[method]  # whose options are the estimator's own


@cache
def fitted(method: str, n: int = 60) -> PyroGaussianMixture:
    model = PyroGaussianMixture(2, method=method, method_options=few(method), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(points(n), sample_weight=weights(method, n))


def weights(method: str, n: int) -> np.ndarray | None:
    return None if method == "gibbs" else np.linspace(1, 2, n)  # which takes none


def through_a_pickle(model: BaseEstimator) -> Any:
    return pickle.loads(pickle.dumps(model))


@our_methods
def test_it_predicts_scores_and_samples_as_before(method: str) -> None:
    model, again, x = fitted(method), through_a_pickle(fitted(method)), points(30, seed=1)
    for name in ("predict", "predict_proba", "score_samples", "score", "bic", "aic"):
        np.testing.assert_array_equal(getattr(again, name)(x), getattr(model, name)(x))
    for one, other in zip(again.sample(9), model.sample(9), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("weights_", "means_", "precisions_cholesky_", "lower_bounds_", "converged_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))


@our_methods
def test_what_the_fit_says_is_kept_and_what_needs_the_data_is_refused(method: str) -> None:
    before, fit = fitted(method).fit_, through_a_pickle(fitted(method)).fit_
    assert repr(fit) == repr(before)
    assert (fit.status, fit.message, fit.seed) == (before.status, before.message, before.seed)
    assert fit.diagnostics.keys() == before.diagnostics.keys()
    data = fit.observations
    assert (data.n, data.d, data.total_weight) == (60, 2, before.observations.total_weight)
    uses = {"labels": fit, "x": data, "bulk": data}
    if method != "gibbs":
        uses["sample_weight"] = data
    for name, owner in uses.items():
        with pytest.raises(ValueError, match="left out of an estimator's pickle"):
            getattr(owner, name)
    assert not hasattr(data, "y")


@pytest.mark.parametrize("method", ["laplace", "svi", "nuts", "gibbs"])
def test_draws_are_kept(method: str) -> None:
    """They predict as before; what they say of the data is refused."""
    before, again = fitted(method).fit_.posterior, through_a_pickle(fitted(method))
    posterior, x = again.fit_.posterior, points(5, seed=2)
    assert posterior.draws["means"].equal(before.draws["means"])
    assert posterior.predictive_density(x).mean.equal(before.predictive_density(x).mean)
    assert posterior.mixture().means.equal(before.mixture().means)
    for use in (again.to_arviz, posterior.co_clustering, posterior.partition):
        with pytest.raises(ValueError, match="left out of an estimator's pickle"):
            use()


@our_methods
def test_its_size_does_not_grow_with_the_data(method: str) -> None:
    """Of 1,000 more points, 16 bytes each and labels and weights of 8 would be 32 kB."""
    small, large = (len(pickle.dumps(fitted(method, n))) for n in (60, 1060))
    assert large < small + 2000  # messages and the history of the steps


@pytest.mark.parametrize("method", ["em", "laplace"])
def test_a_classifier_is_as_small(method: str) -> None:
    def model(n: int) -> GaussianMixtureClassifier:
        options = few(method)
        model = GaussianMixtureClassifier(method=method, method_options=options, random_state=0)
        return model.fit(points(n), np.arange(n) % 3 > 0)

    small, large = len(pickle.dumps(model(60))), len(pickle.dumps(model(1060)))
    assert large < small + 2000
    again, x = through_a_pickle(model(60)), points(30, seed=1)
    np.testing.assert_array_equal(again.predict_proba(x), model(60).predict_proba(x))


def test_pickles_of_pickles_and_of_what_is_not_fitted() -> None:
    once = through_a_pickle(fitted("em"))
    twice = through_a_pickle(once)
    assert twice.fit_.observations.n == 60
    assert abs(len(pickle.dumps(twice)) - len(pickle.dumps(once))) < 100
    assert not hasattr(through_a_pickle(PyroGaussianMixture(2)), "fit_")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_in_memory_keep_the_data(copied: Any) -> None:
    model = fitted("em")
    again = copied(model)
    assert again is not model
    assert again.fit_.observations.x.equal(model.fit_.observations.x)
    assert again.get_params() == model.get_params()


def test_a_warm_start_goes_on_from_a_pickle() -> None:
    model = PyroGaussianMixture(2, warm_start=True, random_state=0).fit(points(60))
    again = through_a_pickle(model)
    assert again.fit(points(60)).lower_bound_ >= model.lower_bound_ - 1e-12
    assert again.fit_.labels.shape == (60,)
