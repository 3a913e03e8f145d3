"""What the suite tries with a few seeds, with many: some minutes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gmm_pyro.inference.weighing import evidence
from test_evidence import check, errors_of_evidences
from test_jumps import assert_evidence_of_gibbs_is_exact

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
    assert_evidence_of_gibbs_is_exact(seed)
