"""What the suite tries with a few seeds, with many: some minutes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import gmm_pyro as gp
from evidences import check, conjugate_sum, errors_of_evidences
from gmm_pyro.inference.weighing import evidence
from oracles import STANDARD_ERRORS, clusters
from runs import quietly

pytestmark = [
    pytest.mark.timeout(3000),
    pytest.mark.filterwarnings("ignore:laplace found a degenerate solution"),  # of few points
    pytest.mark.filterwarnings("ignore:laplace describes one of"),  # its evidence is of all
]


def test_errors_of_the_evidence_are_as_large_as_they_say(
    monkeypatch: pytest.MonkeyPatch, record: Callable
) -> None:
    """208 posteriors, by a fraction of the work and with the larger errors that go with it."""
    monkeypatch.setattr(evidence, "MOST", 400)
    monkeypatch.setattr(evidence, "CHAINS", 40)
    errors = errors_of_evidences(range(208))
    check(errors)
    z = [error / deviation for error, deviation in errors]
    mean_square = sum(value**2 for value in z) / len(z)
    record("evidence", [f"{len(z)} posteriors, mean square of z {mean_square:.2f}"])


@pytest.mark.parametrize("seed", range(1, 20))
def test_the_evidence_of_gibbs_is_a_sum_over_all_assignments(seed: int) -> None:
    """2¹² of twelve points, with closed forms for each."""
    x = clusters(n=12, separation=2.5, seed=seed).x[:, :1].double()
    model = gp.MixtureModel(2, priors=gp.ConjugatePriors(mean_strength=0.2)).specialise(x)
    with quietly():
        found = gp.fit(model, x, "gibbs", seed=seed, n_draws=400, max_doublings=0).evidence
    error = found.log_evidence_se
    assert abs(found.log_evidence - conjugate_sum(model, x)) < STANDARD_ERRORS * error
    assert error < 0.1
