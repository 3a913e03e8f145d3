"""Priors: broadcast over their sites, used in the fit's dtype, scaled to the data, or refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import constraints, transforms
from scipy import stats
from torch import Tensor

from gmm_pyro import MixtureModel, Priors
from gmm_pyro.covariance import CovarianceFamily, family_named
from gmm_pyro.data.observations import observe
from oracles import EPSILON, every_class, every_dimension, normal

K = 3
ROUNDING = 1e3 * EPSILON  # of sums of a few dozen log densities
FULL = family_named("full")
pytestmark = pytest.mark.usefixtures("pyro_of_its_own")


def data(d: int, n: int = 40) -> Tensor:
    """Columns with different places and spreads."""
    return 10.0 * torch.arange(d, dtype=torch.float64) + normal(n, d) * torch.logspace(-1, 1, d)


def priors(d: int = 2, **given: Any) -> Priors:
    """The given priors in a model whose data have location 0 and spread 1."""
    zeros = torch.zeros(d, dtype=torch.float64)
    return Priors(location=zeros, spread=zeros + 1, **given)


def site(
    name: str,
    prior: Any,
    d: int = 2,
    family: CovarianceFamily = FULL,
    dtype: torch.dtype = torch.float64,
) -> Any:
    """The distribution over a whole site that a user's prior becomes."""
    return priors(d, **{name: prior}).sites(family, K, like=torch.empty(0, dtype=dtype))[name]


def close(actual: Any, expected: Any, relative: float = ROUNDING) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=relative, atol=0)


# ---------------------------------------------------------------------- sites


@every_class
@every_dimension
def test_every_site_is_one_event_of_the_family_s_shape(family: CovarianceFamily, d: int) -> None:
    sites = priors(d).sites(family, K)
    shapes = {"weights": (K,), "means": (K, d), **family.site_shapes(K, d)}
    assert {name: tuple(prior.event_shape) for name, prior in sites.items()} == shapes
    assert list(sites) == list(shapes)
    for name, prior in sites.items():
        value = prior.sample()
        assert prior.batch_shape == ()
        assert value.shape == shapes[name]
        assert value.dtype == torch.float64
        assert prior.support.check(value)


def test_one_dimension_has_no_correlations() -> None:
    assert "correlations" not in priors(1).sites(FULL, K)


# ---------------------------------------------------------------------- broadcasting

ROW = torch.tensor([1.0, -2.0])
COLUMN = torch.tensor([[0.5], [1.5], [2.5]])
WHOLE = torch.arange(6.0).view(3, 2)


@pytest.mark.parametrize("loc", [torch.tensor(0.5), ROW, COLUMN, WHOLE])
def test_normal_priors_of_any_batch_shape_broadcast_over_the_means(loc: Tensor) -> None:
    means = normal(K, 2)
    expected = stats.norm(loc.numpy(), 2).logpdf(means).sum()
    close(site("means", dist.Normal(loc, 2.0)).log_prob(means), expected)


@pytest.mark.parametrize(
    "prior",
    [
        dist.Normal(ROW, 2.0).to_event(1),
        dist.Independent(dist.Normal(ROW, 2.0), 1),
        dist.Normal(ROW.expand(K, 2), 2.0).to_event(1),
        dist.Normal(ROW.expand(K, 2), 2.0).to_event(2),
        dist.MultivariateNormal(ROW, 4 * torch.eye(2)),
        dist.MultivariateNormal(ROW.expand(K, 2), 4 * torch.eye(2)),
    ],
    ids=lambda prior: f"{tuple(prior.batch_shape)}{tuple(prior.event_shape)}",
)
def test_events_of_a_prior_are_the_last_axes_of_the_site(prior: Any) -> None:
    means = normal(K, 2)
    expected = stats.norm(ROW.numpy(), 2).logpdf(means).sum()
    close(site("means", prior).log_prob(means), expected)


@pytest.mark.parametrize(
    ("family", "shape"),
    [("full", (K, 2)), ("tied", (2,)), ("spherical", (K,)), ("tied_spherical", ())],
)
def test_a_scalar_prior_of_the_scales_fits_every_family(
    family: str, shape: tuple[int, ...]
) -> None:
    prior = site("scales", dist.HalfNormal(2.0), family=family_named(family))
    scales = normal(*shape).exp()
    close(prior.log_prob(scales), stats.halfnorm(scale=2).logpdf(scales).sum())


def test_one_lkj_prior_serves_all_components() -> None:
    one = dist.LKJCholesky(2, torch.tensor(3.0, dtype=torch.float64))
    factors = one.sample((K,))
    whole = site("correlations", dist.LKJCholesky(2, torch.tensor(3.0)))
    close(whole.log_prob(factors), one.log_prob(factors).sum())


# ---------------------------------------------------------------------- dtype

# The parameters are exact in float32, so the expected densities hold to float64's rounding; in
# float32 they would be off by 1e-7.
IN_FLOAT32 = {
    "Normal": ("means", dist.Normal(0.0, 2.0), stats.norm(0, 2)),
    "StudentT": ("means", dist.StudentT(3.0, 0.5, 2.0), stats.t(3, 0.5, 2)),
    "Uniform": ("means", dist.Uniform(-8.0, 8.0), stats.uniform(-8, 16)),
    "Independent": ("means", dist.Normal(torch.zeros(2), 2.0).to_event(1), stats.norm(0, 2)),
    "affine": (
        "means",
        dist.TransformedDistribution(
            dist.Normal(0.0, 1.0), [transforms.AffineTransform(0.5, torch.tensor(2.0))]
        ),
        stats.norm(0.5, 2),
    ),
    "HalfNormal": ("scales", dist.HalfNormal(2.0), stats.halfnorm(scale=2)),
    "HalfCauchy": ("scales", dist.HalfCauchy(2.0), stats.halfcauchy(scale=2)),
    "LogNormal": ("scales", dist.LogNormal(0.5, 0.5), stats.lognorm(0.5, scale=math.exp(0.5))),
    "Gamma": ("scales", dist.Gamma(2.0, 0.5), stats.gamma(2, scale=2)),
    "Dirichlet": ("weights", dist.Dirichlet(torch.tensor([0.5, 2.0, 5.0])), None),
    "LKJCholesky": ("correlations", dist.LKJCholesky(2, torch.tensor(0.5)), None),
}


@pytest.mark.parametrize("name", IN_FLOAT32)
class TestFloat32Priors:
    def test_are_used_in_float64(self, name: str) -> None:
        where, prior, expected = IN_FLOAT32[name]
        whole = site(where, prior)
        value = whole.sample()
        assert value.dtype == torch.float64
        density = whole.log_prob(value)
        assert density.dtype == torch.float64
        if name == "Dirichlet":
            close(density, stats.dirichlet([0.5, 2, 5]).logpdf(value / value.sum()))
        elif name == "LKJCholesky":
            # in two dimensions the correlation r has (1 + r) / 2 ~ Beta(½, ½) at concentration ½
            r = value[:, 1, 0].numpy()
            on_r = stats.beta(0.5, 0.5).logpdf((1 + r) / 2) - math.log(2)
            close(density, on_r.sum(), relative=1e-9)  # 1 - r² cancels near the ends
        else:
            close(density, expected.logpdf(value).sum())

    def test_are_used_in_float32_by_a_float32_program(self, name: str) -> None:
        where, prior, _ = IN_FLOAT32[name]
        whole = site(where, prior, dtype=torch.float32)
        value = whole.sample()
        assert value.dtype == torch.float32
        assert whole.log_prob(value).dtype == torch.float32

    def test_are_not_changed(self, name: str) -> None:
        where, prior, _ = IN_FLOAT32[name]
        site(where, prior)
        assert prior.sample().dtype == torch.float32


def test_a_prior_that_has_been_evaluated_can_still_be_used() -> None:
    prior = dist.LogNormal(0.0, 0.5)
    prior.log_prob(torch.tensor(2.0))  # as a user does who looks at it first
    scales = normal(K, 2).exp()
    close(site("scales", prior).log_prob(scales), stats.lognorm(0.5).logpdf(scales).sum())


# ---------------------------------------------------------------------- defaults


def test_defaults_are_the_documented_ones() -> None:
    x = data(3).numpy()
    mean, sd = x.mean(0), x.std(0)
    sites = Priors.weakly_informative(x).sites(FULL, K)
    values = {name: prior.sample() for name, prior in sites.items()}
    densities = {name: float(prior.log_prob(values[name])) for name, prior in sites.items()}
    close(densities["weights"], stats.dirichlet([2.0] * K).logpdf(values["weights"]))
    close(densities["means"], stats.norm(mean, 2 * sd).logpdf(values["means"]).sum())
    scales = stats.lognorm(1.0, scale=sd / K ** (1 / 3))
    close(densities["scales"], scales.logpdf(values["scales"]).sum())
    lkj = dist.LKJCholesky(3, torch.tensor(2.0, dtype=torch.float64))
    close(densities["correlations"], lkj.log_prob(values["correlations"]).sum())


@pytest.mark.parametrize(
    "x",
    [
        data(2),
        data(2).numpy(),
        data(2).tolist(),
        pd.DataFrame(data(2).numpy(), columns=["a", "b"]),
        observe(data(2)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_defaults_take_any_array(x: Any) -> None:
    found = Priors.weakly_informative(x)
    close(found.location, data(2).mean(0))
    close(found.spread, data(2).std(0, correction=0))


def test_defaults_of_univariate_data() -> None:
    assert Priors.weakly_informative(data(1)[:, 0]).location.shape == (1,)


@every_class
@every_dimension
def test_defaults_move_with_the_units_of_the_data(family: CovarianceFamily, d: int) -> None:
    """The density of rescaled parameters differs by the Jacobian of the rescaling alone."""
    unit = torch.logspace(-3, 2, d, dtype=torch.float64)
    shift = 10 * unit * normal(d, seed=1)
    here = Priors.weakly_informative(data(d)).sites(family, K)
    there = Priors.weakly_informative(data(d) * unit + shift).sites(family, K)
    values = {name: prior.sample() for name, prior in here.items()}
    scales = family.pool(unit.log()).exp()  # spherical ones take the geometric mean
    moved = {
        **values,
        "means": values["means"] * unit + shift,
        "scales": values["scales"] * scales,
    }
    jacobian = {
        "means": K * float(unit.log().sum()),
        "scales": float(scales.log().expand(values["scales"].shape).sum()),
    }
    for name in here:
        before, after = here[name].log_prob(values[name]), there[name].log_prob(moved[name])
        torch.testing.assert_close(after, before - jacobian.get(name, 0.0), rtol=0, atol=1e-9)


def test_a_given_location_or_spread_is_kept() -> None:
    given, x = torch.tensor([7.0, 8.0], dtype=torch.float64), observe(data(2))
    assert Priors(location=given).scaled_to(x).location is given
    assert Priors(spread=given).scaled_to(x).spread is given
    assert Priors(location=given).scaled_to(x).spread is x.scale


def test_a_model_completes_priors_with_a_spread_alone() -> None:
    model = MixtureModel(K, priors=Priors(spread=torch.ones(2, dtype=torch.float64)))
    assert "means" in model.specialise(data(2)).sites()


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "prior", "message"),
    [
        ("means", dist.Normal(torch.zeros(4), 1.0), r"means must broadcast to shape \(3, 2\), got"),
        ("means", dist.Normal(torch.zeros(5, 3, 2), 1.0), r"got .* batch shape \(5, 3, 2\)"),
        ("means", dist.MultivariateNormal(torch.zeros(3), torch.eye(3)), r"event shape \(3,\)"),
        ("weights", dist.Dirichlet(torch.ones(4)), r"weights must broadcast to shape \(3,\)"),
        ("weights", dist.Dirichlet(torch.ones(2, 3)), r"weights must broadcast to shape \(3,\)"),
        ("scales", dist.HalfNormal(torch.ones(2, 2)), r"scales must broadcast to shape \(3, 2\)"),
        ("correlations", dist.LKJCholesky(3), r"correlations must broadcast to shape \(3, 2, 2\)"),
    ],
)
def test_wrong_shapes_are_refused(name: str, prior: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        site(name, prior)


@pytest.mark.parametrize(
    ("name", "prior", "wanted"),
    [
        ("weights", dist.Normal(0.0, 1.0), "probability vectors"),
        ("weights", dist.LogNormal(0.0, 1.0), "probability vectors"),
        ("weights", dist.Uniform(0.0, 1.0), "probability vectors"),
        ("weights", dist.Beta(1.0, 1.0), "probability vectors"),
        ("scales", dist.Normal(0.0, 1.0), "positive numbers"),
        ("scales", dist.Uniform(-0.5, 2.0), "positive numbers"),
        ("scales", dist.Poisson(2.0), "positive numbers"),
        ("means", dist.Poisson(2.0), "real numbers"),
        ("correlations", dist.Normal(0.0, 1.0), "Cholesky factors"),
        ("correlations", dist.Uniform(0.0, 1.0), "Cholesky factors"),
        pytest.param("correlations", dist.LKJ(2, torch.tensor(1.0)), "Cholesky factors"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_wrong_supports_are_refused(name: str, prior: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"prior of {name} must be a distribution over {wanted}"):
        site(name, prior)


UNCHECKED: dict[str, Any] = {"validate_args": False}


@pytest.mark.parametrize(
    ("name", "prior", "message"),
    [
        ("means", dist.Normal(0.0, -1.0, **UNCHECKED), "scale .* is -1.0"),
        ("means", dist.Normal(math.nan, 1.0, **UNCHECKED), "loc .* is nan"),
        ("means", dist.Normal(math.inf, 1.0, **UNCHECKED), "loc .* is inf"),
        ("means", dist.Normal(torch.tensor([0.0, 1.0]), 0.0, **UNCHECKED), "scale .*0.0, 0.0"),
        ("means", dist.Uniform(-math.inf, 1.0, **UNCHECKED), "low .* is -inf"),
        ("scales", dist.Gamma(-1.0, 1.0, **UNCHECKED), "concentration .* is -1.0"),
        (
            "scales",  # of a part of it
            dist.TransformedDistribution(
                dist.Normal(0.0, -1.0, **UNCHECKED), [transforms.ExpTransform()]
            ),
            "scale .* is -1.0",
        ),
        (
            "weights",
            dist.Dirichlet(torch.tensor([-1.0, 2.0, 2.0]), **UNCHECKED),
            r"concentration .* is \[-1.0, 2.0, 2.0\]",
        ),
    ],
)
def test_what_is_no_distribution_is_refused(name: str, prior: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"prior of {name} is no distribution: the {message}"):
        site(name, prior)


@pytest.mark.parametrize("prior", [torch.distributions.Normal(0.0, 1.0), 2.0, "normal"])
def test_what_is_no_pyro_distribution_is_refused(prior: Any) -> None:
    with pytest.raises(ValueError, match="prior of means must be a Pyro distribution, got"):
        site("means", prior)


@pytest.mark.parametrize(("family", "d"), [("diag", 2), ("spherical", 2), ("full", 1)])
def test_a_prior_of_a_site_that_the_model_has_not_is_refused(family: str, d: int) -> None:
    message = f"{family} mixture in {d} dimensions has no site 'correlations'; its sites are weig"
    with pytest.raises(ValueError, match=message):
        site("correlations", dist.LKJCholesky(2), d=d, family=family_named(family))


def test_a_name_that_is_no_site_is_refused() -> None:
    with pytest.raises(TypeError, match="precision"):
        Priors(precision=dist.Gamma(1.0, 1.0))  # type: ignore[call-arg]


def test_sites_need_the_units_of_the_data() -> None:
    with pytest.raises(ValueError, match="do not know the data's units yet"):
        Priors(means=dist.Normal(0.0, 1.0)).sites(FULL, K)


def test_the_support_of_a_custom_prior_is_respected() -> None:
    """A truncated prior keeps the site inside its interval."""
    prior = site("scales", dist.Uniform(0.5, 1.5))
    assert prior.support.check(torch.full((K, 2), 1.0))
    assert not prior.support.check(torch.full((K, 2), 2.0))
    assert not isinstance(prior.support, type(constraints.positive))


def test_a_support_without_a_map_is_refused_by_name() -> None:
    """The program can sample it all the same; no method can search over it."""
    two = dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), dist.Normal(torch.ones(2), 1.0))
    x = torch.tensor([[0.0], [1.0], [3.0], [4.0]])
    model = MixtureModel(2, priors=Priors(means=two)).specialise(x)
    model(x)
    with pytest.raises(ValueError, match="the prior of means has a support that torch maps no"):
        _ = model.log_density(x).sites
