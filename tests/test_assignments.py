"""Assignments as values: draws by a counter, and sums that do not depend on how rows are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.reduction import kernels
from gmm_pyro.reduction.assignments import Assignment, Drawn, Given, argmax, softmax
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import theta_of
from gmm_pyro.running.counting import GAMMA, shuffled, split_mix, uniforms
from gmm_pyro.running.threads import total
from oracles import FAILURE_RATE, normal

DOUBLE = torch.zeros(1, dtype=torch.float64)
MIXTURE = gp.datasets.three_clusters().truth
X = MIXTURE.sample(4000, seed=3)


def test_split_mix_is_the_published_generator() -> None:
    """Its first five outputs for the seed 1234567, as Java's and Rust's test vectors have them."""
    states = torch.arange(1, 6).mul_(GAMMA).add_(1234567)
    assert [int(value) % 2**64 for value in split_mix(states)] == [
        *(6457827717110365317, 3203168211198807973, 9817491932198370423),
        *(4593380528125082431, 16408922859458223821),
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestUniforms:
    def test_a_row_has_its_number_whatever_is_asked_for_with_it(self, dtype: torch.dtype) -> None:
        like = torch.zeros(1, dtype=dtype)
        whole = uniforms(7, range(5), slice(0, 100), like)
        assert uniforms(7, range(2), slice(30, 41), like).equal(whole[:2, 30:41])
        far = 2**40
        assert uniforms(7, range(1), slice(far, far + 9), like)[:, 3:].equal(
            uniforms(7, range(1), slice(far + 3, far + 9), like)
        )

    def test_they_are_uniform_and_fill_the_interval(self, dtype: torch.dtype) -> None:
        drawn = uniforms(1, range(20), slice(0, 10_000), torch.zeros(1, dtype=dtype))
        assert 0 <= float(drawn.min()) < 1e-4
        assert 1 - 1e-4 < float(drawn.max()) < 1
        assert stats.kstest(drawn.double().flatten().numpy(), "uniform").pvalue > FAILURE_RATE

    def test_chains_rows_and_seeds_are_independent(self, dtype: torch.dtype) -> None:
        """By counts in a 16 x 16 table of neighbours, which are Poisson's."""
        like = torch.zeros(1, dtype=dtype)
        one, next_seed = (uniforms(seed, range(40), slice(0, 5000), like) for seed in (3, 4))
        pairs = {
            "rows": (one[:, :-1], one[:, 1:]),
            "chains": (one[:-1], one[1:]),
            "seeds": (one, next_seed),
        }
        for a, b in pairs.values():
            cells = (16 * a).long() * 16 + (16 * b).long()
            counts = cells.flatten().bincount(minlength=256).numpy()
            assert stats.chisquare(counts).pvalue > FAILURE_RATE / 3


def drawn_labels(seed: int = 5, chains: int = 2) -> tuple[Tensor, Tensor]:
    """Labels that a reduction draws of all points, and its counts."""
    observations = observe(X)
    parameters = MIXTURE.parameters[[0] * chains]
    labels = torch.zeros(chains, len(X), dtype=torch.int64)
    theta = theta_of(MIXTURE.family, parameters, observations)
    statistics = reduce(observations, theta, Drawn(seed, labels))
    return labels, statistics.counts


class TestDraws:
    def test_they_follow_the_responsibilities(self) -> None:
        """Over 400 chains, in units of a binomial's deviation."""
        labels, _ = drawn_labels(chains=400)
        share = MIXTURE.responsibilities(X)
        unsure = ((share > 0.1) & (share < 0.9)).nonzero()
        found = torch.stack([(labels[:, row] == k).double().mean() for row, k in unsure.tolist()])
        expected = share[unsure[:, 0], unsure[:, 1]]
        assert len(expected) > 50
        error = (expected * (1 - expected) / 400).sqrt()
        limit = stats.norm.isf(FAILURE_RATE / (2 * len(expected)))
        assert float(((found - expected) / error).abs().max()) < limit

    def test_they_do_not_depend_on_how_rows_are_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole, counts = drawn_labels()
        for size in (1 << 10, 1 << 14):
            monkeypatch.setattr(kernels, "CHUNK_BYTES", size)
            monkeypatch.setattr(kernels, "SHORTEST_CHUNK", 16)
            labels, again = drawn_labels()
            assert labels.equal(whole)
            assert again.equal(counts)

    def test_seeds_and_chains_differ(self) -> None:
        (one, two), other = drawn_labels()[0], drawn_labels(seed=6)[0][0]
        assert not one.equal(two)
        assert not one.equal(other)

    def test_statistics_are_those_of_the_labels(self) -> None:
        labels, counts = drawn_labels()
        expected = np.array([np.bincount(row, minlength=3) for row in labels.numpy()])
        np.testing.assert_array_equal(counts.numpy(), expected)


@pytest.mark.parametrize(
    "assign", [softmax, argmax, Drawn(3), Given(normal(1, 3, 4000).softmax(1))]
)
def test_sums_are_the_same_in_any_cut_but_for_rounding(
    assign: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    observations = observe(X, sample_weight=np.linspace(0.5, 2, len(X)))
    theta = theta_of(MIXTURE.family, MIXTURE.parameters, observations)
    whole = reduce(observations, theta, assign)
    monkeypatch.setattr(kernels, "CHUNK_BYTES", 1 << 12)
    monkeypatch.setattr(kernels, "SHORTEST_CHUNK", 16)
    cut = reduce(observations, theta, assign)
    for one, other in zip((whole.log_norm, *whole.sums), (cut.log_norm, *cut.sums), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-9)


class TestTree:
    """Sums over blocks: in pairs, and pairs of pairs."""

    @pytest.mark.parametrize("n", [1, 2, 3, 7, 32])
    def test_the_order_is_that_of_a_tree(self, n: int) -> None:
        numbers = (10.0 ** torch.linspace(0, 17, n, dtype=torch.float64)).tolist()

        def added(parts: list[float]) -> float:
            while len(parts) > 1:
                pairs = [sum(parts[i : i + 2]) for i in range(0, len(parts), 2)]
                parts = pairs
            return parts[0]

        found = total(
            lambda: lambda i: (torch.tensor(numbers[i], dtype=torch.float64),), [*range(n)]
        )
        assert float(found[0]) == added(numbers)

    def test_every_tensor_has_a_sum_of_its_own(self) -> None:
        one, two = total(lambda: lambda i: (DOUBLE + i, DOUBLE - i), [1, 2, 3])
        assert (float(one), float(two)) == (6.0, -6.0)

    def test_outside_of_a_fit_the_number_of_threads_stays(self) -> None:
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(2)
            for items in ([1], [1, 2, 3]):
                total(lambda: lambda i: (DOUBLE + i,), items)
                assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)


@pytest.mark.parametrize("n", [1, 2, 3, 100, 4097])
def test_a_shuffle_has_every_number_once(n: int) -> None:
    assert sorted(shuffled(n, n, seed=3).tolist()) == list(range(n))


def test_a_shuffle_begins_alike_however_much_is_asked_for() -> None:
    assert shuffled(10**9, 50, seed=3).tolist() == shuffled(10**9, 70, seed=3).tolist()[:50]


def test_first_numbers_of_shuffles_are_uniform() -> None:
    """Pearson's test of 1000 bins."""
    found = torch.cat([shuffled(1000, 10, seed) for seed in range(3000)])
    counts = found.bincount(minlength=1000).double()
    statistic = float(((counts - 30).square() / 30).sum())
    assert stats.chi2(999).sf(statistic) > FAILURE_RATE
