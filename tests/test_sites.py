"""Claims about the sites of every kind of prior, by Pyro's traces of the program."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch

from gmm_pyro import ConjugatePriors, MixtureModel, Priors
from gmm_pyro.model.normal_wishart import IndependentMeans, NormalWishart
from oracles import every_family, normal

K, D = 3, 2
PRIORS = {
    "independent": Priors(weights=dist.Dirichlet(torch.tensor([0.5, 2.0, 1.0]))),
    "conjugate": ConjugatePriors(concentration=[0.5, 2.0, 1.0], mean_strength=0.4),
    "conjugate a block at a time": ConjugatePriors(mean_scale=3.0),
}
every_prior = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


def model_of(prior: Any, family: str = "full") -> MixtureModel:
    return MixtureModel(K, family, prior).specialise(normal(30, D))


@every_family
@every_prior
@pytest.mark.usefixtures("pyro_of_its_own")
def test_the_log_density_is_pyro_s(prior: Any, family: str) -> None:
    """Of the values that its program draws: of each site, and of all."""
    model, expected = model_of(prior, family), {}
    sites = model.sites()
    with pyro.poutine.seed(rng_seed=3):
        trace = pyro.poutine.trace(model).get_trace(n=1)
    trace.compute_log_prob()
    values = {name: trace.nodes[name]["value"][None] for name in sites}
    for name in sites:
        expected[name] = trace.nodes[name]["log_prob_sum"][None]
        torch.testing.assert_close(sites.log_prob(name, values), expected[name])
    total = torch.stack(list(expected.values())).sum(0)
    torch.testing.assert_close(sites.log_density(values), total)


@every_prior
def test_the_distribution_given_earlier_values_has_the_site_s_density(prior: Any) -> None:
    sites = model_of(prior).sites()
    values = sites.draw(5, seed=1)
    earlier: dict[str, torch.Tensor] = {}
    for name, value in values.items():
        found = sites.given(name, earlier).log_prob(value)
        torch.testing.assert_close(found, sites.log_prob(name, values))
        earlier[name] = value


@every_family
@every_prior
def test_draws_are_of_the_sites_shapes_in_their_order(prior: Any, family: str) -> None:
    sites = model_of(prior, family).sites()
    values = sites.draw(4, seed=0)
    assert list(values) == list(sites)
    for name, value in values.items():
        assert value.shape == (4, *sites[name].event_shape)
        assert value.isfinite().all()


@every_prior
def test_the_same_seed_is_the_same_draws_and_no_generator_is_moved(prior: Any) -> None:
    sites = model_of(prior).sites()
    before = torch.get_rng_state()
    first, again, other = (sites.draw(4, seed)["means"] for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@every_prior
def test_weights_come_from_the_dirichlet_distribution_that_was_given(prior: Any) -> None:
    found = model_of(prior).surplus
    assert found == (frozenset() if prior is PRIORS["conjugate a block at a time"] else {0})


def test_weights_of_another_distribution_leave_no_component_empty() -> None:
    stick = torch.distributions.StickBreakingTransform()
    normals = dist.Normal(torch.zeros(K - 1), 1.0).to_event(1)
    weights = dist.TransformedDistribution(normals, [stick])
    assert model_of(Priors(weights=weights)).surplus == frozenset()


@pytest.mark.parametrize(
    ("name", "kind"),
    list(zip(PRIORS, [None, NormalWishart, IndependentMeans], strict=True)),
)
def test_only_a_conjugate_prior_has_conjugate_distributions(name: str, kind: Any) -> None:
    found = model_of(PRIORS[name]).conjugate()
    assert (found is None) if kind is None else isinstance(found.components, kind)


@pytest.mark.parametrize("priors", [Priors, ConjugatePriors])
def test_a_prior_that_knows_no_units_says_who_tells_them(priors: Any) -> None:
    assert priors().n_features is None
    with pytest.raises(ValueError, match=rf"{priors.__name__}\(\.\.\.\)\.scaled_to"):
        MixtureModel(K, priors=priors()).sites()
