"""After a fit a frame is read by its columns' names, and an array by position, at every entry."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import oracles
from oracles import table
from runs import quietly

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import multivariate_normal
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import comparison, metrics, plots
from gmm_pyro.calibration.exact import exact_posterior
from gmm_pyro.data.features import listed, places, refuse_repeated
from gmm_pyro.data.observations import as_points
from gmm_pyro.datasets import Dataset
from gmm_pyro.saved_fit import load_fit, predict, save_fit

pytestmark = pytest.mark.usefixtures("no_figures_left")

NAMES = ["width", "height", "age"]
TRUTH = gp.GaussianMixture(
    [0.4, 0.6],
    [[-3.0, 10.0, 500.0], [2.0, 14.0, 900.0]],
    [[[1.0, 0.8, 9.0], [0.8, 2.0, 5.0], [9.0, 5.0, 400.0]]] * 2,
    feature_names=NAMES,
)
X = TRUTH.sample(40, seed=3).numpy()
NEW = TRUTH.sample(9, seed=4).numpy()
FEW = X[::6]


def frame(x: np.ndarray = NEW) -> pd.DataFrame:
    return table(x, NAMES)


class CountedName(str):
    """A name that counts how often names are compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        CountedName.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def wider(x: pd.DataFrame) -> pd.DataFrame:
    """With columns between that are text, not finite, and twice there."""
    x = x[["age", "width", "height"]]
    x.insert(1, "species", "setosa")
    x.insert(2, "missing", np.nan)
    return pd.concat([x, x[["species"]]], axis=1)


REORDERED: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda x: x[["age", "height", "width"]],
    "polars": lambda x: pl.DataFrame(x)[["height", "age", "width"]],
    "wider": wider,
}


@pytest.fixture(scope="module")
def fit() -> gp.Fit:
    with quietly():
        return gp.fit(gp.MixtureModel(2), frame(X), "svi", n_draws=20, max_steps=300)


@pytest.fixture(scope="module")
def saved(fit, tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("saved") / "fit"
    save_fit(fit, folder)
    return load_fit(folder)


def offsets(axes: Any) -> Tensor:
    """Where the points of a picture are."""
    drawn = [np.asarray(c.get_offsets()) for c in axes.collections if len(c.get_offsets()) > 1]
    return torch.as_tensor(np.concatenate(drawn))


def density_of_one(model: gp.MixtureModel, x: Any) -> Tensor:
    density = model.log_density(x)
    vector = torch.linspace(-1, 1, density.dimension, dtype=torch.float64)
    return density(vector[None])


def scores(model: gp.MixtureModel, x: Any) -> list[float]:
    row = gp.compare(model, x, ["em"], test_size=8).table.loc["em"]
    return [row["log_likelihood"], row["held_out_log_density"], row["bic"]]


def program(model: gp.MixtureModel, x: Any) -> Tensor:
    import pyro

    with torch.random.fork_rng(devices=[]), pyro.get_param_store().scope():
        return model(x)


Entry = Callable[[Any, Any], Any]
ENTRIES: dict[str, Entry] = {  # of a fit and points
    "log_prob": lambda fit, x: fit.mixture.log_prob(x),
    "responsibilities": lambda fit, x: fit.mixture.responsibilities(x),
    "predict": lambda fit, x: fit.mixture.predict(x),
    "bic": lambda fit, x: fit.mixture.bic(x),
    "aic": lambda fit, x: fit.mixture.aic(x),
    "icl": lambda fit, x: fit.mixture.icl(x),
    "metrics.bic": lambda fit, x: metrics.bic(fit.mixture, x),
    "metrics.aic": lambda fit, x: metrics.aic(fit.mixture, x),
    "metrics.icl": lambda fit, x: metrics.icl(fit.mixture, x),
    "mean_log_density": lambda fit, x: metrics.mean_log_density(fit.mixture, x),
    "assignments": lambda fit, x: fit.posterior.assignments(x).probabilities,
    "predictive_density": lambda fit, x: fit.posterior.predictive_density(x).mean,
    "saved mixture": lambda fit, x: predict(fit.mixture, x).log_density,
    "saved posterior": lambda fit, x: predict(fit.posterior, x).responsibilities,
    "specialise": lambda fit, x: program(fit.model.specialise(x), x),
    "program": lambda fit, x: program(fit.model, x),
    "log_density": lambda fit, x: density_of_one(fit.model, x),
    "fit of the same model": lambda fit, x: gp.fit(fit.model, x, "map", seed=1).objective,
    "compare": lambda fit, x: scores(fit.model, x),
    "plots.clusters": lambda fit, x: offsets(plots.clusters(fit, x)),
    "plots.responsibilities": lambda fit, x: offsets(plots.responsibilities(fit, x)),
    "plots.density": lambda fit, x: offsets(plots.density(fit, x=x)),
    "plots.comparison": lambda fit, x: offsets(
        plots.comparison_figure(x, {"a": fit, "b": TRUTH}, figure=Figure()).axes[1]
    ),
}
WHOLE = ("fit of the same model", "compare")  # of the data: 9 points are few


close = partial(oracles.close, rounding=1e-9)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning")
class TestEveryEntry:
    def test_takes_the_columns_of_a_frame_by_their_names(self, fit, entry: str) -> None:
        x = frame(X if entry in WHOLE else NEW)
        expected = ENTRIES[entry](fit, x.to_numpy())
        makes = list(REORDERED.values())
        for make in makes[2:] if entry.startswith("plots") else makes:  # a picture takes long
            close(ENTRIES[entry](fit, make(x)), expected)

    def test_refuses_a_frame_that_lacks_a_feature_by_its_name(self, fit, entry: str) -> None:
        wrong = frame(X if entry in WHOLE else NEW).rename(columns={"height": "hight"})
        with pytest.raises(ValueError, match="no column 'height': it has .*did you mean 'hight'"):
            ENTRIES[entry](fit, wrong)
        with pytest.raises(ValueError, match="no column 'height'"):
            ENTRIES[entry](fit, pl.DataFrame(wrong))


class TestNames:
    def test_the_density_is_scipys_whatever_the_order(self) -> None:
        expected = sum(
            weight * multivariate_normal(mean, covariance).pdf(NEW)
            for weight, mean, covariance in zip(
                *(t.numpy() for t in (TRUTH.weights, TRUTH.means, TRUTH.covariances)), strict=True
            )
        )
        close(TRUTH.log_prob(frame()[["age", "width", "height"]]).exp(), expected)

    def test_a_saved_fit_remembers_them(self, saved, fit) -> None:
        x = frame()[["height", "age", "width"]]
        close(predict(saved.mixture, x).log_density, fit.mixture.log_prob(NEW))
        expected = fit.posterior.assignments(NEW).probabilities
        close(predict(saved.posterior(), x).responsibilities, expected)

    @pytest.mark.parametrize("columns", [None, ["a", "b", "c"], ["x2", "y", "z"]])
    def test_a_fit_of_an_array_has_none(self, columns: Any) -> None:
        mixture = gp.GaussianMixture(TRUTH.weights, TRUTH.means, TRUTH.covariances)
        x = pd.DataFrame(NEW, columns=columns)
        close(mixture.log_prob(x), TRUTH.log_prob(NEW))
        with pytest.raises(ValueError, match="x must have 3 features, got 4"):
            mixture.log_prob(x.assign(more=1.0))

    @pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
    def test_a_frame_of_an_array_has_none(self, make: Callable) -> None:
        close(TRUTH.log_prob(make(NEW)), TRUTH.log_prob(NEW))
        named = gp.GaussianMixture(
            TRUTH.weights, TRUTH.means, TRUTH.covariances, feature_names=["0", "1", "2"]
        )
        close(named.log_prob(make(NEW)), TRUTH.log_prob(NEW))
        close(named.log_prob(frame()), TRUTH.log_prob(NEW))

    def test_numbers_of_columns_are_places(self) -> None:
        mixture = gp.GaussianMixture(TRUTH.weights, TRUTH.means, TRUTH.covariances)
        close(mixture.log_prob(pd.DataFrame(NEW)[[2, 0, 1]]), TRUTH.log_prob(NEW))
        with pytest.raises(ValueError, match="no columns 'width', 'height', 'age'"):
            TRUTH.log_prob(pd.DataFrame(NEW)[[2, 0, 1]])

    def test_a_column_twice_is_refused_if_it_is_a_feature(self) -> None:
        twice = pd.concat([frame(), frame()[["age"]]], axis=1)
        with pytest.raises(ValueError, match="'age' occurs 2 times"):
            TRUTH.log_prob(twice)

    def test_one_column_has_its_name(self) -> None:
        ages = TRUTH.marginal(["age"])
        close(ages.log_prob(frame()["age"]), ages.log_prob(NEW[:, 2]))
        close(ages.log_prob(pl.DataFrame(frame())["age"]), ages.log_prob(NEW[:, 2]))
        close(ages.log_prob(pd.Series(NEW[:, 2])), ages.log_prob(NEW[:, 2]))
        with pytest.raises(ValueError, match="no column 'age': it has width"):
            ages.log_prob(frame()["width"])

    def test_a_row_conditions_by_its_names(self) -> None:
        expected = TRUTH.conditional(["age", "width"], [NEW[0, 2], NEW[0, 0]])
        for row in (frame().iloc[0], frame()[:1], pl.DataFrame(frame())[:1]):
            close(TRUTH.conditional(["age", "width"], row).means, expected.means)

    def test_a_band_takes_the_column_of_its_feature(self, fit) -> None:
        band = fit.posterior.density_band(frame(), feature="age")
        close(band.mean, fit.posterior.density_band(NEW[:, 2], feature=2).mean)
        with pytest.raises(ValueError, match="no column 'age'"):
            fit.posterior.density_band(frame()[["width"]], feature="age")

    def test_exact_posteriors_predict_by_name(self) -> None:
        exact = exact_posterior(gp.MixtureModel(2), frame(FEW))
        close(exact.log_predictive(frame()[NAMES[::-1]]), exact.log_predictive(NEW))

    def test_an_array_of_xarray_s_is_read_by_its_coordinate(self) -> None:
        order = ["age", "width", "height"]
        x = xr.DataArray(frame()[order], dims=("row", "size"), coords={"size": order})
        assert torch.equal(TRUTH.log_prob(x), TRUTH.log_prob(NEW))
        with pytest.raises(ValueError, match="x has no column 'height': it has age, width"):
            TRUTH.log_prob(x[:, :2])

    @pytest.mark.parametrize("look", [refuse_repeated, lambda names: places(names[::-1], names)])
    def test_very_many_are_looked_at_in_linear_time(self, look: Callable) -> None:
        """A name is compared with few others, of however many."""
        CountedName.comparisons = 0
        look([CountedName(f"gene{i}") for i in range(4000)])
        assert CountedName.comparisons < 4 * 4000

    def test_very_many_are_listed_in_part(self) -> None:
        assert listed(map(str, range(30))).endswith("18, 19, … (30 in all)")
        wide = pd.DataFrame(np.zeros((2, 5000)), columns=[f"c{i}" for i in range(5000)])
        with pytest.raises(ValueError, match="no column 'age'") as caught:
            as_points(wide, feature_names=["c1", "age"])
        assert len(str(caught.value)) < 500


class TestMixtures:
    """Mixtures beside others: by the names of their features too."""

    OTHER = TRUTH.marginal(["age", "width", "height"])

    def test_a_start_is_put_in_order(self) -> None:
        options: dict[str, Any] = {"max_steps": 1, "covariance_floor": 0.0}
        with pytest.warns(gp.FitWarning, match="step limit"):
            expected = gp.fit(gp.MixtureModel(2), frame(X), start=TRUTH, **options)
        with pytest.warns(gp.FitWarning, match="step limit"):
            found = gp.fit(gp.MixtureModel(2), frame(X), start=self.OTHER, **options)
        close(found.mixture.means, expected.mixture.means)

    def test_draws_are_numbered_as_one_in_another_order(self, fit) -> None:
        turned = TRUTH.permute([1, 0])
        expected = fit.posterior.relabel(like=turned).draws["means"]
        found = fit.posterior.relabel(like=turned.marginal(["age", "width", "height"]))
        close(found.draws["means"], expected)

    def test_one_of_other_features_is_refused(self, fit) -> None:
        other = gp.GaussianMixture(
            TRUTH.weights, TRUTH.means, TRUTH.covariances, feature_names=["width", "height", "size"]
        )
        with pytest.raises(ValueError, match="start has no feature 'age': it has width"):
            gp.fit(gp.MixtureModel(2), frame(X), start=other)
        with pytest.raises(ValueError, match="like has no feature 'age': it has width"):
            fit.posterior.relabel(like=other)

    @pytest.mark.parametrize(
        "distance",
        [
            metrics.mixture_wasserstein,
            lambda a, b: metrics.kl_divergence(a, b, n=50).value,
            lambda a, b: metrics.parameter_errors(b, a).means,
            lambda a, b: metrics.parameter_errors(b, a).covariances,
            lambda a, b: comparison.density_distances({"a": a, "b": b}, n=50).loc["a", "b"],
        ],
        ids=["wasserstein", "kl", "means", "covariances", "jensen-shannon"],
    )
    def test_a_mixture_is_at_no_distance_from_itself(self, distance: Callable) -> None:
        assert distance(TRUTH, self.OTHER) == pytest.approx(0, abs=1e-6)

    def test_the_truth_of_a_data_set_has_the_order_of_its_points(self) -> None:
        data = Dataset(torch.as_tensor(X), None, self.OTHER, "data", tuple(NAMES))
        close(data.truth.means, TRUTH.means)
        close(data.held_out(5, seed=0).x, data.truth.sample(5, seed=0))

    def test_a_data_set_is_compared_in_the_order_of_the_model(self, fit) -> None:
        data = Dataset(torch.as_tensor(X), None, TRUTH, "data", tuple(NAMES))
        turned = [2, 0, 1]
        names = tuple(NAMES[i] for i in turned)
        other = Dataset(data.x[:, turned], None, self.OTHER, "data", names)
        columns = ["log_likelihood", "bic", "mean_error", "covariance_error"]
        tables = [gp.compare(fit.model, d, ["em"], test_size=9).table for d in (data, other)]
        close(tables[1][columns], tables[0][columns])

    def test_pictures_of_fits_in_two_orders_are_refused(self) -> None:
        with pytest.raises(ValueError, match=re.escape("fits must have their features in one")):
            plots.comparison_figure(frame(), {"a": TRUTH, "b": self.OTHER}, figure=Figure())
