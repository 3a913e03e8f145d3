"""Starting values: every way to start, restarts as one batch, seeds, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import GaussianMixture
from gmm_pyro.covariance import FAMILIES, Parameters, family_named
from gmm_pyro.data.observations import observe
from gmm_pyro.data.points import Observations
from gmm_pyro.inference.starts.starting import STARTS, sample_of, starting_parameters
from gmm_pyro.metrics import adjusted_rand
from gmm_pyro.reduction.pointwise import labels
from gmm_pyro.reduction.theta import theta_of
from oracles import every_class, tensors_of

K = 3
FULL = family_named("full")
every_start = pytest.mark.parametrize("start", STARTS)


@pytest.fixture(scope="module")
def data() -> gp.Dataset:
    """Three clusters so far apart that any sensible start finds most of them."""
    return gp.datasets.make_mixture(n=300, d=2, k=K, separation=12, seed=0)


def starts(start: Any, x: Any, **options: Any) -> Parameters:
    observations = x if isinstance(x, Observations) else observe(x)
    arguments = {
        "family": FULL,
        "n_components": K,
        "n_starts": 4,
        "floor": 1e-6 * observations.scale.square(),
        "generator": torch.Generator().manual_seed(0),
        **options,
    }
    return starting_parameters(start, observations, **arguments)


def same(one: Parameters, other: Parameters) -> bool:
    """To the last bit."""
    return all(a.equal(b) for a, b in zip(tensors_of(one), tensors_of(other), strict=True))


# ---------------------------------------------------------------------- every way to start


@every_start
@every_class
@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_start_is_a_batch_of_valid_mixtures(start: str, family: Any, d: int) -> None:
    x = gp.datasets.make_mixture(n=60, d=d, k=K, seed=0).x
    found = starts(start, x, family=family)
    assert found.log_weights.shape == (4, K)
    assert found.means.shape == (4, K, d)
    assert found.factor.shape == (4, family.n_covariances(K), *family.event_shape(d))
    for i in range(4):
        mixture = GaussianMixture.from_parameters(family, found[[i]])  # refuses what is not valid
        assert mixture.log_prob(x).isfinite().all()


@pytest.mark.parametrize("start", [start for start in STARTS if start != "agglomeration"])
def test_the_seed_decides(start: str, data: gp.Dataset) -> None:
    def with_seed(seed: int) -> Parameters:
        return starts(start, data.x, generator=torch.Generator().manual_seed(seed))

    assert same(with_seed(1), with_seed(1))
    assert not same(with_seed(1), with_seed(2))


@pytest.mark.parametrize("start", ["k-means++", "random", "random points"])
def test_restarts_differ(start: str, data: gp.Dataset) -> None:
    means = starts(start, data.x, n_starts=6).means
    assert len(means.flatten(1).unique(dim=0)) > 1


@pytest.mark.parametrize("start", ["k-means++", "k-means"])
def test_clear_clusters_are_found_before_the_first_step(start: str, data: gp.Dataset) -> None:
    found = starts(start, data.x, n_starts=10)
    guess = labels(observe(data.x), theta_of(FULL, found, observe(data.x)))
    assert max(adjusted_rand(data.labels, row) for row in guess) == 1.0


@every_start
def test_units_do_not_matter(start: str, data: gp.Dataset) -> None:
    """The same clusters, whatever the units of the columns."""
    unit, shift = torch.tensor([1e-3, 1e4], dtype=torch.float64), torch.tensor([5.0, -2e5])
    here, there = starts(start, data.x), starts(start, data.x * unit + shift)
    torch.testing.assert_close(there.log_weights, here.log_weights, rtol=1e-9, atol=0)
    torch.testing.assert_close((there.means - shift) / unit, here.means, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(there.factor / unit[:, None], here.factor, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("start", ["k-means++", "k-means", "random points"])
def test_points_of_weight_zero_are_no_centres(start: str, data: gp.Dataset) -> None:
    keep = data.labels > 0
    weighted = observe(data.x, sample_weight=keep.double())
    found = starts(start, weighted, n_components=2)
    assert found.log_weights.isfinite().all()  # no component is theirs alone
    distance = torch.cdist(found.means.flatten(0, 1), data.truth.means)
    assert (distance.argmin(1) > 0).all()


# ---------------------------------------------------------------------- labels


@every_class
def test_labels_give_the_clusters_shares_means_and_covariances(
    family: Any, data: gp.Dataset
) -> None:
    found = starts(data.labels, data.x, family=family)
    x, codes = data.x.numpy(), data.labels.numpy()
    clusters = [x[codes == i] for i in range(K)]
    mixture = GaussianMixture.from_parameters(family, found)
    np.testing.assert_allclose(mixture.weights, [len(c) / len(x) for c in clusters], rtol=1e-12)
    np.testing.assert_allclose(mixture.means, [c.mean(0) for c in clusters], rtol=1e-12)
    within = np.stack([np.cov(c.T, bias=True) for c in clusters])
    if family.tied:
        within = np.broadcast_to(np.tensordot(mixture.weights.numpy(), within, 1), within.shape)
    if family.name in ("diag", "tied_diag"):
        within = within * np.eye(2)
    if family.name in ("spherical", "tied_spherical"):
        within = np.trace(within, axis1=1, axis2=2)[:, None, None] / 2 * np.eye(2)
    np.testing.assert_allclose(mixture.covariance_matrices(), within, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "rename",
    [
        lambda codes: codes,
        lambda codes: codes.numpy(),
        lambda codes: codes.tolist(),
        lambda codes: 10 * codes - 5,
        lambda codes: np.array(["setosa", "versicolor", "virginica"])[codes],
    ],
    ids=["tensor", "numpy", "list", "any numbers", "words"],
)
def test_labels_of_any_kind(rename: Callable, data: gp.Dataset) -> None:
    assert same(starts(rename(data.labels), data.x), starts(data.labels, data.x))


def test_labels_leave_nothing_to_chance(data: gp.Dataset) -> None:
    assert starts(data.labels, data.x, n_starts=10).log_weights.shape == (1, K)


# ---------------------------------------------------------------------- a mixture


@every_class
def test_a_mixture_of_the_family_is_taken_as_it_is(
    family: Any, random_parameters: Callable[..., Parameters], data: gp.Dataset
) -> None:
    mixture = GaussianMixture.from_parameters(family, random_parameters(family, 1, K, 2))
    assert same(starts(mixture, data.x, family=family), mixture.parameters)


@every_class
@pytest.mark.parametrize("other", FAMILIES.values(), ids=FAMILIES)
def test_a_mixture_of_another_family_keeps_its_weights_and_means(
    family: Any, other: Any, random_parameters: Callable[..., Parameters], data: gp.Dataset
) -> None:
    mixture = GaussianMixture.from_parameters(other, random_parameters(other, 1, K, 2))
    found = GaussianMixture.from_parameters(family, starts(mixture, data.x, family=family))
    torch.testing.assert_close(found.weights, mixture.weights)
    torch.testing.assert_close(found.means, mixture.means)
    # every family can hold the size of the covariances: the pooled trace, for tied ones
    size = (mixture.weights @ mixture.covariance_matrices().flatten(1)[:, [0, 3]]).sum()
    kept = (found.weights @ found.covariance_matrices().flatten(1)[:, [0, 3]]).sum()
    torch.testing.assert_close(kept, size)


def test_a_float32_mixture_starts_a_float64_fit(data: gp.Dataset) -> None:
    mixture = GaussianMixture(
        torch.full((K,), 1 / K), data.truth.means.float(), torch.eye(2).expand(K, 2, 2)
    )
    found = starts(mixture, data.x)
    assert found.means.dtype == torch.float64
    torch.testing.assert_close(found.means[0], data.truth.means, rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------------- large data


def test_starts_are_made_on_a_sample_of_large_data() -> None:
    large = observe(torch.arange(50_000, dtype=torch.float64).view(-1, 1))
    generator = torch.Generator().manual_seed(0)
    sample = sample_of(large, K, generator)
    assert sample.n < large.n
    assert sample.n >= 20 * K
    assert len(sample.x.unique()) == sample.n  # without replacement
    assert sample.origin is large.origin  # units are the whole data's
    assert sample.scale is large.scale
    again = sample_of(large, K, torch.Generator().manual_seed(0))
    assert again.x.equal(sample.x)


def test_small_data_are_their_own_sample(data: gp.Dataset) -> None:
    small = observe(data.x)
    assert sample_of(small, K, torch.Generator()) is small


def test_weights_go_with_the_sample() -> None:
    x = torch.arange(50_000, dtype=torch.float64).view(-1, 1)
    sample = sample_of(observe(x, sample_weight=1 + x[:, 0]), K, torch.Generator().manual_seed(0))
    assert sample.sample_weight.equal(1 + sample.x[:, 0])


@every_start
def test_a_fit_of_large_data_from_every_start(start: str) -> None:
    data = gp.datasets.make_mixture(n=6000, d=2, k=2, separation=8, seed=0)
    fit = gp.fit(gp.MixtureModel(2), data.x, start=start, n_starts=3)
    truth = gp.fit(gp.MixtureModel(2), data.x, start=data.truth)
    assert fit.objective == pytest.approx(truth.objective, rel=1e-9)


# ---------------------------------------------------------------------- refusals


def test_an_unknown_start_is_named_with_the_nearest(data: gp.Dataset) -> None:
    with pytest.raises(ValueError, match=r"one of several, .*got 'kmeans'.*mean 'k-means'"):
        starts("kmeans", data.x)


@pytest.mark.parametrize("start", [None, 3, 2.5])
def test_what_is_no_start_is_refused(start: Any, data: gp.Dataset) -> None:
    with pytest.raises(ValueError, match="a name, a GaussianMixture or 300 labels"):
        starts(start, data.x)


def test_labels_of_another_length_are_refused(data: gp.Dataset) -> None:
    with pytest.raises(ValueError, match=r"300 labels, got an array of shape \(299,\)"):
        starts(data.labels[1:], data.x)


@pytest.mark.parametrize("k", [2, 4])
def test_labels_must_name_every_component(k: int, data: gp.Dataset) -> None:
    with pytest.raises(ValueError, match=f"names 3 clusters, the model has {k} components"):
        starts(data.labels, data.x, n_components=k)


@pytest.mark.parametrize(("k", "d"), [(2, 2), (K, 3)])
def test_a_mixture_must_fit_the_model_and_the_data(k: int, d: int, data: gp.Dataset) -> None:
    means = torch.arange(k * d, dtype=torch.float64).view(k, d)
    mixture = GaussianMixture(torch.full((k,), 1 / k), means, torch.eye(d).expand(k, d, d))
    with pytest.raises(ValueError, match=f"3 components in 2 dimensions, got {k} in {d}"):
        starts(mixture, data.x)


@pytest.mark.parametrize(
    "start",
    [
        "k-means++",
        "k-means",
        "random",
        "random points",
    ],
)
def test_fewer_places_than_components_still_start(start: str) -> None:
    """Duplicates leave a component without points, not without finite parameters."""
    x: Tensor = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64).repeat(20, 1)
    found = starts(start, x)
    assert found.means.isfinite().all()
    assert found.factor.isfinite().all()
