"""Claims about jumps between modes: exact, and made where sweeps do not get about."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats
from sklearn.datasets import load_iris
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel, Status
from gmm_pyro.calibration import exact_posterior, geweke
from gmm_pyro.calibration.joint import gibbs_sampler
from gmm_pyro.covariance import Parameters, Statistics
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.chains.jumps import SweptJumps
from gmm_pyro.inference.chains.population import Growth, Numbers, populated
from gmm_pyro.inference.chains.sweep import Sampler
from gmm_pyro.inference.chains.sweeping import GibbsOptions
from gmm_pyro.inference.weighing.bridge import bridge
from gmm_pyro.inference.weighing.evidence import effective
from gmm_pyro.inference.weighing.proposal import Proposal
from gmm_pyro.model.declaration import require_conjugate
from gmm_pyro.posterior.convergence import ess_mean
from gmm_pyro.reduction.sums import about, reduce_given
from oracles import FAILURE_RATE, PRIORED, STANDARD_ERRORS, clusters, every_family, normal
from runs import quietly
from sums import statistics_of

SIX_POINTS = torch.tensor([[-2.1], [-1.9], [-0.4], [0.3], [1.8], [2.2]]).double()
UNLIKE = {
    "unequal weights": {"concentration": [1.0, 3.0]},
    "independent means": {"mean_scale": 2.0},
}


def model_of(k: int, family: str = "full", d: int = 1, **changes: Any) -> MixtureModel:
    """A model with a concrete prior."""
    chosen = {"mean": 0.3, "mean_strength": 0.2, "scale": 1.5, "spread": torch.ones(d)}
    return MixtureModel(k, family, ConjugatePriors(**{**chosen, **changes}))


def proposal_of(model: MixtureModel, x: Tensor, labels: Tensor) -> Proposal:
    density = model.log_density(observe(x))
    prior = require_conjugate(model, "this", density.observations.origin)
    return Proposal.of(density, prior, statistics_of(model, x, labels))


def all_assignments(n: int, k: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(k), repeat=n)))


# ---------------------------------------------------------------------- what parameters weigh


@every_family
def test_with_every_assignment_the_proposal_is_the_posterior(family: str) -> None:
    """In the shares of their probabilities: then all parameters weigh the evidence."""
    model, x = model_of(2, family, 2), normal(4, 2, seed=1)
    proposal = proposal_of(model, x, all_assignments(4, 2))
    log_joint = proposal.assigned.log_joint
    evidence = exact_posterior(model, x).log_evidence
    torch.testing.assert_close(float(log_joint.logsumexp(0)), evidence)
    p = proposal.draw(5, torch.Generator().manual_seed(0))
    weighed = replace(proposal.assigned, log_evidence=proposal.assigned.log_evidence - log_joint)
    joint = replace(proposal, assigned=weighed).log_weight(p) - math.log(len(log_joint))
    torch.testing.assert_close(joint, torch.full_like(joint, 0.0), atol=1e-9, rtol=0)


@every_family
def test_the_mean_of_what_it_weighs_is_the_evidence(family: str) -> None:
    """Against a sum over all partitions."""
    model = model_of(2, family)
    proposal = proposal_of(model, SIX_POINTS, all_assignments(6, 2))
    weights = proposal.log_weight(proposal.draw(4000, torch.Generator().manual_seed(1))).exp()
    error = float(weights.std()) / len(weights) ** 0.5
    exact = math.exp(exact_posterior(model, SIX_POINTS).log_evidence)
    assert abs(float(weights.mean()) - exact) < STANDARD_ERRORS * error


@pytest.mark.parametrize("changes", UNLIKE.values(), ids=UNLIKE)
def test_so_it_is_under_priors_that_it_has_other_names_or_parts_for(
    changes: dict[str, Any],
) -> None:
    """Against importance sampling about the mode."""
    model = model_of(2, **changes)
    proposal = proposal_of(model, SIX_POINTS, all_assignments(6, 2))
    log_weights = proposal.log_weight(proposal.draw(4000, torch.Generator().manual_seed(1)))
    error = float(log_weights.exp().std() / log_weights.exp().mean()) / len(log_weights) ** 0.5
    with quietly():
        told = gp.fit(model, SIX_POINTS, "laplace").diagnostics
    error = math.hypot(error, told["log_evidence_se"])
    found = float(log_weights.logsumexp(0)) - math.log(len(log_weights))
    assert abs(found - told["log_evidence"]) < STANDARD_ERRORS * error
    assert error < 0.1


def test_moments_are_moved_to_one_point() -> None:
    model, x = model_of(2, "full", 2), normal(9, 2, seed=4)
    labels = torch.randint(2, (3, 9), generator=torch.Generator().manual_seed(0))
    whole = statistics_of(model, x, labels)
    assigned = torch.nn.functional.one_hot(labels, 2).mT.double()
    apart = torch.full((3, 2, 2), 0.7).double()
    z = (x.double()[None, None] - apart[:, :, None]).flatten(0, 1)
    each = reduce_given(model.family, z, assigned.flatten(0, 1)[:, None], apart.flatten(0, 1)[:, 0])
    counts, first, second = (value.unflatten(0, (3, 2))[:, :, 0] for value in each.sums)
    moved = about(
        model.family, Statistics(whole.log_norm, counts, first, second, apart), whole.reference
    )
    for found, expected in zip(moved.sums, whole.sums, strict=True):
        torch.testing.assert_close(found, expected)


# ---------------------------------------------------------------------- chains


@pytest.mark.parametrize(
    ("family", "changes"),
    [*((family, {}) for family in PRIORED), ("full", UNLIKE["unequal weights"])]
    + [("full", UNLIKE["independent means"])],
)
def test_jumps_leave_the_posterior_as_it_is(family: str, changes: dict[str, Any]) -> None:
    """Geweke's test, with assignments that have nothing to do with the data of a chain."""
    model = model_of(2, family, **changes)
    labels = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 0, 0]])
    prior = require_conjugate(model, "this")

    def sweep(p: Parameters, x: Tensor, generator: torch.Generator) -> Parameters:
        alone = gibbs_sampler(model, x, exchange=True).sweep(p, generator)[0]
        found = []
        for i, points in enumerate(x):
            proposal = proposal_of(model, points, labels)
            sampler = Sampler.of(prior, observe(points), exchange=False)
            jumps = SweptJumps(proposal, sampler=sampler)
            found.append(jumps(alone[[i]], generator)[0])
        return Parameters.joined(found)

    found = geweke(model, sweep, n_points=6, n_chains=30, n_sweeps=4, seed=2)
    assert all(replace(found, failure_rate=FAILURE_RATE).passes.values()), found.table


@pytest.mark.parametrize(
    ("family", "k"), [*((family, 2) for family in PRIORED), ("full", 3), ("tied", 3)]
)
def test_chains_that_jump_have_the_exact_posterior(family: str, k: int) -> None:
    model = model_of(k, family, concentration=1.0)
    exact = exact_posterior(model, SIX_POINTS)
    options = {"jumps": "always", "n_draws": 500, "keep_allocations": 500, "seed": k}
    with quietly():
        fit = gp.fit(model, SIX_POINTS, "gibbs", max_doublings=0, **options)
    assert 0.05 < fit.diagnostics["jumps"] <= 1
    z = fit.posterior.allocations  # type: ignore[union-attr]
    together = (z[..., :, None] == z[..., None, :]).double()
    error = _error(together.flatten(2)).view(6, 6)
    wrong = (together.mean((0, 1)) - exact.co_clustering).abs() > STANDARD_ERRORS * error + 1e-12
    assert not wrong.any()
    margin = STANDARD_ERRORS * fit.evidence.log_evidence_se
    assert abs(fit.log_evidence - exact.log_evidence) < margin


def _error(values: Tensor) -> Tensor:
    """Standard errors of means over chains and draws (c, t, q)."""
    size = torch.from_numpy(ess_mean(values.numpy()))
    return values.flatten(0, 1).std(0) / size.sqrt()


def test_chains_move_between_the_modes_of_the_irises() -> None:
    """`benchmarks/results/gibbs_modes.json`: long runs of sweeps alone give the shares."""
    fit = gp.fit(MixtureModel(3), load_iris().data, "gibbs", seed=1)
    assert fit.status is Status.CONVERGED
    alike = (fit.posterior.draws["weights"].amin(-1) > 0.2).double()  # type: ignore[union-attr]
    assert abs(float(alike.mean()) - 0.513) < STANDARD_ERRORS * float(_error(alike[..., None]))
    assert (alike.diff(dim=1).abs().sum(1) > 50).all()
    assert fit.diagnostics["jumps"] > 0.3


def test_chains_that_need_no_jumps_have_none() -> None:
    x = clusters(n=120, separation=6, seed=4).x
    fit = gp.fit(MixtureModel(2), x, "gibbs", n_draws=250)
    assert "jumps" not in fit.diagnostics
    assert math.isfinite(fit.log_evidence)
    laplace = gp.fit(MixtureModel(2, priors=fit.model.priors), x, "laplace")
    error = math.hypot(*(f.evidence.log_evidence_se for f in (fit, laplace)))
    assert abs(fit.log_evidence - laplace.log_evidence) < STANDARD_ERRORS * error


def test_a_search_that_is_cut_short_leaves_the_chains_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gmm_pyro.inference.chains.population.MOST_ROUNDS", 0)
    x = clusters(n=60, separation=6, seed=4).x
    with pytest.warns(gp.FitWarning, match="found new modes until its search"):
        fit = gp.fit(MixtureModel(2), x, "gibbs")
    assert fit.status is Status.UNMIXED


def test_what_jumps_is_one_of_three_words() -> None:
    with pytest.raises(ValueError, match="jumps must be one of auto, always, never; got 'often'"):
        gp.fit(MixtureModel(2), normal(9, 1), "gibbs", jumps="often")


def test_a_fit_without_an_estimate_of_the_evidence_says_who_has_one() -> None:
    with pytest.raises(ValueError, match="fit by em has no estimate of the evidence: laplace has"):
        _ = gp.fit(MixtureModel(1), normal(9, 1), "em").log_evidence


# ---------------------------------------------------------------------- the population


def test_a_population_finds_the_shares_of_modes_from_starts_in_one() -> None:
    """All particles begin at one solution of the irises; half of the posterior is elsewhere."""
    model = MixtureModel(3, priors=ConjugatePriors()).specialise(load_iris().data)
    density = model.log_density(observe(load_iris().data))
    prior = require_conjugate(model, "this", density.observations.origin)
    sampler = Sampler.of(prior, density.observations, exchange=False)
    start = gp.fit(model, load_iris().data, "em").mixture.parameters
    growth = Growth(density, sampler, Numbers(), torch.Generator().manual_seed(0))
    found = populated(growth, start[[0] * 128])
    assert found.settled
    assert found.is_like_the_posterior
    assert GibbsOptions().are_to_jump(found.persistence)
    alike = (found.parameters.log_weights.amin(1) > math.log(0.2)).double().mean()
    assert 0.3 < float(alike) < 0.7


def test_the_effective_number_is_that_of_equal_weights() -> None:
    assert effective(torch.zeros(7)) == pytest.approx(7)
    assert effective(torch.tensor([0.0, -torch.inf, -torch.inf])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("n", "k", "concentration", "some"),
    [(150, 3, 2.0, True), (40_000, 3, 2.0, False), (50, 1, 2.0, False), (50, 13, 2.0, False)]
    + [(60, 7, [1.0] * 6 + [2.0], False), (50, 3, [1.0, 1.0, 2.0], True)],
)
def test_a_population_is_for_few_points_and_components(
    n: int,
    k: int,
    concentration: Any,
    some: bool,  # noqa: FBT001
) -> None:
    model = model_of(k, concentration=concentration)
    numbers = Numbers.of(model.log_density(observe(normal(n, 1))))
    assert (numbers is not None) is some


# ---------------------------------------------------------------------- bridge sampling


def test_the_evidence_of_gaussians_by_a_bridge_and_its_error() -> None:
    """p is N(0, 1) times e³, q is N(0.3, 1.2²): a hundred estimates, and what they say."""
    normal_p, normal_q = stats.norm(0, 1), stats.norm(0.3, 1.2)

    def log_weight(x: Any) -> Tensor:
        return torch.from_numpy(normal_p.logpdf(x) + 3 - normal_q.logpdf(x))

    z = []
    for seed in range(100):
        ours = normal_p.rvs((4, 100), random_state=seed)
        theirs = normal_q.rvs(400, random_state=1000 + seed)
        found = bridge(log_weight(ours), log_weight(theirs))
        z.append((found.log_evidence - 3) / found.log_evidence_se)
    z = torch.tensor(z)
    low, high = stats.chi2(100).ppf([FAILURE_RATE / 2, 1 - FAILURE_RATE / 2])
    assert low < float(z.square().sum()) * 0.9**2  # an effective size has an error of its own
    assert float(z.square().sum()) * 0.9**2 < high
    assert abs(float(z.mean())) < STANDARD_ERRORS / 10


def test_the_evidence_of_gibbs_is_a_sum_over_all_assignments() -> None:
    """2¹² of twelve points, with closed forms for each; `tests/long` has other points."""
    x = clusters(n=12, separation=2.5, seed=0).x[:, :1].double()
    model = model_of(2)
    exact = float(proposal_of(model, x, all_assignments(12, 2)).assigned.log_joint.logsumexp(0))
    with quietly():
        found = gp.fit(model, x, "gibbs", n_draws=400, max_doublings=0).evidence
    assert abs(found.log_evidence - exact) < STANDARD_ERRORS * found.log_evidence_se
    assert found.log_evidence_se < 0.1
