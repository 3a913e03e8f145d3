"""Projected measurements, held to dense normal densities and to what is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

import gmm_pyro as gp
from gmm_pyro.covariance import CovarianceFamily, Parameters
from gmm_pyro.data.observations import observe
from gmm_pyro.posterior.convergence import ess_mean
from gmm_pyro.reduction.sums import log_likelihood, reduce
from gmm_pyro.reduction.theta import Theta, theta_of
from oracles import STANDARD_ERRORS, close, every_class, normal, numbers
from runs import brief, quietly

N, M, D, K = 40, 2, 3, 2
R = normal(N, M, D, seed=6)
NOISE = 0.3
TRUTH = gp.GaussianMixture(
    [0.6, 0.4],
    [[0.0, 0.0, 0.0], [4.0, 1.0, -2.0]],
    [
        [[1.0, 0.2, 0.2], [0.2, 0.7, 0.2], [0.2, 0.2, 1.0]],
        [[0.5, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.6]],
    ],
)


def seen(mixture: gp.GaussianMixture, n: int = N, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Measurements of n points, and their projections."""
    projection = normal(n, M, D, seed=seed + 7)
    points = mixture.sample(n, seed=seed)
    x = (projection @ points[..., None])[..., 0] + NOISE * normal(n, M, seed=seed + 8)
    return x, projection


def mixture_of(family: CovarianceFamily) -> gp.GaussianMixture:
    root = 0.3 * normal(K, D, D, seed=4) + torch.eye(D, dtype=torch.float64)
    compact = family.pooled(family.compress(root @ root.mT)[None])
    factor = family.fit(compact, torch.zeros(D, dtype=torch.float64))
    means = normal(1, K, D, seed=3)
    weights = normal(1, K, seed=5).log_softmax(1)
    return gp.GaussianMixture.from_parameters(family, Parameters(weights, means, factor))


def joint(mixture: gp.GaussianMixture, x: Tensor, projection: Tensor, noise: float) -> Tensor:
    """log w + log N(x | R μ, R Σ Rᵀ + E) of every component."""
    across = projection[:, None]
    means = (across @ mixture.means[..., None])[..., 0]
    total = across @ mixture.covariance_matrices() @ across.mT
    total = total + noise**2 * torch.eye(x.shape[1], dtype=torch.float64)
    return mixture.weights.log() + MultivariateNormal(means, total).log_prob(x[:, None])


class TestReduction:
    @every_class
    @pytest.mark.parametrize("noise", [NOISE, None])
    def test_densities_are_those_of_measurements(
        self, family: CovarianceFamily, noise: float | None
    ) -> None:
        mixture, x = mixture_of(family), normal(N, M)
        terms = joint(mixture, x, R, noise or 0.0)
        found = mixture.log_prob(x, noise, projection=R)
        close(found, terms.logsumexp(1))
        close(mixture.responsibilities(x, noise, projection=R), terms.softmax(1))
        data = observe(x, noise=noise, projection=R)
        close(log_likelihood(data, family, mixture.parameters)[0], found.sum())

    def test_both_kernels_give_the_same(self) -> None:
        mixture = mixture_of(gp.MixtureModel(K).family)
        data = observe(normal(N, M), noise=NOISE, projection=R)
        plain = theta_of(mixture.family, mixture.parameters, data)
        about = Theta.about_means(mixture.family, mixture.parameters)
        one, other = reduce(data, plain), reduce(data, about)
        close(one.log_norm, other.log_norm)
        close(one.counts, other.counts)
        shift = (other.reference - data.origin) * other.counts[..., None]
        close(one.first, other.first + shift)

    def test_the_e_step_is_the_gradient(self) -> None:
        mixture = mixture_of(gp.MixtureModel(K).family)
        x = normal(N, M)
        p = mixture.parameters
        means = p.means.clone().requires_grad_()
        data = observe(x, noise=NOISE, projection=R)
        value = log_likelihood(data, mixture.family, Parameters(p.log_weights, means, p.factor))
        (found,) = torch.autograd.grad(value.sum(), means)
        free = mixture.means.clone().requires_grad_()
        across = R[:, None]
        total = across @ mixture.covariance_matrices() @ across.mT + NOISE**2 * torch.eye(
            M, dtype=torch.float64
        )
        terms = MultivariateNormal((across @ free[..., None])[..., 0], total)
        dense = (mixture.weights.log() + terms.log_prob(x[:, None])).logsumexp(1).sum()
        (expected,) = torch.autograd.grad(dense, free)
        close(found[0], expected)

    def test_the_features_themselves_are_the_usual_case(self) -> None:
        mixture, x = mixture_of(gp.MixtureModel(K).family), normal(N, D)
        eye = torch.eye(D, dtype=torch.float64)
        close(mixture.log_prob(x, projection=eye), mixture.log_prob(x))
        holes = x.clone()
        holes[:, 1] = math.nan
        dropped = mixture.log_prob(x[:, [0, 2]], projection=eye[[0, 2]])
        close(dropped, mixture.log_prob(holes))

    def test_a_missing_measurement_has_no_row(self) -> None:
        mixture, x = mixture_of(gp.MixtureModel(K).family), normal(N, M)
        holes = x.clone()
        holes[:, 1] = math.nan
        found = mixture.log_prob(holes, NOISE, projection=R)
        close(found, mixture.log_prob(x[:, :1], NOISE, projection=R[:, :1]))

    def test_far_points_have_components(self) -> None:
        mixture = mixture_of(gp.MixtureModel(K).family)
        found = mixture.responsibilities(1e6 * normal(N, M), NOISE, projection=R)
        assert found.isfinite().all()
        close(found.sum(1), torch.ones(N))

    def test_points_are_what_bovy_hogg_and_roweis_say(self) -> None:
        """b = m + V Rᵀ T⁻¹ (x - R m)."""
        x = normal(N, M)
        alone = gp.GaussianMixture([1.0], TRUTH.means[:1], TRUTH.covariances[:1])
        mean, covariance = alone.means[0], alone.covariances[0]
        total = R @ covariance @ R.mT + NOISE**2 * torch.eye(M, dtype=torch.float64)
        away = (x - R @ mean)[..., None]
        expected = mean + (covariance @ R.mT @ torch.linalg.solve(total, away))[..., 0]
        close(alone.impute(x, NOISE, projection=R), expected)
        drawn = alone.impute(x, NOISE, projection=R, n_draws=4000, seed=1)
        rest = covariance - covariance @ R.mT @ torch.linalg.solve(total, R @ covariance)
        error = rest.diagonal(dim1=1, dim2=2).sqrt() / 4000**0.5
        assert ((drawn.mean(0) - expected).abs() < 5 * error).all()


class TestFits:
    def test_the_mixture_behind_is_found(self) -> None:
        x, projection = seen(TRUTH, 600)
        found = gp.fit(gp.MixtureModel(2), x, noise=NOISE, projection=projection, n_starts=2)
        assert found.converged
        assert (found.mixture.means - TRUTH.means).abs().max() < 0.3
        assert (found.mixture.covariances - TRUTH.covariances).abs().max() < 0.4
        assert (found.history.diff() > -1e-9 * found.history.abs().max()).all()

    def test_turned_data_are_turned_back(self) -> None:
        turn = torch.linalg.qr(normal(D, D, seed=9))[0]
        points = TRUTH.sample(300, seed=3)
        one = gp.fit(gp.MixtureModel(2), points)
        other = gp.fit(gp.MixtureModel(2), points @ turn.T, projection=turn)
        close(one.objective, other.objective, 1e-9)
        close(one.mixture.means, other.mixture.means, 1e-4)

    @pytest.mark.parametrize("method", ["gradient", "map", "laplace", "svi", "map:enumerated"])
    def test_other_methods_take_it(self, method: str) -> None:
        turn = torch.linalg.qr(normal(D, D, seed=9))[0]
        points = TRUTH.sample(120, seed=3)
        with quietly():
            found = brief(method, points @ turn.T, projection=turn)
        assert (found.mixture.means - TRUTH.means).abs().max() < 1.0

    def test_gibbs_draws_what_is_behind(self) -> None:
        """Of a single normal: the posterior of its mean is that of the points themselves."""
        points = TRUTH.marginal([0, 1]).sample(80, seed=4)
        turn = numbers([[2.0, 1.0], [0.5, -1.0]])
        model = gp.MixtureModel(1, priors=gp.ConjugatePriors()).specialise(points)
        with quietly():  # of so few draws, whose errors are taken into account
            fits = [
                gp.fit(model, points, "gibbs", n_draws=99),
                gp.fit(model, points @ turn.T, "gibbs", projection=turn, n_draws=99),
            ]
        draws = [fit.posterior.draws["means"].flatten(2) for fit in fits]
        errors = [d.std((0, 1)) / torch.as_tensor(ess_mean(d.numpy())).sqrt() for d in draws]
        off = (draws[0].mean((0, 1)) - draws[1].mean((0, 1))).abs()
        assert (off < STANDARD_ERRORS * (errors[0] ** 2 + errors[1] ** 2).sqrt()).all()
        arviz = fits[1].to_arviz(n_prior_draws=0)
        close(arviz["observed_data"]["x"].values, points @ turn.T)
        assert arviz["posterior_predictive"]["x"].shape[-2:] == (80, 2)

    @pytest.mark.parametrize("weighted", [False, True])
    def test_the_program_and_the_log_density_agree(self, *, weighted: bool) -> None:
        import pyro
        from pyro.infer import Trace_ELBO, TraceEnum_ELBO

        x, projection = seen(TRUTH)
        known = {"noise": NOISE, "projection": projection}
        if weighted:
            known["sample_weight"] = (1 + torch.arange(N) % 3).double()
        data = observe(x, **known)
        model = gp.MixtureModel(2).specialise(data)
        density = model.log_density(data)
        vector = 0.3 * normal(1, density.dimension)
        values = {name: value[0] for name, value in density.constrain(vector).items()}
        elbo = Trace_ELBO() if weighted else TraceEnum_ELBO(max_plate_nesting=1)
        loss = elbo.loss(pyro.condition(model, values), lambda *_, **__: None, x, **known)
        close(-loss, density(vector, jacobian=False)[0])

    def test_compare_tells_all_methods(self) -> None:
        x, projection = seen(TRUTH, 200)
        data = gp.Dataset(x, None, TRUTH.marginal([0, 1]), "shadows", ("u", "v"))
        known = {"noise": NOISE, "projection": projection}
        found = gp.compare(gp.MixtureModel(2), data, ["em", "kmeans"], test_size=0.2, **known)
        fit = found.fits["em"]
        assert fit.mixture.means.shape == (2, D)
        assert found.dataset.x.shape == (160, D)
        assert found.dataset.truth is None
        assert (fit.observations.measurements[:, None] == x).all(2).any(1).all()
        assert np.isfinite(found.table.loc["em", "held_out_log_density"])
        assert found.table.loc["kmeans", "status"].startswith("failed: ValueError")


class TestInput:
    @pytest.mark.parametrize(
        ("projection", "message"),
        [
            (np.ones((3, 3)), r"must have shape \(40, 2, d\), or \(2, d\) for all points alike"),
            (np.ones((39, 2, 3)), r"got \(39, 2, 3\)"),
            (np.full((2, 3), math.nan), "projection must be finite"),
            ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "a direction that no measurement depends on"),
            (["a", "b"], "projection must hold real numbers"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, projection: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            gp.fit(gp.MixtureModel(2), normal(N, M), projection=projection)

    def test_a_mixture_has_its_own_number_of_features(self) -> None:
        with pytest.raises(ValueError, match="projection must be of 3 features"):
            TRUTH.log_prob(normal(N, M), projection=normal(N, M, 4))

    def test_data_without_it_are_the_features(self) -> None:
        with pytest.raises(ValueError, match="must have 3 features, got 2"):
            TRUTH.log_prob(normal(N, M))

    def test_other_types_and_parts_keep_it(self) -> None:
        x, projection = seen(TRUTH)
        data = observe(x, noise=NOISE, projection=projection)
        single = observe(data, dtype="float32")
        assert single.measurements.dtype is torch.float32
        close(TRUTH.log_prob(single), TRUTH.log_prob(x, NOISE, projection=projection), 1e-4)
        part = data.subset(torch.arange(5, 15))
        close(TRUTH.log_prob(part), TRUTH.log_prob(data)[5:15])
