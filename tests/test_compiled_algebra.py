"""The compiled algebra of a step against the families' own, and what it leaves to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from gmm_pyro.covariance import (
    FAMILIES,
    CovarianceFamily,
    NaturalParameters,
    Parameters,
    Statistics,
)
from gmm_pyro.data.observations import observe
from gmm_pyro.reduction import small
from gmm_pyro.reduction.sums import maximise, reduce
from gmm_pyro.reduction.theta import theta_of
from oracles import close, normal

EXACT = 1e-12  # 1e4 times the rounding of float64: of some hundred operations on sound matrices
RAISED = 1e-10  # of the largest: where eigenvalues are raised, whose vectors are found twice
ALONE = [  # families whose covariances are fitted one by one
    family for family in FAMILIES.values() if type(family).fit_all is CovarianceFamily.fit_all
]
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_alone = pytest.mark.parametrize("family", ALONE, ids=[family.name for family in ALONE])
every_d = pytest.mark.parametrize("d", range(1, 9))


def test_six_families_are_fitted_one_by_one() -> None:
    """Else nothing of what follows would be tested."""
    names = ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"]
    assert [family.name for family in ALONE if family.name in names] == names


# ---------------------------------------------------------------------- the M-step


def statistics_of(family: CovarianceFamily, s: int, k: int, d: int, seed: int = 0) -> Statistics:
    """Of weighted points of no particular shape."""
    x = 5 + normal(60, d, seed=seed) @ normal(d, d, seed=seed + 1)
    observations = observe(x, sample_weight=normal(60, seed=seed + 2).exp())
    p = Parameters(
        normal(s, k, seed=seed + 3).log_softmax(-1),
        5 + normal(s, k, d, seed=seed + 4),
        family.fit(family.compress(torch.eye(d).double()), torch.zeros(d).double()).expand(
            s, *family.factor_shape(k, d)
        ),
    )
    return reduce(observations, theta_of(family, p, observations))


def floor_of(d: int, least: float = 1e-9) -> Tensor:
    """Different for all features."""
    return least * torch.arange(1.0, d + 1, dtype=torch.float64)


def close_parts(found: Any, exact: Any) -> None:
    for name, value in vars(exact).items():
        own = getattr(found, name)
        assert (own is None) == (value is None)
        if value is not None:
            close(own.nan_to_num(neginf=-1e4), value.nan_to_num(neginf=-1e4), EXACT)


@every_alone
@every_d
def test_the_m_step_is_the_familys(family: CovarianceFamily, d: int) -> None:
    for s, k in product([1, 3], range(1, 7)):
        statistics, floor = statistics_of(family, s, k, d), floor_of(d)
        found = small.m_step(family, statistics, floor)
        assert found is not None
        close_parts(found, family.m_step(statistics, floor))


def as_the_family(found: Parameters | None, exact: Parameters) -> bool:
    """Whether the loops have found parameters, which are then the family's, NaN where these are."""
    for name, value in vars(exact).items() if found is not None else ():
        if value is not None:
            own = getattr(found, name)
            size = value.nan_to_num(posinf=0.0, neginf=0.0).abs().max().item()
            torch.testing.assert_close(own, value, rtol=0, atol=RAISED * size, equal_nan=True)
    return found is not None


@every_alone
@every_d
def test_a_floor_that_binds_raises_as_the_family_does(family: CovarianceFamily, d: int) -> None:
    """The smallest eigenvalue in units of the floor's is known: just below, and just above it."""
    statistics, floor = statistics_of(family, 2, 3, d), floor_of(d, 1.0)
    factor = family.m_step(statistics, 0 * floor).factor
    if family.is_matrix:
        smallest = float(family.smallest_ratio(factor, floor).min())
    else:
        least = floor if family.event_shape(d) == (d,) else floor.mean()
        smallest = float((factor.square() / least).min())
    for share in (1 - 1e-6, 1 + 1e-6, 2.0):
        binding = share * smallest * floor
        found = small.m_step(family, statistics, binding)
        assert as_the_family(found, family.m_step(statistics, binding))


@every_alone
def test_a_component_without_points(family: CovarianceFamily) -> None:
    """Its covariance is the floor's; a shared one does without it."""
    whole, floor = statistics_of(family, 2, 3, 2), floor_of(2)
    empty = torch.tensor([[True, True, True], [True, False, True]])
    second = whole.second if family.tied else whole.second * like(empty, whole.second)
    statistics = replace(
        whole, counts=whole.counts * empty, first=whole.first * empty[..., None], second=second
    )
    found = small.m_step(family, statistics, floor)
    assert as_the_family(found, family.m_step(statistics, floor))
    assert found is not None
    assert found.log_weights[1, 1] == -math.inf


def like(chosen: Tensor, values: Tensor) -> Tensor:
    return chosen.view(*chosen.shape, *(1,) * (values.ndim - 2))


@every_alone
@pytest.mark.parametrize("d", [1, 2, 5])
def test_points_in_a_plane_are_raised_to_the_floor(family: CovarianceFamily, d: int) -> None:
    x = (torch.arange(40) % 4).double()[:, None] * torch.arange(1.0, d + 1).double()
    x = x if family.is_matrix and d > 1 else torch.zeros_like(x)
    zeros = torch.zeros(d).double()
    z = x - x.mean(0)
    second = family.compress((z.T @ z)[None, None])
    statistics = Statistics(
        torch.zeros(1).double(),
        torch.full((1, 1), 40.0).double(),
        z.sum(0)[None, None],
        second,
        zeros,
    )
    for floor in (floor_of(d, 1e-6), floor_of(d, 1e-3)):
        found = small.m_step(family, statistics, floor)
        assert as_the_family(found, family.m_step(statistics, floor))
    assert small.m_step(family, statistics, zeros) is None  # which is singular


@every_alone
@pytest.mark.parametrize("name", ["counts", "first", "second"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_no_number_stays_none(family: CovarianceFamily, name: str, number: float) -> None:
    whole, floor = statistics_of(family, 2, 3, 3), floor_of(3)
    spoilt = getattr(whole, name).clone()
    spoilt[1, -1] = number
    broken = replace(whole, **{name: spoilt})
    as_the_family(small.m_step(family, broken, floor), family.m_step(broken, floor))


@every_alone
def test_noise_is_left_to_the_family_and_moments_may_be_about_means(
    family: CovarianceFamily,
) -> None:
    statistics, floor = statistics_of(family, 2, 3, 2), floor_of(2)
    noise = replace(statistics, noise=torch.ones(2).double())
    assert small.m_step(family, noise, floor) is None
    about = replace(statistics, reference=statistics.reference + normal(2, 3, 2))
    assert as_the_family(small.m_step(family, about, floor), family.m_step(about, floor))


# ---------------------------------------------------------------------- natural parameters


@every_family
@every_d
def test_natural_parameters_are_the_familys(
    family: CovarianceFamily, d: int, random_parameters: Callable
) -> None:
    observations = observe(3 + normal(50, d))
    for s, k in [(1, 1), (1, 6), (3, 2), (2, 5)]:
        p = random_parameters(family, s=s, k=k, d=d)
        log_weights = p.log_weights.clone()
        log_weights[-1, -1] = -math.inf
        p = replace(p, log_weights=log_weights)
        found = small.natural(family, p, observations, math.inf)
        assert isinstance(found, NaturalParameters)
        close_parts(found, family.natural(p, observations.origin))


def test_noise_gradients_and_many_numbers_are_left_to_torch(random_parameters: Callable) -> None:
    family, observations = FAMILIES["full"], observe(normal(50, 2))
    p = random_parameters(family, s=2, k=3, d=2)
    assert small.natural(family, p, observations, math.inf) is not None
    noisy = replace(p, log_odds=torch.zeros(2).double())
    assert small.natural(family, noisy, observations, math.inf) is None
    learned = replace(p, means=p.means.requires_grad_())
    assert small.natural(family, learned, observations, math.inf) is None
    with torch.no_grad():
        assert small.natural(family, learned, observations, math.inf) is not None
    many = random_parameters(family, s=3, k=5, d=20)
    assert small.natural(family, many, observe(normal(50, 20)), math.inf) is None


# ---------------------------------------------------------------------- which kernel


@dataclass(frozen=True)
class Place:
    """Where components are, and how wide, against data about the origin."""

    distance: float
    width: float


PLACES = [
    Place(distance, width)
    for distance in (0.0, 1.0, 1e2, 1e4, 1e6)
    for width in (1e-8, 1e-4, 1e-2, 1.0, 1e2)
] + [Place(7.5, width) for width in (6e-3, 8e-3, 1e-2, 1.2e-2, 1.5e-2, 2e-2, 4e-2)]


@every_family
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_the_centred_kernel_is_chosen_as_without_compilation(
    family: CovarianceFamily, dtype: torch.dtype, random_parameters: Callable
) -> None:
    observations = observe(normal(50, 3), dtype=dtype)
    chosen = []
    for place in PLACES:
        p = random_parameters(family, s=2, k=3, d=3)
        p = replace(p, means=p.means + place.distance, factor=place.width * p.factor)
        with_it, without = both(family, p, observations)
        assert with_it == without, place
        chosen.append(without)
    assert set(chosen) == {True, False}


def both(family: CovarianceFamily, p: Parameters, observations: Any) -> tuple[bool, bool]:
    """Whether the kernel is centred, with compilation and without."""
    compiled = theta_of(family, p, replace(observations, compiled=True))
    return compiled.centred, theta_of(family, p, observations).centred


@every_family
@pytest.mark.parametrize("name", ["means", "factor"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_set_that_has_no_numbers_is_seen_wherever_it_is(
    family: CovarianceFamily, name: str, number: float, random_parameters: Callable
) -> None:
    p = random_parameters(family, s=3, k=2, d=2)
    for spoilt in range(3):
        values = getattr(p, name).clone()
        values[spoilt, 0].fill_(number)
        found = both(family, replace(p, **{name: values}), observe(normal(50, 2)))
        assert found == (True, True)


@every_family
def test_the_m_step_of_a_fit_is_the_same_with_the_compiled_algebra(
    family: CovarianceFamily, random_parameters: Callable
) -> None:
    observations = observe(2 + normal(200, 3))
    p = random_parameters(family, s=2, k=3, d=3)
    found = []
    for points in (replace(observations, compiled=True), observations):
        theta = theta_of(family, p, points)
        found.append(maximise(points, theta, reduce(points, theta), 1e-6 * observations.scale**2))
    close_parts(found[0].parameters, found[1].parameters)
