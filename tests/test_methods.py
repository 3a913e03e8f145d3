"""The table of methods: what a row says its method can do is what it does."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

import gmm_pyro as gp
from gmm_pyro.inference import METHODS
from oracles import clusters
from runs import BRIEF, THROUGH_PYRO, TWO, brief, every_method

X = clusters().x
pytestmark = pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning")


@cache
def fitted(method: str) -> gp.Fit:
    return brief(method, X)


@every_method
def test_it_has_draws_if_it_says_so(method: str) -> None:
    assert (fitted(method).posterior is not None) == METHODS[method].draws


@every_method
def test_exact_samplers_are_those_whose_chains_are_judged(method: str) -> None:
    assert ("r_hat" in fitted(method).diagnostics) == METHODS[method].exact


@every_method
def test_it_takes_weights_if_it_says_so(method: str) -> None:
    weight = np.linspace(1, 2, len(X))
    if METHODS[method].weights:
        found = brief(method, X, sample_weight=weight).observations
        assert found.total_weight == pytest.approx(weight.sum())
    else:
        with pytest.raises(ValueError, match="takes no sample_weight"):
            brief(method, X, sample_weight=weight)


@every_method
def test_it_needs_a_conjugate_prior_if_it_says_so(method: str) -> None:
    model = gp.MixtureModel(2, priors=gp.Priors())
    if METHODS[method].conjugate:
        with pytest.raises(ValueError, match="needs a conjugate prior"):
            brief(method, X, model)
    else:
        brief(method, X, model)


@every_method
def test_it_takes_minibatches_if_it_says_so(method: str) -> None:
    known = {field.name for field in dataclasses.fields(METHODS[method].options)}
    assert ("batch_size" in known) == METHODS[method].minibatches
    assert ("n_draws" in known) == METHODS[method].draws
    assert not known & {"engine", "sample_weight", "dtype", "device"}


def test_what_is_floored_ends_above_the_floor() -> None:
    """A tight cluster: no eigenvalue of a floored method's covariances is below the floor."""
    x = np.r_[np.random.default_rng(0).normal(size=(40, 1)), np.full((10, 1), 9.0)]
    floor = 1e-3 * x.var()
    for name in (name for name, row in METHODS.items() if row.floored):
        found = gp.fit(TWO, x, name, covariance_floor=1e-3)
        assert float(found.mixture.covariances.min()) >= floor * (1 - 1e-9)


@pytest.mark.parametrize("name", THROUGH_PYRO)
def test_an_engine_means_the_row_through_pyro(name: str) -> None:
    method, _, engine = name.partition(":")
    same = gp.fit(TWO, X, method, engine=engine, **BRIEF[name])
    assert same.method == name
    assert same.mixture.means.equal(fitted(name).mixture.means)
    assert brief(method, X, engine="collapsed").method == method


@pytest.mark.parametrize("method", ["map", "svi", "nuts"])
def test_an_engine_that_there_is_not_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="engine must be one of collapsed, enumerated; got 'jax'"):
        gp.fit(TWO, X, method, engine="jax")


def test_methods_without_an_engine_have_no_such_option() -> None:
    for name in ("em", "map:enumerated"):
        with pytest.raises(gp.OptionError, match=f"method '{name}' has no option 'engine'"):
            gp.fit(TWO, X, name, engine="enumerated")
