"""Claims about `PyroGaussianMixture`: it is scikit-learn's GaussianMixture, and more.

scikit-learn holds it to its word: its estimator checks, its own tests of its mixtures, and its
numbers from the same random state.
"""

from __future__ import annotations

import inspect
import pickle
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

import gmm_pyro as gp
from gmm_pyro.estimator import GaussianMixtureClassifier, PyroGaussianMixture
from gmm_pyro.estimator.trials import ILL_DEFINED
from theirs import run_theirs

IRIS = load_iris().data
FOUR = ("full", "tied", "diag", "spherical")  # the families that scikit-learn has
STARTS = ("kmeans", "k-means++", "random", "random_from_data")
ATTRIBUTES = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def clusters(n: int = 400, seed: int = 0) -> np.ndarray:
    """Three overlapping clusters in two dimensions."""
    generator = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [3.0, 1.0], [0.0, 4.0]])
    return centres[generator.integers(3, size=n)] + generator.normal(size=(n, 2))


# ---------------------------------------------------------------------- scikit-learn's own tests


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "estimator",
    [PyroGaussianMixture(), PyroGaussianMixture(search="moves"), GaussianMixtureClassifier()],
)
def test_it_passes_the_checks_of_estimators(estimator: Any) -> None:
    results = check_estimator(estimator, on_fail=None)
    others = {r["check_name"]: (r["status"], r["exception"]) for r in results}
    others = {name: end for name, end in others.items() if end[0] != "passed"}
    skipped = {"check_array_api_input"}  # which runs where SciPy is told to
    assert all(end[0] == "skipped" and name in skipped for name, end in others.items()), others
    assert len(results) > 40


PRIVATE = (  # what they call is not public: `_initialize`, and a function that is counted
    "test_gaussian_mixture_precisions_init[",
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters",
)


@pytest.mark.slow
def test_it_passes_the_tests_of_scikit_learns_mixture(prepared: Path, tmp_path: Path) -> None:
    file, name = "test_gaussian_mixture.py", "GaussianMixture"
    told = run_theirs(prepared / "python", tmp_path, file, name, PRIVATE)
    assert "passed" in told


@pytest.mark.parametrize("name", inspect.signature(GaussianMixture.__init__).parameters)
def test_the_constructor_takes_what_scikit_learns_takes(name: str) -> None:
    theirs = inspect.signature(GaussianMixture.__init__).parameters[name]
    ours = inspect.signature(PyroGaussianMixture.__init__).parameters[name]
    assert (ours.kind, ours.default) == (theirs.kind, theirs.default)


# ---------------------------------------------------------------------- scikit-learn's numbers


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("n_init", [1, 3])
@pytest.mark.parametrize("init_params", STARTS)
@pytest.mark.parametrize("covariance_type", FOUR)
def test_the_same_random_state_gives_the_same_numbers(
    covariance_type: str, init_params: str, n_init: int
) -> None:
    arguments: dict[str, Any] = {
        "covariance_type": covariance_type,
        "init_params": init_params,
        "n_init": n_init,
        "random_state": 1,
    }
    x = clusters()
    theirs = GaussianMixture(3, **arguments).fit(x)
    ours = PyroGaussianMixture(3, **arguments).fit(x)
    if covariance_type == "tied" and init_params in ("k-means++", "random_from_data"):
        # scikit-learn's first covariance is then of uncentred moments, and depends on the origin.
        assert ours.lower_bound_ == pytest.approx(theirs.lower_bound_, abs=1e-3)
        return
    assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
    np.testing.assert_allclose(ours.lower_bounds_, theirs.lower_bounds_, rtol=1e-6)
    for name in ATTRIBUTES:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-9)
    for method in ("predict", "predict_proba", "score_samples", "score", "bic", "aic"):
        ours_says, theirs_say = getattr(ours, method)(x), getattr(theirs, method)(x)
        np.testing.assert_allclose(ours_says, theirs_say, rtol=1e-6, atol=1e-9)
    for drawn, wanted in zip(ours.sample(20), theirs.sample(20), strict=True):
        np.testing.assert_allclose(drawn, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("covariance_type", FOUR)
def test_a_start_leads_to_the_same_bits_alone_and_among_others(covariance_type: str) -> None:
    arguments: dict[str, Any] = {
        "covariance_type": covariance_type,
        "init_params": "random_from_data",
        "max_iter": 3,
    }
    x, random = clusters(), np.random.RandomState(4)  # which five draw from in turn
    alone = [PyroGaussianMixture(3, random_state=random, **arguments).fit(x) for _ in range(5)]
    together = PyroGaussianMixture(3, n_init=5, random_state=np.random.RandomState(4), **arguments)
    best = max(alone, key=lambda model: model.lower_bound_)
    assert together.fit(x).lower_bounds_ == best.lower_bounds_
    np.testing.assert_array_equal(together.means_, best.means_)


def test_what_is_given_is_where_it_starts() -> None:
    x = clusters()
    given: dict[str, Any] = {
        "weights_init": [0.2, 0.3, 0.5],
        "means_init": [[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]],
        "precisions_init": np.stack([np.eye(2), 2 * np.eye(2), [[2.0, 0.5], [0.5, 1.0]]]),
        "tol": 1e-6,
        "max_iter": 500,
    }
    theirs = GaussianMixture(3, **given).fit(x)
    ours = PyroGaussianMixture(3, **given).fit(x)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-8)


def test_single_precision_stays_single() -> None:
    model = PyroGaussianMixture(3, random_state=0).fit(clusters().astype(np.float32))
    assert {getattr(model, name).dtype for name in ATTRIBUTES} == {np.dtype(np.float32)}
    assert model.score_samples(clusters().astype(np.float32)).dtype == np.float32


def test_a_constant_column_is_held_up_by_the_ridge() -> None:
    x = np.column_stack([clusters()[:, 0], np.full(400, 7.0)])
    theirs = GaussianMixture(2, random_state=0).fit(x)
    ours = PyroGaussianMixture(2, random_state=0).fit(x)
    assert "singular" in ours.fit_.diagnostics["problems"][0]
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-6, atol=1e-12)


def test_a_collapsed_matrix_is_refused_without_a_ridge() -> None:
    x = np.vstack([clusters(30), [[50.0, 50.0]]])
    model = PyroGaussianMixture(
        2, reg_covar=0, means_init=[[0.0, 0.0], [50.0, 50.0]], random_state=0
    )
    with pytest.raises(ValueError, match=ILL_DEFINED[:40]):
        model.fit(x)


# ---------------------------------------------------------------------- beyond scikit-learn's


def test_whole_weights_are_repeated_points() -> None:
    x = clusters(100)
    weight = np.random.default_rng(3).integers(0, 4, size=100)
    start = {"means_init": [[0.0, 0.0], [3.0, 1.0], [0.0, 4.0]]}
    start |= {"precisions_init": np.stack([np.eye(2)] * 3), "weights_init": [0.4, 0.3, 0.3]}
    weighted = PyroGaussianMixture(3, **start).fit(x, sample_weight=weight)
    repeated = PyroGaussianMixture(3, **start).fit(np.repeat(x, weight, axis=0))
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-9)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-9)


@pytest.mark.parametrize("init_params", STARTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_start_takes_weights(init_params: str) -> None:
    x = np.vstack([clusters(), [[1e3, 1e3]]])  # the last point weighs nothing
    weight = np.append(np.full(400, 0.5), 0.0)
    model = PyroGaussianMixture(3, init_params=init_params, random_state=0, n_init=3)
    assert np.abs(model.fit(x, sample_weight=weight).means_).max() < 10


@pytest.mark.parametrize("family", gp.FAMILIES)
def test_all_families_are_there_under_either_name(family: str) -> None:
    mclust = gp.FAMILIES[family].mclust
    model = PyroGaussianMixture(3, covariance_type=family, random_state=0).fit(IRIS)
    same = PyroGaussianMixture(3, covariance_type=mclust, random_state=0).fit(IRIS)
    np.testing.assert_array_equal(model.covariances_, same.covariances_)
    precisions, covariances = model.precisions_, model.covariances_
    is_matrix = gp.FAMILIES[family].is_matrix
    inverse = np.linalg.inv(covariances) if is_matrix else 1 / covariances
    np.testing.assert_allclose(precisions, inverse, rtol=1e-7)
    assert model.sample(7)[0].shape == (7, 4)


OTHERS = [m for m in gp.inference.METHODS if not m.startswith("nuts") and m != "svi:enumerated"]


@pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning", "ignore::UserWarning")
@pytest.mark.parametrize("method", OTHERS)
def test_all_methods_are_there(method: str) -> None:
    options = {"n_draws": 50, "n_warmup": 50} if method == "gibbs" else None
    x = clusters()
    model = PyroGaussianMixture(3, method=method, method_options=options, random_state=0, n_init=3)
    labels = model.fit_predict(x)
    assert model.fit_.method == method
    assert adjusted_rand_score(GaussianMixture(3, random_state=0).fit_predict(x), labels) > 0.8
    assert model.means_.shape == (3, 2)
    assert isinstance(model.converged_, bool)
    np.testing.assert_allclose(
        model.lower_bound_ * len(x), model.fit_.objective, err_msg="the objective, a point"
    )


def test_the_fit_is_that_of_gmm_pyro() -> None:
    x, prior = clusters(), gp.Priors()
    model = PyroGaussianMixture(3, method="map", priors=prior, method_options={"seed": 5})
    model.set_params(n_init=10, init_params="k-means++").fit(x)
    fit = gp.fit(gp.MixtureModel(3, priors=prior), x, method="map", seed=5, start="k-means++")
    ordered = model.means_[model.means_[:, 0].argsort()]  # the class numbers as scikit-learn does
    np.testing.assert_array_equal(ordered, fit.mixture.means.numpy())
    assert model.fit_.seed == 5


def test_posteriors_carry_the_columns_names() -> None:
    frame = pd.DataFrame(clusters(), columns=["length", "width"])
    model = PyroGaussianMixture(3, method="laplace", random_state=0).fit(frame)
    assert model.feature_names_in_.tolist() == ["length", "width"]
    idata = model.to_arviz()
    assert idata["posterior"]["feature"].values.tolist() == ["length", "width"]
    assert model.fit_.mixture.feature_names == ("length", "width")


def test_em_has_no_posterior() -> None:
    with pytest.raises(ValueError, match="draws"):
        PyroGaussianMixture(2, random_state=0).fit(IRIS).to_arviz()


@pytest.mark.parametrize("method", ["em", "map"])
def test_a_warm_start_goes_on(method: str) -> None:
    model = PyroGaussianMixture(3, method=method, warm_start=True, random_state=0).fit(clusters())
    before = model.lower_bound_
    model.fit(clusters())
    assert model.lower_bound_ == pytest.approx(before, abs=1e-3)
    assert model.n_iter_ <= 3
    model.set_params(n_components=2)
    with pytest.raises(ValueError, match="got 3|from 3"):
        model.fit(clusters())


def test_given_values_start_other_methods_too() -> None:
    means = [[0.0, 4.0], [3.0, 1.0], [0.0, 0.0]]
    model = PyroGaussianMixture(3, method="map", means_init=means, random_state=0).fit(clusters())
    np.testing.assert_allclose(model.means_, means, atol=0.5)  # in the order that was given


def test_a_fit_in_single_precision_predicts_by_its_exact_parameters() -> None:
    z = np.random.default_rng(0).normal(size=100)
    x = np.c_[100 * z, 200 * z].astype(np.float32)  # a line, which the ridge makes a density
    model = PyroGaussianMixture(1, random_state=0).fit(x)
    assert model.score(x) == pytest.approx(float(model.fit_.mixture.log_prob(x).mean()), abs=1e-3)
    assert model.score_samples(x.astype(float)).dtype == np.float64
    assert model.score_samples(x).dtype == np.float32


def test_no_steps_leave_the_last_start() -> None:
    arguments: dict[str, Any] = {"max_iter": 0, "n_init": 3, "init_params": "random"}
    theirs = GaussianMixture(3, random_state=0, **arguments).fit(clusters())
    ours = PyroGaussianMixture(3, random_state=0, **arguments).fit(clusters())
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", FOUR)
def test_precisions_set_by_hand_count_as_in_scikit_learn(covariance_type: str) -> None:
    x, scores = clusters(), []
    for estimator in (GaussianMixture, PyroGaussianMixture):
        model = estimator(3, covariance_type=covariance_type, random_state=0).fit(x)
        model.precisions_cholesky_ = 2 * model.precisions_cholesky_
        model.means_[0] += 1.0
        scores.append(model.score_samples(x))
    np.testing.assert_allclose(*scores, rtol=1e-6)


def test_attributes_may_be_set_by_hand() -> None:
    model = PyroGaussianMixture(2)
    model.weights_, model.means_ = np.array([0.5, 0.5]), np.array([[0.0], [5.0]])
    model.covariances_ = np.ones((2, 1, 1))
    model.n_features_in_ = 1
    assert model.predict([[0.2], [4.0]]).tolist() == [0, 1]


# ---------------------------------------------------------------------- a search


def test_a_search_finds_what_the_recipe_does_not() -> None:
    data = gp.datasets.tight_and_diffuse(0)
    x = data.x.numpy()
    usual = PyroGaussianMixture(2, random_state=0).fit(x)
    searched = PyroGaussianMixture(2, search="moves", random_state=0).fit(x)
    assert searched.score(x) > usual.score(x) + 0.05
    assert usual.fit_.search is None
    assert searched.fit_.search is not None
    assert searched.lower_bound_ == pytest.approx(searched.score(x))


@pytest.mark.parametrize("search", ["starts", "moves", "thorough"])
def test_a_search_is_that_of_gmm_pyro(search: str) -> None:
    x = clusters()
    model = PyroGaussianMixture(3, search=search, method_options={"seed": 5}).fit(x)
    fit = gp.fit(gp.MixtureModel(3), x, search=search, seed=5)
    np.testing.assert_array_equal(model.means_, fit.mixture.means.numpy())


def test_arguments_reach_a_search_where_they_are_not_the_default() -> None:
    changed = {"n_init": 4, "init_params": "random", "tol": 1e-6, "max_iter": 300}
    usual = PyroGaussianMixture(3, search="starts", random_state=0)
    own = gp.inference.METHODS["em"].options()
    for arguments, expected in (
        ({}, (own.n_starts, own.start, own.tolerance, own.max_steps)),
        (changed, (4, "random", 1e-6, 300)),
    ):
        options = clone(usual).set_params(**arguments).fit(clusters()).fit_.options
        found = (options.n_starts, options.start, options.tolerance, options.max_steps)
        assert (options.search, found) == ("starts", expected)
        assert options.covariance_floor == own.covariance_floor


def test_a_search_leaves_what_is_given_where_it_is() -> None:
    means = [[0.0, 4.0], [3.0, 1.0], [0.0, 0.0]]
    model = PyroGaussianMixture(3, search="moves", means_init=means, random_state=0)
    model.fit(clusters())
    assert (model.fit_.search.starts, model.fit_.search.tried) == (1, 0)
    np.testing.assert_allclose(model.means_, means, atol=0.5)  # in the order that was given


def test_other_methods_take_a_search_as_their_option() -> None:
    for search in (None, "starts"):
        model = PyroGaussianMixture(3, method="map", search=search, random_state=0)
        options = model.fit(clusters()).fit_.options
        assert (options.search, options.n_starts) == (search or "moves", 1)


@pytest.mark.parametrize(("n_init", "n_starts"), [(1, 10), (4, 4)])
def test_a_few_starts_move(n_init: int, n_starts: int) -> None:
    model = PyroGaussianMixture(3, search="moves", n_init=n_init, random_state=0).fit(IRIS)
    assert model.fit_.options.n_starts == n_starts
    assert model.fit_.search.tried > 0


def test_a_method_without_searches_refuses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Bare:
        seed: int = 0
        start: str = "several"
        n_starts: int = 1
        progress: bool = False

    em = gp.inference.METHODS["em"]
    monkeypatch.setitem(gp.inference.METHODS, "map", gp.inference.Method(em.run, Bare))
    with pytest.raises(ValueError, match="method 'map' has no option 'search'"):
        PyroGaussianMixture(3, method="map", search="moves").fit(clusters())


def test_a_search_says_what_gmm_pyro_says() -> None:
    with pytest.warns(ConvergenceWarning, match="em stopped at the step limit"):
        PyroGaussianMixture(3, search="starts", max_iter=1, random_state=0).fit(clusters())
    constant = np.column_stack([clusters()[:, 0], np.full(400, 7.0)])
    with pytest.raises(ValueError, match="x must vary in every column"):
        PyroGaussianMixture(2, search="starts").fit(constant)


def test_a_search_is_cloned_and_pickled() -> None:
    model = PyroGaussianMixture(3, search="starts", random_state=0)
    assert clone(model).get_params()["search"] == "starts"
    again = pickle.loads(pickle.dumps(model.fit(clusters())))
    assert again.search == "starts"
    np.testing.assert_array_equal(again.predict(clusters()), model.predict(clusters()))


# ---------------------------------------------------------------------- in company


def test_it_works_in_pipelines_and_searches() -> None:
    frame = load_iris(as_frame=True).data
    pipeline = make_pipeline(StandardScaler(), PyroGaussianMixture(random_state=0))
    pipeline.set_output(transform="pandas")
    grid = {
        "pyrogaussianmixture__n_components": [1, 2, 3],
        "pyrogaussianmixture__covariance_type": ["full", "tied_diag"],
    }
    folds = KFold(3, shuffle=True, random_state=0)  # the species are in order
    search = GridSearchCV(pipeline, grid, cv=folds, error_score="raise").fit(frame)
    best = search.best_estimator_[-1]
    assert best.feature_names_in_.tolist() == frame.columns.tolist()
    assert search.best_params_["pyrogaussianmixture__n_components"] > 1
    theirs = clone(search.best_estimator_).set_params(
        pyrogaussianmixture=GaussianMixture(2, random_state=0)
    )
    pipeline.set_params(pyrogaussianmixture__n_components=2)
    scores = (cross_val_score(model, frame, cv=folds) for model in (pipeline, theirs))
    np.testing.assert_allclose(*scores, rtol=1e-6)


def test_copies_and_pickles_predict_the_same() -> None:
    priors = gp.Priors(means=dist.Normal(0.0, 5.0))
    model = PyroGaussianMixture(3, method="map", priors=priors, random_state=0)
    assert clone(model).get_params().keys() == model.get_params().keys()
    model.fit(clusters())
    again = pickle.loads(pickle.dumps(model))
    x = clusters(seed=1)
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    assert again.fit_.objective == model.fit_.objective


def test_fits_run_side_by_side() -> None:
    def means(seed: int) -> np.ndarray:
        return PyroGaussianMixture(3, random_state=seed).fit(clusters()).means_

    alone = [means(seed) for seed in range(4)]
    beside = Parallel(n_jobs=2, prefer="threads")(delayed(means)(seed) for seed in range(4))
    np.testing.assert_array_equal(alone, beside)


def test_no_global_state_is_changed() -> None:
    def state() -> tuple[Any, ...]:
        of_numpy = np.random.get_state()[1].tolist()  # noqa: NPY002 - the global one is meant
        of_torch = torch.get_rng_state().tolist(), torch.get_num_threads()
        return random.getstate(), of_numpy, of_torch

    before = state()
    PyroGaussianMixture(3, random_state=0, n_init=2).fit(clusters())
    assert state() == before


# ---------------------------------------------------------------------- what is said


def test_progress_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    PyroGaussianMixture(
        3, verbose=2, verbose_interval=2, tol=1e-9, max_iter=400, random_state=0
    ).fit(clusters())
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Initialization 0"
    assert printed[1].startswith("  Iteration 2\t time lapse ")
    assert printed[-1].startswith("Initialization converged. time lapse ")


def test_starts_are_printed_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    arguments: dict[str, Any] = {"verbose": 1, "n_init": 2, "max_iter": 20, "tol": 1e-9}
    for estimator in (GaussianMixture, PyroGaussianMixture):
        with pytest.warns(ConvergenceWarning):
            estimator(3, random_state=0, **arguments).fit(clusters())
        printed = capsys.readouterr().out
        if estimator is GaussianMixture:
            wanted = printed
    assert printed == wanted


def test_an_interrupt_leaves_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(line: str) -> None:
        if "Iteration 3" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", interrupted)
    model = PyroGaussianMixture(3, verbose=1, verbose_interval=1, tol=0, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(clusters())
    assert (model.n_iter_, model.converged_) == (3, False)
    assert np.isfinite(model.score(clusters()))


def test_an_interrupt_after_one_start_has_converged_is_no_convergence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(line: str) -> None:
        if line == "Initialization 1":
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", interrupted)
    model = PyroGaussianMixture(3, verbose=1, n_init=2, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(clusters())
    assert not model.converged_
    assert np.isfinite(model.score(clusters()))


def test_no_convergence_is_said() -> None:
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        PyroGaussianMixture(3, max_iter=1, random_state=0).fit(clusters())
    with pytest.warns(ConvergenceWarning, match=r"step limit.*\(after 1 step\)"):
        PyroGaussianMixture(3, method="kmeans", max_iter=1, random_state=0).fit(clusters())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_components": 0}, "'n_components' parameter of PyroGaussianMixture must be an int"),
        ({"covariance_type": "round"}, "'covariance_type' parameter"),
        ({"method": "emm"}, "'method' parameter"),
        ({"priors": "flat"}, "'priors' parameter"),
        ({"init_params": "hierarchical"}, "'init_params' parameter"),
        ({"method_options": {"seed": 3}}, "method_options are for other methods than 'em'"),
        ({"search": "best"}, "'search' parameter .* {'(starts|moves|thorough)', .*} or None"),
        ({"method": "map", "method_options": {"sed": 3}}, "did you mean 'seed'"),
        ({"n_components": 500}, "Expected n_samples >= n_components"),
        ({"means_init": [[1.0, 2.0, 3.0]]}, r"'means' should have the shape of \(1, 2\)"),
        ({"weights_init": [[1.0]]}, r"'weights' should have the shape of \(1,\)"),
        ({"precisions_init": [[[1.0, 2.0], [2.0, 1.0]]]}, "symmetric, positive-definite"),
        (
            {"covariance_type": "tied_diag", "precisions_init": [1.0, -1.0]},
            "'tied_diag precision' should be positive",
        ),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PyroGaussianMixture(**arguments).fit(clusters())


def test_what_needs_a_fit_says_so() -> None:
    for call in ("predict", "predict_proba", "score_samples", "score", "bic", "aic"):
        with pytest.raises(NotFittedError, match="This PyroGaussianMixture instance"):
            getattr(PyroGaussianMixture(), call)(IRIS)
    with pytest.raises(NotFittedError):
        PyroGaussianMixture().to_arviz()
    with pytest.raises(NotFittedError):
        check_is_fitted(PyroGaussianMixture())
