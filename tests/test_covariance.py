"""The contract of a covariance family, held by all of them against dense NumPy and SciPy.

A new family adds one row to `TRUTHS` and has every test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as SklearnMixture
from torch.distributions import constraints

import m_steps
from gmm_pyro.covariance import FAMILIES, CovarianceFamily, Parameters, Statistics, family_named
from oracles import PRIORED, ROUNDING, close
from oracles import normal_array as numbers


def own(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return scatter / counts[:, None, None]


def pooled(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.broadcast_to(scatter.sum(0) / counts.sum(), scatter.shape)


def axes(covariances: np.ndarray) -> np.ndarray:
    return covariances * np.eye(covariances.shape[-1])


def ball(covariances: np.ndarray) -> np.ndarray:
    d = covariances.shape[-1]
    return np.trace(covariances, axis1=1, axis2=2)[:, None, None] / d * np.eye(d)


@dataclass(frozen=True)
class Truth:
    """What a family is, in dense terms.

    Attributes:
        mclust: its code there.
        estimate: maximum-likelihood covariances (k, d, d) from the components' scatter matrices
            and counts (Celeux & Govaert 1995).
        as_given: the user's array, from dense covariances that satisfy the constraint.
        shape: of that array.
        count: free parameters of the k covariances: mclust's nVarParams.
        scales: shape of the site of that name; None, if no prior can be put on the family.
        rounding: of the estimate, where that is a search: where a minimum is flat to 1e-13, its
            place is known to about the root of that.
    """

    mclust: str
    estimate: Callable[[np.ndarray, np.ndarray], np.ndarray]
    as_given: Callable[[np.ndarray], np.ndarray]
    shape: Callable[[int, int], tuple[int, ...]]
    count: Callable[[int, int], int]
    scales: Callable[[int, int], tuple[int, ...]] | None = None
    rounding: float = ROUNDING

    @classmethod
    def coupled(cls, code: str, count: Callable[[int, int], int], rounding: float = 1e-9) -> Truth:
        """One of the families whose covariances depend on each other."""
        matrices = (lambda c: c, lambda k, d: (k, d, d))
        vectors = (lambda c: np.diagonal(c, axis1=1, axis2=2), lambda k, d: (k, d))
        given = vectors if code.endswith("I") else matrices
        return cls(code, getattr(m_steps, code.lower()), *given, count, rounding=rounding)


TRUTHS = {
    "full": Truth(
        "VVV",
        own,
        lambda c: c,
        lambda k, d: (k, d, d),
        lambda k, d: k * d * (d + 1) // 2,
        lambda k, d: (k, d),
    ),
    "tied": Truth(
        "EEE",
        pooled,
        lambda c: c[0],
        lambda k, d: (d, d),
        lambda k, d: d * (d + 1) // 2,
        lambda k, d: (d,),
    ),
    "diag": Truth(
        "VVI",
        lambda s, n: axes(own(s, n)),
        lambda c: np.diagonal(c, axis1=1, axis2=2),
        lambda k, d: (k, d),
        lambda k, d: k * d,
        lambda k, d: (k, d),
    ),
    "spherical": Truth(
        "VII",
        lambda s, n: ball(own(s, n)),
        lambda c: c[:, 0, 0],
        lambda k, d: (k,),
        lambda k, d: k,
        lambda k, d: (k,),
    ),
    "tied_diag": Truth(
        "EEI",
        lambda s, n: axes(pooled(s, n)),
        lambda c: np.diagonal(c[0]),
        lambda k, d: (d,),
        lambda k, d: d,
        lambda k, d: (d,),
    ),
    "tied_spherical": Truth(
        "EII",
        lambda s, n: ball(pooled(s, n)),
        lambda c: c[0, 0, 0],
        lambda k, d: (),
        lambda k, d: 1,
        lambda k, d: (),
    ),
    "VEI": Truth.coupled("VEI", lambda k, d: k + d - 1),
    "EVI": Truth.coupled("EVI", lambda k, d: 1 + k * (d - 1)),
    "VEE": Truth.coupled("VEE", lambda k, d: k - 1 + d * (d + 1) // 2),
    "EVV": Truth.coupled("EVV", lambda k, d: 1 + k * (d - 1) + k * d * (d - 1) // 2),
    "EEV": Truth.coupled("EEV", lambda k, d: d + k * d * (d - 1) // 2),
    "VEV": Truth.coupled("VEV", lambda k, d: k + d - 1 + k * d * (d - 1) // 2),
    "EVE": Truth.coupled("EVE", lambda k, d: 1 + k * (d - 1) + d * (d - 1) // 2, 1e-5),
    "VVE": Truth.coupled("VVE", lambda k, d: k * d + d * (d - 1) // 2, 1e-5),
}


@dataclass(frozen=True)
class Case:
    """A family with covariances of its own, drawn for this test."""

    family: CovarianceFamily
    truth: Truth
    k: int
    d: int
    dense: np.ndarray  # (k, d, d)

    @property
    def given(self) -> torch.Tensor:
        return torch.tensor(self.truth.as_given(self.dense))

    @property
    def factor(self) -> torch.Tensor:
        return self.family.factorise(self.given)

    @property
    def distinct(self) -> np.ndarray:
        """One dense matrix for each covariance that the family keeps."""
        return self.dense[: self.family.n_covariances(self.k)]


def scatter_matrices(k: int, d: int, seed: int) -> np.ndarray:
    points = numbers(k, d + 3, d, seed=seed)
    return points.transpose(0, 2, 1) @ points


@cache
def case_of(name: str, k: int, d: int, seed: int = 0) -> Case:
    truth = TRUTHS[name]
    counts = np.random.default_rng(seed).uniform(3, 9, size=k)
    return Case(FAMILIES[name], truth, k, d, truth.estimate(scatter_matrices(k, d, seed), counts))


@pytest.fixture(params=[1, 2, 5], ids=lambda d: f"d={d}")
def case(request: pytest.FixtureRequest, name: str) -> Case:
    return case_of(name, k=3, d=request.param)


every_name = pytest.mark.parametrize("name", FAMILIES)


@every_name
class TestEveryFamily:
    # ------------------------------------------------------------------ algebra of one covariance

    def test_covariances_and_factor_are_inverse(self, case: Case) -> None:
        assert case.factor.shape == (
            case.family.n_covariances(case.k),
            *case.family.event_shape(case.d),
        )
        assert case.family.factor_support.check(case.factor).all()
        assert case.given.shape == case.truth.shape(case.k, case.d)
        assert case.family.shape(case.k, case.d) == case.truth.shape(case.k, case.d)
        close(case.family.covariances(case.factor), case.given)

    def test_dense_matrices(self, case: Case) -> None:
        close(case.family.dense(case.factor, case.d), case.distinct)
        close(case.family.scale_tril(case.factor, case.d), np.linalg.cholesky(case.distinct))
        variances = case.distinct.diagonal(axis1=-2, axis2=-1)
        close(case.family.deviations(case.factor, case.d), np.sqrt(variances))

    def test_half_of_the_log_determinant(self, case: Case) -> None:
        close(
            case.family.log_determinant(case.factor, case.d),
            np.linalg.slogdet(case.distinct).logabsdet / 2,
        )

    def test_precision_times_a_vector(self, case: Case) -> None:
        vector = numbers(case.k, case.d)
        product = case.family.product(case.family.precision(case.factor), torch.tensor(vector))
        close(product, np.linalg.solve(case.dense, vector[..., None])[..., 0])

    def test_whitened_points(self, case: Case) -> None:
        z = numbers(case.k, 7, case.d)
        whitened = case.family.whiten(case.factor, torch.tensor(z))
        close(whitened, np.linalg.solve(np.linalg.cholesky(case.dense), z.mT).mT)

    def test_diagonal_of_a_precision(self, case: Case) -> None:
        found = case.family.diagonal(case.family.precision(case.factor), case.d)
        precisions = np.linalg.inv(case.distinct)
        close(found, np.diagonal(precisions, axis1=-2, axis2=-1))

    def test_some_features_and_the_others_given_them(self, case: Case) -> None:
        order = np.random.default_rng(case.d).permutation(case.d)
        moved = case.distinct[:, order][:, :, order]
        m = case.d // 2
        factor = case.family.marginal(case.factor, order.tolist())
        close(case.family.scale_tril(factor, case.d), np.linalg.cholesky(moved))
        first = case.family.marginal(case.factor, order[: m + 1].tolist())
        close(case.family.dense(first, m + 1), moved[:, : m + 1, : m + 1])
        schur = np.linalg.inv(np.linalg.inv(moved)[:, m:, m:])
        close(case.family.dense(case.family.remainder(factor, m), case.d - m), schur)

    @pytest.mark.parametrize("scale", ["equal", "unequal"])
    def test_rescaled_features(self, case: Case, scale: str) -> None:
        factors = np.exp(numbers(case.d)) if scale == "unequal" else np.full(case.d, 3.0)
        rescaled = case.family.rescaled(case.factor, torch.tensor(factors))
        if case.family.event_shape(case.d) == (1,):  # one variance: their geometric mean
            factors = np.full(case.d, np.exp(np.log(factors).mean()))
        expected = case.distinct * factors * factors[:, None]
        close(case.family.dense(rescaled, case.d), expected)

    def test_pool_makes_one_value_a_scale(self, case: Case) -> None:
        values = torch.tensor(numbers(case.d))
        pooled_values = case.family.pool(values)
        assert pooled_values.ndim <= 1
        close(pooled_values.mean(), values.mean())

    def test_emission_is_the_normal_distribution(self, case: Case) -> None:
        x, means = numbers(4, case.k, case.d), numbers(case.k, case.d, seed=1)
        log_prob = case.family.emission(torch.tensor(means), case.factor).log_prob(torch.tensor(x))
        expected = [
            [multivariate_normal(m, c).logpdf(point) for m, c, point in zip(*rows, strict=True)]
            for rows in ((means, case.dense, points) for points in x)
        ]
        close(log_prob, expected)

    # ------------------------------------------------------------------ features

    def test_packed_matrices_times_features_are_quadratic_forms(self, case: Case) -> None:
        z = numbers(case.d, 9)
        features = torch.empty(case.family.n_features(case.d), 9, dtype=torch.float64)
        case.family.quadratic_features(torch.tensor(z), features)()
        packed = case.family.pack(case.family.precision(case.factor), case.d)
        forms = (z * np.linalg.solve(case.distinct, z)).sum(1)
        close(packed @ features, forms)

    def test_unpack_is_the_adjoint_of_pack(self, case: Case) -> None:
        precision = case.family.precision(case.factor)
        moments = torch.tensor(numbers(len(precision), case.family.n_features(case.d)))
        left = (case.family.pack(precision, case.d) * moments).sum()
        right = (precision * case.family.unpack(moments, case.d)).sum()
        assert float(left) == pytest.approx(float(right), rel=ROUNDING)

    def test_sums_of_squares_agree_however_they_are_made(self, case: Case) -> None:
        z, weight = numbers(case.k, 7, case.d), np.abs(numbers(case.k, 7, seed=1))
        expected = case.family.compress(torch.tensor((z * weight[..., None]).mT @ z))
        one_by_one = case.family.square(torch.tensor(z))
        one_by_one = (
            one_by_one * torch.tensor(weight).view(case.k, 7, *[1] * (one_by_one.ndim - 2))
        ).sum(1)
        close(one_by_one, expected)
        close(case.family.weighted_square(torch.tensor(z), torch.tensor(weight)), expected)
        for component in range(case.k):
            features = torch.empty(case.family.n_features(case.d), 7, dtype=torch.float64)
            case.family.quadratic_features(torch.tensor(z[component].T), features)()
            moments = features @ torch.tensor(weight[component])
            close(case.family.unpack(moments, case.d), expected[component])

    # ------------------------------------------------------------------ natural parameters

    @pytest.mark.parametrize("about", ["the origin", "one point", "a point a component"])
    def test_natural_parameters_give_the_log_density(self, case: Case, about: str) -> None:
        s, k, d = 2, case.k, case.d
        factor = torch.stack([case.factor, 2 * case.factor])
        weights, means = np.full((s, k), [0.2, 0.3, 0.5]), numbers(s, k, d)
        reference = {
            "the origin": np.zeros(d),
            "one point": numbers(d, seed=1),
            "a point a component": numbers(s, k, d, seed=1),
        }[about]
        natural = case.family.natural(
            Parameters(*map(torch.tensor, (np.log(weights), means)), factor),
            torch.tensor(reference),
        )
        x = numbers(d, seed=2)
        z = torch.tensor(np.broadcast_to(x - reference, (s, k, d)).copy())
        square = case.family.square(z)
        quadratic = (natural.quadratic * square).reshape(s, k, -1).sum(-1)
        logits = natural.constant + (natural.linear * z).sum(-1) + quadratic
        covariances = [case.dense, 4 * case.dense]
        expected = [
            [
                np.log(weights[i, j])
                + multivariate_normal(means[i, j], covariances[i][j]).logpdf(x)
                for j in range(k)
            ]
            for i in range(s)
        ]
        close(logits, expected)

    def test_log_peak_is_the_log_density_at_the_mean(self, case: Case) -> None:
        weights = np.array([[0.2, 0.3, 0.5]])
        means = torch.tensor(numbers(1, case.k, case.d))
        peak = case.family.log_peak(
            Parameters(torch.tensor(weights).log(), means, case.factor[None])
        )
        origin = np.zeros(case.d)
        densities = [multivariate_normal(origin, c).logpdf(origin) for c in case.dense]
        close(peak, np.log(weights) + densities)

    # ------------------------------------------------------------------ M-step

    @pytest.mark.parametrize("about", ["one point", "a point a component"])
    def test_m_step_is_the_dense_estimate(self, case: Case, about: str) -> None:
        n, k, d = 40, case.k, case.d
        x, reference = numbers(n, d), numbers(d, seed=1)
        if about == "a point a component":
            reference = numbers(1, k, d, seed=1)
        r = np.random.default_rng(2).dirichlet(np.ones(k), size=n)
        parameters = case.family.m_step(
            statistics_of(case.family, r, x, reference), torch.zeros(d, dtype=torch.float64)
        )
        counts = r.sum(0)
        means = r.T @ x / counts[:, None]
        z = x - means[:, None]
        scatter = (z * r.T[..., None]).transpose(0, 2, 1) @ z
        close(parameters.log_weights[0].exp(), counts / n)
        close(parameters.means[0], means)
        estimate = case.truth.estimate(scatter, counts)[: case.family.n_covariances(k)]
        close(case.family.dense(parameters.factor, d)[0], estimate, case.truth.rounding)

    def test_a_component_without_points_keeps_the_others_sound(self, case: Case) -> None:
        r = np.random.default_rng(2).dirichlet(np.ones(case.k - 1), size=40)
        r = np.column_stack([r, np.zeros(40)])
        statistics = statistics_of(case.family, r, numbers(40, case.d), np.zeros(case.d))
        parameters = case.family.m_step(statistics, torch.full((case.d,), 1e-6).double())
        assert parameters.log_weights[0, -1] == -np.inf
        assert parameters.log_weights[0].exp().sum() == pytest.approx(1)
        assert parameters.means.isfinite().all()
        assert parameters.factor.isfinite().all()

    # ------------------------------------------------------------------ the floor

    @pytest.mark.parametrize("units", ["equal", "unequal"])
    def test_no_eigenvalue_is_below_the_floor(self, case: Case, units: str) -> None:
        floor = 0.5 * np.exp(numbers(case.d) * (units == "unequal"))
        if case.family.event_shape(case.d) == (1,):
            floor = np.full(case.d, floor.mean())  # one variance has one floor: the mean
        fitted = fit_dense(case, torch.tensor(floor))
        assert (eigenvalues(fitted, floor) >= 1 - ROUNDING).all()
        unit = np.sqrt(floor)
        values, vectors = np.linalg.eigh(case.distinct / unit / unit[:, None])
        raised = (vectors * np.maximum(values, 1)[:, None, :]) @ vectors.mT
        close(fitted, raised * unit * unit[:, None])

    def test_a_covariance_above_the_floor_is_not_touched(self, case: Case) -> None:
        lowest = np.linalg.eigvalsh(case.distinct).min()
        floor = torch.full((case.d,), 0.9 * lowest).double()
        assert torch.equal(fit_compact(case, floor), fit_compact(case, 0 * floor))

    def test_a_raised_covariance_leaves_its_neighbours_alone(self, case: Case) -> None:
        """What a set needs must not depend on the others of its batch."""
        compact = case.family.compress(torch.tensor(case.distinct))
        floor = torch.full((case.d,), 0.9 * np.linalg.eigvalsh(case.distinct).min()).double()
        alone = case.family.fit(compact, floor)
        together = case.family.fit(torch.stack([compact, compact * 1e-3]), floor)
        assert torch.equal(together[0], alone)
        close(together[1], case.family.fit(compact * 1e-3, floor))

    def test_without_a_floor_a_singular_covariance_is_nan(self, case: Case) -> None:
        singular = 0 * case.family.compress(torch.tensor(case.distinct))
        zero = torch.zeros(case.d, dtype=torch.float64)
        assert case.family.fit(singular, zero).isnan().any()
        raised = case.family.dense(case.family.fit(singular, zero + 0.25), case.d)
        close(raised, np.broadcast_to(0.25 * np.eye(case.d), raised.shape))

    def test_a_nan_covariance_stays_nan(self, case: Case) -> None:
        compact = case.family.compress(torch.tensor(case.distinct)) * torch.nan
        for floor in (0.0, 1e-3):
            factor = case.family.fit(compact, torch.full((case.d,), floor).double())
            assert factor.isnan().any()

    def test_smallest_ratio_is_the_smallest_eigenvalue_in_units_of_the_data(
        self, case: Case
    ) -> None:
        variance = np.exp(numbers(case.d))
        ratio = case.family.smallest_ratio(case.factor, torch.tensor(variance))
        close(ratio, eigenvalues(case.distinct, variance).min(-1))

    # ------------------------------------------------------------------ the user's arrays

    def test_a_covariance_that_is_not_positive_definite_is_nan(self, case: Case) -> None:
        assert case.family.factorise(-case.given).isnan().all()
        assert case.family.factorise(0 * case.given).isnan().any()
        assert case.family.factorise(torch.nan * case.given).isnan().any()

    # ------------------------------------------------------------------ names and counts

    @pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 1), (1, 4), (5, 2), (7, 10)])
    def test_free_parameters(self, name: str, k: int, d: int) -> None:
        assert FAMILIES[name].n_parameters(k, d) == k - 1 + k * d + TRUTHS[name].count(k, d)

    def test_both_names_find_the_family(self, name: str) -> None:
        family = FAMILIES[name]
        assert family.name == name
        assert family.mclust == TRUTHS[name].mclust
        assert family_named(name) is family_named(family.mclust) is family
        assert repr(family) == f"<covariance family {name}>"


@pytest.mark.parametrize("name", PRIORED)
class TestFamiliesThatPriorsKnow:
    def test_one_scale_for_every_value_of_pool(self, case: Case) -> None:
        pooled_values = case.family.pool(torch.tensor(numbers(case.d)))
        scales = case.family.site_shapes(1, case.d)["scales"]
        assert pooled_values.shape == scales[0 if case.family.tied else 1 :]

    def test_site_shapes(self, case: Case) -> None:
        shapes = case.family.site_shapes(case.k, case.d)
        expected = {"scales": case.truth.scales(case.k, case.d)}
        free = case.truth.estimate in (own, pooled)
        if free and case.d > 1:
            expected["correlations"] = case.truth.shape(case.k, case.d)
        assert shapes == expected
        assert list(shapes) == list(expected)  # the order in which they are sampled

    @pytest.mark.parametrize("batch", [(), (4,), (2, 3)], ids=str)
    def test_sites_and_factor_are_inverse(self, case: Case, batch: tuple[int, ...]) -> None:
        stretch = torch.tensor(np.exp(numbers(*batch)))
        factor = case.factor * stretch.view(*batch, *[1] * case.factor.ndim)
        sites = case.family.sites(factor)
        assert {name: tuple(site.shape) for name, site in sites.items()} == {
            name: (*batch, *shape)
            for name, shape in case.family.site_shapes(case.k, case.d).items()
        }
        close(case.family.factor(sites), factor)

    def test_sites_are_standard_deviations_and_correlations(self, case: Case) -> None:
        sites = case.family.sites(case.factor)
        deviations = np.sqrt(np.diagonal(case.distinct, axis1=1, axis2=2))
        scales = sites["scales"].numpy().reshape(len(deviations), -1)
        close(np.broadcast_to(scales, deviations.shape), deviations)
        assert (sites["scales"] > 0).all()
        if "correlations" in sites:
            lower = sites["correlations"].reshape(-1, case.d, case.d)
            assert constraints.corr_cholesky.check(lower).all()
            scaled = case.distinct / deviations[:, :, None] / deviations[:, None, :]
            close(lower @ lower.mT, scaled)


def statistics_of(
    family: CovarianceFamily, r: np.ndarray, x: np.ndarray, reference: np.ndarray
) -> Statistics:
    """Expected sufficient statistics of one set, made densely."""
    z = x - (reference[None] if reference.ndim == 1 else reference[0])[:, None]
    second = family.compress(torch.tensor((z * r.T[..., None]).transpose(0, 2, 1) @ z))
    second = second.sum(0, keepdim=True) if family.tied else second
    if family.tied and reference.ndim == 1:  # as the reduction has it: all points once
        second = family.compress(torch.tensor(z[0].T @ z[0]))[None]
    first = np.einsum("nk,knd->kd", r, np.broadcast_to(z, (r.shape[1], *x.shape)))
    return Statistics(
        torch.zeros(1, dtype=torch.float64),
        torch.tensor(r.sum(0))[None],
        torch.tensor(first)[None],
        second[None],
        torch.tensor(reference),
    )


def fit_compact(case: Case, floor: torch.Tensor) -> torch.Tensor:
    return case.family.fit(case.family.compress(torch.tensor(case.distinct)), floor)


def fit_dense(case: Case, floor: torch.Tensor) -> np.ndarray:
    return case.family.dense(fit_compact(case, floor), case.d).numpy()


def eigenvalues(covariances: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Of D^-1/2 Σ D^-1/2 with D = diag(unit)."""
    root = np.sqrt(unit)
    return np.linalg.eigvalsh(covariances / root / root[:, None])


# ---------------------------------------------------------------------- beyond the contract


def test_every_family_has_a_truth() -> None:
    assert set(TRUTHS) == set(FAMILIES)


@pytest.mark.parametrize("name", ["full", "tied"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c + torch.triu(torch.ones_like(c), 1) * 1e-3,
        lambda c: c.copysign(-1.0) * (1 - torch.eye(c.shape[-1])) * 10 + c,
    ],
    ids=["asymmetric", "indefinite"],
)
def test_a_matrix_that_is_no_covariance_is_nan(name: str, spoil: Callable) -> None:
    case = case_of(name, k=3, d=3)
    assert case.family.factorise(spoil(case.given)).isnan().all()


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if not family.tied])
def test_one_bad_covariance_leaves_the_others_sound(name: str) -> None:
    case = case_of(name, k=3, d=2)
    covariances = case.given.clone()
    covariances[1] *= -1
    factor = case.family.factorise(covariances)
    assert factor[1].isnan().all()
    close(factor[[0, 2]], case.factor[[0, 2]])


@pytest.mark.parametrize("name", ["full", "tied"])
def test_asymmetry_of_rounding_is_let_pass(name: str) -> None:
    case = case_of(name, k=3, d=3)
    rounded = case.given.float().double() + torch.triu(torch.full((3, 3), 1e-9), 1)
    assert case.family.factorise(rounded).isfinite().all()


@given(seed=st.integers(0, 10_000), floor=st.floats(0.1, 3))
def test_the_floored_covariance_is_the_most_likely_one_above_the_floor(
    seed: int, floor: float
) -> None:
    """It beats every other Σ ⪰ diag(floor) on scatter S: -log|Σ| - tr(Σ⁻¹ S)."""
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(3, 3))
    scatter = root @ root.T
    units = floor * generator.uniform(0.5, 2, size=3)
    best = FAMILIES["full"].fit(torch.tensor(scatter), torch.tensor(units))
    best = (best @ best.T).numpy()

    def log_likelihood(covariance: np.ndarray) -> float:
        return -np.linalg.slogdet(covariance)[1] - np.trace(np.linalg.solve(covariance, scatter))

    for step in (1e-3, 1e-2, 1.0):
        direction = generator.normal(size=(3, 3))
        other = np.diag(units) + direction @ direction.T
        feasible = (1 - step) * best + step * other if step < 1 else other
        assert log_likelihood(feasible) <= log_likelihood(best) + ROUNDING


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 2), (4, 7)])
def test_free_parameters_as_scikit_learn_counts_them(name: str, k: int, d: int) -> None:
    theirs = SklearnMixture(k, covariance_type=name)
    theirs.means_ = np.zeros((k, d))
    assert FAMILIES[name].n_parameters(k, d) == theirs._n_parameters()


@pytest.mark.parametrize(
    ("data", "code", "k", "d", "published"),
    [("Old Faithful", "EEE", 3, 2, 11), ("diabetes", "VVV", 3, 3, 29)],
)
def test_free_parameters_as_the_vignette_of_mclust_prints_them(
    data: str, code: str, k: int, d: int, published: int
) -> None:
    assert family_named(code).n_parameters(k, d) == published, data


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ful", "; did you mean 'full'?"),
        ("diagonal", "; did you mean 'diag'?"),
        ("tied-diag", "; did you mean 'tied_diag'?"),
        ("VVW", "; did you mean 'VVV'?"),
        ("?", ""),
        (None, ""),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: Any, hint: str) -> None:
    codes = [family.mclust for family in FAMILIES.values() if family.mclust != family.name]
    names = ", ".join([*FAMILIES, *codes])
    message = f"covariance must be one of {names}; got {name!r}{hint}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        family_named(name)


def test_parameters_of_some_sets() -> None:
    weights, means, factor = (torch.arange(4.0).view(4, *[1] * n) for n in (1, 2, 3))
    chosen = Parameters(weights, means, factor)[torch.tensor([3, 1])]
    assert [t.flatten().tolist() for t in (chosen.log_weights, chosen.means, chosen.factor)] == [
        [3.0, 1.0]
    ] * 3
