"""What a prior implies of the number of components with points: against SciPy, and Stirling."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

import gmm_pyro as gp
from gmm_pyro.model import filled as module
from gmm_pyro.model.filled import prior_of_filled
from gmm_pyro.model.hierarchy import Hierarchy

N, MOST = 6, 4
PRIOR = np.array([0.1, 0.2, 0.3, 0.4])
STANDARD_ERRORS = 5  # of shares of draws: a failure rate below 1e-6 a number


def hierarchy(k: int | gp.Unknown, concentration: object, **noise: str) -> Hierarchy:
    priors = gp.ConjugatePriors(concentration=concentration)
    model = gp.MixtureModel(k, priors=priors, **noise).standardised(1)
    found = model.hierarchy()
    assert found is not None
    return found


def given_size(k: int, gamma: float, n: int = N) -> np.ndarray:
    """Probabilities of 0 to MOST filled ones of k components: of all counts that there can be."""
    found = np.zeros(MOST + 1)
    for counts in product(range(n + 1), repeat=k):
        if sum(counts) == n:
            alpha = np.full(k, gamma)
            mass = stats.dirichlet_multinomial(alpha, n).pmf(counts) if k > 1 else 1.0
            found[np.count_nonzero(counts)] += mass
    return found


def test_static_and_dynamic_concentrations() -> None:
    unknown = gp.Unknown(PRIOR, MOST)
    static = prior_of_filled(hierarchy(unknown, gp.Static(0.3)), N)
    expected = sum(p * given_size(k, 0.3) for k, p in enumerate(PRIOR, 1))
    np.testing.assert_allclose(static, expected, atol=1e-12)
    dynamic = prior_of_filled(hierarchy(unknown, gp.Dynamic(1.5)), N)
    expected = sum(p * given_size(k, 1.5 / k) for k, p in enumerate(PRIOR, 1))
    np.testing.assert_allclose(dynamic, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("concentration", "density"),
    [
        (gp.Dynamic(), stats.f(6, 3)),
        (gp.Dynamic(torch.distributions.Gamma(50.0, 20.0)), stats.gamma(50, scale=1 / 20)),
    ],
)
def test_a_concentration_with_a_prior(concentration: object, density: object) -> None:
    """One of two components has all points with a beta-binomial probability."""

    def integrand(log_alpha: float) -> float:
        alpha = np.exp(log_alpha)
        log_p = special.betaln(N + alpha / 2, alpha / 2) - special.betaln(alpha / 2, alpha / 2)
        return 2 * np.exp(log_p) * density.pdf(alpha) * alpha

    expected, _ = integrate.quad(integrand, -12, 14, epsabs=1e-9, limit=200)
    found = prior_of_filled(hierarchy(2, concentration), N)
    assert found.tolist() == pytest.approx([0, expected, 1 - expected], abs=1e-6)


def test_a_dirichlet_process_has_as_many_as_antoniak_says() -> None:
    """α^b |s(n, b)| Γ(α) / Γ(α + n), where the stick is long enough to end for six points."""
    alpha, stirling = 0.7, [0, 120, 274, 225, 85, 15, 1]
    rising = np.prod(alpha + np.arange(N))
    expected = np.array([alpha**b * s for b, s in enumerate(stirling)]) / rising
    found = prior_of_filled(hierarchy(15, gp.DirichletProcess(alpha)), N)[: N + 1].numpy()
    error = np.sqrt(expected * (1 - expected) / module.DRAWS)
    assert np.all(np.abs(found - expected) <= STANDARD_ERRORS * error + 1e-12)


def test_draws_and_recursion_agree() -> None:
    prior = hierarchy(gp.Unknown("uniform", 8), gp.Dynamic())
    exact, drawn = prior_of_filled(prior, 50), module._by_draws(prior, 50)
    error = (exact * (1 - exact) / module.DRAWS).sqrt()
    assert bool(((exact - drawn).abs() <= STANDARD_ERRORS * error + 1e-12).all())


@pytest.mark.parametrize("concentration", [gp.Static(0.01), gp.Static(1.0), gp.Dynamic()])
def test_many_points_at_once(concentration: object, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = hierarchy(gp.Unknown(most=6), concentration)
    found = prior_of_filled(prior, 2500)
    monkeypatch.setattr(module, "EXACT", 2500)
    np.testing.assert_allclose(found, prior_of_filled(prior, 2500), atol=1e-6)


def test_so_many_points_that_each_cannot_be_counted() -> None:
    """A component alone has a beta-binomial number of points."""
    k, gamma, n = 10, 0.05, 100_000
    found = prior_of_filled(hierarchy(k, gp.Static(gamma)), n)
    empty = stats.betabinom(n, gamma, (k - 1) * gamma).pmf(0)
    assert float(found @ torch.arange(k + 1.0).double()) == pytest.approx(k * (1 - empty), rel=1e-6)


def test_all_points_may_be_noise() -> None:
    prior = hierarchy(gp.Unknown(most=2), gp.Static(1.0), noise_component="uniform")
    found = prior_of_filled(prior, 2)
    expected = stats.betabinom(2, *prior.noise).pmf(2)
    error = np.sqrt(expected * (1 - expected) / module.DRAWS)
    assert abs(float(found[0]) - expected) <= STANDARD_ERRORS * error
    assert float(found.sum()) == pytest.approx(1)
