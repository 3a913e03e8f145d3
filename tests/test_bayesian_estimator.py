"""Claims about `PyroBayesianGaussianMixture`: scikit-learn's numbers, with a bound that is one.

scikit-learn holds it to its word, and sums over all partitions of a few points the bound.
"""

from __future__ import annotations

import inspect
import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln, multigammaln
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import BayesianGaussianMixture
from sklearn.utils.estimator_checks import check_estimator

import gmm_pyro as gp
from gmm_pyro.estimator import PyroBayesianGaussianMixture
from theirs import run_theirs

FOUR = ("full", "tied", "diag", "spherical")
STICKS, DIRICHLET = KINDS = ("dirichlet_process", "dirichlet_distribution")
BOTH = (BayesianGaussianMixture, PyroBayesianGaussianMixture)
every_type = pytest.mark.parametrize("covariance_type", FOUR)
every_kind = pytest.mark.parametrize("kind", KINDS)
FOUND = (
    *("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"),
    *("weight_concentration_", "mean_precision_", "degrees_of_freedom_", "mean_prior_"),
    *("covariance_prior_", "degrees_of_freedom_prior_", "mean_precision_prior_"),
    "weight_concentration_prior_",
)


def clusters(n: int = 200, seed: int = 0, d: int = 2) -> np.ndarray:
    """Three overlapping clusters."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0, 1.0], [3.0, 1.0, 0.0], [0.0, 4.0, 2.0]])[:, :d]
    return centres[rng.integers(3, size=n)] + rng.normal(size=(n, d))


def pair(x: np.ndarray, **arguments: Any) -> list[Any]:
    """Theirs and ours, fitted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [estimator(**arguments).fit(x) for estimator in BOTH]


# ---------------------------------------------------------------------- scikit-learn's own tests


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("search", [None, "moves"])
def test_it_passes_the_checks_of_estimators(search: str | None) -> None:
    results = check_estimator(PyroBayesianGaussianMixture(search=search), on_fail=None)
    others = {r["check_name"]: r["status"] for r in results if r["status"] != "passed"}
    assert others == {"check_array_api_input": "skipped"}  # which runs where SciPy is told to
    assert len(results) > 40


PRIVATE = ("test_compare_covar_type",)  # it calls `_check_parameters` and `_initialize_parameters`


@pytest.mark.slow
def test_it_passes_the_tests_of_scikit_learns_mixture(prepared: Path, tmp_path: Path) -> None:
    file, name = "test_bayesian_mixture.py", "BayesianGaussianMixture"
    told = run_theirs(prepared / "python", tmp_path, file, name, PRIVATE)
    assert "passed" in told


@pytest.mark.parametrize("name", inspect.signature(BayesianGaussianMixture.__init__).parameters)
def test_the_constructor_takes_what_scikit_learns_takes(name: str) -> None:
    theirs, ours = (inspect.signature(estimator.__init__).parameters[name] for estimator in BOTH)
    assert (ours.kind, ours.default) == (theirs.kind, theirs.default)


# ---------------------------------------------------------------------- scikit-learn's numbers


@every_type
@every_kind
@pytest.mark.parametrize(
    "more",
    [
        {"init_params": "kmeans", "max_iter": 7},
        {"init_params": "random", "n_init": 3, "reg_covar": 0.01, "tol": 0.1},
        {
            "init_params": "random",
            "max_iter": 40,
            "weight_concentration_prior": 2.5,
            "mean_precision_prior": 0.2,
            "mean_prior": [1.0, -1.0],
            "degrees_of_freedom_prior": 4.5,
        },
    ],
)
def test_the_same_random_state_gives_the_same_numbers(
    covariance_type: str, kind: str, more: dict[str, Any]
) -> None:
    arguments = {"weight_concentration_prior_type": kind, "covariance_type": covariance_type}
    x, new = clusters(), clusters(30, seed=1)
    theirs, ours = pair(x, n_components=5, random_state=1, **arguments, **more)
    assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
    for name in FOUND:
        found, wanted = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=name)
    for method in ("predict", "predict_proba", "score_samples", "score"):
        found, wanted = getattr(ours, method)(new), getattr(theirs, method)(new)
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    for found, wanted in zip(ours.sample(20), theirs.sample(20), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    gap = np.array(ours.lower_bounds_) - np.ravel(theirs.lower_bounds_)
    np.testing.assert_allclose(gap, dropped(ours, len(x)), atol=1e-8)


def dropped(model: Any, n: int) -> float:
    """What scikit-learn leaves out of its bound: normalisers of the prior, and 2π."""
    k, d = model.means_.shape
    alpha, kappa = model.weight_concentration_prior_, model.mean_precision_prior_
    dof, scale = model.degrees_of_freedom_prior_, np.asarray(model.covariance_prior_)
    log_det = np.linalg.slogdet(scale)[1] if scale.ndim == 2 else np.log(scale * np.ones(d)).sum()
    wishart = 0.5 * dof * (d * math.log(2) - log_det) + multigammaln(0.5 * dof, d)
    wishart -= 0.25 * d * (d - 1) * math.log(math.pi)
    if model.weight_concentration_prior_type == STICKS:
        weights = k * math.log(alpha)
    else:
        weights = gammaln(k * alpha) - k * gammaln(alpha)
    half = 0.5 * d * (k * math.log(kappa) - n * math.log(2 * math.pi))
    return float(weights - k * wishart + half)


@every_type
def test_a_prior_of_the_covariances_is_theirs(covariance_type: str) -> None:
    covariance = {"full": [[2.0, 0.5], [0.5, 1.0]], "diag": [2.0, 1.0], "spherical": 1.5}
    covariance["tied"] = covariance["full"]
    given = {"covariance_prior": covariance[covariance_type], "covariance_type": covariance_type}
    theirs, ours = pair(clusters(), n_components=3, random_state=0, **given)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-9)
    np.testing.assert_array_equal(ours.covariance_prior_, theirs.covariance_prior_)


@every_kind
def test_far_and_tight_clusters_keep_their_digits(kind: str) -> None:
    rng = np.random.default_rng(0)
    x = np.repeat([[1e5, 0.0], [1e5, 1e4], [-1e5, 3.0]], 40, axis=0) + rng.normal(size=(120, 2))
    given = {"covariance_prior": np.eye(2), "random_state": 0, "reg_covar": 0.0}
    theirs, ours = pair(x, n_components=3, weight_concentration_prior_type=kind, **given)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-5)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-9)


@every_type
@every_kind
def test_a_warm_start_goes_on_as_theirs(covariance_type: str, kind: str) -> None:
    arguments = {"weight_concentration_prior_type": kind, "covariance_type": covariance_type}
    arguments |= {"n_components": 4, "random_state": 0, "max_iter": 3}
    both = pair(clusters(), warm_start=True, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs, ours = (model.fit(clusters()) for model in both)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-9)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-9)
    assert ours.converged_ == theirs.converged_


def test_a_warm_start_of_another_size_is_refused() -> None:
    model = PyroBayesianGaussianMixture(n_components=3, warm_start=True, random_state=0, tol=10.0)
    model.fit(clusters()).set_params(n_components=2)
    with pytest.raises(ValueError, match="from 3 components"):
        model.fit(clusters())


@every_kind
def test_steps_go_on_from_a_search(kind: str) -> None:
    model = PyroBayesianGaussianMixture(
        n_components=4, warm_start=True, random_state=0, weight_concentration_prior_type=kind
    )
    searched = clone(model).set_params(search="starts").fit(clusters())
    after = searched.set_params(search=None, max_iter=500, tol=1e-7, reg_covar=0.0).fit(clusters())
    np.testing.assert_allclose(after.means_, searched.means_, atol=0.2)
    assert after.converged_


def test_no_steps_leave_the_last_start() -> None:
    arguments: dict[str, Any] = {"max_iter": 0, "n_init": 3, "init_params": "random"}
    theirs, ours = pair(clusters(), n_components=3, random_state=0, **arguments)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-9)
    assert (ours.lower_bound_, ours.lower_bounds_) == (-math.inf, [])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_same_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments: dict[str, Any] = {"verbose": 1, "n_init": 2, "max_iter": 20, "random_state": 0}
    said = []
    for estimator in BOTH:
        estimator(n_components=3, **arguments).fit(clusters())
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"degrees_of_freedom_prior": 1.0},
        {"mean_prior": [1.0, 2.0, 3.0]},
        {"covariance_prior": [[1.0, 0.0]]},
        {"covariance_prior": [[1.0, 2.0], [2.0, 1.0]]},
        {"covariance_type": "tied", "covariance_prior": [[-1.0, 0.0], [0.0, 1.0]]},
        {"covariance_type": "diag", "covariance_prior": [1.0, -1.0]},
    ],
)
def test_what_is_wrong_is_said_in_their_words(wrong: dict[str, Any]) -> None:
    said = []
    for estimator in BOTH:
        with pytest.raises(ValueError, match="should be|should have") as caught:
            estimator(n_components=2, **wrong).fit(clusters())
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n_components": 500}, "Expected n_samples >= n_components"),
        ({"covariance_type": "VEV"}, "'covariance_type' parameter"),
        ({"weight_concentration_prior": 0.0}, "'weight_concentration_prior' parameter"),
        ({"covariance_type": "diag", "covariance_prior": 3.0}, r"shape of \(2,\), but got \(1,\)"),
        ({"covariance_type": "spherical", "covariance_prior": [1.0]}, "covariance_prior must be a"),
        ({"weight_concentration_prior_type": "stick"}, "'weight_concentration_prior_type' param"),
        ({"method_options": {"n_draws": 3}}, "method_options are for a search"),
        ({"search": "moves", "method_options": {"ndraws": 3}}, "did you mean 'n_draws'"),
    ],
)
def test_bad_arguments_are_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PyroBayesianGaussianMixture(**wrong).fit(clusters())


def test_no_convergence_is_said_in_their_words() -> None:
    with pytest.warns(ConvergenceWarning, match="Best performing initialization did not converge"):
        PyroBayesianGaussianMixture(n_components=3, max_iter=1, random_state=0).fit(clusters())


def test_what_needs_a_fit_says_so() -> None:
    for call in ("predict", "predict_proba", "score_samples", "score"):
        with pytest.raises(NotFittedError, match="This PyroBayesianGaussianMixture instance"):
            getattr(PyroBayesianGaussianMixture(), call)(clusters())


# ---------------------------------------------------------------------- the bound


def partitions(n: int) -> Iterator[list[list[int]]]:
    """All partitions of n things."""
    if n == 0:
        yield []
        return
    for blocks in partitions(n - 1):
        yield [*blocks, [n - 1]]
        for i in range(len(blocks)):
            yield [*blocks[:i], [*blocks[i], n - 1], *blocks[i + 1 :]]


def of_block(x: np.ndarray, mean: Any, kappa: float, dof: float, scale: np.ndarray) -> float:
    """Log evidence of points of one component (Murphy 2007, equation 266)."""
    n, d = x.shape
    centre, strength, freedom = x.mean(0), kappa + n, dof + n
    away = centre - mean
    after = scale + (x - centre).T @ (x - centre) + kappa * n / strength * np.outer(away, away)
    volumes = dof * np.linalg.slogdet(scale)[1] - freedom * np.linalg.slogdet(after)[1]
    found = multigammaln(0.5 * freedom, d) - multigammaln(0.5 * dof, d) + 0.5 * volumes
    return float(found + 0.5 * d * math.log(kappa / strength) - 0.5 * n * d * math.log(math.pi))


def process(alpha: float, sizes: np.ndarray) -> float:
    """Log probability of a partition under a Dirichlet process without an end (Antoniak 1974)."""
    blocks = len(sizes) * math.log(alpha) + gammaln(sizes).sum()
    return float(blocks + gammaln(alpha) - gammaln(alpha + sizes.sum()))


def finite(alpha: float, k: int, sizes: np.ndarray) -> float:
    """The same of k components with Dirichlet weights."""
    if len(sizes) > k:
        return -math.inf
    ways = gammaln(k + 1) - gammaln(k - len(sizes) + 1)
    total = gammaln(k * alpha) - gammaln(k * alpha + sizes.sum())
    return float(ways + total + (gammaln(alpha + sizes) - gammaln(alpha)).sum())


def evidence(model: Any, x: np.ndarray, log_prior: Callable[[np.ndarray], float]) -> float:
    """log p(x) of a mixture of full covariances, over all partitions."""
    d = x.shape[1]
    scale = np.asarray(model.covariance_prior_, dtype=float)
    scale = scale if scale.ndim == 2 else scale * np.eye(d)
    prior = (model.mean_prior_, model.mean_precision_prior_, model.degrees_of_freedom_prior_, scale)
    terms = [
        log_prior(np.array([len(block) for block in blocks]))
        + sum(of_block(x[block], *prior) for block in blocks)
        for blocks in partitions(len(x))
    ]
    return float(np.logaddexp.reduce(terms))


@every_type
@every_kind
def test_it_is_below_the_evidence_of_a_mixture_of_full_covariances(
    covariance_type: str, kind: str
) -> None:
    k, alpha, gaps = 3, 0.4, []
    for seed in range(2):
        x = np.random.default_rng(seed).normal(size=(6, 2)) + [[0, 0], [5, 0]] * 3
        model = PyroBayesianGaussianMixture(
            n_components=k,
            covariance_type=covariance_type,
            weight_concentration_prior_type=kind,
            weight_concentration_prior=alpha,
            random_state=seed,
            init_params="random",
            max_iter=500,
            tol=1e-9,
        ).fit(x)
        log_prior = (
            (lambda sizes: process(alpha, sizes))
            if kind == STICKS
            else (lambda sizes: finite(alpha, k, sizes))
        )
        gaps.append(evidence(model, x, log_prior) - np.array(model.lower_bounds_))
    assert min(gap.min() for gap in gaps) > 0
    assert min(gap[-1] for gap in gaps) < 6  # it says something


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("kind", KINDS)
def test_of_one_component_it_is_the_evidence(covariance_type: str, kind: str) -> None:
    x = clusters(7, seed=3)
    model = PyroBayesianGaussianMixture(
        covariance_type=covariance_type, weight_concentration_prior_type=kind, reg_covar=0.0
    ).fit(x)
    prior = (model.mean_prior_, model.mean_precision_prior_, model.degrees_of_freedom_prior_)
    exact = of_block(x, *prior, model.covariance_prior_)
    if kind == STICKS:  # q says that no point is beyond the first component
        exact += gammaln(2.0) + gammaln(7.0 + 1) - gammaln(7.0 + 2)
    assert model.lower_bound_ == pytest.approx(exact, abs=1e-9)


@every_type
@every_kind
def test_no_step_lowers_it(covariance_type: str, kind: str) -> None:
    model = PyroBayesianGaussianMixture(
        n_components=6,
        covariance_type=covariance_type,
        weight_concentration_prior_type=kind,
        **{"reg_covar": 0.0, "tol": 1e-8, "max_iter": 1000, "random_state": 0},
    ).fit(clusters())
    assert np.diff(model.lower_bounds_).min() > -1e-9
    assert model.lower_bound_ == model.lower_bounds_[-1] == model.fit_.objective


@every_kind
def test_a_weight_stands_for_equal_points(kind: str) -> None:
    x, rng = clusters(60), np.random.default_rng(2)
    weight = rng.integers(0, 4, size=60)
    arguments = {"n_components": 3, "weight_concentration_prior_type": kind, "random_state": 0}
    model = PyroBayesianGaussianMixture(max_iter=500, tol=1e-8, **arguments)
    weighted = clone(model).fit(x, sample_weight=weight)
    repeated = clone(model).fit(np.repeat(x, weight, axis=0))
    np.testing.assert_allclose(weighted.covariance_prior_, repeated.covariance_prior_)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-6)
    assert weighted.score(x, sample_weight=weight) == pytest.approx(
        repeated.score(np.repeat(x, weight, axis=0)), abs=1e-6
    )
    with pytest.raises(ValueError, match="sum to more than one point"):
        clone(model).fit(x, sample_weight=np.full(60, 1 / 60))


@every_type
def test_a_constant_column_is_held_up_by_the_ridge(covariance_type: str) -> None:
    x = np.column_stack([clusters()[:, 0], np.full(200, 7.0)])
    arguments = {"n_components": 2, "covariance_type": covariance_type, "random_state": 0}
    theirs, ours = pair(x, **arguments)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-6)
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    assert math.isfinite(ours.lower_bound_)
    if covariance_type != "spherical":  # whose one variance is that of the other column
        with pytest.raises(ValueError, match="covariance that is singular"):
            PyroBayesianGaussianMixture(**arguments, reg_covar=0.0).fit(x)


# ---------------------------------------------------------------------- a search


@every_type
def test_a_search_is_that_of_gmm_pyro(covariance_type: str) -> None:
    x, k, d = clusters(90), 4, 2
    model = PyroBayesianGaussianMixture(
        n_components=k,
        covariance_type=covariance_type,
        weight_concentration_prior_type=DIRICHLET,
        search="starts",
        method_options={"seed": 5, "n_draws": 10},
    ).fit(x)
    squares = d if covariance_type == "spherical" else 1
    priors = gp.ConjugatePriors(
        concentration=1 / k,
        mean=x.mean(0),
        mean_strength=1.0,
        dof=d * squares,
        scale=np.cov(x.T) if covariance_type in ("full", "tied") else model.covariance_prior_,
    )
    fit = gp.fit(
        *(gp.MixtureModel(k, covariance_type, priors=priors), x, "vb"),
        **{"search": "starts", "seed": 5, "n_draws": 10},
    )
    assert model.lower_bound_ == pytest.approx(fit.objective, abs=1e-9)
    weights, means = fit.mixture.weights.numpy(), fit.variational.mean.numpy()
    ours, theirs = (w.argsort() for w in (model.weights_, weights))
    np.testing.assert_allclose(model.weights_[ours], weights[theirs], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.means_[ours], means[theirs], rtol=1e-6, atol=1e-9)


@every_kind
def test_a_search_comes_no_lower_under_the_same_prior(kind: str) -> None:
    given = {"n_components": 5, "weight_concentration_prior_type": kind, "random_state": 1}
    model = PyroBayesianGaussianMixture(reg_covar=0.0, tol=1e-7, max_iter=2000, **given)
    steps = model.fit(clusters(80, seed=1)).lower_bound_
    found = clone(model).set_params(search="moves", tol=1e-3, max_iter=100)
    assert found.fit(clusters(80, seed=1)).lower_bound_ >= steps - 1e-4


def test_a_search_is_below_the_evidence_of_the_process() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2)) + [[0, 0], [5, 0]] * 3
    model = PyroBayesianGaussianMixture(
        n_components=3, weight_concentration_prior=0.4, search="starts", random_state=0
    ).fit(x)
    gap = evidence(model, x, lambda sizes: process(0.4, sizes)) - np.array(model.lower_bounds_)
    assert gap.min() > 0
    assert gap[-1] < 4


def test_surplus_components_are_emptied_and_nothing_warns() -> None:
    rng, k = np.random.default_rng(0), 8
    x = np.repeat([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]], 1000, axis=0) + rng.normal(size=(3000, 2))
    given = {"n_components": k, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = PyroBayesianGaussianMixture(search="moves", **given).fit(x)
    assert model.fit_.diagnostics["filled_components"] == 3
    assert len(set(model.predict(x))) == 3
    assert model.fit_.diagnostics["problems"] == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = BayesianGaussianMixture(**given).fit(x)
    assert len(set(theirs.predict(x))) == k  # its issue 7729


@every_type
@every_kind
def test_predictions_of_a_search_are_those_of_its_own_factors(
    covariance_type: str, kind: str
) -> None:
    x = clusters(90)
    model = PyroBayesianGaussianMixture(
        n_components=4,
        covariance_type=covariance_type,
        weight_concentration_prior_type=kind,
        **{"search": "starts", "random_state": 0},
    ).fit(x)
    counts = model.predict_proba(x).sum(0)
    np.testing.assert_allclose(counts, model.fit_.variational.counts, atol=0.01)
    np.testing.assert_allclose(counts, model.mean_precision_ - 1.0, atol=0.01)
    freedom = counts.mean() if covariance_type == "tied" else counts
    points = freedom * (4 if covariance_type == "tied" else 1) + 2
    np.testing.assert_allclose(model.degrees_of_freedom_, points, atol=0.01)


# ---------------------------------------------------------------------- in company


@every_kind
def test_full_covariances_have_draws_of_the_same_means(kind: str) -> None:
    x = pd.DataFrame(clusters(), columns=["length", "width"])
    given = {"n_components": 3, "weight_concentration_prior_type": kind, "random_state": 0}
    model = PyroBayesianGaussianMixture(**given, tol=0.1).fit(x)
    draws = model.fit_.posterior.draws
    assert model.feature_names_in_.tolist() == ["length", "width"]
    for name, wanted in (("means", model.means_), ("weights", model.weights_)):
        found = draws[name][0].numpy()
        error = 5 * found.std(0) / math.sqrt(len(found))  # fails once in 100,000
        assert (np.abs(found.mean(0) - wanted) < error + 1e-3).all()
    tied = PyroBayesianGaussianMixture(**given, covariance_type="tied", tol=5.0).fit(x)
    assert tied.fit_.posterior is None
    with pytest.raises(ValueError, match="draws"):
        tied.to_arviz()


@pytest.mark.parametrize("search", [None, "starts"])
@every_kind
def test_copies_and_pickles_predict_the_same(kind: str, search: str | None) -> None:
    given = {"n_components": 3, "weight_concentration_prior_type": kind, "search": search}
    model = PyroBayesianGaussianMixture(**given, tol=0.5, random_state=0).fit(clusters())
    again, new = pickle.loads(pickle.dumps(model)), clusters(40, seed=1)
    np.testing.assert_array_equal(again.predict_proba(new), model.predict_proba(new))
    assert again.lower_bound_ == model.lower_bound_
    with pytest.raises(ValueError, match="data"):
        again.fit_.labels  # noqa: B018 - it asks for the data


def test_attributes_that_are_changed_count() -> None:
    theirs, ours = pair(clusters(), n_components=3, random_state=0)
    for model in (theirs, ours):
        model.means_ = model.means_ + [1.0, 0.0]
    np.testing.assert_allclose(ours.score_samples(clusters()), theirs.score_samples(clusters()))


def test_an_interrupt_leaves_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(line: str) -> None:
        if "Iteration 3" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", interrupted)
    model = PyroBayesianGaussianMixture(
        n_components=3, verbose=1, verbose_interval=1, tol=0, random_state=0
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(clusters())
    assert (model.n_iter_, model.converged_) == (3, False)
    assert np.isfinite(model.score(clusters()))
