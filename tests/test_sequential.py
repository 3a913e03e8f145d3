"""Claims about the evidence by particles that learn the points, and about what is chosen when."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import gammaln, logsumexp
from torch import Tensor

import gmm_pyro as gp
from evidences import conjugate_sum
from gmm_pyro import ConjugatePriors, MixtureModel
from gmm_pyro.calibration import exact_posterior
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.covariance.conjugacy import ConjugateFamily
from gmm_pyro.data.observations import observe
from gmm_pyro.estimator.attributes import without_data
from gmm_pyro.inference.weighing import deciding
from gmm_pyro.inference.weighing.deciding import WAITING, by_particles, closed_form, figures_of
from gmm_pyro.inference.weighing.evidence import UNKNOWN, Evidence
from gmm_pyro.inference.weighing.learning import to_power
from gmm_pyro.inference.weighing.proposal import Proposal
from gmm_pyro.inference.weighing.sequential import (
    APART,
    ISLANDS,
    Islands,
    sequential,
    spread_first,
)
from gmm_pyro.model.declaration import require_conjugate
from gmm_pyro.reduction.theta import anywhere
from gmm_pyro.saved_fit.save import fit_facts
from oracles import FAILURE_RATE, STANDARD_ERRORS, normal
from runs import quietly
from sums import log_sum, points, statistics_of, subsets

SIX_POINTS = torch.tensor([[-2.1], [-1.9], [-0.4], [0.3], [1.8], [2.2]]).double()
CHIB = ConjugatePriors(concentration=1.0, mean=20.0, mean_scale=10.0, dof=6.0, scale=40.0)
CONJUGATE = [name for name, family in FAMILIES.items() if isinstance(family, ConjugateFamily)]
PRIORS = {
    "default": {},
    "sparse": {"concentration": 0.3, "mean_strength": 0.2},
    "flat": {"concentration": 1.0, "mean_strength": 0.05},
}


@pytest.fixture
def one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmm_pyro.inference.weighing.sequential.PASSES", 1)


@pytest.fixture
def few_particles(one_pass: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmm_pyro.inference.weighing.sequential.MOST", 64)


def islands_of(model: MixtureModel, x: Tensor, seed: int = 0, **known: Any) -> Islands:
    density = model.specialise(observe(x)).log_density(observe(x, **known))
    found = sequential(density, torch.Generator().manual_seed(seed))
    assert found is not None
    return found


def check(errors: Iterable[tuple[float, float]]) -> None:
    """Errors in standard errors that are of so many islands: Student's t (failure rate 1e-4)."""
    z = np.array([error / deviation for error, deviation in errors])
    assert np.abs(z).max() < stats.t.isf(FAILURE_RATE / 4 / len(z), ISLANDS - 1)
    assert (z**2).mean() < 1.2 * stats.chi2.isf(FAILURE_RATE / 2, len(z)) / len(z)


# ---------------------------------------------------------------------- against what is exact


@pytest.mark.usefixtures("few_particles")
@pytest.mark.parametrize(
    ("family", "d"),
    [("full", 1), ("full", 2), ("diag", 2), ("spherical", 2), ("tied", 1), ("tied_spherical", 2)],
)
def test_errors_are_as_large_as_they_say(family: str, d: int) -> None:
    """Six points, by the sum over their partitions."""
    x, errors = SIX_POINTS if d == 1 else points(6, 2, 2, 3.0, seed=4), []
    for (name, prior), k in zip(PRIORS.items(), (2, 6, 3), strict=True):
        model = MixtureModel(k, family, ConjugatePriors(**prior)).specialise(observe(x))
        found = islands_of(model, x, seed=k).evidence
        error = found.log_evidence - exact_posterior(model, x).log_evidence
        errors.append((error, found.log_evidence_se))
        assert found.log_evidence_se < 0.3, name
    check(errors)


@pytest.mark.usefixtures("few_particles")
def test_too_few_particles_for_a_vague_prior_say_so() -> None:
    """Islands are then too unlike, or their error is as large as it says."""
    priors, errors = ConjugatePriors(concentration=1.0, mean_strength=1e-4), []
    model = MixtureModel(4, "tied", priors).specialise(observe(SIX_POINTS))
    exact = exact_posterior(model, SIX_POINTS).log_evidence
    for seed in range(6):
        found = islands_of(model, SIX_POINTS, seed=seed).evidence
        if found is not UNKNOWN:
            errors.append((found.log_evidence - exact, found.log_evidence_se))
    check([*errors, (0.0, 1.0)])


def independent_sum(x: np.ndarray, k: int, alpha: float, prior: tuple[float, ...]) -> float:
    """Means ~ Normal(m, s), precisions ~ Gamma(ν / 2, ψ / 2): means by the trapezium rule."""
    m, s, nu, psi = prior
    grid = np.linspace(m - 9 * s, m + 9 * s, 20001)
    log_prior = stats.norm.logpdf(grid, m, s) + math.log(grid[1] - grid[0])
    part = {}
    for some in subsets(len(x)):
        away = ((x[sorted(some)][:, None] - grid) ** 2).sum(0)
        half = (nu + len(some)) / 2
        log_p = gammaln(half) - gammaln(nu / 2) + nu / 2 * math.log(psi / 2)
        log_p = log_p - half * np.log((psi + away) / 2) - len(some) / 2 * math.log(2 * math.pi)
        part[some] = float(logsumexp(log_p + log_prior))
    return log_sum([alpha] * k, len(x), [part] * k)


@pytest.mark.usefixtures("few_particles")
def test_means_may_be_independent_of_the_covariances() -> None:
    """Richardson & Green's and Chib's kind of prior, by quadrature and a sum over assignments."""
    x, errors = SIX_POINTS[:, 0].numpy(), []
    for seed, (k, scale) in enumerate([(1, 2.0), (2, 2.0), (2, 50.0), (3, 5.0)]):
        priors = ConjugatePriors(concentration=1.0, mean=0.5, mean_scale=scale, dof=4.0, scale=1.5)
        found = islands_of(MixtureModel(k, priors=priors), SIX_POINTS, seed=seed).evidence
        exact = independent_sum(x, k, 1.0, (0.5, scale, 4.0, 1.5))
        errors.append((found.log_evidence - exact, found.log_evidence_se))
    check(errors)


@pytest.mark.parametrize(
    ("family", "k", "known"), [("full", 3, -226.80), ("tied", 2, -239.76), ("tied", 3, -226.84)]
)
def test_galaxies_have_the_published_evidence(
    family: str, k: int, known: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 10⁸ draws from the prior (Neal 1999), known to .05; where Chib (1995) has -224.138."""
    monkeypatch.setattr("gmm_pyro.inference.weighing.sequential.MOST", 256)
    monkeypatch.setattr("gmm_pyro.inference.weighing.sequential.PASSES", 4)
    x = gp.datasets.galaxies().x
    found = islands_of(MixtureModel(k, family, CHIB), x).evidence
    error = math.hypot(found.log_evidence_se, 0.05 / 2)
    assert abs(found.log_evidence - known) < STANDARD_ERRORS * error < 0.5


@pytest.mark.usefixtures("few_particles")
@pytest.mark.parametrize("what", ["labels", "holes", "noise"])
def test_points_may_be_known_in_part(what: str) -> None:
    """Against importance sampling about the mode."""
    x = points(14, 2, 2, 4.0, seed=2)
    model = MixtureModel(2, priors=ConjugatePriors(mean_strength=0.1))
    options: dict[str, Any] = {}
    if what == "labels":
        options["labels"] = [0, 1] + [-1] * 10 + [0, 1]
    elif what == "noise":
        model = replace(model, noise_component="uniform")
    else:
        x[3, 1] = x[8, 0] = math.nan
    with quietly():
        other = gp.fit(model, x, "laplace", n_draws=2, **options)
    density = other.model.log_density(other.observations)
    islands = sequential(density, torch.Generator().manual_seed(1))
    assert islands is not None
    found, told = islands.evidence, other.diagnostics
    error = math.hypot(found.log_evidence_se, told["log_evidence_se"])
    assert abs(found.log_evidence - told["log_evidence"]) < STANDARD_ERRORS * error < 0.8


@pytest.mark.parametrize("family", CONJUGATE)
def test_one_component_is_integrated_out(family: str) -> None:
    x = points(40, 2, 2, 3.0, seed=1)
    model = MixtureModel(1, family, ConjugatePriors()).specialise(observe(x))
    found = closed_form(model.log_density(observe(x)))
    assert found is not None
    assert found.log_evidence_se == 0.0
    if family in ("full", "diag"):
        some = x[:8]
        few = closed_form(model.log_density(observe(some)))
        assert few is not None
        assert few.log_evidence == pytest.approx(conjugate_sum(model, some), rel=1e-12)
    with quietly():
        fit = gp.fit(model, x, "gibbs", n_draws=9, n_warmup=5)
    assert fit.log_evidence == found.log_evidence
    assert fit.diagnostics["evidence_by"] == "closed form"


# ---------------------------------------------------------------------- what it is made of


@pytest.mark.parametrize("family", CONJUGATE)
@pytest.mark.parametrize("power", [0.2, 1.0])
def test_powers_of_densities_are_densities_of_wider_ones(family: str, power: float) -> None:
    x, kind = points(5, 2, 2, 3.0, seed=1), FAMILIES[family]
    start = anywhere(observe(x), kind, (3, 2)).parameters
    wider = 0.5 + torch.arange(1, 1 + start.factor.shape[1]).double()
    factor = start.factor * wider.view(1, -1, *(1,) * (start.factor.ndim - 2))
    p = replace(
        start, log_weights=normal(3, 2).log_softmax(1), means=normal(3, 2, 2), factor=factor
    )

    def logits(p: Any) -> Tensor:
        tril = kind.scale_tril(p.factor, 2).expand(3, 2, 2, 2)
        each = torch.distributions.MultivariateNormal(p.means, scale_tril=tril)
        return each.log_prob(x[:, None, None]) + p.log_weights

    expected = p.log_weights + power * (logits(p) - p.log_weights)
    torch.testing.assert_close(logits(to_power(kind, p, power)), expected)


def test_points_that_are_far_apart_come_first() -> None:
    """Of two clusters of which one is small, whichever is the first."""
    x = torch.cat([normal(200, 1), 1000 + normal(5, 1, seed=1)])
    for seed in range(20):
        order = spread_first(observe(x), torch.Generator().manual_seed(seed))
        assert sorted(order.tolist()) == list(range(205))
        assert len({bool(i >= 200) for i in order[:2].tolist()}) == 2


def test_islands_that_are_far_apart_say_nothing() -> None:
    at = torch.linspace(-1.7 * APART, 1.7 * APART, ISLANDS).double()
    assert Islands(1.2 * at, at).evidence is UNKNOWN
    assert Islands(0.9 * at, at).evidence is not UNKNOWN
    assert Islands(at * math.nan, at).evidence is UNKNOWN


def test_the_error_is_that_of_a_mean_of_islands() -> None:
    found = Islands(torch.tensor([1.0, 3.0]).double().log(), torch.zeros(2).double())
    assert found.log_evidence.std() < 1.0
    told = replace(found, log_evidence=torch.tensor([1.0, 1.5] * 8).double().log()).evidence
    assert told.log_evidence == pytest.approx(math.log(1.25))
    assert told.log_evidence_se == pytest.approx(np.std([1.0, 1.5] * 8, ddof=1) / 4 / 1.25)


# ---------------------------------------------------------------------- what is chosen


def chains_of(model: MixtureModel, x: Tensor) -> gp.Fit:
    with quietly():
        return gp.fit(model, x, "gibbs", n_draws=200, jumps="never", max_doublings=0)


def unlike_the_posterior(fit: gp.Fit) -> Proposal:
    """A proposal of one assignment that has nothing to do with the points."""
    density = fit.model.log_density(fit.observations)
    labels = torch.tensor([[0, 1, 2, 0, 1, 2]])
    prior = require_conjugate(fit.model, "this", fit.observations.origin)
    statistics = statistics_of(fit.model, fit.observations.x, labels)
    return Proposal.of(density, prior, statistics)


def test_particles_take_over_where_few_draws_of_the_proposal_count() -> None:
    model = MixtureModel(3, priors=ConjugatePriors(mean_strength=0.01, concentration=1.0))
    fit = chains_of(model, SIX_POINTS)
    density, poor = fit.model.log_density(fit.observations), unlike_the_posterior(fit)
    assert fit.posterior is not None
    generator = torch.Generator().manual_seed(0)
    figures = figures_of(density, fit.posterior, poor, generator)
    assert "log_evidence" not in figures
    assert figures["bridge_log_evidence_se"] > 0.05
    found = by_particles(density, fit.posterior, figures, generator)
    assert found.evidence_by == "sequential Monte Carlo"
    exact = exact_posterior(fit.model, SIX_POINTS).log_evidence
    assert abs(found.log_evidence - exact) < STANDARD_ERRORS * found.log_evidence_se < 0.2


@pytest.mark.usefixtures("few_particles")
def test_particles_that_are_elsewhere_than_chains_are_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then nothing is known, unless bridge sampling says something."""
    fit = chains_of(MixtureModel(2, priors=ConjugatePriors()), SIX_POINTS)
    assert fit.posterior is not None
    density = fit.model.log_density(fit.observations)
    statistics = dict(fit.posterior.statistics)
    statistics["log_likelihood"] = statistics["log_likelihood"] + 3.0
    moved = replace(fit.posterior, statistics=statistics)
    generator = torch.Generator().manual_seed(0)
    assert by_particles(density, moved, {}, generator) is UNKNOWN
    bridge = Evidence(-3.0, 0.8, 0.9, "bridge sampling")
    figures = {f"bridge_{name}": value for name, value in vars(bridge).items()}
    assert by_particles(density, moved, figures, generator) == bridge
    found = by_particles(density, fit.posterior, {}, generator)
    assert found.evidence_by == "sequential Monte Carlo"
    assert figures_of(density, fit.posterior, None, generator) == {"evidence_by": WAITING}
    monkeypatch.setattr(deciding, "ENOUGH", 10_000)
    assert figures_of(density, fit.posterior, None, generator) == {}


@pytest.mark.usefixtures("few_particles")
def test_an_unknown_evidence_is_not_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmm_pyro.inference.weighing.sequential.AGREES", 0.0)
    priors = ConjugatePriors(mean_scale=2.0)  # one component has no population
    fit = chains_of(MixtureModel(1, priors=priors), SIX_POINTS)
    assert math.isnan(fit.log_evidence)
    assert fit.evidence.evidence_by == "nothing"


# ---------------------------------------------------------------------- when they are run

VAGUE = ConjugatePriors(concentration=1.0, mean=0.5, mean_scale=3.0, dof=4.0, scale=1.5)
SHORT = {"n_draws": 100, "n_warmup": 20, "max_doublings": 0}


def waiting() -> gp.Fit:
    """A fit of one component, which has no proposal, and so no bridge sampling."""
    with pytest.MonkeyPatch.context() as patch, quietly():
        patch.setattr(deciding, "sequential", refused)
        return gp.fit(MixtureModel(1, priors=VAGUE), SIX_POINTS, "gibbs", seed=3, **SHORT)


def refused(*_: Any) -> None:
    raise AssertionError("particles were run")


@pytest.mark.usefixtures("few_particles")
def test_a_fit_runs_no_particles_and_asking_does() -> None:
    """Then they are those of the seed, and agree with the exact sum."""
    fit, other = waiting(), waiting()
    assert fit.diagnostics["evidence_by"] == WAITING
    assert "log_evidence" not in fit.diagnostics
    found = fit.evidence
    assert found.evidence_by == "sequential Monte Carlo"
    assert fit.evidence is found
    assert (fit.log_evidence, other.log_evidence) == (found.log_evidence,) * 2
    exact = independent_sum(SIX_POINTS[:, 0].numpy(), 1, 1.0, (0.5, 3.0, 4.0, 1.5))
    assert abs(found.log_evidence - exact) < STANDARD_ERRORS * found.log_evidence_se < 0.5


@pytest.mark.usefixtures("few_particles")
def test_an_interrupt_leaves_the_fit_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    fit = waiting()
    with monkeypatch.context() as patch:
        patch.setattr(deciding, "sequential", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _ = fit.evidence
    assert fit.log_evidence == waiting().log_evidence


@pytest.mark.usefixtures("few_particles")
def test_files_and_pickles_keep_what_was_asked_for() -> None:
    """What was not is said to be waiting."""
    fit = waiting()
    before = fit_facts(fit)["diagnostics"]
    assert before["evidence_by"] == WAITING
    assert "log_evidence" not in before
    with pytest.raises(ValueError, match="needs the data of the fit"):
        _ = without_data(fit).evidence
    log_evidence = fit.log_evidence
    assert fit_facts(fit)["diagnostics"]["log_evidence"] == log_evidence
    for kept in (pickle.loads(pickle.dumps(fit)), without_data(fit)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deciding, "sequential", refused)
            assert kept.evidence.log_evidence == log_evidence


@pytest.mark.usefixtures("few_particles")
def test_a_selection_by_evidence_asks() -> None:
    with quietly():
        found = gp.select(SIX_POINTS, [1], "full", "evidence", "gibbs", priors=VAGUE, **SHORT)
    cell = found.cell(1, "full")
    assert cell.fitted is not None
    assert "log_evidence" not in cell.fitted.diagnostics
    assert cell.found["log_evidence"] == cell.fitted.log_evidence
    assert math.isfinite(cell.found["log_evidence_se"])


@pytest.mark.parametrize("why", ["many points", "weights", "a prior", "what is held"])
def test_there_may_be_no_particles(why: str) -> None:
    x = normal(60_000 if why == "many points" else 20, 1)
    priors = gp.Priors() if why == "a prior" else ConjugatePriors()
    weight = torch.ones(20) if why == "weights" else None
    data = observe(x, sample_weight=weight)
    model = MixtureModel(2, priors=priors).specialise(data)
    if why == "what is held":
        held = {"means": torch.tensor([[0.0], [math.nan]])}
        with quietly():
            model = gp.fit(model, x, "gibbs", n_draws=5, n_warmup=0, n_starts=1, fixed=held).model
    density = model.log_density(data)
    assert sequential(density, torch.Generator()) is None


@pytest.mark.usefixtures("few_particles")
def test_estimates_are_the_seed_s_and_leave_the_generator_alone() -> None:
    model, before = MixtureModel(2, priors=ConjugatePriors(mean_scale=3.0)), torch.get_rng_state()
    first, second, other = (islands_of(model, SIX_POINTS, seed) for seed in (0, 0, 1))
    assert first.log_evidence.equal(second.log_evidence)
    assert first.log_evidence[0] != other.log_evidence[0]
    assert torch.get_rng_state().equal(before)
