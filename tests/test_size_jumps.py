"""Claims about splits of parameters, and jumps between numbers of components, part by part."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES, conjugate
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.methods import METHODS
from gmm_pyro.inference.task import Task
from gmm_pyro.inference.telescoping.chains import Chains
from gmm_pyro.inference.telescoping.halves import Component, Difference, Halves
from gmm_pyro.inference.telescoping.jumps import SizeJumps
from gmm_pyro.inference.telescoping.sampling import begun
from gmm_pyro.inference.telescoping.sweep import Telescope
from gmm_pyro.inference.telescoping.visited import Seen, Visited
from runs import quietly
from telescopes import X2, X


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "tied_spherical"])
def test_the_volume_of_a_split_is_that_of_its_derivatives(name: str, d: int) -> None:
    family, generator = conjugate(FAMILIES[name]), torch.Generator().manual_seed(d)
    halves = Halves(family)
    root = torch.randn(1, d, d, generator=generator).double()
    covariance = root @ root.mT + torch.eye(d).double()
    factor = family.fit(family.compress(covariance), torch.zeros(d).double())
    means = torch.randn(1, d, generator=generator).double()
    whole = Component(torch.tensor([-0.9]).double(), means, factor)
    how = halves.drawn(whole, generator)
    at = [whole.log_weight.exp()[None], means, halves._coordinates(factor)]
    at += [how.share[None], how.away, how.shape]

    def flat(of: Component) -> torch.Tensor:
        return torch.cat([of.log_weight.exp(), of.mean[0], halves._coordinates(of.factor)[0]])

    def parted(values: torch.Tensor) -> torch.Tensor:
        parts = values[None].split([part.shape[1] for part in at], 1)
        weight, mean, coordinates, share, away, shape = parts
        one = Component(weight[0].log(), mean, halves._factor(coordinates, whole))
        return torch.cat([flat(p) for p in halves.parted(one, Difference(share[0], away, shape))])

    jacobian = torch.autograd.functional.jacobian(parted, torch.cat(at, 1)[0])
    found = halves.log_volume(whole, how)[0]
    assert found == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), abs=1e-9)
    component, back = halves.joined(*halves.parted(whole, how))
    for a, b in ((component, whole), (back, how)):
        for value, expected in zip(vars(a).values(), vars(b).values(), strict=True):
            torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("family", ["full", "tied"])
def test_what_is_kept_of_assignments_is_what_jumps_are_learnt_from(family: str) -> None:
    model, data = gp.MixtureModel(gp.Unknown(most=12), family).specialise(X2), observe(X2)
    hierarchy = model.hierarchy(data.origin)
    assert hierarchy is not None
    telescope, generator = Telescope.of(hierarchy, data), torch.Generator().manual_seed(0)
    task = Task("gibbs", model, data, METHODS["gibbs"].options(n_chains=8))
    found = telescope.assigned(begun(task, hierarchy), generator)
    seen = Seen.of(hierarchy, found)
    most = int(found.filled.sum(1).max())
    assert seen.statistics.counts.shape == (8, most)
    assert seen.statistics.counts.equal(found.statistics.counts[:, :most])
    nothing = replace(found, statistics=found.statistics[:0], state=found.state[:0])
    visited = Visited.of(hierarchy, [Seen.of(hierarchy, nothing), seen])
    assert visited.shares.shape == (8, 12)


@pytest.mark.parametrize("taken", [0, 9])
def test_other_moves_are_seldom_where_jumps_are_taken_often(taken: int) -> None:
    model, data = gp.MixtureModel(gp.Unknown(most=4)).specialise(X), observe(X)
    hierarchy = model.hierarchy(data.origin)
    assert hierarchy is not None
    telescope, task = (
        Telescope.of(hierarchy, data),
        Task("gibbs", model, data, METHODS["gibbs"].options(n_chains=2)),
    )
    jumps, asked = SizeJumps(hierarchy, {}, hierarchy.log_sizes), Mock()
    jumps.jumped = lambda state, _: state  # type: ignore[method-assign]
    jumps.tried, jumps.taken = 10, taken
    asked.moved = lambda state, _: (asked(), state)[1]
    chains = Chains(telescope, None, asked, begun(task, hierarchy), torch.Generator())
    chains.teach, chains.jumps = lambda *_: jumps, jumps
    for _ in range(2):
        chains.step()
    asked.reset_mock()
    chains.learn()
    for _ in range(10):
        chains.step()
    assert asked.call_count == (2 if taken else 10)


def test_nothing_is_learnt_of_very_many_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proposal of one component alone, which takes long to make, leads nowhere."""
    monkeypatch.setattr("gmm_pyro.inference.chains.population.MANY", 2 * len(X) - 1)
    monkeypatch.setattr("gmm_pyro.inference.telescoping.visited.Growth.resampled", pytest.fail)
    with quietly():
        fit = gp.fit(gp.MixtureModel(gp.Unknown()), X, "gibbs", n_draws=4, n_warmup=8)
    assert "jumps" not in fit.diagnostics
