"""Points and observations that are checked once and passed on, and what is known of absent ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.data import observations
from gmm_pyro.data.observations import as_points, observe
from gmm_pyro.data.points import LeftOut
from oracles import clusters

NAMES = ("height", "width")
X = np.random.default_rng(4).normal(size=(40, 2)) + np.arange(40)[:, None] % 2 * 5
WEIGHT = np.linspace(0.5, 2.0, 40)
FRAME = pd.DataFrame(X, columns=list(NAMES))


@pytest.fixture
def coerced(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Everything that is made an array from now on."""
    seen: list[Any] = []
    original = observations.to_numeric

    def counted(x: Any, *arguments: Any) -> Any:
        seen.append(x)
        return original(x, *arguments)

    monkeypatch.setattr(observations, "to_numeric", counted)
    return seen


@pytest.mark.parametrize("method", ["kmeans", "em", "gradient", "map", "laplace", "svi", "gibbs"])
def test_a_fit_coerces_its_data_once(method: str, coerced: list[Any]) -> None:
    found = gp.fit(gp.MixtureModel(2), FRAME, method)
    assert len(coerced) == 1
    assert coerced[0] is FRAME
    assert found.observations.feature_names == NAMES


def test_a_comparison_observes_its_data_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And checks those that are held out once, whatever the number of methods."""
    seen: dict[str, int] = {"observe": 0, "points": 0}

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            seen[name] += 1
            return call(*arguments, **options)

        return counted

    monkeypatch.setattr("gmm_pyro.comparison.run._rehearse", lambda entry: None)
    for module in ("comparison.run", "inference.fit"):
        monkeypatch.setattr(
            sys.modules[f"gmm_pyro.{module}"], "observe", counting("observe", observe)
        )
    for module in ("comparison.sample", "datasets.dataset"):
        monkeypatch.setattr(f"gmm_pyro.{module}.as_points", counting("points", as_points))
    gp.compare(gp.MixtureModel(2), clusters(), ["kmeans", "em", "map"])
    assert seen == {"observe": 1, "points": 2}


def test_points_are_taken_as_they_are_everywhere(coerced: list[Any]) -> None:
    fit = gp.fit(gp.MixtureModel(2), FRAME)
    points, mixture = as_points(FRAME), fit.mixture
    before = len(coerced)
    for x in (points, fit.observations):
        assert mixture.log_prob(x).equal(mixture.log_prob(X))
        assert mixture.responsibilities(x).equal(mixture.responsibilities(FRAME))
        assert gp.metrics.bic(mixture, x) == gp.metrics.bic(mixture, X)
        again = gp.fit(gp.MixtureModel(2), x)
        assert again.mixture.means.equal(mixture.means)
    arrays = [x for x in coerced[before:] if x is not X and x is not FRAME]
    assert not arrays


def test_observations_keep_their_weights_unless_there_are_others() -> None:
    own = observe(X, sample_weight=WEIGHT)
    assert observe(own) is own
    assert observe(own, dtype="float32").sample_weight.double().allclose(torch.tensor(WEIGHT))
    assert observe(own, dtype="float32").dtype is torch.float32
    other = observe(own, sample_weight=np.ones(40))
    assert other.sample_weight.equal(torch.ones(40, dtype=torch.float64))
    assert other.origin.allclose(torch.from_numpy(X.mean(0)))
    model = gp.MixtureModel(2)
    one, two = (gp.fit(model, X, sample_weight=w).mixture.means for w in (WEIGHT, None))
    assert gp.fit(model, own).mixture.means.equal(one)
    assert not one.equal(two)


def test_points_are_put_in_the_order_of_the_fitted_names() -> None:
    mixture = gp.fit(gp.MixtureModel(2), FRAME).mixture
    turned = as_points(FRAME[["width", "height"]])
    assert mixture.log_prob(turned).equal(mixture.log_prob(FRAME))
    wider = observe(FRAME.assign(depth=X[:, 0] ** 2)[["depth", "width", "height"]])
    assert mixture.log_prob(wider).equal(mixture.log_prob(FRAME))
    with pytest.raises(ValueError, match="x has no column 'width': it has height, depth"):
        mixture.log_prob(as_points(FRAME.rename(columns={"width": "depth"})))
    with pytest.raises(ValueError, match="x must have 2 features, got 3"):
        mixture.log_prob(as_points(np.column_stack([X, X[:, 0]])))


def test_points_out_of_the_range_of_a_narrower_type_are_refused() -> None:
    points = as_points(np.full((4, 1), 1e300) * [[1.0], [2.0], [3.0], [4.0]])
    with pytest.raises(ValueError, match="beyond the range of float32, the first at row 0"):
        as_points(points, dtype="float32")


def test_what_needs_data_that_are_left_out_says_so() -> None:
    data = LeftOut((40, 2), torch.empty(0), NAMES, torch.zeros(2), torch.ones(2), 40.0)
    assert (data.n, data.d, data.dtype, data.total_weight) == (40, 2, torch.float32, 40.0)
    for name in ("x", "sample_weight", "bulk"):
        with pytest.raises(ValueError, match="left out of an estimator's pickle"):
            getattr(data, name)
    assert not hasattr(data, "y")


def test_a_comparison_of_observations_takes_their_weights() -> None:
    own = observe(FRAME, sample_weight=WEIGHT)
    ours, theirs = (
        gp.compare(gp.MixtureModel(2), x, ["em"], sample_weight=weight).table.loc["em", "bic"]
        for x, weight in ((own, None), (FRAME, WEIGHT))
    )
    assert ours == theirs
