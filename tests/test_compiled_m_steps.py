"""The M-steps of few components as loops are torch's, which mclust and numerical minima hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gmm_pyro.covariance import FAMILIES, CovarianceFamily, Statistics
from gmm_pyro.data.points import Points
from gmm_pyro.reduction import coupled, small

pytest.importorskip("numba")

SETS, POINTS, RELATIVE = 3, 60, 1e-9
SEARCHES = "EVE", "VVE"  # that do nothing in a loop but go on
ALL = sorted({family.mclust: family for family in FAMILIES.values()}.items())

each_family = pytest.mark.parametrize(
    "family", [one for _, one in ALL], ids=[code for code, _ in ALL]
)


def moments(family: CovarianceFamily, k: int, d: int, seed: int) -> tuple[Statistics, Statistics]:
    """Of components with weights at random, and of the same after these have changed a little."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = drawn(SETS, k, POINTS, d) @ drawn(SETS, k, d, d) + drawn(SETS, k, 1, d)
    weight = drawn(SETS, k, POINTS).square()
    return tuple(
        Statistics(
            log_norm=torch.zeros(SETS, dtype=torch.float64),
            counts=u.sum(2),
            first=(u[..., None] * x).sum(2),
            second=family.pooled(family.weighted_square(x, u)),
            reference=torch.full((d,), 0.3, dtype=torch.float64),
        )
        for u in (weight, weight * (1 + 0.1 * drawn(SETS, k, POINTS)).square())
    )


def floor(d: int, value: float = 1e-6) -> torch.Tensor:
    return torch.linspace(value, 2 * value, d, dtype=torch.float64)


def begun(family: CovarianceFamily, statistics: Statistics) -> torch.Tensor:
    """Factors after a step from unit covariances."""
    s, k, d = statistics.first.shape
    unit = family.compress(torch.eye(d, dtype=torch.float64)).sqrt()
    return family.m_step(
        statistics, floor(d), current=unit.expand(s, *family.factor_shape(k, d))
    ).factor


def check(
    family: CovarianceFamily,
    statistics: Statistics,
    current: torch.Tensor | None = None,
    least: float = 1e-6,
) -> None:
    d = statistics.first.shape[-1]
    found = small.m_step(family, statistics, floor(d, least), current)
    wanted = family.m_step(statistics, floor(d, least), current=current)
    assert found is not None
    torch.testing.assert_close(found.log_weights, wanted.log_weights, rtol=RELATIVE, atol=1e-14)
    for means in (wanted.means, statistics.means):
        torch.testing.assert_close(found.means, means, rtol=RELATIVE, atol=1e-12)
    ours, theirs = (family.dense(each.factor, d) for each in (found, wanted))
    size = theirs.diagonal(dim1=-2, dim2=-1).sqrt()
    size = size[..., :, None] * size[..., None, :]
    torch.testing.assert_close(ours / size, theirs / size, rtol=0, atol=RELATIVE)


@each_family
@pytest.mark.parametrize("d", range(1, 6))
@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_a_step_is_torchs(family: CovarianceFamily, k: int, d: int) -> None:
    before, statistics = moments(family, k, d, seed=10 * d + k)
    if family.mclust not in SEARCHES:
        check(family, statistics)
    check(family, statistics, begun(family, before))


@each_family
@pytest.mark.parametrize("d", [1, 2, 4])
def test_components_without_points_are_those_of_torch(family: CovarianceFamily, d: int) -> None:
    before, statistics = moments(family, 4, d, seed=d)
    absent = torch.zeros(SETS, 4, dtype=torch.bool)
    absent[0, 3] = absent[1, 2:] = True
    wanted = statistics.with_copies(absent)
    points = Points(statistics.first[0], (), statistics.reference, compiled=True)
    found = small.filled(statistics, absent, points)
    assert all(map(torch.equal, found.sums, wanted.sums))
    check(family, found, begun(family, before.with_copies(absent)))


@each_family
def test_what_is_not_as_it_mostly_is_is_left_to_torch(family: CovarianceFamily) -> None:
    d = 3
    before, statistics = moments(family, 2, d, seed=0)
    current = begun(family, before)
    good = small.m_step(family, statistics, floor(d), current)
    assert good is not None
    for value in (torch.nan, 0.0, -1.0):  # lost, singular, and cancelled
        broken = replace(statistics, second=statistics.second.clone(), first=0 * statistics.first)
        broken.second[1] *= value
        assert small.m_step(family, broken, floor(d, 0.0), current) is None
    noise = replace(statistics, noise=torch.ones(SETS, dtype=torch.float64))
    assert small.m_step(family, noise, floor(d), current) is None


@each_family
def test_moments_may_be_about_a_point_a_component(family: CovarianceFamily) -> None:
    before, statistics = moments(family, 2, 3, seed=1)
    reference = torch.arange(2 * 3 * SETS, dtype=torch.float64).view(SETS, 2, 3)
    check(family, replace(statistics, reference=reference), begun(family, before))


@each_family
def test_a_set_that_is_not_as_others_leaves_them_sound(family: CovarianceFamily) -> None:
    before, statistics = moments(family, 2, 3, seed=2)
    current, broken = begun(family, before), statistics.second.clone()
    broken[1] *= torch.nan
    found = small.tried_m_step(family, replace(statistics, second=broken), floor(3), current)
    wanted = small.m_step(family, statistics, floor(3), current)
    assert found is not None
    assert wanted is not None
    assert found[1].tolist() == [True, False, True]
    for ours, theirs in zip(found[0].values, wanted.values, strict=True):
        torch.testing.assert_close(ours[found[1]], theirs[found[1]], rtol=0, atol=0)


@pytest.mark.parametrize("code", SEARCHES)
def test_a_thorough_search_is_left_to_torch(code: str) -> None:
    family = dict(ALL)[code]
    _, statistics = moments(family, 2, 3, seed=0)
    assert small.m_step(family, statistics, floor(3)) is None


@pytest.mark.parametrize("code", ["EEV", "VVE"])
def test_eigenvectors_of_many_features_are_left_to_torch(code: str) -> None:
    family, d = dict(ALL)[code], coupled.FEW + 1
    before, statistics = moments(family, 2, d, seed=0)
    assert small.m_step(family, statistics, floor(d), begun(family, before)) is None


@pytest.mark.parametrize("code", ["EEV", "VEV"])
def test_small_eigenvalues_keep_their_digits(code: str) -> None:
    family, d = dict(ALL)[code], 3
    _, statistics = moments(family, 2, d, seed=0)
    units = torch.tensor([1.0, 1.0, 1e-6], dtype=torch.float64)
    first, second = statistics.first * units, statistics.second * units * units[:, None]
    check(family, replace(statistics, first=first, second=second), least=0.0)


@pytest.mark.parametrize("code", ["EEE", "EEI", "EII", "VII", "VVI", "VVV"])
@pytest.mark.parametrize("d", [1, 3])
def test_covariances_alone_are_raised_to_the_floor(code: str, d: int) -> None:
    """Those of few points, or made of moments that have been extrapolated too far."""
    family = dict(ALL)[code]
    _, statistics = moments(family, 3, d, seed=3)
    for share in (0.98, 1.02):
        factor = statistics.counts[..., None].sqrt()
        between = family.pooled(family.square(statistics.first / factor))
        second = statistics.second + share * (between - statistics.second)
        check(family, replace(statistics, second=second), least=1e-1)
