"""Claims about the metrics: each equals its library's value or its closed form."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture as SklearnMixture

from gmm_pyro import metrics
from gmm_pyro.datasets import make_mixture
from gmm_pyro.mixture.value import GaussianMixture
from oracles import STANDARD_ERRORS

SCORES = [metrics.adjusted_rand, metrics.normalised_mutual_information, metrics.accuracy]

labellings = st.integers(2, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2)
)


def random_mixture(seed: int = 0, **options) -> GaussianMixture:
    return make_mixture(n=1, **{"d": 3, "k": 4, "imbalance": 0.2, **options}, seed=seed).truth


def in_other_units(mixture: GaussianMixture) -> GaussianMixture:
    """The mixture of the same points after a shift, and a change of unit for each feature."""
    unit, shift = torch.tensor([[1e-3, 1.0, 1e5], [7.0, -1e6, 1e5]], dtype=torch.float64)
    covariances = mixture.covariance_matrices() * unit * unit[:, None]
    return GaussianMixture(mixture.weights, mixture.means * unit + shift, covariances)


class TestScores:
    @given(labellings)
    def test_equal_scikit_learn(self, pair) -> None:
        assert metrics.adjusted_rand(*pair) == pytest.approx(adjusted_rand_score(*pair), abs=1e-12)
        found = metrics.normalised_mutual_information(*pair)
        assert found == pytest.approx(normalized_mutual_info_score(*pair), abs=1e-12)

    @settings(max_examples=50, deadline=None)
    @given(labellings)
    def test_accuracy_is_the_best_over_all_ways_to_rename_the_clusters(self, pair) -> None:
        labels, predicted = map(np.array, pair)
        best = max(
            (np.array(names)[predicted] == labels).mean()
            for names in itertools.permutations(range(4))
        )
        assert metrics.accuracy(labels, predicted) == pytest.approx(best)

    def test_accuracy_counts_the_points_of_clusters_without_a_class_as_wrong(self) -> None:
        assert metrics.accuracy([0, 0, 0, 0, 1], [7, 7, 8, 9, 5]) == 3 / 5
        assert metrics.accuracy([0, 0, 1, 2], [0, 0, 0, 0]) == 2 / 4

    @pytest.mark.parametrize("score", SCORES)
    def test_leave_outliers_out(self, score) -> None:
        labels, predicted = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([1, 1, 0, 2, 2, 2])
        noise = torch.full((5,), -1), torch.arange(5)
        with_noise = torch.cat([noise[0], labels]), torch.cat([noise[1], predicted])
        assert score(*with_noise) == score(labels, predicted)

    @pytest.mark.parametrize("score", SCORES)
    def test_refuse_labels_that_do_not_match_or_are_all_outliers(self, score) -> None:
        with pytest.raises(ValueError, match=r"the same shape \(n,\), got \(2,\) and \(3,\)"):
            score([0, 1], [0, 1, 1])
        with pytest.raises(ValueError, match="got 2 outliers"):
            score([-1, -1], [0, 1])


class TestMatchComponents:
    @settings(max_examples=25, deadline=None)
    @given(st.permutations(range(4)), st.integers(0, 1000))
    def test_undoes_a_permutation_in_any_units(self, order, seed: int) -> None:
        truth = random_mixture(seed)
        for mixture in (truth, in_other_units(truth)):
            found = metrics.match_components(mixture.permute(order), mixture)
            assert [order[i] for i in found] == [0, 1, 2, 3]

    def test_tells_components_apart_that_share_their_mean(self) -> None:
        nested = GaussianMixture([0.5, 0.5], [0.0, 0.0], [0.01, 1.0], "spherical")
        estimate = GaussianMixture([0.5, 0.5], [0.1, -0.1], [1.3, 0.02], "spherical")
        assert metrics.match_components(estimate, nested) == [1, 0]

    def test_puts_components_without_a_partner_last(self) -> None:
        truth = GaussianMixture([0.5, 0.5], [5.0, 0.0], [1.0, 1.0], "spherical")
        four = GaussianMixture([0.25] * 4, [99.0, 0.1, -50.0, 5.1], [1.0] * 4, "spherical")
        assert metrics.match_components(four, truth) == [3, 1, 0, 2]

    def test_follows_the_order_of_the_partners_where_components_are_fewer(self) -> None:
        truth = GaussianMixture([0.25] * 4, [9.0, 5.0, -9.0, 0.0], [1.0] * 4, "spherical")
        two = GaussianMixture([0.5, 0.5], [0.1, 5.1], [1.0, 1.0], "spherical")
        assert metrics.match_components(two, truth) == [1, 0]


class TestParameterErrors:
    def test_are_zero_for_the_truth_in_another_order(self) -> None:
        truth = random_mixture(covariance="tied")
        errors = metrics.parameter_errors(truth.permute([2, 0, 3, 1]), truth)
        assert errors == metrics.ParameterErrors(0.0, 0.0, 0.0)

    def test_have_known_values_where_all_components_err_alike(self) -> None:
        truth = random_mixture()
        sd = truth.covariance().diagonal().sqrt()
        weights = truth.weights + torch.tensor([0.03, -0.01, -0.01, -0.01])
        moved = GaussianMixture(weights, truth.means + 0.1 * sd, truth.covariances * 1.2)
        errors = metrics.parameter_errors(moved, truth)
        assert errors.weights == pytest.approx(0.03)
        assert errors.means == pytest.approx(0.1)
        assert errors.covariances == pytest.approx(0.2)

    def test_do_not_depend_on_units(self) -> None:
        truth, estimate = random_mixture(1), random_mixture(2)
        here = metrics.parameter_errors(estimate, truth)
        there = metrics.parameter_errors(in_other_units(estimate), in_other_units(truth))
        assert vars(there) == pytest.approx(vars(here), rel=1e-8)

    def test_are_nan_where_the_numbers_of_components_differ(self) -> None:
        errors = metrics.parameter_errors(random_mixture(k=3), random_mixture(k=4))
        assert all(math.isnan(error) for error in vars(errors).values())


class TestKullbackLeibler:
    @pytest.mark.parametrize("seed", range(5))
    def test_of_two_gaussians_is_their_closed_form(self, seed: int) -> None:
        p, q = random_mixture(seed, k=1), random_mixture(seed + 100, k=1)
        components = [m.distribution().component_distribution for m in (p, q)]
        exact = float(torch.distributions.kl_divergence(*components))
        estimate = metrics.kl_divergence(p, q, n=20_000, seed=seed)
        assert abs(estimate.value - exact) < STANDARD_ERRORS * estimate.standard_error
        assert estimate.standard_error < 0.1 * exact

    def test_from_itself_is_exactly_zero(self) -> None:
        mixture = random_mixture()
        assert metrics.kl_divergence(mixture, mixture, n=100) == metrics.Estimate(0.0, 0.0)

    def test_depends_on_its_seed_alone(self) -> None:
        p, q, state = random_mixture(0), random_mixture(1), torch.get_rng_state()
        first, again, other = (metrics.kl_divergence(p, q, n=100, seed=s) for s in (3, 3, 4))
        assert first == again != other
        assert torch.equal(torch.get_rng_state(), state)

    def test_needs_two_draws_for_an_error(self) -> None:
        with pytest.raises(ValueError, match="n must be an integer of at least 2"):
            metrics.kl_divergence(random_mixture(), random_mixture(), n=1)


class TestMixtureWasserstein:
    @pytest.mark.parametrize("seed", range(3))
    def test_of_two_gaussians_is_the_distance_of_bures(self, seed: int) -> None:
        a, b = random_mixture(seed, k=1), random_mixture(seed + 100, k=1, separation=0.0)
        b = GaussianMixture(b.weights, b.means + 2.0, b.covariances)
        left, right = a.covariances[0].numpy(), b.covariances[0].numpy()
        root = sqrtm(left)
        bures = np.trace(left + right - 2 * sqrtm(root @ right @ root).real)
        exact = math.sqrt(float((a.means - b.means).square().sum()) + bures)
        assert metrics.mixture_wasserstein(a, b) == pytest.approx(exact)

    def test_of_two_mixtures_is_what_pot_finds(self) -> None:
        from ot.gmm import gmm_ot_loss

        a, b = random_mixture(0), random_mixture(1, k=5)
        arrays = ((m.means, m.covariances, m.weights) for m in (a, b))
        means, covariances, weights = zip(*arrays, strict=True)
        squared = gmm_ot_loss(*means, *covariances, *weights)
        assert metrics.mixture_wasserstein(a, b) == pytest.approx(math.sqrt(squared))

    @settings(max_examples=15, deadline=None)
    @given(st.tuples(*[st.integers(0, 1000)] * 3))
    def test_is_a_metric(self, seeds) -> None:
        a, b, c = (random_mixture(seed, k=2 + seed % 3) for seed in seeds)
        distance = metrics.mixture_wasserstein
        backwards = a.permute(range(a.n_components)[::-1])
        assert distance(a, backwards) == pytest.approx(0, abs=1e-6)
        assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-6)
        assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-6

    def test_stands_badly_conditioned_covariances(self) -> None:
        # W2 of Gaussians with the same mean and axes is the distance of their standard deviations.
        axes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
        sd = np.array([1.0, 1e-3, 1e-5])
        thin = GaussianMixture([1.0], np.zeros((1, 3)), (axes * sd**2 @ axes.T)[None])
        thick = GaussianMixture([1.0], np.zeros((1, 3)), 9 * thin.covariances)
        assert metrics.mixture_wasserstein(thin, thick) == pytest.approx(2 * np.linalg.norm(sd))

    def test_names_the_extra_to_install_where_pot_is_missing(self, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "ot", None)
        with pytest.raises(ImportError, match=r"pip install gmm-pyro\[transport\]"):
            metrics.mixture_wasserstein(random_mixture(), random_mixture())


@pytest.mark.parametrize("distance", [metrics.match_components, metrics.mixture_wasserstein])
def test_mixtures_of_different_features_cannot_be_compared(distance) -> None:
    with pytest.raises(ValueError, match="the same features, got"):
        distance(random_mixture(d=2), random_mixture(d=3))


def test_density_and_criteria_are_those_of_scikit_learn() -> None:
    data = make_mixture(separation=1.5)
    theirs = SklearnMixture(3, random_state=0).fit(data.x)
    mine = GaussianMixture(theirs.weights_, theirs.means_, theirs.covariances_)
    assert metrics.mean_log_density(mine, data.x) == pytest.approx(theirs.score(data.x))
    assert metrics.bic(mine, data.x) == pytest.approx(theirs.bic(data.x))
    assert metrics.aic(mine, data.x) == pytest.approx(theirs.aic(data.x))
    overlap = -2 * np.log(theirs.predict_proba(data.x).max(1)).sum()
    assert metrics.icl(mine, data.x) == pytest.approx(theirs.bic(data.x) + overlap)
