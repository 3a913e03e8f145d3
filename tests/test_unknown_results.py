"""What users see of a fit with an unknown number of components, against its draws taken by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

import gmm_pyro as gp
from gmm_pyro import plots
from gmm_pyro.inference import METHODS
from gmm_pyro.inference_data import elpd_loo, posterior_summary
from gmm_pyro.plots.parts import COLOURS
from gmm_pyro.plots.sizes import number_traces
from gmm_pyro.saved_fit import load_fit, predict, save_fit
from runs import quietly
from unknown_fits import BRIEF, MOST, QUICK, beside_noise, points, sparse, unknown

UNKNOWING = [name for name, row in METHODS.items() if not row.sizes]


def mixtures(fit: gp.Fit) -> list[MixtureSameFamily]:
    """The mixture of every draw, of the components that exist alone."""
    draws = {name: value.flatten(0, 1) for name, value in fit.posterior.draws.items()}
    found = []
    for i, k in enumerate(draws["n_components"].tolist()):
        weights, means, precisions = (
            draws[name][i, :k] for name in ("weights", "means", "precisions")
        )
        d = means.shape[-1]
        normal = MultivariateNormal(means, precision_matrix=precisions.reshape(k, d, d))
        found.append(MixtureSameFamily(Categorical(weights), normal))
    return found


class TestTable:
    def test_shares_of_draws(self) -> None:
        fit = unknown()
        table = fit.number_of_components
        assert table.index.tolist() == list(range(1, MOST + 1))
        for name in ("n_components", "n_filled"):
            drawn = fit.posterior.draws[name].flatten()
            expected = [(drawn == k).double().mean().item() for k in table.index]
            assert table[name].tolist() == pytest.approx(expected)
            assert table[f"{name}_prior"].sum() == pytest.approx(1)
        prior = gp.Unknown("poisson(1)", MOST).probabilities
        assert table["n_components_prior"].tolist() == pytest.approx(prior.tolist())

    def test_standard_errors_are_arvizs(self) -> None:
        fit = unknown()
        table = fit.number_of_components
        is_two = (fit.posterior.draws["n_filled"] == 2).double().numpy()
        se = float(az.mcse(az.convert_to_dataset({"x": is_two}), method="mean")["x"])
        assert table["n_filled_se"][2] == pytest.approx(se, rel=0.01)  # n, not n - 1

    def test_a_known_number_may_have_empty_ones(self) -> None:
        table = sparse().number_of_components
        assert list(table) == ["n_filled", "n_filled_se", "n_filled_prior"]
        assert len(table) == 4

    def test_beside_noise(self) -> None:
        table = beside_noise().number_of_components
        assert table[["n_filled", "n_filled_prior"]].sum().tolist() == pytest.approx([1, 1])

    def test_a_fit_that_does_not_ask(self) -> None:
        fit = gp.fit(gp.MixtureModel(2), points(1).x)
        with pytest.raises(ValueError, match=r"fit by em has a known number of components, 2"):
            _ = fit.number_of_components

    def test_the_most_is_named(self) -> None:
        assert "of up to 6 components" in repr(unknown())


class TestArviZ:
    def test_numbers_are_integers(self) -> None:
        posterior = unknown().to_arviz()["posterior"]
        for name in ("n_components", "n_filled"):
            assert posterior[name].dims == ("chain", "draw")
            assert posterior[name].dtype.kind == "i"
            drawn = unknown().posterior.draws[name]
            np.testing.assert_array_equal(posterior[name].values, drawn)
        assert np.isfinite(float(az.rhat(unknown().to_arviz())["n_filled"]))

    def test_a_component_that_does_not_exist_has_no_parameters(self) -> None:
        posterior = unknown(2).to_arviz(components=True)["posterior"]
        absent = posterior["weights"].values == 0
        number = np.arange(absent.shape[2])
        sizes = posterior["n_components"].values[..., None]
        np.testing.assert_array_equal(absent, number >= sizes)
        assert absent.any()
        for name in ("means", "scales", "correlations"):
            missing = np.isnan(posterior[name].values)
            np.testing.assert_array_equal(missing, absent[..., None] & np.ones_like(missing))

    @pytest.mark.parametrize("group", ["posterior", "prior"])
    def test_by_default_all_draws_have_all_variables(self, group: str) -> None:
        found = unknown(2).to_arviz()[group]
        assert {"n_components", "n_filled", "concentration"} & set(found.data_vars)
        for name, values in found.data_vars.items():
            assert np.isfinite(values.values.astype(float)).all(), name
            assert "component" not in values.dims

    def test_what_components_share_is_there(self) -> None:
        model = gp.MixtureModel(gp.Unknown(most=3), "tied")
        with quietly():
            fit = gp.fit(model, points(2).x, "gibbs", **BRIEF)
        found = fit.to_arviz()["posterior"]
        assert found["scales"].dims == ("chain", "draw", "feature")
        assert found["correlations"].dims == ("chain", "draw", "pair")
        matrices = fit.to_arviz(constants=True)["posterior"]["correlations"]
        assert matrices.dims == ("chain", "draw", "feature", "feature_bis")

    @pytest.mark.parametrize("given", [{}, {"n_filled": 2}])
    def test_arvizs_default_calls_work(self, given: dict[str, Any]) -> None:
        data = unknown().to_arviz(**given)
        draw = az.plot_posterior if hasattr(az, "plot_posterior") else az.plot_dist
        for plot in (draw, az.plot_trace, az.plot_forest):
            plot(data)
        assert np.isfinite(az.summary(data)["mean"].astype(float)).all()
        plt.close("all")

    def test_prior(self) -> None:
        """Independent draws of all that there may be, and data sets of them."""
        data = unknown().to_arviz(n_prior_draws=2000, components=True)
        prior = data["prior"]
        assert dict(prior.sizes)["component"] == MOST
        share = (prior["n_components"].values == 1).mean()
        expected = float(gp.Unknown("poisson(1)", MOST).probabilities[0])
        assert share == pytest.approx(expected, abs=4.5 * (expected / 2000) ** 0.5)  # 1e-5
        exists = prior["weights"].values > 0
        np.testing.assert_array_equal(exists.sum(-1), prior["n_components"].values)
        assert np.isfinite(data["prior_predictive"]["x"].values).all()
        assert np.isfinite(data["posterior_predictive"]["x"].values).all()

    def test_log_densities(self) -> None:
        data = unknown().to_arviz(n_prior_draws=0)
        parts = data["log_prior"]
        assert set(parts.data_vars) == {
            *("n_components", "concentration", "weights", "precisions", "means")
        }
        total = sum(parts[name].values for name in parts.data_vars)
        np.testing.assert_allclose(total, data["posterior"]["log_prior"].values)
        expected = torch.stack([m.log_prob(points(1).x) for m in mixtures(unknown())])
        found = data["log_likelihood"]["x"].values.reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-8)

    def test_netcdf(self, tmp_path: Path) -> None:
        data = unknown(2).to_arviz()
        data.to_netcdf(tmp_path / "posterior.nc")
        back = az.from_netcdf(tmp_path / "posterior.nc")
        for group in ("posterior", "prior", "log_prior"):
            for name, values in data[group].data_vars.items():
                np.testing.assert_array_equal(back[group][name].values, values.values)

    @pytest.mark.usefixtures("no_figures_left")
    def test_summary_and_pictures(self) -> None:
        summary = az.summary(unknown().to_arviz(), var_names=["n_components", "n_filled"])
        drawn = unknown().posterior.draws["n_filled"].double()
        assert float(summary["mean"]["n_filled"]) == pytest.approx(drawn.mean().item(), abs=0.01)
        az.plot_rank(unknown().to_arviz(), var_names=["n_filled"])
        az.plot_forest(unknown().to_arviz(), var_names=["n_filled", "concentration"])

    def test_draws_of_one_number(self) -> None:
        fit = unknown()
        data = fit.to_arviz(n_filled=2)
        posterior = data["posterior"]
        drawn = fit.posterior.draws["n_filled"]
        assert dict(posterior.sizes)["draw"] == int((drawn == 2).sum())
        assert not {"log_prior", "n_filled"} & set(posterior.data_vars)
        means = posterior["means"].values.mean((0, 1))
        np.testing.assert_allclose(means, fit.mixture.means, rtol=1e-8)
        with pytest.raises(ValueError, match=r"no draw has 9 components with points"):
            fit.to_arviz(n_filled=9)
        with pytest.raises(ValueError, match=r"these draws have no n_filled"):
            sparse_svi().to_arviz(n_filled=2)

    def test_leave_one_out_and_summary_of_components(self) -> None:
        assert np.isfinite(elpd_loo(unknown()).elpd)
        frame = posterior_summary(unknown().posterior)
        assert frame["mean"].notna().all()
        assert "weights[1]" in frame.index
        assert "weights[2]" not in frame.index


def sparse_svi() -> gp.Fit:
    return gp.fit(gp.MixtureModel(1), points(1).x, "svi", n_draws=5)


class TestPosterior:
    def test_predictive_density(self) -> None:
        grid = torch.linspace(-6, 6, 7, dtype=torch.float64)[:, None]
        each = torch.stack([m.log_prob(grid).exp() for m in mixtures(unknown())])
        found = unknown().posterior.predictive_density(grid)
        torch.testing.assert_close(found.mean, each.mean(0))
        low, high = np.quantile(each.numpy(), [0.03, 0.97], axis=0)
        np.testing.assert_allclose(found.lower, low)
        np.testing.assert_allclose(found.upper, high)
        band = unknown().posterior.density_band(grid[:, 0])
        torch.testing.assert_close(band.mean, each.mean(0))

    def test_co_clustering(self) -> None:
        posterior = unknown().posterior
        labels = posterior.allocations.flatten(0, 1)
        together = (labels[:, :, None] == labels[:, None]).double().mean(0)
        torch.testing.assert_close(posterior.co_clustering(), together)
        found = posterior.partition()
        assert gp.metrics.adjusted_rand(points(1).labels, found.labels) > 0.8

    def test_assignments_are_to_components_that_exist(self) -> None:
        posterior = unknown().posterior
        sizes = posterior.draws["n_components"].flatten()
        found = posterior.assignments()
        assert bool((found.draws < sizes[:, None]).all())
        torch.testing.assert_close(
            found.probabilities.sum(1), torch.ones(len(points(1).x), dtype=torch.float64)
        )

    def test_new_points(self) -> None:
        """Their mean is that of the draws' mixtures, within five standard errors."""
        new = unknown().posterior.sample_predictive(20_000)
        draws = mixtures(unknown())
        mean = torch.stack([m.mean for m in draws]).mean(0)
        second = torch.stack([m.variance + m.mean.square() for m in draws]).mean(0)
        error = ((second - mean.square()) / len(new)).sqrt()
        assert bool(((new.mean(0) - mean).abs() < 5 * error).all())

    def test_no_numbering_is_the_same_in_all_draws(self) -> None:
        with pytest.raises(ValueError, match=r"different numbers of components"):
            unknown().posterior.relabel()

    def test_the_mixture_is_of_the_likeliest_number(self) -> None:
        alone = unknown().posterior.of_filled(2)
        found = unknown().mixture.means.flatten().sort().values
        torch.testing.assert_close(found, alone.mixture().means.flatten().sort().values)


@pytest.mark.usefixtures("no_figures_left")
class TestPictures:
    def test_bars_and_circles(self) -> None:
        table = unknown().number_of_components
        ax = plots.number_of_components(unknown(), Figure().subplots())
        names = ("n_filled", "n_components")
        for name, container in zip(names, bar_containers(ax), strict=True):
            heights = [bar.get_height() for bar in container]
            assert heights == pytest.approx(table[name].iloc[: len(heights)].tolist())
        circles = [line for line in ax.lines if line.get_marker() == "o"]
        prior = circles[0].get_ydata()
        assert prior == pytest.approx(table["n_filled_prior"].iloc[: len(prior)].tolist())
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        assert names == ["components with points", "components in all", "prior"]
        assert ax.get_xlabel() == "number of components"

    def test_of_filled_ones_alone(self) -> None:
        ax = plots.number_of_components(sparse(), Figure().subplots())
        (bars,) = bar_containers(ax)
        assert bars[0].get_facecolor()[:3] == pytest.approx(rgb(COLOURS[0]))

    def test_what_is_no_fit(self) -> None:
        with pytest.raises(TypeError, match=r"fit must be a fit, or a fitted estimator, got 3"):
            plots.number_of_components(3)

    def test_traces(self) -> None:
        ax = number_traces(unknown().posterior, Figure().subplots())
        steps = [line for line in ax.lines if len(line.get_ydata()) == QUICK["n_draws"]]
        drawn = unknown().posterior.draws["n_filled"].numpy()
        np.testing.assert_array_equal([line.get_ydata() for line in steps], drawn)

    def test_all_of_a_fit(self) -> None:
        found = plots.fit_figures(beside_noise())
        assert list(found) == ["clusters", "density", "trace", "number_of_components"]

    @pytest.mark.parametrize("d", [1, 2])
    def test_pictures_of_components(self, d: int) -> None:
        plots.posterior_ellipses(unknown(d).posterior, Figure().subplots())
        plots.label_traces(unknown(d).posterior, tuple(Figure().subplots(1, 2)))
        plots.co_clustering(unknown(d).posterior, Figure().subplots())
        plots.responsibilities(unknown(d), points(d).x, Figure().subplots())


def bar_containers(ax: Any) -> list[Any]:
    return [one for one in ax.containers if one.get_label().startswith("components")]


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


class TestFolder:
    def test_round_trip(self, tmp_path: Path) -> None:
        fit = unknown()
        save_fit(fit, tmp_path / "fit")
        saved = load_fit(tmp_path / "fit")
        k = fit.mixture.n_components
        assert saved.facts["number_of_components"]["k"] == list(range(1, MOST + 1))
        posterior = saved.posterior()
        assert posterior.n_components == k
        torch.testing.assert_close(posterior.mixture().means, fit.mixture.means)
        x = points(1).x
        by_draws = predict(posterior, x, every_draw=saved.every_draw())
        by_memory = predict(fit.posterior, x)
        torch.testing.assert_close(by_draws.log_density, by_memory.log_density)
        torch.testing.assert_close(by_draws.labels, fit.mixture.predict(x))

    @pytest.mark.parametrize("d", [1, 2])
    def test_densities_are_means_over_all_draws(self, tmp_path: Path, d: int) -> None:
        fit, x = unknown(d), points(d).x[:5]
        save_fit(fit, tmp_path / "fit")
        saved = load_fit(tmp_path / "fit")
        found = predict(saved.posterior(), x, every_draw=saved.every_draw()).log_density
        expected = torch.stack([m.log_prob(x) for m in mixtures(fit)]).logsumexp(0)
        torch.testing.assert_close(found, expected - np.log(len(mixtures(fit))))

    def test_densities_of_noise_are_in_all_draws(self, tmp_path: Path) -> None:
        save_fit(beside_noise(), tmp_path / "fit")
        saved, x = load_fit(tmp_path / "fit"), points(1).x
        found = predict(saved.posterior(), x, every_draw=saved.every_draw())
        expected = predict(beside_noise().posterior, x)
        torch.testing.assert_close(found.log_density, expected.log_density)


class TestRefusals:
    @pytest.mark.parametrize("method", UNKNOWING)
    def test_methods_that_need_the_number(self, method: str) -> None:
        with pytest.raises(ValueError, match=rf"{method} needs a known number .*gibbs fits"):
            gp.fit(gp.MixtureModel(gp.Unknown()), points(1).x, method)

    def test_estimators_and_selections(self) -> None:
        from gmm_pyro.estimator import PyroGaussianMixture

        with pytest.raises(ValueError, match="n_components"):
            PyroGaussianMixture(gp.Unknown()).fit(points(1).x.numpy())
        with pytest.raises(ValueError, match="k must be numbers of components"):
            gp.select(points(1).x, [gp.Unknown(), 2])


class TestComparison:
    def test_table_and_page(self, tmp_path: Path) -> None:
        model = gp.MixtureModel(gp.Unknown(most=3))
        options = {"gibbs": BRIEF}
        found = gp.compare(model, points(1), ["em", "gibbs"], options=options)
        assert "em needs a known number" in found.table["status"]["em"]
        assert np.isfinite(found.table["log_likelihood"]["gibbs"])
        page = found.report(tmp_path / "page.html").read_text(encoding="utf-8")
        assert "unknown, at most 3: bnb(1, 4, 3)" in page
        assert "Number of components with points by gibbs" in page
        assert "that have points</summary>" in page
        assert "gp.Unknown(prior=&#39;bnb(1, 4, 3)&#39;, most=3)" in page

    def test_combining(self) -> None:
        assert unknown().combine().n_clusters <= unknown().mixture.n_components
