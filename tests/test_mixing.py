"""What is said of chains: whether they have mixed, where they are, and what would help."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

import gmm_pyro as gp
from gmm_pyro import MixtureModel, Posterior, Status
from gmm_pyro.covariance import family_named
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.chains.mixing import Mixing, judged
from gmm_pyro.inference.methods import choice
from gmm_pyro.inference.soundness import Soundness
from gmm_pyro.inference.starts.solutions import distinct_solutions
from gmm_pyro.inference.task import Task
from gmm_pyro.posterior import Convergence
from gmm_pyro.reduction.pointwise import labels
from gmm_pyro.reduction.theta import theta_of
from oracles import clusters
from runs import quietly

N_CHAINS, N_DRAWS = 4, 500


def posterior(level: Any = 0.0, noise: float = 1.0, *, seed: int = 0, surplus: bool = False) -> Any:
    """Independent draws of two components, whose log density has a level of each chain and draw."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=(N_CHAINS, N_DRAWS, *shape)))

    share = 0.5 + 0.02 * normal()
    if surplus:  # the second component is empty in every other draw
        share[:, ::2] = 0.999
    sites = {
        "weights": torch.stack([share, 1 - share], -1),
        "means": normal(2, 1) * noise + torch.tensor([[-3.0], [3.0]]),
        "scales": (0.1 * normal(2, 1)).exp(),
    }
    likelihood = normal() + torch.as_tensor(level)
    statistics = {"log_likelihood": likelihood, "lp": likelihood - 2}
    observations = observe(np.linspace(-4, 4, 50)[:, None])
    return Posterior(sites, family_named("full"), observations, statistics=statistics)


def levels(*values: float) -> torch.Tensor:
    return torch.tensor(values).double()[:, None]


def test_chains_that_have_mixed_have_no_advice() -> None:
    found = judged(posterior())
    assert (found.mixed, found.advice) == (True, "")


def test_chains_in_different_modes_are_named_with_their_log_densities() -> None:
    found = judged(posterior(levels(-365, -365, -371, -365)))
    assert not found.mixed
    assert "by log density, chains 1, 2 and 4 near -367 and chain 3 near -373" in found.advice
    assert "more warm-up will not help" in found.advice
    assert "n_warmup" not in found.advice


def test_modes_of_one_height_are_told_by_what_no_numbering_changes() -> None:
    draws = posterior()
    means = draws.draws["means"].clone()
    means[:2] *= 3
    apart = Posterior(
        {**draws.draws, "means": means},
        draws.family,
        draws.observations,
        statistics=draws.statistics,
    )
    advice = judged(apart).advice
    assert "by standard deviation[0], chains" in advice
    assert "1 and 2" in advice
    assert "3 and 4" in advice


def test_chains_that_still_climb_need_more_warm_up() -> None:
    rise = torch.linspace(-9, 0, N_DRAWS).double() * levels(1, 2, 1, 1.5)
    assert "raise n_warmup" in judged(posterior(rise)).advice


def test_too_few_draws_are_told_with_their_figures() -> None:
    draws = posterior()
    few = {name: value[:, :50] for name, value in draws.draws.items()}
    statistics = {name: value[:, :50] for name, value in draws.statistics.items()}
    short = Posterior(few, draws.family, draws.observations, statistics=statistics)
    found = judged(short)
    assert not found.mixed  # of 200 draws no 400 can be effective
    assert "the smallest effective number of draws" in found.advice
    assert found.advice.endswith("raise n_draws")


def test_components_that_pass_for_each_other_are_told_from_chains_that_do_not_move() -> None:
    """In two chains the components have each other's names: nothing else differs."""
    draws = posterior()
    sites = {name: value.clone() for name, value in draws.draws.items()}
    for value in sites.values():
        value[:2] = value[:2].flip(2)
    swapped = Posterior(sites, draws.family, draws.observations, statistics=draws.statistics)
    found = judged(swapped)
    assert found.convergence.r_hat > 1.5
    assert "what no numbering of the components can change has mixed" in found.advice


def test_a_component_that_keeps_its_place_is_judged_by_its_own_numbers() -> None:
    """In two chains it is elsewhere, but only while it is empty: the whole does not show it."""
    draws = posterior(surplus=True)
    draws.draws["means"][:2, ::2, 1] += 3
    assert judged(draws).mixed
    found = judged(draws, alone=[1])
    assert not found.mixed
    assert found.convergence.worst == "means[1, 0]"
    assert judged(draws, alone=[0]).mixed


def test_a_component_that_comes_and_goes_is_judged_by_what_no_numbering_changes() -> None:
    draws = posterior(surplus=True)
    means = draws.draws["means"].clone()
    means[0, ::2, 1] += 50  # where it is empty it may be anywhere
    anywhere = Posterior(
        {**draws.draws, "means": means},
        draws.family,
        draws.observations,
        statistics=draws.statistics,
    )
    names = anywhere.convergence().worst
    assert "[0, 0]" not in names
    assert "[1, 0]" not in names


@pytest.mark.parametrize(
    ("r_hat", "size", "doublings", "worth"),
    [(1.02, 900, 1, True), (1.05, 900, 1, False), (1.005, 60, 3, True), (1.005, 40, 3, False)],
)
def test_chains_go_on_where_that_is_enough(
    r_hat: float,
    size: float,
    doublings: int,
    worth: bool,  # noqa: FBT001
) -> None:
    found = Mixing(Convergence(r_hat, size, 1000.0), mixed=False, advice="")
    assert found.may_mix(doublings) == worth


# ---------------------------------------------------------------------- samplers


@pytest.mark.parametrize("seed", [0, 3])
def test_two_modes_of_the_irises_are_never_called_converged_without_jumps(seed: int) -> None:
    """Half of the posterior is in either.

    A chain changes between the modes some ten times in a hundred thousand sweeps.
    """
    options: dict[str, Any] = {"seed": seed, "n_draws": 400, "jumps": "never"}
    with pytest.warns(gp.FitWarning, match=r"chains .* near .*: different modes"):
        fit = gp.fit(MixtureModel(3), load_iris().data, "gibbs", **options)
    assert fit.status is Status.UNMIXED


@pytest.mark.parametrize("seed", range(4))
def test_chains_start_at_solutions_of_few_points_too(seed: int) -> None:
    """A maximum of the likelihood would not be sound there, and a prior makes up for it."""
    observations = observe(load_iris().data, n_components=3)
    model = MixtureModel(3, priors=gp.ConjugatePriors()).specialise(observations)
    task = Task("gibbs", model, observations, choice("gibbs", {"seed": seed}).options)
    found = distinct_solutions(task, model.log_density(observations), 8)
    hard = labels(observations, theta_of(model.family, found, observations))
    fewest = [int(row.bincount(minlength=3).min()) for row in hard]
    assert min(fewest) < Soundness.for_task(task).least_points <= max(fewest)


def test_a_posterior_with_one_mode_is_called_converged() -> None:
    data = clusters(n=120, separation=5, seed=4)
    fit = gp.fit(MixtureModel(2, "diag"), data.x, "gibbs", n_draws=500)
    found = fit.posterior.convergence()  # type: ignore[union-attr]
    assert fit.status is Status.CONVERGED
    assert (found.r_hat, found.ess_bulk, found.ess_tail) == (
        fit.diagnostics["r_hat"],
        fit.diagnostics["ess_bulk"],
        fit.diagnostics["ess_tail"],
    )


def test_longer_chains_keep_as_many_draws_at_twice_the_distance() -> None:
    """With overlapping clusters 200 draws of each of four chains are not enough at first."""
    x = clusters(1, 80, separation=3, seed=0).x
    options: dict[str, Any] = {"n_draws": 200, "keep_allocations": 50, "seed": 1, "jumps": "never"}
    with quietly():
        short, long = (
            gp.fit(MixtureModel(2), x, "gibbs", max_doublings=most, **options) for most in (0, 6)
        )
    doublings = long.diagnostics["doublings"]
    assert doublings > 0
    assert long.posterior.n_draws == short.posterior.n_draws == 200  # type: ignore[union-attr]
    first = 200 // 2**doublings
    for name in ("log_likelihood", "lp"):
        every = short.posterior.statistics[name][:, :: 2**doublings]  # type: ignore[union-attr]
        kept = long.posterior.statistics[name]  # type: ignore[union-attr]
        torch.testing.assert_close(kept[:, :first], every[:, :first])
    assert long.posterior.kept.tolist() == list(range(0, 200, 4))  # type: ignore[union-attr]


class TestComparison:
    def test_nothing_is_held_against_chains_that_have_not_mixed(self) -> None:
        options = {"gibbs": {"n_draws": 20, "n_warmup": 10}}
        data = clusters(1, separation=5, seed=4)
        found = gp.compare(MixtureModel(2), data, ["svi", "gibbs"], options=options)
        assert found.reference is None
        assert found.table["posterior_mean_error"].isna().all()
        assert found.measured_against == "no errors against gibbs, whose chains have not mixed"
        told = found.fits["gibbs"].diagnostics
        assert found.table.loc["gibbs", "r_hat"] == told["r_hat"]
        assert found.table.loc["gibbs", "ess_bulk"] == told["ess_bulk"]
        assert found.table.loc["gibbs", "ess_tail"] == told["ess_tail"]
