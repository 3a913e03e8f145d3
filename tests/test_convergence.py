"""R-hat and effective sample sizes are ArviZ's, for all quantities at once."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest

from gmm_pyro.posterior import convergence as ours

AUTOREGRESSION = np.array([0.0, 0.5, 0.9, -0.5, 0.99, -0.9, 0.3])


def chains(kind: str, n_chains: int = 4, n_draws: int = 203, seed: int = 0) -> np.ndarray:
    """Autoregressive chains of seven quantities, shape (chain, draw, 7)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_chains, n_draws, 7))
    for t in range(1, n_draws):
        x[:, t] += AUTOREGRESSION * x[:, t - 1]
    if kind == "apart":
        x[0] += 2
    if kind == "drifting":
        x += np.linspace(0, 3, n_draws)[:, None]
    if kind == "heavy tails":
        x = np.exp(2 * x)
    if kind == "whole numbers":
        x = np.round(x)
    return x


KINDS = ["stationary", "apart", "drifting", "heavy tails", "whole numbers"]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_of_arviz(kind: str, seed: int) -> None:
    x = chains(kind, seed=seed)
    each = [x[..., i] for i in range(7)]
    np.testing.assert_allclose(ours.r_hat(x), [az.rhat(draws) for draws in each], rtol=1e-9)
    bulk = [az.ess(draws, method="bulk") for draws in each]
    np.testing.assert_allclose(ours.ess_bulk(x), bulk, rtol=1e-9)
    tail = [az.ess(draws, method="tail", prob=ours.TAILS) for draws in each]
    np.testing.assert_allclose(ours.ess_tail(x), tail, rtol=1e-9)


@pytest.mark.parametrize("n_draws", [8, 9, 10, 11, 13])
def test_they_are_those_of_arviz_for_few_draws(n_draws: int) -> None:
    x = chains("stationary", n_draws=n_draws)
    theirs = [az.ess(x[..., i], method="bulk") for i in range(7)]
    np.testing.assert_allclose(ours.ess_bulk(x), theirs, rtol=1e-9)


def test_a_single_chain_is_cut_in_two_for_r_hat() -> None:
    x = chains("stationary", n_chains=1, n_draws=200)
    halves = np.concatenate([x[:, :100], x[:, 100:]])
    np.testing.assert_allclose(ours.r_hat(x), ours.r_hat(halves))


def test_the_worst_quantity_is_named_and_constants_are_left_out() -> None:
    x = chains("stationary", n_draws=400)[..., :4]
    x[..., 2] = 5.0
    x[1, :, 3] += 4
    found = ours.convergence_of(x, ["a", "b", "constant", "apart"])
    assert found.worst == "apart"
    assert found.r_hat == pytest.approx(float(az.rhat(x[..., 3])))
    assert found.ess_bulk == pytest.approx(min(az.ess(x[..., i]) for i in (0, 1, 3)))


def test_chains_that_never_move_and_differ_have_an_infinite_r_hat() -> None:
    x = np.zeros((3, 20, 1)) + np.arange(3.0)[:, None, None]
    assert ours.r_hat(x)[0] > 10


def test_too_few_draws_have_no_convergence() -> None:
    found = ours.convergence_of(chains("stationary", n_draws=7), list("abcdefg"))
    assert np.isnan([found.r_hat, found.ess_bulk, found.ess_tail]).all()
    assert found.worst == ""
