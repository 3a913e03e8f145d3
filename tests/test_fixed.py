"""Fixed parameters: the same to the last bit, and the others as sums and searches have them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, stats
from scipy.special import logsumexp
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.covariance import CovarianceFamily
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.fixing import holding
from gmm_pyro.model.declaration import require_conjugate
from gmm_pyro.model.normal_wishart import IndependentMeans
from gmm_pyro.posterior.convergence import ess_mean
from oracles import (
    FAILURE_RATE,
    ROUNDING,
    STANDARD_ERRORS,
    close,
    every_class,
    normal,
    numbers,
)
from runs import OURS, brief, fit, quietly
from sums import statistics_of

NAN = math.nan
X = torch.cat([normal(60, 2, seed=1), 0.7 * normal(40, 2, seed=2) + numbers([3.0, 1.0])])
HOLDS = [name for name in OURS if name not in ("kmeans", "vb")]
FREE = [[NAN, NAN], [NAN, NAN]]
FREE_COVARIANCE = numbers(FREE)
CASES: dict[str, dict[str, Any]] = {
    "a mean": {"means": [[NAN, NAN], [3.1234567891, 0.9]]},
    "an entry": {"means": [[NAN, NAN], [NAN, 1.1]]},
    "a weight": {"weights": [0.3, NAN, NAN]},
    "two weights": {"weights": [0.7, 0.3]},
    "a covariance": {"covariances": [FREE, [[0.5, 0.1], [0.1, 0.4]]]},
    "all covariances": {"covariances": [[[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.1], [0.1, 0.4]]]},
    "means and weights": {"means": [[0.0, 0.1], [3.0, 1.0]], "weights": [0.61, NAN]},
}


def held(value: Any) -> tuple[Tensor, Tensor]:
    values = numbers(value)
    return ~values.isnan(), values


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", HOLDS)
def test_they_are_the_same_to_the_last_bit(method: str, case: str) -> None:
    fixed = CASES[case]
    k = len(next(iter(fixed.values())))
    with quietly():
        found = brief(method, X, gp.MixtureModel(k), fixed=fixed)
    for name, value in fixed.items():
        where, values = held(value)
        assert getattr(found.mixture, name)[where].equal(values[where])
        if found.posterior is not None and name != "covariances":
            draws = found.posterior.draws[name][..., where]
            assert draws.equal(values[where].expand(draws.shape))
    assert abs(float(found.mixture.weights.sum()) - 1) < 1e-12
    assert found.mixture.n_parameters < found.mixture.family.n_parameters(k, 2)


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("case", ["a mean", "an entry", "two weights"])
class TestMaximumLikelihood:
    def test_em_never_falls(self, family: str, case: str) -> None:
        found = fit("em", X, family, fixed=CASES[case], search="starts")
        assert (found.history.diff() > -1e-9 * found.history.abs().max()).all()

    def test_no_free_number_gains(self, family: str, case: str) -> None:
        """A direct search from where EM has ended finds nothing better."""
        fixed = CASES[case]
        found = fit("em", X, family, fixed=fixed, tolerance=1e-12)
        climbed = fit("gradient", X, family, fixed=fixed, start=found.mixture)
        assert climbed.objective <= found.objective + 1e-5 * len(X) ** 0.5
        model = gp.MixtureModel(2, family)
        data = observe(X)
        density = holding(model, fixed, data).specialise(X).log_density(data)
        vector = density.unconstrain(density.values(found.mixture.parameters))[0]

        def loss(at: np.ndarray) -> float:
            values = density.constrain(torch.as_tensor(at)[None])
            return -float(density.log_likelihood(values))

        away = optimize.minimize(loss, vector.numpy(), method="L-BFGS-B", options={"maxiter": 30})
        assert -away.fun <= found.objective + 1e-4


@cache
def free_fit(family: str) -> gp.Fit:
    return fit("em", X, family)


@every_class
@pytest.mark.parametrize("method", ["em", "map", "gibbs"])
def test_covariances_of_every_family_are_held(method: str, family: CovarianceFamily) -> None:
    before = free_fit(family.name).mixture.covariances * 1.1
    with quietly():
        found = brief(method, X, gp.MixtureModel(2, family.name), fixed={"covariances": before})
    assert found.mixture.covariances.equal(before)
    assert found.mixture.n_parameters == 1 + 4
    if not family.tied:
        before[0] = NAN
        with quietly():
            found = brief(method, X, gp.MixtureModel(2, family.name), fixed={"covariances": before})
        assert found.mixture.covariances[1].equal(before[1])
        assert found.mixture.covariances.isfinite().all()


@every_class
def test_a_single_component_is_closed_form(family: CovarianceFamily) -> None:
    """About a mean that is held, the scatter is that about it."""
    centre = numbers([0.5, -0.25])
    found = gp.fit(gp.MixtureModel(1, family.name), X, fixed={"means": centre[None]})
    z = X - centre
    scatter = family.pooled(family.compress(z.T @ z)[None, None]) / len(X)
    expected = family.fit(scatter, torch.zeros(2, dtype=torch.float64))
    close(found.mixture.parameters.factor, expected)


def test_a_mean_held_in_part_follows_the_regression() -> None:
    """Of one normal the free entry is moved along the regression on the entry that is held."""
    found = gp.fit(gp.MixtureModel(1), X, fixed={"means": [[1.0, NAN]]}, tolerance=1e-14)
    centre, covariance = X.mean(0), torch.cov(X.T, correction=0)
    slope = covariance[0, 1] / covariance[0, 0]
    close(found.mixture.means[0, 1], centre[1] + slope * (1.0 - centre[0]), 1e-6)
    spread = covariance[0, 0] + (centre[0] - 1.0).square()
    rest = covariance[1, 1] - slope * covariance[0, 1]
    close(found.mixture.covariances[0, 0, 0], spread, 1e-6)
    close(found.mixture.covariances[0, 1, 1], rest + slope.square() * spread, 1e-6)


def test_components_go_where_they_fit() -> None:
    """Means that are held are found by their clusters, whatever number these have."""
    means = numbers([[NAN, NAN], [0.0, 0.0]])
    found = gp.fit(gp.MixtureModel(2), X, fixed={"means": means})
    assert (found.mixture.means[0] - numbers([3.0, 1.0])).norm() < 0.5


def test_free_weights_share_what_is_left() -> None:
    found = gp.fit(gp.MixtureModel(3), X, fixed={"weights": [0.25, NAN, NAN]}, search="starts")
    share = found.mixture.responsibilities(X).mean(0)
    close(found.mixture.weights[1:], 0.75 * share[1:] / share[1:].sum(), 1e-4)


# ---------------------------------------------------------------------- exact posteriors

SIX = numbers([[-1.0], [-0.7], [0.1], [0.4], [1.1], [1.6]])
CENTRE, WIDTH = 0.9, 0.5
OfMean = Callable[[Any], Any]


class Exact:
    """Six points of two components, of which the second has a mean or a covariance that is held.

    Means are in units of the covariances, or have the standard deviations that are given.
    """

    def __init__(self, what: str, mean_scale: float | None = None) -> None:
        priors = gp.ConjugatePriors(mean_scale=mean_scale)
        self.model = gp.MixtureModel(2, priors=priors).specialise(SIX)
        prior = require_conjugate(self.model, "a sum")
        self.assignments = torch.tensor(list(itertools.product([0, 1], repeat=6)))
        statistics = statistics_of(self.model, SIX, self.assignments)
        c = prior.components
        m = float(c.mean.flatten()[0])
        nu, psi = float(c.dof.flatten()[0]), float(c.scale.flatten()[0])

        def of_mean(variance: Any) -> Any:
            """The variance of a mean a priori, given that of the points about it."""
            if isinstance(c, IndependentMeans):
                return float(c.mean_scale[0]) ** 2
            return variance / float(c.mean_strength.flatten()[0])

        log_p = []
        for z in self.assignments:
            first, second = SIX[z == 0, 0].numpy(), SIX[z == 1, 0].numpy()
            mixing = float(prior.mixing.log_probability(numbers([[len(first), len(second)]])))
            own = float(_normal_gamma(first, m, of_mean, nu, psi))
            given = _mean_held if what == "means" else _variance_held
            log_p.append(mixing + own + given(second, m, of_mean, nu, psi))
        assert statistics.counts.shape == (64, 2)
        self.log_evidence = float(logsumexp(log_p))
        self.probabilities = numbers(log_p).softmax(0)
        value = {"means": [[NAN], [CENTRE]], "covariances": [[[NAN]], [[WIDTH**2]]]}[what]
        self.fixed = {what: value}

    def share(self) -> Tensor:
        return self.probabilities @ (self.assignments == 0).double()


def _normal_gamma(x: np.ndarray, m: float, of_mean: OfMean, nu: float, psi: float) -> float:
    """log p(x), with the mean integrated out in closed form and the precision by quadrature."""

    def log_p(precision: np.ndarray) -> np.ndarray:
        n, variance = len(x), 1 / precision
        total = np.zeros_like(precision)
        if n:
            spread = variance * n + n**2 * of_mean(variance)
            mean = x.mean()
            inner = -0.5 * ((x - mean) ** 2).sum() / variance
            total = inner - 0.5 * (n - 1) * np.log(2 * np.pi * variance) - 0.5 * np.log(n)
            total = total + stats.norm.logpdf(n * mean, n * m, np.sqrt(spread)) + np.log(n)
        return total

    return _over_precisions(log_p, nu, psi)


def _over_precisions(log_p: Any, nu: float, psi: float) -> float:
    """log ∫ p(precision) exp(log_p(precision)) over a gamma distribution, by the trapezium rule."""
    u = np.linspace(-14, 10, 6001)
    precision = np.exp(u)
    log_prior = stats.gamma.logpdf(precision, nu / 2, scale=2 / psi) + u
    return float(logsumexp(log_prior + log_p(precision)) + np.log(u[1] - u[0]))


def _mean_held(x: np.ndarray, m: float, of_mean: OfMean, nu: float, psi: float) -> float:
    """log p(x, mean = its value)."""

    def log_p(precision: np.ndarray) -> np.ndarray:
        scale = precision**-0.5
        return stats.norm.logpdf(CENTRE, m, of_mean(scale**2) ** 0.5) + sum(
            stats.norm.logpdf(value, CENTRE, scale) for value in x
        )

    return _over_precisions(log_p, nu, psi)


def _variance_held(x: np.ndarray, m: float, of_mean: OfMean, nu: float, psi: float) -> float:
    """log p(x, precision = its value), but for the prior density of that, which is constant."""
    covariance = WIDTH**2 * np.eye(len(x)) + of_mean(WIDTH**2) * np.ones((len(x), len(x)))
    log_prior = stats.gamma.logpdf(WIDTH**-2, nu / 2, scale=2 / psi)
    inner = stats.multivariate_normal.logpdf(x, np.full(len(x), m), covariance) if len(x) else 0.0
    return float(log_prior + inner)


@pytest.mark.parametrize(
    ("what", "mean_scale"), [("means", None), ("covariances", None), ("means", 1.5)]
)
def test_gibbs_samples_the_exact_posterior(what: str, mean_scale: float | None) -> None:
    """Where all points are in one component, which is rare, sweeps alone stay for long."""
    exact = Exact(what, mean_scale)
    options = {"n_chains": 8, "n_draws": 500, "keep_allocations": 500, "max_doublings": 0}
    with quietly():
        found = gp.fit(exact.model, SIX, "gibbs", fixed=exact.fixed, seed=4, **options)
    assert found.posterior is not None
    assert found.posterior.allocations is not None
    own = (found.posterior.allocations == 0).double()
    error = own.std((0, 1)) / torch.as_tensor(ess_mean(own.numpy())).sqrt()
    limit = -float(torch.special.ndtri(numbers(FAILURE_RATE / 2 / 6)))
    off = (own.mean((0, 1)) - exact.share()).abs()
    assert (off <= limit * error.nan_to_num() + ROUNDING).all()
    evidence, of_evidence = found.log_evidence, found.evidence.log_evidence_se
    assert abs(evidence - exact.log_evidence) < STANDARD_ERRORS * of_evidence
    assert of_evidence < 0.1


@pytest.mark.parametrize("what", ["means", "covariances"])
def test_laplace_weighs_the_evidence(what: str) -> None:
    exact = Exact(what)
    with quietly():
        found = gp.fit(*(exact.model, SIX, "laplace"), fixed=exact.fixed, modes="all", n_draws=4000)
    error = found.diagnostics["log_evidence_se"]
    assert abs(found.log_evidence - exact.log_evidence) < STANDARD_ERRORS * error
    assert error < 0.2


def test_the_evidence_is_of_the_data_and_of_the_weights_that_are_held() -> None:
    """Of three weights one is held, and all else: what is left is one integral."""
    covariances = torch.eye(1, dtype=torch.float64).expand(3, 1, 1)
    means = numbers([[-1.0], [0.0], [1.2]])
    model = gp.MixtureModel(3, priors=gp.ConjugatePriors(concentration=2.0)).specialise(SIX)
    fixed = {"weights": [0.5, NAN, NAN], "means": means, "covariances": covariances}
    with quietly():
        found = gp.fit(model, SIX, "laplace", fixed=fixed, modes="all", n_draws=4000)
    density = found.model.log_density(found.observations)
    w = torch.linspace(0, 0.5, 4003, dtype=torch.float64)[1:-1]
    weights = torch.stack([torch.full_like(w, 0.5), w, 0.5 - w], 1)
    other = density.constrain(density.observations.origin.new_zeros(1, density.dimension))
    values = {name: value.expand(len(w), *value.shape[1:]) for name, value in other.items()}
    values["weights"] = weights
    log_p = density.log_prior(values) + density.log_likelihood(values)
    expected = float(log_p.logsumexp(0) + (w[1] - w[0]).log())
    error = found.diagnostics["log_evidence_se"]
    assert abs(found.log_evidence - expected) < STANDARD_ERRORS * error + 1e-3


def test_components_that_may_change_places_do() -> None:
    """Two free components under unequal weights: each numbering has its share of the posterior."""
    prior = gp.ConjugatePriors(concentration=[2.0, 2.0, 4.0])
    x = torch.cat([normal(12, 1, seed=1) - 3, normal(12, 1, seed=2) + 3, normal(12, 1, seed=3)])
    with quietly():
        found = gp.fit(
            *(gp.MixtureModel(3, "spherical", priors=prior), x, "gibbs"),
            fixed={"means": [[0.0], [NAN], [NAN]]},
            n_draws=1500,
            max_doublings=0,
        )
    assert found.posterior is not None
    means = found.posterior.draws["means"][..., 0]
    first = (means[..., 1] < means[..., 2]).double()
    assert (first.mean(1) > 0.1).all()
    assert (first.mean(1) < 0.9).all()


# ---------------------------------------------------------------------- what users give


class TestInput:
    def test_a_conditioned_model_means_the_same(self) -> None:
        import pyro

        means = numbers([[0.0, 0.0], [3.0, 1.0]])
        model = gp.MixtureModel(2)
        one = gp.fit(model, X, "map", fixed={"means": means})
        other = gp.fit(pyro.condition(model, {"means": means}), X, "map")
        assert one.mixture.covariances.equal(other.mixture.covariances)
        twice = pyro.condition(pyro.condition(model, {"means": means}), {"weights": [0.5, 0.5]})
        both = gp.fit(twice, X, "map").mixture
        assert both.weights.tolist() == [0.5, 0.5]
        assert both.means.equal(means)

    def test_an_intervention_is_no_condition(self) -> None:
        import pyro

        means = numbers([[0.0, 0.0], [3.0, 1.0]])
        intervened = pyro.do(gp.MixtureModel(2), {"means": means})
        for model in (intervened, pyro.condition(intervened, {"weights": [0.5, 0.5]})):
            with pytest.raises(TypeError, match=r"pyro's do .* pyro\.condition.* fixed="):
                gp.fit(model, X, "map")

    def test_a_narrow_covariance_is_the_users(self) -> None:
        """What is held is no problem of the fit, nor is a point that it holds alone."""
        narrow = 1e-12 * torch.eye(2, dtype=torch.float64)
        covariances = torch.stack([narrow, FREE_COVARIANCE])
        means = [[50.0, 50.0], [NAN, NAN]]
        x = torch.cat([X, numbers([[50.0, 50.0]])])
        fixed = {"covariances": covariances, "means": means}
        for method in ("em", "map"):
            found = gp.fit(gp.MixtureModel(2), x, method, fixed=fixed, least_points=1)
            assert found.diagnostics["problems"] == ()
        assert found.mixture.covariances[0].equal(narrow)

    def test_the_program_observes_what_is_fixed(self) -> None:
        import pyro
        from pyro.infer import TraceEnum_ELBO

        means, data = numbers([[0.0, 0.0], [3.0, 1.0]]), observe(X)
        model = gp.MixtureModel(2).specialise(X)
        fixed = holding(model, {"means": means}, data)
        density = fixed.log_density(data)
        vector = 0.3 * normal(1, density.dimension)
        values = {name: value[0] for name, value in density.constrain(vector).items()}
        free = {name: value for name, value in values.items() if name != "means"}
        loss = TraceEnum_ELBO(max_plate_nesting=1).loss(
            pyro.condition(fixed, free), lambda *_, **__: None, X
        )
        close(-loss, density(vector, jacobian=False)[0])
        with pytest.raises(ValueError, match="means is fixed in part"):
            holding(model, {"means": [[0.0, NAN], [NAN, NAN]]}, data)(X)

    def test_masked_arrays_are_free_where_they_are_masked(self) -> None:
        masked = np.ma.masked_array([[9.0, 9.0], [3.0, 1.0]], [[1, 1], [0, 0]])
        found = gp.fit(gp.MixtureModel(2), X, fixed={"means": masked})
        assert found.mixture.means[1].tolist() == [3.0, 1.0]
        assert found.mixture.means[0, 0] != 9.0

    def test_sites_of_covariances_are_held_together(self) -> None:
        scales, root = [[1.0, 1.0], [0.5, 0.5]], [[[1.0, 0.0], [0.0, 1.0]]] * 2
        fixed = {"scales": scales, "correlations": root}
        found = gp.fit(gp.MixtureModel(2), X, "map", fixed=fixed)
        close(found.mixture.covariances[1], 0.25 * torch.eye(2).double())
        with pytest.raises(ValueError, match="held as a whole: give covariances, or"):
            gp.fit(gp.MixtureModel(2), X, "map", fixed={"scales": scales})

    def test_sites_are_the_same_to_the_last_bit_in_draws(self) -> None:
        precisions = numbers([[[2.0, 0.7], [0.7, 3.0]], [[3.0, -0.7], [-0.7, 2.0]]])
        for method in ("gibbs", "laplace"):
            with quietly():
                model = gp.MixtureModel(2, priors=gp.ConjugatePriors())
                found = brief(method, X, model, fixed={"precisions": precisions})
            assert found.posterior is not None
            draws = found.posterior.draws["precisions"]
            assert draws.equal(precisions.expand(draws.shape))

    def test_a_frame_goes_by_the_names_of_features(self) -> None:
        frame = pd.DataFrame(X.numpy(), columns=["a", "b"])
        means = pd.DataFrame([[1.0, 3.0], [NAN, NAN]], columns=["b", "a"])
        found = gp.fit(gp.MixtureModel(2), frame, fixed={"means": means})
        assert found.mixture.means[0].tolist() == [3.0, 1.0]
        assert found.mixture.in_order_of(["b", "a"]).n_parameters == found.mixture.n_parameters

    def test_a_model_that_holds_something_goes_on_holding_it(self) -> None:
        held_one = gp.fit(gp.MixtureModel(2), X, "map", fixed=CASES["a mean"]).model
        found = gp.fit(held_one, X, "map", fixed={"weights": [0.6, NAN]}).mixture
        assert found.means[1].tolist() == CASES["a mean"]["means"][1]
        assert float(found.weights[0]) == 0.6
        with pytest.raises(ValueError, match="holds parameters of 2 features, and x has 1"):
            gp.fit(fit("em", X, fixed=CASES["a mean"]).model, X[:, :1])

    def test_compare_holds_them_and_takes_conditioned_models(self) -> None:
        import pyro

        means = numbers([[0.0, 0.0], [3.0, 1.0]])
        model = pyro.condition(gp.MixtureModel(2), {"means": means})
        found = gp.compare(model, X, ["em", "kmeans", "map:enumerated"])
        assert found.fits["em"].mixture.means.equal(means)
        assert "no parameters to hold" in found.table.loc["kmeans", "status"]
        assert "holds no parameters" in found.table.loc["map:enumerated", "status"]
        told = gp.compare(gp.MixtureModel(2), X, ["em", "kmeans"], fixed={"means": means})
        assert told.fits["em"].mixture.means.equal(means)
        assert "no parameters to hold" in told.table.loc["kmeans", "status"]
        weights = gp.compare(model, X, ["em"], fixed={"weights": [0.3, NAN]}).fits["em"].mixture
        assert weights.means.equal(means)
        assert float(weights.weights[0]) == 0.3
        with pytest.raises(ValueError, match="fixed weights must be positive"):
            gp.compare(gp.MixtureModel(2), X, ["em"], fixed={"weights": [-1.0, NAN]})

    def test_prior_draws_are_left_out(self) -> None:
        with quietly():
            found = brief("gibbs", X, fixed=CASES["a mean"])
        assert "prior" not in list(found.to_arviz(n_prior_draws=5).groups())

    def test_nothing_fixed_is_a_usual_fit(self) -> None:
        one, other = fit("em", X), fit("em", X, fixed={"means": FREE[:2], "weights": [NAN, NAN]})
        assert one.mixture.means.equal(other.mixture.means)

    def test_criteria_count_what_is_free(self) -> None:
        means = numbers([[0.0, 0.0], [3.0, 1.0]])
        found = fit("em", X, fixed={"means": means})
        assert found.mixture.n_parameters == 11 - 4
        close(found.mixture.bic(X), -2 * found.objective + 7 * math.log(len(X)))

    def test_it_is_kept_in_a_file(self, tmp_path: Any) -> None:
        found = fit("em", X, fixed={"weights": [0.6, 0.4]}).mixture
        again = gp.GaussianMixture.load(found.save(tmp_path / "mixture.json"))
        assert again.weights.tolist() == [0.6, 0.4]
        assert again.n_parameters == found.n_parameters

    @pytest.mark.parametrize(
        ("fixed", "message"),
        [
            ({"mean": [[0.0, 0.0]] * 2}, "fixed must be one of weights, means, covariances"),
            ({"x": X}, "x is no parameter to hold"),
            ({"means": [[0.0, 0.0]]}, r"fixed means must have shape \(2, 2\), got \(1, 2\)"),
            ({"means": [[0.0, math.inf], [0.0, 0.0]]}, "fixed means must be finite, or NaN"),
            ({"scales": -np.ones((2, 2)), "correlations": [np.eye(2)] * 2}, "must be positive"),
            ({"scales": "wide"}, "fixed scales"),
            ({"weights": [0.6, 0.6]}, "must sum to 1 where all are held, got 1.2"),
            ({"weights": [1.0, NAN]}, "must leave something to the others, got a sum of 1"),
            ({"weights": [0.0, NAN]}, "fixed weights must be positive"),
            ({"covariances": [FREE, [[1.0, NAN], [NAN, 1.0]]]}, "that of component 1 is NaN in"),
            ({"covariances": [FREE, [[1.0, 2.0], [2.0, 1.0]]]}, "positive definite"),
            (
                {"means": X[:2], "weights": [0.5, 0.5], "covariances": [torch.eye(2).tolist()] * 2},
                "leaves nothing to fit",
            ),
        ],
    )
    def test_what_does_not_fit_is_refused(self, fixed: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            gp.fit(gp.MixtureModel(2), X, fixed=fixed)

    @pytest.mark.parametrize("method", ["kmeans", "map:enumerated"])
    def test_methods_that_cannot_say_so(self, method: str) -> None:
        with pytest.raises(ValueError, match="hold"):
            gp.fit(gp.MixtureModel(2), X, method, fixed={"weights": [0.5, 0.5]})
