"""Points at any distance, against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from gmm_pyro import GaussianMixture
from gmm_pyro.covariance import FAMILIES, Parameters, family_named
from gmm_pyro.data.observations import observe
from gmm_pyro.data.points import Observations
from gmm_pyro.reduction.assignments import Drawn, softmax
from gmm_pyro.reduction.pointwise import log_density, responsibilities
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import theta_of
from oracles import every_family

Matrix = list[list[Fraction]]
every_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


# ---------------------------------------------------------------------- exact arithmetic


def solved(matrix: Matrix, right: list[Fraction]) -> list[Fraction]:
    """The solution of linear equations, by elimination."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            share = rows[j][i] / rows[i][i]
            rows[j] = [a - share * b for a, b in zip(rows[j], rows[i], strict=True)]
    found: list[Fraction] = []
    for i in reversed(range(len(rows))):
        known = sum((a * b for a, b in zip(rows[i][i + 1 : -1], found, strict=True)), Fraction(0))
        found.insert(0, (rows[i][-1] - known) / rows[i][i])
    return found


def exact_logits(mixture: GaussianMixture, x: Tensor) -> list[list[Fraction]]:
    """log w + log N(x | μ, Σ) of every point and component; the constants are rounded."""
    dense = mixture.covariance_matrices()
    weights = mixture.weights.double().tolist()
    result = []
    for point in x.tolist():
        row = []
        for weight, mean, matrix in zip(weights, mixture.means.tolist(), dense, strict=True):
            z = [Fraction(a) - Fraction(b) for a, b in zip(point, mean, strict=True)]
            distance = solved([[Fraction(v) for v in line] for line in matrix.tolist()], z)
            half = sum((a * b for a, b in zip(z, distance, strict=True)), Fraction(0)) / 2
            size = np.linalg.slogdet(matrix.double().numpy())[1] + len(z) * math.log(2 * math.pi)
            row.append(Fraction(math.log(weight) - 0.5 * size) - half)
        result.append(row)
    return result


def number(value: Fraction, dtype: torch.dtype) -> float:
    """The nearest number of this type, or an infinity."""
    try:
        return float(torch.tensor(float(value), dtype=dtype))
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def shares(logits: list[Fraction]) -> list[float]:
    """Their softmax."""
    ratios = [math.exp(max(float(max(v - max(logits), Fraction(-1000))), -700)) for v in logits]
    return [ratio / sum(ratios) for ratio in ratios]


# ---------------------------------------------------------------------- the claims


def some_mixture(family: str, k: int, d: int, seed: int, dtype: torch.dtype) -> GaussianMixture:
    """Components that overlap, some of whose covariances are equal."""
    generator = np.random.default_rng(seed)
    roots = np.tril(generator.normal(size=(k, d, d))) + 2 * np.eye(d)
    roots[1:] = roots[generator.integers(k, size=k - 1)]
    compact = family_named(family)
    factor = compact.fit(
        compact.compress(torch.tensor(roots @ roots.swapaxes(1, 2))), torch.zeros(d).double()
    )
    factor = factor[:1] if compact.tied else factor
    weights = torch.tensor(generator.dirichlet(np.full(k, 3.0)), dtype=dtype)
    means = torch.tensor(generator.normal(size=(k, d)), dtype=dtype)
    return GaussianMixture(weights, means, compact.covariances(factor).to(dtype), family)


def far_points(d: int, seed: int, dtype: torch.dtype) -> Tensor:
    """In every direction and along the axes, from among the components to the end of numbers."""
    generator = np.random.default_rng(seed)
    largest = math.log10(torch.finfo(dtype).max) - 1
    size = 10 ** np.concatenate([generator.uniform(0, 12, 20), generator.uniform(0, largest, 20)])
    direction = generator.normal(size=(40, d))
    direction[::4] = np.eye(d)[generator.integers(d, size=10)]
    return torch.tensor(size[:, None] * direction, dtype=dtype)


@every_type
@every_family
@pytest.mark.parametrize(("k", "d", "seed"), [(2, 1, 0), (3, 2, 1), (4, 3, 2)])
def test_points_at_any_distance(family: str, dtype: torch.dtype, k: int, d: int, seed: int) -> None:
    mixture, x = some_mixture(family, k, d, seed, dtype), far_points(d, seed, dtype)
    logits = exact_logits(mixture, x)
    found = mixture.responsibilities(x)
    torch.testing.assert_close(
        found.double(), torch.tensor([shares(row) for row in logits]).double(), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(found.sum(1), torch.ones(len(x), dtype=dtype))
    assert mixture.predict(x).equal(found.argmax(1))
    largest = [number(max(row), dtype) for row in logits]  # the others add less than log k
    density = mixture.log_prob(x)
    for said, row, top in zip(density.tolist(), logits, largest, strict=True):
        wanted = top + math.log(
            sum(math.exp(max(float(max(v - max(row), -900)), -700)) for v in row)
        )
        assert said == pytest.approx(wanted, rel=1e-6, abs=1e-6)


@every_family
def test_a_component_without_weight_has_no_point(family: str) -> None:
    mixture = some_mixture(family, 3, 2, 5, torch.float64)
    without = GaussianMixture(
        torch.tensor([0.0, 0.5, 0.5]), mixture.means, mixture.covariances, family
    )
    found = without.responsibilities([[1e3, 1.0], [1e30, 2e30], [-1e250, 0.0]])
    assert (found[:, 0] == 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(3, dtype=torch.float64))


@every_type
@every_family
def test_a_tie_is_labelled_by_the_first_component(family: str, dtype: torch.dtype) -> None:
    """Halfway between equal components, where rounding alone would decide."""
    compact = FAMILIES[family]
    covariances = compact.covariances(
        compact.fit(
            compact.compress(torch.eye(2).expand(compact.n_covariances(2), 2, 2)), torch.zeros(2)
        )
    )
    means = torch.tensor([[0.1, 0.3], [0.7, 0.3]], dtype=dtype)
    mixture = GaussianMixture([0.5, 0.5], means, covariances, family)
    x = torch.tensor([[0.4, 0.3], [0.4, 7.7], [0.4, -1e5]], dtype=dtype)
    assert mixture.predict(x).equal(mixture.responsibilities(x).argmax(1))


@every_type
@every_family
def test_several_sets_at_once(family: str, dtype: torch.dtype) -> None:
    """As draws of a posterior are: what each says alone."""
    mixtures = [some_mixture(family, 3, 2, seed, torch.float64) for seed in (7, 8)]
    both = Parameters(
        *(
            torch.cat([getattr(mixture.parameters, name) for mixture in mixtures])
            for name in ("log_weights", "means", "factor")
        )
    )
    x = far_points(2, 9, dtype)
    points = Observations(x, None, torch.zeros(2).double(), torch.ones(2).double(), ("a", "b"))
    theta = theta_of(FAMILIES[family], both, points)
    share, density = responsibilities(points, theta), log_density(points, theta)
    for i, mixture in enumerate(mixtures):
        torch.testing.assert_close(
            share[i].T.double(), mixture.responsibilities(x), check_dtype=False, rtol=0, atol=1e-6
        )
        torch.testing.assert_close(density[i], mixture.log_prob(x).to(dtype))


@pytest.mark.parametrize("assign", [softmax, Drawn(0)])
def test_a_point_out_of_reach_is_no_nan_in_a_sum(assign: object) -> None:
    x = torch.tensor([[0.0], [1.0], [1e60]], dtype=torch.float64)
    tight = Parameters(
        torch.tensor([[0.5, 0.5]]).double().log(),
        torch.tensor([[[0.0], [1.0]]]).double(),
        torch.full((1, 2, 1), 1e-100, dtype=torch.float64),
    )
    observations = observe(x)
    found = reduce(observations, theta_of(FAMILIES["diag"], tight, observations), assign)
    assert float(found.log_norm) == -math.inf
    assert not any(part.isnan().any() for part in found.sums)
