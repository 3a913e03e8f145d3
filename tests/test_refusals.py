"""What is easily got wrong is refused in one line that says what was expected and what came."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from sklearn.mixture import GaussianMixture as Sklearn

import gmm_pyro as gp
from gmm_pyro import metrics
from gmm_pyro.estimator import PyroGaussianMixture
from gmm_pyro.saved_fit import load_fit, predict, save_fit

X = np.random.default_rng(0).normal(size=(40, 2)) + 5 * np.repeat([[0.0], [1.0]], 20, axis=0)
LABELS = np.repeat([0, 1], 20)
MODEL = gp.MixtureModel(2)
FIT = gp.fit(MODEL, X)
MIXTURE = FIT.mixture
WIDE = gp.GaussianMixture([0.5, 0.5], np.eye(2, 3), np.stack([np.eye(3)] * 2))
THREE = gp.GaussianMixture([0.2, 0.3, 0.5], np.eye(3, 2), np.stack([np.eye(2)] * 3))
CONCRETE = gp.MixtureModel(1, priors=gp.ConjugatePriors(mean=0.0, spread=torch.ones(1)))


def fitted(method: str = "em", **options: Any) -> Callable[[], Any]:
    return lambda: gp.fit(MODEL, X, method, **options)


def with_priors(method: str = "map", **priors: Any) -> Callable[[], Any]:
    return lambda: gp.fit(gp.MixtureModel(2, priors=gp.Priors(**priors)), X, method)


def conjugate(**numbers: Any) -> Callable[[], Any]:
    model = lambda: gp.MixtureModel(2, priors=gp.ConjugatePriors(**numbers))  # noqa: E731
    return lambda: gp.fit(model(), X, "gibbs", n_draws=2, n_warmup=0)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "start of more components": (
        fitted(start=THREE),
        "start must have 2 components in 2 dimensions, got 3 in 2",
    ),
    "k-means' start of more components": (
        fitted("kmeans", start=THREE),
        "start must have 2 components in 2 dimensions, got 3 in 2",
    ),
    "k-means' start of more features": (
        fitted("kmeans", start=WIDE),
        "start must have 2 components in 2 dimensions, got 2 in 3",
    ),
    "start is a fit": (
        fitted(start=FIT),
        "start must be a name, a GaussianMixture or 40 labels, got Fit: pass its .mixture",
    ),
    "start of ragged labels": (fitted(start=[[1], [1, 2]]), "start must be a rectangular array"),
    "start of labels that are not numbers": (
        fitted(start=[float("nan")] * 40),
        "start must be numbers or words, one a point; got NaN",
    ),
    "priors of lists": (
        with_priors(means=[0.0, 1.0]),
        "the prior of means must be a Pyro distribution, got [0.0, 1.0]",
    ),
    "a prior that is a class": (
        with_priors(means=dist.Normal),
        "the prior of means must be a Pyro distribution, got <class",
    ),
    "a location of another length": (
        with_priors(location=[0.0, 1.0, 2.0]),
        "location must have shape (2,) as spread has, got (3,)",
    ),
    "a spread that is negative": (with_priors(spread=[1.0, -1.0]), "spread must be positive, got"),
    "a spread that is one number": (
        with_priors(spread=1.0),
        "spread must have shape (d,), one number a feature, got ()",
    ),
    "a location of words": (
        with_priors(location=["a", "b"]),
        "location must hold real numbers, got strings",
    ),
    "concentrations of another length": (
        conjugate(concentration=[1.0, 2.0, 3.0]),
        "concentration must be one number or 2 of them, got shape (3,)",
    ),
    "words for a concentration": (
        conjugate(concentration="two"),
        "concentration must hold real numbers, got strings",
    ),
    "a negative scale of the means": (
        conjugate(mean_scale=[-1.0, 1.0]),
        "mean_scale must be positive, got [-1.0, 1.0]",
    ),
    "a spread of a conjugate prior": (conjugate(spread=0), "spread must have shape (d,)"),
    "a list of families": (
        lambda: gp.MixtureModel(2, covariance=["full"]),  # type: ignore[arg-type]
        "covariance must be one of full, tied",
    ),
    "components of two kinds": (
        lambda: gp.MixtureModel(np.array([1, 2])),  # type: ignore[arg-type]
        "n_components must be an integer of at least 1, got array([1, 2])",
    ),
    "several models": (
        lambda: gp.compare([MODEL], X),  # type: ignore[arg-type]
        "model must be a gmm_pyro.MixtureModel, got list",
    ),
    "no methods": (lambda: gp.compare(MODEL, X, None), "methods must be a list of names, got None"),
    "methods that are numbers": (
        lambda: gp.compare(MODEL, X, [1]),  # type: ignore[list-item]
        "methods must hold names of methods, got 1",
    ),
    "options that are a number": (
        lambda: gp.compare(MODEL, X, ["em"], options=5),  # type: ignore[arg-type]
        "options must be a dictionary of options by the name of the method, got 5",
    ),
    "options of a method that are a number": (
        lambda: gp.compare(MODEL, X, ["em"], options={"em": 5}),  # type: ignore[dict-item]
        "options of 'em' must be a dictionary of values by name, got 5",
    ),
    "a comparison's seed": (
        lambda: gp.compare(MODEL, X, ["em"], seed=-1),
        "seed must be an integer of at least 0, got -1",
    ),
    "a score of a fit": (
        lambda: metrics.bic(FIT, X),
        "mixture must be a gmm_pyro.GaussianMixture, got Fit: pass its .mixture",
    ),
    "a score of an estimator": (
        lambda: metrics.kl_divergence(MIXTURE, PyroGaussianMixture(2, random_state=0).fit(X)),
        "mixture must be a gmm_pyro.GaussianMixture, got PyroGaussianMixture: pass its .fit_.mix",
    ),
    "labels that are not numbers": (
        lambda: metrics.adjusted_rand([0.0, float("nan")], [0, 1]),
        "labels must be numbers or words, one a point; got NaN",
    ),
    "labels of two kinds": (
        lambda: metrics.accuracy([0, 1], [0, "a", None][1:]),
        "predicted must be numbers or words, one a point; got objects",
    ),
    "no points": (lambda: MIXTURE.sample(0), "n must be an integer of at least 1, got 0"),
    "half a point": (lambda: MIXTURE.sample(2.5), "n must be an integer of at least 1, got 2.5"),
    "a seed of None": (lambda: MIXTURE.sample(2, seed=None), "seed must be an integer of at least"),
    "a seed with decimals": (lambda: MIXTURE.sample(2, seed=1.0), "seed must be an integer of at"),
    "a huge seed": (
        fitted("kmeans", seed=2**70),
        "seed must be an integer from 0 to 9223372036854775807, got 1180591620717411303424",
    ),
    "a huge seed of NumPy's old generator": (
        lambda: gp.datasets.three_clusters(2**32),
        "seed must be an integer from 0 to 4294967295, got 4294967296",
    ),
    "a test without functions": (
        lambda: gp.calibration.geweke(CONCRETE, quantities={}),
        "quantities must hold at least one function, got none",
    ),
    "a test of a word": (
        lambda: gp.calibration.geweke(CONCRETE, sweep="gibbs"),  # type: ignore[arg-type]
        "sweep must be a function, got 'gibbs'",
    ),
    "weights of a program": (
        lambda: MODEL(X, sample_weight=np.ones(3)),
        "sample_weight must have shape (40,), got (3,)",
    ),
    "more rows than points": (
        lambda: MODEL(X, subsample_size=41),
        "subsample_size must be an integer from 1 to 40, got 41",
    ),
    "vectors of another length": (
        lambda: MODEL.log_density(X)(torch.zeros(1, 3)),
        "vector must be a tensor of shape (s, 11), got (1, 3)",
    ),
    "an array in a layer": (
        lambda: gp.MixtureModule(MIXTURE)(X),
        "x must be a tensor of shape (n, 2), got array",
    ),
    "columns of two names": (
        lambda: gp.GaussianMixture([1.0], [[0.0, 0.0]], [1.0], "spherical", "ab"),
        "feature_names must be a list of 2 names, got 'ab'",
    ),
    "a mixture of words": (
        lambda: gp.GaussianMixture(["a"], [[0.0]], [1.0], "spherical"),
        "weights must hold real numbers, got strings",
    ),
    "a folder of a number": (lambda: save_fit(FIT, 5), "folder must be the name of a place, or a"),
    "a mixture as a fit": (
        lambda: save_fit(MIXTURE, "fit"),  # type: ignore[arg-type]
        "fit must be a gmm_pyro.Fit, got GaussianMixture",
    ),
    "a prediction of a fit": (
        lambda: predict(FIT, X),  # type: ignore[arg-type]
        "source must be a gmm_pyro.GaussianMixture, got Fit: pass its .mixture",
    ),
    "a saved fit of a number": (lambda: load_fit(5), "path must be the name of a place, or a path"),
    "a file of a number": (lambda: MIXTURE.save(5), "path must be the name of a place, or a path"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_a_mistake_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        call()


# ---------------------------------------------------------------------- what is no mistake


@pytest.mark.parametrize("method", ["kmeans", "em"])
def test_words_are_labels_to_start_from(method: str) -> None:
    words = np.where(LABELS, "b", "a")
    fits = [gp.fit(MODEL, X, method, start=start) for start in (words.tolist(), LABELS)]
    assert torch.equal(fits[0].mixture.means, fits[1].mixture.means)


def test_words_are_labels_to_score() -> None:
    words = np.where(LABELS, "b", "a")
    assert metrics.adjusted_rand(words, LABELS) == metrics.accuracy(LABELS, words.tolist()) == 1.0


def test_a_location_and_a_spread_may_be_lists() -> None:
    given = [
        gp.Priors(location=location, spread=[1.0, 2.0])
        for location in ([0.0, 1.0], torch.tensor([0.0, 1.0], dtype=torch.float64))
    ]
    values = [prior.scaled_to(X).sites(MODEL.family, 2)["means"].mean for prior in given]
    assert torch.equal(*values)
    assert values[0].tolist() == [[0.0, 1.0]] * 2


@pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning")
@pytest.mark.parametrize("method", ["kmeans", "map", "gibbs"])
def test_numbers_of_other_libraries_are_python_s(method: str) -> None:
    quick = {"n_draws": np.int16(4), "n_warmup": torch.tensor(2)} if method == "gibbs" else {}
    options = {"seed": np.array(3), "n_starts": torch.tensor(1), "tolerance": np.float32(0.25)}
    fit = gp.fit(gp.MixtureModel(torch.tensor(1)), X, method, **options, **quick)  # type: ignore[arg-type]
    assert (fit.seed, fit.options.n_starts, fit.options.tolerance) == (3, 1, 0.25)
    assert {type(fit.seed), type(fit.options.n_starts), type(fit.model.n_components)} == {int}


@pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning")
@pytest.mark.parametrize("n_warmup", [0, 1, 4, 6])
def test_one_chain_may_be_as_short_as_it_likes(n_warmup: int) -> None:
    """A metric can be learned of a single draw."""
    fit = gp.fit(MODEL, X, "nuts", n_chains=1, n_draws=2, n_warmup=n_warmup, max_tree_depth=3)
    assert all(values.isfinite().all() for values in fit.posterior.draws.values())


def test_a_seed_beyond_numpy_s_is_one_for_k_means() -> None:
    fits = [gp.fit(MODEL, X, "kmeans", seed=seed) for seed in (2**40 + 5, 2**40 + 5)]
    assert fits[0].seed == 2**40 + 5
    assert torch.equal(fits[0].mixture.means, fits[1].mixture.means)


class TestWarmStart:
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_goes_on_in_another_family(self) -> None:
        """Five steps are those of scikit-learn's EM from the variances of the first fit."""
        first = PyroGaussianMixture(2, random_state=0).fit(X)
        theirs = Sklearn(
            2,
            covariance_type="diag",
            weights_init=first.weights_,
            means_init=first.means_,
            precisions_init=1 / np.diagonal(first.covariances_, axis1=1, axis2=2),
            tol=0.0,
            max_iter=5,
        ).fit(X)
        again = {"covariance_type": "diag", "warm_start": True, "tol": 0.0, "max_iter": 5}
        ours = first.set_params(**again).fit(X)
        np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-9)
        np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-9)

    def test_before_it_the_fit_is_that_of_the_old_family(self) -> None:
        model = PyroGaussianMixture(2, random_state=0).fit(X)
        before = model.sample(5)[0]
        after = model.set_params(covariance_type="diag").sample(5)[0]
        np.testing.assert_array_equal(before, after)

    @pytest.mark.parametrize("method", ["em", "map"])
    def test_with_more_components_is_refused(self, method: str) -> None:
        model = PyroGaussianMixture(2, method=method, warm_start=True, random_state=0).fit(X)
        message = "warm_start goes on from 2 components in 2 dimensions, and n_components and X now"
        with pytest.raises(ValueError, match=message):
            model.set_params(n_components=3).fit(X)
