"""The log evidence: against sums over all k^n assignments, and its own standard error."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch import Tensor

import gmm_pyro as gp
from evidences import check, conjugate_sum, errors_of_evidences, estimate, wishart_evidence
from gmm_pyro import ConjugatePriors, MixtureModel, Priors
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.covariance.diagonal import DiagonalAlgebra
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.weighing import assigned as assigned_posteriors
from gmm_pyro.inference.weighing import evidence
from gmm_pyro.inference.weighing.assigned import Assigned, log_permanent
from gmm_pyro.inference.weighing.evidence import Evidence, pareto_k
from gmm_pyro.inference.weighing.parts import parts_of
from gmm_pyro.model.declaration import require_conjugate
from oracles import clusters, normal, numbers
from sums import points, quadrature_sum, statistics_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:laplace found a degenerate solution"),  # of few points
    pytest.mark.filterwarnings("ignore:laplace describes one of"),  # its evidence is of all
]


# ---------------------------------------------------------------------- sums over assignments


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fraction of the work, and the larger errors that go with it."""
    monkeypatch.setattr(evidence, "MOST", 400)
    monkeypatch.setattr(evidence, "CHAINS", 40)


@pytest.mark.usefixtures("few_draws")
def test_errors_are_as_large_as_they_say() -> None:
    """Posteriors that overlap and that are apart; `tests/long` has more of them."""
    check(errors_of_evidences(range(16)))


@pytest.mark.parametrize("separation", [0.0, 4.0])
def test_ten_points_in_two_clusters(separation: float) -> None:
    """Laplace's approximation is some tenths of a nat too low, and says that it is sound."""
    x = points(10, 1, 2, separation, seed=7)
    model = MixtureModel(2, priors=ConjugatePriors())
    exact, found = conjugate_sum(model, x), estimate(model, x)
    assert found["log_evidence"] == pytest.approx(exact, abs=0.05)
    assert found["log_evidence_se"] < 0.02
    assert exact - found["log_evidence_laplace"] > 0.2


@pytest.mark.parametrize(("k", "d", "separation"), [(2, 1, 0.0), (2, 2, 2.0), (3, 1, 2.0)])
def test_priors_that_are_not_conjugate(k: int, d: int, separation: float) -> None:
    """Sums over assignments of evidences by quadrature; the priors name the components."""
    x = points(9 - k, d, k, separation, seed=k + d)
    centre, log_scale = 2 * normal(k, d, seed=5).numpy(), 0.5 * normal(k, d, seed=6).numpy()
    alpha, errors = [2.0, 1.0, 3.0][:k], []
    for means, scales in ((0 * centre, log_scale), (centre, 0 * log_scale)):
        priors = Priors(
            weights=dist.Dirichlet(numbers(alpha)),
            means=dist.Normal(torch.from_numpy(means), 2.0),
            scales=dist.LogNormal(torch.from_numpy(scales), 0.8),
        )
        exact = quadrature_sum(x, alpha, means, 2.0, scales, 0.8)
        found = estimate(MixtureModel(k, "diag", priors), x)
        assert found["log_evidence"] == pytest.approx(exact, abs=0.3)
        errors.append((found["log_evidence"] - exact, found["log_evidence_se"]))
    check(errors)


@pytest.mark.usefixtures("few_draws")
def test_a_parameter_may_be_bounded() -> None:
    """Uniform means and scales of one component, by a grid over both."""
    x = normal(12, 1)
    priors = Priors(means=dist.Uniform(-2.0, 1.0), scales=dist.Uniform(0.5, 3.0))
    found = estimate(MixtureModel(1, priors=priors), x)
    mean, scale = np.linspace(-2, 1, 601)[:, None, None], np.linspace(0.5, 3, 601)[:, None]
    log_p = stats.norm(mean, scale).logpdf(x[:, 0].numpy()).sum(-1)
    exact = logsumexp(log_p) - math.log(600 * 600)
    assert found["log_evidence"] == pytest.approx(exact, abs=4 * found["log_evidence_se"])


def test_many_points_have_laplace_s_figure() -> None:
    x = clusters(1, 4000).x
    found = estimate(MixtureModel(2), x)
    shift = found["log_evidence"] - found["log_evidence_laplace"]
    assert abs(shift) < 4 * found["log_evidence_se"] + 0.02
    assert found["evidence_k_hat"] < 0.5


class Plain(DiagonalAlgebra):
    """Diagonal covariances without their conjugate prior."""

    name, mclust = "plain_diag", "none"


def test_a_family_without_a_conjugate_prior_is_judged_at_the_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FAMILIES, "plain_diag", Plain())
    x = clusters(n=200).x
    with_assignments, found = (
        estimate(MixtureModel(2, name), x) for name in ("diag", "plain_diag")
    )
    error = math.hypot(found["log_evidence_se"], with_assignments["log_evidence_se"])
    assert 0 < abs(found["log_evidence"] - with_assignments["log_evidence"]) < 4 * error < 0.4
    for method in ("em", "map", "svi", "kmeans", "gradient"):
        ours, theirs = (gp.fit(MixtureModel(2, f), x, method) for f in ("plain_diag", "diag"))
        torch.testing.assert_close(ours.mixture.means, theirs.mixture.means)
    with pytest.raises(ValueError, match="plain_diag covariances have no conjugate prior"):
        gp.fit(MixtureModel(2, "plain_diag"), x, "gibbs")


def test_weights_of_points_are_repeated_rows() -> None:
    x, weight = points(12, 1, 2, 3.0, seed=1), 1 + torch.arange(12) % 2
    model = MixtureModel(2, priors=ConjugatePriors()).specialise(x)
    weighted = estimate(model, x, sample_weight=weight)
    repeated = estimate(model, x.repeat_interleave(weight, 0))
    error = math.hypot(weighted["log_evidence_se"], repeated["log_evidence_se"])
    assert abs(weighted["log_evidence"] - repeated["log_evidence"]) < 4 * error < 0.4


@pytest.mark.usefixtures("few_draws")
def test_estimates_are_the_seed_s_and_leave_the_generator_alone() -> None:
    x, before = points(9, 1, 2, 3.0, seed=1), torch.get_rng_state()
    first, second, other = (estimate(MixtureModel(2), x, seed=seed) for seed in (0, 0, 1))
    assert first == second
    assert first["log_evidence"] != other["log_evidence"]
    assert torch.get_rng_state().equal(before)


@pytest.mark.usefixtures("few_draws")
def test_many_named_components_take_no_longer() -> None:
    """Seven that all differ: far apart, so that one numbering is all, and log 7! is nowhere."""
    centres = 20.0 * torch.arange(7).double()[:, None]
    x = centres[torch.arange(140) % 7] + normal(140, 1)
    named = Priors(means=dist.Normal(centres, 2.0))
    alike = Priors(means=dist.Normal(centres.mean(), 40.0))
    found, other = (estimate(MixtureModel(7, "diag", priors), x) for priors in (named, alike))
    own = stats.norm(0, 2).logpdf(0.0) * 7
    wide = stats.norm(centres.mean(), 40).logpdf(centres).sum() + math.log(math.factorial(7))
    for name in ("log_evidence", "log_evidence_laplace"):
        assert found[name] - other[name] == pytest.approx(own - wide, abs=0.8)


# ---------------------------------------------------------------------- what it is made of


@cache
def matrix(k: int) -> Tensor:
    return 300 * normal(5, k, k, seed=k)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_log_permanent_is_the_sum_over_permutations(k: int) -> None:
    """Columns of different sizes, whose terms would be zero if taken row by row."""
    sized = matrix(k) * torch.arange(1, k + 1)
    expected = [
        sized[:, range(k), list(order)].sum(1) for order in itertools.permutations(range(k))
    ]
    torch.testing.assert_close(
        log_permanent(sized.permute(1, 2, 0)), torch.stack(expected).logsumexp(0)
    )


def test_terms_of_the_log_permanent_may_all_be_too_small_for_a_float() -> None:
    """Two columns are largest in one row: four products are e⁻⁷²⁰, and two are e⁻¹⁴⁴⁰."""
    conflict = torch.tensor([[0.0, 0.0, 0.0], [0.0, -720.0, -720.0], [0.0, -720.0, -720.0]])
    expected = math.log(4) - 720
    found = log_permanent(conflict.double()[..., None])
    torch.testing.assert_close(found, torch.tensor([expected]).double())


@pytest.mark.parametrize("family", ["full", "diag", "spherical", "tied"])
def test_the_posterior_of_one_component_is_exact(family: str) -> None:
    """There is one assignment, so likelihood times prior over posterior is the same anywhere."""
    x = points(9, 2, 1, 0.0, seed=3)
    density = MixtureModel(1, family, ConjugatePriors()).log_density(x)
    posterior = Assigned.visited(density, chains=2, seed=0)
    p = posterior.draw(20, torch.Generator().manual_seed(1))
    values = density.values(p)
    log_p = density.log_likelihood(values) + density.log_prior(values)
    ratio = log_p - posterior.log_density(p)
    torch.testing.assert_close(ratio, ratio[:1].expand(20), rtol=0, atol=1e-8)
    if family in ("full", "diag"):
        exact = conjugate_sum(MixtureModel(1, family, ConjugatePriors()), x)
        assert float(ratio[0]) == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("family", ["full", "diag", "spherical", "tied"])
@pytest.mark.parametrize("priors", [Priors(), ConjugatePriors(mean_scale=2.0)], ids=repr)
def test_the_density_of_posteriors_given_assignments_is_one(family: str, priors: Any) -> None:
    """E_q [f / q] is one for any density f that is narrower than q: a conjugate posterior is."""
    x = points(10, 2, 2, 3.0, seed=3)
    wide = MixtureModel(2, family, priors).specialise(x).log_density(x)
    labels = (torch.arange(10) % 2)[None]
    one = MixtureModel(2, family, ConjugatePriors(concentration=1.0)).log_density(x)
    parts = parts_of(one, 0)
    statistics = statistics_of(one.model, x, labels)
    prior = require_conjugate(one.model, "this")
    narrow = Assigned.of(one, prior, parts, statistics)
    q = Assigned.visited(wide, chains=32, seed=0)
    p = q.draw(4000, torch.Generator().manual_seed(1))
    ratio = (narrow.log_density(p) - q.log_density(p)).exp()
    error = float(ratio.std()) / math.sqrt(4000)
    assert float(ratio.mean()) == pytest.approx(1.0, abs=4 * error)
    assert error < 0.25  # else the mean would say nothing


def test_a_prior_that_cannot_be_drawn_from_has_wide_parts_only() -> None:
    x = normal(20, 1)
    flat = dist.ImproperUniform(torch.distributions.constraints.real, (), ())
    density = MixtureModel(2, priors=Priors(means=flat)).log_density(x)
    assert len(parts_of(density, 0)) < len(parts_of(MixtureModel(2).log_density(x), 0))


def test_one_part_has_the_evidence_of_the_conjugate_prior() -> None:
    x = points(8, 2, 1, 0.0, seed=1)
    model = MixtureModel(1, "full", ConjugatePriors()).specialise(x)
    density = model.log_density(observe(x))
    statistics = statistics_of(model, x, torch.zeros(1, 8, dtype=torch.int64))
    found = parts_of(density, 0).log_evidence(assigned_posteriors._units(density, statistics))
    assert float(found) == pytest.approx(conjugate_sum(model, x), rel=1e-12)


@pytest.mark.parametrize("at_once", [1, 2**21])
def test_every_part_has_its_own_evidence_of_every_component(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the closed form in NumPy, with few or many components at a time."""
    monkeypatch.setattr("gmm_pyro.inference.weighing.parts.NUMBERS_AT_ONCE", at_once)
    x = points(9, 2, 2, 3.0, seed=1)
    density = MixtureModel(2, "full").log_density(x)
    labels = torch.stack([torch.arange(9) % 2, torch.arange(9) // 7])
    units = assigned_posteriors._units(density, statistics_of(density.model, x, labels))
    parts = parts_of(density, 0)
    found, y = parts.log_evidence(units), (x - observe(x).origin).numpy()
    assert found.shape == (4, len(parts))
    for unit, (row, component) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        mine = y[(labels[row] == component).numpy()]
        for h in range(0, len(parts), 10):
            one = parts.each[[h]]
            numbers = one.mean[0, 0].numpy(), float(one.mean_strength), float(one.dof)
            expected = wishart_evidence(mine, *numbers, one.scale[0, 0].numpy())
            assert float(found[unit, h]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", [0.3, 0.7, 1.2])
def test_pareto_s_k_is_that_of_pareto_s_distribution(k: float) -> None:
    weights = torch.from_numpy(stats.pareto(1 / k).rvs(2000, random_state=1))
    tail = 3 * math.sqrt(2000)
    assert pareto_k(weights) == pytest.approx(k, abs=4 * k / math.sqrt(tail))


def test_equal_weights_have_no_error() -> None:
    found = Evidence.of(torch.full((50,), -7.0).double(), [20, 30])
    assert found == Evidence(pytest.approx(-7.0), pytest.approx(0.0), pytest.approx(0.0))


def test_the_error_is_that_of_draws_in_strata() -> None:
    """Weights of 1 and 3 in strata that are constant each: nothing is left to chance."""
    weights = torch.tensor([1.0] * 30 + [3.0] * 10).double()
    found = Evidence.of(weights.log(), [30, 10])
    assert found.log_evidence == pytest.approx(math.log(1.5))
    assert found.log_evidence_se == pytest.approx(0.0, abs=1e-12)


def test_weights_that_are_all_zero_give_no_figure() -> None:
    found = Evidence.of(torch.full((10,), -math.inf).double(), [10])
    assert math.isnan(found.log_evidence)
    assert math.isnan(found.log_evidence_se)


def test_a_prior_that_is_nowhere_leaves_no_evidence() -> None:
    """Means that are numbers known beforehand have no density, and no figure stands for none."""
    prior = Priors(means=dist.Delta(torch.zeros(2, 1)))
    with pytest.warns(gp.FitWarning):
        found = gp.fit(MixtureModel(2, priors=prior), [[-1.0], [0.0], [2.0], [3.0]], "laplace")
    assert math.isnan(found.diagnostics["log_evidence"])
