"""What every fit gives back, whatever the method, the family and the dimension."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import gmm_pyro as gp
from gmm_pyro import FitWarning, MixtureModel, Status
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.inference import METHODS
from gmm_pyro.metrics import adjusted_rand
from oracles import clusters
from runs import (
    OURS,
    SAMPLERS,
    SETTLED,
    SLOW,
    STEP_LIMIT,
    UNMIXED,
    brief,
    every_method,
    fitted,
    our_methods,
    overlapping,
    same,
)

pytestmark = UNMIXED

# Every family in the plane, the most and the least free in other dimensions too.
SIZES = [
    *((family, 2) for family in FAMILIES),
    *((family, d) for family in ("full", "tied_spherical") for d in (1, 3)),
]
CASES = [
    (method, family, d)
    for method in METHODS
    for family, d in SIZES
    if (FAMILIES[family].has_sites or METHODS[method].by_m_steps)
    and method not in SLOW
    or (family, d) == ("full", 2)
    or (method in OURS and (family, d) == ("tied_spherical", 1))
]


def test_the_contract_covers_every_method() -> None:
    assert SETTLED.keys() == METHODS.keys()


# ---------------------------------------------------------------------- the result


@pytest.mark.parametrize(("method", "family", "d"), CASES)
class TestFit:
    def test_fields(self, method: str, family: str, d: int) -> None:
        found = fitted(method, family, d)
        assert found.method == method
        assert found.seed == 3
        assert isinstance(found.options, METHODS[method].options)
        assert all(getattr(found.options, name) == value for name, value in SETTLED[method].items())
        assert (found.observations.n, found.observations.d) == (60, d)
        assert found.model.n_components == 2
        assert found.model.family is FAMILIES[family]
        assert (found.model.priors is not None) == (METHODS[method].priors is not None)
        assert found.seconds > 0

    def test_it_converged(self, method: str, family: str, d: int) -> None:
        found = fitted(method, family, d)
        told, unmixed = found.diagnostics, False
        if method in SAMPLERS:
            unmixed = not (told["r_hat"] <= 1.01 and min(told["ess_bulk"], told["ess_tail"]) >= 400)
        assert found.status is (Status.UNMIXED if unmixed else Status.CONVERGED)
        assert found.converged != unmixed
        assert found.diagnostics["filled_components"] == 2
        assert found.diagnostics["problems"] == ()

    def test_history(self, method: str, family: str, d: int) -> None:
        found = fitted(method, family, d)
        assert found.history.ndim == 1
        assert found.history.dtype == torch.float64
        assert found.history.isfinite().all()
        if method in SAMPLERS:  # whose history is of draws, and the objective their mean
            assert float(found.history.mean()) == pytest.approx(found.objective, rel=1e-12)
            assert found.steps == len(found.history) == found.options.n_draws
        elif method == "svi":  # whose history is of one set of draws, and the objective of another
            assert found.history[-1] == pytest.approx(found.objective, abs=0.5)
        elif method != "svi:enumerated":  # whose history is of single draws
            assert found.history[-1] == found.objective
        assert 0 < found.steps <= found.options.max_steps
        assert len(found.history) <= found.steps + 1

    def test_mixture(self, method: str, family: str, d: int) -> None:
        mixture = fitted(method, family, d).mixture
        assert mixture.means.shape == (2, d)
        assert mixture.means.dtype == torch.float64
        assert mixture.covariances.shape == FAMILIES[family].shape(2, d)
        assert float(mixture.weights.sum()) == pytest.approx(1)
        assert not mixture.means.requires_grad
        labels = mixture.predict(clusters(d).x)
        assert adjusted_rand(clusters(d).labels, labels) > 0.85

    def test_posterior(self, method: str, family: str, d: int) -> None:
        found = fitted(method, family, d)
        assert (found.posterior is not None) == ("n_draws" in SETTLED[method])
        if found.posterior is not None:
            chains = getattr(found.options, "n_chains", 1)
            shape = (chains, found.options.n_draws, 2, d)
            assert found.posterior.draws["means"].shape == shape
            assert found.posterior.independent == ("n_warmup" not in SETTLED[method])
            assert all(value.isfinite().all() for value in found.posterior.draws.values())

    def test_diagnostics_are_short(self, method: str, family: str, d: int) -> None:
        found = fitted(method, family, d)
        assert isinstance(found.diagnostics, Mapping)
        for value in found.diagnostics.values():
            assert isinstance(value, float | int | str | tuple)
        assert len(str(found.diagnostics)) < 350
        draws = {} if found.posterior is None else found.posterior.statistics
        assert all(v.shape == found.posterior.draws["means"].shape[:2] for v in draws.values())

    def test_k_hat(self, method: str, family: str, d: int) -> None:
        """Of those that draw from an approximation of a known density, and of no other."""
        approximates = METHODS[method].draws and method not in SAMPLERS
        assert isinstance(fitted(method, family, d).k_hat, float if approximates else type(None))


@every_method
def test_a_result_cannot_be_changed(method: str) -> None:
    found = fitted(method, "full", 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.objective = 0.0  # type: ignore[misc]


@pytest.mark.parametrize("method", ["em", "map"])
def test_the_model_is_not_changed(method: str) -> None:
    model = MixtureModel(2, "diag")
    gp.fit(model, clusters().x, method=method)
    assert model.priors is None


# ---------------------------------------------------------------------- randomness


@every_method
@STEP_LIMIT
def test_the_same_seed_gives_the_same_fit_to_the_last_bit(method: str) -> None:
    one, other = (brief(method, clusters().x, seed=5, max_steps=25) for _ in range(2))
    assert same(one, other)


@our_methods
@STEP_LIMIT
def test_several_threads_at_once_give_what_one_gives(method: str) -> None:
    x, before = clusters().x, torch.get_num_threads()
    seeds = range(2 if METHODS[method].draws else 4)
    alone = [brief(method, x, seed=seed) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: brief(method, x, seed=seed), seeds))
    assert torch.get_num_threads() == before
    for one, other in zip(alone, together, strict=True):
        assert same(one, other)


# ---------------------------------------------------------------------- the call


@pytest.mark.parametrize(
    ("name", "meant"),
    [("emm", "em"), ("kmean", "kmeans"), ("SVI", None), ("gradients", "gradient")],
)
def test_an_unknown_method_is_named_with_the_nearest(name: str, meant: str | None) -> None:
    hint = f"; did you mean '{meant}'" if meant else ""
    with pytest.raises(ValueError, match=f"method must be one of kmeans, em, .*'{name}'{hint}"):
        gp.fit(MixtureModel(2), clusters().x, method=name)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a gmm_pyro.MixtureModel, got int"):
        gp.fit(2, clusters().x)  # type: ignore[arg-type]


def test_a_warning_points_at_the_caller() -> None:
    with pytest.warns(FitWarning) as caught:
        gp.fit(MixtureModel(2), overlapping(), max_steps=1, tolerance=0, n_starts=1)
    assert caught[0].filename == __file__
