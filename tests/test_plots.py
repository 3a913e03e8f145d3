"""Claims about the pictures: what is drawn, where, in which colour, and what is left alone."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from gmm_pyro import plots
from gmm_pyro.data.observations import observe
from gmm_pyro.datasets import bimodal, iris, make_mixture, three_clusters
from gmm_pyro.inference.searched import Searched, Solution
from gmm_pyro.metrics import adjusted_rand
from gmm_pyro.mixture.value import GaussianMixture
from gmm_pyro.plots.parts import COLOURS, GREY, RING
from gmm_pyro.plots.views import mixtures_drawn, view_of_points
from gmm_pyro.posterior import Posterior

pytestmark = pytest.mark.usefixtures("no_figures_left")
DATA, UNIVARIATE, FLOWERS = three_clusters(), bimodal(), iris()


def flowers_mixture() -> GaussianMixture:
    """One component a species, from its own points."""
    groups = [FLOWERS.x[FLOWERS.labels == k] for k in range(3)]
    means = torch.stack([group.mean(0) for group in groups])
    covariances = torch.stack([torch.cov(group.T) for group in groups])
    return GaussianMixture(torch.ones(3) / 3, means, covariances, "full", FLOWERS.feature_names)


def fake_fit(mixture: GaussianMixture, n_draws: int = 100, **rest: object) -> SimpleNamespace:
    """A fit whose posterior draws are its mixture with means that vary a little."""
    generator = torch.Generator().manual_seed(0)
    k, d = mixture.means.shape
    noise = 0.1 * torch.randn(2, n_draws // 2, k, d, generator=generator, dtype=torch.float64)
    sites = {"weights": mixture.weights, **mixture.family.sites(mixture.parameters.factor[0])}
    draws = {name: value.expand(2, n_draws // 2, *value.shape) for name, value in sites.items()}
    draws["means"] = mixture.means + noise
    posterior = Posterior(draws, mixture.family, observe(mixture.sample(50).double()))
    return SimpleNamespace(mixture=mixture, posterior=posterior, **rest)


def ellipses(ax: Axes, width: float) -> list[Ellipse]:
    return [p for p in ax.patches if isinstance(p, Ellipse) and p.get_linewidth() == width]


def main_ellipses(ax: Axes) -> list[Ellipse]:
    return ellipses(ax, 1.8)


def points_by_colour(ax: Axes) -> dict[str, set[tuple[float, float]]]:
    """Places of the filled points, by their colour."""
    found: dict[str, set[tuple[float, float]]] = {}
    for collection in ax.collections:
        if collection.get_label().isdecimal() and len(collection.get_facecolor()):
            places = map(tuple, np.asarray(collection.get_offsets()).round(9))
            found.setdefault(to_hex(collection.get_facecolor()[0]).upper(), set()).update(places)
    return found


def labelled(ax: Axes, label: str) -> list[object]:
    return [artist for artist in ax.get_children() if artist.get_label() == label]


class TestScatter:
    def test_each_class_has_a_colour_and_is_named_in_a_legend_beside_the_axes(self, ax) -> None:
        plots.scatter(DATA.x, DATA.labels, ax)
        found = points_by_colour(ax)
        assert list(found) == list(COLOURS[:3])
        for k, colour in enumerate(COLOURS[:3]):
            assert found[colour] == set(map(tuple, DATA.x[DATA.labels == k].numpy().round(9)))
        assert [text.get_text() for text in ax.get_legend().texts] == ["0", "1", "2"]

    def test_names_of_a_frame_become_names_of_axes(self, ax) -> None:
        plots.scatter(pd.DataFrame(DATA.x.numpy(), columns=["width", "height"]), ax=ax)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("width", "height")
        assert ax.get_legend() is None

    def test_outliers_are_grey_and_named(self, ax) -> None:
        data = make_mixture(n=60, outliers=0.2)
        plots.scatter(data.x, data.labels, ax)
        (outliers,) = labelled(ax, "outlier")
        assert len(outliers.get_offsets()) == 12
        assert to_hex(outliers.get_edgecolor()[0]) == to_hex(GREY)

    def test_univariate_data_are_a_stacked_histogram_of_area_one(self, ax) -> None:
        plots.scatter(UNIVARIATE.x, UNIVARIATE.labels, ax)
        assert sum(bar.get_width() * bar.get_height() for bar in ax.patches) == pytest.approx(1)
        assert ax.get_ylabel() == "density"

    def test_of_many_features_the_principal_axes_are_shown(self, ax) -> None:
        plots.scatter(FLOWERS.x, FLOWERS.labels, ax)
        assert ax.get_xlabel() == "principal axis 1 (73% of variance)"
        assert ax.get_ylabel() == "principal axis 2 (23% of variance)"

    def test_small_groups_lie_on_top_of_large_ones(self, ax) -> None:
        plots.scatter(DATA.x, [0] * 290 + [1] * 10, ax)
        large, small = ax.collections
        assert small.get_zorder() > large.get_zorder()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"labels": [0, 1]}, r"labels must have shape \(300,\), got \(2,\)"),
            ({"features": ["height"]}, "no feature 'height': there are x0, x1"),
            ({"features": [0, 0]}, r"one or two different columns, got \[0, 0\]"),
            ({"features": []}, r"one or two different columns, got \[\]"),
        ],
    )
    def test_bad_input_is_named(self, ax, arguments, message) -> None:
        with pytest.raises(ValueError, match=message):
            plots.scatter(DATA.x, ax=ax, **arguments)


class TestClusters:
    def test_ellipses_lie_at_one_and_two_standard_deviations(self, ax) -> None:
        mixture = flowers_mixture().marginal(["sepal_length", "petal_width"])
        plots.clusters(mixture, FLOWERS.x[:, [0, 3]], ax)
        drawn = main_ellipses(ax)
        assert len(drawn) == 6
        for i, ellipse in enumerate(drawn):
            k, deviations = i // 2, 1 + i % 2
            boundary = ellipse.get_patch_transform().transform(ellipse.get_path().vertices[:-1:3])
            shift = torch.from_numpy(boundary) - mixture.means[k]
            distance = (shift @ mixture.covariances[k].inverse() * shift).sum(1).sqrt()
            torch.testing.assert_close(distance, torch.full_like(distance, deviations))

    def test_points_have_the_colour_of_their_most_probable_component(self, ax) -> None:
        plots.clusters(DATA.truth, DATA.x, ax)
        predicted = DATA.truth.predict(DATA.x)
        found = points_by_colour(ax)
        for k, ellipse in enumerate(main_ellipses(ax)[::2]):
            places = set(map(tuple, DATA.x[predicted == k].numpy().round(9)))
            assert found[to_hex(ellipse.get_edgecolor()).upper()] == places

    def test_with_labels_the_order_of_the_components_changes_no_colour(self, ax) -> None:
        other = Figure().subplots()
        plots.clusters(DATA.truth, DATA.x, ax, DATA.labels)
        plots.clusters(DATA.truth.permute([2, 0, 1]), DATA.x, other, DATA.labels)
        assert points_by_colour(ax) == points_by_colour(other)

    def test_exactly_the_points_in_a_cluster_of_another_class_are_ringed(self, ax) -> None:
        labels = DATA.truth.predict(DATA.x)
        labels[[3, 150]] = torch.tensor([1, 2])
        labels[7] = -1  # an outlier has no class to be in
        plots.clusters(DATA.truth, DATA.x, ax, labels)
        (rings,) = labelled(ax, RING)
        assert np.array_equal(rings.get_offsets(), DATA.x[[3, 150]])

    def test_components_beyond_the_classes_get_colours_of_their_own(self, ax) -> None:
        plots.clusters(DATA.truth, DATA.x, ax, (DATA.labels == 2).long())
        assert len({to_hex(ellipse.get_edgecolor()) for ellipse in main_ellipses(ax)}) == 3

    def test_posterior_draws_are_thin_ellipses(self, ax) -> None:
        plots.clusters(fake_fit(DATA.truth), DATA.x, ax)
        assert len(main_ellipses(ax)) == 6
        assert len(ellipses(ax, 0.5)) == 40 * 3

    @pytest.mark.parametrize("family", ["tied", "diag", "spherical", "tied_diag"])
    def test_draws_of_every_family_are_mixtures(self, family: str) -> None:
        truth = make_mixture(covariance=family, d=3).truth
        drawn = mixtures_drawn(fake_fit(truth).posterior, truth, count=5)
        assert [mixture.family.name for mixture in drawn] == [family] * 5
        torch.testing.assert_close(drawn[0].covariance_matrices(), truth.covariance_matrices())
        torch.testing.assert_close(drawn[0].weights, truth.weights)

    def test_named_features_show_the_marginal_mixture(self, ax) -> None:
        mixture, names = flowers_mixture(), ["petal_width", "sepal_length"]
        plots.clusters(mixture, FLOWERS.x, ax, features=names)
        assert [ax.get_xlabel(), ax.get_ylabel()] == names
        centres = [ellipse.get_center() for ellipse in main_ellipses(ax)[::2]]
        assert np.allclose(centres, mixture.marginal(names).means)

    def test_univariate_components_add_up_to_the_density(self, ax) -> None:
        plots.clusters(fake_fit(UNIVARIATE.truth), UNIVARIATE.x, ax, UNIVARIATE.labels)
        (density,) = labelled(ax, "mixture")
        shares = [line for line in ax.lines if line.get_linewidth() == 3]
        assert [line.get_color() for line in shares] == list(COLOURS[:2])
        assert np.allclose(sum(line.get_ydata() for line in shares), density.get_ydata())
        assert len([line for line in ax.lines if line.get_linewidth() == 0.5]) == 40

    def test_about_square_data_have_one_scale_on_both_axes(self, ax) -> None:
        assert plots.clusters(DATA.truth, DATA.x, ax).get_aspect() == 1

    def test_single_precision_and_tied_mixtures_are_drawn(self, ax) -> None:
        means, covariance = DATA.truth.means.float(), torch.eye(2)
        mixture = GaussianMixture(torch.ones(3) / 3, means, covariance, "tied")
        plots.clusters(mixture, DATA.x, ax)
        assert len(main_ellipses(ax)) == 6


class TestView:
    def test_principal_axes_do_not_depend_on_units(self) -> None:
        unit = torch.tensor([1.0, 1e3, 1e-3, 5.0], dtype=torch.float64)
        one = view_of_points(FLOWERS.x, FLOWERS.feature_names)
        other = view_of_points(FLOWERS.x * unit - 7, FLOWERS.feature_names)
        torch.testing.assert_close(one.points(FLOWERS.x), other.points(FLOWERS.x * unit - 7))

    def test_a_mixture_is_shown_as_its_points_are(self) -> None:
        mixture = flowers_mixture()
        view = view_of_points(FLOWERS.x, FLOWERS.feature_names)
        shown = view.mixture(mixture)
        x = mixture.sample(200_000)
        torch.testing.assert_close(shown.mean(), view.points(x).mean(0), atol=0.02, rtol=0)
        torch.testing.assert_close(
            shown.covariance(), torch.cov(view.points(x).T), atol=0.02, rtol=0.02
        )


class TestResponsibilities:
    def test_a_sure_point_has_its_components_colour_and_a_shared_one_their_mean(self, ax) -> None:
        pair = GaussianMixture([0.5, 0.5], [[-9.0, 0.0], [9.0, 0.0]], [1.0, 1.0], "spherical")
        plots.responsibilities(pair, [[-9.0, 0.0], [0.0, 0.0], [9.0, 1.0]], ax)
        (points,) = ax.collections
        at = dict(zip(points.get_offsets()[:, 0], points.get_facecolor()[:, :3], strict=True))
        assert to_hex(at[-9.0]).upper() == COLOURS[0]
        assert to_hex(at[9.0]).upper() == COLOURS[1]
        assert np.allclose(at[0.0], (at[-9.0] + at[9.0]) / 2)

    def test_the_least_sure_points_have_the_darkest_edges(self, ax) -> None:
        plots.responsibilities(DATA.truth, DATA.x, ax)
        (points,) = ax.collections
        darkness = points.get_edgecolor()[:, 3]
        order = DATA.truth.responsibilities(DATA.x).amax(1).argsort(descending=True)
        assert np.array_equal(points.get_offsets()[-1], DATA.x[order[-1]])
        assert darkness[-1] == darkness.max() > 0.3

    def test_univariate_ones_are_curves_that_add_up_to_one(self, ax) -> None:
        plots.responsibilities(UNIVARIATE.truth, UNIVARIATE.x, ax, UNIVARIATE.labels)
        assert np.allclose(sum(line.get_ydata() for line in ax.lines[:2]), 1)
        assert ax.get_ylabel() == "responsibility"


class TestDensity:
    def test_a_curve_of_area_one(self, ax) -> None:
        plots.density(UNIVARIATE.truth, ax, UNIVARIATE.x)
        (line,) = ax.lines
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1, abs=1e-3)

    def test_regions_hold_their_probabilities(self, ax) -> None:
        plots.density(DATA.truth, ax)
        levels = ax.collections[1].levels
        height = DATA.truth.log_prob(DATA.truth.sample(50_000)).exp().numpy()
        held = [(height > level).mean() for level in levels]
        assert np.allclose(held, [0.99, 0.9, 0.5], atol=0.01)
        names = [text.get_text() for text in ax.get_legend().texts]
        assert names == ["50%", "90%", "99%"]

    def test_draws_of_a_univariate_fit_are_thin_curves(self, ax) -> None:
        plots.density(fake_fit(UNIVARIATE.truth, n_draws=10), ax)
        assert len(ax.lines) == 11

    def test_many_features_are_shown_along_principal_axes(self, ax) -> None:
        plots.density(flowers_mixture(), ax, FLOWERS.x)
        assert ax.get_xlabel().startswith("principal axis 1")


class TestTraces:
    def test_the_gap_to_the_best_in_nats_a_point_over_the_steps(self, ax) -> None:
        observations = SimpleNamespace(total_weight=10)
        history = torch.tensor([-30.0, -20.0, -10.0], dtype=torch.float64)
        fits = {
            "long": SimpleNamespace(history=history, steps=50, observations=observations),
            "kmeans": SimpleNamespace(history=history[:1], steps=7, observations=observations),
        }
        plots.traces(fits, ax)
        (line,) = ax.lines
        assert line.get_label() == "long"
        assert line.get_xdata().tolist() == [0, 25, 50]
        assert line.get_ydata().tolist() == [2, 1, 0]
        assert (ax.get_xscale(), ax.get_yscale()) == ("symlog", "symlog")


class TestParameterErrors:
    TABLE = pd.DataFrame(
        {
            "weight_error": [0.0, 0.1, np.nan],
            "mean_error": [0.2, 0.3, np.nan],
            "covariance_error": [0.4, 0.5, np.nan],
        },
        index=["em", "svi", "broken"],
    )

    def test_a_dot_for_each_error_in_a_row_for_each_method_that_has_any(self, ax) -> None:
        plots.parameter_errors(self.TABLE, ax)
        assert [label.get_text() for label in ax.get_yticklabels()] == ["em", "svi"]
        dots = {line.get_label(): line.get_xdata() for line in ax.lines}
        assert dots["weights"].tolist() == [0.0, 0.1]
        assert dots["means"].tolist() == [0.2, 0.3]
        assert dots["covariances"].tolist() == [0.4, 0.5]
        assert ax.yaxis_inverted()  # the first method is on top

    def test_without_a_truth_there_is_nothing_to_draw(self, ax) -> None:
        with pytest.raises(ValueError, match="need data with a known truth"):
            plots.parameter_errors(self.TABLE.iloc[2:], ax)


class TestSolutions:
    def drawn(self, ax: Axes, *solutions: Solution) -> Axes:
        search = Searched(90, 10, 8, 2, solutions)
        return plots.plot_solutions(SimpleNamespace(search=search, method="em"), ax)

    def test_one_is_said_to_be_alone(self, ax) -> None:
        self.drawn(ax, Solution(-9.0, sound=True, times=16, moves=0))
        assert ax.get_title() == "one solution, found 16 times"
        assert [text.get_text() for text in ax.texts] == ["×16"]

    def test_each_has_a_row_and_the_best_is_on_top(self, ax) -> None:
        sound, moved = (
            Solution(-9.0, sound=True, times=1, moves=0),
            Solution(-9.5, sound=True, times=3, moves=2),
        )
        self.drawn(ax, sound, moved, Solution(-7.0, sound=False, times=1, moves=0))
        (first,), (by_moves,), (spike,) = (
            labelled(ax, name)
            for name in ("sound, from a start", "sound, by moves", "not sound, from a start")
        )
        assert [line.get_xdata()[0] for line in (first, by_moves, spike)] == [0, 0.5, -2]
        assert [line.get_ydata()[0] for line in (first, by_moves, spike)] == [0, 1, 2]
        assert spike.get_markerfacecolor() == "white"
        assert by_moves.get_marker() == "D"
        assert ax.yaxis_inverted()
        assert ax.get_title() == "3 solutions, 2 of them sound, the best found once"

    @pytest.mark.parametrize(("gap", "scale"), [(0.3, "linear"), (3000.0, "symlog")])
    def test_near_and_far_ones_can_be_told_apart(self, ax, gap: float, scale: str) -> None:
        self.drawn(
            ax,
            Solution(0.0, sound=True, times=1, moves=0),
            Solution(-gap, sound=True, times=1, moves=0),
        )
        assert ax.get_xscale() == scale
        assert ax.get_xlim()[0] < 0 < gap < ax.get_xlim()[1]

    def test_one_of_infinite_likelihood_has_a_row_without_a_mark(self, ax) -> None:
        self.drawn(
            ax,
            Solution(0.0, sound=True, times=1, moves=0),
            Solution(-np.inf, sound=False, times=1, moves=0),
        )
        assert ax.texts[1].get_text() == "×1  no finite likelihood"

    def test_very_many_are_cut_short(self, ax) -> None:
        self.drawn(ax, *(Solution(-float(i), sound=True, times=1, moves=0) for i in range(30)))
        assert len(ax.get_yticks()) == 20
        assert "the last 10 are not shown" in ax.get_title()

    def test_a_fit_without_a_search_is_refused(self, ax) -> None:
        with pytest.raises(ValueError, match="kmeans does not search for the likeliest mixture"):
            plots.plot_solutions(SimpleNamespace(search=None, method="kmeans"), ax)


class TestComparisonFigure:
    def figure(self, labels=DATA.labels, **fits) -> Figure:
        fits = fits or {"one": DATA.truth, "other": DATA.truth.permute([1, 2, 0])}
        return plots.comparison_figure(DATA.x, fits, labels, figure=Figure(layout="compressed"))

    def test_the_data_come_first_and_then_a_panel_for_each_fit(self) -> None:
        score = adjusted_rand(DATA.labels, DATA.truth.predict(DATA.x))
        titles = [ax.get_title() for ax in self.figure().axes]
        assert titles == [
            "data, true classes",
            *(f"{n}   ARI {score:.3f}" for n in ("one", "other")),
        ]

    def test_all_panels_have_the_same_limits(self) -> None:
        axes = self.figure().axes
        assert len({(ax.get_xlim(), ax.get_ylim()) for ax in axes}) == 1

    def test_a_cluster_has_one_colour_in_all_panels(self) -> None:
        _, one, other = self.figure().axes
        assert points_by_colour(one) == points_by_colour(other)

    def test_without_labels_colours_follow_the_first_fit(self) -> None:
        data, one, other = self.figure(labels=None).axes
        assert data.get_title() == "data"
        assert points_by_colour(one) == points_by_colour(other)
        assert not labelled(other, RING)

    def test_only_outer_axes_are_named(self) -> None:
        fits = {str(i): DATA.truth for i in range(4)}
        axes = self.figure(**fits).axes  # three above two
        assert [ax.get_ylabel() for ax in axes] == ["x1", "", "", "x1", ""]
        assert [ax.get_xlabel() for ax in axes] == ["", "", "x0", "x0", "x0"]

    def test_no_title_or_label_overlaps_another(self) -> None:
        figure = self.figure(**{f"{name}:enumerated": DATA.truth for name in "abcdefg"})
        figure.draw_without_rendering()
        boxes = [ax.title.get_window_extent() for ax in figure.axes]
        boxes += [ax.get_window_extent() for ax in figure.axes]
        boxes += [figure.legends[0].get_window_extent()]
        overlaps = [
            (a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.padded(-1).overlaps(b)
        ]
        assert not overlaps
        assert all(figure.bbox.padded(1).containsx(x) for box in boxes for x in (box.x0, box.x1))
        assert all(figure.bbox.padded(1).containsy(y) for box in boxes for y in (box.y0, box.y1))


class TestPosteriors:
    """Pictures of draws: two chains of fifty."""

    def posterior(self) -> Posterior:
        return fake_fit(DATA.truth).posterior

    def switched(self) -> Posterior:
        """The draws of the second half of each chain with two components exchanged."""
        posterior = self.posterior()
        draws = {name: value.clone() for name, value in posterior.draws.items()}
        for value in draws.values():
            value[:, 25:] = value[:, 25:, [1, 0, 2]]
        return replace(posterior, draws=draws)

    def test_the_band_lies_about_the_mean_density(self, ax) -> None:
        posterior = self.posterior()
        plots.density_band(posterior, ax, feature="x1", prob=0.5)
        (mean,) = ax.lines
        (band,) = ax.collections
        grid = mean.get_xdata()
        expected = posterior.density_band(grid, 0.5, feature="x1")
        assert np.allclose(mean.get_ydata(), expected.mean)
        corners = band.get_paths()[0].vertices
        assert corners[:, 1].max() == pytest.approx(float(expected.upper.max()))
        assert sum(bar.get_width() * bar.get_height() for bar in ax.patches) == pytest.approx(1)
        assert [t.get_text() for t in ax.get_legend().texts][1] == "50% band"
        assert ax.get_xlabel() == "x1"

    def test_points_of_weight_zero_are_no_part_of_the_histogram(self, ax) -> None:
        posterior = fake_fit(UNIVARIATE.truth).posterior
        weight = (posterior.observations.x[:, 0] > 0).double()
        data = replace(posterior.observations, sample_weight=weight)
        plots.density_band(replace(posterior, observations=data), ax)
        assert all(b.get_height() == 0 for b in ax.patches if b.get_x() + b.get_width() < 0)

    def test_ellipses_of_some_draws_and_of_their_mean(self, ax) -> None:
        posterior = self.posterior()
        plots.posterior_ellipses(posterior, ax, n_draws=7)
        assert len(ellipses(ax, 0.5)) == 7 * 3
        centres = [ellipse.get_center() for ellipse in main_ellipses(ax)[::2]]
        assert np.allclose(centres, posterior.mixture().means)

    def test_densities_of_univariate_draws_are_curves(self, ax) -> None:
        plots.posterior_ellipses(fake_fit(UNIVARIATE.truth).posterior, ax, n_draws=7)
        assert len(ax.lines) == 8

    def test_traces_are_of_the_draws_as_sampled_and_aligned(self) -> None:
        switched, axes = self.switched(), tuple(Figure().subplots(1, 2))
        assert plots.label_traces(switched, axes, by=("means", 1)) == axes
        for ax, posterior in zip(axes, (switched, switched.relabel()), strict=True):
            dots = ax.lines[:3]
            for k, line in enumerate(dots):
                assert np.array_equal(line.get_ydata(), posterior.draws["means"][..., k, 1].ravel())
            assert [line.get_color() for line in dots] == list(COLOURS[:3])
        assert [ax.get_title() for ax in axes] == ["as sampled", "aligned"]
        assert axes[0].get_ylabel() == "means of x1"

    def test_draws_that_are_aligned_are_shown_as_they_are(self) -> None:
        ordered = self.switched().relabel("ordered", by="weights")
        _, right = plots.label_traces(ordered, tuple(Figure().subplots(1, 2)), by="weights")
        assert np.array_equal(right.lines[0].get_ydata(), ordered.draws["weights"][..., 0].ravel())

    def test_a_number_that_components_do_not_have_is_refused(self) -> None:
        with pytest.raises(ValueError, match="by must be one of the sites"):
            plots.label_traces(self.posterior(), tuple(Figure().subplots(1, 2)), by="colour")

    def test_pairs_are_ordered_by_cluster(self, ax) -> None:
        posterior = self.posterior()
        plots.co_clustering(posterior, ax)
        (picture,) = ax.images
        found = posterior.partition()
        sizes = found.labels.bincount().tolist()
        assert [t.get_text() for t in ax.get_xticklabels()] == [str(size) for size in sizes]
        matrix = np.asarray(picture.get_array())
        assert matrix[: sizes[0], : sizes[0]].mean() > 0.9
        assert matrix[: sizes[0], sizes[0] :].mean() < 0.1
        assert np.allclose(np.sort(matrix.ravel()), found.co_clustering.flatten().sort().values)

    def test_of_many_points_some_are_shown(self, ax) -> None:
        plots.co_clustering(self.posterior(), ax, max_points=20)
        assert ax.images[0].get_array().shape == (20, 20)

    @pytest.mark.parametrize("name", ["density_band", "posterior_ellipses", "co_clustering"])
    def test_nothing_is_cut_off(self, name) -> None:
        extra = {"feature": 0} if name == "density_band" else {}
        ax = getattr(plots, name)(self.posterior(), **extra)
        self.check_inside(ax.figure)

    def test_nothing_of_the_traces_is_cut_off(self) -> None:
        self.check_inside(plots.label_traces(self.switched())[0].figure)

    def check_inside(self, figure: Figure) -> None:
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height


class TestStateOfMatplotlib:
    def test_without_axes_pyplot_makes_one_figure(self) -> None:
        ax = plots.scatter(DATA.x)
        assert [plt.figure(number) for number in plt.get_fignums()] == [ax.figure]

    def test_with_axes_pyplot_hears_of_nothing(self, ax) -> None:
        before, backend = mpl.rcParams.copy(), mpl.get_backend()
        plots.clusters(DATA.truth, DATA.x, ax, DATA.labels)
        plots.density(DATA.truth, Figure().subplots())
        TestComparisonFigure().figure()
        assert plt.get_fignums() == []
        assert (mpl.rcParams, mpl.get_backend()) == (before, backend)
