"""The evidence where the number of components, concentration or scale is unknown: by exact sums."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

import gmm_pyro as gp
from gmm_pyro.calibration import exact_posterior
from gmm_pyro.inference.weighing.evidence import Evidence
from gmm_pyro.inference.weighing.unknown import mean_of, unknown_evidence
from oracles import FAILURE_RATE
from runs import quietly
from telescopes import X2, X

UNKNOWN = gp.Unknown("poisson(1)", most=6)
NUMBERS: dict[str, Any] = {"mean": 0.4, "mean_strength": 0.3, "scale": 0.5}
KINDS: dict[str, tuple[Any, Any]] = {
    "static": (UNKNOWN, 0.7),
    "dynamic": (UNKNOWN, gp.Dynamic(1.5)),
    "dynamic, unknown": (UNKNOWN, gp.Dynamic()),
    "static, unknown": (UNKNOWN, dist.Gamma(2.0, 2.0)),
    "sparse finite": (5, dist.Gamma(1.0, 4.0)),
}


def drawn(model: gp.MixtureModel, x: torch.Tensor, chains: int = 40) -> gp.Fit:
    options = {"n_chains": chains, "n_draws": 40, "n_warmup": 20, "max_doublings": 0}
    with quietly():
        return gp.fit(model, x, "gibbs", **options)


def without_error(fit: gp.Fit) -> Evidence:
    """The estimate, with the exact evidence of what is known: the error is of the posterior's."""

    def exact(model: gp.MixtureModel) -> Evidence:
        value = exact_posterior(model, fit.observations.x).log_evidence
        return Evidence(value, 0.0, math.nan, "enumeration")

    assert fit.posterior is not None
    found = unknown_evidence(fit.model, fit.posterior, 1, exact)
    assert found is not None
    return found


def assert_near(found: Evidence, exact: float, most: float = 0.1) -> None:
    assert found.log_evidence_se < most
    z = (found.log_evidence - exact) / found.log_evidence_se
    assert abs(z) < stats.norm.isf(FAILURE_RATE / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_weights(kind: str) -> None:
    size, concentration = KINDS[kind]
    model = gp.MixtureModel(size, priors=gp.ConjugatePriors(concentration, **NUMBERS))
    assert_near(without_error(drawn(model, X)), exact_posterior(model, X).log_evidence)


@pytest.mark.parametrize("family", ["full", "tied", "spherical"])
def test_families(family: str) -> None:
    model = gp.MixtureModel(UNKNOWN, family, gp.ConjugatePriors(gp.Dynamic(), **NUMBERS))
    assert_near(without_error(drawn(model, X2)), exact_posterior(model, X2).log_evidence)


def test_errors_are_as_large_as_they_say() -> None:
    """Of twelve lots of independent chains."""
    model = gp.MixtureModel(UNKNOWN, priors=gp.ConjugatePriors(gp.Dynamic(), **NUMBERS))
    exact, fit = exact_posterior(model, X).log_evidence, drawn(model, X, chains=120)
    assert fit.posterior is not None
    z = []
    for lot in range(12):
        some = {name: v[10 * lot : 10 * lot + 10] for name, v in fit.posterior.draws.items()}
        found = without_error(replace(fit, posterior=replace(fit.posterior, draws=some)))
        z.append((found.log_evidence - exact) / found.log_evidence_se)
    low, high = stats.chi2.ppf([FAILURE_RATE / 2, 1 - FAILURE_RATE / 2], len(z))
    assert low < np.square(z).sum() < high


@pytest.mark.parametrize("family", ["diag", "full"])
def test_a_scale_that_is_unknown(family: str) -> None:
    """Of one feature the scale is a number, over which the evidence is a sum on a grid."""
    scale = gp.RandomScale(dof=3.0, mean=0.6)
    priors = gp.ConjugatePriors(0.7, **{**NUMBERS, "scale": scale})
    model = gp.MixtureModel(UNKNOWN, family, priors)
    grid = np.linspace(-9, 5, 141)
    at = [
        exact_posterior(replace(model, priors=replace(priors, scale=math.exp(g))), X).log_evidence
        for g in grid
    ]
    log_p = stats.gamma.logpdf(np.exp(grid), 1.5, scale=0.6 / 1.5) + grid
    exact = float(logsumexp(at + log_p) + math.log(grid[1] - grid[0]))
    assert_near(without_error(drawn(model, X)), exact)


def test_a_fit_has_it() -> None:
    """With the evidence of the likeliest number estimated too."""
    model = gp.MixtureModel(UNKNOWN, priors=gp.ConjugatePriors(gp.Dynamic(1.5), **NUMBERS))
    fit = drawn(model, X)
    assert_near(fit.evidence, exact_posterior(model, X).log_evidence)
    assert fit.evidence.log_evidence == fit.log_evidence
    k = int(exact_posterior(model, X).components.argmax()) + 1
    assert f"of {k} component" in fit.evidence.evidence_by


def test_a_fit_of_a_known_number_has_that_of_its_diagnostics() -> None:
    fit = gp.fit(gp.MixtureModel(1, priors=gp.ConjugatePriors()), X, "laplace")
    for name, value in vars(fit.evidence).items():
        assert value == fit.diagnostics[name]


def test_an_interrupt_of_the_fit_that_it_needs_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = gp.MixtureModel(UNKNOWN, priors=gp.ConjugatePriors(0.7, **NUMBERS))
    fit = drawn(model, X, chains=2)
    ended = replace(fit, status=gp.Status.INTERRUPTED)
    monkeypatch.setattr(import_module("gmm_pyro.inference.fit"), "fit_quietly", lambda *_: ended)
    with pytest.raises(KeyboardInterrupt):
        _ = fit.evidence


@pytest.mark.parametrize("draws", [2, 20])
def test_there_may_be_none(draws: int) -> None:
    """Of sticks, and of chains without errors."""
    size, concentration = (UNKNOWN, 0.7) if draws == 2 else (4, gp.DirichletProcess())
    model = gp.MixtureModel(size, priors=gp.ConjugatePriors(concentration, **NUMBERS))
    with quietly():
        fit = gp.fit(model, X, "gibbs", n_draws=draws, n_warmup=2, max_doublings=0)
    with pytest.raises(ValueError, match="this fit by gibbs has no estimate of the evidence"):
        _ = fit.log_evidence


def test_means_of_values_far_below_one() -> None:
    """Of independent draws, with the usual standard error."""
    values = np.random.default_rng(0).gamma(2.0, size=(4, 500))
    found, error = mean_of(torch.from_numpy(np.log(values) - 1000.0))
    assert found == pytest.approx(math.log(values.mean()) - 1000.0)
    assert error == pytest.approx(values.std() / values.mean() / math.sqrt(2000), rel=0.2)
