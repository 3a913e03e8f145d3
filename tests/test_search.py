"""The search for the likeliest mixture: its starts and moves, its promises, and what it tells."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import kmeans_plusplus
from sklearn.datasets import make_blobs
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import GaussianMixture, MixtureModel
from gmm_pyro.covariance import CovarianceFamily, Parameters, family_named, untied
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.expectation import Climb, expect_at
from gmm_pyro.inference.methods import choice
from gmm_pyro.inference.search import likeliest
from gmm_pyro.inference.search.insertion import joined
from gmm_pyro.inference.search.removal import merged, without
from gmm_pyro.inference.search.screening import promising
from gmm_pyro.inference.soundness import Soundness
from gmm_pyro.inference.starts.seeding import greedy_k_means_plus_plus, invariant_coordinates
from gmm_pyro.inference.starts.starting import STARTS, starting_parameters
from gmm_pyro.inference.task import Task
from gmm_pyro.reduction.assignments import Beside
from gmm_pyro.reduction.pointwise import labels, log_density, log_density_and_labels
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import Theta, theta_of
from oracles import (
    STANDARD_ERRORS,
    close,
    clusters,
    every_class,
    every_family,
    normal,
    numbers,
    tensors_of,
)

CONVERGED = 1e-6  # nats a point: a hundred times the tolerance that two fits stop at


def em(x: Any, k: int, family: str = "full", **options: Any) -> gp.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gp.FitWarning)
        return gp.fit(MixtureModel(k, family), x, **options)


@cache
def hard(seed: int) -> Tensor:
    """Clusters that overlap and are of unequal size."""
    return gp.datasets.make_mixture(240, 2, 5, separation=1.8, imbalance=0.3, seed=seed).x


def rank(fit: gp.Fit) -> tuple[bool, float]:
    return not fit.diagnostics["problems"], fit.objective


def no_worse(more: gp.Fit, less: gp.Fit) -> bool:
    """Sound if the other is, and as high."""
    slack = CONVERGED * less.observations.n
    return rank(more) >= (rank(less)[0], less.objective - slack)


# ---------------------------------------------------------------------- what it promises


@pytest.mark.parametrize("seed", range(2))
def test_more_starts_are_never_worse(seed: int) -> None:
    fits = [em(hard(seed), 5, n_starts=n, seed=seed) for n in (10, 20, 30)]
    for less, more in zip(fits, fits[1:], strict=False):
        assert rank(more) >= rank(less)


@every_family
@pytest.mark.parametrize("seed", range(2))
def test_moves_are_never_worse_than_starts_alone(family: str, seed: int) -> None:
    less, more = (em(hard(seed), 4, family, search=kind, seed=seed) for kind in ("starts", "moves"))
    assert rank(more) >= rank(less)


@pytest.mark.parametrize("family", ["full", "tied"])
def test_a_thorough_search_is_never_worse(family: str) -> None:
    less, more = (em(hard(0), 4, family, search=kind) for kind in ("moves", "thorough"))
    assert rank(more) >= rank(less)


def test_a_few_starts_move_and_one_alone_does_not() -> None:
    assert em(hard(0), 5, n_starts=1).search.tried == 0
    assert em(hard(0), 5, n_starts=2).search.tried > 0
    assert em(hard(0), 1).search.starts == 1  # all would be the same


@pytest.mark.parametrize("seed", range(2))
def test_it_ends_no_lower_than_its_own_starts_run_to_the_end(seed: int) -> None:
    x, family = hard(10 + seed), family_named("full")
    observations = observe(x)
    starts = starting_parameters(
        "k-means++",
        observations,
        family,
        5,
        n_starts=10,
        floor=1e-6 * observations.bulk.square(),
        generator=torch.Generator().manual_seed(seed),
    )
    found = em(x, 5, seed=seed)
    for i in range(10):
        mixture = GaussianMixture.from_parameters(family, starts[[i]])
        assert no_worse(found, em(x, 5, start=mixture))


def test_the_same_seed_gives_the_same_search() -> None:
    one, other = (em(hard(0), 5, seed=3) for _ in range(2))
    assert one.objective == other.objective
    assert one.search == other.search


# ---------------------------------------------------------------------- what it finds


@pytest.mark.parametrize("seed", range(4))
def test_a_tight_cluster_in_a_diffuse_one(seed: int) -> None:
    data = gp.datasets.tight_and_diffuse(seed)
    from_the_truth = em(data.x, 2, start=data.truth)
    assert no_worse(em(data.x, 2, seed=seed), from_the_truth)


@pytest.mark.parametrize("seed", range(3))
def test_a_bimodal_direction_among_thirty(seed: int) -> None:
    """All features have unit variance, and none alone shows the groups."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=1500)
    x = rng.standard_normal((1500, 30))
    x[:, 0] = 0.95 * (2 * labels - 1) + np.sqrt(1 - 0.95**2) * x[:, 0]
    x = x @ np.linalg.qr(rng.standard_normal((30, 30)))[0]
    assert no_worse(em(x, 2, seed=seed), em(x, 2, start=labels))


@pytest.mark.parametrize(
    ("name", "k", "log_likelihood"),
    [("old_faithful", 2, -1130.264), ("old_faithful", 3, -1114.440), ("iris", 2, -214.355)],
)
def test_published_maxima(name: str, k: int, log_likelihood: float) -> None:
    """mclust 6.0 prints -1130.264 and -214.355; no more than -1114.440 is known."""
    found = em(getattr(gp.datasets, name)().x, k)
    assert found.objective == pytest.approx(log_likelihood, abs=1e-3)


def test_a_component_moves_from_where_it_is_not_missed() -> None:
    """Two components share a cluster and one has two: plain EM stays there."""
    x, labels = make_blobs([60] * 4, centers=[[0, 0], [6, 0], [30, 0], [36, 0]], random_state=0)[:2]
    stuck = np.where(labels < 2, 0, np.where(labels == 2, 1, 2))
    stuck[(labels == 2) & (x[:, 1] > 0)] = 3
    poor, good = em(x, 4, start=stuck), em(x, 4, start=labels)
    assert poor.objective < good.objective - 40
    assert no_worse(em(x, 4, seed=1), good)


# ---------------------------------------------------------------------- what is sound


def said(x: Any, k: int, family: str = "full", **options: Any) -> str:
    return "; ".join(em(x, k, family, **options).diagnostics["problems"])


def test_few_points_are_named() -> None:
    x = torch.cat([normal(60, 2), normal(4, 2, seed=1) + 30])
    start = [0] * 60 + [1] * 4
    assert said(x, 2, start=start) == "component 1 holds 4 points, fewer than least_points=5"
    assert said(x, 2, start=start, least_points=4) == ""
    assert said(x, 2, "tied", start=start) == ""


def test_points_with_one_value_in_common_are_named() -> None:
    """Ten points at 9.0 and one at 9.1, of a column with one decimal."""
    x = torch.cat([normal(80, 2), normal(11, 2, seed=1)])
    x[80:, 0] = numbers([9.0] * 10 + [9.1])
    x[:, 0] = (x[:, 0] * 10).round() / 10
    problems = said(x, 2, start=[0] * 80 + [1] * 11, covariance_floor=1e-9)
    assert problems == "the covariance of component 1 is no wider than the rounding of the data"


def test_the_best_four_components_of_old_faithful_are_sound() -> None:
    """The best that is known: -1103.391, whose smallest component has seven points.

    They lie as close to a line as whole minutes allow, and no closer.
    """
    fit = em(gp.datasets.old_faithful().x, 4, search="thorough")
    assert fit.objective == pytest.approx(-1103.391, abs=1e-3)
    assert 7 < 272 * float(fit.mixture.weights.min()) < 8
    assert fit.diagnostics["problems"] == ()


def test_the_smallest_eigenvalue_is_compared_without_its_bias() -> None:
    """Ten points in the plane: maximum likelihood has it too small by 8 / 10."""
    x = (10 * normal(100, 2)).round()
    task: Any = Task("em", MixtureModel(2), observe(x), choice("em", {}).options)
    rule = Soundness.for_task(task)
    across, along = numbers([0.8 / 12, 9.0])
    covariance = numbers([[1, 1], [1, 1]]) * across / 2 + numbers([[1, -1], [-1, 1]]) * along / 2
    narrow = torch.linalg.cholesky(covariance)
    factor = torch.stack([10 * torch.eye(2).double(), narrow])[None]
    weights = numbers([[0.9, 0.1]]).log()
    ratios = rule.above_rounding(Parameters(weights, torch.zeros(1, 2, 2).double(), factor))
    assert float(ratios[0, 1]) == pytest.approx(1.0)


def test_what_is_close_to_the_floor_is_named() -> None:
    x = torch.cat([normal(80, 2), 2e-2 * normal(20, 2, seed=1) + 9])
    problems = said(x, 2, start=[0] * 80 + [1] * 20, covariance_floor=6e-6)
    assert "component 1 is close to covariance_floor, within 10 times" in problems


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_solution_is_preferred(seed: int) -> None:
    """Six points on a line are the likeliest component by far."""
    line = torch.stack([torch.zeros(6).double(), torch.linspace(-1, 1, 6).double()], 1)
    x = torch.cat([clusters(2, 120).x, line])
    assert said(x, 3, seed=seed) == ""


# ---------------------------------------------------------------------- moves


def parameters(family: CovarianceFamily, k: int, d: int, s: int = 2) -> Parameters:
    """s sets that have nothing in common."""
    root = normal(s, family.n_covariances(k), d, d + 2, seed=1)
    covariance = family.compress(root @ root.mT)
    factor = family.fit(covariance, torch.zeros(d).double())
    log_weights = normal(s, k, seed=2).log_softmax(1)
    return Parameters(log_weights, 3 * normal(s, k, d, seed=3), factor)


def mixture_of(family: CovarianceFamily, p: Parameters, i: int = 0) -> GaussianMixture:
    return GaussianMixture.from_parameters(family, p[[i]])


@every_class
@pytest.mark.parametrize("d", [1, 3])
def test_a_merger_keeps_the_moments_that_its_family_has(family: Any, d: int) -> None:
    p = parameters(family, 4, d)
    one = merged(family, p, torch.tensor([0, 1]), torch.tensor([2, 3]))
    for i, kept in enumerate(([1, 3], [0, 2])):
        before, after = mixture_of(family, p, i), mixture_of(family, one, i)
        close(after.mean(), before.mean())
        close(after.weights.sum(), 1.0)
        for old, new in zip(kept, ([1, 2], [0, 2])[i], strict=True):
            close(after.means[new], before.means[old])
        if not family.shares("covariances"):
            of_family = family.compress(before.covariance() - after.covariance())
            assert float(of_family.abs().max()) < 1e-10


@every_class
def test_without_a_component_the_others_stay(family: Any) -> None:
    p = parameters(family, 3, 2)
    two = without(family, p, torch.tensor([1, 0]))
    before, after = mixture_of(family, p, 0), mixture_of(family, two, 0)
    close(after.means, before.means[[0, 2]])
    close(after.weights, before.weights[[0, 2]] / before.weights[[0, 2]].sum())


@every_class
def test_the_gain_of_a_newcomer_is_that_of_the_joined_mixture(family: Any) -> None:
    """One number a point stands for the fixed mixture, whose density is evaluated once."""
    x = 2 * normal(50, 2, seed=5)
    points, p = observe(x), parameters(family, 3, 2, s=1)
    share, means = numbers([0.1, 0.3]), normal(2, 1, 2, seed=6)
    factor = parameters(family, 1, 2).factor
    if family.shares("covariances"):
        factor = p.factor.expand(2, *p.factor.shape[1:])
    newcomers = Parameters(share.log()[:, None], means, factor)
    beside = Beside(mixture_of(family, p).log_prob(x), (-share).log1p())
    together = joined(family, p, share, means, factor)
    expected = [float(mixture_of(family, together, i).log_prob(x).sum()) for i in range(2)]
    for theta in (
        Theta.about_means(family, newcomers),
        theta_of(untied(family), newcomers, points),  # which leaves nothing out
    ):
        close(reduce(points, theta, beside).log_norm, expected)


@pytest.mark.parametrize("family", ["full", "tied"])
def test_densities_and_labels_are_the_same_together(family: str) -> None:
    points = observe(hard(1))
    theta = theta_of(family_named(family), em(points.x, 3, family).mixture.parameters, points)
    density, found = log_density_and_labels(points, theta)
    close(density, log_density(points, theta))
    assert torch.equal(found, labels(points, theta))


def test_a_start_stays_by_those_before_it_alone() -> None:
    gain = normal(40, seed=8).abs()[:, None] * numbers([0.0, 1.0])
    climb = Climb(None, normal(40, 1, seed=7) + gain)
    ranks = [(i % 3 > 0, value) for i, value in enumerate(climb.heading.tolist())]
    whole = promising(ranks, 3, 1e-9, climb)
    for n in range(1, 40):
        part = Climb(None, climb.history[:n])
        assert list(promising(ranks[:n], 3, 1e-9, part)) == [i for i in whole if i < n]


def test_what_is_kept() -> None:
    def kept(
        *values: float, higher: int = 2, gain: float = 1.0, unsound: tuple[int, ...] = ()
    ) -> dict[int, list[int]]:
        history = numbers(values)[:, None] - numbers([gain, 0.0])
        ranks = [(i not in unsound, value) for i, value in enumerate(values)]
        return promising(ranks, higher, 1e-9, Climb(None, history))

    assert list(kept(1.0, 2.0, 3.0, 0.5)) == [0, 1, 2]  # two before it are higher
    assert kept(1.0, 2.0, 2.0)[1] == [1, 2]
    assert list(kept(1.0, 0.9, higher=9, gain=1e-6)) == [0]  # it will never get there
    assert list(kept(3.0, 1.0, 2.0, unsound=(0,))) == [0, 1, 2]
    assert list(kept(1.0, 3.0, 2.0, unsound=(1,))) == [0, 2]
    assert list(kept(1.0, 1.0, unsound=(0,))) == [0, 1]


# ---------------------------------------------------------------------- starts


@pytest.mark.parametrize("kind", STARTS)
def test_the_first_ten_of_fifty_are_the_ten(kind: str) -> None:
    observations = observe(hard(0))

    def starts(n: int, first: int = 0) -> Parameters:
        return starting_parameters(
            kind,
            observations,
            family_named("full"),
            4,
            n_starts=n,
            first=first,
            floor=1e-6 * observations.bulk.square(),
            generator=torch.Generator().manual_seed(8),
        )

    fifty = starts(50)
    for some, part in ((starts(10), slice(0, 10)), (starts(5, 20), slice(20, 25))):
        for value, all_of in zip(tensors_of(some), tensors_of(fifty), strict=True):
            close(value, all_of[part])


def test_greedy_k_means_plus_plus_is_as_good_as_scikit_learn_s() -> None:
    """Mean squared distance to the nearest centre, over 200 starts of each."""
    x = gp.datasets.make_mixture(400, 2, 8, separation=3.0, seed=4).x
    weight = torch.ones(400).double()
    ours = []
    for own in greedy_k_means_plus_plus(x, weight, 8, range(200), seed=5):
        centres = torch.stack([x[own == j].mean(0) for j in own.unique()])
        ours.append(float((x - centres[own.unique(return_inverse=True)[1]]).square().sum()))
    theirs = []
    for seed in range(200):
        centres = torch.as_tensor(kmeans_plusplus(x.numpy(), 8, random_state=seed)[0])
        own = torch.cdist(x, centres).argmin(1)
        means = torch.stack([x[own == j].mean(0) for j in range(8)])
        theirs.append(float((x - means[own]).square().sum()))
    error = np.sqrt(np.var(ours) / 200 + np.var(theirs) / 200)
    assert abs(np.mean(ours) - np.mean(theirs)) < STANDARD_ERRORS * error


def test_points_without_weight_are_no_centres() -> None:
    x = torch.cat([normal(30, 2), 100 + normal(5, 2)])
    weight = torch.cat([torch.ones(30), torch.zeros(5)]).double()
    labels = greedy_k_means_plus_plus(x, weight, 3, range(20), seed=0)
    centres = torch.stack([x[:30][row[:30] == 0].mean(0) for row in labels])
    assert centres.abs().max() < 10


def test_invariant_coordinates_are_those_of_any_linear_map() -> None:
    x = torch.cat([normal(200, 4), normal(200, 4, seed=1) + numbers([3.0, 0, 0, 0])])
    mapped = x @ normal(4, 4, seed=2) + 7
    one, other = (invariant_coordinates(observe(points)) for points in (x, mapped))
    close(other * (one * other).sum(0).sign(), one, rounding=1e-9)
    assert (one[:, 0] > 0).sum() == pytest.approx(200, abs=40)  # equal groups come first
    low = torch.cat([one[:200, 0], -one[200:, 0]])
    assert float(low.mean().abs()) > 0.8  # of a whitened coordinate


# ---------------------------------------------------------------------- what it tells


def test_an_easy_problem_has_one_solution() -> None:
    table = em(gp.datasets.three_clusters().x, 3).solutions
    assert len(table) == 1
    assert table["times"].iloc[0] >= 10
    assert table["behind"].tolist() == [0.0]


def test_solutions_are_in_order_and_the_first_is_the_fit() -> None:
    found = em(gp.datasets.iris().x, 4, seed=2)
    table = found.solutions
    assert table["sound"].is_monotonic_decreasing
    sound = table[table["sound"]]
    assert sound["log_likelihood"].is_monotonic_decreasing
    assert sound["log_likelihood"].iloc[0] == pytest.approx(found.objective, abs=0.1)
    assert found.search is not None
    assert found.search.tried >= found.search.taken
    assert found.search.n == 150


def test_methods_that_begin_with_em_tell_theirs() -> None:
    assert len(gp.fit(MixtureModel(2), gp.datasets.bimodal().x, "map").solutions) >= 1
    with pytest.raises(ValueError, match="kmeans does not search for the likeliest mixture"):
        _ = gp.fit(MixtureModel(2), gp.datasets.bimodal().x, "kmeans").solutions


@pytest.mark.parametrize("at", [1, 5, 12, 20])
def test_an_interrupt_of_the_search_keeps_the_best_so_far(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, move = 0, likeliest.Mover.moved

    def stopped(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return move(*arguments)

    monkeypatch.setattr(likeliest.Mover, "moved", stopped)
    found = em(hard(0), 5, search="thorough")
    assert found.status.name == "INTERRUPTED"
    assert no_worse(found, em(hard(0), 5, search="starts", max_steps=35))


def test_a_start_that_is_given_is_not_left() -> None:
    x = gp.datasets.iris().x
    labels = np.repeat([0, 1, 2], 50)
    task = Task("em", MixtureModel(3), observe(x), choice("em", {"start": labels}).options)
    search = likeliest.searched(task)
    assert (search.starts, search.tried) == (1, 0)
    state = expect_at(task, search.ends[0].climb.state.parameters, task.observations)
    close(state.log_likelihood, search.ends[0].climb.history[:, 0])


@pytest.mark.parametrize("family", ["full", "tied", "spherical"])
def test_weights_are_repetitions(family: str) -> None:
    x = hard(1)[:120]
    weight = torch.arange(120) % 3 + 1
    weighted = em(x, 3, family, sample_weight=weight, seed=1)
    repeated = em(x.repeat_interleave(weight, 0), 3, family, seed=1)
    best = max(weighted.objective, repeated.objective)
    assert min(weighted.objective, repeated.objective) > best - 1e-3 * weight.sum()
