"""Laplace's method: an exact Hessian, evidence and draws that are exact up to O(1 / n)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, biject_to

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel, Priors
from gmm_pyro.covariance.records import LOG_2PI
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.climb.hessian import hessian
from gmm_pyro.inference.laplace import LARGEST
from gmm_pyro.model.log_density import LogDensity
from oracles import FAILURE_RATE, clusters, every_family, normal

PRIORS: dict[str, Callable[[], Any]] = {"independent": Priors, "conjugate": ConjugatePriors}
every_prior = pytest.mark.parametrize("priors", PRIORS)
ONE_OF_SEVERAL = pytest.mark.filterwarnings("ignore:laplace describes one of")


def fit(model: MixtureModel, x: Tensor, **options: Any) -> gp.Fit:
    return gp.fit(model, x, method="laplace", **options)


# ---------------------------------------------------------------------- the Hessian


def dense_log_density(density: LogDensity, vector: Tensor) -> Tensor:
    """The log density by torch's own mixture, its transforms and the priors' distributions."""
    values, log_jacobian, family = {}, vector.new_zeros(()), density.model.family
    sites = density.model.sites()
    for site in density.sites:
        transform = biject_to(sites[site.name].support)
        part = vector[site.entries].reshape(1, *site.shape)
        values[site.name] = transform(part)
        log_jacobian = log_jacobian + transform.log_abs_det_jacobian(part, values[site.name]).sum()
    log_prior = vector.new_zeros(())
    for name in sites:
        log_prior = log_prior + sites.given(name, values).log_prob(values[name]).sum()
    k, d = values["means"].shape[1:]
    factor = family.factor(values)
    covariance = family.dense(factor, d)[0].expand(k, d, d)
    mixture = MixtureSameFamily(
        Categorical(probs=values["weights"][0], validate_args=False),
        MultivariateNormal(values["means"][0], covariance, validate_args=False),
    )
    return mixture.log_prob(density.observations.x).sum() + log_prior + log_jacobian


@every_prior
@every_family
@pytest.mark.parametrize("d", [1, 2])
def test_the_hessian_is_that_of_the_dense_density(family: str, d: int, priors: str) -> None:
    """By automatic differentiation of a density that shares no code with the reduction."""
    x = normal(9, d) + 2.0 * (torch.arange(9) % 2)[:, None]
    density = MixtureModel(2, family, PRIORS[priors]()).specialise(x).log_density(x)
    vector = 0.5 * normal(density.dimension, seed=1)
    torch.testing.assert_close(density(vector[None])[0], dense_log_density(density, vector))
    expected = torch.autograd.functional.hessian(lambda v: dense_log_density(density, v), vector)
    found = hessian(density, vector)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8 * float(expected.abs().max()))
    assert found.equal(found.T)


def test_weights_of_points_count_in_the_hessian() -> None:
    """A point of weight two is two points."""
    x, weight = normal(8, 2), torch.ones(8, dtype=torch.float64)
    weight[3] = 2
    model = MixtureModel(2).specialise(x)
    weighted = model.log_density(observe(x, sample_weight=weight))
    doubled = model.log_density(torch.cat([x, x[3:4]]))
    vector = 0.5 * normal(weighted.dimension, seed=1)
    torch.testing.assert_close(hessian(weighted, vector), hessian(doubled, vector))


# ---------------------------------------------------------------------- one component


def closed_form(n: int, d: int) -> tuple[gp.Fit, Tensor, ConjugatePriors]:
    x = 3 + normal(n, d) * torch.arange(1, d + 1)
    priors = ConjugatePriors(mean_strength=1.0).scaled_to(observe(x))
    return fit(MixtureModel(1, "full", priors), x, n_draws=4000), x, priors


def exact_evidence(x: Tensor, found: gp.Fit, priors: ConjugatePriors) -> float:
    """The product of the predictive densities of each point given those before it."""
    d = x.shape[1]
    h = priors.conjugate(found.model.family, 1).components
    mean, strength, dof = h.mean[0, 0], float(h.mean_strength), float(h.dof)
    scale = h.scale.view(d, d)
    total = 0.0
    for point in x:
        free = dof - d + 1
        shape = scale * (strength + 1) / (strength * free)
        away = point - mean
        root = torch.linalg.cholesky(shape)
        square = torch.linalg.solve_triangular(root, away[:, None], upper=False).square().sum()
        total += (
            math.lgamma((free + d) / 2)
            - math.lgamma(free / 2)
            - 0.5 * d * math.log(free * math.pi)
            - float(root.diagonal().log().sum())
            - 0.5 * (free + d) * math.log1p(float(square) / free)
        )
        scale = scale + strength / (strength + 1) * torch.outer(away, away)
        mean = mean + away / (strength + 1)
        strength, dof = strength + 1, dof + 1
    return total


@pytest.mark.parametrize("d", [1, 2])
def test_the_evidence_of_one_component_is_off_by_a_constant_over_n(d: int) -> None:
    """Laplace's error is O(1 / n): ten times the data, a tenth of the error."""
    errors = []
    for n in (50, 500):
        found, x, priors = closed_form(n, d)
        approximation = found.diagnostics["log_evidence_laplace"]
        errors.append(approximation - exact_evidence(x, found, priors))
    assert abs(errors[0]) < d**2 / 50
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.1)


def test_draws_of_one_component_have_the_moments_of_the_closed_form() -> None:
    """Mean of a mean: (κ m₀ + Σ x) / (κ + n); its covariance: E Σ / (κ + n).

    The normal approximation of log variances moves moments by about 1 / n of themselves.
    """
    n, d = 1000, 2
    found, x, priors = closed_form(n, d)
    h = priors.conjugate(found.model.family, 1).components
    mean = h.mean[0, 0]
    centre = (mean + x.sum(0)) / (1 + n)
    away = x - x.mean(0)
    scale = h.scale.view(d, d) + away.T @ away
    gap = x.mean(0) - mean
    covariance = (scale + n / (1 + n) * torch.outer(gap, gap)) / (float(h.dof) + n - d - 1)
    means = found.posterior.draws["means"][0, :, 0]
    s = len(means)
    z = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1 - FAILURE_RATE / 8)).item()
    error = (covariance.diagonal() / (1 + n) / s).sqrt()
    assert ((means.mean(0) - centre).abs() < z * error).all()
    ratio = means.var(0) / (covariance.diagonal() / (1 + n))
    assert ((ratio - 1).abs() < z * math.sqrt(2 / s) + 5 / n).all()
    drawn = torch.linalg.inv(found.posterior.draws["precisions"][0, :, 0])
    sds = covariance.diagonal() * math.sqrt(2 / n)
    shift = ((drawn.mean(0) - covariance).diagonal()).abs() / sds
    assert (shift < z / math.sqrt(s) + math.sqrt(2 / n) * 2).all()


# ---------------------------------------------------------------------- labellings and trust


NAMING: dict[str, Any] = {
    "no components": Priors(),
    "weights": Priors(weights=dist.Dirichlet(torch.tensor([1.0, 5.0, 1.0]).double())),
    "concentrations": ConjugatePriors(concentration=[1.0, 5.0, 2.0]),
    "means": Priors(means=dist.Normal(torch.tensor([[-3.0], [3.0], [0.0]]).double(), 9.0)),
}


@ONE_OF_SEVERAL
@pytest.mark.parametrize("family", ["full", "tied", "spherical"])
@pytest.mark.parametrize("name", NAMING)
def test_every_numbering_of_the_mode_counts_as_the_prior_has_it(name: str, family: str) -> None:
    """Laplace's approximation at the mode, times the priors of all 3! numberings over its own."""
    x = clusters(1, k=3, separation=5).x
    found = fit(MixtureModel(3, family, NAMING[name]), x, n_draws=2)
    density = found.model.log_density(found.observations)
    values = density.values(found.mixture.parameters)
    mode = density.unconstrain(values)[0]
    own = {"weights", "means"} if found.model.family.tied else set(values)
    log_priors = [
        density.log_prior({site: v[:, order] if site in own else v for site, v in values.items()})
        for order in map(list, itertools.permutations(range(3)))
    ]
    curvature = torch.logdet(-hessian(density, mode))
    expected = found.objective + 0.5 * (len(mode) * LOG_2PI - curvature) - log_priors[0]
    expected = expected + torch.cat(log_priors).logsumexp(0)
    assert found.diagnostics["log_evidence_laplace"] == pytest.approx(float(expected), abs=1e-5)


@ONE_OF_SEVERAL
def test_the_evidence_is_continuous_in_the_concentrations() -> None:
    """Not log 4! less, as soon as one of four differs by a thousandth."""
    x = clusters(1, 80, k=4, separation=8).x
    alike, named = (
        fit(MixtureModel(4, priors=ConjugatePriors(concentration=c)), x, n_draws=2).diagnostics
        for c in ([2.0] * 4, [2.0, 2.0, 2.001, 2.0])
    )
    assert named["log_evidence_laplace"] == pytest.approx(alike["log_evidence_laplace"], abs=0.01)
    error = math.hypot(named["log_evidence_se"], alike["log_evidence_se"])
    assert abs(named["log_evidence"] - alike["log_evidence"]) < 4 * error < 0.5


def test_log_q_is_the_normal_density_at_the_mode() -> None:
    x = clusters(n=100).x
    found = fit(MixtureModel(2), x, n_draws=50)
    density = found.model.log_density(found.observations)
    mode = density.unconstrain(density.values(found.mixture.parameters))[0]
    curvature = -hessian(density, mode)
    sites = {name: value[0] for name, value in found.posterior.draws.items()}
    away = density.unconstrain(sites) - mode
    square = torch.einsum("si,ij,sj->s", away, curvature, away)
    expected = 0.5 * (torch.logdet(curvature) - len(mode) * LOG_2PI - square)
    torch.testing.assert_close(
        found.posterior.statistics["log_q"][0], expected, rtol=1e-5, atol=1e-5
    )
    with torch.no_grad():
        peak = float(density(mode[None]))
    assert found.objective == pytest.approx(peak, abs=1e-6)


@ONE_OF_SEVERAL
def test_k_hat_tells_a_round_posterior_from_a_crooked_one() -> None:
    many = clusters(1, 1000, separation=7).x
    few = clusters(n=12, k=3, separation=1).x
    round_, crooked = fit(MixtureModel(2, "diag"), many), fit(MixtureModel(3), few)
    assert round_.k_hat < 0.5
    assert crooked.k_hat > 0.7


# ---------------------------------------------------------------------- units and limits


@every_prior
def test_units_of_the_data_are_the_units_of_the_draws(priors: str) -> None:
    x = clusters(n=100).x
    model = MixtureModel(2, "full", PRIORS[priors]())
    here, there = fit(model, x, n_draws=30), fit(model, 1000 * x, n_draws=30)
    one, other = here.posterior.parameters(), there.posterior.parameters()
    torch.testing.assert_close(other.means / 1000, one.means, rtol=0, atol=1e-4)
    torch.testing.assert_close(other.log_weights, one.log_weights, rtol=0, atol=1e-4)
    wide, narrow = (f.model.family.dense(p.factor, 2) for f, p in ((there, other), (here, one)))
    torch.testing.assert_close(wide / 1e6, narrow, rtol=1e-3, atol=1e-3)
    for name, precision in (("log_evidence_laplace", 1e-3), ("log_evidence", 0.1)):
        shift = there.diagnostics[name] - here.diagnostics[name]
        assert shift == pytest.approx(-200 * math.log(1000), abs=precision)


def test_a_model_whose_hessian_would_be_too_large_is_refused() -> None:
    d = 200
    k = LARGEST // (2 * d) + 1
    message = f"at most {LARGEST} unconstrained numbers, the model has {2 * k * d + k - 1}; svi"
    with pytest.raises(ValueError, match=message):
        fit(MixtureModel(k, "diag"), normal(20, d))
