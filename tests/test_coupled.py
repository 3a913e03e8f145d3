"""Families whose covariances depend on each other: their M-steps, EM, mixtures, and refusals."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from sklearn.base import clone

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.estimator import PyroGaussianMixture
from gmm_pyro.inference.methods import METHODS
from m_steps import Free, numerical_minimum, objective
from oracles import close, normal, normal_array

COUPLED = [name for name, family in FAMILIES.items() if not family.has_sites]
SEARCHED = ("EVE", "VVE")  # whose M-step is no closed form and not convex
CLOSED_UNDER_UNITS = ("VEI", "EVI", "VEE", "EVV")  # of the features one by one
every_code = pytest.mark.parametrize("code", COUPLED)


def scatters(k: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scatter matrices of components of unlike sizes and shapes, and counts."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(k, 2 * d + 3, d)) * np.exp(random.normal(size=(k, 1, d)))
    points = points @ np.linalg.qr(random.normal(size=(d, d)))[0]
    return points.mT @ points, random.uniform(3, 20, size=k)


def fit_all(
    code: str, scatter: np.ndarray, counts: np.ndarray, floor: np.ndarray | None = None
) -> np.ndarray:
    """The dense covariances of an M-step."""
    family, d = FAMILIES[code], scatter.shape[-1]
    with np.errstate(invalid="ignore"):
        covariance = np.where(counts[:, None, None] > 0, scatter / counts[:, None, None], 0.0)
    floor = np.zeros(d) if floor is None else floor
    compact = family.compress(torch.tensor(covariance))[None]
    factor = family.fit_all(compact, torch.tensor(counts)[None], torch.tensor(floor))
    return family.dense(factor, d)[0].numpy()


# ---------------------------------------------------------------------- the M-step


@every_code
@pytest.mark.parametrize(("k", "d"), [(1, 3), (2, 1), (2, 2), (3, 4)])
def test_m_step_is_the_numerical_minimum(code: str, k: int, d: int) -> None:
    """All sizes to d = 5 and k = 4, from 20 rotations: tests/long/test_m_steps.py."""
    scatter, counts = scatters(k, d, seed=10 * k + d)
    floor = np.full(d, 1e-3)
    found = fit_all(code, scatter, counts, floor)
    with_floor = scatter + np.diag(floor)
    best = numerical_minimum(code, with_floor, counts, 5 if code in SEARCHED else 1, seed=k)
    assert objective(found, with_floor, counts) <= best + 1e-9 * abs(best)


@every_code
def test_m_step_is_of_the_family(code: str) -> None:
    """As many free numbers as it says: the tangent space at a random member has that rank."""
    k, d = 3, 3
    free = Free(code, k, d)
    around = torch.linalg.qr(normal(free.turns, d, d))[0]
    around = torch.eye(d, dtype=torch.float64)[None] if code.endswith("I") else around

    def dense(vector: torch.Tensor) -> torch.Tensor:
        values, vectors = free.parts(vector, around)
        return (vectors * values.exp()[:, None, :]) @ vectors.mT

    at = normal(free.length, seed=1) * 0.3
    rank = torch.linalg.matrix_rank(torch.autograd.functional.jacobian(dense, at).flatten(0, 2))
    family = FAMILIES[code]
    assert int(rank) == family.n_parameters(k, d) - (k - 1) - k * d
    member = dense(at).numpy()
    close(fit_all(code, member * 5, np.full(k, 5.0)), member, 1e-6)


@every_code
def test_an_empty_component_leaves_the_others_right(code: str) -> None:
    scatter, counts = scatters(3, 3, seed=5)
    alone = fit_all(code, scatter[:2], counts[:2])
    scatter[2], counts[2] = 0, 0
    together = fit_all(code, scatter, counts)
    close(together[:2], alone, 1e-6)
    assert np.isfinite(together).all()


@every_code
def test_a_singular_component_is_as_wide_as_the_floor(code: str) -> None:
    scatter, counts = scatters(3, 3, seed=6)
    line = normal_array(3)
    scatter[1] = np.outer(line, line)
    floor = np.full(3, 1e-4)
    found = fit_all(code, scatter, counts, floor)
    best = numerical_minimum(code, scatter + np.diag(floor), counts, 5, seed=1)
    assert objective(found, scatter + np.diag(floor), counts) <= best + 1e-9 * abs(best)
    assert (np.linalg.eigvalsh(found) > 0).all()


@every_code
def test_a_set_does_not_depend_on_the_others_of_its_batch(code: str) -> None:
    family, floor = FAMILIES[code], torch.full((3,), 1e-3).double()
    one, two = (scatters(3, 3, seed=seed) for seed in (7, 8))
    compact = [family.compress(torch.tensor(s / n[:, None, None])) for s, n in (one, two)]
    counts = torch.tensor(np.stack([one[1], two[1]]))
    together = family.fit_all(torch.stack(compact), counts, floor)
    close(together[0], family.fit_all(compact[0][None], counts[:1], floor)[0], 1e-6)
    spoiled = family.fit_all(torch.stack([compact[0], compact[1] * torch.nan]), counts, floor)
    close(spoiled[0], together[0], 1e-6)
    assert spoiled[1].isnan().any()


@pytest.mark.parametrize("code", SEARCHED)
def test_an_m_step_from_near_does_not_fall_behind(code: str) -> None:
    """The current factors' own axes are where its turns begin."""
    family, zero = FAMILIES[code], torch.zeros(4, dtype=torch.float64)
    for seed in range(5):
        current = torch.tensor(fit_all(code, *scatters(3, 4, seed)))
        scatter, counts = scatters(3, 4, seed + 100)
        compact = torch.tensor(scatter / counts[:, None, None])[None]
        factor = torch.linalg.cholesky(current)[None]
        found = family.fit_all(compact, torch.tensor(counts)[None], zero, factor)
        mean = np.average(np.linalg.inv(current.numpy()), axis=0)
        shared = np.linalg.eigh(mean)[1]  # current axes, with the best volumes and shapes in them
        turned = np.diagonal(shared.T @ scatter @ shared, axis1=1, axis2=2)
        sizes = np.exp(np.log(turned).mean(1))
        best = turned / counts[:, None] if code == "VVE" else turned / sizes[:, None]
        best = best if code == "VVE" else best * sizes.sum() / counts.sum()
        stays = (shared * best[:, None, :]) @ shared.T
        here = objective(family.dense(factor=found, d=4)[0].numpy(), scatter, counts)
        assert here <= objective(stays, scatter, counts) + 1e-9 * abs(here)


@pytest.mark.parametrize("code", SEARCHED)
def test_current_factors_that_are_no_numbers_are_no_error(code: str) -> None:
    scatter, counts = scatters(3, 3, seed=9)
    compact, count = torch.tensor(scatter / counts[:, None, None])[None], torch.tensor(counts)[None]
    current = torch.full((1, 3, 3, 3), torch.nan).double()
    found = FAMILIES[code].fit_all(compact, count, torch.zeros(3).double(), current)
    assert found.isfinite().all()


# ---------------------------------------------------------------------- EM


def faces() -> torch.Tensor:
    return gp.datasets.iris().x


@every_code
def test_em_is_monotone(code: str) -> None:
    options = {"method": "em", "n_starts": 1, "covariance_floor": 0.0, "start": "random"}
    found = gp.fit(gp.MixtureModel(3, code), faces(), seed=3, **options)
    gains = found.history.diff()
    assert (gains >= -1e-9 * found.history.abs().max()).all()


@every_code
def test_the_likelihood_lies_between_those_of_its_neighbours(code: str) -> None:
    """E, the more constrained, for V, and I for E, one letter at a time."""
    x = faces()
    value = {name: gp.fit(gp.MixtureModel(2, name), x).objective for name in {code, "EEI", "VVV"}}
    assert value["EEI"] - 1e-6 <= value[code] <= value["VVV"] + 1e-6


@every_code
@pytest.mark.parametrize("acceleration", [None, "squarem"])
def test_acceleration_comes_to_the_same_place(code: str, acceleration: str | None) -> None:
    model, x = gp.MixtureModel(2, code), gp.datasets.old_faithful().x
    plain = gp.fit(model, x, n_starts=1)
    found = gp.fit(model, x, n_starts=1, acceleration=acceleration)
    assert found.objective == pytest.approx(plain.objective, abs=1e-4)
    assert found.status.name == "CONVERGED"
    assert math.isfinite(found.mixture.bic(x))


@every_code
def test_units(code: str) -> None:
    """One common unit changes nothing; one a feature, only where the family is closed under it."""
    x, model = gp.datasets.old_faithful().x, gp.MixtureModel(2, code)
    base = gp.fit(model, x).objective
    for unit in (torch.tensor([3.0, 3.0]), torch.tensor([10.0, 1.0])):
        shifted = gp.fit(model, 7 + x * unit).objective + len(x) * float(unit.log().sum())
        common = bool((unit == unit[0]).all())
        equal = shifted == pytest.approx(base, abs=1e-4)
        assert equal or not (common or code in CLOSED_UNDER_UNITS)


@every_code
def test_weights_holes_labels_noise_and_fixed_parts(code: str) -> None:
    x, one = gp.datasets.old_faithful().x, {"n_starts": 1}
    model = gp.MixtureModel(2, code)
    twice = gp.fit(model, torch.cat([x, x]), **one)
    weighted = gp.fit(model, x, sample_weight=torch.full((len(x),), 2.0), **one)
    assert weighted.objective == pytest.approx(twice.objective, abs=1e-4)
    holes = x.clone()
    holes[::9, 1] = torch.nan
    found = gp.fit(model, holes, missing="integrate", tolerance=1e-5, **one)
    assert found.status.name == "CONVERGED"
    labels = torch.full((len(x),), -1)
    labels[int(x[:, 0].argmin())], labels[int(x[:, 0].argmax())] = 1, 0
    assert gp.fit(model, x, labels=labels, **one).mixture.means[:, 0].diff() < -1
    held = gp.fit(model, x, fixed={"means": [[4.3, 80.0], [math.nan, math.nan]]}, **one).mixture
    assert held.means[0].tolist() == [4.3, 80.0]
    noisy = gp.fit(gp.MixtureModel(2, code, noise_component="uniform"), x, **one)
    assert 0 <= noisy.mixture.noise_weight < 0.2


# ---------------------------------------------------------------------- mixtures


@every_code
def test_a_mixture_of_the_family_and_one_of_another(code: str) -> None:
    fitted = gp.fit(gp.MixtureModel(2, code), faces()).mixture
    again = gp.GaussianMixture(fitted.weights, fitted.means, fitted.covariances, code)
    assert again.n_parameters == fitted.n_parameters
    free = "VVI" if code.endswith("I") else "VVV"
    other = gp.fit(gp.MixtureModel(2, free), faces()).mixture.covariances
    message = f"positive definite, and of the form that {code} says"
    with pytest.raises(ValueError, match=message):
        gp.GaussianMixture(fitted.weights, fitted.means, other, code)


@every_code
def test_marginals_and_conditionals_are_those_of_full_matrices(code: str) -> None:
    mixture = gp.fit(gp.MixtureModel(2, code), faces()).mixture
    full = gp.GaussianMixture(mixture.weights, mixture.means, mixture.covariance_matrices())
    features, x = [2, 0], faces()[:9, [2, 0]]
    some = mixture.marginal(features)
    close(some.log_prob(x), full.marginal(features).log_prob(x))
    given = mixture.conditional([1], [3.0])
    close(given.log_prob(faces()[:9, [0, 2, 3]]),
          full.conditional([1], [3.0]).log_prob(faces()[:9, [0, 2, 3]]))  # fmt: skip
    kept = code in ("VEI", "VEE")
    wider = "diag" if code == "EVI" else "full"
    assert {some.family.name, given.family.name} == {code if kept else wider}
    assert mixture.marginal([3, 2, 1, 0]).family.name == code


@every_code
def test_files_and_pickles(code: str, tmp_path) -> None:
    mixture = gp.fit(gp.MixtureModel(2, code), faces()).mixture
    found = gp.GaussianMixture.load(mixture.save(tmp_path / "mixture.json"))
    assert found.family is mixture.family
    assert torch.equal(found.log_prob(faces()), mixture.log_prob(faces()))


@every_code
def test_a_start_of_another_family_is_brought_in(code: str) -> None:
    x = faces()
    start = gp.fit(gp.MixtureModel(2), x).mixture
    found = gp.fit(gp.MixtureModel(2, code), x, start=start)
    assert found.objective == pytest.approx(gp.fit(gp.MixtureModel(2, code), x).objective, abs=1)
    assert (found.history.diff() >= -1e-6).all()  # the start is of the family, too


@every_code
def test_the_estimator_takes_it(code: str) -> None:
    x = faces().numpy()
    estimator = clone(PyroGaussianMixture(2, covariance_type=code, search="moves")).fit(x)
    expected = gp.fit(gp.MixtureModel(2, code), x)
    assert estimator.score(x) * len(x) == pytest.approx(expected.objective, rel=1e-4)
    assert estimator.bic(x) == pytest.approx(expected.mixture.bic(x), rel=1e-4)
    assert estimator.covariances_.shape == FAMILIES[code].shape(2, 4)


@every_code
def test_generated_data_are_of_the_family(code: str) -> None:
    truth = gp.datasets.make_mixture(n=20, d=3, k=3, covariance=code, seed=2).truth
    assert truth.family.name == code
    gp.GaussianMixture(truth.weights, truth.means, truth.covariances, code)  # checks


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if not row.by_m_steps])
def test_methods_that_need_priors_or_gradients_say_so(method: str) -> None:
    message = f"fits by {method} know no VEV covariances"
    with pytest.raises(ValueError, match=re.escape(message)):
        gp.fit(gp.MixtureModel(2, "VEV"), faces(), method=method)


def test_priors_layers_and_held_covariances_say_so() -> None:
    model = gp.MixtureModel(2, "EVE")
    with pytest.raises(ValueError, match="know no EVE covariances"):
        model.specialise(faces()).sites()
    with pytest.raises(ValueError, match="know no EVE covariances"):
        model.specialise(faces())(faces())
    mixture = gp.fit(model, faces()).mixture
    with pytest.raises(ValueError, match="layers know no EVE covariances"):
        gp.MixtureModule(mixture)
    with pytest.raises(ValueError, match="EVE covariances cannot be held"):
        gp.fit(model, faces(), fixed={"covariances": mixture.covariances})
