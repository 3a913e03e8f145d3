"""Claims about the conjugate distributions of components, by SciPy and by integrals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from gmm_pyro import ConjugatePriors
from gmm_pyro.covariance import Parameters, Statistics, family_named
from gmm_pyro.model.normal_wishart import Components, IndependentMeans, NormalWishart
from oracles import FAILURE_RATE, close, every_family, normal, numbers

K, D, N = 2, 3, 9
PSI = numbers([[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 1.5]])


def prior(family: str, d: int = D, **changes: Any) -> NormalWishart:
    """A prior in which no two numbers are the same."""
    chosen = {"mean": [0.5, -1.0, 2.0][:d], "mean_strength": 0.3, "dof": 6.5, "scale": PSI[:d, :d]}
    given = ConjugatePriors(**{**chosen, "spread": torch.ones(d), **changes})
    found = given.conjugate(family_named(family), K).components
    assert isinstance(found, NormalWishart)
    return found


def points(d: int = D, seed: int = 0) -> Tensor:
    return 2 * normal(N, d, seed=seed) + 1


def statistics_of(family: str, x: Tensor, labels: Tensor, reference: Any = 0.0) -> Statistics:
    """Counts and moments of points with known components, one after the other."""
    chosen, d = family_named(family), x.shape[1]
    about = torch.full((d,), float(reference)).double()
    z = x - about
    member = [labels == j for j in range(K)]
    second = torch.stack([chosen.compress(z[m].T @ z[m]) for m in member])[None]
    return Statistics(
        log_norm=torch.zeros(1),
        counts=torch.stack([m.sum() for m in member]).double()[None],
        first=torch.stack([z[m].sum(0) for m in member])[None],
        second=second.sum(1, keepdim=True) if chosen.tied else second,
        reference=about,
    )


def posterior(family: str, d: int = D) -> NormalWishart:
    labels = torch.arange(N) % 3 % K
    return prior(family, d).given(statistics_of(family, points(d), labels))


def matrices(found: NormalWishart, precision: Tensor, d: int = D) -> np.ndarray:
    """Precisions in compact form as matrices, one for each component."""
    each = precision[0].expand(K, *precision.shape[2:])
    if each.ndim < 3:
        each = torch.diag_embed(each.expand(K, d))
    return each.numpy()


def scipy_log_density(found: NormalWishart, means: np.ndarray, precision: Tensor) -> float:
    """The log density of means and precisions by SciPy alone, of one set of K components."""
    d = found.mean.shape[-1]
    dof, scale = found.dof[0], found.scale[0]
    total, number = 0.0, len(precision[0])
    for j in range(number):
        nu, psi = dof[min(j, len(dof) - 1)].item(), scale[min(j, len(scale) - 1)].numpy()
        if psi.ndim == 2:
            wishart = stats.wishart(df=nu, scale=np.linalg.inv(psi))
            total += wishart.logpdf(precision[0, j].numpy())
        else:
            total += stats.gamma(a=nu / 2, scale=2 / psi).logpdf(precision[0, j].numpy()).sum()
    strength, centre = found.mean_strength.expand(1, K)[0], found.mean.expand(1, K, d)[0]
    for j, matrix in enumerate(matrices(found, precision, d)):
        covariance = np.linalg.inv(matrix * strength[j].item())
        total += stats.multivariate_normal(centre[j].numpy(), covariance).logpdf(means[j])
    return float(total)


def any_precision(found: NormalWishart, seed: int) -> Tensor:
    """Some precisions in compact form, one set."""
    factor = found.draw(torch.Generator().manual_seed(seed)).factor
    return found.family.precision(factor)


# ---------------------------------------------------------------------- points


@every_family
@pytest.mark.parametrize("reference", [0.0, 3.0])
def test_bayes_rule_holds_at_any_parameters(family: str, reference: float) -> None:
    """prior · likelihood = posterior · evidence, the first three of them by SciPy."""
    x, labels = points(), torch.arange(N) % 3 % K
    before = prior(family)
    statistics = statistics_of(family, x, labels, reference)
    after, evidence = before.given(statistics), before.log_evidence(statistics).item()
    for seed in range(3):
        means, precision = normal(K, D, seed=seed).numpy(), any_precision(after, seed)
        covariances = np.linalg.inv(matrices(after, precision))
        likelihood = sum(
            stats.multivariate_normal(means[j], covariances[j]).logpdf(point)
            for point, j in zip(x.numpy(), labels.tolist(), strict=True)
        )
        joint = scipy_log_density(before, means, precision) + likelihood
        assert joint == pytest.approx(
            scipy_log_density(after, means, precision) + evidence, rel=1e-11
        )


@every_family
def test_points_that_come_later_are_the_same_points(family: str) -> None:
    x, labels = points(), torch.arange(N) % 3 % K
    parts = [statistics_of(family, x[rows], labels[rows]) for rows in (slice(4), slice(4, N))]
    found = prior(family).given(parts[0]).given(parts[1])
    for value, expected in zip(
        list(vars(found).values())[1:], list(vars(posterior(family)).values())[1:], strict=True
    ):
        close(value, expected)


def test_the_evidence_is_an_integral() -> None:
    """Two points of one feature, over their mean and the logarithm of their precision."""
    x, before = numbers([[0.3], [1.9]]), prior("full", 1)
    nu, psi, kappa, centre = 6.5, 2.0, 0.3, 0.5
    mean, log_p = np.linspace(-8, 9, 801)[:, None], np.linspace(-9, 4, 801)
    p = np.exp(log_p)
    log_density = stats.gamma(a=nu / 2, scale=2 / psi).logpdf(p) + log_p
    log_density = log_density + stats.norm(centre, (kappa * p) ** -0.5).logpdf(mean)
    for value in x[:, 0].tolist():
        log_density = log_density + stats.norm(mean, p**-0.5).logpdf(value)
    expected = np.exp(log_density).sum() * np.ptp(mean) / 800 * np.ptp(log_p) / 800
    found = before.log_evidence(statistics_of("full", x, torch.zeros(2)))
    assert found.item() == pytest.approx(math.log(expected), abs=1e-5)


def test_no_points_change_nothing_and_have_the_evidence_one() -> None:
    empty = statistics_of("full", points()[:0], torch.zeros(0))
    before = prior("full")
    assert before.log_evidence(empty).item() == pytest.approx(0.0, abs=1e-12)
    close(before.given(empty).mean[0, 1], before.mean[0, 0])
    close(before.given(empty).scale[0, 1], before.scale[0, 0])


# ---------------------------------------------------------------------- expected values


def mean_log(distribution: Any) -> float:
    return float(distribution.expect(np.log))


@every_family
def test_expected_precisions_are_scipy_s(family: str) -> None:
    found = posterior(family)
    expected = found.expected.precision
    for j in range(expected.shape[1]):
        nu, psi = found.dof[0, j].item(), found.scale[0, j].numpy()
        if psi.ndim == 2:
            theirs = stats.wishart(df=nu, scale=np.linalg.inv(psi)).mean()
        else:
            theirs = stats.gamma(a=nu / 2, scale=2 / psi).mean()
        close(expected[0, j], theirs)


@every_family
def test_expected_log_determinants_are_integrals(family: str) -> None:
    """By quadrature: |P| |Ψ| is a product of χ² variables (Bartlett 1933), or of gamma ones."""
    found = posterior(family)
    values = found.expected.log_determinant
    assert values.shape == found.dof.shape
    for j in range(values.shape[1]):
        nu, psi = found.dof[0, j].item(), found.scale[0, j].numpy()
        if psi.ndim == 2:
            parts = [mean_log(stats.chi2(nu - i)) for i in range(D)]
            expected = sum(parts) - np.linalg.slogdet(psi)[1]
        else:
            gammas = [mean_log(stats.gamma(a=nu / 2, scale=2 / value)) for value in psi]
            expected = sum(gammas) * D / len(psi)
        assert values[0, j].item() == pytest.approx(expected, rel=1e-7)


def test_expected_values_need_no_gradients_and_leave_none() -> None:
    found = posterior("full")
    with torch.no_grad():
        expected = found.expected
    assert not expected.precision.requires_grad
    assert not found.scale.requires_grad


# ---------------------------------------------------------------------- the mode


def near(mode: Components, precision: Tensor, step: float, seed: int) -> tuple[np.ndarray, Tensor]:
    """Means and precisions a step from the mode, in a direction of both."""
    towards = normal(*precision.shape, seed=seed)
    if precision.ndim == 4:
        towards = towards + towards.mT
    means = mode.means[0] + step * normal(K, D, seed=seed + 100)
    return means.numpy(), precision + step * towards


@every_family
@pytest.mark.parametrize("of", [prior, posterior], ids=["prior", "posterior"])
def test_the_density_is_highest_at_the_mode(family: str, of: Any) -> None:
    """By SciPy's densities a step to either side of it, in directions of all numbers at once."""
    found = of(family)
    if of is prior:  # of K components
        found = found.given(statistics_of(family, points()[:0], torch.zeros(0)))
    mode = found.mode
    precision = found.family.precision(mode.factor)
    top = scipy_log_density(found, *near(mode, precision, 0.0, 0))
    step = 1e-4
    for seed in range(5):
        up, down = (
            scipy_log_density(found, *near(mode, precision, sign * step, seed)) for sign in (1, -1)
        )
        curvature = up + down - 2 * top
        assert curvature < 0
        assert abs(up - down) < 1e-2 * abs(curvature)  # level, or the top would be elsewhere


@pytest.mark.parametrize("family", ["full", "tied", "diag", "tied_diag"])
def test_a_density_that_rises_towards_no_precision_has_no_mode(family: str) -> None:
    """That of one component and its mean is |P| to the power (ν - proper ν - 1) / 2."""
    proper = family_named(family).proper_dof(D)
    assert prior(family, dof=proper + 0.5).mode.factor.isnan().all()
    assert prior(family, dof=proper + 1.0).mode.factor.isnan().all()
    assert prior(family, dof=proper + 1.5).mode.factor.isfinite().all()


# ---------------------------------------------------------------------- draws


def assert_zero(values: Tensor) -> None:
    """Means over independent draws are zero, but for Monte-Carlo error."""
    values = values.reshape(len(values), -1)
    z = values.mean(0) / (values.std(0) / math.sqrt(len(values)))
    assert z.abs().max() < stats.norm.isf(FAILURE_RATE / 2 / z.numel())


@every_family
def test_draws_have_the_moments_of_the_distribution(family: str) -> None:
    """E P and E log |P| as tested above; κ (μ - m)ᵀ P (μ - m) is χ² with d degrees of freedom."""
    found, n = posterior(family), 5000
    drawn = found[[0] * n].draw(torch.Generator().manual_seed(0))
    precision = found.family.precision(drawn.factor)
    assert_zero(precision - found.expected.precision)
    log_determinant = -2 * found.family.log_determinant(drawn.factor, D)
    assert_zero(log_determinant - found.expected.log_determinant)
    away = drawn.means - found.mean
    square = (away * found.family.product(precision, away)).sum(-1) * found.mean_strength
    assert_zero(square - D)
    assert_zero(away)


def test_the_prior_draws_one_component_for_all_that_are_alike() -> None:
    found = prior("diag").draw(torch.Generator().manual_seed(0))
    assert found.means.shape == (1, 1, D)
    assert found.factor.shape == (1, 1, D)


@every_family
def test_independent_means_are_drawn_given_the_covariances(family: str) -> None:
    """Their conditional distribution by the normal equations of each component, in NumPy."""
    scale, n = np.array([2.0, 1.0, 0.5]), 4000
    given = ConjugatePriors(mean=0.5, mean_scale=scale, dof=6.5, scale=PSI, spread=torch.ones(D))
    components = given.conjugate(family_named(family), K).components
    assert isinstance(components, IndependentMeans)
    x, labels = points(), torch.arange(N) % 3 % K
    statistics = statistics_of(family, x, labels, 1.0)[[0] * n]
    factor = posterior(family).draw(torch.Generator().manual_seed(3)).factor
    current = Parameters(
        torch.zeros(n, K), torch.zeros(n, K, D), factor.expand(n, *factor.shape[1:])
    )
    drawn = components.draw_given(statistics, current, torch.Generator().manual_seed(0))
    precisions = matrices(posterior(family), components.family.precision(factor))
    for j, precision in enumerate(precisions):
        mine = x[labels == j].numpy()
        total = np.diag(scale**-2) + len(mine) * precision
        centre = np.linalg.solve(total, 0.5 * scale**-2 + precision @ mine.sum(0))
        away = drawn.means[:, j] - torch.from_numpy(centre)
        assert_zero(away)
        assert_zero(away[:, :, None] * away[:, None, :] - torch.from_numpy(np.linalg.inv(total)))


@every_family
def test_a_distribution_of_single_precision_stays_so(family: str) -> None:
    given = ConjugatePriors(mean=0.0, spread=torch.ones(D))
    like = torch.empty(0, dtype=torch.float32)
    found = given.conjugate(family_named(family), K, like).components
    assert isinstance(found, NormalWishart)
    drawn = found.draw(torch.Generator().manual_seed(0))
    assert {drawn.means.dtype, drawn.factor.dtype, found.mode.factor.dtype} == {torch.float32}
    assert found.expected.precision.dtype == torch.float32
