"""ArviZ's tools on a conversion as it comes, on ArviZ 0.x and 1.x, held to exact answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text
from scipy.stats import t as student

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel
from gmm_pyro.inference_data import elpd_loo
from gmm_pyro.posterior.readable import matrices, without_constants
from oracles import PRIORED, clusters, numbers, table

FIRST_GENERATION = az.__version__.startswith("0.")
NAMES = ["height", "width", "depth"]
STEP_LIMIT = pytest.mark.filterwarnings(
    "ignore:svi.* stopped at the step limit:gmm_pyro.FitWarning"
)
pytestmark = pytest.mark.usefixtures("no_figures_left")
PARETO = pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning")


def frame(d: int, n: int = 40) -> pd.DataFrame:
    """Two clusters, one feature in thousands."""
    return table(clusters(d, n, seed=2).x * numbers([1.0, 1e3, 1.0])[:d], NAMES)


def four_chains(found: gp.Fit) -> gp.Fit:
    """The same draws as if of four chains: R-hat has something to compare."""
    draws = {name: value.unflatten(1, (4, -1))[0] for name, value in found.posterior.draws.items()}
    return replace(found, posterior=replace(found.posterior, draws=draws, statistics={}))


@cache
def sampled(k: int, d: int) -> gp.Fit:
    return gp.fit(MixtureModel(k), frame(d), "gibbs", n_draws=100, n_warmup=20, max_doublings=0)


# ---------------------------------------------------------------------- nothing that never varies


@STEP_LIMIT
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("family", PRIORED)
def test_all_that_is_in_the_posterior_varies(family: str, k: int, d: int) -> None:
    """So that no quantity's R-hat is 0 / 0, which ArviZ warns of."""
    found = gp.fit(MixtureModel(k, family), frame(d), "svi", max_steps=3, n_draws=100)
    data = four_chains(found).to_arviz(n_prior_draws=3)
    for function in (az.rhat, az.ess, az.mcse):
        values = function(data)
        for name in values.data_vars:
            assert np.isfinite(values[name].values).all()
    posterior, prior = set(data["posterior"].data_vars), set(data["prior"].data_vars)
    assert posterior - prior == {"log_likelihood", "log_prior"}
    assert prior <= posterior
    assert ("weights" in posterior) == (k > 1)
    assert {"entropy", "filled_components", "lp"} <= set(data["sample_stats"].data_vars)


@pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning")
@pytest.mark.parametrize(("k", "d"), [(1, 1), (2, 2)])
def test_tables_and_pictures_of_chains(k: int, d: int) -> None:
    data = sampled(k, d).to_arviz()
    table = az.summary(data, round_to="none")
    assert np.isfinite(table["r_hat"].astype(float)).all()
    az.plot_rank(data)
    (az.plot_trace if FIRST_GENERATION else az.plot_trace_dist)(data)
    az.plot_forest(data)


@pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning")
@pytest.mark.parametrize(("k", "d"), [(1, 2), (2, 2)])
def test_the_worst_number_is_the_diagnostics(k: int, d: int) -> None:
    """What a fit says of its chains is what ArviZ says of the group `posterior`."""
    fit = sampled(k, d)
    posterior = fit.to_arviz()["posterior"]

    def worst(values: Any, over: Any) -> float:
        return float(over([over(values[name].values) for name in values.data_vars]))

    assert fit.diagnostics["r_hat"] == pytest.approx(worst(az.rhat(posterior), np.max))
    bulk = az.ess(posterior, method="bulk")
    assert fit.diagnostics["ess_bulk"] == pytest.approx(worst(bulk, np.min))


@pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning")
def test_matrices_and_weights_of_one_on_request() -> None:
    """Pairs are those below the diagonal, and are called by both features."""
    fit = sampled(1, 3)
    short, full = fit.to_arviz()["posterior"], fit.to_arviz(constants=True)["posterior"]
    assert list(full["correlations"].dims)[-2:] == ["feature", "feature_bis"]
    assert (full["weights"].values == 1).all()
    pairs = short["correlations"].coords["pair"].values.tolist()
    assert pairs == ["width, height", "depth, height", "depth, width"]
    for pair in pairs:
        first, second = pair.split(", ")
        one = full["correlations"].sel(feature=first, feature_bis=second)
        np.testing.assert_array_equal(short["correlations"].sel(pair=pair).values, one.values)
    again = matrices(short["correlations"].values, 3)
    np.testing.assert_array_equal(again, full["correlations"].values)


def test_correlations_of_one_feature_are_none() -> None:
    kept = without_constants({"weights": np.ones((1, 2, 2)), "correlations": np.ones((1, 2, 1, 1))})
    assert kept["correlations"].shape == (1, 2, 0)


# ---------------------------------------------------------------------- sensitivity to the prior

POINTS = np.array([1.9, 0.4, 2.6, 1.2, 3.1, 0.9, 1.4, 2.2])
PRIOR = {"mean": 0.0, "mean_strength": 1.0, "dof": 4.0, "scale": 1.0}
EDGES = np.linspace(-1.5, 4.5, 601), np.linspace(-4.0, 3.0, 601)  # mean, log precision


def sensitivity(data: Any, component: str) -> Any:
    if FIRST_GENERATION:
        return az.psens(data, component=component)
    return az.psense(data, group=component)


def parts(mean: np.ndarray, log_precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log prior density and log-likelihood, up to constants, by their formulas."""
    precision = np.exp(log_precision)
    prior = (PRIOR["dof"] / 2 - 1) * log_precision - PRIOR["scale"] / 2 * precision
    prior = prior + 0.5 * log_precision - 0.5 * precision * (mean - PRIOR["mean"]) ** 2
    squares = sum((x - mean) ** 2 for x in POINTS)
    return prior, len(POINTS) / 2 * log_precision - precision * squares / 2


def distributions(of: str, powers: dict[str, float], at: np.ndarray) -> np.ndarray:
    """Exact distribution function of the mean, or of the deviation, by a sum over a grid."""
    mean, log_precision = EDGES[0][:, None], EDGES[1][None]
    prior, likelihood = parts(mean, log_precision)
    density = powers.get("prior", 1) * prior + powers.get("likelihood", 1) * likelihood
    density = np.exp(density - density.max() + log_precision)  # of the log precision
    places, marginal = (EDGES[0], density.sum(1)) if of == "means" else (EDGES[1], density.sum(0))
    if of == "scales":
        places, marginal = np.exp(-places[::-1] / 2), marginal[::-1]
    whole = np.cumsum(marginal) - marginal / 2
    return np.interp(at, places, whole / marginal.sum(), left=0, right=1)


def distance(p: np.ndarray, q: np.ndarray, at: np.ndarray) -> float:
    """Cumulative Jensen-Shannon distance of two distribution functions (Kallioinen et al. 2024)."""

    def one_way(p: np.ndarray, q: np.ndarray) -> float:
        ratio = np.log2(np.where(p > 0, p, 1)) - np.log2(np.where(p > 0, (p + q) / 2, 1))
        return float(np.trapezoid(p * ratio + (q - p) / (2 * np.log(2)), at))

    ends = [(p, q), (1 - p, 1 - q)]
    return max(((one_way(p, q) + one_way(q, p)) / np.trapezoid(p + q, at)) ** 0.5 for p, q in ends)


@pytest.mark.parametrize("component", ["prior", "likelihood"])
def test_sensitivity_to_a_power_of_the_prior(component: str) -> None:
    """A normal sample with its conjugate prior, whose power scales as the grid's does."""
    data = conjugate("gibbs").to_arviz(n_prior_draws=0)
    found = sensitivity(data, component)
    for name in ("means", "scales"):
        draws = data["posterior"][name].values
        at = np.linspace(draws.min(), draws.max(), 2001)

        def exact(power: float, name: str = name, at: np.ndarray = at) -> np.ndarray:
            return distributions(name, {component: power}, at)

        expected = per_doubling(exact, at)
        assert float(found[name].values.ravel()[0]) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("component", ["prior", "likelihood"])
def test_sensitivity_of_draws_that_approximate(component: str) -> None:
    """They are weighted by powers of the prior, here of its formula."""
    data = conjugate("svi").to_arviz(n_prior_draws=0)
    found = sensitivity(data, component)
    means, scales = (data["posterior"][name].values.ravel() for name in ("means", "scales"))
    log_density = dict(zip(("prior", "likelihood"), parts(means, -2 * np.log(scales)), strict=True))
    for name, draws in (("means", means), ("scales", scales)):
        order = np.argsort(draws)

        def cumulative(power: float, order: np.ndarray = order) -> np.ndarray:
            weights = np.exp((power - 1) * log_density[component][order])
            return np.cumsum(weights) / weights.sum()

        expected = per_doubling(cumulative, draws[order])
        assert float(found[name].values.ravel()[0]) == pytest.approx(expected, rel=0.1)


def per_doubling(distribution: Callable[[float], np.ndarray], at: np.ndarray) -> float:
    """How far a distribution goes as a part of its density gets twice the power, linearly."""
    far = [distance(distribution(1.0), distribution(power), at) for power in (1.01, 1 / 1.01)]
    return sum(far) / (2 * np.log2(1.01))


@cache
def conjugate(method: str) -> gp.Fit:
    options = {"guide": "multivariate"} if method == "svi" else {}
    model = MixtureModel(1, priors=ConjugatePriors(**PRIOR))
    return gp.fit(model, POINTS, method, n_draws=4000, seed=3, **options)


# ---------------------------------------------------------------------- a variable a feature


@cache
def conjugate_normal(d: int = 2) -> gp.Fit:
    """One component, for which what is left out is predicted by a Student distribution."""
    prior = ConjugatePriors(mean=0.0, mean_strength=1.0, dof=d + 3.0, scale=np.eye(d))
    return gp.fit(MixtureModel(1, priors=prior), skewed(d), "gibbs", n_draws=1000, seed=1)


def skewed(d: int) -> pd.DataFrame:
    x = np.random.default_rng(4).standard_normal((25, d)) @ np.triu(np.ones((d, d)))
    return pd.DataFrame(x, columns=NAMES[:d])


def left_out(x: np.ndarray, j: int) -> np.ndarray:
    """Where feature j of each point lies in its prediction from the other points (Murphy 2007)."""
    n, d = x.shape
    places = []
    for i in range(n):
        rest = np.delete(x, i, 0)
        strength, dof, centre = n, d + 3.0 + n - 1, rest.sum(0) / n
        scatter = (rest - rest.mean(0)).T @ (rest - rest.mean(0))
        pull = (n - 1) / n * np.outer(rest.mean(0), rest.mean(0))
        free = dof - d + 1
        spread = (np.eye(d) + scatter + pull)[j, j] * (strength + 1) / (strength * free)
        places.append(student.cdf((x[i, j] - centre[j]) / spread**0.5, free))
    return np.array(places)


@PARETO
@pytest.mark.parametrize("d", [1, 2])
def test_leave_one_out_pit_of_every_feature(d: int) -> None:
    data = conjugate_normal(d).to_arviz(by_feature=True)
    x = skewed(d).to_numpy()
    for j, name in enumerate(NAMES[:d]):
        pit = az.loo_pit(data, y=name) if FIRST_GENERATION else az.loo_pit(data)[name]
        np.testing.assert_allclose(np.asarray(pit), left_out(x, j), atol=0.05)  # 4,000 draws


@PARETO
def test_what_is_left_out_is_whole_points() -> None:
    plain, split = conjugate_normal().to_arviz(), conjugate_normal().to_arviz(by_feature=True)
    for name in NAMES[:2]:
        of_points = split["log_likelihood"][name].values
        np.testing.assert_array_equal(of_points, plain["log_likelihood"]["x"].values)
        for group in ("observed_data", "posterior_predictive", "prior_predictive"):
            column = plain[group]["x"].sel(feature=name).values
            np.testing.assert_array_equal(split[group][name].values, column)
    assert elpd_loo(split) == elpd_loo(plain)


@PARETO
@pytest.mark.parametrize("d", [1, 2])
def test_pictures_of_the_data_have_an_axis_a_feature(d: int) -> None:
    data = conjugate_normal(d).to_arviz(by_feature=True)
    if FIRST_GENERATION:
        az.plot_ppc(data, num_pp_samples=10)
        az.plot_ppc(data, group="prior", num_pp_samples=10)
        for name in NAMES[:d]:
            az.plot_loo_pit(data, y=name)
    else:
        az.plot_ppc_dist(data, num_samples=10)
        az.plot_ppc_dist(data, group="prior_predictive", num_samples=10)
        az.plot_loo_pit(data)
    figure = plt.figure(plt.get_fignums()[0])
    written = {text.get_text() for text in figure.findobj(Text)}
    for name in NAMES[:d]:
        assert any(name in words for words in written)
    assert sum(axes.has_data() for axes in figure.axes) == d


@pytest.mark.parametrize("name", ["draw", "obs_id", "a/b"])
def test_a_feature_that_cannot_be_a_variable_is_named(name: str) -> None:
    columns = pd.DataFrame(skewed(2).to_numpy(), columns=[name, "width"])
    fit = gp.fit(MixtureModel(1), columns, "laplace", n_draws=10)
    fit.to_arviz()
    with pytest.raises(ValueError, match=f"{name}.* cannot be one"):
        fit.to_arviz(by_feature=True)
