"""Claims about jumps of the no-U-turn sampler: exact under any prior, between any modes."""

from __future__ import annotations

import math
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel, Priors
from gmm_pyro.calibration import exact_posterior
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.chains.exchange import Exchange
from gmm_pyro.inference.weighing.nearest import Nearest
from gmm_pyro.model.numbering import permuted_values
from gmm_pyro.posterior.convergence import ess_mean
from oracles import STANDARD_ERRORS, normal
from runs import quietly
from sums import points, quadrature_sum

SIX_POINTS = torch.tensor([[-2.1], [-1.9], [-0.4], [0.3], [1.8], [2.2]]).double()
BRIEF: dict[str, Any] = {
    "n_chains": 8,
    "n_draws": 120,
    "n_warmup": 60,
    "max_tree_depth": 3,
    "max_doublings": 0,
}


def drawn(model: MixtureModel, x: Tensor, seed: int, **options: Any) -> gp.Fit:
    """Chains that jump."""
    with quietly():
        return gp.fit(model, x, "nuts", seed=seed, jumps="always", **{**BRIEF, **options})


def error_of(values: Tensor) -> Tensor:
    """Standard errors of means over chains and draws (c, t, q)."""
    return values.flatten(0, 1).std(0) / torch.from_numpy(ess_mean(values.numpy())).sqrt()


def together(fit: gp.Fit) -> Tensor:
    """The probabilities that two points belong together, of every draw: (c, t, n, n)."""
    assert fit.posterior is not None
    draws = fit.posterior.draws
    sites = {name: value.flatten(0, 1) for name, value in draws.items()}
    p = fit.model.family.parameters(sites)
    mixtures = (
        gp.GaussianMixture.from_parameters(fit.model.family, p[[i]])
        for i in range(len(sites["weights"]))
    )
    r = torch.stack([mixture.responsibilities(fit.observations.x) for mixture in mixtures])
    return (r @ r.mT).unflatten(0, draws["weights"].shape[:2])


@pytest.mark.parametrize("family", ["full", "tied"])
def test_chains_that_jump_have_the_exact_posterior(family: str) -> None:
    """Against a sum over all partitions."""
    priors = ConjugatePriors(mean=0.3, mean_strength=0.2, scale=1.5, spread=torch.ones(1))
    model = MixtureModel(2, family, priors)
    fit, exact = drawn(model, SIX_POINTS, seed=1), exact_posterior(model, SIX_POINTS)
    assert 0.05 < fit.diagnostics["jumps"] <= 1
    shares = together(fit)
    error = error_of(shares.flatten(2)).view(6, 6)
    away = (shares.mean((0, 1)) - exact.co_clustering).abs()
    pairs = torch.triu_indices(6, 6, 1).unbind()
    assert (away < STANDARD_ERRORS * error)[pairs].all()
    margin = STANDARD_ERRORS * fit.evidence.log_evidence_se
    assert abs(fit.log_evidence - exact.log_evidence) < margin


@pytest.mark.parametrize(("k", "d"), [(2, 2), (3, 1)])
def test_so_they_have_under_a_prior_that_names_the_components(k: int, d: int) -> None:
    """Sums over assignments of evidences by quadrature; weights by those of one more point.

    E[w₁] under Dirichlet(α) is α₁ / Σα times the evidence under α + (1, 0, …) over that under α.
    """
    x = points(9 - k, d, k, 2.0, seed=k + d)
    means, log_scale = normal(k, d, seed=5).numpy(), 0.5 * normal(k, d, seed=6).numpy()
    alpha = [2.0, 1.0, 3.0][:k]
    priors = Priors(
        weights=dist.Dirichlet(torch.tensor(alpha).double()),
        means=dist.Normal(torch.from_numpy(means), 2.0),
        scales=dist.LogNormal(torch.from_numpy(log_scale), 0.8),
    )
    known = quadrature_sum(x, alpha, means, 2.0, log_scale, 0.8)
    more = quadrature_sum(x, [alpha[0] + 1, *alpha[1:]], means, 2.0, log_scale, 0.8)
    fit = drawn(MixtureModel(k, "diag", priors), x, seed=k)
    assert fit.diagnostics["jumps"] > 0.05
    margin = STANDARD_ERRORS * fit.evidence.log_evidence_se
    assert abs(fit.log_evidence - known) < margin < 0.5
    assert fit.posterior is not None
    weight = fit.posterior.draws["weights"][..., :1]
    expected = alpha[0] / sum(alpha) * math.exp(more - known)
    assert abs(float(weight.mean()) - expected) < STANDARD_ERRORS * float(error_of(weight))


def four_corners(n: int) -> Tensor:
    """Points about the corners of a square, the same if both features are exchanged."""
    noise = 0.6 * normal(n, 2, seed=3).double()
    corners = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]).double()
    half = corners[torch.arange(n) % 4] * 2 + noise
    return torch.cat([half, half.flip(1)])


def test_modes_that_are_each_other_s_mirror_have_half_each() -> None:
    """Two components divide four clusters by one feature or by the other; no prior is conjugate."""
    x = four_corners(16)
    with quietly():  # so few draws may be called too few
        short = {**BRIEF, "n_chains": 16, "n_draws": 80, "n_warmup": 40}
        fit = gp.fit(MixtureModel(2, "diag"), x, "nuts", **short)
    assert fit.posterior is not None
    means = fit.posterior.draws["means"]
    apart = (means[..., 0, :] - means[..., 1, :]).abs()
    by_first = (apart[..., 0] > apart[..., 1]).double()
    error = float(error_of(by_first[..., None]))
    assert error < 0.05
    assert abs(float(by_first.mean()) - 0.5) < STANDARD_ERRORS * error
    assert (by_first.diff(dim=1).abs().sum(1) > 3).all()  # every chain goes to and fro


def test_chains_that_are_told_not_to_jump_do_not() -> None:
    with quietly():
        short = {**BRIEF, "n_draws": 20, "n_warmup": 20}
        fit = gp.fit(MixtureModel(2, "diag"), four_corners(8), "nuts", jumps="never", **short)
    assert "jumps" not in fit.diagnostics
    assert math.isfinite(fit.log_evidence)


# ---------------------------------------------------------------------- numberings


def test_every_mixture_is_numbered_once_as_is_nearest() -> None:
    density = MixtureModel(3).specialise(normal(20, 2)).log_density(observe(normal(20, 2)))
    one = normal(1, density.dimension, seed=1).double()
    nearest = Nearest.to(density, one[0])
    assert nearest.holds(one).all()
    values = density.constrain(one)
    orders = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 1, 0]])
    rows = {name: value.expand(3, *value.shape[1:]) for name, value in values.items()}
    vectors = density.unconstrain(permuted_values(density.model.family, rows, orders))
    assert nearest.holds(vectors).tolist() == [True, False, False]
    torch.testing.assert_close(nearest.numbered_vectors(vectors), one.expand_as(vectors))


def test_orders_are_drawn_by_what_the_prior_holds_of_them() -> None:
    priors = Priors(means=dist.Normal(torch.tensor([[0.0], [1.5]]).double(), 1.0))
    density = (
        MixtureModel(2, priors=priors).specialise(normal(9, 1)).log_density(observe(normal(9, 1)))
    )
    vector = normal(1, density.dimension, seed=2).double()
    exchange, count = Exchange.of(density), 4000
    orders = exchange.drawn(vector.expand(count, -1), torch.Generator().manual_seed(0))
    here, there = exchange(vector.expand(2, -1), torch.tensor([[0, 1], [1, 0]]))
    share = float(torch.sigmoid(here - there))
    assert 0.01 < share < 0.99
    deviation = math.sqrt(share * (1 - share) / count)
    assert abs(float((orders[:, 0] == 0).double().mean()) - share) < STANDARD_ERRORS * deviation
