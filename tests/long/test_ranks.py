"""Simulation-based calibration of chains that jump in every step: some minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel
from gmm_pyro.calibration import Calibration, default_quantities, simulation_based_calibration
from gmm_pyro.calibration.joint import draw_prior
from gmm_pyro.calibration.ranks import ranks_among
from gmm_pyro.covariance import Parameters
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


@pytest.mark.timeout(3000)
def test_ranks_are_uniform_where_some_labels_are_known(record: Callable) -> None:
    """Of what labels number: a third of the points are known to be of their components."""
    count, n, k = 200, 12, 2
    prior = ConjugatePriors(mean=0.0, spread=torch.ones(2), mean_strength=0.3)
    model, generator = MixtureModel(k, priors=prior), torch.Generator().manual_seed(5)
    truth, drawn = draw_prior(model, count, generator), []
    for i in range(count):
        mixture = gp.GaussianMixture.from_parameters(model.family, truth[[i]])
        sample = mixture.sample_labelled(n, seed=i)
        labels = sample.labels.masked_fill(torch.arange(n) >= n // 3, -1)
        with quietly():
            fit = gp.fit(
                *(model, sample.x, "gibbs"),
                **{"labels": labels, "n_draws": 200, "max_doublings": 0, "seed": i},
            )
        assert fit.posterior is not None
        draws = {name: value.flatten(0, 1) for name, value in fit.posterior.draws.items()}
        places = torch.linspace(0, len(draws["weights"]) - 1, DRAWS).round().long()
        of_draws = {name: value[places] for name, value in draws.items()}
        drawn.append(numbered_quantities(model.family.parameters(of_draws)))
    values = {name: torch.stack([each[name] for each in drawn], 1) for name in drawn[0]}
    ranks = ranks_among(numbered_quantities(truth), values, generator)
    found = Calibration("gibbs", ranks, DRAWS, 0)
    record("ranks_labels_full", found.table.to_string().splitlines())
    assert all(replace(found, failure_rate=FAILURE_RATE).passes.values()), found.table


def numbered_quantities(p: Parameters) -> dict[str, torch.Tensor]:
    """What depends on how components are numbered."""
    return {
        "weight of 0": p.log_weights[:, 0].exp(),
        "mean of 0": p.means[:, 0, 0],
        "mean of 1": p.means[:, 1, 1],
        "width of 0": p.factor[:, 0].diagonal(dim1=-2, dim2=-1).log().sum(-1),
    }
