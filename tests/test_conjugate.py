"""Claims about the conjugate prior: its densities, its two readings, its defaults, its draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from scipy import stats
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel
from gmm_pyro.calibration import exact_posterior
from gmm_pyro.calibration.joint import draw_prior
from gmm_pyro.covariance import family_named
from gmm_pyro.covariance.wishart import PrecisionTransform, Wishart
from gmm_pyro.data.observations import observe
from oracles import FAILURE_RATE, every_family, normal

K, D = 3, 2
PSI = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)


def points(n: int, d: int, seed: int = 0) -> Float[Tensor, "n d"]:
    return 2 * normal(n, d, seed=seed)


def priors(**changes: Any) -> ConjugatePriors:
    """A prior in which no two numbers are the same."""
    chosen = {
        "concentration": [1.5, 2.5, 0.8],
        "mean": [0.5, -1.0],
        "mean_strength": 0.3,
        "dof": 5.0,
        "scale": PSI,
        "spread": torch.ones(D, dtype=torch.float64),
    }
    return ConjugatePriors(**{**chosen, **changes})


def values_of(model: MixtureModel, seed: int = 0) -> dict[str, Tensor]:
    """Site values drawn from the prior, one set."""
    p = draw_prior(model, 1, torch.Generator().manual_seed(seed))
    covariance = model.priors.covariance_sites(model.family, p.factor)  # type: ignore[union-attr]
    return {"weights": p.log_weights.exp(), "means": p.means, **covariance}


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"concentration": 0.0}, "concentration must be positive, got 0.0"),
        ({"concentration": [1.0, -1.0, 1.0]}, "concentration must be positive"),
        ({"concentration": "many"}, "concentration must hold real numbers, got strings"),
        ({"mean": math.nan}, "mean must be finite"),
        ({"mean_strength": 0.0}, "mean_strength must be positive"),
        ({"mean_strength": [1.0, 2.0]}, "mean_strength must be one number"),
        ({"dof": -1.0}, "dof must be positive"),
        ({"dof": [4.0, 4.0]}, "dof must be one number"),
        ({"scale": math.inf}, "scale must be finite"),
        ({"mean_scale": 0.0}, "mean_scale must be positive"),
    ],
)
def test_refuses_numbers_that_no_model_could_take(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        priors(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"concentration": [1.0, 2.0]}, r"concentration must be one number or 3 of them.*\(2,\)"),
        ({"mean": [1.0, 2.0, 3.0]}, "mean must be one number or 2 of them"),
        ({"mean_scale": [1.0, 2.0, 3.0]}, "mean_scale must be one number or 2 of them"),
        ({"dof": 1.0}, "dof must be above 1 for full covariances in 2 dimensions, got 1.0"),
        ({"scale": -1.0}, "scale must be positive"),
        ({"scale": [1.0, 0.0]}, "scale must be positive"),
        ({"scale": [[1.0, 2.0], [2.0, 1.0]]}, "scale must be positive.*definite"),
        ({"scale": [[1.0, 0.2], [0.3, 1.0]]}, "scale must be positive"),
        ({"scale": [1.0, 1.0, 1.0]}, r"shape \(2, 2\); got shape \(3,\)"),
        ({"spread": None}, "do not know the data's units yet"),
        ({"mean": None}, "do not know the data's units yet"),
    ],
)
def test_refuses_numbers_that_do_not_fit_the_model(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixtureModel(K, "full", priors(**wrong)).sites()


def test_a_prior_of_other_data_is_refused() -> None:
    with pytest.raises(ValueError, match="x must have 2 features, got 1"):
        MixtureModel(K, "full", priors()).specialise(points(5, 1))


# ---------------------------------------------------------------------- densities


def scipy_log_prior(model: MixtureModel, values: dict[str, Tensor]) -> float:
    """The log density of the sites, by SciPy's distributions alone."""
    family, h = model.family, priors()
    precisions, means = values["precisions"][0].numpy(), values["means"][0].numpy()
    covariances = family.dense(family.factor(values), D)[0].expand(K, D, D).numpy()
    if precisions.shape[-2:] == (D, D):
        every = precisions.reshape(-1, D, D)
        wishart = stats.wishart(df=h.dof, scale=np.linalg.inv(PSI.numpy()))
        of_precisions = sum(wishart.logpdf(matrix) for matrix in every)
    else:
        scale = PSI.diagonal().numpy() if precisions.shape[-1:] == (D,) else PSI.trace().item()
        gamma = stats.gamma(a=h.dof / 2, scale=2 / scale)
        of_precisions = gamma.logpdf(precisions).sum()
    of_means = sum(
        stats.multivariate_normal(h.mean, covariance / h.mean_strength).logpdf(mean)
        for mean, covariance in zip(means, covariances, strict=True)
    )
    weights = values["weights"][0].numpy()
    return float(stats.dirichlet(h.concentration).logpdf(weights) + of_means + of_precisions)


@every_family
def test_sites_have_the_densities_of_scipy(family: str) -> None:
    model = MixtureModel(K, family, priors())
    values = values_of(model)
    found = model.log_density(points(8, D)).log_prior(values)
    assert found.item() == pytest.approx(scipy_log_prior(model, values), rel=1e-10)


def test_independent_means_are_normal_whatever_the_covariances() -> None:
    model = MixtureModel(K, "full", priors(mean_scale=[2.0, 3.0]))
    values = values_of(model)
    h = model.sites()
    expected = stats.norm([0.5, -1.0], [2.0, 3.0]).logpdf(values["means"][0].numpy()).sum()
    found = h["means"].log_prob(values["means"])  # type: ignore[union-attr]
    assert found.item() == pytest.approx(expected, rel=1e-12)


@every_family
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("mean_scale", [None, 2.0])
@pytest.mark.filterwarnings("ignore:TraceEnum_ELBO found no sample sites:UserWarning")
def test_the_enumerated_program_is_the_collapsed_density(
    family: str, d: int, mean_scale: float | None
) -> None:
    x = points(7, d)
    model = MixtureModel(K, family, ConjugatePriors(mean_scale=mean_scale)).specialise(x)
    values = values_of(model)
    density = model.log_density(x)
    collapsed = density.log_prior(values) + density.log_likelihood(values)
    sites = {name: value[0] for name, value in values.items()}
    program = poutine.condition(model, sites)
    loss = TraceEnum_ELBO(max_plate_nesting=1).loss(program, lambda *_, **__: None, x)
    assert -loss == pytest.approx(collapsed.item(), rel=1e-10)


@every_family
def test_the_program_draws_what_the_density_takes(family: str, pyro_of_its_own: None) -> None:
    model = MixtureModel(K, family, priors())
    trace = poutine.trace(model).get_trace(n=6)
    trace.compute_log_prob()
    names = ["weights", "precisions", "means"]
    values = {name: trace.nodes[name]["value"][None] for name in names}
    expected = sum(trace.nodes[name]["log_prob_sum"] for name in names)
    density = model.log_density(points(8, D))
    torch.testing.assert_close(density.log_prior(values), expected[None])
    assert not pyro.get_param_store()


@every_family
@pytest.mark.parametrize("d", [1, 2])
def test_vectors_and_sites_are_each_other(family: str, d: int) -> None:
    x = points(8, d)
    density = MixtureModel(K, family, ConjugatePriors()).log_density(x)
    generator = torch.Generator().manual_seed(1)
    vector = torch.randn(4, density.dimension, generator=generator, dtype=torch.float64)
    values = density.constrain(vector)
    torch.testing.assert_close(density.unconstrain(values), vector)
    again = density.values(density.parameters(values))
    for name, value in values.items():
        torch.testing.assert_close(again[name], value)


# ---------------------------------------------------------------------- precision matrices


class TestPrecisionTransform:
    @pytest.mark.parametrize("d", [1, 2, 3, 4])
    def test_has_the_jacobian_of_automatic_differentiation(self, d: int) -> None:
        generator = torch.Generator().manual_seed(d)
        x = 0.7 * torch.randn(d * (d + 1) // 2, generator=generator, dtype=torch.float64)
        transform, (row, column) = PrecisionTransform(), torch.tril_indices(d, d)
        jacobian = torch.autograd.functional.jacobian(lambda v: transform(v)[row, column], x)
        expected = torch.linalg.slogdet(jacobian)[1]
        torch.testing.assert_close(transform.log_abs_det_jacobian(x, transform(x)), expected)

    @pytest.mark.parametrize("d", [1, 2, 3, 4])
    def test_is_a_bijection(self, d: int) -> None:
        generator = torch.Generator().manual_seed(d)
        x = torch.randn(5, d * (d + 1) // 2, generator=generator, dtype=torch.float64)
        transform = PrecisionTransform()
        matrices = transform(x)
        assert (torch.linalg.eigvalsh(matrices) > 0).all()
        assert matrices.shape == transform.forward_shape(x.shape)
        assert x.shape == transform.inverse_shape(matrices.shape)
        torch.testing.assert_close(transform.inv(matrices), x)

    def test_scales_are_standard_deviations_of_the_covariance(self) -> None:
        x = torch.tensor([0.3, -0.4, 0.9], dtype=torch.float64)
        covariance = PrecisionTransform()(x).inverse()
        torch.testing.assert_close(covariance.diagonal().sqrt(), x[:2].exp())


class TestDraws:
    n = 20_000

    def assert_mean(self, draws: Float[Tensor, "n *e"], mean: Tensor) -> None:
        error = draws.std(0) / math.sqrt(len(draws))
        bound = stats.norm.isf(FAILURE_RATE / 2 / mean.numel())
        assert ((draws.mean(0) - mean).abs() <= bound * error + 1e-12).all()

    def test_wishart_has_its_mean_and_variance(self, pyro_of_its_own: None) -> None:
        dof = torch.tensor(5.0, dtype=torch.float64)
        draws = Wishart(dof, PSI).sample((self.n,))
        v = PSI.inverse()
        self.assert_mean(draws, dof * v)
        variance = dof * (v.square() + v.diagonal()[:, None] * v.diagonal())
        self.assert_mean((draws - dof * v).square(), variance)

    def test_wishart_is_scipys(self) -> None:
        dof = torch.tensor(4.5, dtype=torch.float64)
        theirs = stats.wishart(df=4.5, scale=np.linalg.inv(PSI.numpy()))
        draws = theirs.rvs(5, random_state=0)
        ours = Wishart(dof, PSI).log_prob(torch.tensor(draws))
        expected = torch.tensor(theirs.logpdf(np.moveaxis(draws, 0, -1)))
        torch.testing.assert_close(ours, expected)

    @every_family
    def test_every_family_draws_its_prior_precisions(self, family: str) -> None:
        chosen = family_named(family)
        prior = priors().conjugate(chosen, K).components
        dof, scale = prior.dof.expand(self.n, 1), prior.scale[0, 0]
        factor = chosen.draw_factor(
            dof, scale.expand(self.n, 1, *scale.shape), torch.Generator().manual_seed(0)
        )
        mean = 5.0 * PSI.inverse()[None] if scale.ndim == 2 else (5.0 / scale)[None]
        self.assert_mean(chosen.precision(factor), mean)

    @every_family
    def test_the_prior_of_the_means_is_as_wide_as_the_covariances(self, family: str) -> None:
        """In units of each draw's own covariance, they are standard normal."""
        model = MixtureModel(K, family, priors())
        p = draw_prior(model, self.n, torch.Generator().manual_seed(0))
        tril = model.family.scale_tril(p.factor, D)
        away = (p.means - torch.tensor([0.5, -1.0]).double())[..., None] * math.sqrt(0.3)
        unit = torch.linalg.solve_triangular(tril, away, upper=False)[..., 0]
        self.assert_mean(unit, torch.zeros(K, D))
        self.assert_mean(unit.square(), torch.ones(K, D))


# ---------------------------------------------------------------------- defaults


@every_family
def test_the_defaults_move_with_the_units(family: str) -> None:
    """The evidence of data in other units is the same but for the Jacobian of the change."""
    x = points(6, D)
    spherical = "spherical" in family
    unit = torch.tensor([100.0, 100.0] if spherical else [100.0, 0.01], dtype=torch.float64)
    moved = x * unit + torch.tensor([1e3, -5.0], dtype=torch.float64)
    model = MixtureModel(2, family)
    before, after = exact_posterior(model, x), exact_posterior(model, moved)
    jacobian = 6 * float(unit.log().sum())
    assert after.log_evidence == pytest.approx(before.log_evidence - jacobian, rel=1e-9)
    torch.testing.assert_close(after.co_clustering, before.co_clustering)


def test_the_defaults_are_those_of_fraley_and_raftery() -> None:
    x = points(30, D)
    observations = observe(x)
    prior = ConjugatePriors.weakly_informative(x)
    full = prior.conjugate(family_named("full"), 4).components
    torch.testing.assert_close(full.mean[0, 0], x.mean(0))
    torch.testing.assert_close(full.scale[0, 0], observations.scale.square().diag() / 4)
    assert full.dof.item() == D + 2
    assert full.mean_strength == 0.01
    for family, dof in {"diag": 3, "tied_diag": 3, "spherical": D + 2, "tied": D + 2}.items():
        assert prior.conjugate(family_named(family), 4).components.dof.item() == dof


def test_the_default_prior_mean_of_a_covariance_is_the_documented_one() -> None:
    """Of an inverse-Wishart with d + 2 degrees of freedom: the scale itself."""
    x = points(30, D)
    h = ConjugatePriors().scaled_to(observe(x)).conjugate(family_named("full"), 4).components
    expected = observe(x).scale.square().diag() / 4 ** (2 / D)
    torch.testing.assert_close(h.scale[0, 0] / (h.dof - D - 1), expected)


def test_a_given_mean_stays_and_units_are_taken_from_the_data() -> None:
    model = MixtureModel(2, priors=ConjugatePriors(mean=7.0)).specialise(points(9, D))
    assert model.priors is not None
    assert model.priors.n_features == D
    prior = model.priors.conjugate(model.family, 2)  # type: ignore[union-attr]
    assert prior.components.mean.tolist() == [[[7.0, 7.0]]]


def test_a_model_takes_it_as_gp_does() -> None:
    assert gp.ConjugatePriors is ConjugatePriors
    with pytest.raises(ValueError, match=r"priors must be gmm_pyro.Priors"):
        MixtureModel(2, priors="conjugate")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["full", "tied"])
def test_pyros_delta_guide_finds_the_same_mode(family: str) -> None:
    """AutoDelta reads the support of `precisions` by another door than the other guides."""
    model, x = gp.MixtureModel(2, family, gp.ConjugatePriors()), gp.datasets.bimodal().x[460:540]
    exact = gp.fit(model, x, "map").objective
    found = gp.fit(model, x, "map", engine="enumerated", tolerance=1e-4).objective
    assert found == pytest.approx(exact, abs=0.05)
    assert found <= exact + 1e-6


def test_a_spread_of_the_user_s_own_is_the_unit_of_the_default_scale() -> None:
    x = np.random.default_rng(0).standard_normal((40, 2)) + np.repeat([[0.0], [9.0]], 20, axis=0)
    told = ConjugatePriors(spread=[2.0, 3.0]).scaled_to(x)
    np.testing.assert_array_equal(told.spread, [2, 3])
    np.testing.assert_allclose(told.mean, x.mean(0))
    model = MixtureModel(2, priors=ConjugatePriors(spread=[2.0, 3.0]))
    scale = ConjugatePriors(scale=[4 / 2, 9 / 2])  # spread² / k^(2/d)
    expected = gp.fit(MixtureModel(2, priors=scale), x, "map").objective
    assert gp.fit(model, x, "map").objective == pytest.approx(expected, abs=1e-9)
