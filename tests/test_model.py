"""One declaration, two readings: the Pyro program and the log density are the same model."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, TraceEnum_ELBO, infer_discrete
from pyro.infer.autoguide import AutoDelta, AutoMultivariateNormal, AutoNormal, init_to_value
from pyro.infer.mcmc.util import initialize_model
from torch import Tensor

import oracles
from gmm_pyro import ConjugatePriors, GaussianMixture, MixtureModel, Priors
from gmm_pyro.covariance import family_named
from gmm_pyro.data.observations import observe
from gmm_pyro.model.log_density import LogDensity
from oracles import clusters, every_dimension, every_family, normal

K = 3
SAME = 1e-10  # relative: both readings add up a few hundred terms in float64
pytestmark = pytest.mark.usefixtures("pyro_of_its_own")

PRIORS: dict[str, Callable[[int], Priors | None]] = {
    "default": lambda d: None,
    "scalars": lambda d: Priors(
        means=dist.Normal(0.0, 2.0),
        scales=dist.HalfNormal(2.0),
        weights=dist.Dirichlet(torch.full((K,), 5.0)),
    ),
    "heavy tails": lambda d: Priors(
        means=dist.StudentT(3.0, torch.zeros(d), 4.0).to_event(1),
        scales=dist.InverseGamma(2.0, 1.0),
        weights=dist.LogisticNormal(torch.zeros(K - 1), 1.5),
    ),
    "intervals": lambda d: Priors(means=dist.Uniform(-30.0, 30.0), scales=dist.Uniform(0.01, 20.0)),
}
every_prior = pytest.mark.parametrize("priors", PRIORS)


def density_of(family: str, d: int, priors: str = "default", n: int = 20) -> LogDensity:
    x = 2 * normal(n, d) + torch.arange(d)
    return MixtureModel(K, family, PRIORS[priors](d)).log_density(x)


close = partial(oracles.close, rounding=SAME)


def value_and_gradient(
    function: Callable[[Tensor], Tensor], vector: Tensor
) -> tuple[Tensor, Tensor]:
    vector = vector.detach().requires_grad_()
    value = function(vector)
    return value.detach(), torch.autograd.grad(value.sum(), vector)[0]


# ---------------------------------------------------------------------- the program's density


def potential(density: LogDensity, **arguments: Any) -> Callable[[Tensor], Tensor]:
    """The log joint of the unconstrained sites, as Pyro's own Hamiltonian Monte Carlo has it."""
    x = density.observations.x
    _, potential_fn, _, _ = initialize_model(
        density.model, (x,), arguments, max_plate_nesting=1, initial_params={}
    )

    def log_joint(vector: Tensor) -> Tensor:
        sites = {s.name: vector[0, s.entries].reshape(s.shape) for s in density.sites}
        return -potential_fn(sites)[None]

    return log_joint


def delta_guide(values: dict[str, Tensor]) -> Callable[..., None]:
    """A guide with all of its mass at these values of the sites."""

    def guide(x: Tensor, **arguments: Any) -> None:
        for name, value in values.items():
            pyro.sample(name, dist.Delta(value[0], event_dim=value.ndim - 1))
        if "subsample_size" in arguments:  # the program takes the rows that the guide has taken
            pyro.plate("points", len(x), subsample_size=arguments["subsample_size"])

    return guide


def negative_loss(density: LogDensity, **arguments: Any) -> Callable[[Tensor], Tensor]:
    """The log joint of the sites themselves, as the ELBO of a guide without width."""
    elbo = TraceEnum_ELBO(max_plate_nesting=1)

    def log_joint(vector: Tensor) -> Tensor:
        guide = delta_guide(density.constrain(vector))
        loss = elbo.differentiable_loss(density.model, guide, density.observations.x, **arguments)
        return -loss[None]

    return log_joint


# ---------------------------------------------------------------------- equality


@every_prior
@every_dimension
@every_family
def test_hamiltonian_monte_carlo_sees_the_log_density(family: str, d: int, priors: str) -> None:
    density = density_of(family, d, priors)
    vector = 0.5 * normal(1, density.dimension, seed=1)
    ours = value_and_gradient(density, vector)
    theirs = value_and_gradient(potential(density), vector)
    close(ours[0], theirs[0])
    close(ours[1], theirs[1])


@every_prior
@every_dimension
@every_family
def test_a_guide_without_width_sees_the_log_density(family: str, d: int, priors: str) -> None:
    density = density_of(family, d, priors)
    vector = 0.5 * normal(1, density.dimension, seed=1)
    ours = value_and_gradient(lambda v: density(v, jacobian=False), vector)
    theirs = value_and_gradient(negative_loss(density), vector)
    close(ours[0], theirs[0])
    close(ours[1], theirs[1])


@every_family
def test_sample_weights_enter_both_readings_alike(family: str) -> None:
    weight = normal(20).square()
    x = 2 * normal(20, 2)
    model = MixtureModel(K, family).specialise(x)
    density = model.log_density(observe(x, sample_weight=weight))
    vector = 0.5 * normal(1, density.dimension, seed=1)
    ours = value_and_gradient(density, vector)
    theirs = value_and_gradient(potential(density, sample_weight=weight), vector)
    close(ours[0], theirs[0])
    close(ours[1], theirs[1])


@pytest.mark.filterwarnings("ignore:TraceEnum_ELBO found no sample sites:UserWarning")
def test_weight_two_is_the_point_twice() -> None:
    density = density_of("full", 2, "scalars", n=5)
    x = density.observations.x
    weight = torch.tensor([1.0, 2.0, 1.0, 1.0, 3.0], dtype=torch.float64)
    repeated = density.model.log_density(x.repeat_interleave(weight.long(), 0))
    vector = 0.5 * normal(1, density.dimension, seed=1)
    program = value_and_gradient(negative_loss(density, sample_weight=weight), vector)
    close(program[0], repeated(vector, jacobian=False))


@every_family
def test_both_readings_take_the_same_minibatch(family: str) -> None:
    density = density_of(family, 2)
    x, vector = density.observations.x, 0.5 * normal(1, density.dimension, seed=1)
    guide = delta_guide(density.constrain(vector))
    with poutine.trace() as taken:
        guide(x, subsample_size=7)
    rows = density.observations.subset(taken.trace.nodes["points"]["value"])
    assert rows.n == 7
    loss = TraceEnum_ELBO(max_plate_nesting=1).loss(
        density.model, poutine.replay(guide, trace=taken.trace), x, subsample_size=7
    )
    close(density(vector, jacobian=False, rows=rows), torch.tensor([-loss], dtype=torch.float64))


def test_minibatches_are_unbiased() -> None:
    density = density_of("full", 2, n=5)
    vector = 0.5 * normal(2, density.dimension, seed=1)
    subsets = [torch.tensor(rows) for rows in itertools.combinations(range(5), 2)]
    estimates = [density(vector, rows=density.observations.subset(rows)) for rows in subsets]
    close(torch.stack(estimates).mean(0), density(vector))


@pytest.mark.parametrize("family", ["full", "tied", "spherical"])
def test_both_readings_are_the_sum_over_all_assignments(family: str) -> None:
    k, n = 2, 4
    x = 2 * normal(n, 2)
    density = MixtureModel(k, family).log_density(x)
    vector = 0.5 * normal(1, density.dimension, seed=1)
    sites = {name: value[0] for name, value in density.constrain(vector).items()}
    terms = []
    for assignment in itertools.product(range(k), repeat=n):
        fixed = {**sites, "assignment": torch.tensor(assignment)}
        trace = poutine.trace(poutine.condition(density.model, fixed)).get_trace(x)
        terms.append(trace.log_prob_sum())
    assert len(terms) == 16
    total = torch.stack(terms).logsumexp(0)[None]
    close(density(vector, jacobian=False), total)
    close(value_and_gradient(negative_loss(density), vector)[0], total)


def test_a_float32_program_is_the_float64_density_to_float32() -> None:
    density = density_of("full", 2, "scalars")
    vector = 0.5 * normal(1, density.dimension, seed=1)
    guide = delta_guide({n: v.float() for n, v in density.constrain(vector).items()})
    loss = TraceEnum_ELBO(max_plate_nesting=1).loss(
        density.model, guide, density.observations.x.float()
    )
    assert loss == pytest.approx(-density(vector, jacobian=False).item(), rel=1e-5)


# ---------------------------------------------------------------------- the flat vector


@every_dimension
@every_family
class TestVector:
    def test_has_one_entry_for_each_free_parameter(self, family: str, d: int) -> None:
        density = density_of(family, d)
        assert density.dimension == family_named(family).n_parameters(K, d)

    def test_constrain_and_unconstrain_are_inverse(self, family: str, d: int) -> None:
        density = density_of(family, d)
        vectors = normal(4, density.dimension, seed=1)
        close(density.unconstrain(density.constrain(vectors)), vectors, rounding=1e-9)

    def test_parameters_and_values_are_inverse(self, family: str, d: int) -> None:
        density = density_of(family, d)
        values = density.constrain(normal(4, density.dimension, seed=1))
        again = density.values(density.parameters(values))
        assert set(again) == set(values)
        for name, value in values.items():
            close(again[name], value)

    def test_rows_of_a_batch_do_not_touch_each_other(self, family: str, d: int) -> None:
        density = density_of(family, d)
        vectors = 0.5 * normal(4, density.dimension, seed=1)
        one_by_one = torch.cat([density(vector[None]) for vector in vectors])
        close(density(vectors), one_by_one)

    def test_is_the_vector_of_pyro_s_guides(self, family: str, d: int) -> None:
        density = density_of(family, d)
        guide = AutoMultivariateNormal(poutine.block(density.model, hide=["assignment"]))
        guide(density.observations.x)
        vector = 0.5 * normal(1, density.dimension, seed=1)
        ours = density.constrain(vector)
        for site, unconstrained in guide._unpack_latent(vector[0]):
            transform = torch.distributions.biject_to(site["fn"].support)
            close(transform(unconstrained), ours[site["name"]][0])


def test_the_log_density_agrees_with_the_mixture_at_the_same_parameters() -> None:
    density = density_of("full", 2)
    values = density.constrain(0.5 * normal(1, density.dimension, seed=1))
    factor = values["scales"][..., None] * values["correlations"]
    mixture = GaussianMixture(values["weights"][0], values["means"][0], (factor @ factor.mT)[0])
    close(density.log_likelihood(values)[0], mixture.log_prob(density.observations.x).sum())


# ---------------------------------------------------------------------- as a Pyro program


def hidden(model: MixtureModel) -> Any:
    """The program without its discrete site, which an automatic guide must not see."""
    return poutine.block(model, hide=["assignment"])


def train(model: MixtureModel, guide: Any, x: Tensor, steps: int = 20) -> list[float]:
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), TraceEnum_ELBO(max_plate_nesting=1))
    return [svi.step(x) for _ in range(steps)]


def halves(losses: list[float]) -> tuple[float, float]:
    middle = len(losses) // 2
    return float(np.mean(losses[:middle])), float(np.mean(losses[middle:]))


@pytest.mark.parametrize("guide", [AutoNormal, AutoDelta, AutoMultivariateNormal])
def test_pyro_s_guides_learn(guide: Any) -> None:
    data = clusters()
    model = MixtureModel(2)
    before, after = halves(train(model, guide(hidden(model)), data.x))
    assert after < before


def test_a_hand_written_guide_learns() -> None:
    data = clusters()

    def guide(x: Tensor) -> None:
        positive, simplex = dist.constraints.positive, dist.constraints.simplex
        weights = pyro.param("w", torch.full((2,), 0.5).double(), constraint=simplex)
        means = pyro.param("m", x[[0, -1]].clone())
        scales = pyro.param("s", torch.ones(2, 2).double(), constraint=positive)
        width = pyro.param("v", torch.full((2, 2), 0.1).double(), constraint=positive)
        pyro.sample("weights", dist.Dirichlet(30 * weights))
        pyro.sample("means", dist.Normal(means, width).to_event(2))
        pyro.sample("scales", dist.LogNormal(scales.log(), 0.1).to_event(2))

    before, after = halves(train(MixtureModel(2, "diag"), guide, data.x))
    assert after < before


def test_particles_of_pyro_s_run_at_once() -> None:
    density = density_of("full", 2)
    vector = 0.5 * normal(1, density.dimension, seed=1)
    start = init_to_value(values={n: v[0] for n, v in density.constrain(vector).items()})
    guide = AutoDelta(hidden(density.model), init_loc_fn=start)
    elbo = TraceEnum_ELBO(max_plate_nesting=1, num_particles=5, vectorize_particles=True)
    loss = elbo.loss(density.model, guide, density.observations.x)
    assert loss == pytest.approx(-density(vector, jacobian=False).item(), rel=SAME)


@every_family
def test_inferred_assignments_are_the_most_probable_components(family: str) -> None:
    density = density_of(family, 2)
    x = density.observations.x
    values = density.constrain(0.5 * normal(1, density.dimension, seed=1))
    fixed = poutine.condition(density.model, {name: v[0] for name, v in values.items()})
    inferred = infer_discrete(fixed, first_available_dim=-2, temperature=0)
    found = poutine.trace(inferred).get_trace(x).nodes["assignment"]["value"]
    mixture = GaussianMixture.from_parameters(density.model.family, density.parameters(values))
    assert found.tolist() == mixture.predict(x).tolist()
    assert len(set(found.tolist())) > 1


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "tied_spherical"])
def test_prior_predictive(family: str, parallel: bool) -> None:  # noqa: FBT001
    model = MixtureModel(K, family).specialise(2 * normal(20, 2))
    drawn = Predictive(model, num_samples=4, parallel=parallel)(n=6)
    assert drawn["x"].squeeze(1).shape == (4, 6, 2)
    assert drawn["assignment"].squeeze(1).shape == (4, 6)
    assert drawn["means"].squeeze(1).shape == (4, K, 2)
    assert drawn["x"].dtype == torch.float64


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "tied_spherical"])
def test_posterior_predictive_follows_the_draws(family: str, parallel: bool) -> None:  # noqa: FBT001
    model = MixtureModel(K, family).specialise(2 * normal(20, 2))
    draws = {name: torch.stack([p.sample()] * 5) for name, p in model.sites().items()}
    # each draw has a place of its own; in parallel Pyro wants an axis for the plate of points
    draws["means"] = 1e6 * (1 + torch.arange(5, dtype=torch.float64))[:, None, None].expand(5, K, 2)
    draws = {name: v[:, None] if parallel else v for name, v in draws.items()}
    x = Predictive(model, posterior_samples=draws, parallel=parallel)(n=8)["x"]
    places = (x / 1e6).round().flatten(1).unique(dim=1)
    assert places.T.tolist() == [[1, 2, 3, 4, 5]]


def test_predictive_samples_have_the_mixture_s_moments() -> None:
    """Mean and variance within 4 standard errors: a right program fails once in 8,000 seeds."""
    n = 4000
    model = MixtureModel(2, "full").specialise(normal(20, 1))
    sites = {
        "weights": torch.tensor([0.25, 0.75]).double(),
        "means": torch.tensor([[-1.0], [3.0]]).double(),
        "scales": torch.tensor([[2.0], [1.0]]).double(),
    }
    x = Predictive(model, {name: v[None] for name, v in sites.items()})(n=n)["x"].flatten()
    mean, variance, fourth = 2.0, 0.25 * 4 + 0.75 * 1 + 3.0, ((x - 2) ** 4).mean()
    assert abs(x.mean() - mean) < 4 * (variance / n) ** 0.5
    assert abs(x.var() - variance) < 4 * ((fourth - variance**2) / n) ** 0.5


def test_nuts_runs_on_the_program() -> None:
    data = clusters(1, 20, seed=0)
    model = MixtureModel(2).specialise(data.x)
    start = model.log_density(data.x)
    values = {"weights": [0.5, 0.5], "means": [[-3.0], [3.0]], "scales": [[1.0], [1.0]]}
    init = init_to_value(values={name: torch.tensor(v).double() for name, v in values.items()})
    kernel = NUTS(model, max_plate_nesting=1, init_strategy=init, max_tree_depth=3)
    mcmc = MCMC(kernel, num_samples=5, warmup_steps=5, disable_progbar=True)
    mcmc.run(data.x)
    draws = mcmc.get_samples()
    assert {name: tuple(v.shape) for name, v in draws.items()} == {
        "weights": (5, 2),
        "means": (5, 2, 1),
        "scales": (5, 2, 1),
    }
    assert start(start.unconstrain(draws)).isfinite().all()
    assert len(draws["means"].unique()) > 2


@pytest.mark.parametrize(
    "x",
    [
        normal(12, 2),
        normal(12, 2).float(),
        normal(12, 2).numpy(),
        normal(12, 2).tolist(),
        np.arange(24).reshape(12, 2),
        torch.arange(24).view(12, 2),
    ],
    ids=["float64", "float32", "numpy", "list", "numpy integers", "torch integers"],
)
def test_the_program_takes_any_array(x: Any) -> None:
    expected = x if isinstance(x, Tensor) and x.is_floating_point() else torch.as_tensor(x).double()
    torch.testing.assert_close(MixtureModel(2)(x), expected)


def test_a_univariate_array_is_one_column() -> None:
    assert MixtureModel(2)(normal(12)).shape == (12, 1)


# ---------------------------------------------------------------------- declarations


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", True, None])
def test_n_components_must_be_a_positive_integer(k: Any) -> None:
    with pytest.raises(ValueError, match="n_components must be an integer of at least 1, got"):
        MixtureModel(k)


def test_any_integer_type_counts_components() -> None:
    assert MixtureModel(np.int64(2)).sites is not None  # type: ignore[arg-type]


def test_an_unknown_family_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"covariance must be one of .*did you mean 'spherical'"):
        MixtureModel(2, "sphericl")


def test_priors_must_be_priors() -> None:
    with pytest.raises(ValueError, match=r"priors must be .* a Pyro program or None, got Normal"):
        MixtureModel(2, priors=dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("priors", "told", "d"),
    [
        (None, None, 1),
        (None, 3, 3),
        (Priors(means=dist.Normal(torch.zeros(2), 1.0)), None, 2),
        (Priors(correlations=dist.LKJCholesky(3, 1.0)), None, 3),
        (ConjugatePriors(mean=[0.0, 1.0]), None, 2),
        (ConjugatePriors(), 2, 2),
        (Priors(location=torch.zeros(4)), None, 4),
    ],
)
def test_without_data_default_priors_are_those_of_standardised_data(
    priors: Any, told: int | None, d: int
) -> None:
    model = MixtureModel(K, priors=priors)
    drawn = Predictive(model, num_samples=4)(n=5, n_features=told)
    assert drawn["x"].shape == (4, 5, d)
    own = replace(model.standardised(told).prior, feature_names=None)
    for name in ("location", "mean"):
        if getattr(priors, name, None) is None and hasattr(own, name):
            assert getattr(own, name).tolist() == [0.0] * d
    assert own.spread.tolist() == [1.0] * d


def test_a_number_of_features_that_priors_are_not_for_is_refused() -> None:
    model = MixtureModel(2).specialise(normal(9, 2))
    with pytest.raises(ValueError, match="n_features must be 2, which the priors are for, got 3"):
        model(n=3, n_features=3)


def test_the_program_without_data_needs_a_number_of_points() -> None:
    with pytest.raises(ValueError, match="n must be"):
        MixtureModel(2).specialise(normal(9, 2))()


def test_data_of_another_width_than_the_priors_are_refused() -> None:
    model = MixtureModel(2).specialise(normal(9, 2))
    with pytest.raises(ValueError, match="x must have 2 features, got 3"):
        model.specialise(normal(9, 3))


def test_priors_are_made_concrete_once() -> None:
    model = MixtureModel(2).specialise(normal(9, 2))
    assert model.specialise(5 + normal(9, 2)) is model
    assert MixtureModel(2).priors is None
