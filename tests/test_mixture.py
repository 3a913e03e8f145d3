"""A mixture as a value, against SciPy, scikit-learn and closed forms."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES, CovarianceFamily, Parameters
from gmm_pyro.mixture import value
from gmm_pyro.mixture.value import GaussianMixture
from oracles import EPSILON, ROUNDING, STANDARD_ERRORS, close, every_class, normal_array

NAMES = ("height", "width", "depth")


@pytest.fixture
def mixture(family: CovarianceFamily, random_parameters: Callable) -> GaussianMixture:
    parameters = random_parameters(family, s=1, k=3, d=3)
    return GaussianMixture.from_parameters(family, parameters, feature_names=NAMES)


@pytest.fixture
def plain() -> GaussianMixture:
    """Two components on a line, whose numbers can be checked by hand."""
    return GaussianMixture([0.25, 0.75], [-1.0, 3.0], [[[4.0]], [[1.0]]])


def points(n: int, d: int, seed: int = 0) -> np.ndarray:
    return 2 * normal_array(n, d, seed=seed)


def scipy_logits(mixture: GaussianMixture, x: np.ndarray) -> np.ndarray:
    """log w + log N(x | μ, Σ), shape (n, k)."""
    triples = zip(
        mixture.weights.tolist(),
        mixture.means.numpy(),
        dense_covariances(mixture),
        strict=True,
    )
    return np.stack([np.log(w) + multivariate_normal(m, c).logpdf(x) for w, m, c in triples], 1)


def dense_covariances(mixture: GaussianMixture) -> np.ndarray:
    """(k, d, d) matrices from the arrays that the user gave, by their shape's meaning."""
    k, d = mixture.means.shape
    given = mixture.covariances.numpy()
    dense = {
        "full": lambda: given,
        "tied": lambda: given,
        "diag": lambda: given[:, :, None] * np.eye(d),
        "spherical": lambda: given[:, None, None] * np.eye(d),
        "tied_diag": lambda: given * np.eye(d),
        "tied_spherical": lambda: given * np.eye(d),
    }[mixture.family.name]()
    return np.broadcast_to(dense, (k, d, d))


def same_mixture(one: GaussianMixture, other: GaussianMixture) -> bool:
    """To the last bit."""
    arrays = ("weights", "means", "covariances")
    words = ("family", "feature_names")
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in arrays
    ) and all(getattr(one, name) == getattr(other, name) for name in words)


# ---------------------------------------------------------------------- at points


@every_class
class TestAtPoints:
    def test_log_prob(self, mixture: GaussianMixture) -> None:
        x = points(50, 3)
        close(mixture.log_prob(x), logsumexp(scipy_logits(mixture, x), axis=1))

    def test_responsibilities_sum_to_one(self, mixture: GaussianMixture) -> None:
        x = points(50, 3)
        r = mixture.responsibilities(x).numpy()
        logits = scipy_logits(mixture, x)
        close(r, np.exp(logits - logsumexp(logits, axis=1, keepdims=True)))
        np.testing.assert_allclose(r.sum(1), 1, rtol=0, atol=3 * EPSILON)

    def test_predict_is_the_most_probable_component(self, mixture: GaussianMixture) -> None:
        x = points(50, 3)
        assert mixture.predict(x).tolist() == scipy_logits(mixture, x).argmax(1).tolist()

    def test_univariate(self, family: CovarianceFamily, random_parameters: Callable) -> None:
        parameters = random_parameters(family, s=1, k=3, d=1)
        mixture = GaussianMixture.from_parameters(family, parameters)
        x = points(50, 1)
        close(mixture.log_prob(x[:, 0]), logsumexp(scipy_logits(mixture, x), axis=1))

    def test_far_from_every_component(self, mixture: GaussianMixture) -> None:
        x = 1e6 * points(10, 3)
        close(mixture.log_prob(x), logsumexp(scipy_logits(mixture, x), axis=1))

    def test_as_scikit_learn_has_it(
        self, family: CovarianceFamily, mixture: GaussianMixture
    ) -> None:
        if family.name not in ("full", "tied", "diag", "spherical"):
            with pytest.raises(ValueError, match="covariance_type"):
                SklearnMixture(covariance_type=family.name).fit(points(9, 3))
            return
        theirs = SklearnMixture(3, covariance_type=family.name)
        theirs.weights_, theirs.means_ = mixture.weights.numpy(), mixture.means.numpy()
        theirs.covariances_ = mixture.covariances.numpy()
        theirs.precisions_cholesky_ = _compute_precision_cholesky(
            theirs.covariances_, covariance_type=family.name
        )
        x = points(50, 3)
        close(mixture.log_prob(x), theirs.score_samples(x))
        close(mixture.responsibilities(x), theirs.predict_proba(x))
        assert mixture.bic(x) == pytest.approx(theirs.bic(x), rel=ROUNDING)
        assert mixture.aic(x) == pytest.approx(theirs.aic(x), rel=ROUNDING)

    def test_criteria(self, family: CovarianceFamily, mixture: GaussianMixture) -> None:
        x = points(50, 3)
        logits = scipy_logits(mixture, x)
        log_likelihood = logsumexp(logits, axis=1).sum()
        complete = logits.max(1).sum()  # of points and their most probable components
        free = family.n_parameters(3, 3)
        assert mixture.n_parameters == free
        assert mixture.aic(x) == pytest.approx(2 * free - 2 * log_likelihood, rel=ROUNDING)
        penalty = free * np.log(50)
        assert mixture.bic(x) == pytest.approx(penalty - 2 * log_likelihood, rel=ROUNDING)
        assert mixture.icl(x) == pytest.approx(penalty - 2 * complete, rel=ROUNDING)

    def test_as_a_torch_distribution(self, mixture: GaussianMixture) -> None:
        x = points(50, 3)
        distribution = mixture.distribution()
        close(distribution.log_prob(torch.tensor(x)), mixture.log_prob(x))
        close(distribution.mean, mixture.mean())
        close(distribution.variance, mixture.covariance().diagonal())


def test_numbers_by_hand(plain: GaussianMixture) -> None:
    peak = 1 / np.sqrt(2 * np.pi)
    densities = 0.25 * peak / 2 * np.exp(-0.5), 0.75 * peak * np.exp(-2.0)
    close(plain.log_prob([1.0]), [np.log(sum(densities))])
    close(plain.responsibilities([1.0]), [np.array(densities) / sum(densities)])
    assert plain.mean().tolist() == [2.0]
    assert plain.covariance().tolist() == [[0.25 * (4 + 9) + 0.75 * (1 + 1)]]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: x.tolist(),
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: pd.DataFrame(x),
        lambda x: pl.DataFrame(x),
    ],
    ids=["numpy", "lists", "torch", "pandas", "polars"],
)
@pytest.mark.parametrize("family", [FAMILIES["full"]], ids=["full"])
def test_points_come_in_any_form(mixture: GaussianMixture, make: Callable) -> None:
    x = points(5, 3)
    assert torch.equal(mixture.log_prob(make(x)), mixture.log_prob(x))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (points(5, 2), "x must have 3 features, got 2: shape (5, 2)"),
        (points(5, 1)[:, 0], "x must have 3 features, got 1: shape (5,)"),
        ([[0.0, np.inf, 1.0]], "x has 1 infinite value, the first at row 0, column 'width'"),
        (np.empty((0, 3)), "x must have at least one row"),
    ],
    ids=["two", "one", "infinite", "no rows"],
)
@pytest.mark.parametrize("ask", ["log_prob", "responsibilities", "predict", "bic", "aic", "icl"])
@pytest.mark.parametrize("family", [FAMILIES["diag"]], ids=["diag"])
def test_bad_points_are_refused(mixture: GaussianMixture, ask: str, x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(mixture, ask)(x)


@every_class
def test_a_component_without_weight_is_never_met(
    family: CovarianceFamily, mixture: GaussianMixture
) -> None:
    weights = [0.4, 0.0, 0.6]
    empty = GaussianMixture(weights, mixture.means, mixture.covariances, family.name)
    x = empty.means  # also at its very centre
    logits = scipy_logits(mixture, x.numpy()) - mixture.weights.log().numpy()
    expected = logsumexp(logits[:, [0, 2]] + np.log([0.4, 0.6]), axis=1)
    close(empty.log_prob(x), expected)
    assert (empty.responsibilities(x)[:, 1] == 0).all()
    assert (empty.sample_labelled(1000).labels != 1).all()


# ---------------------------------------------------------------------- moments and samples


@every_class
def test_moments_are_those_of_within_and_between(mixture: GaussianMixture) -> None:
    weights, means = mixture.weights.numpy(), mixture.means.numpy()
    covariances = dense_covariances(mixture)
    second = covariances + means[:, :, None] * means[:, None, :]
    mean = weights @ means
    close(mixture.mean(), mean)
    close(mixture.covariance(), np.tensordot(weights, second, 1) - np.outer(mean, mean))
    close(mixture.covariance_matrices(), covariances)


@every_class
def test_sample_moments_are_within_monte_carlo_error(mixture: GaussianMixture) -> None:
    n = 20_000
    x = mixture.sample(n, seed=1).numpy()
    z = x - mixture.mean().numpy()
    products = z[:, :, None] * z[:, None, :]
    for draws, expected in ((x, mixture.mean()), (products, mixture.covariance())):
        standard_error = draws.std(0) / np.sqrt(n)
        assert (np.abs(draws.mean(0) - expected.numpy()) < STANDARD_ERRORS * standard_error).all()


@every_class
def test_labelled_samples_come_from_their_components(mixture: GaussianMixture) -> None:
    n = 20_000
    sample = mixture.sample_labelled(n, seed=2)
    weights = mixture.weights.numpy()
    shares = np.bincount(sample.labels, minlength=3) / n
    error = np.sqrt(weights * (1 - weights) / n)
    assert (np.abs(shares - weights) < STANDARD_ERRORS * error).all()
    for component, covariance in enumerate(dense_covariances(mixture)):
        own = sample.x[sample.labels == component].numpy()
        error = np.sqrt(np.diag(covariance) / len(own))
        offset = own.mean(0) - mixture.means[component].numpy()
        assert (np.abs(offset) < STANDARD_ERRORS * error).all()


@every_class
def test_samples_are_fixed_by_their_seed_alone(mixture: GaussianMixture) -> None:
    before = torch.get_rng_state()
    sample = mixture.sample_labelled(100, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    again = mixture.sample_labelled(100, seed=3)
    torch.set_rng_state(before)
    assert torch.equal(sample.x, again.x)
    assert torch.equal(sample.labels, again.labels)
    assert torch.equal(sample.x, mixture.sample(100, seed=3))
    assert not torch.equal(sample.x, mixture.sample(100, seed=4))
    assert sample.x.shape == (100, 3)


# ---------------------------------------------------------------------- other mixtures

SUBSETS = [["height"], ["depth"], ["width", "depth"], ["depth", "height"], [2, 0], [1, "height"]]


@every_class
@pytest.mark.parametrize("features", SUBSETS, ids=str)
class TestSomeFeatures:
    @staticmethod
    def columns(features: list[int | str]) -> list[int]:
        return [NAMES.index(f) if isinstance(f, str) else f for f in features]

    def test_the_marginal_drops_rows_and_columns(
        self, mixture: GaussianMixture, features: list
    ) -> None:
        keep = self.columns(features)
        marginal = mixture.marginal(features)
        assert marginal.family is mixture.family
        assert marginal.feature_names == tuple(NAMES[i] for i in keep)
        assert torch.equal(marginal.weights, mixture.weights)
        assert torch.equal(marginal.means, mixture.means[:, keep])
        close(dense_covariances(marginal), dense_covariances(mixture)[:, keep][:, :, keep])

    def test_conditional_times_marginal_is_the_joint(
        self, mixture: GaussianMixture, features: list
    ) -> None:
        known = self.columns(features)
        rest = [i for i in range(3) if i not in known]
        x = points(20, 3)
        for values in points(4, len(known), seed=1):
            conditional = mixture.conditional(features, values)
            assert conditional.family is mixture.family
            assert conditional.feature_names == tuple(NAMES[i] for i in rest)
            x[:, known] = values
            product = conditional.log_prob(x[:, rest]) + mixture.marginal(features).log_prob(
                x[:, known]
            )
            close(product, mixture.log_prob(x))


@every_class
def test_the_marginal_is_the_integral_of_the_joint(mixture: GaussianMixture) -> None:
    """By the trapezium rule over one feature, which is exact to rounding for analytic tails."""
    reach = float(10 * mixture.covariance()[1, 1].sqrt())
    grid = np.linspace(-reach, reach, 2001)
    x = np.zeros((len(grid), 3))
    x[:, 1] = grid
    for x[:, 0], x[:, 2] in points(3, 2):
        integral = np.exp(mixture.log_prob(x).numpy()).sum() * (grid[1] - grid[0])
        marginal = mixture.marginal(["height", "depth"]).log_prob(x[:1, [0, 2]]).exp()
        assert float(marginal[0]) == pytest.approx(integral, rel=1e-10)


@pytest.mark.parametrize("family", [FAMILIES["full"]], ids=["full"])
class TestOneFamily:
    def test_one_feature_needs_no_list(self, mixture: GaussianMixture) -> None:
        assert same_mixture(mixture.marginal("width"), mixture.marginal([1]))
        assert same_mixture(mixture.conditional("width", 2.0), mixture.conditional([1], [2.0]))

    @pytest.mark.parametrize("values", [[1.0, 2.0], torch.tensor([1.0, 2.0]), np.array([[1, 2]])])
    def test_known_values_come_in_any_form(self, mixture: GaussianMixture, values: Any) -> None:
        expected = mixture.conditional([0, 1], np.array([1.0, 2.0]))
        assert same_mixture(mixture.conditional([0, 1], values), expected)

    @pytest.mark.parametrize(
        ("features", "message"),
        [
            (["colour"], "no feature 'colour': there are height, width, depth"),
            ([3], "no feature 3: there are height, width, depth"),
            ([-1], "no feature -1: there are height, width, depth"),
            ([0, "height"], "features must be one or more different columns"),
            ([], "features must be one or more different columns, got []"),
        ],
    )
    def test_features_that_do_not_exist(
        self, mixture: GaussianMixture, features: list, message: str
    ) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            mixture.marginal(features)
        with pytest.raises(ValueError, match=re.escape(message)):
            mixture.conditional(features, [0.0] * len(features))

    @pytest.mark.parametrize(
        ("features", "values", "message"),
        [
            (NAMES, [0, 0, 0], "conditional needs at least one feature that is not given"),
            (["height"], [0, 0], "values must have 1 features, got 2"),
            (["height"], [np.nan], "values have 1 NaN value"),
        ],
        ids=["none left", "too many values", "NaN"],
    )
    def test_values_that_do_not_fit(
        self, mixture: GaussianMixture, features: Any, values: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            mixture.conditional(features, values)

    @pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [1, 2, 3], [0, 1, 2, 0], []])
    def test_orders_that_are_no_permutation(self, mixture: GaussianMixture, order: list) -> None:
        message = f"order must be a permutation of 0 to 2, got {order}"
        with pytest.raises(ValueError, match=re.escape(message)):
            mixture.permute(order)

    def test_nothing_can_be_assigned(self, mixture: GaussianMixture) -> None:
        with pytest.raises(FrozenInstanceError):
            mixture.weights = torch.ones(3)


@every_class
@pytest.mark.parametrize("make", [list, np.array, torch.tensor], ids=["list", "numpy", "torch"])
def test_permuted_components_are_the_same_mixture(mixture: GaussianMixture, make: Callable) -> None:
    order = [2, 0, 1]
    permuted = mixture.permute(make(order))
    x = points(20, 3)
    close(permuted.log_prob(x), mixture.log_prob(x))
    close(permuted.responsibilities(x), mixture.responsibilities(x)[:, order])
    assert torch.equal(permuted.means, mixture.means[order])
    assert permuted.feature_names == NAMES
    assert same_mixture(permuted.permute(np.argsort(order)), mixture)


# ---------------------------------------------------------------------- parameters


def test_parameters_come_in_any_form(plain: GaussianMixture) -> None:
    same = [
        GaussianMixture(np.array([0.25, 0.75]), np.array([[-1], [3]]), np.array([[[4]], [[1]]])),
        GaussianMixture((0.25, 0.75), pd.DataFrame({"x": [-1.0, 3.0]}), [4, 1], "spherical"),
        GaussianMixture(
            torch.tensor([0.25, 0.75], requires_grad=True),
            torch.tensor([-1.0, 3.0], dtype=torch.float64, requires_grad=True),
            torch.tensor([[4.0], [1.0]]),
            "VVI",
        ),
    ]
    x = points(10, 1)
    for mixture in same:
        assert (mixture.n_components, mixture.n_features) == (2, 1)
        assert not mixture.means.requires_grad
        close(mixture.log_prob(x), plain.log_prob(x))


def test_parameters_are_copied() -> None:
    """A mixture is a value: it does not change when the user's arrays do."""
    arrays = np.array([0.25, 0.75]), np.array([[-1.0], [3.0]]), np.array([[[4.0]], [[1.0]]])
    tensors = tuple(torch.tensor(array) for array in arrays)
    for given in (arrays, tensors):
        mixture = GaussianMixture(*given)
        before = mixture.log_prob([0.5])
        for array in given:
            array *= 2
        assert torch.equal(mixture.log_prob([0.5]), before)
        assert mixture.weights.tolist() == [0.25, 0.75]


def test_float32_weights_may_come_with_float64_means() -> None:
    weights = torch.tensor([0.3, 0.6, 0.1])  # their sum is 1 to float32 only
    assert GaussianMixture(weights, [0.0, 1.0, 2.0], [1, 1, 1], "VII").means.dtype == torch.float64


def test_parameters_may_be_read_only() -> None:
    arrays = np.array([0.25, 0.75]), np.array([[-1.0], [3.0]]), np.array([[[4.0]], [[1.0]]])
    for array in arrays:
        array.flags.writeable = False
    assert GaussianMixture(*arrays).predict([-1.0, 3.0]).tolist() == [0, 1]


@every_class
def test_float32_parameters_stay_float32(
    family: CovarianceFamily, random_parameters: Callable
) -> None:
    parameters = random_parameters(family, s=1, k=3, d=3)
    half = GaussianMixture.from_parameters(family, parameters, dtype=torch.float32)
    whole = GaussianMixture.from_parameters(family, parameters)
    x = points(20, 3)
    results = half.log_prob(x), half.responsibilities(x), half.mean(), half.covariance()
    others = half.sample(3), half.marginal([0]).means, half.conditional([0], [1.0]).means
    assert {result.dtype for result in results + others} == {torch.float32}
    close(half.log_prob(x), whole.log_prob(x), 1e-5)  # 1e2 times float32's spacing of 1.2e-7


@every_class
def test_parameters_of_a_set_make_the_same_mixture(
    family: CovarianceFamily, mixture: GaussianMixture
) -> None:
    again = GaussianMixture(
        mixture.weights, mixture.means, mixture.covariances, family.mclust, NAMES
    )
    assert same_mixture(again, mixture)
    close(again.parameters.factor, mixture.parameters.factor)


@every_class
def test_weights_of_a_set_are_normalised(
    family: CovarianceFamily, mixture: GaussianMixture
) -> None:
    shifted = replace(mixture.parameters, log_weights=mixture.parameters.log_weights + 1)
    again = GaussianMixture.from_parameters(family, shifted)
    x = points(20, 3)
    close(again.log_prob(x), mixture.log_prob(x))
    close(again.sample(3), mixture.sample(3))


def test_a_factor_is_kept_where_its_covariance_has_no_cholesky_factor() -> None:
    """(1, 0), (1, 1e-9) squares to a matrix of ones, which is singular."""
    factor = torch.tensor([[[[1.0, 0.0], [1.0, 1e-9]]]], dtype=torch.float64)
    log_weights, means = factor.new_zeros(1, 1), factor.new_zeros(1, 1, 2)
    mixture = GaussianMixture.from_parameters(
        FAMILIES["full"], Parameters(log_weights, means, factor)
    )
    assert mixture.covariances.tolist() == [[[1.0, 1.0], [1.0, 1.0]]]
    expected = -np.log(2 * np.pi) - np.log(1e-9) - 0.5
    close(mixture.log_prob([[1.0, 1.0]]), [expected])


W, M, C = [0.4, 0.6], [[0.0, 0.0], [1.0, 1.0]], [np.eye(2), np.eye(2)]
BAD_PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "too few weights": ({"weights": [1.0]}, "weights must have shape (2,), got (1,)"),
    "a column of weights": (
        {"weights": [[0.4], [0.6]]},
        "weights must have shape (2,), got (2, 1)",
    ),
    "negative weight": (
        {"weights": [-0.5, 1.5]},
        "weights must be non-negative and sum to 1, got [-0.5, 1.5]",
    ),
    "weights of other sum": (
        {"weights": [0.5, 0.75]},
        "weights must be non-negative and sum to 1, got [0.5, 0.75]",
    ),
    "NaN weight": ({"weights": [np.nan, 1.0]}, "weights must be non-negative and sum to 1"),
    "three axes of means": (
        {"means": np.zeros((2, 2, 2))},
        "means must be finite, of shape (k, d), got (2, 2, 2)",
    ),
    "no means": ({"means": np.zeros((0, 2))}, "means must be finite, of shape (k, d), got (0, 2)"),
    "NaN mean": ({"means": [[0.0, np.nan], [1.0, 1.0]]}, "means must be finite, of shape (k, d)"),
    "one covariance for two": (
        {"covariances": np.eye(2)},
        "covariances of a full mixture of 2 components in 2 dimensions must have shape (2, 2, 2), "
        "got (2, 2)",
    ),
    "two variances for one": (
        {"covariances": [1.0, 2.0], "covariance": "tied_spherical"},
        "covariances of a tied_spherical mixture of 2 components in 2 dimensions must have shape "
        "(), got (2,)",
    ),
    "indefinite": (
        {"covariances": [np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]},
        "covariances must be finite, symmetric and positive definite",
    ),
    "asymmetric": (
        {"covariances": [np.eye(2), [[1.0, 0.5], [0.1, 1.0]]]},
        "covariances must be finite, symmetric and positive definite",
    ),
    "zero variance": (
        {"covariances": [1.0, 0.0], "covariance": "spherical"},
        "covariances must be finite, symmetric and positive definite",
    ),
    "infinite variance": (
        {"covariances": [1.0, np.inf], "covariance": "diag"},
        "covariances of a diag mixture",
    ),
    "NaN variance": (
        {"covariances": np.nan, "covariance": "EII"},
        "covariances must be finite, symmetric and positive definite",
    ),
    "another family": ({"covariance": "ful"}, "got 'ful'; did you mean 'full'?"),
    "too few names": ({"feature_names": ["a"]}, "feature_names must hold 2 names, got 1"),
    "a name twice": ({"feature_names": ["a", "a"]}, "feature_names must differ, got a, a"),
}


@pytest.mark.parametrize(("bad", "message"), BAD_PARAMETERS.values(), ids=BAD_PARAMETERS)
def test_bad_parameters_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GaussianMixture(**({"weights": W, "means": M, "covariances": C} | bad))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ("x0", "x1")),
        (["a", "b"], ("a", "b")),
        (pd.Index(["a", "b"]), ("a", "b")),
        (pd.DataFrame({1: [0], 2: [0]}).columns, ("1", "2")),
    ],
    ids=["none", "list", "columns", "numbered columns"],
)
def test_feature_names(names: Any, expected: tuple[str, ...]) -> None:
    assert GaussianMixture(W, M, C, feature_names=names).feature_names == expected


# ---------------------------------------------------------------------- files


@every_class
@pytest.mark.parametrize("name", ["mixture.json", "mixture.npz", "mixture"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("d", [1, 3])
def test_a_file_gives_back_every_bit(
    family: CovarianceFamily,
    name: str,
    dtype: torch.dtype,
    d: int,
    tmp_path: Path,
    random_parameters: Callable,
) -> None:
    mixture = GaussianMixture.from_parameters(
        family, random_parameters(family, s=1, k=3, d=d), dtype=dtype, feature_names=NAMES[:d]
    )
    path = mixture.save(tmp_path / name)
    assert path == tmp_path / name
    assert [file.name for file in tmp_path.iterdir()] == [name]  # nothing else is left
    assert same_mixture(GaussianMixture.load(str(path)), mixture)


def test_saving_again_replaces_the_file(plain: GaussianMixture, tmp_path: Path) -> None:
    plain.save(tmp_path / "m.json")
    other = plain.permute([1, 0])
    other.save(tmp_path / "m.json")
    assert same_mixture(GaussianMixture.load(tmp_path / "m.json"), other)


def test_a_save_that_fails_leaves_the_old_file(
    plain: GaussianMixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.save(tmp_path / "m.npz")

    def fail(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="no space left"):
        plain.permute([1, 0]).save(tmp_path / "m.npz")
    assert same_mixture(GaussianMixture.load(tmp_path / "m.npz"), plain)


class Bomb:
    """Unpickling an object of this class creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple[Path]]:
        return Path.touch, (self.path,)


def test_loading_runs_no_code(tmp_path: Path) -> None:
    path, proof = tmp_path / "m.npz", tmp_path / "ran"
    np.savez(path, format=np.array(Bomb(proof), dtype=object))
    with pytest.raises(ValueError, match="m.npz does not hold a mixture saved by gmm_pyro"):
        GaussianMixture.load(path)
    assert not proof.exists()


def saved(path: Path, **changes: Any) -> None:
    """A good JSON file but for some entries."""
    GaussianMixture(W, M, C).save(path)
    content = json.loads(path.read_text()) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept))


def truncated(path: Path) -> None:
    GaussianMixture(W, M, C).save(path)
    path.write_bytes(path.read_bytes()[:200])


def an_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.eye(2))


OTHER_FILES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "text": ("m.json", lambda path: path.write_text("hello"), "Expecting value"),
    "bytes": ("m.json", lambda path: path.write_bytes(b"\xff\xfe\x00"), "decode"),
    "empty": ("m.json", lambda path: path.touch(), "Expecting value"),
    "a list": ("m.json", lambda path: path.write_text("[1, 2]"), ""),
    "a number": ("m.json", lambda path: path.write_text("1"), ""),
    "other JSON": ("m.json", lambda path: path.write_text('{"a": 1}'), "'format' is missing"),
    "another format": ("m.json", lambda path: saved(path, format="x"), "its format is 'x'"),
    "no weights": ("m.json", lambda path: saved(path, weights=None), "'weights' is missing"),
    "no names": ("m.json", lambda path: saved(path, feature_names=None), "'feature_names'"),
    "another family": ("m.json", lambda path: saved(path, covariance="VVW"), "mean 'VVV'"),
    "bad weights": ("m.json", lambda path: saved(path, weights=[2, 3]), "sum to 1"),
    "words for weights": ("m.json", lambda path: saved(path, weights=["a", "b"]), ""),
    "ragged means": ("m.json", lambda path: saved(path, means=[[1], [2, 3]]), ""),
    "odd dtype": ("m.json", lambda path: saved(path, dtype="object"), ""),
    "unknown dtype": ("m.json", lambda path: saved(path, dtype="float12"), ""),
    "other arrays": ("m.npz", lambda path: np.savez(path, a=np.eye(2)), "'format' is missing"),
    "one array": ("m.npz", an_array, ""),
    "half an archive": ("m.npz", truncated, "zip"),
    "empty archive": ("m.npz", lambda path: path.touch(), ""),
    "JSON in an archive": ("m.npz", lambda path: path.write_text("{}"), ""),
}


@pytest.mark.parametrize(("name", "write", "why"), OTHER_FILES.values(), ids=OTHER_FILES)
def test_other_files_are_refused(name: str, write: Callable, why: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    message = f"{tmp_path / name} does not hold a mixture saved by gmm_pyro: "
    with pytest.raises(ValueError, match=re.escape(message) + ".*" + re.escape(why)):
        GaussianMixture.load(tmp_path / name)


def test_a_missing_file_is_no_bad_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        GaussianMixture.load(tmp_path / "none.json")


def test_criteria_of_one_pass_are_those_of_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of weighted points: sums of log densities and of the surest responsibilities."""
    mixture, x = gp.datasets.three_clusters().truth, gp.datasets.three_clusters(seed=8).x
    weight = np.linspace(0.0, 3.0, len(x))
    passes, pointwise = [], value.pointwise.at_points
    monkeypatch.setattr(
        value.pointwise, "at_points", lambda *given: passes.append(given) or pointwise(*given)
    )
    found = mixture.criteria(x, weight)
    assert len(passes) == 1
    parts = np.stack(
        [
            np.log(w) + multivariate_normal(m, c).logpdf(x.numpy())
            for w, m, c in zip(
                mixture.weights.numpy(),
                mixture.means.numpy(),
                mixture.covariance_matrices().numpy(),
                strict=True,
            )
        ]
    )
    total = logsumexp(parts, 0)
    n, p = weight.sum(), mixture.n_parameters
    log_likelihood, sureness = weight @ total, weight @ (parts.max(0) - total)
    assert found.mean_log_density == pytest.approx(log_likelihood / n, rel=1e-12)
    assert found.bic == pytest.approx(p * math.log(n) - 2 * log_likelihood, rel=1e-12)
    assert found.aic == pytest.approx(2 * p - 2 * log_likelihood, rel=1e-12)
    assert found.icl == pytest.approx(found.bic - 2 * sureness, rel=1e-12)
