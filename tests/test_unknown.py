"""Claims about priors of the number of components, of concentrations and of scales."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive, TraceEnum_ELBO
from scipy import integrate, stats
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.calibration import exact_posterior
from gmm_pyro.calibration.exact import log_partition_priors, set_partitions
from gmm_pyro.model.stick_breaking import StickBreaking
from oracles import FAILURE_RATE
from runs import quietly
from telescopes import X2, X

KINDS: dict[str, dict[str, Any]] = {
    "static": {"concentration": 0.7},
    "dynamic": {},
    "both unknown": {"concentration": dist.Gamma(1.0, 1.0), "scale": gp.RandomScale()},
    "independent means": {"mean_scale": 3.0},
}
FAMILIES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")


class TestThePriorOfTheNumber:
    @pytest.mark.parametrize(
        ("word", "of_rest"),
        [
            ("poisson(2.5)", stats.poisson(2.5)),
            ("geometric(0.2)", stats.geom(0.2, loc=-1)),
            ("bnb(2, 4, 3)", stats.betanbinom(2, 4, 3)),
        ],
    )
    def test_words_are_scipys_distributions(self, word: str, of_rest: Any) -> None:
        expected = of_rest.pmf(np.arange(12))
        found = gp.Unknown(word, most=12).probabilities.numpy()
        np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-10)

    def test_the_default_leaves_a_thousandth_beyond_twenty(self) -> None:
        whole = gp.Unknown(most=10_000).probabilities
        assert float(whole[20:].sum()) == pytest.approx(0.0010, abs=5e-5)
        assert float(whole @ torch.arange(10_000).double()) == pytest.approx(1.0, abs=1e-3)

    def test_numbers_and_distributions(self) -> None:
        assert gp.Unknown([1, 1, 2], most=3).probabilities.tolist() == [0.25, 0.25, 0.5]
        of_torch = gp.Unknown(dist.Poisson(2.5), most=12).probabilities
        torch.testing.assert_close(of_torch, gp.Unknown("poisson(2.5)", most=12).probabilities)
        assert gp.Unknown("uniform", most=4).probabilities.tolist() == [0.25] * 4

    @pytest.mark.parametrize(
        ("prior", "message"),
        [
            ("poison(1)", "got 'poison'; did you mean 'poisson'"),
            ("poisson", r"must be poisson\(λ\), numbers above 0, got 'poisson'"),
            ("poisson(-1)", r"numbers above 0, got 'poisson\(-1\)'"),
            ("geometric(1.5)", "above 0 and below 1"),
            ("bnb(1, 2)", r"must be bnb\(α, a, b\)"),
            ("((", "must be as 'uniform'"),
            ([0.5, 0.5], "must have 3 probabilities"),
            ([0.0, 0.0, 0.0], "must have mass on 1 to 3"),
            ([1.0, -1.0, 1.0], "must have 3 probabilities"),
            (3.0, "a word, probabilities or a distribution, got 3.0"),
            (dist.Poisson(torch.ones(2)), "must be of one number"),
        ],
    )
    def test_others_are_refused(self, prior: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            gp.Unknown(prior, most=3)


class TestConcentrations:
    def test_what_they_give_each_component(self) -> None:
        value, k = torch.tensor([2.0, 3.0]), torch.tensor([2, 6])
        assert gp.Static(1.0).of_each(value, k).tolist() == [2.0, 3.0]
        assert gp.Dynamic(1.0).of_each(value, k).tolist() == [1.0, 0.5]

    def test_draws_and_densities_are_those_of_the_prior(self) -> None:
        kind = gp.Static(dist.Gamma(2.0, 4.0))
        drawn = kind.draw(4000, torch.Generator().manual_seed(1)).numpy()
        assert stats.kstest(drawn, stats.gamma(2, scale=0.25).cdf).pvalue > FAILURE_RATE
        at = torch.tensor([0.3, 1.5])
        expected = stats.gamma(2, scale=0.25).logpdf(at.numpy())
        np.testing.assert_allclose(kind.log_prior(at), expected, rtol=1e-5)

    def test_drawing_leaves_torchs_generator_alone(self) -> None:
        before = torch.get_rng_state()
        gp.Dynamic().draw(3, torch.Generator().manual_seed(0))
        assert torch.get_rng_state().equal(before)

    @pytest.mark.parametrize(
        "value", [-1.0, 0.0, dist.Normal(0.0, 1.0), dist.Gamma(torch.ones(2), 1.0), "one"]
    )
    def test_others_are_refused(self, value: Any) -> None:
        with pytest.raises((ValueError, TypeError), match="concentration"):
            gp.Static(value)

    def test_a_distribution_alone_is_that_of_a_static_one(self) -> None:
        priors = gp.ConjugatePriors(concentration=dist.Gamma(1.0, 20.0))
        model = gp.MixtureModel(3, priors=priors).specialise(X)
        assert list(model.sites()) == ["concentration", "weights", "precisions", "means"]
        assert model.surplus == {0, 1, 2}

    def test_sticks_have_the_density_of_their_shares(self) -> None:
        alpha, k = torch.tensor(1.7, dtype=torch.float64), 4
        shares = dist.Beta(torch.ones(3).double(), alpha.expand(3))
        v = torch.tensor([0.3, 0.6, 0.2]).double()
        left = torch.cat([torch.ones(1).double(), (1 - v).cumprod(0)])
        weights = torch.cat([v * left[:-1], left[-1:]])
        expected = shares.log_prob(v).sum() - left[:-1].log().sum()
        torch.testing.assert_close(StickBreaking(alpha, k).log_prob(weights), expected)

    def test_draws_of_sticks_have_their_moments(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            drawn = StickBreaking(torch.tensor(2.0).double(), 4).sample((40_000,))
        expected = torch.tensor([1 / 3, 2 / 9, 4 / 27, 8 / 27]).double()
        z = (drawn.mean(0) - expected) / (drawn.std(0) / 200)
        assert float(z.abs().max()) < stats.norm.isf(FAILURE_RATE / 8)
        assert float((drawn.sum(1) - 1).abs().max()) < 1e-12

    def test_a_stick_of_one_component_is_whole(self) -> None:
        drawn = StickBreaking(torch.tensor([0.5, 2.0]).double(), 1).sample((3,))
        assert drawn.equal(torch.ones(3, 2, 1).double())

    @pytest.mark.parametrize("method", ["vb", "gibbs"])
    def test_a_fit_of_one_stick_is_converted(self, method: str) -> None:
        priors = gp.ConjugatePriors(gp.DirichletProcess(1.0))
        with quietly():
            fit = gp.fit(gp.MixtureModel(1, priors=priors), X, method, n_draws=20)
        assert fit.to_arviz()["prior"].sizes["component"] == 1


class TestTheDeclaration:
    def test_the_number_is_the_most(self) -> None:
        model = gp.MixtureModel(gp.Unknown(most=7))
        assert (model.n_components, model.unknown is not None) == (7, True)

    def test_a_copy_with_a_number_knows_it(self) -> None:
        model = gp.MixtureModel(gp.Unknown(most=7))
        assert replace(model, n_components=3).unknown is None
        assert replace(model, covariance="tied").unknown is model.unknown

    def test_a_prior_that_is_not_conjugate_is_refused(self) -> None:
        model = gp.MixtureModel(gp.Unknown(), priors=gp.Priors())
        with pytest.raises(ValueError, match="unknown number of components needs a conjugate"):
            model.specialise(X).sites()

    def test_a_stick_has_no_number(self) -> None:
        priors = gp.ConjugatePriors(concentration=gp.DirichletProcess(1.0))
        with pytest.raises(ValueError, match="no number of components to be unknown"):
            gp.MixtureModel(gp.Unknown(), priors=priors).specialise(X).sites()

    @pytest.mark.parametrize(("dof", "cov"), [(1.0, "full"), (0.5, "tied")])
    def test_a_scale_needs_degrees_of_freedom(self, dof: float, cov: str) -> None:
        priors = gp.ConjugatePriors(scale=gp.RandomScale(dof=dof))
        with pytest.raises(ValueError, match="dof of a RandomScale must be above 1"):
            gp.MixtureModel(2, cov, priors).specialise(X2).sites()

    @pytest.mark.parametrize("given", [{"scale": gp.Static(1.0)}, {"dof": gp.RandomScale()}])
    def test_kinds_have_their_places(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be a number or an array of numbers"):
            gp.ConjugatePriors(**given)

    def test_the_default_scale_is_of_the_mean_number(self) -> None:
        """The default prior has a mean of two components."""
        unknown = gp.MixtureModel(gp.Unknown()).specialise(X2).hierarchy()
        known = gp.ConjugatePriors().scaled_to(X2).conjugate(unknown.components.family, 2)
        torch.testing.assert_close(unknown.components.scale, known.components.scale)


def enumerated(model: gp.MixtureModel, values: dict[str, Tensor], x: Tensor) -> float:
    """The log density of the Pyro program, with k and all assignments summed out by Pyro."""
    conditioned = poutine.condition(model, data=values)
    elbo = TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)
    return -elbo.loss(lambda: conditioned(x), lambda: None)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_program_and_the_log_density_are_one(kind: str, family: str) -> None:
    priors = gp.ConjugatePriors(**KINDS[kind])
    model = gp.MixtureModel(gp.Unknown("poisson(1)", most=4), family, priors).specialise(X2)
    density = model.log_density(X2)
    vector = 0.4 * torch.randn(2, density.dimension, generator=torch.Generator().manual_seed(5))
    vector = vector.double()
    values = density.constrain(vector)
    expected = [enumerated(model, {n: v[i] for n, v in values.items()}, X2) for i in range(2)]
    found = density(vector, jacobian=False)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
    assert torch.autograd.gradcheck(density, vector.requires_grad_(), atol=1e-4)


def test_the_program_draws_as_many_components_as_the_prior_says() -> None:
    model = gp.MixtureModel(gp.Unknown("poisson(1)", most=4)).specialise(X2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        drawn = Predictive(model, num_samples=400)(n=3)
    assert drawn["x"].shape == (400, 3, 2)
    counts = (drawn["extra_components"].flatten()).bincount(minlength=4)
    expected = 400 * gp.Unknown("poisson(1)", most=4).probabilities
    assert stats.chisquare(counts, expected).pvalue > FAILURE_RATE


class TestDrawsFromThePrior:
    MODEL = gp.MixtureModel(
        gp.Unknown("poisson(1)", most=5),
        priors=gp.ConjugatePriors(
            concentration=gp.Dynamic(1.5), mean=0.0, spread=torch.ones(1), scale=gp.RandomScale(3.0)
        ),
    )

    def test_only_so_many_have_a_weight(self) -> None:
        drawn = self.MODEL.sites().draw(2000, 0)
        size = drawn["n_components"]
        assert ((drawn["weights"] > 0).sum(1) == size).all()
        torch.testing.assert_close(drawn["weights"].sum(1), torch.ones(2000).double())
        expected = 2000 * self.MODEL.unknown.probabilities  # type: ignore[union-attr]
        assert stats.chisquare(size.bincount(minlength=6)[1:], expected).pvalue > FAILURE_RATE

    def test_their_log_density_is_that_of_each_distribution(self) -> None:
        sites = self.MODEL.sites()
        drawn = {name: value[:40] for name, value in sites.draw(200, 1).items()}
        found = sites.log_density(drawn)
        for i in range(40):
            k = int(drawn["n_components"][i])
            w, mu = drawn["weights"][i, :k].numpy(), drawn["means"][i, :k, 0].numpy()
            p, psi = drawn["precisions"][i, :k, 0, 0].numpy(), float(drawn["prior_scale"][i])
            total = math.log(float(self.MODEL.unknown.probabilities[k - 1]))  # type: ignore[union-attr]
            total += stats.dirichlet(np.full(k, 1.5 / k)).logpdf(w) if k > 1 else 0.0
            total += stats.gamma(1.5, scale=2 / (3.0 / self.mean)).logpdf(psi)
            total += stats.gamma(1.5, scale=2 / psi).logpdf(p).sum()
            total += stats.norm(0, np.sqrt(1 / (0.01 * p))).logpdf(mu).sum()
            assert float(found[i]) == pytest.approx(total, rel=1e-8)

    @property
    def mean(self) -> float:
        """The default mean of the scale: a prior mean of two components."""
        return 1 / 4


class TestExactPosteriors:
    @pytest.mark.parametrize("value", [0.4, dist.Gamma(2.0, 2.0)])
    @pytest.mark.parametrize("kind", [gp.Static, gp.Dynamic])
    def test_partitions_have_the_probability_of_their_labellings(
        self, kind: Any, value: Any
    ) -> None:
        """By brute force over all labels of four points, and quadrature over the concentration."""
        unknown = gp.Unknown("poisson(1)", most=3)
        priors = gp.ConjugatePriors(concentration=kind(value))
        hierarchy = gp.MixtureModel(unknown, priors=priors).specialise(X).hierarchy()
        assert hierarchy is not None
        partitions = set_partitions(4, 3)
        found = log_partition_priors(partitions, hierarchy).exp()

        def of_labels(a: float, k: int, labels: tuple[int, ...]) -> float:
            each = a if kind is gp.Static else a / k
            counts = np.bincount(labels, minlength=k)
            total = math.lgamma(k * each) - math.lgamma(k * each + 4)
            return math.exp(total + sum(math.lgamma(c + each) - math.lgamma(each) for c in counts))

        def of_partition(row: tuple[int, ...], k: int, a: float) -> float:
            return sum(
                of_labels(a, k, labels)
                for labels in itertools.product(range(k), repeat=4)
                if all(
                    (labels[i] == labels[j]) == (row[i] == row[j])
                    for i, j in itertools.combinations(range(4), 2)
                )
            )

        for row, mine in list(zip(partitions.tolist(), found, strict=True))[::6]:
            for k in (1, 2, 3):
                if isinstance(value, float):
                    expected = of_partition(tuple(row), k, value)
                else:
                    expected = integrate.quad(
                        lambda a, row=row, k=k: (
                            stats.gamma(2, scale=0.5).pdf(a) * of_partition(tuple(row), k, a)
                        ),
                        *(0, 40),
                        limit=200,
                    )[0]
                expected *= float(unknown.probabilities[k - 1])
                assert float(mine[k - 1]) == pytest.approx(expected, rel=1e-5, abs=1e-12)

    def test_sticks_give_partitions_the_mean_of_products_of_weights(self) -> None:
        alpha, k = 1.3, 3
        priors = gp.ConjugatePriors(concentration=gp.DirichletProcess(alpha))
        hierarchy = gp.MixtureModel(k, priors=priors).specialise(X).hierarchy()
        assert hierarchy is not None
        partitions = set_partitions(4, k)
        found = log_partition_priors(partitions, hierarchy).logsumexp(1).exp()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            weights = StickBreaking(torch.tensor(alpha).double(), k).sample((100_000,))
        for row, mine in zip(partitions.tolist(), found, strict=True):
            blocks = max(row) + 1
            sizes = [row.count(b) for b in range(blocks)]
            drawn = torch.zeros(len(weights)).double()
            for places in itertools.permutations(range(k), blocks):
                parts = [weights[:, j] ** n for j, n in zip(places, sizes, strict=True)]
                drawn += torch.stack(parts).prod(0)
            z = (drawn.mean() - mine) / (drawn.std() / math.sqrt(len(drawn)))
            assert abs(float(z)) < stats.norm.isf(FAILURE_RATE / 2 / len(partitions))
        assert float(found.sum()) == pytest.approx(1.0)

    def test_evidence_is_that_of_each_number_weighed_by_its_prior(self) -> None:
        unknown, given = gp.Unknown("poisson(1)", most=4), {"scale": 0.7, "concentration": 1.5}
        priors = gp.ConjugatePriors(**given)
        whole = exact_posterior(gp.MixtureModel(unknown, priors=priors), X)
        each = torch.tensor(
            [
                exact_posterior(gp.MixtureModel(k, priors=priors), X).log_evidence
                for k in range(1, 5)
            ],
            dtype=torch.float64,
        )
        joint = each + unknown.log_prior
        assert whole.log_evidence == pytest.approx(float(joint.logsumexp(0)), rel=1e-12)
        torch.testing.assert_close(whole.components, joint.softmax(0))

    def test_a_random_scale_is_refused(self) -> None:
        priors = gp.ConjugatePriors(scale=gp.RandomScale())
        with pytest.raises(ValueError, match="a scale that is known, got a RandomScale"):
            exact_posterior(gp.MixtureModel(2, priors=priors), X)
