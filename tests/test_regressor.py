"""Claims about `GMMRegressor` and `GaussianMixture.conditionals`, held to closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import LinearRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

import gmm_pyro as gp
from gmm_pyro.estimator import GMMRegressor
from oracles import FAILURE_RATE, close, normal_array, numbers

X = normal_array(80, 2, seed=1)
Y = X @ np.array([1.0, -2.0]) + 0.5 + 0.3 * normal_array(80, seed=2)
EXACT = {"reg_covar": 0.0, "random_state": 0}
MIXTURE = gp.GaussianMixture(
    [0.3, 0.7],
    [[0.0, 0.0, 1.0], [2.0, 1.0, -1.0]],
    [
        [[1.0, 0.5, 0.2], [0.5, 1.0, 0.3], [0.2, 0.3, 0.8]],
        [[1.0, -0.4, 0.0], [-0.4, 2.0, 0.1], [0.0, 0.1, 0.5]],
    ],
)


@parametrize_with_checks([GMMRegressor()])
def test_scikit_learns_own_checks(estimator: GMMRegressor, check) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    check(estimator)


class TestOneComponent:
    """One Gaussian of inputs and outputs is a linear regression."""

    def test_predicts_as_least_squares(self) -> None:
        ours, theirs = GMMRegressor(**EXACT).fit(X, Y), LinearRegression().fit(X, Y)
        close(ours.predict(X), theirs.predict(X))
        close(ours.score(X, Y), theirs.score(X, Y))

    def test_spread_is_that_of_the_residuals(self) -> None:
        model = GMMRegressor(**EXACT).fit(X, Y)
        mean, deviation = model.predict(X, return_std=True)
        spread = np.sqrt(np.mean((Y - mean) ** 2))
        close(deviation, np.full(80, spread))
        close(model.predict_log_density(X, Y), norm.logpdf(Y, mean, spread))
        q = [0.05, 0.3, 0.5, 0.99]
        close(model.predict_quantile(X, q), norm.ppf(q) * spread + mean[:, None])

    def test_several_outputs(self) -> None:
        both = np.column_stack([Y, X[:, 0] + 0.1 * normal_array(80, seed=3)])
        model = GMMRegressor(**EXACT).fit(X, both)
        close(model.predict(X), LinearRegression().fit(X, both).predict(X))
        assert model.n_outputs_ == 2
        assert model.predict(X, return_std=True)[1].shape == (80, 2)
        assert model.predict_quantile(X[:5], [0.1, 0.5, 0.9]).shape == (5, 2, 3)
        assert model.sample_y(X[:5], 7).shape == (5, 2, 7)

    def test_a_missing_input_is_integrated_out(self) -> None:
        model = GMMRegressor(**EXACT).fit(X, Y)
        holes = np.column_stack([X[:, 0], np.full(80, np.nan)])
        close(model.predict(holes), LinearRegression().fit(X[:, :1], Y).predict(X[:, :1]))

    def test_missing_outputs_are_left_out(self) -> None:
        """With whole inputs, rows without an output say nothing of the regression."""
        some = np.where(np.arange(80) < 60, Y, np.nan)
        model = GMMRegressor(tol=1e-14, max_iter=2000, **EXACT).fit(X, some)
        theirs = LinearRegression().fit(X[:60], Y[:60])
        assert np.abs(model.predict(X) - theirs.predict(X)).max() < 1e-5


class TestConditionals:
    POINTS = numbers([[0.5, 1.0, 0.0], [2.5, math.nan, 0.0], [math.nan, math.nan, 0.0]])

    def test_are_the_conditional_mixtures(self) -> None:
        found = MIXTURE.conditionals(self.POINTS, [2])
        known = [
            MIXTURE.conditional([0, 1], [0.5, 1.0]),
            MIXTURE.marginal([0, 2]).conditional([0], [2.5]),
            MIXTURE.marginal([2]),
        ]
        for i, mixture in enumerate(known):
            close(found.weights[i], mixture.weights)
            close(found.means[i], mixture.means)
            close(found.covariances[i], mixture.covariance_matrices())
            close(found.mean()[i], mixture.mean())
            close(found.covariance()[i], mixture.covariance())

    def test_of_several_features_in_any_order(self) -> None:
        found = MIXTURE.conditionals([[0.5, 0.0, 0.0]], ["x2", "x1"])
        known = MIXTURE.conditional([0], [0.5]).marginal([1, 0])
        close(found.mean()[0], known.mean())
        close(found.covariance()[0], known.covariance())

    def test_quantiles_invert_the_distribution(self) -> None:
        found, q = MIXTURE.conditionals(self.POINTS, [1, 2]), numbers([1e-6, 0.1, 0.5, 0.9])
        close(found.cdf(found.quantile(q)), q.expand(3, 2, -1))

    def test_draws_have_the_mean_and_the_covariance(self) -> None:
        found = MIXTURE.conditionals(self.POINTS, [1, 2])
        draws = found.sample(20_000, torch.Generator().manual_seed(1))
        away = draws - found.mean()
        limit = -float(torch.special.ndtri(numbers(FAILURE_RATE / 2 / 18)))
        error = away.std(0) / math.sqrt(len(draws))
        assert bool((away.mean(0).abs() < limit * error).all())
        squares = away[..., None] * away[..., None, :]
        error = squares.std(0) / math.sqrt(len(draws))
        assert bool(((squares.mean(0) - found.covariance()).abs() < limit * error).all())


class TestRegression:
    def test_a_bend_needs_two_components(self) -> None:
        x = np.linspace(-3, 3, 400)[:, None]
        y = np.abs(x[:, 0]) + 0.1 * normal_array(400, seed=4)
        scores = [GMMRegressor(k, random_state=0).fit(x, y).score(x, y) for k in (1, 2)]
        assert scores[0] < 0.1
        assert scores[1] > 0.95

    def test_methods_with_priors(self) -> None:
        model = GMMRegressor(2, method="map", random_state=0).fit(X, Y)
        assert model.converged_
        assert model.score(X, Y) > 0.95

    @pytest.mark.parametrize("q", [[0.0], [1.5], [np.nan]])
    def test_quantiles_are_probabilities(self, q: list[float]) -> None:
        model = GMMRegressor(**EXACT).fit(X, Y)
        with pytest.raises(ValueError, match="quantiles must be"):
            model.predict_quantile(X, q)

    @pytest.mark.parametrize(
        ("y", "told"), [(np.zeros((3, 1)), "inconsistent numbers"), (np.zeros((2, 2)), "1 outputs")]
    )
    def test_densities_are_of_as_many_outputs(self, y: np.ndarray, told: str) -> None:
        model = GMMRegressor(**EXACT).fit(X, Y)
        with pytest.raises(ValueError, match=told):
            model.predict_log_density(X[:2], y)

    def test_outputs_are_needed(self) -> None:
        with pytest.raises(ValueError, match="requires y to be passed"):
            GMMRegressor().fit(X, None)
