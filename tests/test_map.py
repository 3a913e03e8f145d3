"""The mode of the posterior: both engines, Pyro's log joint, and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import TraceEnum_ELBO
from scipy import stats
from scipy.optimize import minimize
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import MixtureModel, Priors
from gmm_pyro.model.log_density import LogDensity
from oracles import clusters, every_family, normal

FLAT_MEANS = dist.Uniform(-1e3, 1e3)
FLAT_SCALES = dist.Uniform(1e-3, 1e3)
PRECISION = 1e-4  # of a mode found to 1e-10 nats a point: the root of twice that, and some room
pytestmark = pytest.mark.usefixtures("pyro_of_its_own")


def fit(
    x: Tensor, family: str = "full", k: int = 2, priors: Priors | None = None, **options: Any
) -> gp.Fit:
    return gp.fit(MixtureModel(k, family, priors), x, method="map", **options)


def at_the_mode(found: gp.Fit) -> tuple[LogDensity, dict[str, Tensor], Tensor]:
    """The log density of a fit's model, and the mode as site values and as a vector."""
    density = found.model.log_density(found.observations)
    values = density.values(found.mixture.parameters)
    return density, values, density.unconstrain(values)


def gradients(density: LogDensity, vectors: Tensor) -> Tensor:
    vectors = vectors.detach().requires_grad_()
    return torch.autograd.grad(density(vectors, jacobian=False).sum(), vectors)[0]


# ---------------------------------------------------------------------- both engines


@pytest.mark.parametrize("family", ["tied", "tied_spherical"])  # "full" with weights below
def test_engines_reach_the_same_objective(family: str) -> None:
    x = clusters().x
    collapsed = fit(x, family)
    enumerated = fit(x, family, engine="enumerated")
    assert collapsed.converged
    assert enumerated.converged
    assert enumerated.objective == pytest.approx(collapsed.objective, abs=1e-4)


@every_family
@pytest.mark.parametrize("d", [1, 2, 3])
class TestMode:
    def test_objective_is_pyro_s_log_joint(self, family: str, d: int) -> None:
        found = fit(clusters(d).x, family)
        _, values, _ = at_the_mode(found)

        def guide(x: Tensor) -> None:
            for name, value in values.items():
                pyro.sample(name, dist.Delta(value[0], event_dim=value.ndim - 1))

        loss = TraceEnum_ELBO(max_plate_nesting=1).loss(found.model, guide, clusters(d).x)
        assert found.objective == pytest.approx(-loss, abs=1e-8)

    def test_there_is_nothing_left_to_gain(self, family: str, d: int) -> None:
        """Newton's next step, from differences of gradients, would gain a millionth of a nat."""
        density, _, mode = at_the_mode(fit(clusters(d).x, family))
        m = density.dimension
        steps = 1e-5 * torch.eye(m, dtype=torch.float64)
        hessian = (gradients(density, mode + steps) - gradients(density, mode - steps)) / 2e-5
        gradient = gradients(density, mode)[0]
        assert torch.linalg.eigvalsh(hessian + hessian.T).max() < 0
        gain = -0.5 * gradient @ torch.linalg.solve(hessian, gradient)
        assert 0 <= gain < 1e-6

    def test_no_other_place_is_higher(self, family: str, d: int) -> None:
        found = fit(clusters(d).x, family)
        density, _, mode = at_the_mode(found)
        width = torch.logspace(-4, 1, 300, dtype=torch.float64)[:, None]
        elsewhere = mode + width * normal(300, density.dimension)
        assert density(elsewhere, jacobian=False).nan_to_num(-torch.inf).max() < found.objective


def test_history_never_falls_and_ends_in_the_objective() -> None:
    found = fit(clusters().x)
    assert (found.history.diff() >= 0).all()
    assert found.history[-1] == found.objective
    assert found.steps == len(found.history) - 1


def test_model_keeps_its_concrete_priors() -> None:
    x = clusters().x
    found = fit(x)
    assert found.model.priors.location.tolist() == pytest.approx(x.mean(0).tolist())
    assert found.posterior is None


# ---------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("family", ["full", "diag", "spherical"])
def test_flat_priors_give_the_sample_s_moments(family: str) -> None:
    x = 3 + normal(40, 2) @ normal(2, 2, seed=1)
    priors = Priors(means=FLAT_MEANS, scales=FLAT_SCALES)
    if family == "full":  # flat over the correlation of two features
        priors = Priors(
            means=FLAT_MEANS, scales=FLAT_SCALES, correlations=dist.LKJCholesky(2, torch.ones(()))
        )
    found = fit(x, family, k=1, priors=priors)
    covariance = np.cov(x.numpy().T, bias=True)
    expected = {
        "full": covariance,
        "diag": covariance * np.eye(2),
        "spherical": np.trace(covariance) / 2 * np.eye(2),
    }[family]
    np.testing.assert_allclose(found.mixture.means[0], x.mean(0), rtol=PRECISION)
    np.testing.assert_allclose(found.mixture.covariance_matrices()[0], expected, atol=PRECISION)


def test_a_pareto_prior_of_the_scale_counts_as_points() -> None:
    """p(σ) ∝ σ^-(α + 1) joins σ^-n of the likelihood: σ² = Σ (x - mean)² / (n + α + 1)."""
    x, alpha = normal(30, 1), 7.0
    priors = Priors(means=FLAT_MEANS, scales=dist.Pareto(1e-3, alpha))
    found = fit(x, k=1, priors=priors)
    expected = float((x - x.mean()).square().sum()) / (30 + alpha + 1)
    assert float(found.mixture.covariances[0, 0, 0]) == pytest.approx(expected, rel=PRECISION)


def test_a_normal_prior_of_the_mean_is_weighed_by_precision() -> None:
    """Given the scale at the mode, μ = Σx / (n + σ² / τ²)."""
    x, tau = 4 + normal(20, 1), 0.5
    priors = Priors(means=dist.Normal(0.0, tau), scales=FLAT_SCALES)
    found = fit(x, k=1, priors=priors)
    expected = float(x.sum()) / (20 + float(found.mixture.covariances) / tau**2)
    assert float(found.mixture.means) == pytest.approx(expected, rel=PRECISION)
    assert expected < 0.9 * float(x.mean())  # the prior is felt


def test_a_dirichlet_prior_of_the_weights_counts_as_points() -> None:
    data = clusters(n=90, k=3, separation=60)
    concentration = torch.tensor([2.0, 9.0, 4.0])
    start = gp.fit(MixtureModel(3), data.x, start=data.labels).mixture
    found = fit(data.x, k=3, priors=Priors(weights=dist.Dirichlet(concentration)), start=start)
    counts = torch.bincount(data.labels) + concentration - 1
    torch.testing.assert_close(
        found.mixture.weights, (counts / counts.sum()).double(), rtol=PRECISION, atol=0
    )


def test_one_dimension_with_priors_in_float32() -> None:
    """Against the same posterior written down with SciPy, climbed from the truth."""
    x = gp.datasets.bimodal().x[::10, 0].numpy()
    priors = Priors(
        means=dist.Normal(0.0, 2.0),
        scales=dist.HalfNormal(2.0),
        weights=dist.Dirichlet(torch.tensor([5.0, 5.0])),
    )

    def log_joint(v: np.ndarray) -> float:
        w, means, scales = 1 / (1 + np.exp(-v[0])), v[1:3], np.exp(v[3:])
        density = w * stats.norm(means[0], scales[0]).pdf(x)
        density += (1 - w) * stats.norm(means[1], scales[1]).pdf(x)
        prior = stats.norm(0, 2).logpdf(means).sum() + stats.halfnorm(scale=2).logpdf(scales).sum()
        return float(np.log(density).sum() + prior + stats.dirichlet([5, 5]).logpdf([w, 1 - w]))

    theirs = minimize(
        lambda v: -log_joint(v),
        [0.0, -2.0, 2.0, np.log(0.5), np.log(0.5)],
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 5000},
    )
    for engine in ("collapsed", "enumerated"):
        ours = fit(torch.from_numpy(x), priors=priors, engine=engine)
        assert ours.mixture.means.dtype == torch.float64
        assert ours.objective == pytest.approx(-theirs.fun, abs=1e-5)
        means = np.sort(ours.mixture.means[:, 0])
        np.testing.assert_allclose(means, np.sort(theirs.x[1:3]), atol=1e-3)


# ---------------------------------------------------------------------- data and priors


def test_whole_weights_are_repeated_rows() -> None:
    data = clusters()
    weight = 1 + torch.arange(data.n) % 3
    priors = MixtureModel(2).specialise(data.x).priors
    weighted = fit(data.x, priors=priors, sample_weight=weight)
    repeated = fit(data.x.repeat_interleave(weight, 0), priors=priors)
    assert weighted.objective == pytest.approx(repeated.objective, abs=1e-6)
    again = weighted.mixture.log_prob(data.x)
    torch.testing.assert_close(again, repeated.mixture.log_prob(data.x), rtol=0, atol=1e-3)


def test_sample_weights_serve_both_engines() -> None:
    data = clusters()
    weight = 1 + torch.arange(data.n) % 3
    collapsed, enumerated = (
        fit(data.x, sample_weight=weight, engine=engine) for engine in ("collapsed", "enumerated")
    )
    assert enumerated.objective == pytest.approx(collapsed.objective, abs=1e-4)


@pytest.mark.parametrize("engine", ["collapsed", "enumerated"])
def test_a_prior_that_excludes_the_em_solution_is_respected(engine: str) -> None:
    priors = Priors(scales=dist.Uniform(2.0, 4.0))
    found = fit(clusters().x, "diag", priors=priors, engine=engine)
    scales = found.mixture.covariances.sqrt()
    assert ((scales >= 2) & (scales <= 4)).all()
    assert np.isfinite(found.objective)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="engine must be one of collapsed, enumerated; got 'jax'"):
        fit(clusters().x, engine="jax")


@pytest.mark.parametrize("family", ["full", "tied_diag"])
def test_large_models_reach_the_same_mode_without_a_matrix(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = clusters(n=200, k=3, separation=2).x
    with_curvature = gp.fit(MixtureModel(3, family), x, method="map")
    monkeypatch.setattr("gmm_pyro.inference.climb.optimise.LARGEST", 1)
    without = gp.fit(MixtureModel(3, family), x, method="map")
    assert with_curvature.converged
    assert without.converged
    assert without.objective == pytest.approx(with_curvature.objective, abs=1e-6)
    assert with_curvature.steps < without.steps
