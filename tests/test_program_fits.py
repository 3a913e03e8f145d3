"""Fits with a Pyro program as the prior: every method, exact posteriors, and what draws show."""

from __future__ import annotations

import copy
import math
import pickle
from functools import cache, partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray
from pyro import poutine
from pyro.infer import Predictive, TraceEnum_ELBO
from torch import Tensor

import gmm_pyro as gp
import program_priors
from gmm_pyro import MixtureModel, PriorProgram, Priors
from gmm_pyro.data.observations import observe
from gmm_pyro.inference import METHODS
from gmm_pyro.posterior.convergence import ess_mean
from gmm_pyro.posterior.relabelling import permuted
from gmm_pyro.saved_fit import load_fit, save_fit
from oracles import STANDARD_ERRORS, numbers
from program_priors import (
    AXES,
    PROGRAMS,
    RIGID,
    D,
    K,
    X,
    close,
    every_program,
)
from runs import BRIEF, every_method, quietly

pytestmark = pytest.mark.usefixtures("pyro_of_its_own")


# ---------------------------------------------------------------------- methods


def brief(method: str) -> dict[str, Any]:
    return {**BRIEF[method], "n_starts": 2, "search": "starts"}


@every_method
def test_every_method_runs_with_a_prior_program(method: str) -> None:
    if METHODS[method].conjugate:
        return
    with quietly():
        fit = gp.fit(MixtureModel(K, priors=program_priors.centred), X, method, **brief(method))
    assert fit.mixture.means.isfinite().all()
    if fit.posterior is not None:
        draws = fit.posterior.draws
        assert draws["centre"].shape[2:] == (D,)
        assert draws["spread_of_means"].shape == draws["weights"].shape[:2]


@pytest.mark.slow
@every_program
@pytest.mark.parametrize("method", ["map", "laplace"])
def test_modes_are_found_under_every_program(program: str, method: str) -> None:
    """No slope is left at the end, of the log density of the sites or of the vector."""
    model = MixtureModel(K, priors=PROGRAMS[program])
    with quietly():
        fit = gp.fit(model, X, method)
    assert fit.status is gp.Status.CONVERGED
    assert math.isfinite(fit.objective)
    if program in RIGID and method == "laplace":
        assert math.isnan(fit.diagnostics["log_evidence"])


def test_a_program_that_says_what_priors_say_has_their_fits() -> None:
    def plain() -> dict[str, Tensor]:
        means = pyro.sample("means", dist.Normal(0.0, 5.0).expand([K, D]).to_event(2))
        scales = pyro.sample("scales", dist.LogNormal(0.0, 1.0).expand([K, D]).to_event(2))
        return {"means": means, "scales": scales}

    priors = Priors(means=dist.Normal(0.0, 5.0), scales=dist.LogNormal(0.0, 1.0))
    for method in ("map", "laplace"):
        ours, theirs = (gp.fit(MixtureModel(K, priors=p), X, method) for p in (plain, priors))
        assert ours.objective == pytest.approx(theirs.objective, abs=1e-5)
        torch.testing.assert_close(ours.mixture.means, theirs.mixture.means, atol=1e-3, rtol=0)


# ---------------------------------------------------------------------- exact posteriors

Y = numbers([1.2, 3.4, 2.2, 4.1, 2.9, 3.3])
NOISE, UNIT = 1.0, 2.0  # known standard deviations of points and of the mean


def one_component() -> dict[str, Tensor]:
    """One mean about an unknown centre with an unknown spread; the points' deviation is known."""
    centre = pyro.sample("centre", dist.Normal(0.0, UNIT))
    spread = pyro.sample("spread_of_means", dist.LogNormal(0.0, 0.5))
    means = pyro.sample("means", dist.Normal(centre, spread).expand([1, 1]).to_event(2))
    return {"weights": torch.ones(1), "means": means, "scales": torch.full((1, 1), NOISE)}


def exact_moments() -> tuple[np.ndarray, np.ndarray, float]:
    """Means and deviations of centre and log spread, and the log evidence, by quadrature.

    Given both, the mean of the points is Normal(centre, spread² + noise² / n), and what the points
    are apart has a density that depends on neither.
    """
    n, mean = len(Y), float(Y.mean())
    centre, log_spread = np.meshgrid(np.linspace(-9, 12, 2001), np.linspace(-4, 4, 1001))
    variance = np.exp(2 * log_spread) + NOISE**2 / n
    log_p = -0.5 * (centre / UNIT) ** 2 - math.log(UNIT) - 0.5 * (log_spread / 0.5) ** 2
    log_p = log_p - math.log(0.5) - math.log(2 * math.pi)
    log_p = log_p - 0.5 * (mean - centre) ** 2 / variance - 0.5 * np.log(2 * math.pi * variance)
    within = float(dist.Normal(mean, NOISE).log_prob(Y).sum())
    within += 0.5 * math.log(2 * math.pi * NOISE**2 / n)
    cell = (centre[0, 1] - centre[0, 0]) * (log_spread[1, 0] - log_spread[0, 0])
    p = np.exp(log_p)
    evidence = math.log(p.sum() * cell) + within
    p /= p.sum()
    first = np.array([(p * centre).sum(), (p * log_spread).sum()])
    second = np.array([(p * centre**2).sum(), (p * log_spread**2).sum()])
    return first, np.sqrt(second - first**2), evidence


def test_laplace_knows_the_evidence_of_a_hierarchy() -> None:
    fit = gp.fit(MixtureModel(1, "spherical", priors=known_scale), Y, "laplace")
    error = fit.log_evidence - exact_moments()[2]
    assert abs(error) < max(STANDARD_ERRORS * fit.diagnostics["log_evidence_se"], 1e-3)


def known_scale() -> dict[str, Tensor]:
    """As `one_component`, for a family whose scale is one number a component."""
    found = one_component()
    return {**found, "scales": torch.full((1,), NOISE)}


@pytest.mark.slow
def test_nuts_draws_hyperparameters_from_their_posterior() -> None:
    """Means and deviations of both, by quadrature, within Monte Carlo error."""
    options = {"n_chains": 16, "n_draws": 150, "n_warmup": 100}  # chains are one batch
    fit = gp.fit(MixtureModel(1, priors=one_component), Y, "nuts", **options)
    assert fit.status is gp.Status.CONVERGED
    draws = fit.posterior.draws
    flat = torch.stack([draws["centre"], draws["spread_of_means"].log()], -1).numpy()
    mean, deviation, _ = exact_moments()
    effective = ess_mean(flat)
    error = (flat.mean((0, 1)) - mean) / (deviation / np.sqrt(effective))
    assert (abs(error) < STANDARD_ERRORS).all()
    assert flat.std((0, 1)) == pytest.approx(deviation, rel=0.1)


# ---------------------------------------------------------------------- draws and what they show


@cache
def drawn(program: str) -> gp.Fit:
    with quietly():
        return gp.fit(
            MixtureModel(K, priors=PROGRAMS[program]),
            X,
            "nuts",
            n_draws=6,
            n_chains=2,
            n_warmup=6,
            max_doublings=0,
            max_tree_depth=4,
        )


@pytest.mark.parametrize("program", ["centred", "transposed", "sticks"])
def test_arviz_has_the_program_s_sites_beside_the_mixture_s(program: str) -> None:
    fit = drawn(program)
    data = fit.to_arviz(n_prior_draws=5)
    for group in ("posterior", "prior"):
        for name, axis in AXES[program].items():
            found = data[group][name]
            dims = [f"{name}_dim_{i}" for i in range(found.ndim - 2)]
            if axis is not None:
                dims[axis] = "component"
            assert list(found.dims) == ["chain", "draw", *dims]
    total = sum(data["log_prior"][name].values for name in data["log_prior"].data_vars)
    np.testing.assert_allclose(total, data["posterior"]["log_prior"].values)
    np.testing.assert_allclose(
        data["sample_stats"]["lp"].values, fit.posterior.statistics["lp"].numpy(), rtol=1e-9
    )


def test_relabelled_draws_stay_draws_of_the_program() -> None:
    posterior = drawn("transposed").posterior
    order = torch.tensor([2, 0, 1])
    moved = permuted(posterior, order.expand(posterior.n_chains, posterior.n_draws, -1))
    torch.testing.assert_close(moved.draws["means"], moved.draws["offset"].mT)
    raw = moved.raw().draws["offset"]
    torch.testing.assert_close(raw, posterior.raw().draws["offset"])


def test_draws_that_cannot_be_renumbered_say_so() -> None:
    posterior = drawn("sticks").posterior
    assert posterior.permutation.equal(torch.arange(K).expand_as(posterior.permutation))
    with pytest.raises(ValueError, match="cannot be numbered otherwise"):
        posterior.relabel()
    own = {name: value for name, value in posterior.draws.items() if name != "share"}
    alone = gp.Posterior(own, posterior.family, posterior.observations)
    assert alone.relabel().n_components == K


def test_what_a_program_observes_leaves_no_draws_of_the_prior() -> None:
    with quietly():
        fit = gp.fit(MixtureModel(K, priors=PROGRAMS["with_a_factor"]), X, "laplace", n_draws=4)
    data = fit.to_arviz()
    assert not hasattr(data, "prior")
    assert "apart" in data["log_prior"].data_vars


def test_fits_are_pickled_with_programs_that_have_a_name() -> None:
    again = pickle.loads(pickle.dumps(drawn("centred")))
    assert again.posterior.draws["centre"].equal(drawn("centred").posterior.draws["centre"])
    assert again.model.priors.program is program_priors.centred

    def local() -> dict[str, Tensor]:
        return program_priors.centred()

    model = MixtureModel(K, priors=local)
    with pytest.raises(pickle.PicklingError, match="local cannot be pickled: define it at the top"):
        pickle.dumps(model)
    assert copy.deepcopy(model).priors.program is local


def test_saved_fits_have_the_draws_and_the_program_s_name(tmp_path: Any) -> None:
    save_fit(drawn("centred"), tmp_path / "fit")
    saved = load_fit(tmp_path / "fit")
    assert saved.facts["priors"] == "PriorProgram(centred)"
    with xarray.open_dataset(tmp_path / "fit" / "posterior.nc", group="posterior") as data:
        assert data["centre"].shape[2:] == (D,)
    assert saved.posterior().draws["means"].shape == drawn("centred").posterior.draws["means"].shape


def test_methods_are_compared_under_one_program() -> None:
    with quietly():
        comparison = gp.compare(
            MixtureModel(K, priors=program_priors.centred),
            X,
            ["em", "map", "laplace"],
        )
    assert list(comparison.fits) == ["em", "map", "laplace"]


# ---------------------------------------------------------------------- programs around it


def two_of_them(x: Tensor, *, collapsed: bool) -> None:
    """Two mixtures that share a centre."""
    centre = pyro.sample("centre", dist.Normal(x.new_zeros(()), 5.0))
    for name, some in (("left_", x[:20]), ("right_", x[20:])):
        priors = Priors(means=dist.Normal(centre, 2.0))
        MixtureModel(2, "diag", priors=priors, prefix=name)(some, collapsed=collapsed)


def test_mixtures_with_prefixes_live_in_one_program() -> None:
    nodes = poutine.trace(partial(two_of_them, collapsed=False)).get_trace(X).nodes
    names = ("weights", "means", "scales", "points", "assignment", "x")
    assert set(nodes) >= {f"{side}_{name}" for side in ("left", "right") for name in names}


def test_a_collapsed_program_has_the_density_of_the_enumerated_one() -> None:
    whole = poutine.trace(partial(two_of_them, collapsed=True)).get_trace(X)
    values = {
        name: node["value"]
        for name, node in whole.nodes.items()
        if node["type"] == "sample" and not node["is_observed"]
    }
    fixed = poutine.condition(partial(two_of_them, collapsed=False), values)
    elbo = TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)
    close([float(whole.log_prob_sum())], [-elbo.loss(fixed, lambda x: None, X)])


def test_a_collapsed_program_takes_weights_and_holes() -> None:
    x = X.clone()
    x[0, 1] = math.nan
    weight = torch.linspace(0.5, 2, len(X)).double()
    model = MixtureModel(2).specialise(X)
    trace = poutine.trace(model).get_trace(x, sample_weight=weight, collapsed=True)
    values = {n: trace.nodes[n]["value"][None] for n in model.sites()}
    density = model.log_density(observe(x, sample_weight=weight))
    close(trace.nodes["x"]["fn"].log_factor, density.log_likelihood(values)[0])
    with pytest.raises(ValueError, match="collapsed takes all points at once"):
        model(x, collapsed=True, subsample_size=3)


@every_program
def test_data_are_drawn_from_every_program(program: str) -> None:
    torch.manual_seed(0)
    draws = Predictive(MixtureModel(K, priors=PROGRAMS[program]), num_samples=3)(n=4, n_features=D)
    assert draws["x"].shape[-2:] == (4, D)
    assert draws["means"].shape[-2:] == (K, D)


def test_a_prior_program_knows_its_features_if_it_says_them() -> None:
    assert PriorProgram(program_priors.centred).features_known(K) == D
    assert PriorProgram(program_priors.offsets).features_known(K) is None
    assert PriorProgram(program_priors.sticks, spread=[1.0, 2.0]).features_known(K) == 2
