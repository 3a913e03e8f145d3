"""Claims about the examples: each runs without a warning, draws its picture, and tells the truth.

An example runs once, on a copy of its script, and the tests look at what it printed and computed.
"""

from __future__ import annotations

import ast
import io
import math
import re
import runpy
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyro
import pytest
import torch
from matplotlib.image import imread
from scipy.stats import chi2, gaussian_kde, multivariate_t
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as SklearnMixture

import gmm_pyro as gp
from gmm_pyro.cli.away import environment_as_it_was
from gmm_pyro.inference import METHODS
from oracles import STANDARD_ERRORS

FOLDER = Path(__file__).parents[1] / "examples"
SLOW = {
    "calibration",
    "compare_methods",
    "concentration_prior",
    "hierarchy",
    "how_many_components",
    "iris_species",
    "larger_than_memory",
    "mixture_layer",
    "posterior",
    "prior_sensitivity",
    "univariate_density",
    "your_own_guide",
}
EXAMPLES = [
    pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
    for path in sorted(FOLDER.glob("*.py"))
]
COMPARED = ["kmeans", "em", "map", "svi", "gibbs"]  # what gmm_pyro.compare runs if not told
LARGEST_PICTURE = 150_000  # bytes, of pictures that are in the repository


@dataclass(frozen=True)
class Ran:
    """What is left of an example that has run."""

    names: dict[str, Any]
    printed: str
    picture: Path

    def __getattr__(self, name: str) -> Any:
        return self.names[name]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ran]:
    """Examples by name, each run when it is first asked for, with no global state changed."""

    @cache
    def run(name: str) -> Ran:
        script = tmp_path_factory.mktemp("examples") / f"{name}.py"
        shutil.copy(FOLDER / script.name, script)
        printed, threads = io.StringIO(), torch.get_num_threads()
        try:
            with (
                redirect_stdout(printed),
                torch.random.fork_rng(),
                plt.rc_context(),
                environment_as_it_was(),
            ):
                names = runpy.run_path(str(script), run_name="__main__")
        finally:
            torch.set_num_threads(threads)
            plt.close("all")
        return Ran(names, printed.getvalue(), script.with_suffix(".png"))

    plt.switch_backend("agg")
    return run


def numbers(line: str) -> list[float]:
    """The words of a line that are numbers."""
    return [float(word) for word in line.split() if word.lstrip("-").replace(".", "", 1).isdigit()]


@pytest.mark.parametrize("name", EXAMPLES)
class TestEveryExample:
    def test_draws_a_picture_beside_itself_and_leaves_nothing_else(self, ran, name: str) -> None:
        picture = ran(name).picture
        left = {path.name for path in picture.parent.iterdir()} - {"__pycache__"}
        assert left == {f"{name}.py", f"{name}.png"}
        drawn = imread(picture)[..., :3]
        assert 0.02 < (drawn < 0.99).any(-1).mean() < 0.9
        assert ((drawn.max(-1) - drawn.min(-1)) > 0.2).mean() > 0.002  # some of it is coloured

    def test_has_a_small_picture_in_the_repository(self, name: str) -> None:
        assert 0 < (FOLDER / f"{name}.png").stat().st_size < LARGEST_PICTURE

    def test_opens_as_a_notebook(self, name: str) -> None:
        source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        first, *cells = source.split("\n# %%")
        assert first.startswith('"""')
        assert first.endswith('"""\n')
        assert len(cells) >= 3
        for cell in cells:  # each is whole: no statement reaches into the next one
            title, _, code = cell.partition("\n")
            assert title == "" or title.startswith(" ")
            assert ast.parse(code).body

    def test_says_which_picture_it_draws(self, name: str) -> None:
        says = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")))
        assert f"draws {name}.png" in " ".join(says.split())


def test_the_readme_names_every_example_and_none_that_is_not_there() -> None:
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"examples/([\w.]+\w)", readme))
    assert named <= {path.name for path in FOLDER.iterdir()}
    assert named >= {path.name for path in FOLDER.glob("*.py")}


def test_a_notebook_has_no_file_and_keeps_its_picture_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = (FOLDER / "three_clusters.py").read_text(encoding="utf-8")
    with redirect_stdout(io.StringIO()):
        exec(source, {"__name__": "__main__"})
    plt.close("all")
    assert (tmp_path / "three_clusters.png").exists()


class TestThreeClusters:
    def test_beats_the_truth_by_what_wilks_theorem_allows(self, ran) -> None:
        example = ran("three_clusters")
        truth = float(example.data.truth.log_prob(example.data.x).sum())
        ratio = 2 * (example.fit.objective - truth)
        assert 0 < ratio < chi2.isf(1e-4, df=example.fit.mixture.n_parameters)

    def test_prints_means_within_their_standard_errors(self, ran) -> None:
        printed = re.findall(r"mean \( *(\S+), +(\S+)\)", ran("three_clusters").printed)
        found = torch.tensor(sorted((float(x), float(y)) for x, y in printed))
        truth = torch.tensor([[0.0, 0.0], [5.0, 0.0], [5.0, 5.0]])
        assert ((found - truth).abs() < STANDARD_ERRORS / math.sqrt(100)).all()

    def test_every_start_leads_to_the_same_optimum(self, ran) -> None:
        example = ran("three_clusters")
        table = example.printed.split("start ")[1].splitlines()[1:]
        assert len(table) == 4
        for line in table:
            steps, log_likelihood = numbers(line)
            assert 1 < steps < 200
            assert log_likelihood == pytest.approx(example.fit.objective, abs=1e-3)


class TestBimodalGradient:
    def test_prints_a_loss_that_falls_every_100_epochs(self, ran) -> None:
        lines = [line for line in ran("bimodal_gradient").printed.splitlines() if "epoch" in line]
        epochs, losses = zip(*map(numbers, lines), strict=True)
        assert epochs == (100, 200, 300, 400, 500)
        assert list(losses) == sorted(losses, reverse=True)

    def test_reaches_the_optimum_of_em(self, ran) -> None:
        example = ran("bimodal_gradient")
        assert example.losses[-1] == pytest.approx(example.optimum, abs=1e-8)
        torch.testing.assert_close(example.trained.means, example.em.means, atol=1e-3, rtol=0)

    def test_has_the_entropy_of_two_separate_normals_as_its_loss(self, ran) -> None:
        entropy = math.log(2) + 0.5 * math.log(2 * math.pi * math.e * 0.5**2)
        standard_error = math.sqrt(0.5 / 1000)  # the variance of log N(x | μ, σ²) is 1/2
        assert abs(ran("bimodal_gradient").losses[-1] - entropy) < STANDARD_ERRORS * standard_error


class TestSoftVersusHard:
    def test_compares_with_a_fixed_point_of_k_means(self, ran) -> None:
        example = ran("soft_versus_hard")
        centres = [example.data.x[example.nearest == cluster].mean(0) for cluster in range(3)]
        torch.testing.assert_close(torch.stack(centres), example.hard.means)

    def test_the_mixture_is_right_more_often_and_as_often_as_it_expects(self, ran) -> None:
        example = ran("soft_versus_hard")
        hard, soft = (
            numbers(line.replace("%", "").replace(",", ""))
            for line in example.printed.splitlines()[:2]
        )
        assert soft[0] > hard[0]
        certainty = example.certainty
        standard_error = float((certainty * (1 - certainty)).sum().sqrt()) / len(certainty)
        gap = soft[1] / 100 - float(certainty.mean())
        assert abs(gap) < STANDARD_ERRORS * standard_error

    def test_points_that_change_sides_are_the_uncertain_ones(self, ran) -> None:
        example = ran("soft_versus_hard")
        changed = example.changed
        assert f"{int(changed.sum())} change sides" in example.printed
        assert example.certainty[changed].mean() < example.certainty[~changed].mean()


@pytest.mark.slow
class TestCompareMethods:
    def test_has_a_row_for_every_default_method_and_point_estimates_converge(self, ran) -> None:
        example = ran("compare_methods")
        assert list(example.comparison.table.index) == COMPARED
        status = example.comparison.table["status"]
        assert set(status.drop("gibbs")) == {"converged"}
        assert status["gibbs"] in ("converged", "unmixed")  # its clusters overlap
        assert all(f"\n{method} " in example.printed for method in COMPARED)

    def test_no_method_has_more_likelihood_than_maximum_likelihood(self, ran) -> None:
        table = ran("compare_methods").comparison.table["log_likelihood"]
        assert table["em"] == pytest.approx(table.max(), abs=1e-7)

    def test_soft_assignment_comes_closer_to_the_truth_than_k_means(self, ran) -> None:
        table = ran("compare_methods").comparison.table
        error = STANDARD_ERRORS * table["kl_standard_error"].max()
        others = table["kl_to_truth"].drop("kmeans")
        assert (others > -error).all()
        assert (others < table.loc["kmeans", "kl_to_truth"] - error).all()


@pytest.mark.slow
class TestCalibration:
    def test_gibbs_sampling_passes_by_both_routes(self, ran) -> None:
        example = ran("calibration")
        assert example.exact.table["passes"].all()
        parts = example.printed.split("\n\n")
        assert parts[0].startswith("gibbs\n")
        assert parts[2].startswith("Geweke's test of gibbs\n")
        for part in (parts[0], parts[2]):
            assert "True" in part
            assert "False" not in part

    def test_variational_inference_fails_where_it_is_too_narrow(self, ran) -> None:
        """True values are further out among its draws than they should be."""
        table = ran("calibration").narrow.table
        assert not table["passes"].all()
        assert (table.loc[~table["passes"], "rank_spread"] > 1).all()
        assert "False" in ran("calibration").printed.split("\n\n")[1]


@pytest.mark.slow
class TestPosterior:
    def test_chains_agree_and_labels_are_in_order(self, ran) -> None:
        example = ran("posterior")
        assert example.fit.converged
        assert example.posterior.ambiguous < 0.05
        assert example.posterior.raw().draws["means"].ne(example.posterior.draws["means"]).any()

    def test_the_clustering_has_the_true_number_of_clusters(self, ran) -> None:
        example = ran("posterior")
        assert example.partition.n_clusters == 3
        assert "\n3 clusters, " in example.printed


@pytest.mark.slow
class TestIrisSpecies:
    def test_runs_every_method_that_there_is(self, ran) -> None:
        table = ran("iris_species").table
        assert list(table.index) == [name for name, m in METHODS.items() if not m.through_pyro]
        assert not table["status"].str.contains("failed|degenerate").any()

    def test_em_misplaces_the_flowers_that_scikit_learns_em_does(self, ran) -> None:
        x, species = load_iris(return_X_y=True)
        theirs = SklearnMixture(
            3,
            covariance_type="tied",
            n_init=10,
            tol=1e-8,
            reg_covar=0,
            max_iter=500,
            random_state=0,
        ).fit(x)
        example = ran("iris_species")
        assert example.table.loc["em", "log_likelihood"] == pytest.approx(theirs.score(x), abs=1e-4)
        wrong = round(len(x) * (1 - gp.metrics.accuracy(species, theirs.predict(x))))
        assert example.misplaced == wrong
        assert f"EM puts {wrong} of 150 flowers" in example.printed

    def test_no_method_does_better_than_one_that_was_told_the_species(self, ran) -> None:
        x, species = load_iris(return_X_y=True)
        told = LinearDiscriminantAnalysis().fit(x, species).score(x, species)
        table = ran("iris_species").table
        assert (table["accuracy"] <= told + 1e-9).all()
        assert (table["accuracy"].drop("kmeans") > table.loc["kmeans", "accuracy"]).all()

    def test_exact_samplers_agree(self, ran) -> None:
        """One has as its reference the other: errors are in posterior standard deviations."""
        table = ran("iris_species").table
        error = table["posterior_mean_error"].drop(ran("iris_species").comparison.reference)
        assert error[["nuts"] if "nuts" in error else ["gibbs"]].item() < 0.3


@pytest.mark.slow
class TestUnivariateDensity:
    def test_criteria_are_those_of_mclust(self, ran) -> None:
        """`mclustBIC(faithful$waiting, G = 1:2)` of mclust 6.0, with the other sign."""
        criterion = ran("univariate_density").criterion
        theirs = {
            ("tied", 1): 2201.789,
            ("tied", 2): 2090.427,
            ("full", 1): 2201.789,
            ("full", 2): 2096.044,
        }
        for key, value in theirs.items():
            assert criterion[key] == pytest.approx(value, abs=0.02)  # mclust stops early
        assert ran("univariate_density").best == ("tied", 2)

    def test_the_density_is_one_and_close_to_a_kernel_estimate(self, ran) -> None:
        example = ran("univariate_density")
        grid, mean = example.grid, example.band.mean.numpy()
        assert np.trapezoid(mean, grid) == pytest.approx(1, abs=2e-3)  # few waits are outside
        kernel = gaussian_kde(example.waiting["waiting"], bw_method=0.25)(grid)
        assert np.trapezoid(abs(mean - kernel), grid) < 0.15
        inside = (example.band.lower.numpy() <= kernel) & (kernel <= example.band.upper.numpy())
        assert inside.mean() > 0.6  # most of the kernel estimate

    def test_its_interval_holds_as_many_waits_as_it_says(self, ran) -> None:
        example = ran("univariate_density")
        held = example.waiting["waiting"].between(example.low, example.high).mean()
        assert abs(held - 0.94) < STANDARD_ERRORS * math.sqrt(0.94 * 0.06 / 272)


@pytest.mark.slow
class TestHowManyComponents:
    def test_chooses_what_mclust_chooses(self, ran) -> None:
        """`Mclust(faithful)` of mclust 6.0: EEE, which is tied, with 3 components."""
        assert ran("how_many_components").chosen == 3

    def test_one_component_has_the_cross_validation_of_its_closed_form(self, ran) -> None:
        """Leave-one-out of Student's t, which is what a Normal with a flat prior predicts."""
        x = ran("how_many_components").data.to_numpy()
        left_out = [np.delete(x, i, axis=0) for i in range(len(x))]
        total = sum(student(o).logpdf(row) for o, row in zip(left_out, x, strict=True))
        elpd = float(ran("how_many_components").table.loc["1", "elpd"])
        assert elpd == pytest.approx(total, abs=0.5)  # a weak prior, and 1,000 draws

    def test_more_components_never_lose_much(self, ran) -> None:
        elpd = ran("how_many_components").table["elpd"].astype(float)
        assert elpd["1"] < elpd["2"] - 100
        assert elpd["2"] < elpd["3"] - 4
        assert all(abs(elpd[str(k)] - elpd["3"]) < 4 for k in (4, 5))


def student(x: np.ndarray) -> Any:
    """The next point's distribution, under the flat limit of the conjugate prior (Murphy 2007)."""
    n, d = x.shape
    freedom = n - d
    spread = np.cov(x.T) * (n - 1) * (n + 1) / (n * freedom)
    return multivariate_t(x.mean(0), spread, df=freedom)


@pytest.mark.slow
class TestConcentrationPrior:
    def test_a_search_mostly_comes_no_lower_than_scikit_learns_steps(self, ran) -> None:
        """It begins elsewhere, so that it may end at another maximum, but at none far below."""
        models, gains = ran("concentration_prior").models, []
        assert len(models) == 12
        for (kind, concentration, search), model in models.items():
            assert model.weight_concentration_prior_ == concentration
            if search is not None:
                gains.append(model.lower_bound_ - models[kind, concentration, None].lower_bound_)
        assert sum(gain > -1e-3 for gain in gains) > len(gains) / 2
        assert min(gains) > -5.0

    def test_scikit_learns_steps_end_where_scikit_learn_does(self, ran) -> None:
        example = ran("concentration_prior")
        arguments = {name: value for name, value in example.shared.items() if name != "search"}
        for kind, concentrations in example.KINDS.items():
            theirs = BayesianGaussianMixture(
                weight_concentration_prior_type=kind,
                weight_concentration_prior=concentrations[1],
                **arguments,
            ).fit(example.points)
            ours = example.models[kind, concentrations[1], None]
            np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-5, atol=1e-7)

    def test_little_concentration_empties_components_and_much_fills_them(self, ran) -> None:
        models = ran("concentration_prior").models
        some = [models["dirichlet_distribution", c, "moves"] for c in (0.001, 1.0, 1000.0)]
        filled = [model.fit_.diagnostics["filled_components"] for model in some]
        assert (filled[0], filled[-1]) == (1, 6)
        assert filled == sorted(filled)
        assert all(model.fit_.diagnostics["problems"] == () for model in some)


@pytest.mark.slow
class TestPriorSensitivity:
    def test_means_are_those_of_the_conjugate_prior_given_the_clusters(self, ran) -> None:
        """(s m + Σ x) / (s + n), with the points below and above 67 minutes for clusters."""
        example = ran("prior_sensitivity")
        x = example.waiting["waiting"]
        for name, centre, strength in (("default", x.mean(), 0.01), ("means near 70", 70.0, 2.0)):
            for number, points in enumerate((x[x < 67], x[x > 67])):
                exact = (strength * centre + points.sum()) / (strength + len(points))
                reach = example.reach[name][:, number].mean()
                assert abs(example.middle[name][number] - exact) < 0.35 * reach

    def test_each_prior_moves_what_it_is_about(self, ran) -> None:
        short, long, share, sd = zip(*ran("prior_sensitivity").middle.values(), strict=True)
        assert short[1] > short[0]
        assert long[1] < long[0]
        assert sd[2] < sd[0] < sd[3]
        assert 0.5 < share[4] < share[0]

    def test_more_concentration_fills_more_components(self, ran) -> None:
        used = ran("prior_sensitivity").used
        mean = [float(shares @ np.arange(1, 7)) for shares in used.values()]
        assert mean == sorted(mean)
        assert mean[-1] - mean[0] > 1
        assert all(shares.sum() == pytest.approx(1) for shares in used.values())


@pytest.mark.slow
class TestMixtureLayer:
    def test_training_together_beats_two_steps_on_held_out_points(self, ran) -> None:
        example = ran("mixture_layer")
        (two_steps, apart, _), (together, joint, _) = example.two_steps, example.together
        assert two_steps + 0.1 < together < example.best
        assert joint < 0.5 * apart

    def test_learns_the_noise(self, ran) -> None:
        learnt = ran("mixture_layer").learnt
        order = learnt.weights.argsort(descending=True)
        assert learnt.weights[order].tolist() == pytest.approx([0.75, 0.25], abs=0.06)
        assert learnt.covariances[order].sqrt().tolist() == pytest.approx([0.15, 0.5], rel=0.25)
        assert float(learnt.means[order].diff(dim=0)) == pytest.approx(1.5, abs=0.25)


@pytest.mark.slow
class TestYourOwnGuide:
    def test_both_bounds_are_below_the_largest_likelihood(self, ran) -> None:
        """log ∫ p(x | θ) p(θ) dθ is at most max log p(x | θ), and the bound at most that."""
        example = ran("your_own_guide")
        largest = float(example.start.log_prob(example.data.x).sum())
        bounds = [numbers(line)[0] for line in example.printed.splitlines()[:2]]
        assert bounds == pytest.approx([example.bound, example.fit.objective], abs=0.01)
        assert all(bound < largest for bound in bounds)

    def test_finds_the_posterior_of_separate_clusters(self, ran) -> None:
        """Weights ~ Dirichlet(2 + n_k); sd of a mean is σ / √n_k, of a scale about σ / √(4 n_k)."""
        draws = ran("your_own_guide").fit.posterior.draws
        concentration = torch.full((3,), 2.0 + 100)
        exact = torch.distributions.Dirichlet(concentration)
        noise = 0.25  # of a standard deviation: what 100 noisy steps leave
        sd = draws["weights"].std((0, 1))
        torch.testing.assert_close(sd, exact.stddev.to(sd), rtol=noise, atol=0)
        assert ((draws["weights"].mean((0, 1)) - 1 / 3).abs() < noise * sd + 0.01).all()
        scales = draws["scales"].mean((0, 1))
        sd = draws["means"].std((0, 1))
        torch.testing.assert_close(sd, (scales / 10)[:, None].expand(3, 2), rtol=noise, atol=0)
        torch.testing.assert_close(draws["scales"].std((0, 1)), scales / 20, rtol=noise, atol=0)

    def test_prints_the_summary_of_every_site(self, ran) -> None:
        printed = ran("your_own_guide").printed
        for row in ("weights[0]", "means[2, x1]", "scales[2]"):
            assert f"\n{row}" in printed

    def test_leaves_no_parameter_in_the_store(self, ran) -> None:
        ran("your_own_guide")
        assert not {"concentration", "centre", "spread"} & set(pyro.get_param_store())


@pytest.mark.slow
class TestHierarchy:
    def test_what_few_patients_say_is_sharper_together(self, ran) -> None:
        example = ran("hierarchy")
        for name in ("South", "West"):
            alone, together = (some[name].std(0) for some in (example.alone, example.together))
            assert (together < alone).all()

    def test_true_means_are_where_the_posterior_is(self, ran) -> None:
        """Of eight means, none is beyond what a normal posterior has once in 16,000 times."""
        example = ran("hierarchy")
        for name, truth in example.truth.items():
            draws = example.together[name]
            away = (draws.mean(0) - truth[:, 0]) / draws.std(0)
            assert (away.abs() < STANDARD_ERRORS).all()

    def test_common_centres_are_known_as_well_as_four_clinics_tell(self, ran) -> None:
        """About the mean of the clinics' means, with a deviation of about spread / √4."""
        example = ran("hierarchy")
        means = torch.stack([draws.mean(0) for draws in example.together.values()])
        deviation = example.centre.std(0)
        assert ((example.centre.mean(0) - means.mean(0)).abs() < deviation).all()
        assert ((deviation / (float(example.spread.mean()) / 2)).log().abs() < 0.5).all()

    def test_leaves_no_parameter_in_the_store(self, ran) -> None:
        ran("hierarchy")
        assert not any(name.startswith("AutoMultivariateNormal") for name in pyro.get_param_store())


@pytest.mark.slow
class TestLargerThanMemory:
    def test_the_fit_in_partitions_is_the_one_in_memory(self, ran) -> None:
        example = ran("larger_than_memory")
        assert example.there.objective == pytest.approx(
            example.here.objective, abs=0.1
        )  # tolerance
        true = example.truth.log_prob(example.x).sum()
        assert example.there.objective > float(true)  # the likeliest mixture is likelier

    def test_lazy_labels_are_those_of_the_points_in_memory(self, ran) -> None:
        example = ran("larger_than_memory")
        labels = example.there.mixture.predict(example.x).numpy()
        np.testing.assert_array_equal(example.counts, np.bincount(labels, minlength=4))


class TestOutliers:
    def test_noise_takes_them_from_the_clusters(self, ran) -> None:
        example = ran("outliers")
        plain, beside = (
            gp.metrics.parameter_errors(example.fits[name].mixture, example.clusters.truth)
            for name in ("without noise", "with noise")
        )
        assert beside.covariances < 0.5 < 5 < plain.covariances
        assert beside.means < 0.2 < plain.means

    def test_finds_most_of_them(self, ran) -> None:
        example = ran("outliers")
        assert (example.found & example.is_noise).sum() > 0.75 * 200
        assert (example.found & ~example.is_noise).sum() < 0.1 * 300
        weight = example.fits["with noise"].mixture.noise_weight
        assert abs(weight - 0.4) < STANDARD_ERRORS * math.sqrt(0.4 * 0.6 / 500)
