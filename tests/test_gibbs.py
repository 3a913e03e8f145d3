"""Claims about Gibbs sampling: its draws have the exact posterior, and its options their meaning.

Where a mean over draws is compared with an exact number, its standard error comes from the spread
over independent chains, and the bound from one probability with which a right sampler may fail.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from jaxtyping import Float
from scipy.stats import norm
from torch import Tensor
from tqdm import tqdm

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel
from gmm_pyro.calibration import exact_posterior
from gmm_pyro.calibration.exact import log_evidences
from gmm_pyro.calibration.joint import draw_prior, gibbs_sampler
from gmm_pyro.covariance import Parameters
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.chains.sweep import Sampler
from gmm_pyro.inference.chains.sweeping import GibbsChains, GibbsOptions, Step, run_chains
from gmm_pyro.inference.task import FitWarning, Status
from oracles import FAILURE_RATE, PRIORED, normal

CHAINS = 200


def points(n: int, d: int, seed: int = 0) -> Float[Tensor, "n d"]:
    """Two loose groups of points."""
    return normal(n, d, seed=seed) + 2.0 * (torch.arange(n) % 2)[:, None]


def sample(model: MixtureModel, x: Tensor, seed: int = 0, **options: Any) -> GibbsChains:
    """Chains that start at draws from the prior, and keep all allocations."""
    observations = observe(x)
    model = model.specialise(observations)
    prior = model.priors.conjugate(model.family, model.n_components)  # type: ignore[union-attr]

    generator = torch.Generator().manual_seed(seed)
    start = draw_prior(model, CHAINS, generator)
    chosen = GibbsOptions(**{"n_draws": 100, "n_warmup": 100, "keep_allocations": 10**6, **options})
    sampler = Sampler.of(prior, observations, exchange=True)
    with tqdm(disable=True) as bar:
        return run_chains(sampler, start, chosen, generator, bar, len(x))


def assert_means(values: Float[Tensor, "chain *q"], exact: Tensor) -> None:
    """Means over chains are the exact values, but for Monte-Carlo error."""
    values, exact = values.reshape(len(values), -1), exact.reshape(-1)
    error = values.std(0) / math.sqrt(len(values))
    away = (values.mean(0) - exact).abs()
    bound = norm.isf(FAILURE_RATE / 2 / len(exact))
    assert (away <= bound * error + 1e-12).all(), (away / error).max()


def density_of(model: MixtureModel, p: Parameters, places: Tensor) -> Float[Tensor, "s m"]:
    """The density of mixtures at some places, by torch's own distributions."""
    k, d = p.means.shape[1:]
    matrices = model.family.dense(p.factor, d).expand(-1, k, d, d)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=p.log_weights),
        torch.distributions.MultivariateNormal(p.means, matrices),
    )
    return mixture.log_prob(places[:, None]).exp().T


def together(labels: Tensor) -> Float[Tensor, "chain n n"]:
    """Share of each chain's draws in which two points have the same component."""
    return (labels[..., :, None] == labels[..., None, :]).double().mean(1)


class TestExactPosterior:
    @pytest.mark.parametrize(("d", "k"), [(1, 3), (2, 2)])
    @pytest.mark.parametrize("family", PRIORED)
    def test_every_family_on_six_points(self, family: str, d: int, k: int) -> None:
        x = points(6, d)
        model = MixtureModel(k, family, ConjugatePriors(mean_strength=0.3)).specialise(x)
        exact = exact_posterior(model, x)
        chains = sample(model, x)
        labels = torch.stack(chains.allocations, 1)
        upper = torch.triu_indices(6, 6, 1).unbind()
        assert_means(together(labels)[:, *upper], exact.co_clustering[upper])

        filled = torch.nn.functional.one_hot(labels).any(2).sum(2)
        shares = (filled[..., None] == torch.arange(1, k + 1)).double().mean(1)
        assert_means(shares, exact.filled_components)

        places = torch.tensor([-1.0, 1.0, 3.0], dtype=torch.float64)[:, None].expand(3, d)
        density = torch.stack([density_of(model, p, places) for p in chains.parameters])
        assert_means(density.mean(0), exact.log_predictive(places).exp())

    def test_unequal_concentrations_and_every_labelling(self) -> None:
        """By brute force over all k^n labelled allocations."""
        x, alpha = points(5, 2), torch.tensor([0.7, 3.0], dtype=torch.float64)
        priors = ConjugatePriors(concentration=alpha, mean_strength=0.3, dof=5.0, scale=[1.0, 2.0])
        model = MixtureModel(2, "full", priors).specialise(x)
        allocations = torch.tensor(list(itertools.product(range(2), repeat=5)))
        blocks = torch.where(allocations[:, :1] == 1, 1 - allocations, allocations)
        prior = model.priors.conjugate(model.family, 2)  # type: ignore[union-attr]
        evidence = log_evidences(prior.components, x[None], blocks)[0]
        counts = torch.nn.functional.one_hot(allocations).sum(1).double()
        log_p = evidence + (alpha + counts).lgamma().sum(1)
        self.assert_labelled(sample(model, x), allocations, log_p, alpha)

    def test_means_that_do_not_depend_on_the_covariances(self) -> None:
        """By a fine grid over the precision of each subset of points that can share a component."""
        x, alpha = points(5, 1), torch.tensor([1.0, 2.5], dtype=torch.float64)
        priors = ConjugatePriors(alpha, mean=0.5, mean_scale=1.5, dof=4.0, scale=2.0)
        model = MixtureModel(2, "full", priors)
        allocations = torch.tensor(list(itertools.product(range(2), repeat=5)))
        log_p = torch.stack(
            [
                sum(
                    (alpha[j] + (z == j).sum()).lgamma() + self.log_block(x[z == j, 0])
                    for j in range(2)
                )
                for z in allocations
            ]
        )
        self.assert_labelled(sample(model, x), allocations, log_p, alpha)

    @staticmethod
    def log_block(x: Float[Tensor, "n"]) -> Tensor:
        """log ∫∫ Π N(x | μ, 1/p) N(μ | ½, 1.5²) Gamma(p | 2, 1) dμ dp, over log p by a grid."""
        log_p = torch.linspace(-25, 8, 4001, dtype=torch.float64)
        p, n = log_p.exp()[:, None, None], len(x)
        covariance = torch.eye(n, dtype=torch.float64) / p + 1.5**2  # of x, with μ integrated out
        normal = torch.distributions.MultivariateNormal(torch.full((n,), 0.5).double(), covariance)
        inside = normal.log_prob(x) if n else 0.0
        gamma = torch.distributions.Gamma(torch.tensor(2.0).double(), 1.0).log_prob(log_p.exp())
        step = log_p[1] - log_p[0]
        return (inside + gamma + log_p + step.log()).logsumexp(0)

    @staticmethod
    def assert_labelled(
        chains: GibbsChains, allocations: Tensor, log_p: Tensor, alpha: Float[Tensor, "k"]
    ) -> None:
        """Labels of points, pairs of points and weights have their probabilities and means."""
        probability = log_p.softmax(0)
        labels = torch.stack(chains.allocations, 1)
        second = (labels == 1).double()
        assert_means(second.mean(1), probability @ (allocations == 1).double())
        pairs = torch.einsum("a,aij->ij", probability, together(allocations[:, None]))
        upper = torch.triu_indices(5, 5, 1).unbind()
        assert_means(together(labels)[:, *upper], pairs[upper])
        counts = torch.nn.functional.one_hot(allocations).sum(1)
        weights = probability @ ((alpha + counts) / (alpha.sum() + 5))
        drawn = torch.stack([p.log_weights.exp() for p in chains.parameters], 1)
        assert_means(drawn.mean(1), weights)

    @pytest.mark.parametrize("family", ["full", "diag", "tied_spherical"])
    def test_one_component_in_closed_form(self, family: str) -> None:
        """Murphy (2007), equations 250 to 254, and their diagonal and spherical forms."""
        x, d = points(20, 2), 2
        priors = ConjugatePriors(mean=[1.0, -1.0], mean_strength=2.0, dof=6.0, scale=[2.0, 3.0])
        fit = gp.fit(
            MixtureModel(1, family, priors), x, "gibbs", n_draws=20, n_warmup=1, n_chains=CHAINS
        )
        prior = torch.tensor([1.0, -1.0], dtype=torch.float64)
        centre = (2 * prior + x.sum(0)) / 22
        away = x - x.mean(0)
        gap = (x.mean(0) - prior)[:, None]
        scale = torch.diag(torch.tensor([2.0, 3.0]).double()) + away.T @ away
        scale = scale + 2 * 20 / 22 * gap @ gap.T
        if family == "full":
            covariance = scale / (6 + 20 - d - 1)
        elif family == "diag":
            covariance = scale.diagonal().diag() / (6 + 20 - 2)
        else:
            covariance = torch.eye(2).double() * scale.trace() / (6 + 20 * d - 2)
        draws = fit.posterior.parameters()  # type: ignore[union-attr]
        found = fit.model.family.dense(draws.factor, 2)[:, 0].view(CHAINS, -1, 2, 2)
        means = draws.means[:, 0].view(CHAINS, -1, 2) - centre
        assert_means(found.mean(1), covariance)
        assert_means(means.mean(1), torch.zeros(2))
        assert_means((means[..., None] * means[..., None, :]).mean(1), covariance / 22)

    def test_chains_of_different_data_sets_do_not_mix(self) -> None:
        x = points(6, 1)
        model = MixtureModel(2, "diag", ConjugatePriors(mean_strength=0.3)).specialise(x)
        generator = torch.Generator().manual_seed(0)
        sets = torch.stack([x, 3 - x]).repeat(CHAINS // 2, 1, 1)
        parameters, draws = draw_prior(model, CHAINS, generator), []
        sampler = gibbs_sampler(model, sets)
        for step in range(250):
            parameters, _ = sampler.sweep(parameters, generator)
            if step >= 100:
                draws.append(density_of(model, parameters, torch.tensor([[0.0], [2.0]]).double()))
        density = torch.stack(draws).mean(0)
        for which, data in enumerate((x, 3 - x)):
            exact = exact_posterior(model, data).log_predictive([[0.0], [2.0]]).exp()
            assert_means(density[which::2], exact)


# ---------------------------------------------------------------------- the options


def drawn(chains: GibbsChains) -> Float[Tensor, "draw chain k d"]:
    return torch.stack([p.means for p in chains.parameters])


class TestOptions:
    x = points(12, 2)
    model = MixtureModel(2, "full", ConjugatePriors())

    def fit(self, **options: Any) -> gp.Fit:
        few = {"n_draws": 40, "n_warmup": 30, "n_chains": 3, "n_starts": 1}
        return gp.fit(self.model, self.x, "gibbs", **{**few, **options})

    def means(self, **options: Any) -> Tensor:
        return self.fit(**options).posterior.draws["means"]  # type: ignore[union-attr]

    @pytest.fixture(autouse=True)
    def _few_draws_may_not_agree(self) -> Any:
        import warnings

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "gibbs drew chains that disagree", FitWarning)
            yield

    def test_the_same_seed_is_the_same_sample(self) -> None:
        assert torch.equal(self.means(seed=3), self.means(seed=3))
        assert not torch.equal(self.means(seed=3), self.means(seed=4))

    def test_thinning_keeps_every_third_draw(self) -> None:
        whole = sample(self.model, self.x, n_draws=28, n_warmup=5)
        third = sample(self.model, self.x, n_draws=10, n_warmup=5, thin=3)
        assert torch.equal(drawn(third), drawn(whole)[::3])

    def test_warmup_is_forgotten(self) -> None:
        whole = sample(self.model, self.x, n_draws=12, n_warmup=0)
        later = sample(self.model, self.x, n_draws=5, n_warmup=7)
        assert torch.equal(drawn(later), drawn(whole)[7:])

    def test_shapes_are_chains_by_draws(self) -> None:
        posterior = self.fit().posterior
        assert posterior.draws["means"].shape == (3, 40, 2, 2)  # type: ignore[union-attr]
        assert posterior.draws["precisions"].shape == (3, 40, 2, 2, 2)  # type: ignore[union-attr]
        assert posterior.statistics["log_likelihood"].shape == (3, 40)  # type: ignore[union-attr]

    def test_chains_differ_from_common_and_from_own_starts(self) -> None:
        for n_starts in (1, 4):
            means = self.means(n_starts=n_starts, n_warmup=0)
            assert (means[0] != means[1]).any()

    def test_the_likelihood_of_a_draw_is_its_own(self) -> None:
        posterior = self.fit().posterior
        assert posterior is not None
        p = posterior.parameters()
        each = torch.stack([density_of(self.model, p, point[None])[:, 0] for point in self.x])
        found = posterior.statistics["log_likelihood"].flatten()
        torch.testing.assert_close(found, each.log().sum(0))

    def test_allocations_are_kept_evenly_spaced(self) -> None:
        assert self.fit().posterior.allocations is None  # type: ignore[union-attr]
        posterior = self.fit(keep_allocations=5).posterior
        assert posterior.kept.tolist() == [0, 8, 16, 24, 32]  # type: ignore[union-attr]
        assert posterior.allocations.shape == (3, 5, 12)  # type: ignore[union-attr]

    def test_allocations_belong_to_their_draw(self) -> None:
        """Far apart, a point's component is the one whose mean is nearest, whatever its label."""
        x = points(12, 1) + 100 * (torch.arange(12) % 2)[:, None]
        chains = sample(self.model, x, n_draws=30, n_warmup=200)
        labels = torch.stack(chains.allocations, 1)
        means = drawn(chains).transpose(0, 1)[..., 0]
        apart = (means[..., 0] - means[..., 1]).abs() > 50
        nearest = (x[:, 0, None] - means[..., None, :]).abs().argmin(-1)
        assert apart.double().mean() > 0.5
        assert torch.equal(labels[apart], nearest[apart])

    def test_exchange_visits_all_labellings_and_none_without(self) -> None:
        x = points(12, 1) + 100 * (torch.arange(12) % 2)[:, None]
        model = self.model.specialise(x)
        for exchange in (True, False):
            generator = torch.Generator().manual_seed(0)
            p = Parameters(
                torch.tensor([[0.5, 0.5]]).double().log(),
                torch.tensor([[[0.0], [102.0]]]).double(),
                torch.ones(1, 2, 1, 1).double(),
            )
            sampler = gibbs_sampler(model, x[None], exchange=exchange)
            first = []
            for _ in range(50):
                p, _ = sampler.sweep(p, generator)
                first.append(bool(p.means[0, 0, 0] < p.means[0, 1, 0]))
            assert (0 < sum(first) < 50) if exchange else all(first)

    @pytest.mark.parametrize("sweeps", [0, 33, 45])
    def test_an_interrupt_returns_what_there_is(
        self, sweeps: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, left, step = self.means(), [sweeps - 15], Step.__call__

        def stops(self: Step, *arguments: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return step(self, *arguments)

        monkeypatch.setattr(Step, "__call__", stops)
        with pytest.warns(FitWarning, match="interrupted"):
            fit = self.fit()
        assert fit.status is Status.INTERRUPTED
        means = fit.posterior.draws["means"]  # type: ignore[union-attr]
        assert means.shape[1] == max(1, sweeps - 30)
        if sweeps > 30:
            found, before = means.sort(2).values, whole[:, : sweeps - 30].sort(2).values
            assert torch.equal(found, before)

    def test_nothing_global_is_changed(self) -> None:
        state = torch.get_rng_state()
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        self.fit()
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == threads
        assert torch.get_default_dtype() is dtype

    def test_refuses_a_prior_that_is_not_conjugate(self) -> None:
        with pytest.raises(ValueError, match="gibbs needs a conjugate prior.* got Priors"):
            gp.fit(MixtureModel(2, priors=gp.Priors()), self.x, "gibbs")

    def test_refuses_weights_of_points(self) -> None:
        with pytest.raises(ValueError, match="gibbs takes no sample_weight"):
            self.fit(sample_weight=torch.ones(12))

    @pytest.mark.parametrize("option", ["n_chains", "n_draws", "thin"])
    def test_refuses_counts_of_nothing(self, option: str) -> None:
        with pytest.raises(ValueError, match=f"{option} must be an integer of at least 1"):
            self.fit(**{option: 0})
