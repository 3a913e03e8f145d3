"""Methods that share no code but the model agree on the posterior, as far as each can be trusted.

Gibbs sampling and NUTS are exact up to Monte Carlo error: differences are compared with their own
standard errors, by effective sample sizes of the values and of their squared deviations, and have
to be small too: below 0.1 posterior standard deviations, and 7 % (or the error's bound) of the
ratio of two standard deviations. Laplace's method and variational inference are approximations,
with bounds of their own.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from pyro.ops.stats import effective_sample_size
from scipy.stats import norm
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, FitWarning, MixtureModel, Priors
from gmm_pyro.inference import METHODS
from gmm_pyro.metrics import adjusted_rand
from oracles import clusters

FAILURE_RATE = 1e-3  # probability that one comparison of two right samplers fails
SHIFT = 0.1  # posterior standard deviations between two means
SPREAD = 0.07  # of the ratio of two standard deviations, from one
FEWEST = {"gibbs": 2_000, "nuts": 1_000}  # effective draws of every quantity
PLACES = torch.linspace(-4, 4, 5, dtype=torch.float64)[:, None]
NUTS = {"n_chains": 40, "n_draws": 70, "n_warmup": 50, "max_doublings": 0}

Quantities = dict[str, Tensor]
pytestmark = [
    pytest.mark.slow,
    # many short chains have effective draws enough, but no R-hat of 1.01
    pytest.mark.filterwarnings("ignore:nuts.* drew chains:gmm_pyro.FitWarning"),
]


@cache
def conjugate_fit(method: str, separation: float, n: int) -> gp.Fit:
    """All methods have the very same prior."""
    options: dict[str, dict[str, Any]] = {
        "gibbs": {"n_chains": 20, "n_draws": 1000 if separation < 4 else 300},
        "nuts": NUTS,
        "laplace": {"n_draws": 20_000},
    }
    x = clusters(1, n, separation=separation).x
    model = MixtureModel(2, "full", ConjugatePriors(mean_strength=0.1)).specialise(x)
    return gp.fit(model, x, method, **options[method])


def by_component(found: gp.Fit) -> Quantities:
    """What only means something with labels: those of the means in rising order."""
    draws = found.posterior.draws
    order = draws["means"][..., 0].argsort(-1)
    parameters = found.posterior.parameters()
    sd = found.model.family.dense(parameters.factor, 1)[..., 0, 0].sqrt().view(order.shape)
    values = {"weight": draws["weights"], "mean": draws["means"][..., 0], "deviation": sd}
    return {
        f"{name} {component}": value.gather(-1, order)[..., component]
        for name, value in values.items()
        for component in range(order.shape[-1])
        if (name, component) != ("weight", 1)
    }


def label_free(found: gp.Fit) -> Quantities:
    """What means the same whatever the labels."""
    p, posterior = found.posterior.parameters(), found.posterior
    density = found.model.log_density(found.observations)
    sd = found.model.family.dense(p.factor, 1)[..., 0, 0].sqrt()
    normal = torch.distributions.Normal(p.means[..., 0, None], sd[..., None])
    log_density = (p.log_weights[..., None] + normal.log_prob(PLACES[:, 0])).logsumexp(1)
    shape = (posterior.n_chains, posterior.n_draws)
    sites = {name: value.flatten(0, 1) for name, value in posterior.draws.items()}
    with torch.no_grad():
        parts = [
            density.log_likelihood({name: value[rows] for name, value in sites.items()})
            for rows in torch.arange(len(sd)).split(256)
        ]
    return {
        "log-likelihood": torch.cat(parts).view(shape),
        "smaller weight": p.log_weights.exp().amin(1).view(shape),
        **{
            f"log density at {float(place):g}": log_density[:, i].view(shape)
            for i, place in enumerate(PLACES[:, 0])
        },
    }


def assert_agree(one: Quantities, other: Quantities, shift: float, spread: float) -> None:
    for name, values in one.items():
        deviation = float(values.std())
        away = abs(float(values.mean() - other[name].mean())) / deviation
        ratio = float(other[name].std()) / deviation
        assert away < shift, f"{name}: {away:.3f} posterior standard deviations apart"
        assert abs(ratio - 1) < spread, f"{name}: standard deviations have a ratio of {ratio:.3f}"


def assert_same(one: Quantities, other: Quantities) -> None:
    """Means and standard deviations of two samples of one distribution."""
    bound = norm.isf(FAILURE_RATE / 4 / len(one))
    for name, values in one.items():
        errors = torch.stack([error_of_deviation(v) for v in (values, other[name])])
        spread = bound * float(errors.square().sum().sqrt())
        size = sum(float(1 / effective_sample_size(v)) for v in (values, other[name]))
        shift = min(SHIFT, bound * size**0.5)
        assert_agree({name: values}, other, shift, max(SPREAD, spread))


def assert_near(exact: Quantities, approximation: Quantities, shift: float, spread: float) -> None:
    """Within a known bias, beside the errors that chains of so many effective draws have."""
    bound = norm.isf(FAILURE_RATE / 4 / len(exact))
    for name, values in exact.items():
        size = float(effective_sample_size(values))
        of_mean, of_deviation = bound / size**0.5, bound * float(error_of_deviation(values))
        assert_agree({name: values}, approximation, shift + of_mean, spread + of_deviation)


def error_of_deviation(values: Tensor) -> Tensor:
    """Standard error of the logarithm of a standard deviation."""
    square = (values - values.mean()).square()
    return 0.5 * square.std() / square.mean() / effective_sample_size(square).sqrt()


def assert_enough(method: str, quantities: Quantities) -> None:
    for name, values in quantities.items():
        size = float(effective_sample_size(values))
        assert size > FEWEST[method], f"{name}: {size:.0f} effective draws by {method}"


# ---------------------------------------------------------------------- one conjugate prior


def test_samplers_agree_on_separated_clusters() -> None:
    """Component by component, and on what needs no labels."""
    gibbs, nuts = (conjugate_fit(method, 6.0, 150) for method in ("gibbs", "nuts"))
    for quantities in (by_component, label_free):
        exact, drawn = quantities(gibbs), quantities(nuts)
        assert_enough("gibbs", exact)
        assert_enough("nuts", drawn)
        assert_same(exact, drawn)


def test_samplers_agree_on_overlapping_clusters() -> None:
    """Where labels switch within chains, only what needs none can be compared."""
    gibbs, nuts = (conjugate_fit(method, 2.5, 150) for method in ("gibbs", "nuts"))
    exact, drawn = label_free(gibbs), label_free(nuts)
    assert_enough("gibbs", exact)
    assert_enough("nuts", drawn)
    assert_same(exact, drawn)


def test_laplace_is_close_to_gibbs_sampling_where_points_are_many() -> None:
    gibbs, laplace = (conjugate_fit(method, 6.0, 1000) for method in ("gibbs", "laplace"))
    exact = by_component(gibbs)
    assert_enough("gibbs", exact)
    assert_near(exact, by_component(laplace), SHIFT, SPREAD)
    assert laplace.k_hat < 0.7


def test_laplace_is_too_narrow_on_overlapping_clusters() -> None:
    """The bias of a normal distribution in place of one with heavy tails."""
    gibbs, laplace = (conjugate_fit(method, 2.5, 150) for method in ("gibbs", "laplace"))
    exact, drawn = by_component(gibbs), by_component(laplace)
    ratios = torch.stack([drawn[name].std() / exact[name].std() for name in exact])
    assert (ratios < 1.05).all()
    assert ratios.min() < 0.9


# ---------------------------------------------------------------------- a prior of one's own


def own_priors() -> Priors:
    """Means on the scale of standardised data, half-normal scales, Beta(5, 5) weights."""
    return Priors(
        means=dist.Normal(0.0, 2.0),
        scales=dist.HalfNormal(2.0),
        weights=dist.Dirichlet(torch.tensor([5.0, 5.0])),
    )


@cache
def own_fit(method: str, separation: float = 2.5, **options: Any) -> gp.Fit:
    x = clusters(1, 150, separation=separation).x
    return gp.fit(MixtureModel(2, "diag", own_priors()), x, method, **options)


@pytest.mark.parametrize(
    "method", [m for m, row in METHODS.items() if not (row.conjugate or row.through_pyro)]
)
def test_every_method_runs_on_it(method: str) -> None:
    few = {"nuts": {"n_draws": 10, "n_warmup": 10}, "svi": {"n_draws": 10, "tolerance": 1e-4}}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "nuts.* drew chains that disagree", FitWarning)
        found = own_fit(method, 6.0, **few.get(method, {}))
    labels = clusters(1, 150).labels
    assert adjusted_rand(labels, found.labels) > 0.9


def test_gibbs_sampling_refuses_it_and_takes_the_conjugate_one() -> None:
    with pytest.raises(ValueError, match=r"priors=ConjugatePriors\(\)\), got Priors"):
        own_fit("gibbs", 6.0)
    priors = ConjugatePriors(concentration=5.0, mean=0.0, mean_scale=2.0)
    data = clusters(1, 150)
    found = gp.fit(MixtureModel(2, "diag", priors), data.x, "gibbs", n_draws=200)
    assert found.converged
    assert adjusted_rand(data.labels, found.labels) > 0.9


def test_posterior_methods_agree_on_separated_clusters() -> None:
    """Approximations in unconstrained space: a quarter of a deviation, a fifth of a width."""
    exact = by_component(own_fit("nuts", 6.0, **NUTS))
    assert_enough("nuts", exact)
    laplace = own_fit("laplace", 6.0, n_draws=20_000)
    svi = own_fit("svi", 6.0, guide="multivariate", n_draws=20_000)
    assert_near(exact, by_component(laplace), 0.25, 0.2)
    assert_near(exact, by_component(svi), 0.25, 0.2)


def test_variational_inference_with_independent_numbers_is_too_narrow() -> None:
    """A known bias of the normal guide, which one that knows of dependence has less of."""
    exact = by_component(own_fit("nuts", **NUTS))
    narrow = by_component(own_fit("svi", n_draws=20_000))
    wide = by_component(own_fit("svi", guide="multivariate", n_draws=20_000))

    def ratios(quantities: Quantities) -> Tensor:
        return torch.stack([quantities[name].std() / exact[name].std() for name in exact])

    assert (ratios(narrow) < 1 - SPREAD).all(), ratios(narrow)
    assert (ratios(narrow) < ratios(wide)).all()
    assert ratios(narrow).min() < 0.7
