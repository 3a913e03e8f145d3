"""How fits go on and end, whatever the method: progress, step limits, interrupts, divergence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from torch import Tensor
from tqdm import tqdm

import gmm_pyro as gp
from gmm_pyro import FitWarning, GaussianMixture, MixtureModel, Status
from gmm_pyro.inference import METHODS
from oracles import clusters
from runs import (
    BY_STEPS,
    OURS,
    SAMPLERS,
    STEP_LIMIT,
    THROUGH_PYRO,
    UNMIXED,
    brief,
    every_method,
    fit,
    overlapping,
    quietly,
)

pytestmark = UNMIXED


# ---------------------------------------------------------------------- progress


@every_method
@STEP_LIMIT
def test_progress_is_shown_on_standard_error_when_asked_for(
    method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    brief(method, clusters().x, progress=True)
    shown = capfd.readouterr()
    assert method in shown.err
    assert "step" in shown.err
    assert shown.out == ""


@every_method
@STEP_LIMIT
def test_nothing_is_shown_otherwise(method: str, capfd: pytest.CaptureFixture[str]) -> None:
    brief(method, clusters().x)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------------- endings


@pytest.mark.parametrize("method", [method for method in METHODS if method not in SAMPLERS])
def test_the_step_limit_is_kept_and_told(method: str) -> None:
    limit = 1 if method in ("kmeans", "em", "map", "laplace", "svi") else 50
    with pytest.warns(FitWarning, match=f"{method} stopped at the step limit.*raise max_st"):
        found = fit(method, overlapping(), max_steps=limit, tolerance=0, start="random points")
    assert found.status is Status.STEP_LIMIT
    assert not found.converged
    assert found.steps == limit


@pytest.mark.parametrize("method", SAMPLERS)
def test_the_step_limit_of_a_sampler_is_that_of_its_start(method: str) -> None:
    """How many steps it takes itself is told by its own options."""
    found = brief(method, overlapping(), max_steps=1, start="random points")
    assert found.status in (Status.CONVERGED, Status.UNMIXED)
    assert found.steps == found.options.n_draws


@pytest.mark.parametrize("method", ["gradient", "map:enumerated", "svi:enumerated"])
def test_no_step_is_taken_beyond_the_limit(method: str) -> None:
    """These methods take steps in blocks, which a limit below a block does not allow."""
    with pytest.warns(FitWarning, match="step limit"):
        found = fit(method, overlapping(), max_steps=10, tolerance=0)
    assert found.steps <= 10


def interrupt_at(monkeypatch: pytest.MonkeyPatch, update: int) -> Callable[[], int]:
    """Press Ctrl-C at the n-th update of the progress bar; returns how many came after it."""
    count = 0

    def counted(self: tqdm, n: float = 1) -> None:
        nonlocal count
        count += 1
        if count == update:
            raise KeyboardInterrupt

    monkeypatch.setattr(tqdm, "update", counted)
    return lambda: max(0, count - update)


def interrupted(method: str, x: Tensor, family: str = "full", **options: Any) -> gp.Fit:
    """A fit during which Ctrl-C is pressed, which must not pass it on, and has a result."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = fit(method, x, family, **options)
        except KeyboardInterrupt:
            pytest.fail("the interrupt reached the caller, and with it nothing")
    assert found.status is Status.INTERRUPTED
    assert any("interrupted; the best state so far is kept" in str(w.message) for w in caught)
    assert found.mixture.log_prob(x).isfinite().all()
    assert found.history.isfinite().all()
    assert np.isfinite(found.objective)
    return found


@pytest.mark.parametrize("method", BY_STEPS)
@pytest.mark.parametrize("update", [1, 2, 6])
def test_an_interrupt_returns_the_best_so_far(
    method: str, update: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, update)
    interrupted(method, overlapping(), tolerance=0, start="random", n_starts=1)


@pytest.mark.parametrize("method", BY_STEPS)
def test_one_interrupt_is_enough(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No later phase of the fit goes on as if nothing had happened."""
    updates_after = interrupt_at(monkeypatch, 2)
    interrupted(method, overlapping(), tolerance=0)
    assert updates_after() <= 1


@pytest.mark.parametrize(
    ("method", "step"),
    [
        (method, step)
        for method in THROUGH_PYRO
        for step in ((1, 10) if method in SAMPLERS else (1, 40))
    ],
)
def test_an_interrupt_of_pyro_s_steps(
    method: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    owner, name = (pyro.infer.NUTS, "sample") if method in SAMPLERS else (pyro.infer.SVI, "step")
    original = getattr(owner, name)

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == step:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    interrupted(method, clusters(1).x, "diag")


@pytest.mark.filterwarnings("ignore:em found a degenerate solution")
def test_em_that_diverges_keeps_the_last_finite_state() -> None:
    """Without a floor, a component shrinks onto copies of one point until it has no width."""
    x = torch.cat([clusters().x, torch.tensor([[0.0, 4.0]]).expand(3, 2)])
    start = GaussianMixture(
        [0.5, 0.45, 0.05],
        [[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]],
        [[[1.0, 0.0], [0.0, 1.0]]] * 2 + [[[0.01, 0.0], [0.0, 0.01]]],
    )
    with pytest.warns(FitWarning, match="diverged: the objective is no longer finite"):
        found = fit("em", x, k=3, start=start, covariance_floor=0)
    assert found.status is Status.DIVERGED
    assert found.history.isfinite().all()
    assert np.isfinite(found.objective)
    assert found.mixture.log_prob(x).isfinite().all()


@pytest.mark.parametrize("method", ["gradient", "svi", "map:enumerated", "svi:enumerated"])
def test_steps_too_large_to_climb_do_no_harm(method: str) -> None:
    """Whatever the status, the state that is returned is finite, and not good by accident."""
    with quietly():
        found = fit(method, clusters().x, rate=1e4, max_steps=100)
    assert np.isfinite(found.objective)
    assert found.mixture.log_prob(clusters().x).isfinite().all()
    assert found.history.isfinite().all()


@pytest.mark.parametrize(
    "method", [method for method in OURS if method != "nuts"]
)  # laplace's climb
def test_points_in_fewer_places_than_components_are_told(method: str) -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64).repeat(20, 1)
    limit = 10 if method in ("map", "laplace", "svi") else 100  # they only climb further and slower
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fit(method, x, k=3, max_steps=limit)
    assert found.diagnostics["problems"]
    assert any("degenerate" in str(w.message) for w in caught)
    assert {w.category for w in caught} == {FitWarning}


@pytest.mark.filterwarnings("ignore:em found a degenerate solution:gmm_pyro.FitWarning")
@pytest.mark.parametrize("k", [1, 2, 3])
def test_points_in_two_places_without_a_floor_diverge_from_a_finite_state(k: int) -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64).repeat(20, 1)
    with pytest.warns(FitWarning, match="diverged"):
        mixture = gp.fit(MixtureModel(k), x, covariance_floor=0).mixture
    assert mixture.covariance_matrices().isfinite().all()
