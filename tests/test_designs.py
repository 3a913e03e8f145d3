"""Designs: values that can be written down, and data sets that are what was asked for."""

from __future__ import annotations

import math
import pickle
import tomllib
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chi2, f, kstest

import gmm_pyro as gp
from gmm_pyro.designs import Design, largest_overlap, mean_overlap
from oracles import FAILURE_RATE, STANDARD_ERRORS

HIT = 1e-8  # how near the overlap that is asked is reached
OF_MIXTURES = {"n": 200, "d": 3, "k": 3}
ALL = {"tails": 5.0, "skew": 1.0, "noise_features": 2, "outliers": 0.1, "missing": 0.05}


def drawn(design: Design, seed: int = 0) -> gp.Dataset:
    """The data set of the first setting."""
    return design.draw(design.settings()[0], seed)


def truth_of(data: gp.Dataset) -> gp.GaussianMixture:
    assert data.truth is not None
    return data.truth


def same(one: gp.Dataset, other: gp.Dataset) -> bool:
    """Whether two data sets are, to the bit, the same points with the same labels."""
    assert one.labels is not None
    assert other.labels is not None
    points = one.x.shape == other.x.shape and np.array_equal(one.x, other.x, equal_nan=True)
    return points and bool((one.labels == other.labels).all())


def designs() -> list[Design]:
    """One of each kind, with all that it can have."""
    return [
        gp.designs.overlapping(**OF_MIXTURES, overlap=0.05, **ALL),
        gp.designs.separated(**OF_MIXTURES, separation=1.0, **ALL),
        gp.designs.resampled("iris", noise_features=2, outliers=0.1, missing=0.05),
    ]


every_kind = pytest.mark.parametrize("design", designs(), ids=lambda design: design.kind)


# ---------------------------------------------------------------------- values


def test_all_levels_are_crossed_in_order() -> None:
    design = gp.designs.overlapping(n=[50, 90], d=2, k=(2, 3), overlap=0.1, replicates=7)
    found = [(s["n"], s["d"], s["k"], s["overlap"]) for s in design.settings()]
    assert found == [(50, 2, 2, 0.1), (50, 2, 3, 0.1), (90, 2, 2, 0.1), (90, 2, 3, 0.1)]
    assert (design.replicates, design.name, design.kind) == (7, "overlapping", "overlapping")


@every_kind
def test_a_design_is_the_one_that_was_written(design: Design) -> None:
    written = design.to_dict()
    assert Design.from_dict(written) == design
    assert pickle.loads(pickle.dumps(design)) == design
    lines = [f"{name} = {toml(value)}" for name, value in written.items()]
    assert Design.from_dict(tomllib.loads("\n".join(lines))) == design


def toml(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def test_a_design_is_read_from_toml_that_a_person_wrote() -> None:
    text = """
        kind = "overlapping"
        name = "near"
        n = [100, 1000]
        d = 2
        k = 3
        overlap = 0.2
        tails = [3, inf]
    """
    design = Design.from_dict(tomllib.loads(text))
    assert design == gp.designs.overlapping(
        n=[100, 1000], d=2, k=3, overlap=0.2, tails=[3, math.inf], name="near"
    )


def test_data_that_are_not_named_cannot_be_written() -> None:
    design = gp.designs.resampled(gp.datasets.iris())
    with pytest.raises(ValueError, match=r"words and numbers; data has <iris.*: name a data set"):
        design.to_dict()


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"overlap": 0.1, "tail": 3}, r"factors n, d, .*; got 'tail'; did you mean 'tails'"),
    ({}, "overlapping needs overlap or largest_overlap"),
    ({"overlap": []}, "overlap must have at least one level, got none"),
    ({"overlap": [0.1, 0.1]}, r"overlap must have different levels, got \(0.1, 0.1\)"),
    ({"overlap": 1.0}, "overlap must be a finite number above 0 and below 1, got 1.0"),
    ({"overlap": 0.1, "k": 1}, "k must be an integer of at least 2, got 1"),
    ({"overlap": 0.1, "tails": [3, 2]}, "tails must be a finite number above 2, got 2"),
    ({"overlap": 0.1, "skew": 0.001}, "skew must be 0, or from 0.01 to 10 in size, got 0.001"),
    ({"overlap": 0.1, "missing": 1}, "missing must be a finite number of at least 0 and below 1"),
    ({"overlap": 0.1, "shared": 1}, "shared must be True or False, got 1"),
    ({"overlap": 0.1, "replicates": 0}, "replicates must be an integer of at least 1, got 0"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_a_mistake_is_refused_where_it_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gp.designs.overlapping(**OF_MIXTURES | options)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of overlapping, .*did you mean 'sep"):
        Design.from_dict({"kind": "seperated", "n": 3})
    with pytest.raises(ValueError, match="must have a kind, got {'n': 3}"):
        Design.from_dict({"n": 3})
    with pytest.raises(ValueError, match="resampled needs data"):
        Design("resampled", {})
    with pytest.raises(
        ValueError, match=r"data must be one of .*got 'irises'; did you mean 'iris'"
    ):
        gp.designs.resampled("irises")


# ---------------------------------------------------------------------- the same from its row


@every_kind
def test_a_data_set_is_the_same_from_its_row_alone(design: Design) -> None:
    """Whatever the other levels, the order of drawing and the state of the generators."""
    setting = design.settings()[0]
    first = design.draw(setting, 5)
    others = {name: (level,) for name, level in setting.items()} | {"n": (40, 50)}
    torch.manual_seed(99)
    again = Design(design.kind, others, replicates=3)
    again.draw(again.settings()[0], 6)
    assert same(first, again.draw(dict(reversed(setting.items())), 5))
    assert not same(first, design.draw(setting, 6))


def test_drawing_leaves_generators_as_they_are() -> None:
    state = torch.get_rng_state()
    legacy = np.random.get_state()[1].copy()  # noqa: NPY002 - it is the state that is looked at
    for design in designs():
        drawn(design)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(legacy, np.random.get_state()[1])  # noqa: NPY002


def test_levels_change_only_what_they_are_about() -> None:
    """One seed has one truth, whatever n, tails, outliers and holes."""
    plain = drawn(gp.designs.overlapping(**OF_MIXTURES, overlap=0.05))
    other = drawn(
        gp.designs.overlapping(n=50, d=3, k=3, overlap=0.05, tails=3, outliers=0.2, missing=0.1)
    )
    for name in ("weights", "means", "covariances"):
        assert torch.equal(getattr(truth_of(plain), name), getattr(truth_of(other), name))
    holes = drawn(gp.designs.overlapping(**OF_MIXTURES, overlap=0.05, missing=0.3))
    kept = ~holes.x.isnan()
    assert torch.equal(holes.x[kept], plain.x[kept])


# ---------------------------------------------------------------------- overlap and separation


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("d", [1, 2, 10])
@pytest.mark.parametrize(
    "asked",
    [
        {"overlap": 0.001},
        {"overlap": 0.2, "smallest_weight": 0.1},
        {"largest_overlap": 0.05, "shared": True},
        {"overlap": 0.05, "spherical": True},
        {"largest_overlap": 0.01, "spherical": True, "shared": True},
    ],
    ids=str,
)
def test_the_overlap_that_is_asked_is_reached(d: int, k: int, asked: dict[str, Any]) -> None:
    truth = truth_of(drawn(gp.designs.overlapping(n=1, d=d, k=k, **asked), seed=d))
    for name, measure in (("overlap", mean_overlap), ("largest_overlap", largest_overlap)):
        if name in asked:
            assert measure(truth) == pytest.approx(asked[name], abs=HIT)
    assert truth.weights.min() >= min(asked.get("smallest_weight", 1 / k), 1 / k) - 1e-12


@pytest.mark.parametrize(("mean", "largest"), [(0.03, 0.08), (0.05, 0.12), (0.05, 0.2)])
def test_mean_and_largest_overlap_are_reached_together(mean: float, largest: float) -> None:
    design = gp.designs.overlapping(n=1, d=3, k=4, overlap=mean, largest_overlap=largest)
    truth = truth_of(drawn(design))
    assert mean_overlap(truth) == pytest.approx(mean, abs=HIT)
    assert largest_overlap(truth) == pytest.approx(largest, abs=2e-6)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"overlap": 0.9, "largest_overlap": 0.1}, "above 0.0333333 and at most 0.1, got 0.9"),
        ({"overlap": 0.03, "largest_overlap": 0.1}, "above 0.0333333 and at most 0.1, got 0.03"),
        ({"overlap": 0.97}, r"no mixture with overlap = 0.97 was found: of 100 .* is 0\.\d+$"),
        ({"overlap": 0.199, "largest_overlap": 0.2}, r"mean of those .* largest overlap is 0\.1"),
    ],
)
def test_an_overlap_that_cannot_be_is_said_to_be_so(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drawn(gp.designs.overlapping(n=1, d=2, k=3, **asked))


@pytest.mark.parametrize("eccentricity", [0.0, 0.5, 0.9])
def test_no_covariance_is_more_eccentric_than_is_allowed(eccentricity: float) -> None:
    design = gp.designs.overlapping(n=1, d=5, k=4, overlap=0.05, eccentricity=eccentricity)
    values = torch.linalg.eigvalsh(truth_of(drawn(design)).covariance_matrices())
    found = (1 - values[:, 0] / values[:, -1]).clamp(min=0).sqrt()
    assert found.max() <= eccentricity + 1e-7  # the root of a rounding error


@pytest.mark.parametrize("options", [{}, {"spherical": True}, {"shared": True}], ids=str)
def test_components_are_as_separated_as_is_asked(options: dict[str, Any]) -> None:
    truth = truth_of(drawn(gp.designs.separated(n=1, d=4, k=5, separation=1.7, **options)))
    widths = torch.linalg.eigvalsh(truth.covariance_matrices())[:, -1]
    found = [
        float((truth.means[i] - truth.means[j]).norm() / (4 * max(widths[i], widths[j])).sqrt())
        for i in range(5)
        for j in range(i)
    ]
    assert min(found) == pytest.approx(1.7, rel=1e-9)


@pytest.mark.parametrize(
    ("options", "family"),
    [
        ({}, "full"),
        ({"shared": True}, "tied"),
        ({"spherical": True}, "spherical"),
        ({"spherical": True, "shared": True}, "tied_spherical"),
        ({"spherical": True, "noise_features": 1}, "diag"),
        ({"spherical": True, "shared": True, "noise_features": 1}, "tied_diag"),
    ],
    ids=str,
)
def test_the_truth_is_of_its_family(options: dict[str, Any], family: str) -> None:
    truth = truth_of(drawn(gp.designs.separated(**OF_MIXTURES, separation=2.0, **options)))
    assert truth.family.name == family


# ---------------------------------------------------------------------- points


def z_of(data: gp.Dataset) -> np.ndarray:
    """Points in the coordinates of their own components' Cholesky factors."""
    truth, labels = truth_of(data), data.labels
    assert labels is not None
    tril = torch.linalg.cholesky(truth.covariance_matrices())[labels]
    apart = (data.x - truth.means[labels])[..., None]
    return torch.linalg.solve_triangular(tril, apart, upper=False)[..., 0].numpy()


SHAPES: list[dict[str, Any]] = [{}, {"tails": 20.0}, {"skew": 1.0}, {"skew": -1.0}]


@pytest.mark.parametrize("options", SHAPES, ids=str)
@pytest.mark.parametrize("held_out", [False, True])
def test_components_have_the_moments_of_the_truth(
    options: dict[str, Any], *, held_out: bool
) -> None:
    """Weights, means and covariances; and skewness and tails that are asked for."""
    n = 40_000
    data = drawn(
        gp.designs.separated(n=n, d=2, k=3, separation=1.0, smallest_weight=0.1, **options)
    )
    if held_out:
        data = data.held_out(n, seed=3)
    assert data.labels is not None
    weights = truth_of(data).weights
    shares = data.labels.bincount(minlength=3) / n
    assert ((shares - weights).abs() < STANDARD_ERRORS * (weights / n).sqrt()).all()
    z = z_of(data)
    assert (abs(z.mean(0)) < STANDARD_ERRORS / n**0.5).all()
    moments = z[:, :, None] * z[:, None, :] - np.eye(2)
    assert (abs(moments.mean(0)) < STANDARD_ERRORS * moments.std(0) / n**0.5).all()
    tails, slant = options.get("tails"), options.get("skew", 0.0)
    third = z**3 - slant
    assert (abs(third.mean(0)) < STANDARD_ERRORS * third.std(0) / n**0.5).all()
    if not slant:
        fourth = z**4 - (3 + (6 / (tails - 4) if tails else 0))
        assert (abs(fourth.mean(0)) < STANDARD_ERRORS * fourth.std(0) / n**0.5).all()


def test_tails_are_students() -> None:
    """Squared distances, divided by (1 - 2 / ν) d, have the distribution F(d, ν)."""
    design = gp.designs.separated(n=20_000, d=3, k=2, separation=1.0, tails=3.0)
    distances = (z_of(drawn(design)) ** 2).sum(1)
    assert kstest(distances / ((1 - 2 / 3) * 3), f(3, 3).cdf).pvalue > FAILURE_RATE


def test_features_that_say_nothing_are_the_same_in_all_components() -> None:
    design = gp.designs.overlapping(**OF_MIXTURES, overlap=0.05, noise_features=4)
    plain = truth_of(drawn(gp.designs.overlapping(**OF_MIXTURES, overlap=0.05)))
    truth = truth_of(drawn(design))
    torch.testing.assert_close(truth.means[:, :3], plain.means)
    assert (truth.means[:, 3:] == truth.means[0, 3:]).all()
    own, whole = truth.covariance_matrices(), plain.covariance().diagonal()
    assert (own[:, :3, 3:] == 0).all()
    wanted = whole[[0, 1, 2, 0]]
    torch.testing.assert_close(own[:, 3:, 3:], torch.diag(wanted).expand(3, 4, 4))
    assert mean_overlap(truth) == pytest.approx(0.05, abs=HIT)
    assert drawn(design).d == truth.n_features == 7


@pytest.mark.parametrize("d", [1, 2, 10])
def test_outliers_are_far_from_all_components(d: int) -> None:
    data = drawn(gp.designs.overlapping(n=300, d=d, k=3, overlap=0.1, outliers=0.1))
    assert data.labels is not None
    assert (data.labels[-30:] == gp.datasets.OUTLIER).all()
    assert (data.labels[:-30] >= 0).all()
    truth = truth_of(data)
    for mean, covariance in zip(truth.means, truth.covariance_matrices(), strict=True):
        apart = (data.x[-30:] - mean).T
        square = (apart * torch.linalg.solve(covariance, apart)).sum(0)
        assert (square >= chi2.isf(0.001, d) * (1 - 1e-9)).all()


def test_values_are_missing_at_random_and_fits_take_them() -> None:
    data = drawn(gp.designs.overlapping(n=2_000, d=4, k=2, overlap=0.01, missing=0.2))
    gone = data.x.isnan().double()
    error = (0.2 * 0.8 / 2_000) ** 0.5
    assert ((gone.mean(0) - 0.2).abs() < STANDARD_ERRORS * error).all()
    assert torch.corrcoef(gone.T).fill_diagonal_(0).abs().max() < STANDARD_ERRORS / 2_000**0.5
    few = data.subset(torch.arange(300))
    fit = gp.fit(gp.MixtureModel(2), few.x, "em", missing="integrate", n_starts=1)
    assert fit.mixture.weights.isfinite().all()


def test_other_points_of_what_is_not_gaussian_are_not_either() -> None:
    data = drawn(gp.designs.separated(**OF_MIXTURES, separation=1.0, skew=2.0))
    assert isinstance(data, gp.designs.NotGaussian)
    assert same(data.held_out(30, 1), data.held_out(30, 1))
    assert not same(data.held_out(30, 1), data.held_out(30, 2))
    few = pickle.loads(pickle.dumps(data)).subset(torch.arange(9))
    assert same(few.held_out(30, 1), data.held_out(30, 1))
    turned = replace(
        data,
        x=data.x[:, [2, 0]],
        truth=truth_of(data).marginal([2, 0]),
        feature_names=("x2", "x0"),
    )
    assert torch.equal(turned.held_out(30, 1).x, data.held_out(30, 1).x[:, [2, 0]])


# ---------------------------------------------------------------------- resampled


def rows_in(data: gp.Dataset, whole: gp.Dataset) -> np.ndarray:
    """How often each distinct row of the whole is among the data."""
    index = pd.MultiIndex.from_arrays(list(whole.x.numpy().T))
    found = pd.MultiIndex.from_arrays(list(data.x.numpy().T))
    assert found.isin(index).all()
    return found.value_counts().to_numpy()


def test_rows_of_real_data_are_drawn_with_and_without_replacement() -> None:
    whole = gp.datasets.old_faithful()
    whole = whole.subset(torch.arange(100))
    whole = gp.Dataset(whole.x + torch.arange(100)[:, None], None, None, "moved", ("a", "b"))
    once = drawn(gp.designs.resampled(whole, n=60, replace=False))
    assert (once.n, rows_in(once, whole).max()) == (60, 1)
    boot = drawn(gp.designs.resampled(whole))
    assert boot.n == 100
    assert rows_in(boot, whole).max() > 1
    more = drawn(gp.designs.resampled(whole, n=500))
    assert more.n == 500
    with pytest.raises(ValueError, match="n must be at most 100 without replacement, got 101"):
        drawn(gp.designs.resampled(whole, n=101, replace=False))


def test_labels_go_with_their_rows() -> None:
    whole = gp.datasets.iris()
    data = drawn(gp.designs.resampled("iris", n=40, noise_features=1, outliers=0.1))
    assert (data.name, data.truth) == ("iris", None)
    assert data.feature_names == (*whole.feature_names, "noise0")
    assert data.labels is not None
    assert whole.labels is not None
    assert (data.labels[-4:] == gp.datasets.OUTLIER).all()
    for x, label in zip(data.x[:-4, :4], data.labels[:-4], strict=True):
        rows = (whole.x == x).all(1)
        assert label in whole.labels[rows]


@pytest.mark.parametrize("kind", ["array", "frame", "dataset"])
def test_own_data_are_resampled(kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(30, 2))
    own: Any = {
        "array": x,
        "frame": pd.DataFrame(x, columns=["a", "b"]),
        "dataset": gp.Dataset(torch.from_numpy(x), None, None, "mine", ("a", "b")),
    }[kind]
    data = drawn(gp.designs.resampled(own, n=20))
    assert data.n == 20
    assert np.isin(data.x.numpy(), x).all()
    assert data.feature_names == (("x0", "x1") if kind == "array" else ("a", "b"))
