"""Claims about clusterings: co-clustering is exact, and no partition of few points is better."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from gmm_pyro.datasets import make_mixture
from gmm_pyro.metrics import adjusted_rand
from gmm_pyro.mixture.value import GaussianMixture
from gmm_pyro.posterior import Posterior
from gmm_pyro.posterior.clustering import best_partition, linkage_cuts
from gmm_pyro.posterior.losses import LOSSES
from oracles import PRIORED, around, kept, switched


def posterior_of(
    n: int = 60, k: int = 3, family: str = "full", separation: float = 3.0
) -> Posterior:
    data = make_mixture(n=n, k=k, covariance=family, separation=separation)
    return around(data.truth, data.x, noise=0.2)


def set_partitions(n: int) -> Iterator[np.ndarray]:
    """Every partition of n points, as labels in which clusters are numbered as they occur."""
    if n == 1:
        yield np.zeros(1, dtype=np.int64)
        return
    for labels in set_partitions(n - 1):
        for last in range(labels.max() + 2):
            yield np.append(labels, last)


def binder(labels: np.ndarray, drawn: np.ndarray) -> float:
    """Share of the pairs on which two clusterings disagree."""
    pairs = list(itertools.combinations(range(len(labels)), 2))
    apart = [(labels[i] == labels[j]) != (drawn[i] == drawn[j]) for i, j in pairs]
    return float(np.mean(apart))


def variation_of_information(labels: np.ndarray, drawn: np.ndarray) -> float:
    """H(labels) + H(drawn) - 2 I(labels, drawn), in nats."""
    n = len(labels)

    def entropy(*classes: np.ndarray) -> float:
        _, counts = np.unique(np.stack(classes), axis=1, return_counts=True)
        return float(-(counts / n * np.log(counts / n)).sum())

    return 2 * entropy(labels, drawn) - entropy(labels) - entropy(drawn)


def lower_bound(labels: np.ndarray, together: np.ndarray) -> float:
    """Equation 13 of Wade & Ghahramani (2018), with its constant, in nats."""
    n = len(labels)
    total = 0.0
    for i in range(n):
        own = labels == labels[i]
        total += np.log(own.sum()) + np.log(together[i].sum()) - 2 * np.log(together[i, own].sum())
    return total / n


def random_draws(n: int, seed: int, n_draws: int = 6, k: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, k, (n_draws, n))


def similarity(draws: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((draws[:, :, None] == draws[:, None]).mean(0))


class TestCoClustering:
    @pytest.mark.parametrize("family", PRIORED)
    def test_it_is_the_mean_over_draws_of_what_responsibilities_say(self, family) -> None:
        posterior = posterior_of(30, family=family)
        expected = torch.zeros(30, 30, dtype=torch.float64)
        parameters = posterior.parameters()
        for i in range(40):
            share = GaussianMixture.from_parameters(
                posterior.family, parameters[[i]]
            ).responsibilities(posterior.observations.x)
            expected += share @ share.T / 40
        found = posterior.co_clustering()
        torch.testing.assert_close(found, expected.fill_diagonal_(1.0), rtol=1e-9, atol=1e-12)

    def test_kept_allocations_are_counted(self) -> None:
        posterior = kept(posterior_of(), [0, 3, 11])
        labels = posterior.allocations.flatten(0, 1)
        expected = (labels[:, :, None] == labels[:, None]).double().mean(0)
        torch.testing.assert_close(posterior.co_clustering(), expected, rtol=1e-12, atol=0)

    @pytest.mark.parametrize("numbers", [None, [2, 5, 6]])
    def test_labels_play_no_part(self, numbers) -> None:
        posterior = posterior_of() if numbers is None else kept(posterior_of(), numbers)
        mixed, _ = switched(posterior)
        torch.testing.assert_close(mixed.co_clustering(), posterior.co_clustering())

    def test_some_rows_are_a_part_of_the_whole(self) -> None:
        posterior = posterior_of()
        rows = [5, 50, 7]
        part = posterior.co_clustering(rows)
        torch.testing.assert_close(part, posterior.co_clustering()[rows][:, rows])
        mask = np.zeros(60, dtype=bool)
        mask[[5, 7, 50]] = True
        torch.testing.assert_close(posterior.co_clustering(mask)[0, 1], part[0, 2])

    def test_fewer_draws_are_evenly_spaced(self) -> None:
        posterior = posterior_of()
        thinned = {n: v.flatten(0, 1)[None, [0, 20, 39]] for n, v in posterior.draws.items()}
        torch.testing.assert_close(
            posterior.co_clustering(max_draws=3), replace(posterior, draws=thinned).co_clustering()
        )

    def test_single_precision_and_one_point(self) -> None:
        posterior = posterior_of()
        data = replace(posterior.observations, x=posterior.observations.x.float())
        single = replace(posterior, observations=data).co_clustering()
        torch.testing.assert_close(single, posterior.co_clustering(), rtol=0, atol=1e-5)
        assert posterior.partition(rows=[4]).labels.tolist() == [0]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"rows": [60]}, "rows must be different numbers from 0 to 59"),
            ({"rows": [1, 1]}, "rows must be different numbers from 0 to 59"),
            ({"rows": [0.5]}, r"integers, or 60 booleans, got \[0.5\]"),
            ({"rows": []}, "one or more integers"),
            ({"max_draws": 0}, "max_draws must be an integer of at least 1, got 0"),
        ],
    )
    def test_bad_arguments_are_named(self, arguments, message) -> None:
        with pytest.raises(ValueError, match=message):
            posterior_of().co_clustering(**arguments)

    def test_too_many_points_are_refused_before_any_work(self) -> None:
        data = make_mixture(n=5001)
        with pytest.raises(ValueError, match="choose at most 5000 of them by rows"):
            around(data.truth, data.x).co_clustering()


def test_there_are_as_many_partitions_as_bell_says() -> None:
    assert [len(list(set_partitions(n))) for n in range(1, 8)] == [1, 2, 5, 15, 52, 203, 877]


@pytest.mark.parametrize("loss", LOSSES)
class TestBestPartition:
    @pytest.mark.parametrize("n", [2, 4, 6, 7])
    @pytest.mark.parametrize("seed", range(4))
    def test_no_partition_of_few_points_is_better(self, loss, n, seed) -> None:
        draws = random_draws(n, seed)
        together = similarity(draws)
        found = best_partition(together, loss, [*draws, *linkage_cuts(together, n)])
        least = min(LOSSES[loss](together.numpy(), labels).value for labels in set_partitions(n))
        assert found.loss == pytest.approx(least, abs=1e-9)

    def test_a_move_changes_the_loss_by_what_it_says(self, loss) -> None:
        draws = random_draws(9, seed=1)
        together = similarity(draws).numpy()
        state = LOSSES[loss](together, draws[0])
        for point in range(9):
            changes = state.changes(point)
            for place in range(len(changes)):
                labels = state.labels.copy()
                labels[point] = place
                _, compact = np.unique(labels, return_inverse=True)
                there = LOSSES[loss](together, compact).value - state.value
                assert there == pytest.approx(changes[place] - changes[state.labels[point]])
            before, foretold = state.value, changes.min() - changes[state.labels[point]]
            state.move(point, 0.0)
            assert state.value - before == pytest.approx(foretold, abs=1e-12)

    def test_draws_that_agree_are_the_partition_at_no_loss(self, loss) -> None:
        draws = np.tile([4, 0, 0, 1, 1, 1], (5, 1))
        found = best_partition(similarity(draws), loss, draws[:1])
        assert found.labels.tolist() == [2, 1, 1, 0, 0, 0]
        assert found.n_clusters == 3
        assert found.loss == pytest.approx(0, abs=1e-12)


class TestLosses:
    def test_binders_is_the_expected_share_of_pairs(self) -> None:
        draws = random_draws(8, seed=3)
        for labels in random_draws(8, seed=4):
            _, labels = np.unique(labels, return_inverse=True)
            expected = np.mean([binder(labels, drawn) for drawn in draws])
            found = LOSSES["binder"](similarity(draws).numpy(), labels).value
            assert found == pytest.approx(expected)

    def test_vi_is_the_bound_of_the_paper_and_exact_for_a_single_draw(self) -> None:
        draws = random_draws(8, seed=3)
        for labels in random_draws(8, seed=4):
            _, labels = np.unique(labels, return_inverse=True)
            together = similarity(draws).numpy()
            found = LOSSES["vi"](together, labels).value
            assert found == pytest.approx(lower_bound(labels, together))
            alone = LOSSES["vi"](similarity(draws[:1]).numpy(), labels).value
            assert alone == pytest.approx(variation_of_information(labels, draws[0]))


class TestPartition:
    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize("numbers", [None, list(range(20))])
    def test_separate_clusters_are_found_under_any_labels(self, loss, numbers) -> None:
        data = make_mixture(n=150, k=4, separation=8.0)
        posterior = around(data.truth, data.x)
        posterior = posterior if numbers is None else kept(posterior, numbers)
        found = switched(posterior)[0].partition(loss)
        assert found.n_clusters == 4
        assert adjusted_rand(data.labels, found.labels) == 1
        assert found.labels.bincount().diff().le(0).all()

    def test_it_is_the_same_at_every_call(self) -> None:
        one, other = (posterior_of(separation=1.0).partition() for _ in range(2))
        assert torch.equal(one.labels, other.labels)
        assert one.loss == other.loss > 0

    def test_a_loss_that_does_not_exist_is_named(self) -> None:
        with pytest.raises(ValueError, match="loss must be one of vi, binder; got 'rand'"):
            posterior_of().partition("rand")
