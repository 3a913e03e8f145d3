"""Modes: the numbering of components that a prior holds likeliest, whatever the seed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from tqdm import tqdm

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel, Priors
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.climb.optimise import mode_from
from gmm_pyro.inference.map import MAPOptions
from gmm_pyro.inference.task import Outcome, Run, Status, Task
from oracles import normal, numbers

pytestmark = [
    pytest.mark.usefixtures("pyro_of_its_own"),
    pytest.mark.filterwarnings("ignore:(laplace|svi) describes one of"),  # numberings
]

SHORT: dict[str, dict[str, Any]] = {
    "map": {},
    "laplace": {"n_draws": 2},
    "svi": {"n_draws": 2, "max_steps": 20},
}


def two_clusters() -> Tensor:
    """30 points at -3 and 70 at 3."""
    return normal(100, 1) + 3.0 * torch.where(torch.arange(100) < 30, -1, 1)[:, None]


def named(k: int) -> dict[str, Callable[[], Any]]:
    """Priors that name k components in one dimension, each by another site."""
    return {
        "means": lambda: Priors(means=dist.Normal(4 * normal(k, 1, seed=5), 3.0)),
        "scales": lambda: Priors(scales=dist.LogNormal(0.7 * normal(k, 1, seed=5), 0.5)),
        "weights": lambda: Priors(weights=dist.Dirichlet(1 + 4 * normal(k, seed=5).abs())),
        "conjugate": lambda: ConjugatePriors(concentration=1 + 4 * normal(k, seed=5).abs()),
    }


def gain_of_others(found: gp.Fit) -> float:
    """Nats of prior density by which the best of all k! numberings is above the fit's own."""
    density = found.model.log_density(found.observations)
    values = density.values(found.mixture.parameters)
    tied, orders = (
        found.model.family.tied,
        torch.tensor([*permutations(range(found.model.n_components))]),
    )
    moved = {
        name: value.expand(len(orders), *value.shape[1:])
        if tied and name not in ("weights", "means")
        else value[0, orders]
        for name, value in values.items()
    }
    log_priors = density.log_prior(moved)
    return float(log_priors.max() - log_priors[0])


@pytest.mark.parametrize("method", ["map", "laplace", "svi"])  # a sampler draws the other one, too
def test_the_numbering_does_not_depend_on_the_seed(method: str) -> None:
    """Component 0 is the one that the prior expects at 3: the other numbering is 2.25 nats less."""
    model = MixtureModel(2, priors=Priors(means=dist.Normal(numbers([[3.0], [-3.0]]), 4.0)))
    for seed in range(10 if method == "map" else 5):
        found = gp.fit(model, two_clusters(), method=method, seed=seed, **SHORT[method])
        assert found.mixture.means[:, 0].tolist() == pytest.approx([3.0, -3.0], abs=0.7)


@pytest.mark.filterwarnings("ignore:(map|svi).* stopped at the step limit")
@pytest.mark.parametrize("method", ["map", "svi"])
def test_pyro_s_engine_has_the_same_numbering(method: str) -> None:
    model = MixtureModel(2, priors=Priors(means=dist.Normal(numbers([[3.0], [-3.0]]), 4.0)))
    options = {**SHORT[method], "engine": "enumerated", "max_steps": 25}
    for seed in range(4):
        found = gp.fit(model, two_clusters(), method=method, seed=seed, **options)
        assert found.mixture.means[0, 0] > found.mixture.means[1, 0]


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize(
    ("site", "family"),
    [
        *((site, "full") for site in named(2)),
        *((site, "tied") for site in named(2) if site != "scales"),  # one that all share
    ],
)
@pytest.mark.filterwarnings("ignore:map found a degenerate solution")  # empty, where k is too many
def test_no_numbering_of_the_mode_is_likelier(site: str, family: str, k: int) -> None:
    x = (4 * normal(k, 1, seed=6))[torch.arange(40) % (k + 1) % k] + normal(40, 1)
    for method, seed in (("map", 0), ("map", 1), ("laplace", 0)):
        model = MixtureModel(k, family, named(k)[site]())
        found = gp.fit(model, x, method=method, seed=seed, **SHORT[method])
        assert gain_of_others(found) < 1e-9


@pytest.mark.filterwarnings("ignore:svi found a degenerate solution")  # empty, here
@pytest.mark.parametrize("problem", [0, 18, 30, 35])  # where that of the mode is not the centre's
def test_no_numbering_of_a_guide_s_centre_is_likelier(problem: int) -> None:
    weights = dist.Dirichlet(1 + 4 * normal(3, seed=100 + problem).abs())
    model = MixtureModel(3, priors=Priors(weights=weights))
    x = 4 * normal(30, 1, seed=200 + problem)
    assert gain_of_others(gp.fit(model, x, method="svi", n_draws=2)) < 1e-9


def test_eight_components_find_their_places() -> None:
    """Each cluster is where the prior of one component is centred."""
    centres = 10.0 * torch.randperm(8, generator=torch.Generator().manual_seed(2))[:, None]
    x = centres.sort(0).values[torch.arange(80) % 8] + normal(80, 1)
    model = MixtureModel(8, "tied", Priors(means=dist.Normal(centres.double(), 20.0)))
    for seed in range(3):
        found = gp.fit(model, x, method="map", seed=seed)
        torch.testing.assert_close(found.mixture.means, centres.double(), rtol=0, atol=3.0)


def test_a_climb_goes_on_from_a_likelier_numbering_of_its_end() -> None:
    """From a start in the worse numbering, to the mode that the other numbering's start has."""
    x = two_clusters()
    priors = Priors(means=dist.Normal(numbers([[3.0], [-3.0]]), 0.5))
    model = MixtureModel(2, "diag", priors).specialise(x)
    task = Task("map", model, observe(x), MAPOptions())
    density = model.log_density(x)
    ends = []
    for means in ([[-3.0], [3.0]], [[3.0], [-3.0]]):
        values = density.constrain(torch.zeros(1, density.dimension).double())
        start = Run(
            density.unconstrain({**values, "means": numbers([means])}), [0.0], Status.STEP_LIMIT
        )
        with tqdm(disable=True) as bar:
            ends.append(mode_from(task, density, start, bar, tolerance=1e-10))
    worse, better = ends
    assert worse.status is Status.CONVERGED
    assert worse.history[-1] == pytest.approx(better.history[-1], abs=1e-6)
    torch.testing.assert_close(worse.state, better.state, rtol=0, atol=1e-3)
    assert sorted(worse.history) == worse.history


@pytest.mark.parametrize("method", ["map", "laplace"])
def test_a_given_start_keeps_its_numbering(method: str) -> None:
    """Labels and mixtures name the components themselves, in the worse numbering here."""
    x = two_clusters()
    model = MixtureModel(2, priors=Priors(means=dist.Normal(numbers([[3.0], [-3.0]]), 4.0)))
    labels = (x[:, 0] > 0).long()
    of_labels = gp.fit(model, x, method=method, start=labels)
    assert of_labels.mixture.means[0, 0] < of_labels.mixture.means[1, 0]
    of_mixture = gp.fit(model, x, method=method, start=of_labels.mixture)
    assert of_mixture.mixture.means[0, 0] < of_mixture.mixture.means[1, 0]


def test_a_prior_that_names_none_leaves_the_numbering_of_the_start() -> None:
    x = two_clusters()
    em = gp.fit(MixtureModel(2), x, method="em", seed=3)
    found = gp.fit(MixtureModel(2), x, method="map", seed=3)
    torch.testing.assert_close(found.mixture.means, em.mixture.means, rtol=0, atol=0.5)


class Odd(dist.Normal):  # type: ignore[misc]
    """A distribution whose density is no number anywhere."""

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.full_like(super().log_prob(value), torch.nan)


@pytest.mark.parametrize("method", SHORT)
def test_a_density_that_is_no_number_is_named(method: str) -> None:
    model = MixtureModel(2, priors=Priors(means=Odd(0.0, 1.0)))
    with pytest.raises(ValueError, match="no number where the fit begins: log prior of means nan"):
        gp.fit(model, two_clusters(), method=method, **SHORT[method])


@pytest.mark.parametrize("objective", [torch.nan, torch.inf, -torch.inf])
def test_no_objective_but_a_number_is_converged(objective: float) -> None:
    """Whatever a method says: the fit takes the status from its outcome."""
    state: Any = {"parameters": None, "history": [objective], "steps": 1}
    for status in Status:
        ended = Outcome(objective=objective, status=status, **state).status
        assert ended not in (Status.CONVERGED, Status.UNMIXED)
        assert Outcome(objective=-1e3, status=status, **state).status is status
