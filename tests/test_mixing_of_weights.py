"""Claims about the distribution of the weights, by SciPy and by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from gmm_pyro.model.mixing import Mixing
from oracles import FAILURE_RATE, numbers

CONCENTRATIONS = {
    "flat": [1.0, 1.0, 1.0],
    "sparse": [0.01, 0.01, 0.01],
    "unequal": [0.5, 3.0, 1.7],
    "one component": [2.5],
}
COUNTS = [4.0, 0.0, 2.0]
every_mixing = pytest.mark.parametrize("alpha", CONCENTRATIONS.values(), ids=CONCENTRATIONS)


def counts_of(alpha: list[float]) -> Tensor:
    return numbers([COUNTS[: len(alpha)]])


@every_mixing
def test_the_prior_is_scipy_s_dirichlet(alpha: list[float]) -> None:
    weights = np.arange(1.0, len(alpha) + 1) / sum(range(1, len(alpha) + 1))
    expected = stats.dirichlet(alpha).logpdf(weights) if len(alpha) > 1 else 0.0
    found = Mixing(numbers(alpha)).prior.log_prob(torch.from_numpy(weights))
    assert found.item() == pytest.approx(expected, rel=1e-12)


@every_mixing
def test_the_probability_of_an_allocation_is_that_of_an_urn(alpha: list[float]) -> None:
    """Each point in turn: a component holds its concentration and the points so far."""
    found = Mixing(numbers(alpha)).log_probability(counts_of(alpha))
    balls, expected = list(alpha), 0.0
    for component, count in enumerate(COUNTS[: len(alpha)]):
        for _ in range(int(count)):
            expected += math.log(balls[component] / sum(balls))
            balls[component] += 1
    assert found.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", ["flat", "sparse", "unequal"])
def test_counts_have_the_dirichlet_multinomial_distribution(name: str) -> None:
    """SciPy's is of counts, each of which n! / Π n_j! allocations have."""
    alpha, n = CONCENTRATIONS[name], 6
    sizes = [c for c in itertools.product(range(n + 1), repeat=3) if sum(c) == n]
    ways = [math.lgamma(n + 1) - sum(math.lgamma(j + 1) for j in c) for c in sizes]
    found = Mixing(numbers(alpha)).log_probability(numbers(sizes)) + numbers(ways)
    expected = stats.dirichlet_multinomial(alpha, n).logpmf(sizes)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@every_mixing
def test_expected_log_weights_are_integrals_over_beta_distributions(alpha: list[float]) -> None:
    """By quadrature: a weight has a beta distribution."""
    counts = counts_of(alpha)
    found = Mixing(numbers(alpha)).expected_log_weights(counts)[0]
    after = np.array(alpha) + counts[0].numpy()
    for value, own in zip(found.tolist(), after, strict=True):
        rest = after.sum() - own
        expected = log_of_beta(own, rest) if rest > 0 else 0.0
        assert value == pytest.approx(expected, rel=1e-8, abs=1e-12)


def log_of_beta(a: float, b: float) -> float:
    """E log w by a grid over the logit of w, on which the density is smooth for all a, b."""
    logit = np.linspace(-40 / min(a, 1), 40 / min(b, 1), 200_001)
    log_w, log_v = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
    density = np.exp(a * log_w + b * log_v)
    return float((density * log_w).sum() / density.sum())


@pytest.mark.parametrize("name", ["flat", "unequal"])
def test_draws_have_the_means_of_dirichlet_distributions(name: str) -> None:
    alpha, n = numbers(CONCENTRATIONS[name]), 20_000
    counts = numbers([COUNTS, [0.0, 30.0, 1.0]])
    generator = torch.Generator().manual_seed(0)
    drawn = Mixing(alpha).draw(counts.repeat(n, 1), generator).exp().view(n, 2, 3)
    after = alpha + counts
    error = drawn.std(0) / math.sqrt(n)
    z = (drawn.mean(0) - after / after.sum(1, keepdim=True)) / error
    assert z.abs().max() < stats.norm.isf(FAILURE_RATE / 2 / z.numel())
    torch.testing.assert_close(drawn.sum(-1), torch.ones(n, 2).double())


def test_a_weight_too_small_for_a_number_has_a_finite_logarithm() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = Mixing(numbers([1e-6, 1e-6])).draw(torch.zeros(100, 2).double(), generator)
    assert drawn.isfinite().all()


@pytest.mark.parametrize("name", ["flat", "unequal"])
def test_it_knows_whether_it_tells_components_apart(name: str) -> None:
    assert Mixing(numbers(CONCENTRATIONS[name])).is_symmetric == (name == "flat")
