"""A Pyro program as a prior: one model in both readings, every method, and what it shows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from pyro.infer.mcmc.util import initialize_model
from torch import Tensor

import gmm_pyro as gp
import oracles
import program_priors
from gmm_pyro import MixtureModel, Priors
from gmm_pyro.model.numbering import exchangeable_classes, permuted_values
from oracles import normal
from program_priors import (
    AXES,
    PROGRAMS,
    REFUSED,
    RIGID,
    D,
    K,
    X,
    close,
    density_of,
    every_program,
)
from runs import quietly

pytestmark = pytest.mark.usefixtures("pyro_of_its_own")


def value_and_gradient(function: Any, vector: Tensor) -> tuple[Tensor, Tensor]:
    vector = vector.detach().requires_grad_()
    value = function(vector)
    return value.detach(), torch.autograd.grad(value.sum(), vector)[0]


# ---------------------------------------------------------------------- two readings


@every_program
@pytest.mark.parametrize("prefix", ["", "left_"])
def test_the_log_density_is_that_of_the_enumerated_program(program: str, prefix: str) -> None:
    """Value and gradient, as Pyro's own Hamiltonian Monte Carlo has them."""
    model = MixtureModel(K, priors=PROGRAMS[program], prefix=prefix)
    density = model.log_density(X)
    nesting = max(1, density.prior.nesting)
    _, potential, _, _ = initialize_model(
        model, (X,), {}, max_plate_nesting=nesting, initial_params={}
    )

    def log_joint(vector: Tensor) -> Tensor:
        sites = {f"{prefix}{s.name}": vector[0, s.entries].reshape(s.shape) for s in density.sites}
        return -potential(sites)[None]

    vector = 0.5 * normal(1, density.dimension)
    for ours, pyros in zip(
        value_and_gradient(density, vector), value_and_gradient(log_joint, vector), strict=True
    ):
        close(ours, pyros)


@every_program
def test_traces_of_the_program_have_the_same_log_probability(program: str) -> None:
    """The sum over assignments is TraceEnum's, and the values are those that a trace returns."""
    density = density_of(program)
    values = density.constrain(0.5 * normal(1, density.dimension))
    own = {name: values[name][0] for name in density.prior}
    fixed = poutine.condition(density.model, own)
    elbo = TraceEnum_ELBO(
        max_plate_nesting=max(1, density.prior.nesting), strict_enumeration_warning=False
    )
    found = -elbo.loss(fixed, lambda x: None, X)
    close(density.log_prior(values) + density.log_likelihood(values), [found])
    nodes = poutine.trace(fixed).get_trace(X).nodes
    for name in ("weights", "means", "scales", "correlations"):
        close(values[name][0], nodes[name]["value"])


@every_program
def test_many_sets_are_as_each_alone(program: str) -> None:
    density = density_of(program)
    assert density.prior.structure.at_once
    vectors = normal(5, density.dimension)
    close(density(vectors), torch.cat([density(vector[None]) for vector in vectors]))
    none = {name: value[:0] for name, value in density.constrain(vectors).items()}
    assert density.log_prior(none).shape == (0,)


def test_a_program_that_looks_at_its_values_runs_once_for_each_set() -> None:
    def looking() -> dict[str, Tensor]:
        spread = pyro.sample("spread_of_means", dist.LogNormal(0.0, 1.0))
        if float(spread) > 1:
            spread = 2 * spread
        return {
            "means": spread * pyro.sample("one", dist.Normal(torch.zeros(K, D), 1.0).to_event(2))
        }

    density = MixtureModel(K, priors=looking).log_density(X)
    assert not density.prior.structure.at_once
    vectors = normal(4, density.dimension)
    close(density(vectors), torch.cat([density(vector[None]) for vector in vectors]))


def test_numbers_of_single_precision_do_not_matter() -> None:
    outside = torch.ones(K)  # float32, as a global of the user's script

    def single() -> dict[str, Tensor]:
        return {"weights": pyro.sample("weights", dist.Dirichlet(2 * outside))}

    ours = MixtureModel(K, priors=single).log_density(X)
    theirs = MixtureModel(K, priors=Priors(weights=dist.Dirichlet(2 * outside))).log_density(X)
    vectors = normal(3, theirs.dimension)
    values = theirs.constrain(vectors)
    oracles.close(ours.log_prior(values), theirs.log_prior(values), rounding=1e-7)
    assert ours.constrain(vectors)["weights"].dtype is torch.float64


def test_a_program_may_ask_for_the_data_s_units() -> None:
    def scaled(n_components: int, location: Tensor, spread: Tensor) -> dict[str, Tensor]:
        prior = dist.Normal(location, 2 * spread).expand([n_components, len(spread)])
        return {"means": pyro.sample("means", prior.to_event(2))}

    ours = MixtureModel(K, priors=scaled).log_density(X)
    default = MixtureModel(K).log_density(X)
    values = default.constrain(normal(3, default.dimension))
    close(ours.log_prior(values), default.log_prior(values))


@pytest.mark.parametrize("family", ["tied", "diag", "spherical", "tied_spherical"])
def test_every_family_has_its_own_sites(family: str) -> None:
    density = density_of("offsets", family)
    vectors = 0.5 * normal(2, density.dimension)
    values = density.constrain(vectors)
    assert values["scales"].shape[1:] == density.model.family.site_shapes(K, D)["scales"]
    close(
        density(vectors),
        density.log_prior(values)
        + density.log_likelihood(values)
        + density.log_jacobian(vectors, values),
    )


# ---------------------------------------------------------------------- axes and numberings


@every_program
def test_axes_of_components_are_found(program: str) -> None:
    density = density_of(program)
    assert density.prior.others == AXES[program]
    assert density.renumbers == (program not in RIGID)


@every_program
def test_renumbered_values_are_of_the_same_mixture(program: str) -> None:
    density = density_of(program)
    values = density.constrain(normal(2, density.dimension))
    order = torch.tensor([[1, 2, 0], [0, 2, 1]])
    if program in RIGID:
        assert exchangeable_classes(density) == (0, 1, 2)
        return
    moved = permuted_values(density, values, order)
    again = density.constrain(density.unconstrain(moved))
    for name, value in moved.items():
        torch.testing.assert_close(again[name], value)
    close(density.log_likelihood(again), density.log_likelihood(values))
    if program == "known_centres":
        assert exchangeable_classes(density) == (0, 1, 2)
    else:
        assert exchangeable_classes(density) == (0, 0, 0)
        close(density.log_prior(again), density.log_prior(values))


@every_program
def test_values_of_a_mixture_make_about_that_mixture(program: str) -> None:
    """As far as the program can: its spaces of means and weights may be smaller."""
    density = density_of(program)
    wanted = density.parameters(density.constrain(0.3 * normal(4, density.dimension)))
    values = density.values(wanted)
    found = density.parameters(values)
    torch.testing.assert_close(found.means, wanted.means, atol=0.2, rtol=0)
    torch.testing.assert_close(found.log_weights, wanted.log_weights, atol=0.2, rtol=0)
    assert density(density.unconstrain(values)).isfinite().all()


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_prior_is_refused(name: str) -> None:
    program, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        MixtureModel(K, priors=program).log_density(X)(torch.zeros(1, 1))


def test_arguments_that_nobody_gives_are_refused() -> None:
    with pytest.raises(ValueError, match="takes no arguments but n_components, n_features"):
        MixtureModel(K, priors=lambda x: {})


def test_gibbs_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs a conjugate prior.* got PriorProgram"):
        gp.fit(MixtureModel(K, priors=program_priors.centred), X, "gibbs")


def test_a_guide_with_the_shape_of_a_mixture_is_refused() -> None:
    with pytest.raises(ValueError, match="guide='structured' has weights and components"):
        gp.fit(MixtureModel(K, priors=program_priors.centred), X, "svi", guide="structured")


def test_nothing_of_the_process_is_changed() -> None:
    pyro.get_param_store().clear()
    before = torch.get_rng_state()
    settings = pyro.settings.get()
    with quietly():
        gp.fit(MixtureModel(K, priors=program_priors.everything), X, "map", max_steps=3)
    for program, _ in REFUSED.values():
        with pytest.raises(ValueError, match=r"prior program|depends on|is a Delta"):
            MixtureModel(K, priors=program).log_density(X)(torch.zeros(1, 1))
    assert torch.get_rng_state().equal(before)
    assert pyro.settings.get() == settings
    assert torch.get_default_dtype() is torch.float32
    assert not pyro.get_param_store().keys()


def test_densities_of_programs_may_be_asked_in_several_threads() -> None:
    density = density_of("everything")
    vectors = normal(6, density.dimension)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda vector: density(vector[None]), vectors))
    close(torch.cat(found), density(vectors))


def test_a_density_inside_a_program_adds_no_sites_to_it() -> None:
    density = density_of("centred")

    def outer() -> None:
        with pyro.plate("around", 2):
            pyro.sample("one", dist.Normal(0.0, 1.0))
        pyro.factor("x", density(torch.zeros(1, density.dimension).double())[0])

    assert list(poutine.trace(outer).get_trace().nodes) == [
        "_INPUT",
        "around",
        "one",
        "x",
        "_RETURN",
    ]
