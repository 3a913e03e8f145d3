"""ArviZ's pictures of a fit, on ArviZ 0.x and 1.x: each is drawn, and says what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import arviz as az
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text

import gmm_pyro as gp
from oracles import clusters, normal, table

FIRST_GENERATION = az.__version__.startswith("0.")
NAMES = ["height", "width"]
CHAINS, DRAWS = 4, 100
PARAMETERS = ["weights", "means"]
every_dimension = pytest.mark.parametrize("d", [1, 2])
pytestmark = [
    pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning"),
    pytest.mark.usefixtures("no_figures_left"),
]


@cache
def fit(d: int, k: int = 2) -> gp.Fit:
    """A fit whose draws are made out to be of several chains, with an energy."""
    found = gp.fit(
        gp.MixtureModel(k),
        table(clusters(d).x, NAMES),
        method="svi",
        guide="multivariate",
        n_draws=CHAINS * DRAWS,
    )
    draws = {
        name: value.unflatten(1, (CHAINS, DRAWS))[0]
        for name, value in found.posterior.draws.items()
    }
    energy = normal(CHAINS, DRAWS).cumsum(1)
    statistics = {"energy": energy, "diverging": energy > 15}
    return replace(found, posterior=replace(found.posterior, draws=draws, statistics=statistics))


@cache
def converted(d: int, k: int = 2) -> Any:
    return fit(d, k).to_arviz()


def plot(first: str, second: str) -> Callable[..., Any]:
    """ArviZ's function, by its name in 0.x and in 1.x."""
    function: Callable[..., Any] = getattr(az, first if FIRST_GENERATION else second)
    return function


def words() -> str:
    """All that is written in the pictures that are open."""
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures
    return "\n".join(text.get_text() for figure in figures for text in figure.findobj(Text))


def assert_named(d: int, written: str) -> None:
    """The components' numbers and the features' names can be read."""
    for name in (*NAMES[:d], "0", "1"):
        assert name in written


@every_dimension
class TestPlots:
    def test_trace(self, d: int) -> None:
        draw = plot("plot_trace", "plot_trace_dist")
        draw(converted(d), var_names=PARAMETERS, compact=False)
        assert_named(d, words())

    def test_forest(self, d: int) -> None:
        az.plot_forest(converted(d), var_names=PARAMETERS)
        one_feature = FIRST_GENERATION and d == 1  # which it does not name
        assert_named(0 if one_feature else d, words())

    def test_pair(self, d: int) -> None:
        az.plot_pair(converted(d), var_names=PARAMETERS)
        assert_named(d, words())

    def test_rank(self, d: int) -> None:
        az.plot_rank(converted(d), var_names=PARAMETERS)
        assert_named(d, words())

    def test_energy(self, d: int) -> None:
        az.plot_energy(converted(d))
        assert "BFMI" in words()

    def test_posterior_predictive(self, d: int) -> None:
        if FIRST_GENERATION:
            az.plot_ppc(converted(d), num_pp_samples=20, flatten=["obs_id"])
        else:
            az.plot_ppc_dist(converted(d), num_samples=20, cols=["feature"] if d > 1 else [])
        if d > 1:
            assert all(name in words() for name in NAMES)

    def test_prior_predictive(self, d: int) -> None:
        if FIRST_GENERATION:
            az.plot_ppc(converted(d), group="prior", num_pp_samples=20, flatten=["obs_id"])
        else:
            az.plot_ppc_dist(
                converted(d),
                group="prior_predictive",
                num_samples=20,
                cols=["feature"] if d > 1 else [],
            )
        assert words()

    def test_pareto_k(self, d: int) -> None:
        az.plot_khat(az.loo(converted(d), pointwise=True))
        assert "Shape parameter" in words() or "Pareto" in words()

    def test_prior_and_posterior(self, d: int) -> None:
        plot("plot_dist_comparison", "plot_prior_posterior")(converted(d), var_names=PARAMETERS)
        assert_named(d, words())

    def test_compare(self, d: int) -> None:
        table = az.compare({"one": converted(d, 1), "two": converted(d, 2)})
        az.plot_compare(table)
        written = words()
        assert "one" in written
        assert "two" in written


def test_all_that_the_posterior_has() -> None:
    """The number of filled components, the same in all draws, is not there to warn of."""
    assert converted(1)["sample_stats"]["filled_components"].values.std() == 0
    plot("plot_trace", "plot_trace_dist")(converted(1))
    written = words()
    for name in ("weights", "means", "scales", "log_likelihood", "log_prior"):
        assert name in written


def test_leave_one_out_pit() -> None:
    """Of univariate data: others have no order."""
    if FIRST_GENERATION:
        az.plot_loo_pit(converted(1), y="x")
    else:
        az.plot_loo_pit(converted(1))
    assert words()
