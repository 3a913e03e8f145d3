"""The table of methods: what a row says its method can do is what it does."""

from __future__ import annotations

import dataclasses
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import gmm_pyro as gp
from gmm_pyro.inference import METHODS
from oracles import clusters

X = clusters().x
SHORT: dict[str, dict[str, Any]] = {
    "nuts": {"n_chains": 2, "n_draws": 4, "n_warmup": 4, "max_tree_depth": 2},
    "gibbs": {"n_draws": 20, "n_warmup": 10},
    "svi": {"n_draws": 8},
    "laplace": {"n_draws": 8},
    "map:enumerated": {"max_steps": 10},
    "svi:enumerated": {"max_steps": 10, "n_draws": 4},
    "nuts:enumerated": {"n_chains": 1, "n_draws": 2, "n_warmup": 2, "max_tree_depth": 2},
}
every_method = pytest.mark.parametrize("name", METHODS)
pytestmark = pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning")


@cache
def fitted(name: str) -> gp.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gp.FitWarning)
        return gp.fit(gp.MixtureModel(2), X, name, **SHORT.get(name, {}))


@every_method
def test_it_has_draws_if_it_says_so(name: str) -> None:
    assert (fitted(name).posterior is not None) == METHODS[name].draws


@every_method
def test_exact_samplers_are_those_whose_chains_are_judged(name: str) -> None:
    assert ("r_hat" in fitted(name).diagnostics) == METHODS[name].exact


@every_method
def test_it_takes_weights_if_it_says_so(name: str) -> None:
    weight = np.linspace(1, 2, len(X))
    if METHODS[name].weights:
        found = gp.fit(
            gp.MixtureModel(2), X, name, sample_weight=weight, **SHORT.get(name, {})
        ).observations
        assert found.total_weight == pytest.approx(weight.sum())
    else:
        with pytest.raises(ValueError, match="takes no sample_weight"):
            gp.fit(gp.MixtureModel(2), X, name, sample_weight=weight)


@every_method
def test_it_needs_a_conjugate_prior_if_it_says_so(name: str) -> None:
    model = gp.MixtureModel(2, priors=gp.Priors())
    if METHODS[name].conjugate:
        with pytest.raises(ValueError, match="needs a conjugate prior"):
            gp.fit(model, X, name)
    else:
        gp.fit(model, X, name, **SHORT.get(name, {}))


@every_method
def test_it_takes_minibatches_if_it_says_so(name: str) -> None:
    known = {field.name for field in dataclasses.fields(METHODS[name].options)}
    assert ("batch_size" in known) == METHODS[name].minibatches
    assert ("n_draws" in known) == METHODS[name].draws
    assert not known & {"engine", "sample_weight", "dtype", "device"}


def test_what_is_floored_ends_above_the_floor() -> None:
    """A tight cluster: no eigenvalue of a floored method's covariances is below the floor."""
    x = np.r_[np.random.default_rng(0).normal(size=(40, 1)), np.full((10, 1), 9.0)]
    floor = 1e-3 * x.var()
    for name in (name for name, row in METHODS.items() if row.floored):
        found = gp.fit(gp.MixtureModel(2), x, name, covariance_floor=1e-3)
        assert float(found.mixture.covariances.min()) >= floor * (1 - 1e-9)


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.through_pyro])
def test_an_engine_means_the_row_through_pyro(name: str) -> None:
    method, _, engine = name.partition(":")
    same = gp.fit(gp.MixtureModel(2), X, method, engine=engine, **SHORT[name])
    assert same.method == name
    assert same.mixture.means.equal(fitted(name).mixture.means)
    ours = gp.fit(gp.MixtureModel(2), X, method, engine="collapsed", **SHORT.get(method, {}))
    assert ours.method == method


@pytest.mark.parametrize("method", ["map", "svi", "nuts"])
def test_an_engine_that_there_is_not_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="engine must be one of collapsed, enumerated; got 'jax'"):
        gp.fit(gp.MixtureModel(2), X, method, engine="jax")


def test_methods_without_an_engine_have_no_such_option() -> None:
    for name in ("em", "map:enumerated"):
        with pytest.raises(gp.OptionError, match=f"method '{name}' has no option 'engine'"):
            gp.fit(gp.MixtureModel(2), X, name, engine="enumerated")
