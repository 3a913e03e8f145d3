"""Claims about the examples: each runs without a warning, draws its picture, and tells the truth.

An example runs once, on a copy of its script, and the tests look at what it printed and computed.
"""

from __future__ import annotations

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
import pyro
import pytest
import torch
from matplotlib.image import imread
from scipy.stats import chi2

FOLDER = Path(__file__).parents[1] / "examples"
SLOW = {"calibration", "compare_methods", "posterior", "your_own_guide"}
EXAMPLES = [
    pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
    for path in sorted(FOLDER.glob("*.py"))
]
COMPARED = ["kmeans", "em", "map", "svi", "gibbs"]  # what gmm_pyro.compare runs if not told
STANDARD_ERRORS = 4.0  # a true claim about a mean fails for 1 seed in 16,000, and seeds are fixed
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
            with redirect_stdout(printed), torch.random.fork_rng(), plt.rc_context():
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
    def test_has_a_row_for_every_default_method_and_all_converge(self, ran) -> None:
        example = ran("compare_methods")
        assert list(example.comparison.table.index) == COMPARED
        assert set(example.comparison.table["status"]) == {"converged"}
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
