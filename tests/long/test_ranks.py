"""Simulation-based calibration of chains that jump in every step: some minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel
from gmm_pyro.calibration import default_quantities, simulation_based_calibration
from oracles import FAILURE_RATE
from runs import quietly

DRAWS = 31


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("family", "k"), [("full", 2), ("tied", 3), ("diag", 3)])
def test_ranks_among_draws_of_chains_that_jump_are_uniform(
    family: str, k: int, record: Callable
) -> None:
    """Two hundred posteriors of ten points, each with a population and jumps of its own."""
    prior = ConjugatePriors(mean=0.0, spread=torch.ones(1), mean_strength=0.3)

    def jumping(model: MixtureModel, points: torch.Tensor, seed: int) -> dict[str, Any]:
        with quietly():
            fit = gp.fit(
                *(model, points, "gibbs"),
                **{"jumps": "always", "n_draws": 160, "max_doublings": 0, "seed": seed},
            )
        assert fit.posterior is not None
        assert fit.diagnostics["jumps"] > 0
        draws = {name: value.flatten(0, 1) for name, value in fit.posterior.draws.items()}
        places = torch.linspace(0, len(draws["weights"]) - 1, DRAWS).round().long()
        return {name: value[places] for name, value in draws.items()}

    found = simulation_based_calibration(
        MixtureModel(k, family, prior), jumping, n_points=10, n_datasets=200, n_draws=DRAWS, seed=k
    )
    record(f"ranks_{family}_{k}", found.table.to_string().splitlines())
    assert all(replace(found, failure_rate=FAILURE_RATE).passes.values()), found.table


@pytest.mark.timeout(3000)
def test_ranks_are_uniform_where_a_fifth_is_missing(record: Callable) -> None:
    """Of what parameters alone determine: sampling is given the data with holes."""
    family, k = "full", 2
    prior = ConjugatePriors(mean=0.0, spread=torch.ones(2), mean_strength=0.3)
    model = MixtureModel(k, family, prior)

    def with_holes(model: MixtureModel, points: torch.Tensor, seed: int) -> dict[str, Any]:
        uniform = torch.rand(points.shape, generator=torch.Generator().manual_seed(seed))
        with quietly():
            fit = gp.fit(
                *(model, points.masked_fill(uniform < 0.2, torch.nan), "gibbs"),
                **{"missing": "integrate", "n_draws": 200, "max_doublings": 0, "seed": seed},
            )
        assert fit.posterior is not None
        draws = {name: value.flatten(0, 1) for name, value in fit.posterior.draws.items()}
        places = torch.linspace(0, len(draws["weights"]) - 1, DRAWS).round().long()
        return {name: value[places] for name, value in draws.items()}

    quantities = {
        name: value
        for name, value in default_quantities(model).items()
        if name not in ("log_likelihood", "same_component")  # which are of the whole data
    }
    found = simulation_based_calibration(
        *(model, with_holes),
        **{
            "n_points": 12,
            "n_datasets": 200,
            "n_draws": DRAWS,
            "seed": k,
            "quantities": quantities,
        },
    )
    record(f"ranks_missing_{family}", found.table.to_string().splitlines())
    assert all(replace(found, failure_rate=FAILURE_RATE).passes.values()), found.table
