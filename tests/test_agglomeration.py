"""Agglomeration against mclust's partitions, a slow reading of the criteria, and SciPy's Ward."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy.cluster import hierarchy

import gmm_pyro as gp
from gmm_pyro.agglomeration.coordinates import COORDINATES, Coordinates
from gmm_pyro.agglomeration.criteria import CRITERIA
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.starts.starting import starting_parameters
from gmm_pyro.plots import parts
from oracles import close, normal, normal_array
from runs import quietly

every_criterion = pytest.mark.parametrize("criterion", CRITERIA)
every_coordinates = pytest.mark.parametrize("coordinates", COORDINATES)
THEIRS = pd.read_csv(
    Path(__file__).parent / "data" / "agglomerations.csv", dtype={"labels": str}
).set_index(["data", "coordinates", "criterion"])
WORDS = {"svd": "SVD", "whitened": "SPH", "standardised": "STD"}


def grouped(n: int = 30, d: int = 2, seed: int = 0) -> np.ndarray:
    """Three groups that overlap, without ties."""
    return normal_array(n, d, seed=seed) + 2.5 * (np.arange(n) % 3)[:, None]


def same_partition(one: Any, other: Any) -> bool:
    return gp.metrics.adjusted_rand(one, other) == 1.0


# ---------------------------------------------------------------------- mclust


def waves(x: np.ndarray) -> np.ndarray:
    """Data without ties, as the script that made the partitions has them."""
    return x + 0.05 * np.sin(np.arange(1.0, x.size + 1)).reshape(x.shape)


def data_of_script(name: str) -> np.ndarray:
    square = np.arange(1.0, 91) ** 2
    plane = [np.sin(1.1 * square), np.cos(0.7 * square) + np.tile([0, 1, 2], 30)]
    more = [np.sin(0.3 * square), np.cos(1.9 * square) ** 3, np.sin(0.9 * square)]
    return {
        "iris": gp.datasets.iris().x.numpy(),
        "faithful": gp.datasets.old_faithful().x.numpy(),
        "plane": np.column_stack(plane),
        "space": np.column_stack(plane + more),
    }[name]


@pytest.mark.parametrize("name", ["iris", "faithful", "plane", "space"])
@every_coordinates
@every_criterion
def test_partitions_are_those_of_mclust(name: str, coordinates: str, criterion: str) -> None:
    x = waves(data_of_script(name))
    tree = gp.agglomerate(x, criterion, coordinates=coordinates)
    theirs = THEIRS.loc[(name, WORDS[coordinates], criterion)]
    assert sorted(theirs["k"]) == list(range(2, 10))
    for k, labels in zip(theirs["k"], theirs["labels"], strict=True):
        assert tree.labels(k).tolist() == [int(label) - 1 for label in labels]


# ---------------------------------------------------------------------- by the definition


Term = Callable[[np.ndarray], float]


def definition(criterion: str, spread: float) -> Term:
    """What a cluster counts, from its points."""

    def term(points: np.ndarray) -> float:
        m, d = points.shape
        scatter = (points - points.mean(0)).T @ (points - points.mean(0))
        trace = float(np.trace(scatter))
        if criterion == "EII":
            return trace
        if criterion == "VII" or d == 1:
            return d * m / 2 * np.log((trace + spread) / m)
        volume = np.linalg.det(scatter / m) if m > d else 0.0
        return m / 2 * np.log(volume + (trace + spread) / m)

    return term


def by_definition(
    z: np.ndarray, criterion: str, clusters: list[list[int]] | None = None
) -> tuple[list[float], dict[int, list[list[int]]]]:
    """The losses, and the clusters of each k, where every pair is tried in every step."""
    term = definition(criterion, float(np.square(z - z.mean(0)).mean()))
    clusters = clusters or [[i] for i in range(len(z))]
    losses, found = [], {}
    while len(clusters) > 1:
        pairs = itertools.combinations(clusters, 2)
        cost, one, two = min((term(z[a + b]) - term(z[a]) - term(z[b]), a, b) for a, b in pairs)
        clusters = [c for c in clusters if c not in (one, two)] + [one + two]
        losses.append(cost)
        found[len(clusters)] = clusters
    return losses, found


def in_coordinates(x: np.ndarray, coordinates: str) -> np.ndarray:
    return Coordinates.of(coordinates, x, np.ones(len(x)))(x)


@every_criterion
@every_coordinates
@pytest.mark.parametrize("d", [1, 2, 4])
def test_every_merge_is_the_cheapest_by_the_definition(
    criterion: str, coordinates: str, d: int
) -> None:
    x = grouped(d=d)
    tree = gp.agglomerate(x, criterion, coordinates=coordinates)
    losses, clusters = by_definition(in_coordinates(x, coordinates), criterion)
    close(tree.losses, torch.tensor(losses, dtype=torch.float64), 1e-9)
    for k, expected in clusters.items():
        labels = tree.labels(k)
        assert {frozenset(part) for part in expected} == {
            frozenset((labels == i).nonzero()[:, 0].tolist()) for i in range(k)
        }


def test_round_clusters_of_one_size_are_ward_s() -> None:
    x = grouped(80, 3)
    tree = gp.agglomerate(x, "EII", coordinates="whitened")
    ward = hierarchy.linkage(in_coordinates(x, "whitened"), "ward")
    close(tree.linkage[:, 2], ward[:, 2] ** 2 / 2)
    assert (tree.linkage[:, [0, 1, 3]] == ward[:, [0, 1, 3]]).all()


def test_coordinates_are_what_they_are_called() -> None:
    x = normal_array(50, 3) @ normal_array(3, 3, seed=1)
    spread = x.std(0, ddof=1)
    of = {name: in_coordinates(x, name) for name in COORDINATES}
    apart = [hierarchy.distance.pdist(z) for z in (of["standardised"], x / spread)]
    close(*apart)
    close(np.cov(of["whitened"].T, bias=True), np.eye(3), 1e-12)
    values = np.linalg.svd((x - x.mean(0)) / spread, compute_uv=False)
    close(np.cov(of["svd"].T) * 49, np.diag(values), 1e-10)


# ---------------------------------------------------------------------- invariance


@every_criterion
@every_coordinates
def test_units_and_the_order_of_features_do_not_matter(criterion: str, coordinates: str) -> None:
    x = grouped(60, 3)
    here = gp.agglomerate(x, criterion, coordinates=coordinates)
    other = x[:, [2, 0, 1]] * [1e-6, -4e5, 30.0] + [7.0, 1e6, -3.0]
    there = gp.agglomerate(other, criterion, coordinates=coordinates)
    assert (here.linkage[:, [0, 1, 3]] == there.linkage[:, [0, 1, 3]]).all()
    close(here.losses, there.losses, 1e-6)


@every_criterion
def test_no_linear_map_matters_to_whitened_coordinates(criterion: str) -> None:
    x = grouped(60, 3)
    here = gp.agglomerate(x, criterion, coordinates="whitened")
    there = gp.agglomerate(x @ normal_array(3, 3, seed=2), criterion, coordinates="whitened")
    close(here.losses, there.losses, 1e-8)
    assert all(here.labels(k).equal(there.labels(k)) for k in range(1, 61))


@every_criterion
def test_the_order_of_rows_does_not_matter(criterion: str) -> None:
    x, order = grouped(60), np.random.default_rng(1).permutation(60)
    here, there = gp.agglomerate(x, criterion), gp.agglomerate(x[order], criterion)
    close(here.losses, there.losses, 1e-9)
    assert all(same_partition(here.labels(k)[order], there.labels(k)) for k in range(1, 61))


def test_a_column_that_says_nothing_new_does_not_matter() -> None:
    """Principal components without variance are left out."""
    x = grouped(40)
    flat = np.column_stack([x, x @ [1.0, 2.0]])
    tree = gp.agglomerate(flat, coordinates="whitened")
    close(tree.losses, gp.agglomerate(x, coordinates="whitened").losses, 1e-7)


# ---------------------------------------------------------------------- the tree


@every_criterion
@pytest.mark.parametrize(
    "x",
    [
        *(grouped(n) for n in (2, 3, 4, 50)),
        grouped(50).round(),
        np.repeat(grouped(6), 5, axis=0),
        np.array([0.0, 0.0, 0.0, 1.0]),
        np.array([[i, 2 * i] for i in range(12)]),
        np.array([[i, j, 0] for i in range(5) for j in range(5)] + [[2, 2, 1]]),
        np.stack(np.meshgrid(range(6), range(6)), -1).reshape(-1, 2),
        normal_array(12, 30),
    ],
    ids=["two", "three", "four", "many", "ties", "equal", "one", "line", "plane", "grid", "wide"],
)
def test_trees_are_what_scipy_takes_for_one(criterion: str, x: np.ndarray) -> None:
    tree, n = gp.agglomerate(x, criterion), len(x)
    assert hierarchy.is_valid_linkage(tree.linkage, throw=True)
    assert hierarchy.is_monotonic(tree.linkage)
    assert tree.losses.isfinite().all()
    assert sorted(hierarchy.leaves_list(tree.linkage)) == list(range(n))
    for k in range(1, n + 1):
        labels = tree.labels(k)
        firsts = [labels.tolist().index(i) for i in range(k)]  # every cluster has a point
        assert firsts == sorted(firsts)
        assert int(labels.max()) == k - 1


def test_labels_are_nested() -> None:
    tree = gp.agglomerate(grouped(50))
    for k in range(1, 50):
        pairs = set(zip(tree.labels(k + 1).tolist(), tree.labels(k).tolist(), strict=True))
        assert len(pairs) == k + 1


def test_heights_are_the_largest_loss_up_to_there() -> None:
    tree = gp.agglomerate(grouped(50))
    losses = tree.losses.numpy()
    assert (losses < 0).any()
    expected = [max(0.0, *losses[: i + 1]) for i in range(len(losses))]
    assert tree.linkage[:, 2].tolist() == expected


@every_criterion
def test_equal_points_are_merged_first_and_count_as_often(criterion: str) -> None:
    x = np.repeat(grouped(15), [1, 2, 3] * 5, axis=0)
    tree = gp.agglomerate(x, criterion)
    assert tree.linkage[:15, 2].tolist() == [0.0] * 15
    places = [list(part) for _, part in itertools.groupby(range(30), lambda i: x[i, 0])]
    losses, _ = by_definition(in_coordinates(x, "svd"), criterion, places)
    close(tree.losses[15:], torch.tensor(losses, dtype=torch.float64), 1e-9)


def test_a_point_of_twice_the_weight_counts_as_two() -> None:
    """By sums of squares, to which the unit of weights does not matter."""
    x, times = grouped(30), np.array([1, 2, 3] * 10)
    often = gp.agglomerate(np.repeat(x, times, axis=0), "EII")
    weighted = gp.agglomerate(x, "EII", sample_weight=times)
    first = np.cumsum(times) - times
    assert all(often.labels(k)[first].equal(weighted.labels(k)) for k in range(1, 31))


def test_only_shares_of_the_weight_matter() -> None:
    x, weight = grouped(40), np.random.default_rng(0).uniform(0.5, 2.0, 40)
    here, there = (gp.agglomerate(x, sample_weight=w) for w in (weight, 1e4 * weight))
    close(here.losses, there.losses, 1e-9)


def test_points_of_weight_zero_are_no_leaves_and_go_with_the_nearest() -> None:
    x = grouped(40)
    weight = np.ones(40)
    weight[30:] = 0
    tree, alone = gp.agglomerate(x, sample_weight=weight), gp.agglomerate(x[:30])
    assert tree.rows.tolist() == list(range(30))
    assert tree.labels(4)[:30].equal(alone.labels(4))
    z = Coordinates.of("svd", x[:30], np.ones(30))(x)
    nearest = np.square(z[30:, None] - z[:30]).sum(2).argmin(1)
    assert tree.nearest[30:].tolist() == nearest.tolist()
    assert tree.labels(4)[30:].equal(tree.labels(4)[nearest])


def test_of_many_points_a_part_is_merged() -> None:
    data = gp.datasets.make_mixture(n=5000, d=2, k=3, separation=12, seed=0)
    one, same, other = (gp.agglomerate(data.x, "VII", seed=seed) for seed in (0, 0, 1))
    assert len(one.rows) == 2000
    assert one.rows.equal(same.rows)
    assert not one.rows.equal(other.rows)
    assert one.nearest[one.rows].equal(torch.arange(2000))
    assert all(same_partition(tree.labels(3), data.labels) for tree in (one, other))


def test_weak_numbers_are_taken_too() -> None:
    x = torch.from_numpy(grouped(40)).float()
    assert gp.agglomerate(x).labels(3).equal(gp.agglomerate(x.double()).labels(3))
    frame = pd.DataFrame(x.numpy(), columns=["a", "b"])
    tree = gp.agglomerate(frame[["b", "a"]], feature_names=["a", "b"])
    assert tree.labels(3).equal(gp.agglomerate(frame).labels(3))


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (grouped(), {"criterion": "VVI"}, "criterion must be one of VVV, VII, EII; got 'VVI'"),
        (grouped(), {"coordinates": "pca"}, "coordinates must be one of svd, whitened"),
        (grouped(), {"seed": -1}, "seed must be an integer"),
        ([[1.0, 2.0], [np.nan, 1.0], [2.0, 2.0]], {}, "x has 1 NaN value, the first at row 1"),
        ([[1.0, 2.0], [1.0, 1.0]], {}, "x must vary in every column; constant .* 'x0'"),
        ([[1.0, 2.0]], {}, "x must vary in every column"),
        (normal(3, 3, 3), {}, r"x must have shape \(n, d\)"),
        (grouped(), {"sample_weight": -np.ones(30)}, "sample_weight"),
    ],
)
def test_what_is_wrong_is_said(x: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gp.agglomerate(x, **options)


@pytest.mark.parametrize("k", [0, 31, 2.0, "two"])
def test_there_are_no_more_clusters_than_leaves(k: Any) -> None:
    tree = gp.agglomerate(grouped())
    with pytest.raises(ValueError, match="k must be an integer"):
        tree.labels(k)
    with pytest.raises(ValueError, match="k must be an integer"):
        tree.plot(k)


def test_observations_with_values_missing_are_refused() -> None:
    x = grouped()
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="x has 1 NaN value, the first at row 3, column 'x1'"):
        gp.agglomerate(observe(x))


# ---------------------------------------------------------------------- starts


def started(x: Any, k: int, n_starts: int = 3, **of_data: Any) -> torch.Tensor:
    data = observe(x, n_components=k, **of_data)
    found = starting_parameters(
        "agglomeration",
        data,
        gp.MixtureModel(k).family,
        k,
        n_starts=n_starts,
        floor=1e-6 * data.scale.square(),
        generator=torch.Generator().manual_seed(0),
    )
    return found.means


def test_starts_are_the_clusters_by_each_criterion_in_turn() -> None:
    x = torch.from_numpy(grouped(60))
    means = started(x, 3, n_starts=4)
    for i, criterion in enumerate((*CRITERIA, "VVV")):
        labels = gp.agglomerate(x, criterion).labels(3)
        close(means[i], torch.stack([x[labels == j].mean(0) for j in range(3)]), 1e-9)


def test_starts_fill_what_is_missing_and_heed_weights() -> None:
    x = grouped(60)
    holes = x.copy()
    holes[::7, 1] = np.nan
    assert started(holes, 3).isfinite().all()
    weight = np.ones(60)
    weight[40:] = 0
    close(started(x, 3, sample_weight=weight), started(x[:40], 3), 1e-9)


def test_more_components_than_places_are_left_to_the_diagnosis() -> None:
    assert started(np.repeat([0.0, 1.0], 10), 5).shape == (3, 5, 1)


@pytest.mark.parametrize(
    ("covariance", "options"),
    [
        ("full", {}),
        ("tied", {"labels": np.where(np.arange(60) < 6, np.arange(60) % 3, -1)}),
        ("VVI", {"sample_weight": np.linspace(0.5, 1.5, 60)}),
    ],
)
def test_em_begins_there(covariance: str, options: dict[str, Any]) -> None:
    x = grouped(60)
    with quietly():
        found = [
            gp.fit(
                gp.MixtureModel(3, covariance),
                x,
                method="em",
                start="agglomeration",
                n_starts=1,
                seed=seed,
                **options,
            )
            for seed in (0, 1)
        ]
    assert found[0].objective == found[1].objective  # nothing is drawn
    assert np.isfinite(found[0].objective)


def test_noise_and_other_methods_begin_there_too() -> None:
    model = gp.MixtureModel(3, noise_component="uniform")
    with quietly():
        for given, method in ((model, "em"), (gp.MixtureModel(3), "kmeans")):
            found = gp.fit(given, grouped(60), method, start="agglomeration", n_starts=1)
            assert np.isfinite(found.objective)


# ---------------------------------------------------------------------- pictures


def drawn(tree: gp.Agglomeration, k: int | None) -> Axes:
    return tree.plot(k, Figure().subplots())


def coloured(ax: Axes) -> dict[str, int]:
    """How many links there are of each colour."""
    return {
        to_hex(lines.get_edgecolor()[0]).upper(): len(lines.get_segments())
        for lines in ax.collections
    }


def test_a_few_points_are_leaves_with_their_rows() -> None:
    weight = np.ones(31)
    weight[4] = 0
    tree = gp.agglomerate(grouped(31), sample_weight=weight)
    ends = [label.get_text() for label in drawn(tree, None).get_xticklabels()]
    assert sorted(map(int, ends)) == tree.rows.tolist()


@pytest.mark.parametrize("k", [1, 3, 33])
def test_many_points_are_counted_at_the_ends(k: int) -> None:
    ax = drawn(gp.agglomerate(grouped(200)), k)
    ends = [label.get_text() for label in ax.get_xticklabels()]
    assert len(ends) == max(30, k)
    assert sum(int(end[1:-1]) if end[0] == "(" else 1 for end in ends) == 200
    assert len(ax.lines) == (k > 1)  # where the tree is cut


def test_clusters_have_the_colours_of_other_pictures() -> None:
    tree = gp.agglomerate(grouped(40))
    sizes = tree.labels(3).bincount().tolist()
    links = {parts.COLOURS[i]: sizes[i] - 1 for i in range(3) if sizes[i] > 1}
    dark = to_hex(parts.DARK).upper()
    assert coloured(drawn(tree, 3)) == {**links, dark: 2}
    assert coloured(drawn(tree, None)) == {dark: 39}


def test_losses_of_nothing_are_seen_above_the_axis() -> None:
    low, high = drawn(gp.agglomerate(grouped(40)), 3).get_ylim()
    assert -0.05 * high < low < 0


def test_only_trees_are_drawn() -> None:
    with pytest.raises(TypeError, match="tree must be of the class Tree"):
        gp.plots.dendrogram(np.zeros((3, 4)))
