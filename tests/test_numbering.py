"""Numberings: which components a prior tells apart, and the numbering it holds likeliest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp
from torch import Tensor

from gmm_pyro import ConjugatePriors, MixtureModel, Priors
from gmm_pyro.covariance import family_named
from gmm_pyro.model.log_density import LogDensity
from gmm_pyro.model.numbering import (
    MOST,
    Numberings,
    best_numbering,
    exchangeable_classes,
    n_numberings,
    permuted_values,
)
from oracles import every_family, normal, numbers


def density(
    k: int, d: int = 1, family: str = "full", priors: Any = None, offset: float = 0.0
) -> LogDensity:
    return MixtureModel(k, family, priors).log_density(3 * normal(60, d) + offset)


def site_values(found: LogDensity, sets: int = 1, seed: int = 1) -> dict[str, Tensor]:
    return found.constrain(normal(sets, found.dimension, seed=seed))


# ---------------------------------------------------------------------- classes


@every_family
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize(
    "priors", [None, ConjugatePriors(), ConjugatePriors(mean_scale=2.0)], ids=repr
)
def test_the_default_priors_tell_no_components_apart(family: str, d: int, priors: Any) -> None:
    assert exchangeable_classes(density(4, d, family, priors)) == (0, 0, 0, 0)


OTHER_IN_PLACE_2: dict[str, Any] = {
    "a weight": Priors(weights=dist.Dirichlet(numbers([2.0, 2.0, 2.1, 2.0]))),
    "a mean": Priors(means=dist.Normal(numbers([[1.0], [1.0], [1.0 + 1e-6], [1.0]]), 4.0)),
    "one entry of a mean": Priors(
        means=dist.Normal(numbers([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), 4.0)
    ),
    "the spread of a mean": Priors(means=dist.Normal(0.0, numbers([[2.0], [2.0], [3.0], [2.0]]))),
    "the bounds of a mean": Priors(
        means=dist.Uniform(-9.0, numbers([[9.0], [9.0], [9.01], [9.0]]))
    ),
    "separate bounds": Priors(
        means=dist.Uniform(
            numbers([[-9.0], [-9.0], [9.0], [-9.0]]), numbers([[8.0], [8.0], [12.0], [8.0]])
        )
    ),
    "a scale": Priors(scales=dist.LogNormal(numbers([[0.0], [0.0], [0.5], [0.0]]), 1.0)),
    "a correlation": Priors(correlations=dist.LKJCholesky(2, numbers([2.0, 2.0, 3.0, 2.0]))),
    "a concentration": ConjugatePriors(concentration=[1.0, 1.0, 1.001, 1.0]),
    "a concentration beside means of their own": ConjugatePriors(
        concentration=[1.0, 1.0, 1.001, 1.0], mean_scale=2.0
    ),
}


@pytest.mark.parametrize("name", OTHER_IN_PLACE_2)
def test_one_component_differs(name: str) -> None:
    d = 2 if name in ("a correlation", "one entry of a mean") else 1
    assert exchangeable_classes(density(4, d, "full", OTHER_IN_PLACE_2[name])) == (0, 0, 1, 0)


def test_components_of_a_tied_family_differ_in_what_is_their_own() -> None:
    means = Priors(means=dist.Normal(numbers([[3.0], [-3.0], [3.0]]), 4.0))
    assert exchangeable_classes(density(3, 1, "tied", means)) == (0, 1, 0)


def test_equal_bounds_far_from_the_data_tell_nothing_apart() -> None:
    far = Priors(means=dist.Uniform(1e3, 1e3 + 1.0))
    assert exchangeable_classes(density(3, priors=far)) == (0, 0, 0)


def test_a_density_that_is_nowhere_positive_is_no_evidence() -> None:
    """Its log is -inf at every set of values, and -inf minus -inf is no number."""
    nowhere = Priors(means=dist.Uniform(0.0, 1.0).mask(mask=False))
    nowhere.means.log_prob = lambda value: torch.full(value.shape, -torch.inf)
    assert exchangeable_classes(density(3, priors=nowhere)) == (0, 0, 0)


def test_means_that_depend_on_each_other_alike_are_of_one_class() -> None:
    """Pairwise correlations of a half: an exchangeable prior that is no product."""
    tall = numbers(np.full((3, 3), 0.5) + 0.5 * np.eye(3))
    joint = dist.TransformedDistribution(
        dist.MultivariateNormal(torch.zeros(3).double(), tall),
        dist.transforms.ReshapeTransform((3,), (3, 1)),
    )
    assert exchangeable_classes(density(3, priors=Priors(means=joint))) == (0, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_those_of_equal_concentrations(seed: int) -> None:
    """Any pattern of up to 50 components: classes are numbered in the order they come in."""
    random = np.random.default_rng(seed)
    k = int(random.integers(2, 51))
    kind = random.integers(0, 4, k)
    concentration = numbers([1.0, 1.5, 2.0, 7.0])[torch.from_numpy(kind)]
    first_seen = list(dict.fromkeys(kind.tolist()))
    expected = tuple(first_seen.index(i) for i in kind.tolist())
    priors = Priors(weights=dist.Dirichlet(concentration))
    assert exchangeable_classes(density(k, 2, "diag", priors)) == expected


@pytest.mark.parametrize("offset", [1e6, -1e9])
def test_components_are_told_apart_far_from_zero(offset: float) -> None:
    means = Priors(means=dist.Normal(offset + numbers([[3.0], [-3.0], [3.0]]), 4.0))
    assert exchangeable_classes(density(3, priors=means, offset=offset)) == (0, 1, 0)


def test_nothing_is_drawn_from_the_default_generator() -> None:
    before = torch.get_rng_state()
    exchangeable_classes(density(3))
    assert torch.get_rng_state().equal(before)


# ---------------------------------------------------------------------- orders


@every_family
def test_a_permutation_moves_what_components_have_of_their_own(family: str) -> None:
    found = density(3, 2, family)
    values = site_values(found, sets=2)
    moved = permuted_values(family_named(family), values, torch.tensor([[1, 2, 0], [0, 2, 1]]))
    p, q = found.parameters(values), found.parameters(moved)
    torch.testing.assert_close(q.means[0], p.means[0, [1, 2, 0]])
    torch.testing.assert_close(q.log_weights[1], p.log_weights[1, [0, 2, 1]])
    if family_named(family).tied:
        torch.testing.assert_close(q.factor, p.factor)
    else:
        torch.testing.assert_close(q.factor[0], p.factor[0, [1, 2, 0]])


@pytest.mark.parametrize("classes", [(0, 0), (0, 1, 0), (0, 1, 2, 0, 1), (0, 1, 2, 3)])
def test_the_number_of_numberings_is_that_of_different_words(classes: Sequence[int]) -> None:
    assert n_numberings(classes) == len(set(permutations(classes)))


NAMED: dict[str, Any] = {
    "means": lambda k: Priors(means=dist.Normal(3 * normal(k, 1, seed=5), 1.0)),
    "bounded means": lambda k: Priors(
        means=dist.Uniform(-4 + 2 * normal(k, 1, seed=5).clamp(-1, 1), 4.0)
    ),
    "scales": lambda k: Priors(scales=dist.LogNormal(normal(k, 1, seed=5), 1.0)),
    "two kinds of weights": lambda k: Priors(
        weights=dist.Dirichlet(1.0 + (torch.arange(k) % 2).double())
    ),
    "concentrations": lambda k: ConjugatePriors(concentration=1 + normal(k, seed=5).abs()),
}


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("name", NAMED)
def test_the_best_numbering_is_the_best_of_all(name: str, k: int) -> None:
    found = density(k, priors=NAMED[name](k))
    values = site_values(found, sets=3)
    order = best_numbering(found, values)
    all_orders = torch.tensor(list(permutations(range(k))))
    for i in range(3):
        one = {site: value[[i] * len(all_orders)] for site, value in values.items()}
        best = found.log_prior(permuted_values(found.model.family, one, all_orders)).max()
        taken = permuted_values(found.model.family, values, order)
        assert found.log_prior(taken)[i] == pytest.approx(float(best), abs=1e-9)


@pytest.mark.parametrize("k", [8, 20])
@pytest.mark.parametrize("family", ["full", "tied"])
def test_many_components_are_assigned_to_normal_priors(family: str, k: int) -> None:
    """The assignment problem of SciPy's normal log densities, which here is exact."""
    centres = 3 * normal(k, 2, seed=5)
    found = density(k, 2, family, Priors(means=dist.Normal(centres, 1.0)))
    values = site_values(found)
    gain = stats.norm(centres.numpy(), 1.0).logpdf(values["means"][0].numpy()[:, None]).sum(-1)
    expected = linear_sum_assignment(gain.T, maximize=True)[1]
    assert best_numbering(found, values).tolist() == [expected.tolist()]


def test_many_components_find_their_bounds() -> None:
    k = 9
    bounds = torch.arange(k).double()[:, None]
    found = density(k, priors=Priors(means=dist.Uniform(bounds, bounds + 1)))
    values = site_values(found)
    shuffled = torch.randperm(k, generator=torch.Generator().manual_seed(3))[None]
    values = permuted_values(found.model.family, values, shuffled)
    assert best_numbering(found, values).tolist() == shuffled.argsort().tolist()


def test_no_exchange_gains_where_the_prior_is_no_product() -> None:
    k = 8
    random = normal(k, k, seed=4)
    joint = dist.TransformedDistribution(
        dist.MultivariateNormal(normal(k, seed=6), random @ random.T + torch.eye(k).double()),
        dist.transforms.ReshapeTransform((k,), (k, 1)),
    )
    found = density(k, priors=Priors(means=joint))
    values = site_values(found)
    taken = permuted_values(found.model.family, values, best_numbering(found, values))
    best = float(found.log_prior(taken))
    assert best > float(found.log_prior(values))
    for i, j in permutations(range(k), 2):
        order = torch.arange(k)[None]
        order[0, [i, j]] = torch.tensor([j, i])
        other = found.log_prior(permuted_values(found.model.family, taken, order))
        assert float(other) <= best + 1e-9


@pytest.mark.parametrize("k", [3, 12])
def test_components_that_are_alike_keep_their_order(k: int) -> None:
    """Only the first is special, and nothing is gained by moving another."""
    found = density(k, priors=Priors(means=dist.Normal(numbers([[9.0]] + (k - 1) * [[0.0]]), 1.0)))
    values = site_values(found)
    highest = int(values["means"][0, :, 0].argmax())
    rest = [i for i in range(k) if i != highest]
    assert best_numbering(found, values).tolist() == [[highest, *rest]]
    default = density(k)
    assert best_numbering(default, site_values(default)).tolist() == [list(range(k))]


def test_equal_components_stay_where_they_are() -> None:
    found = density(3, priors=Priors(means=dist.Normal(numbers([[3.0], [-3.0], [0.0]]), 4.0)))
    values = {name: value[:, :1].expand_as(value) for name, value in site_values(found).items()}
    assert best_numbering(found, values).tolist() == [[0, 1, 2]]


# ---------------------------------------------------------------------- sums over all numberings


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("name", NAMED)
def test_the_prior_of_all_numberings_is_the_sum(name: str, k: int) -> None:
    found = density(k, priors=NAMED[name](k))
    values = site_values(found, sets=2)
    terms = [
        found.log_prior(permuted_values(found.model.family, values, torch.tensor([order] * 2)))
        for order in permutations(range(k))
    ]
    total = Numberings.about(found, values).log_prior(found, values)
    torch.testing.assert_close(total, torch.stack(terms).nan_to_num(-torch.inf).logsumexp(0))


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_of_many_numberings_those_that_count_are_summed(spread: float) -> None:
    """Eight normal means, against all 8! numberings: at most e^-15 of the best is left out."""
    centres = 8.0 * torch.arange(8).double()[:, None]
    found = density(8, priors=Priors(means=dist.Normal(centres, spread)))
    values = {**site_values(found), "means": (centres + normal(8, 1, seed=2))[None]}
    gain = stats.norm(centres.numpy(), spread).logpdf(values["means"][0].numpy()[:, 0])  # (j, i)
    orders = np.array(list(permutations(range(8))))
    terms = gain[np.arange(8), orders].sum(1)
    numberings = Numberings.about(found, values)
    more = float(numberings.log_prior(found, values) - found.log_prior(values))
    assert more == pytest.approx(float(logsumexp(terms)) - terms[0], abs=1e-3)
    assert len(numberings.orders) <= MOST
