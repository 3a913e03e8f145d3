"""EM against scikit-learn step by step, closed forms, and its own promises."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import FitWarning, GaussianMixture, MixtureModel, Status
from gmm_pyro.covariance import FAMILIES, Parameters, family_named
from oracles import EPSILON, clusters, every_dimension, every_family, normal

SKLEARN = ["full", "tied", "diag", "spherical"]
# an active floor is named as one
DEGENERATE = pytest.mark.filterwarnings("ignore:em found a degenerate:gmm_pyro.FitWarning")


def overlapping(d: int = 2, n: int = 200, seed: int = 3) -> Tensor:
    """Three clusters that EM takes many steps to tell apart."""
    return clusters(d, n, k=3, separation=2.5, seed=seed).x


def em(family: str, x: Any, k: int = 3, **options: Any) -> gp.Fit:
    return gp.fit(MixtureModel(k, family), x, method="em", **options)


def stopped_early(family: str, x: Tensor, **options: Any) -> gp.Fit:
    """A fit that is meant to stop at the step limit."""
    with pytest.warns(FitWarning, match="step limit"):
        return em(family, x, tolerance=0, **options)


def alike(one: GaussianMixture, other: GaussianMixture, rtol: float, atol: float = 0.0) -> None:
    for name in ("weights", "means", "covariances"):
        torch.testing.assert_close(
            getattr(one, name), getattr(other, name), rtol=rtol, atol=atol, msg=None
        )


def start_of(family: str, x: Tensor, k: int = 3, **options: Any) -> GaussianMixture:
    """A poor mixture of the family: what k slices along the first feature give."""
    slices = x[:, 0].argsort().argsort() * k // len(x)
    return stopped_early(family, x, k=k, start=slices, max_steps=1, **options).mixture


# ---------------------------------------------------------------------- scikit-learn's steps


def sklearn_from(start: GaussianMixture) -> SklearnMixture:
    """scikit-learn's mixture with these parameters, which takes one step for each fit."""
    inverse = torch.linalg.inv if start.covariances.ndim > 1 else torch.reciprocal
    if start.family.name == "diag":
        inverse = torch.reciprocal
    return SklearnMixture(
        start.n_components,
        covariance_type=start.family.name,
        weights_init=start.weights.numpy(),
        means_init=start.means.numpy(),
        precisions_init=inverse(start.covariances).numpy(),
        reg_covar=0.0,
        tol=0.0,
        max_iter=1,
        warm_start=True,
        init_params="random_from_data",
        random_state=0,
    )


@pytest.mark.parametrize("family", SKLEARN)
@every_dimension
def test_every_step_is_scikit_learn_s(family: str, d: int) -> None:
    x = overlapping(d)
    start = start_of(family, x)
    theirs = sklearn_from(start)
    for steps in range(1, 9):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs.fit(x.numpy())
        ours = stopped_early(family, x, start=start, max_steps=steps, covariance_floor=0)
        assert ours.steps == steps
        for name in ("weights", "means", "covariances"):
            np.testing.assert_allclose(
                getattr(ours.mixture, name), getattr(theirs, f"{name}_"), rtol=1e-9, atol=1e-9
            )
        assert ours.objective == pytest.approx(len(x) * theirs.score(x.numpy()), rel=1e-12)


def iris() -> Tensor:
    return gp.datasets.iris().x


def drawn(**arguments: Any) -> Callable[[], Tensor]:
    return lambda: gp.datasets.make_mixture(**arguments).x


@pytest.mark.parametrize("family", SKLEARN)
@pytest.mark.parametrize(
    ("k", "data"),
    [
        (3, iris),
        (2, lambda: gp.datasets.bimodal().x[::5]),
        (4, drawn(n=300, d=2, k=4, separation=4, seed=1)),
        (3, drawn(n=250, d=4, k=3, separation=4, imbalance=0.4, seed=2)),
    ],
    ids=["iris", "bimodal", "four clusters", "unequal clusters"],
)
def test_the_optimum_is_at_least_scikit_learn_s_best_of_ten(
    family: str, k: int, data: Callable[[], Tensor]
) -> None:
    x = data()
    with threadpool_limits(1):  # small products, for which its threads wait for each other
        theirs = SklearnMixture(
            k, covariance_type=family, n_init=10, tol=1e-6, max_iter=1000, random_state=0
        ).fit(x.numpy())
    ours = em(family, x, k)
    assert ours.status is Status.CONVERGED
    # scikit-learn stops within 1e-6 nats a point of its optimum, and adds 1e-6 to each variance
    assert ours.objective / len(x) >= theirs.score(x.numpy()) - 1e-5


# ---------------------------------------------------------------------- closed forms


@every_family
@every_dimension
def test_one_component_has_the_sample_s_mean_and_covariance(family: str, d: int) -> None:
    x = 5.0 + normal(50, d) @ normal(d, d, seed=1)
    fit = em(family, x, k=1)
    covariance = np.cov(x.numpy().T, bias=True).reshape(d, d)
    if "diag" in family:
        covariance = covariance * np.eye(d)
    if "spherical" in family:
        covariance = np.trace(covariance) / d * np.eye(d)
    np.testing.assert_allclose(fit.mixture.means[0], x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(fit.mixture.covariance_matrices()[0], covariance, atol=1e-12)
    assert fit.mixture.weights.tolist() == [1.0]
    assert fit.diagnostics["problems"] == ()


@every_family
def test_far_clusters_are_counted_exactly(family: str) -> None:
    data = clusters(n=120, k=3, separation=60, seed=0)
    fit = em(family, data.x)
    from_labels = em(family, data.x, start=data.labels)
    order = fit.mixture.predict(from_labels.mixture.means)
    alike(fit.mixture.permute(order.tolist()), from_labels.mixture, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        from_labels.mixture.weights, np.bincount(data.labels) / 120, rtol=1e-12
    )


# ---------------------------------------------------------------------- the objective


@DEGENERATE
@every_family
@every_dimension
@pytest.mark.parametrize("floor", [0.0, 1e-6, 0.3], ids=["no floor", "default", "active floor"])
def test_the_log_likelihood_never_falls(family: str, d: int, floor: float) -> None:
    x = overlapping(d)
    start = start_of(family, x, covariance_floor=floor)
    fit = em(family, x, start=start, covariance_floor=floor, tolerance=1e-5)
    rounding = 10 * EPSILON * float(fit.history.abs().max()) * len(x) ** 0.5
    assert len(fit.history) == fit.steps + 1
    assert fit.steps > 3
    assert fit.history.diff().min() >= -rounding


@every_family
def test_history_and_objective_are_the_mixture_s_log_likelihood(family: str) -> None:
    x = overlapping()
    fit = em(family, x)
    assert fit.objective == fit.history[-1]
    assert fit.objective == pytest.approx(float(fit.mixture.log_prob(x).sum()), rel=1e-12)
    assert fit.history[-1] - fit.history[-2] <= 1e-8 * len(x)


@every_family
def test_the_optimum_is_a_fixed_point(family: str) -> None:
    x = overlapping()
    fit = em(family, x)
    again = em(family, x, start=fit.mixture)
    assert again.steps <= 2
    assert again.objective == pytest.approx(fit.objective, abs=1e-8 * len(x))


def test_a_lower_tolerance_comes_closer_to_the_optimum() -> None:
    x = overlapping()
    start = start_of("full", x)
    loose, default = (em("full", x, tolerance=t, start=start) for t in (1e-3, 1e-8))
    assert loose.steps < default.steps
    assert loose.objective < default.objective


# ---------------------------------------------------------------------- sample weights


@every_family
def test_whole_weights_are_repeated_rows(family: str) -> None:
    x = overlapping(n=60)
    weight = torch.arange(60) % 4  # some points not at all
    start = start_of(family, x)
    weighted = em(family, x, sample_weight=weight, start=start)
    repeated = em(family, x.repeat_interleave(weight, 0), start=start)
    assert weighted.steps == repeated.steps
    alike(weighted.mixture, repeated.mixture, rtol=1e-8, atol=1e-10)
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-12)


def test_all_weights_may_be_doubled() -> None:
    x = overlapping()
    start = start_of("full", x)
    doubled = em("full", x, sample_weight=torch.full((len(x),), 2.0), start=start)
    single = em("full", x, start=start)
    alike(doubled.mixture, single.mixture, rtol=1e-8)
    assert doubled.objective == pytest.approx(2 * single.objective, rel=1e-12)


# ---------------------------------------------------------------------- the covariance floor


def twins(unit: float | Tensor = 1.0) -> Tensor:
    """Two diffuse clusters, and six copies of one point, about which a component collapses."""
    pair = normal(60, 2) + torch.tensor([0.0, 8.0]).repeat(30)[:, None]
    return torch.cat([pair, torch.tensor([[4.0, -6.0]]).expand(6, 2)]) * unit


@pytest.mark.parametrize("family", ["full", "diag", "spherical"])
@pytest.mark.parametrize("floor", [1e-6, 1e-2])
def test_the_floor_is_in_units_of_each_feature_s_variance(family: str, floor: float) -> None:
    x = twins(unit=torch.tensor([1e-3, 1e3], dtype=torch.float64))
    labels = torch.tensor([0, 1]).repeat(30).tolist() + [2] * 6
    with pytest.warns(FitWarning, match="covariance of component 2 is singular"):
        fit = em(family, x, start=labels, covariance_floor=floor)
    variance = x.var(0, correction=0)
    smallest = family_named(family).smallest_ratio(fit.mixture.parameters.factor[0], variance)
    if family != "spherical":  # one variance cannot be the floor of two features
        assert smallest[2] == pytest.approx(floor, rel=1e-6)
    assert smallest.min() > 0
    expected = floor * variance
    expected = expected.mean().expand(2) if family == "spherical" else expected
    found = fit.mixture.covariance_matrices()[2]
    torch.testing.assert_close(found, torch.diag(expected), rtol=1e-6, atol=1e-15)


@DEGENERATE
@pytest.mark.parametrize("family", ["full", "tied", "diag", "tied_diag"])
@pytest.mark.parametrize("floor", [1e-6, 0.2])
def test_units_change_nothing_else(family: str, floor: float) -> None:
    """Each feature in another unit: same steps, and the mixture in those units."""
    x, unit = overlapping(), torch.tensor([1e-4, 1e5], dtype=torch.float64)
    shift = torch.tensor([3.0, -4e6], dtype=torch.float64)
    here = em(family, x, covariance_floor=floor)
    there = em(family, x * unit + shift, covariance_floor=floor)
    assert there.steps == here.steps
    alike(
        GaussianMixture(
            there.mixture.weights,
            (there.mixture.means - shift) / unit,
            there.mixture.covariance_matrices() / unit / unit[:, None],
        ),
        GaussianMixture(
            here.mixture.weights, here.mixture.means, here.mixture.covariance_matrices()
        ),
        rtol=1e-6,
        atol=1e-6,
    )
    jacobian = len(x) * float(unit.log().sum())
    assert there.objective == pytest.approx(here.objective - jacobian, abs=1e-6)


@pytest.mark.parametrize("family", ["spherical", "tied_spherical"])
def test_spherical_families_take_one_unit_for_all_features(family: str) -> None:
    x = overlapping()
    here, there = em(family, x), em(family, 1e5 * x)
    alike(
        there.mixture,
        GaussianMixture(
            here.mixture.weights, 1e5 * here.mixture.means, 1e10 * here.mixture.covariances, family
        ),
        rtol=1e-6,
    )


def test_a_floor_that_does_not_bind_changes_nothing() -> None:
    x = overlapping()
    start = start_of("full", x)
    without, default = (em("full", x, covariance_floor=f, start=start) for f in (0, 1e-6))
    alike(without.mixture, default.mixture, rtol=0)


# ---------------------------------------------------------------------- hard numbers


@every_family
@every_dimension
def test_components_a_millionth_wide_and_a_thousand_apart(family: str, d: int) -> None:
    """1e-6 wide at a distance of 1e3: the coordinates hold 1e-13 / 1e-6 of such a width."""
    centres = 1e3 * torch.eye(3, d, dtype=torch.float64) - 500
    centres[2] += torch.tensor([2e3] + [0.0] * (d - 1))
    labels = torch.arange(3).repeat_interleave(40)
    x = centres[labels] + 1e-6 * normal(120, d)
    fit = em(family, x, start=labels, covariance_floor=0)
    groups = [x[labels == i].numpy() for i in range(3)]
    within = np.stack([np.cov(c.T, bias=True).reshape(d, d) for c in groups])
    within = within.mean(0, keepdims=True) if "tied" in family else within
    if "diag" in family:
        within = within * np.eye(d)
    if "spherical" in family:
        within = np.trace(within, axis1=1, axis2=2)[:, None, None] / d * np.eye(d)
    np.testing.assert_allclose(
        fit.mixture.covariance_matrices() / 1e-12,
        np.broadcast_to(within / 1e-12, (3, d, d)),
        atol=1e-6,
    )
    means = [c.mean(0) for c in groups]
    np.testing.assert_allclose(fit.mixture.means, means, rtol=0, atol=1e-12)
    assert fit.mixture.weights.tolist() == pytest.approx([1 / 3] * 3, rel=1e-12)


@every_family
def test_float32_comes_as_close_as_it_can(family: str) -> None:
    x = overlapping() + 100
    start = start_of(family, x)
    double = em(family, x, start=start)
    single = em(family, x, start=start, dtype=torch.float32, tolerance=1e-6)
    assert single.mixture.means.dtype == torch.float32
    assert single.objective == pytest.approx(double.objective, rel=1e-5)
    torch.testing.assert_close(
        single.mixture.means, double.mixture.means.float(), rtol=1e-3, atol=0
    )


# ---------------------------------------------------------------------- restarts


@every_family
def test_the_seed_does_not_matter_on_easy_data(family: str) -> None:
    data = gp.datasets.make_mixture(n=200, d=2, k=4, separation=7, covariance=family, seed=5)
    found = [em(family, data.x, k=4, seed=seed).objective for seed in range(6)]
    assert max(found) - min(found) <= 1e-6 * data.n


def test_more_starts_never_do_worse_from_the_same_seed() -> None:
    x = overlapping()
    one, ten = (em("full", x, n_starts=n, start="random points").objective for n in (1, 10))
    assert ten >= one - 1e-6 * len(x)


@pytest.mark.parametrize("seed", range(5))
def test_a_degenerate_start_is_not_returned_when_a_sound_one_exists(seed: int) -> None:
    """Six copies of a point make a higher peak than any cluster, and a worse mixture."""
    x = twins()
    with pytest.warns(FitWarning, match="singular"):
        peak = em("full", x, k=2, start=[0] * 60 + [1] * 6)
    fit = em("full", x, k=2, seed=seed)
    assert fit.diagnostics["problems"] == ()
    assert fit.objective < peak.objective


def test_starts_on_large_data_are_compared_on_a_sample() -> None:
    data = clusters(n=8000, k=3, separation=4, seed=0)
    fit = em("full", data.x)
    truth = em("full", data.x, start=data.truth)
    assert fit.objective == pytest.approx(truth.objective, abs=1e-5 * data.n)
    assert fit.history[0] <= fit.history[-1]  # no log-likelihood of the sample is among them
    assert (fit.history > 1.5 * truth.objective).all()


def test_a_mixture_that_is_given_is_the_only_start(random_parameters: Callable) -> None:
    x = overlapping()
    parameters: Parameters = random_parameters(family_named("full"), 1, 3, 2)
    start = GaussianMixture.from_parameters(family_named("full"), parameters)
    fits = [em("full", x, start=start, n_starts=n, seed=n) for n in (1, 10)]
    alike(fits[0].mixture, fits[1].mixture, rtol=0)
    assert fits[0].history[0] == pytest.approx(float(start.log_prob(x).sum()), rel=1e-12)


# ---------------------------------------------------------------------- acceleration


@every_family
@pytest.mark.filterwarnings("ignore:em found a degenerate solution.* no point:gmm_pyro.FitWarning")
def test_leaps_save_steps_and_end_at_plain_em_s_fixed_point(family: str) -> None:
    """Clusters that overlap so much that plain steps are small."""
    x = clusters(n=400, k=3, separation=1.4, seed=2).x
    start = gp.fit(MixtureModel(3, family), x, "kmeans").mixture
    plain, leaping = (
        em(family, x, start=start, acceleration=a, max_steps=20_000) for a in (None, "squarem")
    )
    assert plain.converged
    assert leaping.converged
    assert (leaping.history.diff() >= -1e-9).all()
    assert leaping.objective >= plain.objective - 1e-5 * len(x)
    assert leaping.steps <= plain.steps + 20  # where there is nothing to save
    after = em(family, x, start=leaping.mixture, tolerance=1e-4)
    assert after.history[-1] - after.history[0] < 1e-6 * len(x)


def test_leaps_take_a_fifth_of_the_steps_where_plain_em_takes_a_thousand() -> None:
    x = clusters(n=1000, k=3, separation=1.2, seed=2).x
    plain, leaping = (
        em("full", x, acceleration=a, start="k-means++", n_starts=1) for a in (None, "squarem")
    )
    assert plain.steps > 1000
    assert leaping.steps < plain.steps / 5
    assert leaping.objective == pytest.approx(plain.objective, abs=1e-3)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 10])
def test_leaps_keep_to_the_step_limit(limit: int) -> None:
    found = stopped_early(
        "full", overlapping(), acceleration="squarem", max_steps=limit, n_starts=1
    )
    assert found.steps <= limit
    assert found.status is Status.STEP_LIMIT


def test_no_other_acceleration() -> None:
    with pytest.raises(ValueError, match="acceleration must be 'squarem' or None, got 'warp'"):
        em("full", overlapping(), acceleration="warp")


@pytest.mark.parametrize("family", ["diag", "tied_diag", "spherical", "tied_spherical"])
def test_a_diagonal_family_makes_no_matrix(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10,000 features it would have 10^8 numbers, and take ten times as long as the fit."""

    def refused(*_: Any) -> Tensor:
        raise AssertionError("a matrix was made")

    for name in ("dense", "scale_tril"):
        monkeypatch.setattr(type(FAMILIES[family]), name, refused)
    assert gp.fit(MixtureModel(2, family), normal(30, 5), "em").converged
