"""Pictures of odd data and odd fits: names of any kind, collapsed components, estimators."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

import gmm_pyro as gp
from gmm_pyro import plots
from gmm_pyro.estimator import GaussianMixtureClassifier, PyroGaussianMixture
from runs import quietly

X = np.random.default_rng(0).normal(size=(40, 2)) + 5 * np.repeat([[0.0], [1.0]], 20, axis=0)
LABELS = np.repeat([0, 1], 20)
MIXTURE = gp.fit(gp.MixtureModel(2), X).mixture
pytestmark = pytest.mark.usefixtures("no_figures_left")
ODD_NAMES = ["$$", "$", "a $ b $ c", r"$\frac$", "a_b", "%", "\\", "{", "^", "~&#", "two\nlines"]


def drawn(ax: Any) -> Any:
    """What it is, after it has been drawn."""
    ax.figure.canvas.draw()
    return ax


def is_literal(text: Text) -> bool:
    return not text.get_parse_math()


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_of_any_kind_is_written_as_it_is(name: str, ax: Axes) -> None:
    plots.scatter(pd.DataFrame(X, columns=[name, "b"]), ax=ax)
    assert drawn(ax).get_xlabel() == name


def test_all_pictures_write_names_as_they_are() -> None:
    name = "$$"
    frame = pd.DataFrame(X, columns=[name, "b"])
    mixture = gp.GaussianMixture(
        MIXTURE.weights, MIXTURE.means, MIXTURE.covariances, feature_names=[name, "b"]
    )
    for ax in (
        plots.clusters(mixture, frame),
        plots.responsibilities(mixture, frame, features=name),
        plots.density(mixture, features=[name]),
    ):
        assert drawn(ax).get_xlabel() == name
        assert is_literal(ax.xaxis.label)


def test_names_of_fits_are_written_as_they_are() -> None:
    name = "$$"
    fit = gp.fit(gp.MixtureModel(2), X)
    figure = plots.comparison_figure(X, {name: fit}, LABELS)
    figure.canvas.draw()
    assert figure.axes[1].get_title() == f"{name}   ARI 1.000"
    ax = drawn(plots.traces({name: fit}))
    (text,) = ax.get_legend().get_texts()
    assert text.get_text() == name
    assert is_literal(text)
    plots.fit_figures(fit, name=name)["trace"].canvas.draw()


def test_names_in_pictures_of_posteriors_are_written_as_they_are() -> None:
    name = r"$\frac$"
    frame = pd.DataFrame(X, columns=[name, "b"])
    with pytest.warns(gp.FitWarning):
        fit = gp.fit(gp.MixtureModel(2), frame, "gibbs", n_draws=8, n_chains=2, n_warmup=2)
    assert drawn(plots.density_band(fit.posterior, feature=name)).get_xlabel() == name
    left, _ = plots.label_traces(fit.posterior)
    assert drawn(left).get_ylabel() == f"means of {name}"


def test_names_to_show_must_be_one_a_feature() -> None:
    with pytest.raises(ValueError, match="feature_names must hold 2 names, got 3"):
        plots.scatter(X, feature_names=["a", "b", "c"])
    with pytest.raises(ValueError, match="feature_names must be a list of 2 names, got 'ab'"):
        plots.scatter(X, feature_names="ab")


# ---------------------------------------------------------------------- fits that have collapsed


def collapsed(covariances: Any, family: str, d: int) -> gp.GaussianMixture:
    means = np.concatenate([np.zeros((1, d)), np.full((1, d), 3.0)])
    return gp.GaussianMixture([0.3, 0.7], means, covariances, family)


COLLAPSED = {
    "a point": collapsed([1e-30, 1.0], "spherical", 2),
    "two points": collapsed([1e-30, 1e-30], "spherical", 2),
    "a point among three features": collapsed([1e-30, 1.0], "spherical", 3),
    "a line": collapsed([[1.0, 1e-30], [1.0, 1.0]], "diag", 2),
    "lines": collapsed([[[1.0, 1 - 1e-15], [1 - 1e-15, 1.0]]] * 2, "full", 2),
    "very far units": collapsed([1e-200, 1e-200], "spherical", 2),
    "very large units": collapsed([1e250, 1e250], "spherical", 2),
    "one filled component": gp.GaussianMixture([1.0, 0.0], [[0.0], [9.0]], [1.0, 1.0], "spherical"),
}


@pytest.mark.parametrize("mixture", COLLAPSED.values(), ids=COLLAPSED)
def test_a_collapsed_mixture_can_be_drawn(mixture: gp.GaussianMixture) -> None:
    x = np.repeat(mixture.means.numpy(), 5, axis=0)
    labels = np.repeat([0, 1], 5)
    plots.density(mixture, Figure().subplots(), features=0)
    plots.responsibilities(mixture, x, Figure().subplots())
    for draw in (plots.density, lambda mixture, ax: plots.clusters(mixture, x, ax, labels)):
        drawn(draw(mixture, Figure().subplots()))


def test_regions_that_the_grid_cannot_tell_apart_are_one() -> None:
    """A density on a single place of the grid: there is one region, which holds 99 %."""
    needle = gp.GaussianMixture(
        [1 - 1e-9, 1e-9], [[0.0, 0.0], [5.0, 5.0]], [1e-8, 1.0], "spherical"
    )
    ax = drawn(plots.density(needle))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["99%"]


@pytest.mark.parametrize("family", ["full", "tied_spherical"])
def test_a_fit_of_points_in_two_places_can_be_drawn(family: str) -> None:
    x = np.repeat([[0.0, 1.0], [2.0, 5.0]], 8, axis=0)
    with pytest.warns(gp.FitWarning):
        fit = gp.fit(gp.MixtureModel(3, family), x, max_steps=20)
    for figure in plots.fit_figures(fit).values():
        figure.canvas.draw()


@pytest.mark.parametrize(
    "x", [X[:1], np.ones((5, 3)), np.ones((5, 1)), np.column_stack([X, np.ones(40)])]
)
def test_few_or_constant_points_can_be_drawn(x: np.ndarray, ax: Axes) -> None:
    drawn(plots.scatter(x, ax=ax))


# ---------------------------------------------------------------------- what can be drawn

ESTIMATOR = PyroGaussianMixture(2, random_state=0).fit(X)


@pytest.mark.parametrize(
    "draw",
    [
        lambda fit: plots.clusters(fit, X),
        lambda fit: plots.responsibilities(fit, X),
        plots.density,
        lambda fit: plots.traces({"em": fit}),
        lambda fit: plots.comparison_figure(X, {"em": fit}).axes[1],
        lambda fit: plots.fit_figures(fit)["clusters"].axes[0],
    ],
)
def test_an_estimator_is_drawn_as_its_fit(draw: Callable[[Any], Axes]) -> None:
    one, other = (draw(fit) for fit in (ESTIMATOR, ESTIMATOR.fit_))
    assert [line.get_xydata().tolist() for line in one.lines] == [
        line.get_xydata().tolist() for line in other.lines
    ]
    assert len(one.patches) == len(other.patches)


@pytest.mark.parametrize(
    "fit", [PyroGaussianMixture(2), GaussianMixtureClassifier().fit(X, LABELS), 5, None, "em"]
)
def test_what_has_no_mixture_is_refused(fit: Any) -> None:
    message = "^fit must be a fit, a GaussianMixture or a fitted estimator, got "
    with pytest.raises(TypeError, match=message):
        plots.clusters(fit, X)
    with pytest.raises(TypeError, match=message):
        plots.comparison_figure(X, {"it": fit})


def test_a_fit_is_no_posterior() -> None:
    with pytest.raises(TypeError, match="posterior must be a gmm_pyro.Posterior, got Fit$"):
        plots.density_band(gp.fit(gp.MixtureModel(2), X))  # type: ignore[arg-type]


@pytest.mark.parametrize("features", [0, "x0", np.int64(0), [0], torch.tensor(0)])
def test_one_feature_may_be_given_as_it_is(features: Any, ax: Axes) -> None:
    assert plots.clusters(MIXTURE, X, ax, features=features).get_xlabel() == "x0"
    torch.testing.assert_close(MIXTURE.marginal(features).means[:, 0], MIXTURE.means[:, 0])


def test_words_are_classes() -> None:
    words = np.where(LABELS, "b", "a")
    ours, theirs = plots.scatter(X, words), plots.scatter(X, LABELS)
    assert [c.get_offsets().tolist() for c in ours.collections] == [
        c.get_offsets().tolist() for c in theirs.collections
    ]


@pytest.mark.parametrize("ax", [0, "here", plt.figure])
def test_axes_are_matplotlib_s(ax: Any) -> None:
    with pytest.raises(TypeError, match="^ax must be of the class Axes, got "):
        plots.scatter(X, ax=ax)


# ---------------------------------------------------------------------- surplus components


@cache
def with_surplus(kind: str, d: int) -> gp.Fit:
    """Three clusters, and five components more than there are."""
    x = gp.datasets.make_mixture(n=150, k=3, d=d, separation=6.0, seed=1).x
    concentration, method = {"vb": (0.01, "vb"), "gibbs": (gp.Static(0.01), "gibbs")}[kind]
    model = gp.MixtureModel(8, priors=gp.ConjugatePriors(concentration))
    options = {} if kind == "vb" else {"n_chains": 4, "max_doublings": 0}
    with quietly():
        return gp.fit(model, x, method, n_draws=30, **options)


@pytest.mark.parametrize("kind", ["vb", "gibbs"])
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("picture", [plots.clusters, plots.density, plots.responsibilities])
def test_emptied_components_set_no_limits(kind: str, d: int, picture: Any) -> None:
    fit, ax = with_surplus(kind, d), Figure().subplots()
    picture(fit, x=fit.observations.x, ax=ax)
    low, high = (end(fit.observations.x, 0).values for end in (torch.min, torch.max))
    room = high - low
    for axis, limits in enumerate([ax.get_xlim(), ax.get_ylim()][:d]):
        assert limits[0] > low[axis] - room[axis]
        assert limits[1] < high[axis] + room[axis]


@pytest.mark.parametrize("kind", ["vb", "gibbs"])
def test_emptied_components_are_not_drawn(kind: str) -> None:
    fit, ax = with_surplus(kind, 2), Figure().subplots()
    plots.clusters(fit, fit.observations.x, ax)
    wide = [patch for patch in ax.patches if patch.get_linewidth() == 1.8]
    assert len(wide) == 2 * 3  # at one and two standard deviations
    drawn = {tuple(np.round(patch.center, 9)) for patch in wide}
    has = sorted(set(fit.labels.tolist()))
    assert drawn == {tuple(np.round(fit.mixture.means[i].tolist(), 9)) for i in has}


def test_a_mixture_alone_is_drawn_whole() -> None:
    """Of which nobody has said that a component is surplus."""
    fit, ax = with_surplus("vb", 2), Figure().subplots()
    plots.clusters(fit.mixture, fit.observations.x, ax)
    assert len([patch for patch in ax.patches if patch.get_linewidth() == 1.8]) == 2 * 8
