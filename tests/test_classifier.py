"""Claims about `GaussianMixtureClassifier`, held to scikit-learn's discriminants."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gmm_pyro.estimator import GaussianMixtureClassifier

IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = load_iris().target_names[SPECIES]


def rings(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A disc inside of a ring: no Gaussian a class can tell them well."""
    generator = np.random.default_rng(seed)
    inside = generator.random(n) < 0.5
    radius = np.where(inside, generator.random(n), 2 + generator.random(n))
    angle = 2 * np.pi * generator.random(n)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), inside


@pytest.mark.parametrize("weights", [None, "some"])
def test_diagonal_classes_are_naive_bayes(weights: str | None) -> None:
    weight = None if weights is None else np.random.default_rng(0).random(150)
    theirs = GaussianNB(var_smoothing=0).fit(IRIS, NAMES, sample_weight=weight)
    ours = GaussianMixtureClassifier(covariance_type="diag", reg_covar=0)
    ours.fit(IRIS, NAMES, sample_weight=weight)
    np.testing.assert_allclose(ours.class_prior_, theirs.class_prior_, rtol=1e-12)
    np.testing.assert_allclose(
        ours.predict_joint_log_proba(IRIS), theirs.predict_joint_log_proba(IRIS), rtol=1e-8
    )
    np.testing.assert_allclose(
        ours.predict_proba(IRIS), theirs.predict_proba(IRIS), rtol=1e-7, atol=1e-12
    )


def test_full_classes_are_quadratic_discriminants() -> None:
    theirs = QuadraticDiscriminantAnalysis().fit(IRIS, NAMES)  # with n - 1 in the covariance
    ours = GaussianMixtureClassifier(reg_covar=0).fit(IRIS, NAMES)
    np.testing.assert_array_equal(ours.predict(IRIS), theirs.predict(IRIS))
    for mine, sums in zip(ours.mixtures_, [50, 50, 50], strict=True):
        name = list(ours.mixtures_).index(mine)
        covariance = np.cov(IRIS[name == SPECIES].T)
        np.testing.assert_allclose(mine.covariances_[0] * sums / (sums - 1), covariance, rtol=1e-9)


def test_several_components_a_class_are_bayes_rule_over_scikit_learns_mixtures() -> None:
    x, y = rings()
    ours = GaussianMixtureClassifier({False: 8, True: 1}, random_state=0, n_init=2).fit(x, y)
    joint = []
    for name, mixture, k in zip(ours.classes_, ours.mixtures_, (8, 1), strict=True):
        seed = mixture.random_state
        theirs = GaussianMixture(k, random_state=seed, n_init=2).fit(x[y == name])
        joint.append(theirs.score_samples(x) + np.log(np.mean(y == name)))
    np.testing.assert_allclose(ours.predict_joint_log_proba(x), np.stack(joint, 1), atol=1e-5)
    one = GaussianMixtureClassifier().fit(x, y)
    assert ours.score(x, y) > 0.99
    assert ours.score(x, y) > one.score(x, y)


def test_densities_samples_and_criteria_are_those_of_the_whole() -> None:
    ours = GaussianMixtureClassifier(2, random_state=0).fit(IRIS, NAMES)
    joint = ours.predict_joint_log_proba(IRIS)
    np.testing.assert_allclose(np.exp(ours.score_samples(IRIS)), np.exp(joint).sum(1))
    np.testing.assert_allclose(ours.predict_proba(IRIS).sum(1), 1)
    with pytest.raises(ValueError, match="Invalid value for 'n_samples'"):
        ours.sample(0)
    again = GaussianMixtureClassifier().fit(IRIS, NAMES)
    assert not np.array_equal(again.sample(4)[0], again.sample(4)[0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ours.bic(IRIS, NAMES[:1])
    x, y = ours.sample(3000)
    assert ours.score(x, y) > 0.95
    np.testing.assert_allclose([np.mean(y == name) for name in ours.classes_], 1 / 3, atol=0.05)
    log_likelihood = joint[np.arange(150), SPECIES].sum()
    n_parameters = 3 * (1 + 2 * (4 + 10)) + 2
    assert ours.aic(IRIS, NAMES) == pytest.approx(-2 * log_likelihood + 2 * n_parameters)
    assert ours.bic(IRIS, NAMES) == pytest.approx(-2 * log_likelihood + n_parameters * np.log(150))


def test_a_prior_of_the_classes_replaces_their_shares() -> None:
    prior = [0.0, 0.5, 0.5]
    ours = GaussianMixtureClassifier(class_prior=prior).fit(IRIS, NAMES)
    assert "setosa" not in ours.predict(IRIS)
    with pytest.raises(ValueError, match="class_prior must be 3 probabilities"):
        GaussianMixtureClassifier(class_prior=[0.5, 0.5]).fit(IRIS, NAMES)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_far_out_the_widest_class_has_the_point(covariance: str, dtype: type) -> None:
    """At any distance where the difference of the log densities can be computed in long numbers."""
    random = np.random.default_rng(1)
    y = np.repeat(["narrow", "wide"], 200)
    x = (random.standard_normal((400, 2)) * np.where(y == "wide", 3, 1)[:, None]).astype(dtype)
    ours = GaussianMixtureClassifier(2, covariance_type=covariance, random_state=0).fit(x, y)
    sizes = [1e3, 1e6, 1e10, 1e18] + [1e100, 1e200, 1e300] * (dtype is np.float64)
    far = np.multiply.outer(sizes, [1.0, -1.0]).astype(dtype)
    np.testing.assert_array_equal(ours.predict_proba(far), [[0, 1]] * len(sizes))
    assert (ours.predict(far) == "wide").all()
    both = np.concatenate([x, far])
    np.testing.assert_array_equal(ours.predict_proba(both)[:400], ours.predict_proba(x))


def test_far_out_classes_of_one_covariance_are_told_by_their_means() -> None:
    """The logit is linear: d (μ₁ - μ₀) / σ² + constant, which is lost in squares of 1e100."""
    mirrored = np.array([[1.0], [3.0]])
    ours = GaussianMixtureClassifier(reg_covar=0).fit(
        np.concatenate([-mirrored, mirrored]), [0, 0, 1, 1]
    )
    far = np.array([[-1e100], [-1e9], [1e9], [1e100]])
    np.testing.assert_array_equal(ours.predict_proba(far)[:, 1], [0, 0, 1, 1])


def test_single_precision_tells_classes_apart_at_any_distance() -> None:
    """With one variance the logit is 2 (x - 1) / σ², wherever the other feature is."""
    cloud = np.array([[-1.0, 0.3], [1.1, -0.2], [0.2, -1.3], [0.0, 1.2]])
    x = np.concatenate([cloud - cloud.mean(0), cloud - cloud.mean(0) + [2, 0]]).astype(np.float32)
    ours = GaussianMixtureClassifier(covariance_type="spherical", reg_covar=0)
    ours.fit(x, np.repeat([0, 1], 4))
    points = np.array([[1.25, size] for size in (0, 10.3, 100.7, 300.1)], dtype=np.float32)
    expected = np.full(4, expit(2 * 0.25 / cloud.var(0).mean()))
    np.testing.assert_allclose(ours.predict_proba(points)[:, 1], expected, rtol=1e-4)


def test_other_methods_give_a_posterior_a_class() -> None:
    ours = GaussianMixtureClassifier(method="laplace", random_state=0)
    ours.fit(load_iris(as_frame=True).data, NAMES)
    posteriors = ours.to_arviz()
    assert list(posteriors) == ["setosa", "versicolor", "virginica"]
    features = posteriors["setosa"]["posterior"]["feature"].values.tolist()
    assert features == ours.feature_names_in_.tolist()
    assert ours.score(load_iris(as_frame=True).data, NAMES) > 0.95


def test_it_works_in_pipelines_and_can_be_copied() -> None:
    x, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), GaussianMixtureClassifier(covariance_type="tied"))
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.9
    pipeline.fit(x, y)
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(x), pipeline.predict_proba(x))
    assert clone(pipeline)[-1].get_params() == pipeline[-1].get_params()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_components": {"setosa": 1}}, "no number for class 'versicolor'"),
        ({"n_components": 60}, "class 'setosa': Expected n_samples >= n_components"),
        ({"covariance_type": "round"}, "'covariance_type' parameter"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GaussianMixtureClassifier(**arguments).fit(IRIS, NAMES)


def test_bad_weights_and_classes_are_named() -> None:
    ours = GaussianMixtureClassifier()
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(150,\), got \(3,\)"):
        ours.fit(IRIS, NAMES, sample_weight=[1, 2, 3])
    with pytest.raises(ValueError, match="sample_weight must be finite"):
        ours.fit(IRIS, NAMES, sample_weight=np.full(150, -1.0))
    with pytest.raises(ValueError, match="has not seen: \\['rose'\\]"):
        ours.fit(IRIS, NAMES).bic(IRIS, np.full(150, "rose"))
