"""Features of very different units, rows that lie far away, and weights of any size."""

from __future__ import annotations

import math
import re

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.covariance.graded import are_lost, eigen, thinness
from oracles import close, normal
from runs import quietly, told

COUPLED = [name for name, family in FAMILIES.items() if not family.has_sites]
MATRICES = [name for name in COUPLED if not name.endswith("I")]
# Closed under a unit of its own for every feature.
CLOSED = ("full", "tied", "diag", "tied_diag", "VEI", "EVI", "VEE", "EVV")
UNLIKE = torch.tensor([[1.0, 0.5, 0.3], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]]).double()
every_family = pytest.mark.parametrize("name", FAMILIES)
every_coupled = pytest.mark.parametrize("name", COUPLED)
every_matrix = pytest.mark.parametrize("name", MATRICES)


def graded(power: float, n: int = 100) -> Tensor:
    """Points of three features that are correlated, in units that differ by 10^(2 power)."""
    return normal(n, 3) @ UNLIKE * torch.tensor([10.0**-power, 1.0, 10.0**power]).double()


def gaussian(x: Tensor) -> float:
    """The log-likelihood of the points at their mean and covariance, worked out by correlations."""
    (n, d), scale = x.shape, x.std(0, unbiased=False)
    correlations = torch.corrcoef(x.T)
    size = torch.linalg.slogdet(correlations).logabsdet + 2 * scale.log().sum()
    return -0.5 * n * (d * math.log(2 * math.pi) + float(size) + d)


def halves(n: int = 60) -> tuple[Tensor, Tensor]:
    """Two clusters of three features, and which is which."""
    label = (torch.arange(n) >= n // 2).long()
    return normal(n, 3) @ UNLIKE + 4.0 * label[:, None], label


def fitted(name: str, x: Tensor, **options) -> gp.Fit:
    """Of two components from the halves: nothing is left to chance."""
    start = (torch.arange(len(x)) >= len(x) // 2).long()
    with quietly():
        return gp.fit(gp.MixtureModel(2, name), x, start=start, tolerance=1e-10, **options)


# ---------------------------------------------------------------------- eigenvalues


@pytest.mark.parametrize("power", [6.0, 8.0, 20.0])
@pytest.mark.parametrize("d", [2, 3, 5])
def test_every_eigenvalue_has_digits_of_its_own(d: int, power: float) -> None:
    """Against 150 digits."""
    root, order = normal(d, d + 3), torch.randperm(d, generator=torch.Generator().manual_seed(d))
    unit = (10.0 ** torch.linspace(-power, power, d).double())[order]
    matrix = root @ root.T * unit * unit[:, None]
    matrix = (matrix + matrix.T) / 2
    with mpmath.workdps(150):
        exact = mpmath.eigsy(mpmath.matrix(matrix.tolist()), eigvals_only=True)
        expected = sorted(float(value) for value in exact)
    values, vectors = eigen(torch.stack([matrix, torch.eye(d).double()]))
    assert values[0].tolist() == pytest.approx(expected, rel=1e-12)
    assert values[1].tolist() == [1.0] * d
    again = (vectors[0] * values[0]) @ vectors[0].T
    assert ((again - matrix) / matrix.diagonal().outer(matrix.diagonal()).sqrt()).abs().max() < 1e-9


def test_what_is_lost() -> None:
    """Correlations 1 - e have the smallest eigenvalue e, whatever the units."""
    for gap, lost in ((1e-10, False), (1e-14, True)):
        unit = torch.tensor([1e-8, 1e8]).double()
        factor = torch.tensor([[1.0, 0.0], [1 - gap, math.sqrt(gap * (2 - gap))]]).double()
        factor = unit[:, None] * factor
        assert bool(are_lost(factor, factor @ factor.T)) == lost
        assert float(thinness(factor)) == pytest.approx(gap, rel=0.1)


# ---------------------------------------------------------------------- one component


@every_matrix
@pytest.mark.parametrize("method", ["em", "kmeans"])
@pytest.mark.parametrize("power", [6.0, 8.0, 20.0])
def test_one_component_is_a_gaussian_in_any_units(name: str, method: str, power: float) -> None:
    """All families of matrices are the same then; the floor takes a millionth of a nat a point."""
    x = graded(power)
    found = gp.fit(gp.MixtureModel(1, name), x, method)
    assert found.status.name == "CONVERGED"
    assert float(found.mixture.log_prob(x).sum()) == pytest.approx(gaussian(x), abs=1e-3)


@pytest.mark.parametrize("name", ["EEV", "VEV", "EVE", "VVE"])
def test_units_that_differ_enough_all_say_the_same(name: str) -> None:
    """There is a limit, as axes come to lie along the features: from there on units only shift."""
    unit = torch.tensor([0.1, 1.0, 10.0]).double()
    x, _ = halves()
    values = []
    for power in (8, 20):
        found = fitted(name, x * unit**power)
        assert found.status.name == "CONVERGED"
        assert not found.diagnostics["problems"]
        values.append(found.objective)
    assert values[1:] == pytest.approx(values[:1], abs=1e-4)


def test_five_features_three_components_are_no_error() -> None:
    unit = 10.0 ** torch.linspace(-10, 10, 5).double()
    x = torch.cat([normal(60, 5, seed=s) @ normal(5, 5, seed=s + 9) + 6 * s for s in range(3)])
    start = torch.arange(3).repeat_interleave(60)
    for name in ("EEV", "VEV"):
        found = gp.fit(gp.MixtureModel(3, name), x * unit, start=start)
        assert found.status.name == "CONVERGED"


# ---------------------------------------------------------------------- equivariance


@every_family
@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_one_unit_for_all_features_shifts_the_likelihood(name: str, unit: float) -> None:
    x, _ = halves()
    here, there = fitted(name, x), fitted(name, unit * x)
    shift = -x.numel() * math.log(unit)
    assert there.objective == pytest.approx(here.objective + shift, abs=1e-5)
    close(there.mixture.means, unit * here.mixture.means, 1e-4 * unit)


@pytest.mark.parametrize("name", CLOSED)
def test_a_unit_for_each_feature_shifts_it_where_the_family_is_closed(name: str) -> None:
    (x, _), unit = halves(), torch.tensor([1e-8, 1.0, 1e8]).double()
    here, there = fitted(name, x), fitted(name, unit * x)
    assert there.objective == pytest.approx(here.objective, abs=1e-5)
    close(there.mixture.means / unit, here.mixture.means, 1e-4)


@every_family
def test_another_zero_changes_nothing(name: str) -> None:
    """Numbers near 1e8 are rounded to a few billionths, which moves the likelihood by as much."""
    x, _ = halves()
    shift = torch.tensor([1e8, -1e8, 3e7]).double()
    here, there = fitted(name, x), fitted(name, x + shift)
    assert there.objective == pytest.approx(here.objective, abs=1e-4)


@every_coupled
def test_float32_comes_to_the_same(name: str) -> None:
    x, _ = halves()
    here, there = fitted(name, x), fitted(name, x, dtype="float32")
    assert there.objective == pytest.approx(here.objective, abs=1e-2)


@every_family
def test_one_weight_for_all_points_is_a_factor(name: str) -> None:
    """But for the floor, which counts as a point or less."""
    x, _ = halves()
    weights = torch.full((len(x),), 1e-6).double()
    here, there = fitted(name, x), fitted(name, x, sample_weight=weights)
    assert there.objective / 1e-6 == pytest.approx(here.objective, abs=1e-3)


@every_coupled
def test_weights_that_float32_cannot_hold(name: str) -> None:
    """Newcomers of the search are drawn by them."""
    x, _ = halves()
    weights = torch.full((len(x),), 1e-200, dtype=torch.float64)
    with quietly():
        found = gp.fit(gp.MixtureModel(2, name), x, sample_weight=weights, n_starts=2, max_steps=20)
    assert math.isfinite(found.objective)
    assert not found.diagnostics["problems"]


# ---------------------------------------------------------------------- rows far away


@pytest.mark.parametrize("name", ["full", "tied", *COUPLED])
@pytest.mark.parametrize(("away", "k"), [(1e6, 1), (1e9, 1), (1e30, 1), (1e7, 2), (1e30, 2)])
def test_a_row_far_away_is_no_error_and_not_silently_wrong(name: str, away: float, k: int) -> None:
    """What is called converged and has no problem is right: for k = 1, in exact arithmetic."""
    x = normal(60, 2)
    x[0] = away
    options = {"n_starts": 2, "search": "starts", "max_steps": 30}
    with quietly():
        found = gp.fit(gp.MixtureModel(k, name), x, **options)
    assert found.status.name in ("CONVERGED", "DIVERGED", "STEP_LIMIT")
    sound = found.status.name == "CONVERGED" and not found.diagnostics["problems"]
    if sound and k == 1 and FAMILIES[name].is_matrix:
        with mpmath.workdps(150):
            z = mpmath.matrix(x.tolist())
            mean = [mpmath.fsum(z[:, j]) / 60 for j in range(2)]
            parts = [[z[i, j] - mean[j] for i in range(60)] for j in range(2)]
            a, b, c = (mpmath.fdot(parts[i], parts[j]) / 60 for i, j in ((0, 0), (0, 1), (1, 1)))
            exact = -30 * (2 * mpmath.log(2 * mpmath.pi) + mpmath.log(a * c - b * b) + 2)
        assert found.objective == pytest.approx(float(exact), abs=0.05)


@pytest.mark.parametrize("name", ["full", "tied", "VEE", "EEV"])
def test_a_covariance_that_is_made_of_rounding_is_named(name: str) -> None:
    x = normal(60, 2)
    x[0] = 1e9
    found, said = told(gp.MixtureModel(1, name), x, "em")
    diverged = found.status.name == "DIVERGED"
    assert ("no numbers" if diverged else "too thin for float64") in said


def test_in_float32_less_is_thin() -> None:
    """In float64, features that agree to a thousandth are told apart to many digits."""
    x = normal(200, 2)
    x[:, 1] = x[:, 0] + 1e-3 * x[:, 1]
    model = gp.MixtureModel(1)
    assert not gp.fit(model, x, covariance_floor=0.0).diagnostics["problems"]
    with pytest.warns(gp.FitWarning, match="too thin for float32"):
        gp.fit(model, x, covariance_floor=0.0, dtype="float32")


@every_coupled
def test_copies_and_collinear_features_end_in_words(name: str) -> None:
    x, label = halves()
    collinear = torch.cat([x[:, :2], x[:, :1] + x[:, 1:2]], 1)
    few = normal(3, 5)
    for case, floor in ((x[2 * label], 1e-6), (collinear, 1e-6), (collinear, 0.0), (few, 0.0)):
        found = fitted(name, case, covariance_floor=floor, max_steps=20)
        finite = math.isfinite(found.objective) and bool(found.mixture.means.isfinite().all())
        assert finite or found.status.name == "DIVERGED"
    assert fitted(name, x[:, :1]).status.name == "CONVERGED"


# ---------------------------------------------------------------------- mixtures come back


@every_coupled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("power", [3.0, 8.0])
def test_a_fitted_mixture_comes_back(name: str, dtype: str, power: float, tmp_path) -> None:
    unit = torch.tensor([10.0**-power, 1.0, 10.0**power]).double()
    x = halves()[0] * unit
    fit = fitted(name, x, dtype=dtype).mixture
    parts = fit.weights, fit.means, fit.covariances
    again = gp.GaussianMixture(*parts, name)
    close(again.log_prob(x), fit.log_prob(x), 1e-9 if dtype == "float64" else 1e-2)
    gp.GaussianMixture(*(part.float() for part in parts), name)
    found = gp.GaussianMixture.load(fit.save(tmp_path / "mixture.json"))
    close(found.log_prob(x), fit.log_prob(x), 1e-9)


@every_coupled
@pytest.mark.parametrize("power", [0.0, 8.0])
def test_one_of_another_family_does_not_pass(name: str, power: float) -> None:
    """Also not where it differs in the feature of the smallest unit alone."""
    unit = torch.tensor([10.0**-power, 1.0, 10.0**power]).double()
    mixture = fitted(name, halves()[0] * unit).mixture
    covariances = mixture.covariances.clone()
    if name.endswith("I"):
        covariances[0, 0] *= 1.001
    else:
        covariances[0, 0, 0] *= 1.001
    message = re.escape(f"of the form that {name} says")
    closed = name == "VVE" and power > 0  # axes are the features' own then, and lengths are free
    if not closed:
        with pytest.raises(ValueError, match=message):
            gp.GaussianMixture(mixture.weights, mixture.means, covariances, name)


def test_volumes_settle_where_rounding_ends_them() -> None:
    """Scatters along one line, at a share of 1e-14 of them, take few steps of Newton's method."""
    from gmm_pyro.covariance.volumes import Shares, volumes

    calls = []

    def counted(scatter: Tensor, size: Tensor) -> Shares:
        calls.append(1)
        return Shares.of_matrices(scatter, size)

    line = torch.ones(3).double()
    scatter = torch.stack([line.outer(line) * 1e7 * 4.0**i for i in range(3)])
    scatter = scatter + 1e-7 * torch.tensor(np.stack([np.diag(np.arange(1.0, 4.0))] * 3))
    found = volumes(counted, scatter[None], torch.tensor([[5.0, 9.0, 7.0]]).double(), 3)
    assert found.shape == (1, 3)
    assert len(calls) < 150
