"""Claims about tests of the number of components: published numbers, and right p-values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats

import gmm_pyro as gp
from gmm_pyro import LikelihoodRatioTests, MixtureModel
from oracles import FAILURE_RATE, every_family, normal
from runs import quietly

MCLUST = 319.0654  # mclustBootstrapLRT(faithful, modelName = "VVV"), 1 against 2
OF_MCLUST = 1e-3  # it stops at a relative gain of 1e-5


def lrt(x: torch.Tensor, k: Any = (1, 2), **options: Any) -> LikelihoodRatioTests:
    with quietly():
        return gp.bootstrap_lrt(x, k, **options)


def test_old_faithful_has_more_than_one_component() -> None:
    found = lrt(gp.datasets.old_faithful().x, covariance="VVV", n=39)
    assert found.tests[0].statistic == pytest.approx(MCLUST, abs=OF_MCLUST)
    assert found.tests[0].alike == pytest.approx(found.tests[0].statistic, abs=OF_MCLUST)
    assert found.tests[0].p_value == 1 / 40
    assert found.n_components == 2
    assert list(found.table["k1"]) == [2]


def test_tests_stop_at_the_first_that_is_not_significant() -> None:
    found = lrt(gp.datasets.bimodal().x, range(1, 6), n=39)
    assert found.n_components == 2
    assert [test.p_value <= 0.05 for test in found.tests] == [True, False]
    assert set(found.fits) == {1, 2, 3}
    assert found.fits[3].model.n_components == 3
    assert "1 against 2 components: LRTS" in repr(found)


def test_the_statistic_is_that_of_two_fits() -> None:
    x = normal(50, 2)
    found = lrt(x, covariance="diag", n=19)
    one, two = (gp.fit(MixtureModel(k, "diag"), x).objective for k in (1, 2))
    assert found.tests[0].statistic == pytest.approx(2 * (two - one))
    assert found.tests[0].log_likelihoods == pytest.approx((one, two))
    assert len(found.tests[0].replicates) == 19


def test_the_same_seed_gives_the_same_test() -> None:
    x = normal(40, 1)
    one, same, other = (lrt(x, n=19, seed=seed).tests[0].replicates for seed in (1, 1, 2))
    assert one.equal(same)
    assert not one.equal(other)


@every_family
@pytest.mark.parametrize("d", [1, 3])
def test_every_family_is_tested(family: str, d: int) -> None:
    x = normal(40, d) + 8.0 * (torch.arange(40) % 2)[:, None]
    found = lrt(x, (1, 2, 3), covariance=family, n=19)
    assert found.tests[0].p_value == 1 / 20
    assert (found.tests[-1].replicates >= 0).all()


@pytest.mark.parametrize("k0", [1, 2])
def test_replicates_come_near_to_what_a_fit_finds(k0: int) -> None:
    """A spherical component more: there are few maxima, and a search finds the highest."""
    x = normal(60, 1) + 6.0 * (torch.arange(60) % k0)[:, None]
    with quietly():
        null = gp.fit(MixtureModel(k0, "tied"), x)
        found = lrt(x, (k0, k0 + 1), covariance="tied", n=19)
        drawn = null.mixture.sample(19 * 60, 11 * 1_000_003).view(19, 60, 1)
        gains = [
            gp.fit(MixtureModel(k0 + 1, "tied"), one).objective
            - gp.fit(MixtureModel(k0, "tied"), one).objective
            for one in drawn[:5]
        ]
    behind = 2 * torch.tensor(gains) - found.tests[0].replicates[:5]
    assert float(behind.median()) < 0.01


@pytest.mark.slow
def test_p_values_are_uniform_where_there_is_nothing_to_find() -> None:
    """They are ranks, so exactly uniform on 1 / 20, … 20 / 20 but for ties."""
    ranks = [
        round(20 * lrt(normal(40, 1, seed=s), n=19, seed=s, level=0.05).tests[0].p_value)
        for s in range(40)
    ]
    counts = torch.bincount(torch.tensor(ranks) - 1, minlength=20).view(5, 4).sum(1)
    assert stats.chisquare(counts.numpy()).pvalue > FAILURE_RATE


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": [1]}, "k must be two or more numbers"),
        ({"k": [1, 3]}, "each one more than the last"),
        ({"k": 3}, "k must be a list of numbers"),
        ({"n": 10}, "n must be at least"),
        ({"level": 1.5}, "level must be"),
        ({"covariance": "fll"}, "did you mean"),
        ({"x": [[1.0], [float("nan")], [2.0]]}, "x has 1 NaN value"),
        ({"n_start": 3}, "has no option"),
    ],
)
def test_refusals_name_the_argument(given: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        lrt(**{"x": normal(20, 1), "k": [1, 2], "n": 19, **given})


def test_data_with_weights_are_refused() -> None:
    fit = gp.fit(MixtureModel(1), normal(20, 1), sample_weight=torch.ones(20))
    with pytest.raises(ValueError, match="x must be points without weights"):
        lrt(fit.observations)  # type: ignore[arg-type]
