"""Measurement noise: extreme deconvolution, held to dense densities and to clean data."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

import gmm_pyro as gp
from gmm_pyro.covariance import CovarianceFamily, Parameters
from gmm_pyro.data.noise import as_noise
from gmm_pyro.data.observations import observe
from gmm_pyro.reduction import pointwise
from gmm_pyro.reduction.sums import log_likelihood
from gmm_pyro.reduction.theta import Theta, theta_of
from oracles import close, every_class, normal, numbers, tensors_of
from runs import quietly

NAN = math.nan
N, D, K = 60, 3, 2
TRUTH = gp.GaussianMixture(
    [0.4, 0.6], [[0.0, 0.0], [4.0, 2.0]], [[[1.0, 0.6], [0.6, 1.0]], [[0.5, -0.2], [-0.2, 1.5]]]
)


def covariances(n: int, d: int = D, seed: int = 9) -> Tensor:
    """Noise of n points."""
    root = 0.4 * normal(n, d, d, seed=seed)
    return root @ root.mT + 0.05 * torch.eye(d, dtype=torch.float64)


def sets(family: CovarianceFamily, s: int = 2) -> Parameters:
    root = 0.4 * normal(s, K, D, D, seed=4) + torch.eye(D, dtype=torch.float64)
    compact = family.pooled(family.compress(root @ root.mT))
    factor = family.fit(compact, torch.zeros(D, dtype=torch.float64))
    return Parameters(normal(s, K, seed=5).log_softmax(1), normal(s, K, D, seed=3), factor)


def dense_log_density(family: CovarianceFamily, p: Parameters, x: Tensor, noise: Tensor) -> Tensor:
    """Of every set at every measurement, shape (s, n)."""
    covariance = family.dense(p.factor, D).expand(*p.means.shape[:2], D, D)
    rows = []
    for row, own in zip(x, noise, strict=True):
        there = (~row.isnan()).nonzero()[:, 0]
        total = (covariance + own)[..., there, :][..., there]
        each = MultivariateNormal(p.means[..., there], total).log_prob(row[there])
        rows.append((p.log_weights + each).logsumexp(1))
    return torch.stack(rows, 1)


@pytest.fixture(scope="module")
def x() -> Tensor:
    points = 2 * normal(N, D)
    points[::5, 1] = NAN
    return points


class TestReduction:
    @every_class
    @pytest.mark.parametrize("shared", [False, True], ids=["of each", "of all"])
    def test_densities_and_gradients_are_dense_ones(
        self, family: CovarianceFamily, x: Tensor, *, shared: bool
    ) -> None:
        noise = covariances(1 if shared else N)
        data, p = observe(x, noise=noise[0] if shared else noise), sets(family)
        leaves = [value.clone().requires_grad_() for value in tensors_of(p)]
        here = Parameters(*leaves)
        dense = dense_log_density(family, here, x, noise.expand(N, -1, -1))
        for theta in (theta_of(family, p, data), Theta.about_means(family, p)):
            close(pointwise.log_density(data, theta), dense.detach())
        ours = torch.autograd.grad(log_likelihood(data, family, here).sum(), leaves)
        theirs = torch.autograd.grad(dense.sum(), leaves)
        for one, other in zip(ours, theirs, strict=True):
            triangular = family.is_matrix and one.ndim == 4  # the other half of L has no meaning
            close(*(part.tril() if triangular else part for part in (one, other)))

    def test_rows_of_the_same_noise_are_of_one_kind(self, x: Tensor) -> None:
        noise = covariances(3)[torch.arange(N) % 3]
        measured = observe(x, noise=noise).measured
        assert measured is not None
        assert measured.noise is not None
        assert len(measured.observed) == 6
        there = (~x.isnan()).double()
        close(measured.noise[measured.kind], noise * there[:, None] * there[..., None])

    def test_no_noise_is_as_if_there_was_none(self, x: Tensor) -> None:
        family = gp.MixtureModel(K).family
        p, data = sets(family), observe(x)
        silent = observe(x, noise=torch.zeros(N, D))
        close(*(pointwise.log_density(o, theta_of(family, p, data)) for o in (silent, data)))


class TestMixture:
    def test_densities_are_those_of_measurements(self) -> None:
        noise = [[0.3, 0.2], [0.0, 1.0]]
        points = [[1.0, 0.5], [3.0, 2.0]]
        for i in range(2):
            wide = gp.GaussianMixture(
                TRUTH.weights, TRUTH.means, TRUTH.covariances + numbers(noise[i]).square().diag()
            )
            close(TRUTH.log_prob(points, noise=noise)[i], wide.log_prob(points)[i])
            close(TRUTH.responsibilities(points, noise=noise)[i], wide.responsibilities(points)[i])
        assert TRUTH.predict(points, noise=noise).tolist() == [0, 1]

    def test_a_point_is_drawn_towards_the_mixture(self) -> None:
        one = gp.GaussianMixture([1.0], [[0.0]], [[[1.0]]])
        close(one.impute([2.0], noise=1.0), [[1.0]])
        draws = one.impute([2.0], noise=1.0, n_draws=4000, seed=1).flatten()
        assert abs(float(draws.mean()) - 1.0) < 4 * math.sqrt(0.5 / 4000)
        assert abs(float(draws.var()) - 0.5) < 4 * 0.5 * math.sqrt(2 / 4000)

    def test_columns_take_their_noise_along(self) -> None:
        named = gp.GaussianMixture(
            TRUTH.weights, TRUTH.means, TRUTH.covariances, "full", ["a", "b"]
        )
        frame = pd.DataFrame({"b": [0.5, 2.0], "a": [1.0, 3.0]})
        wanted = named.log_prob(frame[["a", "b"]], noise=[0.9, 0.1])
        close(named.log_prob(frame, noise=[0.1, 0.9]), wanted)
        close(named.log_prob(observe(frame, noise=[0.1, 0.9])), wanted)
        deviations = pd.DataFrame({"b": [0.1] * 2, "a": [0.9] * 2})
        close(named.log_prob(frame, noise=deviations), wanted)
        close(named.log_prob(frame[["a", "b"]], noise=deviations), wanted)
        covariance = numbers([[0.01, 0.02], [0.02 + 1e-12, 0.81]])  # as rounded as others are
        three = pd.DataFrame({"b": [0.5, 2.0, 1.0], "a": [1.0, 3.0, 0.0]})
        turned = covariance.flip(0, 1)
        wanted_of_three = named.log_prob(three[["a", "b"]], noise=turned)
        close(named.log_prob(three, noise=covariance), wanted_of_three)
        beside = frame.assign(word="x")
        close(named.log_prob(beside, noise=deviations), wanted)

    def test_noise_along_one_line_leaves_a_point_on_it(self) -> None:
        line = numbers([[1.0, 0.5], [0.5, 0.25]])
        draws = TRUTH.impute([[1.0, 0.5], [2.0, 2.0], [3.0, 1.0]], noise=line, n_draws=50)
        away = draws - numbers([[1.0, 0.5], [2.0, 2.0], [3.0, 1.0]])
        assert bool((away[..., 0] - 2 * away[..., 1]).abs().max() < 1e-6)
        assert bool(away.abs().max() > 0.1)

    def test_next_to_no_noise_leaves_points_where_they_are(self) -> None:
        points = TRUTH.sample(20, seed=1)
        draws = TRUTH.impute(points, noise=1e-8, n_draws=3)
        assert bool((draws - points).abs().max() < 1e-6)

    def test_conditionals_and_criteria_know_it(self) -> None:
        data = observe(TRUTH.sample(30, seed=1), noise=0.8)
        noisy = TRUTH.conditionals(data, [1]).means
        assert not noisy.allclose(TRUTH.conditionals(data.x, [1]).means)
        assert TRUTH.bic(data) == TRUTH.bic(data.x, noise=0.8) != TRUTH.bic(data.x)


class TestFit:
    def test_the_clean_density_is_recovered(self) -> None:
        """Against EM on points without noise, as many: within .01 nats a point."""
        clean, held_out = TRUTH.sample(20_000, seed=1), TRUTH.sample(20_000, seed=2)
        most = 0.5 * math.sqrt(0.45)  # half of the smallest deviation of a cluster
        kinds = most * torch.special.ndtr(normal(20, 2, seed=3))
        deviations = kinds[torch.arange(20_000) % 20]
        noisy = clean + deviations * normal(20_000, 2, seed=4)
        scores = {}
        for name, x, noise in (
            ("clean", clean, None),
            ("deconvolved", noisy, deviations),
            ("noisy", noisy, None),
        ):
            fit = gp.fit(gp.MixtureModel(2), x, noise=noise, n_starts=2)
            assert fit.converged
            scores[name] = float(fit.mixture.log_prob(held_out).mean())
        assert scores["deconvolved"] > scores["clean"] - 0.01
        assert scores["noisy"] < scores["deconvolved"]

    @pytest.mark.parametrize("method", ["map", "gibbs"])
    def test_posteriors_are_free_of_noise(self, method: str) -> None:
        n = 100 if method == "gibbs" else 300
        noisy = TRUTH.sample(n, seed=1) + 0.8 * normal(n, 2, seed=4)
        model = gp.MixtureModel(2, priors=gp.ConjugatePriors())
        few = {"n_draws": 99, "n_warmup": 50, "max_doublings": 0} if method == "gibbs" else {}
        with quietly():  # chains of so few draws may say so
            fits = [gp.fit(model, noisy, method, noise=noise, **few) for noise in (0.8, None)]
        widths = [fit.mixture.covariance_matrices().diagonal(dim1=1, dim2=2) for fit in fits]
        excess = widths[1].mean(0) - widths[0].mean(0)
        assert bool(((excess > 0.3) & (excess < 1.0)).all())  # .64, but for the prior

    def test_predictions_of_measurements_have_their_noise(self) -> None:
        noisy = TRUTH.sample(200, seed=1) + 2.0 * normal(200, 2, seed=4)
        fit = gp.fit(gp.MixtureModel(1), noisy, "laplace", noise=2.0, n_draws=200)
        predicted = fit.to_arviz()["posterior_predictive"]["x"].to_numpy().reshape(-1, 2)
        assert np.abs(predicted.std(0) / noisy.numpy().std(0) - 1).max() < 0.1

    def test_compare_tells_all_methods_and_scores_measurements(self) -> None:
        clean = TRUTH.sample(120, seed=1)
        noise = 0.2 + 0.2 * normal(120, 2, seed=3).abs()
        measured = clean + noise * normal(120, 2, seed=4)
        model = gp.MixtureModel(2)
        found = gp.compare(model, measured, ["em", "map", "kmeans"], noise=noise, test_size=0.25)
        rows = [measured.tolist().index(row) for row in found.dataset.x.tolist()]
        alone = gp.fit(model, measured[rows], noise=noise[rows])
        assert found.fits["em"].mixture.means.equal(alone.mixture.means)
        close(found.table.loc["em", "bic"], alone.mixture.bic(measured[rows], noise=noise[rows]))
        others = [row for row in range(120) if row not in rows]
        density = found.fits["map"].mixture.log_prob(measured[others], noise=noise[others])
        close(found.table.loc["map", "held_out_log_density"], float(density.mean()))
        assert "kmeans" in found.table.loc["kmeans", "status"]
        assert found.request is not None
        assert found.request.told == ("noise",)

    def test_compare_takes_data_that_have_it(self) -> None:
        x = TRUTH.sample(50, seed=1)
        known, told = (
            gp.compare(gp.MixtureModel(2), data, ["em"], **given).table.drop(columns="seconds")
            for data, given in ((observe(x, noise=0.5), {}), (x, {"noise": 0.5}))
        )
        pd.testing.assert_frame_equal(known, told)

    def test_noise_goes_with_the_columns_of_a_data_set(self) -> None:
        """The features of the model are in another order; what is drawn from the truth is exact."""
        x = TRUTH.sample(80, seed=1)
        data = gp.Dataset(x, None, TRUTH, "mine", ("a", "b"))
        turned = pd.DataFrame(x[:, [1, 0]].numpy(), columns=["b", "a"])
        model = gp.MixtureModel(2, priors=gp.Priors.weakly_informative(turned))
        found = gp.compare(model, data, ["em"], noise=[0.1, 0.5])
        mixture = found.fits["em"].mixture
        assert mixture.feature_names == ("b", "a")
        close(mixture.means, gp.fit(model, turned, noise=[0.5, 0.1]).mixture.means)
        assert found.held_out is not None
        density = mixture.log_prob(found.held_out.x).mean()
        close(found.table.loc["em", "held_out_log_density"], float(density))

    def test_the_program_and_the_log_density_agree(self, x: Tensor) -> None:
        import pyro
        from pyro.infer import TraceEnum_ELBO

        noise = covariances(N)
        model = gp.MixtureModel(K).specialise(x)
        density = model.log_density(observe(x, noise=noise))
        vector = 0.3 * normal(1, density.dimension, seed=2)
        values = {name: value[0] for name, value in density.constrain(vector).items()}
        loss = TraceEnum_ELBO(max_plate_nesting=1).loss(
            pyro.condition(model, values), lambda *_, **__: None, x, noise=noise
        )
        close(-loss, float(density(vector, jacobian=False)))

    def test_pyros_own_route_takes_it(self, x: Tensor) -> None:
        model = gp.MixtureModel(K).specialise(x)
        ours, theirs = (
            gp.fit(model, x, method, noise=0.3, missing="integrate", tolerance=1e-5)
            for method in ("map", "map:enumerated")
        )
        assert abs(ours.objective - theirs.objective) < 1e-2


class TestArguments:
    @pytest.mark.parametrize(
        ("noise", "told"),
        [
            ([[1.0]], r"noise must have shape \(3, 2\) or \(3, 2, 2\), or \(2,\) or \(2, 2\)"),
            ([0.1, -0.1], "which are not negative"),
            ([0.1, NAN], r"noise must be finite, got nan at "),
            ([[1.0, 2.0], [2.0, 1.0]], "not so at row 0"),
            ([[1.0, 2.0], [0.0, 1.0]], "not so at row 0"),
            ("much", "noise must"),
        ],
    )
    def test_bad_noise_is_refused(self, noise: object, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            gp.fit(gp.MixtureModel(1), [[0.0, 1.0], [1.0, 3.0], [2.0, 0.0]], noise=noise)

    def test_shapes(self) -> None:
        x = torch.zeros(4, 2)
        one, each = (as_noise(noise, x, "ab") for noise in (0.5, torch.full((4, 2), 0.5)))
        assert one.shape == (1, 2, 2)
        assert each.shape == (4, 2, 2)
        close(each, one.expand(4, -1, -1))
        close(as_noise(one[0], x, "ab"), one)
        close(as_noise(each, x, "ab"), each)
        close(as_noise([0.5] * 4, x[:, :1], "a"), each[:, :1, :1])

    def test_a_square_matrix_that_may_be_either_is_refused(self) -> None:
        square = [[1.0, 0.5], [0.5, 1.0]]
        with pytest.raises(ValueError, match="may be standard deviations of 2 points or a cov"):
            as_noise(square, torch.zeros(2, 2), "ab")
        close(as_noise([square], torch.zeros(2, 2), "ab"), [square])

    def test_what_is_missing_needs_no_noise(self) -> None:
        x = numbers([[0.0, NAN], [1.0, 2.0]])
        found = as_noise([[0.5, NAN], [1.0, 2.0]], x, "ab")
        close(found, numbers([[[0.25, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 4.0]]]))
