"""Spikes of the density over equal points: found, told from tight clusters, and left in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from tqdm import tqdm

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel, Priors, Status
from gmm_pyro.covariance import FAMILIES, Parameters
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.climb.climb import climb
from gmm_pyro.inference.climb.optimise import Search, em_start
from gmm_pyro.inference.climb.spikes import narrowness, on_spike
from gmm_pyro.inference.task import Run, Task
from gmm_pyro.model.log_density import LogDensity
from gmm_pyro.saved_fit import load_fit, save_fit
from oracles import every_family
from oracles import normal_array as numbers
from runs import quietly, told

SILENT: tqdm[Any] = tqdm(disable=True)


def one_hot(n: int, columns: int) -> np.ndarray:
    return np.eye(columns)[np.arange(n) % columns]


def with_dummy(n: int = 120) -> np.ndarray:
    group = np.arange(n) % 2
    return np.column_stack([numbers(n, 2) + 4 * group[:, None], group])


# What EM ends on at its floor, and how many components it is asked for.
PROBLEMS: dict[str, tuple[np.ndarray, int]] = {
    "two places": (np.repeat([[0.0, 0.0], [1.0, 2.0]], 40, 0), 2),
    "three places": (np.repeat([[0.0, 0.0], [5.0, 1.0], [2.0, 7.0]], 20, 0), 3),
    "three places with an offset": (
        1e6 + np.repeat([[0.0, 0.0], [5.0, 1.0], [2.0, 7.0]], 20, 0),
        3,
    ),
    "three columns of zeros and ones": (one_hot(150, 3), 3),
    "ten columns of zeros and ones": (one_hot(300, 10), 3),
    "a dummy beside numbers": (with_dummy(), 2),
    "heaped ages": (5 * np.round((40 + 12 * numbers(500)) / 5), 5),
}


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often the log density has been evaluated, at however many vectors."""
    count, original = 0, LogDensity.__call__

    def counted(self: LogDensity, *arguments: Any, **options: Any) -> Tensor:
        nonlocal count
        count += 1
        return original(self, *arguments, **options)

    monkeypatch.setattr(LogDensity, "__call__", counted)
    return lambda: count


# ---------------------------------------------------------------------- what a spike is


CENTRES = np.repeat([[0.0, 0.0], [100.0, 100.0]], 60, 0)


def around(family: str, points: np.ndarray, width: np.ndarray, off: float = 0.0) -> bool:
    """Whether both clusters of points are on spikes of two components with this covariance."""
    own = FAMILIES[family]
    compact = own.compress(torch.tensor(width))
    factor = own.fit(compact, torch.zeros(2).double()).expand(
        1, own.n_covariances(2), *compact.shape
    )
    means = torch.tensor(CENTRES[[0, 60]] + off)[None]
    weights = torch.tensor([[0.5, 0.5]]).double()
    return on_spike(observe(points), own, Parameters(weights.log(), means, factor))


@every_family
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_equal_points_under_a_thin_covariance_are_on_a_spike(family: str, offset: float) -> None:
    """Also where the mean is some deviations off them."""
    assert around(family, CENTRES, 1e-16 * np.eye(2), off=offset * 1e-8)


@every_family
def test_a_cluster_as_tight_as_its_component_is_on_none(family: str) -> None:
    assert not around(family, CENTRES + 1e-8 * numbers(120, 2), 1e-16 * np.eye(2))
    assert not around(family, CENTRES + 1e-8 * numbers(120, 2), 1.5e-16 * np.eye(2))


@every_family
def test_a_cluster_much_tighter_than_its_component_is_on_none(family: str) -> None:
    """A climb that has not come to its width yet: there is a highest point."""
    assert not around(family, CENTRES + 1e-10 * numbers(120, 2), 1e-16 * np.eye(2))


@every_family
def test_a_wide_component_is_on_none_whatever_its_points(family: str) -> None:
    assert not around(family, CENTRES, 1e-2 * np.eye(2))


@pytest.mark.parametrize("family", ["full", "tied"])
@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2])
def test_points_on_a_line_under_a_covariance_that_is_thin_across(family: str, angle: float) -> None:
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    width = np.outer(along, along) + 1e-13 * np.outer(across, across)
    points = CENTRES + numbers(120, 1) * along
    assert around(family, points, width)
    assert not around(family, points + 3e-7 * numbers(120, 1, seed=1) * across, width)


def test_spikes_cost_what_they_are_narrow() -> None:
    """A mean in two dimensions has room for 1e-8 in each; one of a plane too, turned as exactly."""
    own, observations = FAMILIES["diag"], observe(CENTRES)
    factor = torch.tensor([[[5e-7, 5e-7], [50.0, 50.0]]]).double()
    parameters = Parameters(torch.zeros(1, 2).double(), torch.zeros(1, 2, 2).double(), factor)
    assert narrowness(observations, own, parameters) == pytest.approx(2 * np.log(1e8))


# ---------------------------------------------------------------------- fits that are told, in time


NO_FIGURES = {"laplace": ["log_evidence"], "nuts": ["r_hat", "ess_bulk", "ess_tail"]}
MOST = 1_200  # evaluations of a batch of densities: most took ten to a hundred times as many


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("method", ["map", "laplace", "svi", "nuts"])
def test_climbs_up_a_spike_end_soon_and_say_so(
    problem: str, method: str, evaluations: Callable[[], int]
) -> None:
    x, k = PROBLEMS[problem]
    found, said = told(MixtureModel(k), x, method)
    assert found.status is Status.COLLAPSED
    assert f"{method} is on a spike" in said
    assert any("singular" in sentence for sentence in found.diagnostics["problems"])
    assert found.posterior is None
    assert all(np.isnan(found.diagnostics[name]) for name in NO_FIGURES.get(method, []))
    assert evaluations() < MOST
    assert np.isfinite(found.objective)
    assert found.mixture.log_prob(x).isfinite().all()


@pytest.mark.parametrize("problem", PROBLEMS)
def test_gradient_ascent_ends_soon_and_says_so(problem: str) -> None:
    x, k = PROBLEMS[problem]
    found, said = told(MixtureModel(k), x, "gradient")
    assert found.status is Status.COLLAPSED
    assert "singular" in said
    assert found.steps <= 1500  # of 5000


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("method", ["em", "kmeans", "gibbs"])
def test_methods_with_a_floor_or_a_bounded_density_converge(problem: str, method: str) -> None:
    x, k = PROBLEMS[problem]
    few = {"n_draws": 30, "n_warmup": 20} if method == "gibbs" else {}
    found, _ = told(MixtureModel(k), x, method, **few)
    assert found.status is not Status.COLLAPSED
    assert np.isfinite(found.objective)
    assert found.mixture.log_prob(x).isfinite().all()
    if method == "em":
        assert "held up by covariance_floor" in str(found.diagnostics["problems"])


@every_family
def test_every_family_is_asked_where_it_leads(family: str) -> None:
    x, k = PROBLEMS["three places"]
    assert told(MixtureModel(k, family), x, "map")[0].status is Status.COLLAPSED


@pytest.mark.parametrize(
    "scales", [dist.HalfNormal(30.0), dist.HalfCauchy(10.0), dist.Exponential(0.1)]
)
def test_priors_that_are_positive_at_zero(scales: Any) -> None:
    x, k = PROBLEMS["heaped ages"]
    found, _ = told(MixtureModel(k, priors=Priors(scales=scales)), x, "map")
    assert found.status is Status.COLLAPSED


def test_a_matrix_too_large_to_be_taken_is_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmm_pyro.inference.climb.optimise.LARGEST", 1)
    x, k = PROBLEMS["three places"]
    assert told(MixtureModel(k), x, "map")[0].status is Status.COLLAPSED


# ---------------------------------------------------------------------- fits that are no spikes


def test_clusters_a_hundred_millionth_as_wide_as_the_data() -> None:
    labels = np.arange(100) % 2
    x = 1e8 * labels + numbers(100)
    found, _ = told(MixtureModel(2), x, "map", start=labels)
    assert found.converged
    widths = found.mixture.covariances.flatten().sqrt()
    within = [x[labels == i].std() for i in (0, 1)]
    np.testing.assert_allclose(np.sort(widths), np.sort(within), rtol=0.4)  # the prior's pull


def test_a_prior_that_knows_how_thin_a_component_can_be() -> None:
    x, k = PROBLEMS["heaped ages"]
    least = 5 / np.sqrt(12)  # the deviation of what was lost in rounding
    priors = Priors(scales=dist.Uniform(least, 100.0))
    found, _ = told(MixtureModel(k, priors=priors), x, "map", seed=6)
    assert found.converged
    assert least <= float(found.mixture.covariances.sqrt().min()) < 1.01 * least


def test_nuts_keeps_to_sound_modes_where_the_spike_is_a_lesser_one() -> None:
    """Four equal points of sixty: the default prior holds their width at e^-4 or so."""
    x = np.concatenate([np.linspace(-2, 2, 56), [9.0] * 4])
    found, _ = told(
        MixtureModel(2), x, "nuts", n_chains=2, n_draws=10, n_warmup=10, max_tree_depth=4
    )
    assert found.status is not Status.COLLAPSED
    assert found.posterior is not None


# ---------------------------------------------------------------------- bounds of a climb


def task_and_density(name: str, **options: Any) -> tuple[Task, LogDensity]:
    x, k = PROBLEMS[name]
    observations = observe(x)
    model = MixtureModel(k, priors=Priors()).specialise(observations)
    task = Task("map", model, observations, gp.inference.METHODS["map"].options(**options))
    return task, model.log_density(observations)


def test_max_steps_bounds_the_start_and_the_climb(evaluations: Callable[[], int]) -> None:
    task, density = task_and_density("heaped ages", max_steps=8)
    start = em_start(task, density, SILENT)
    assert start.steps <= 8
    before = evaluations()
    search = Search(task, density, SILENT, tolerance=1e-9 / task.observations.n, jacobian=True)
    mode = search.climb_from(Run(start.state, [], start.status))
    assert mode.steps <= 8
    assert evaluations() - before < 20 * 8 + 8 * 4


def test_a_search_that_finds_no_way_up_says_so(evaluations: Callable[[], int]) -> None:
    """The prior has an edge at zero, where the mode is: the slope is steep on either side."""
    priors = Priors(means=dist.Laplace(0.0, 1e-5))
    found, said = told(MixtureModel(1, priors=priors), 0.3 + numbers(50), "map")
    assert found.status is Status.STUCK
    assert "map found no way up where the slope is not level: the objective has an edge" in said
    assert abs(float(found.mixture.means)) < 1e-8
    assert evaluations() < MOST


def test_a_search_that_is_at_the_top_has_converged() -> None:
    """Though rounding leaves its last line search without a way up."""
    run = climb(
        lambda v: 1e12 - (v - 0.3).square().sum(),
        torch.zeros(2, dtype=torch.float64),
        tolerance=0.0,
        max_steps=100,
        bar=SILENT,
    )
    assert run.status is Status.CONVERGED


def test_a_wall_is_no_top() -> None:
    """Beyond 1 there is no number; the top is at 0.9, and the first step leads far beyond."""

    def function(v: Tensor) -> Tensor:
        return (1 - v).log().sum() / 10 + v.sum()

    start = torch.full((3,), -40.0, dtype=torch.float64)
    run = climb(function, start, tolerance=1e-12, max_steps=200, bar=SILENT)
    assert run.status is Status.CONVERGED
    torch.testing.assert_close(run.state, torch.full_like(start, 0.9), rtol=1e-4, atol=0)


# ---------------------------------------------------------------------- what becomes of such a fit


def test_a_fit_without_draws_can_be_shown_saved_and_compared(tmp_path: Any) -> None:
    x, k = PROBLEMS["three places"]
    found, _ = told(MixtureModel(k), x, "laplace")
    with pytest.raises(ValueError, match="fit by laplace has a point estimate only"):
        found.to_arviz()
    save_fit(found, tmp_path / "fit")
    assert load_fit(tmp_path / "fit").facts["status"] == "collapsed"
    with quietly():
        comparison = gp.compare(MixtureModel(k), x, methods=["em", "map", "laplace"])
    assert comparison.table.loc["laplace", "status"].startswith("collapsed; degenerate")
    comparison.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "It is on a spike" in page
    assert "Take fewer components, a family with fewer parameters" in page


def test_a_bounded_density_has_no_spikes() -> None:
    x, k = PROBLEMS["three places"]
    found, _ = told(MixtureModel(k, priors=ConjugatePriors()), x, "map")
    assert found.converged
    assert "copies of a single point" in str(found.diagnostics["problems"])
