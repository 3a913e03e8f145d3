"""Fits in ArviZ: the same names, dimensions and numbers on 0.23 and on 1.x."""

from __future__ import annotations

import arviz as az
import matplotlib
import numpy as np
import pytest

import gmm_pyro as gp

FAMILIES = sorted(gp.FAMILIES)
CONSTANT = "ignore:invalid value encountered:RuntimeWarning"  # R-hat of a correlation's diagonal


def fitted(covariance: str = "full", *, univariate: bool = False) -> gp.Fit:
    """A short fit: what is tested is the conversion, not the fit."""
    data = gp.datasets.make_mixture(60, 1 if univariate else 2, 2, separation=4.0, seed=3)
    frame = data.frame()[list(data.feature_names)]
    frame.columns = ["length"] if univariate else ["length", "width"]
    model = gp.MixtureModel(2, covariance)
    return gp.fit(model, frame, "svi", seed=1, n_draws=50, max_steps=100, tolerance=1e-2)


@pytest.fixture(scope="module")
def fit() -> gp.Fit:
    return fitted()


def test_dimensions_have_names_and_columns_are_coordinates(fit: gp.Fit) -> None:
    posterior = fit.to_arviz()["posterior"]
    sizes = {name: posterior[name].dims[2:] for name in posterior.data_vars}
    assert sizes == {
        "weights": ("component",),
        "means": ("component", "feature"),
        "scales": ("component", "feature"),
        "correlations": ("component", "feature", "feature_bis"),
    }
    assert posterior["means"].sizes["draw"] == 50
    assert posterior["feature"].to_numpy().tolist() == ["length", "width"]
    assert posterior["feature_bis"].to_numpy().tolist() == ["length", "width"]


@pytest.mark.parametrize("covariance", FAMILIES)
@pytest.mark.parametrize("univariate", [False, True], ids=["bivariate", "univariate"])
def test_every_family_keeps_its_draws(covariance: str, univariate: bool) -> None:  # noqa: FBT001
    fit = fitted(covariance, univariate=univariate)
    posterior = fit.to_arviz()["posterior"]
    assert set(posterior.data_vars) == set(fit.posterior.draws)
    for name in ("weights", "means", "scales"):
        np.testing.assert_array_equal(posterior[name].to_numpy(), fit.posterior.draws[name].numpy())


def test_correlations_are_matrices(fit: gp.Fit) -> None:
    matrices = fit.to_arviz()["posterior"]["correlations"].to_numpy()
    assert (matrices == np.swapaxes(matrices, -1, -2)).all()
    assert (np.diagonal(matrices, axis1=-2, axis2=-1) == 1).all()
    assert (np.abs(matrices) <= 1).all()


def test_the_log_likelihood_is_the_marginal_one_of_every_draw(fit: gp.Fit) -> None:
    values = fit.to_arviz()["log_likelihood"]["x"]
    assert values.dims == ("chain", "draw", "obs_id")
    draws = {name: value[0, 7] for name, value in fit.posterior.draws.items()}
    factor = draws["scales"][..., None] * draws["correlations"]
    mixture = gp.GaussianMixture(draws["weights"], draws["means"], factor @ factor.mT)
    expected = mixture.distribution().log_prob(fit.observations.x)
    np.testing.assert_allclose(values.to_numpy()[0, 7], expected.numpy(), rtol=1e-10)


def test_the_data_and_how_they_were_fitted_are_kept(fit: gp.Fit) -> None:
    data = fit.to_arviz()
    observed = data["observed_data"]["x"]
    assert observed.dims == ("obs_id", "feature")
    np.testing.assert_array_equal(observed.to_numpy(), fit.observations.x.numpy())
    attributes = data["posterior"].attrs
    assert attributes["method"] == "svi"
    assert attributes["seed"] == 1
    assert attributes["covariance"] == "full"
    assert attributes["inference_library"] == "gmm_pyro"


@pytest.mark.filterwarnings(CONSTANT)
def test_summary_has_a_row_for_every_number(fit: gp.Fit) -> None:
    table = az.summary(fit.to_arviz())
    assert len(table) == 2 + 4 + 4 + 8
    assert float(table.loc["means[0, length]", "mean"]) == pytest.approx(
        float(fit.posterior.draws["means"][0, :, 0, 0].mean()), abs=0.02
    )


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")
def test_leave_one_out_is_close_to_the_log_density_on_new_data() -> None:
    """60 points a side: three standard errors of their difference, which two samples share."""
    data = gp.datasets.make_mixture(60, 2, 2, separation=4.0, seed=3)
    fit = gp.fit(gp.MixtureModel(2), data.x, "svi", seed=1, tolerance=1e-3)
    loo = az.loo(fit.to_arviz())
    estimate = float(getattr(loo, "elpd_loo", getattr(loo, "elpd", np.nan))) / 60
    new = fit.mixture.log_prob(data.held_out(60, seed=9).x)
    error = float(new.std()) * np.sqrt(2 / 60)
    assert abs(estimate - float(new.mean())) < 3 * error


def test_forest_plot_draws(fit: gp.Fit) -> None:
    with matplotlib.rc_context({"backend": "agg"}):
        drawn = az.plot_forest(fit.to_arviz(), var_names=["means", "weights"])
    assert drawn is not None
    matplotlib.pyplot.close("all")


def test_netcdf_and_back(fit: gp.Fit, tmp_path: object) -> None:
    data, path = fit.to_arviz(), f"{tmp_path}/fit.nc"
    data.to_netcdf(path)
    again = az.from_netcdf(path)
    for group in ("posterior", "log_likelihood", "observed_data"):
        for name in data[group].data_vars:
            stored = again[group][name]
            np.testing.assert_array_equal(stored.to_numpy(), data[group][name].to_numpy())
            assert stored.dims == data[group][name].dims


def test_a_point_estimate_has_no_draws_to_convert() -> None:
    fit = gp.fit(gp.MixtureModel(2), gp.datasets.bimodal().x, "em")
    with pytest.raises(ValueError, match="method 'em' has a point estimate only"):
        fit.to_arviz()
