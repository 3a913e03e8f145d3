"""Fits as ArviZ objects: the same names, numbers and tools on ArviZ 0.x and 1.x."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import arviz as az
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

import gmm_pyro as gp
from gmm_pyro import GaussianMixture, MixtureModel
from gmm_pyro.covariance import FAMILIES

NAMES = ["height", "width"]
DRAWS = 100  # more than are evaluated at once
FIRST_GENERATION = az.__version__.startswith("0.")
DIMENSIONS = {  # of the covariance's sites, after chain and draw
    "full": {
        "scales": ["component", "feature"],
        "correlations": ["component", "feature", "feature_bis"],
    },
    "tied": {"scales": ["feature"], "correlations": ["feature", "feature_bis"]},
    "diag": {"scales": ["component", "feature"]},
    "spherical": {"scales": ["component"]},
    "tied_diag": {"scales": ["feature"]},
    "tied_spherical": {"scales": []},
}
every_family = pytest.mark.parametrize("family", FAMILIES)
every_dimension = pytest.mark.parametrize("d", [1, 2])
pytestmark = pytest.mark.filterwarnings("ignore:svi stopped at the step limit:gmm_pyro.FitWarning")


def frame(d: int) -> pd.DataFrame:
    x = gp.datasets.make_mixture(n=50, d=d, k=2, separation=6, seed=1).x
    return pd.DataFrame(x.numpy(), columns=NAMES[:d])


@cache
def fit(family: str = "full", d: int = 2) -> gp.Fit:
    """A fit that is not worth much, with draws that are as good as any."""
    model = MixtureModel(2, family)
    return gp.fit(model, frame(d), method="svi", max_steps=25, n_draws=DRAWS)


@cache
def converted(family: str = "full", d: int = 2) -> Any:
    return fit(family, d).to_arviz()


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def draw_as_mixture(found: gp.Fit, i: int) -> GaussianMixture:
    """One draw as a mixture with dense covariances, by the meaning of its sites."""
    sites = {name: value[0, i] for name, value in found.posterior.draws.items()}
    k, d = sites["means"].shape
    tied = found.model.family.tied
    scales = sites["scales"]
    if found.model.family.name in ("spherical", "tied_spherical"):
        scales = scales[..., None].expand(*scales.shape, d)
    scales = scales.expand(k, d)
    identity = torch.eye(d, dtype=torch.float64)
    root = sites.get("correlations", identity)
    root = root.expand(k, d, d) if tied or root.ndim == 2 else root
    covariances = scales[:, :, None] * (root @ root.mT) * scales[:, None, :]
    return GaussianMixture(sites["weights"], sites["means"], covariances)


# ---------------------------------------------------------------------- names and numbers


@every_family
@every_dimension
class TestContent:
    def test_groups(self, family: str, d: int) -> None:
        data = converted(family, d)
        groups = set(data.groups()) if FIRST_GENERATION else set(data.children)
        assert groups == {"posterior", "log_likelihood", "observed_data"}

    def test_dimensions(self, family: str, d: int) -> None:
        posterior = converted(family, d)["posterior"]
        expected = {
            "weights": ["component"],
            "means": ["component", "feature"],
            **DIMENSIONS[family],
        }
        if d == 1:
            expected.pop("correlations", None)
        found = {name: list(posterior[name].dims) for name in posterior.data_vars}
        assert found == {name: ["chain", "draw", *dims] for name, dims in expected.items()}

    def test_dimensions_of_the_data(self, family: str, d: int) -> None:
        data = converted(family, d)
        assert data["log_likelihood"]["x"].dims == ("chain", "draw", "obs_id")
        assert data["observed_data"]["x"].dims == ("obs_id", "feature")

    def test_coordinates(self, family: str, d: int) -> None:
        data = converted(family, d)
        posterior, observed = data["posterior"], data["observed_data"]
        assert posterior["means"].coords["feature"].values.tolist() == NAMES[:d]
        assert posterior["means"].coords["component"].values.tolist() == [0, 1]
        assert observed["x"].coords["feature"].values.tolist() == NAMES[:d]
        assert observed["x"].coords["obs_id"].values.tolist() == list(range(50))
        if "correlations" in posterior:
            bis = posterior["correlations"].coords["feature_bis"].values.tolist()
            assert bis == NAMES[:d]

    def test_values_are_the_draws(self, family: str, d: int) -> None:
        draws, posterior = fit(family, d).posterior.draws, converted(family, d)["posterior"]
        for name in ("weights", "means", "scales"):
            np.testing.assert_array_equal(posterior[name].values, draws[name].numpy())
        if "correlations" in draws:
            root = draws["correlations"]
            found = posterior["correlations"].values
            np.testing.assert_allclose(found, (root @ root.mT).numpy(), rtol=0, atol=1e-14)
            assert (np.diagonal(found, axis1=-2, axis2=-1) == 1).all()

    def test_observed_data_are_the_user_s(self, family: str, d: int) -> None:
        observed = converted(family, d)["observed_data"]["x"].values
        np.testing.assert_array_equal(observed, frame(d).to_numpy())

    def test_log_likelihood_is_the_mixture_s_log_density(self, family: str, d: int) -> None:
        found = converted(family, d)["log_likelihood"]["x"].values
        assert found.shape == (1, DRAWS, 50)
        for i in (0, 1, 63, 64, DRAWS - 1):
            expected = draw_as_mixture(fit(family, d), i).log_prob(frame(d))
            np.testing.assert_allclose(found[0, i], expected, rtol=1e-10)


def test_attributes_say_how_the_fit_was_made() -> None:
    attributes = converted()["posterior"].attrs
    expected = {
        "inference_library": "gmm_pyro",
        "inference_library_version": gp.__version__,
        "method": "svi",
        "engine": "collapsed",
        "status": fit().status.name,
        "objective": fit().objective,
        "steps": fit().steps,
        "seed": 0,
        "covariance": "full",
        "n_components": 2,
    }
    assert {name: attributes[name] for name in expected} == expected


def test_columns_without_names_are_numbered() -> None:
    model = MixtureModel(2, "diag")
    found = gp.fit(model, frame(2).to_numpy(), method="svi", max_steps=25, n_draws=4)
    posterior = found.to_arviz()["posterior"]
    assert posterior.coords["feature"].values.tolist() == ["x0", "x1"]


def test_several_chains() -> None:
    posterior = fit().posterior
    draws = {name: value.unflatten(1, (4, 25))[0] for name, value in posterior.draws.items()}
    data = replace(fit(), posterior=replace(posterior, draws=draws)).to_arviz()
    assert dict(data["posterior"].sizes)["chain"] == 4
    likelihood = converted()["log_likelihood"]["x"].values.reshape(4, 25, 50)
    np.testing.assert_allclose(data["log_likelihood"]["x"].values, likelihood, rtol=1e-12)


@pytest.mark.parametrize("method", ["kmeans", "em", "gradient", "map"])
def test_a_method_without_draws_is_refused(method: str) -> None:
    found = gp.fit(MixtureModel(2), frame(2), method=method)
    with pytest.raises(ValueError, match=f"method '{method}' has a point estimate only; no draws"):
        found.to_arviz()


# ---------------------------------------------------------------------- ArviZ's own tools


@every_family
@every_dimension
def test_summary(family: str, d: int) -> None:
    table = az.summary(converted(family, d), round_to="none")
    draws = fit(family, d).posterior.draws
    assert len(table) == sum(value[0, 0].numel() for value in draws.values())
    mean = table["mean"].astype(float)
    weights = draws["weights"].mean((0, 1)).tolist()
    assert mean[["weights[0]", "weights[1]"]].tolist() == pytest.approx(weights)
    name = NAMES[d - 1]
    expected = float(draws["means"][0, :, 1, d - 1].mean())
    assert mean[f"means[1, {name}]"] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning")
@every_dimension
def test_leave_one_out(d: int) -> None:
    """Its estimate is the log density that the draws give the data, less p_loo."""
    found = az.loo(converted("full", d))
    elpd, p_loo = (found.elpd_loo, found.p_loo) if FIRST_GENERATION else (found.elpd, found.p)
    pointwise = converted("full", d)["log_likelihood"]["x"].values[0]
    lppd = (np.logaddexp.reduce(pointwise, axis=0) - np.log(DRAWS)).sum()
    assert float(elpd) == pytest.approx(lppd - float(p_loo), abs=1e-6)
    assert 0 < float(p_loo) < 30


def test_forest() -> None:
    drawn = az.plot_forest(converted(), var_names=["weights", "means"])
    assert drawn is not None
    assert plt.get_fignums()


@every_family
@every_dimension
def test_netcdf_both_ways(family: str, d: int, tmp_path: Path) -> None:
    data, path = converted(family, d), str(tmp_path / "fit.nc")
    data.to_netcdf(path)
    again = az.from_netcdf(path)
    for name in ("posterior", "log_likelihood", "observed_data"):
        before, after = data[name], again[name]
        assert set(after.data_vars) == set(before.data_vars)
        for variable in before.data_vars:
            assert after[variable].dims == before[variable].dims
            np.testing.assert_array_equal(after[variable].values, before[variable].values)
    features = again["posterior"]["means"].coords["feature"].values.tolist()
    assert features == NAMES[:d]
    assert again["posterior"].attrs["method"] == "svi"
