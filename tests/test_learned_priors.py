"""Gradients reach every parameter of every prior; a fit holds them as they are, and says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, TraceEnum_ELBO
from pyro.infer.autoguide import AutoDelta
from pyro.optim import Adam
from torch import Tensor
from torch.distributions import transforms

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel, Priors
from gmm_pyro.calibration import exact_posterior, geweke, simulation_based_calibration
from gmm_pyro.data.observations import observe
from gmm_pyro.estimator import PyroGaussianMixture
from gmm_pyro.inference import METHODS
from runs import BRIEF, every_method, told

K, D = 2, 2
X = np.random.default_rng(0).normal(size=(12, D)) * [1.0, 3.0] + [[18.0, -2.0]]
PAIR = np.random.default_rng(1).normal([[18.0], [22.0]], 0.5, size=(2, 15)).flatten()


def real(*numbers: Any) -> Tensor:
    return torch.tensor(numbers if len(numbers) > 1 else numbers[0], dtype=torch.float64)


def triangle(x: Tensor) -> Tensor:
    return x.tril(-1) + torch.diag(x.diagonal().exp())


MATRIX = [[2.0, 0.4], [0.4, 1.0]]
Make = Callable[..., Any]
SITES: dict[str, tuple[Make, list[Tensor]]] = {  # priors from their parameters
    "weights": (lambda a: Priors(weights=dist.Dirichlet(a)), [real(2.0, 3.0)]),
    "Normal": (lambda m, s: Priors(means=dist.Normal(m, s)), [real(18.0), real(3.0, 4.0)]),
    "StudentT": (
        lambda v, m, s: Priors(means=dist.StudentT(v, m, s)),
        [real(4.0), real(17.0), real(2.0)],
    ),
    "Uniform": (lambda a, b: Priors(means=dist.Uniform(a, b)), [real(-40.0), real(50.0)]),
    "MultivariateNormal": (
        lambda m, c: Priors(means=dist.MultivariateNormal(m, c @ c.T)),
        [real(18.0, -2.0), real(MATRIX)],
    ),
    "scale_tril": (
        lambda m, c: Priors(means=dist.MultivariateNormal(m, scale_tril=triangle(c))),
        [real(18.0, -2.0), real(MATRIX)],
    ),
    "Independent": (
        lambda m, s: Priors(means=dist.Normal(m, s).to_event(2)),
        [real([[18.0, -2.0], [17.0, 0.0]]), real([[1.0, 2.0], [3.0, 4.0]])],
    ),
    "LogNormal": (lambda m, s: Priors(scales=dist.LogNormal(m, s)), [real(0.3), real(0.8)]),
    "HalfNormal": (lambda s: Priors(scales=dist.HalfNormal(s)), [real(2.0)]),
    "HalfCauchy": (lambda s: Priors(scales=dist.HalfCauchy(s)), [real(2.0)]),
    "Gamma": (lambda a, b: Priors(scales=dist.Gamma(a, b)), [real(2.0), real(0.5)]),
    "affine": (
        lambda m, s: Priors(
            scales=dist.TransformedDistribution(
                dist.Normal(real(0.0), real(1.0)),
                [transforms.AffineTransform(m, s), transforms.ExpTransform()],
            )
        ),
        [real(0.2), real(0.7)],
    ),
    "LKJCholesky": (lambda c: Priors(correlations=dist.LKJCholesky(D, c)), [real(1.5)]),
    "units": (lambda m, s: Priors(location=m, spread=s), [real(18.0, -2.0), real(1.0, 3.0)]),
    "concentration": (lambda a: ConjugatePriors(concentration=a), [real(2.0, 3.0)]),
    "one of a list": (lambda a: ConjugatePriors(concentration=[a, 1.0]), [real(2.0)]),
    "mean": (lambda m: ConjugatePriors(mean=m), [real(18.0, -2.0)]),
    "mean_strength": (lambda t: ConjugatePriors(mean_strength=t), [real(0.3)]),
    "dof": (lambda v: ConjugatePriors(dof=v), [real(5.5)]),
    "one scale": (lambda s: ConjugatePriors(scale=s), [real(1.3)]),
    "scales": (lambda s: ConjugatePriors(scale=s), [real(1.3, 2.0)]),
    "matrix": (lambda c: ConjugatePriors(scale=c @ c.T), [real(MATRIX)]),
    "mean_scale": (lambda m, s: ConjugatePriors(mean=m, mean_scale=s), [real(18.0), real(2.0)]),
}
FAMILIES = {"spherical": ("one scale", "dof"), "tied": ("matrix", "LKJCholesky", "mean_strength")}
FAMILIES["diag"] = ("LogNormal", "mean_strength", "scales")
CASES = [
    *(("full", name) for name in SITES),
    *((family, name) for family, names in FAMILIES.items() for name in names),
]


def somewhere(density: Any) -> Tensor:
    """A vector near the data."""
    vector = 0.3 * torch.randn(
        1, density.dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    for site in density.sites:
        if site.name == "means" and site.unbounded:
            vector[:, site.entries] += real(18.0, -2.0).repeat(K)
    return vector


@pytest.mark.parametrize(("family", "name"), CASES)
class TestGradients:
    def test_of_the_log_density_are_those_of_differences(self, family: str, name: str) -> None:
        make, start = SITES[name]
        observations = observe(X)
        fixed = MixtureModel(K, family, make(*start)).log_density(observations)
        vector = somewhere(fixed)

        def density(*parameters: Tensor) -> Tensor:
            return MixtureModel(K, family, make(*parameters)).log_density(observations)(vector)

        parameters = [p.clone().requires_grad_() for p in start]
        gradients = torch.autograd.grad(density(*parameters).sum(), parameters)
        for i, gradient in enumerate(gradients):
            step = 1e-5 * torch.arange(1.0, 1 + start[i].numel()).view_as(start[i])
            ends = [
                density(*start[:i], start[i] + sign * step, *start[i + 1 :]) for sign in (1, -1)
            ]
            expected = float(ends[0] - ends[1]) / 2
            assert float((gradient * step).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-10)
            assert expected != 0

    def test_of_the_program_are_those_of_the_log_density(
        self, family: str, name: str, pyro_of_its_own
    ) -> None:
        make, start = SITES[name]
        parameters = [p.clone().requires_grad_() for p in start]
        density = MixtureModel(K, family, make(*parameters)).log_density(observe(X))
        vector = somewhere(density)
        expected = torch.autograd.grad(density(vector, jacobian=False).sum(), parameters)

        model = MixtureModel(K, family, make(*parameters)).specialise(X)
        values = {name: value[0].detach() for name, value in density.constrain(vector).items()}
        conditioned = pyro.condition(model, data=values)
        loss = TraceEnum_ELBO(max_plate_nesting=1).differentiable_loss(
            conditioned, lambda x: None, torch.from_numpy(X)
        )
        found = torch.autograd.grad(-loss, parameters)
        if name == "Uniform":  # whose bounds move the means at a fixed vector
            width = parameters[1].detach() - parameters[0].detach()
            expected = (K * D / width, -K * D / width)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


class TestGraphs:
    @pytest.mark.parametrize("name", ["LogNormal", "matrix", "units", "mean_strength"])
    def test_a_gradient_can_be_taken_again_after_a_step(self, name: str) -> None:
        make, start = SITES[name]
        parameters = [p.clone().requires_grad_() for p in start]
        density = MixtureModel(K, priors=make(*parameters)).log_density(observe(X))
        vector, found = somewhere(density), []
        for _ in range(2):
            gradients = torch.autograd.grad(density(vector).sum(), parameters)
            found.append(float(density(vector).detach()))
            if "matrix" in name:
                return  # its own product is of the caller's graph, which is used up
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter += 1e-3 * gradient / gradient.abs().max()
        assert found[1] > found[0]

    def test_what_comes_to_be_learned_later_is(self) -> None:
        loc = torch.tensor(0.5)
        model = MixtureModel(K, priors=Priors(means=dist.Normal(loc, 3.0))).specialise(X)
        model.sites(like=torch.from_numpy(X))
        loc.requires_grad_()
        density = model.log_density(observe(X))
        density(somewhere(density)).sum().backward()
        assert float(loc.grad) != 0

    def test_parameters_in_float32_are_learned_from_data_in_float64(self) -> None:
        loc = torch.tensor(17.0, requires_grad=True)
        density = MixtureModel(K, priors=Priors(means=dist.Normal(loc, 4.0))).log_density(X)
        vector = somewhere(density)
        density(vector).sum().backward()
        means = density.constrain(vector)["means"]
        assert float(loc.grad) == pytest.approx(float((means - 17).sum() / 16), rel=1e-6)

    def test_the_parameters_of_a_flow_are_learned(self) -> None:
        flow = dist.transforms.affine_coupling(D, hidden_dims=[4])
        prior = dist.TransformedDistribution(dist.Normal(0.0, 1.0).expand([D]).to_event(1), [flow])
        model = MixtureModel(K, priors=Priors(means=prior))
        assert model.learned == ("means",)
        density = model.log_density(X)
        density(somewhere(density)).sum().backward()
        assert all(p.grad is not None for p in flow.parameters() if p.requires_grad)
        assert not model.held().learned
        assert all(p.requires_grad for p in flow.parameters())


class TestHyperpriors:
    @staticmethod
    def ours(x: Tensor) -> None:
        loc = pyro.sample("mu0", dist.Normal(real(0.0), 100.0))
        priors = Priors(
            means=dist.Normal(loc, 3.0),
            scales=dist.LogNormal(real(0.0), 1.0),
            weights=dist.Dirichlet(real(2.0, 2.0)),
        )
        MixtureModel(K, "diag", priors).specialise(x)(x)

    @staticmethod
    def by_hand(x: Tensor) -> None:
        loc = pyro.sample("mu0", dist.Normal(real(0.0), 100.0))
        weights = pyro.sample("weights", dist.Dirichlet(real(2.0, 2.0)))
        means = pyro.sample("means", dist.Normal(loc, 3.0).expand([K, 1]).to_event(2))
        scales = pyro.sample("scales", dist.LogNormal(real(0.0), 1.0).expand([K, 1]).to_event(2))
        with pyro.plate("points", len(x)):
            k = pyro.sample(
                "assignment", dist.Categorical(weights), infer={"enumerate": "parallel"}
            )
            pyro.sample("x", dist.Normal(means[k], scales[k]).to_event(1), obs=x)

    def learn(self, model: Callable, steps: int) -> dict[str, Tensor]:
        x = torch.from_numpy(PAIR)[:, None]
        start = {"mu0": real(0.0), "weights": real(0.5, 0.5), "means": real([[17.0], [23.0]])}
        start["scales"] = real([[1.0], [1.0]])
        guide = AutoDelta(
            pyro.poutine.block(model, hide=["assignment", "x"]),
            init_loc_fn=lambda site: start[site["name"]].clone(),
        )
        with pyro.get_param_store().scope():
            svi = SVI(model, guide, Adam({"lr": 0.5}), TraceEnum_ELBO(max_plate_nesting=1))
            for _ in range(steps):
                svi.step(x)
            return {name: value.detach().clone() for name, value in guide.median().items()}

    def test_a_centre_is_learned_as_by_hand(self, pyro_of_its_own) -> None:
        found, expected = self.learn(self.ours, 60), self.learn(self.by_hand, 60)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6)
        # the mode of the centre given the means, in closed form
        mode = found["means"].sum() / 9 / (K / 9 + 1 / 100**2)
        assert float(found["mu0"]) == pytest.approx(float(mode), abs=0.5)
        assert 19 < float(found["mu0"]) < 21


def quick(method: str, priors: Priors | ConjugatePriors) -> tuple[gp.Fit, list[str]]:
    """A fit, and what it said about priors."""
    fit, said = told(MixtureModel(K, priors=priors), PAIR, method, seed=1, **BRIEF[method])
    return fit, [message for message in said.splitlines() if "require gradients" in message]


class TestFits:
    @every_method
    def test_hold_parameters_as_they_are_and_say_so_once(self, method: str) -> None:
        def priors(*, learned: bool) -> Priors | ConjugatePriors:
            loc = real(19.0).requires_grad_(learned)
            if METHODS[method].conjugate:
                return ConjugatePriors(mean=loc, mean_strength=0.1)
            return Priors(means=dist.Normal(loc, 3.0))

        mine = priors(learned=True)
        fit, said = quick(method, mine)
        expected, silence = quick(method, priors(learned=False))
        name = "mean" if METHODS[method].conjugate else "means"
        assert said == [
            f"parameters of the priors of {name} require gradients: a fit holds them as they are, "
            "and learns nothing about them"
        ]
        assert silence == []
        assert fit.model.learned == ()
        assert torch.equal(fit.mixture.means, expected.mixture.means)
        assert not fit.mixture.means.requires_grad
        loc = mine.mean if METHODS[method].conjugate else mine.means.loc
        assert loc.requires_grad
        assert loc.grad is None

    def test_keep_the_values_that_they_were_made_with(self) -> None:
        loc = real(19.0).requires_grad_()
        fit, _ = quick("map", Priors(means=dist.Normal(loc, 3.0)))
        with torch.no_grad():
            loc += 100
        assert float(fit.model.priors.means.loc) == 19.0

    @pytest.mark.filterwarnings("ignore:.*(step limit|disagree|degenerate)")
    def test_of_other_entries_say_it_once_too(self) -> None:
        loc = real(19.0).requires_grad_()
        model = MixtureModel(K, priors=Priors(means=dist.Normal(loc, 3.0)))
        said = pytest.warns(gp.FitWarning, match="priors of means require gradients")
        with said as caught:
            gp.compare(model, PAIR, ["kmeans", "map"])
        assert len(caught) == 1
        with said as caught:
            PyroGaussianMixture(K, method="map", priors=model.priors).fit(PAIR[:, None])
        assert len(caught) == 1
        strength = real(0.5).requires_grad_()
        prior = ConjugatePriors(mean=0.0, mean_strength=strength, spread=torch.ones(1))
        proper = MixtureModel(1, priors=prior)
        with pytest.warns(gp.FitWarning, match="mean_strength require gradients"):
            simulation_based_calibration(proper, n_points=5, n_datasets=20, n_draws=9)
        with pytest.warns(gp.FitWarning, match="mean_strength require gradients"):
            geweke(proper, n_chains=20, n_sweeps=10)
        with pytest.warns(gp.FitWarning, match="mean_strength require gradients"):
            exact_posterior(proper, [0.0, 1.0])
        assert loc.grad is None
        assert strength.grad is None
