"""Claims about components combined into clusters: against plain NumPy, R's mclust and fpc."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import cut_tree, fcluster, is_valid_linkage
from scipy.special import xlogy
from scipy.stats import norm

import gmm_pyro as gp
from gmm_pyro import plots
from gmm_pyro.combining.elbow import elbow_of
from gmm_pyro.combining.rules import RULES
from oracles import STANDARD_ERRORS, every_family

pytestmark = pytest.mark.usefixtures("no_figures_left")
every_rule = pytest.mark.parametrize("by", RULES)
Clusters = list[list[int]]

# ---------------------------------------------------------------------- mixtures and points


@cache
def shapes() -> tuple[torch.Tensor, np.ndarray]:
    """A ring, a cross and a disc, with their true classes."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 400)
    ring = 3 * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.25, (400, 2))
    arm = rng.normal(size=(150, 2)) * [2.0, 0.2]
    other = rng.normal(size=(150, 2)) * [0.2, 2.0]
    disc = rng.normal(0, 0.5, (150, 2)) + [9.0, 8.0]
    cross = np.concatenate([arm, other]) + [9.0, 0.0]
    x = np.concatenate([ring, cross, disc])
    return torch.from_numpy(x), np.repeat([0, 1, 2], [400, 300, 150])


@cache
def fitted() -> gp.Fit:
    return gp.fit(gp.MixtureModel(9), shapes()[0], seed=0)


def overlapping(
    k: int = 6, family: str = "full", seed: int = 3
) -> tuple[gp.GaussianMixture, torch.Tensor]:
    """A mixture whose components overlap, and points of it."""
    data = gp.datasets.make_mixture(n=400, d=2, k=k, separation=1.2, covariance=family, seed=seed)
    assert data.truth is not None
    return data.truth, data.x


# ---------------------------------------------------------------------- the same in plain NumPy


def entropy_of(share: np.ndarray, weight: np.ndarray) -> float:
    return -float((weight[:, None] * xlogy(share, share)).sum())


def plain_strength(by: str, share: np.ndarray, weight: np.ndarray, i: int, j: int) -> float:
    """Of merging two clusters; rules as in the papers."""
    one, other = share[:, i], share[:, j]
    if by == "entropy":
        both = np.stack([one, other], 1)
        return entropy_of(both, weight) - entropy_of((one + other)[:, None], weight)
    taken = weight @ (other * (one > other)) / (weight @ other)
    given = weight @ (one * (other > one)) / (weight @ one)
    return float(max(taken, given))


def plainly_merged(
    by: str, share: np.ndarray, weight: np.ndarray
) -> Iterator[tuple[Clusters, float, float]]:
    """Clusters, strength and entropy after every merge."""
    clusters = [[i] for i in range(share.shape[1])]
    while len(clusters) > 1:
        pairs = [(i, j) for i in range(len(clusters)) for j in range(i + 1, len(clusters))]
        strengths = [plain_strength(by, share, weight, i, j) for i, j in pairs]
        best = int(np.argmax(strengths))
        i, j = pairs[best]
        total = share[:, i] + share[:, j]
        share = np.delete(share, j, 1)
        share[:, i] = total
        clusters[i] = sorted(clusters[i] + clusters.pop(j))
        yield [list(c) for c in clusters], strengths[best], entropy_of(share, weight)


@pytest.mark.parametrize("by", ["entropy", "overlap"])
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
def test_merges_as_plain_numpy(by: str, weighted: bool) -> None:  # noqa: FBT001 - a parameter
    mixture, x = overlapping()
    weight = np.random.default_rng(1).integers(0, 4, len(x)).astype(float)
    weight = weight if weighted else np.ones(len(x))
    found = gp.combine(mixture, x, by, sample_weight=weight if weighted else None)
    share = mixture.responsibilities(x).numpy()
    assert float(found.entropies[0]) == pytest.approx(entropy_of(share, weight), rel=1e-12)
    for merge, (clusters, strength, entropy) in zip(
        found.merges, plainly_merged(by, share, weight), strict=True
    ):
        assert list(map(list, found.clusters(len(clusters)))) == clusters
        assert merge.strength == pytest.approx(strength, rel=1e-9, abs=1e-12)
        assert merge.entropy == pytest.approx(entropy, rel=1e-9, abs=1e-9)
        inside = [clusters.index(c) for c in clusters if merge.first[0] in c]
        label = np.stack([share[:, c].sum(1) for c in clusters], 1).argmax(1)
        assert merge.weight == pytest.approx(weight[label == inside[0]].sum())


def test_weights_count_as_repeated_rows() -> None:
    mixture, x = overlapping()
    times = torch.arange(len(x)) % 3
    found = gp.combine(mixture, x, sample_weight=times)
    repeated = gp.combine(mixture, x.repeat_interleave(times, 0))
    assert found.clusters() == repeated.clusters()
    torch.testing.assert_close(found.entropies, repeated.entropies)


@every_family
def test_bhattacharyya_is_that_of_the_moments(family: str) -> None:
    mixture, x = overlapping(4, family)
    found = gp.combine(mixture, x, "bhattacharyya")
    means, dense = mixture.means.numpy(), mixture.covariance_matrices().numpy()

    def coefficient(i: int, j: int) -> float:
        middle = (dense[i] + dense[j]) / 2
        shift = means[i] - means[j]
        logs = [np.linalg.slogdet(m)[1] for m in (middle, dense[i], dense[j])]
        return float(
            np.exp(-shift @ np.linalg.solve(middle, shift) / 8 - logs[0] / 2 + sum(logs[1:]) / 4)
        )

    pairs = {(i, j): coefficient(i, j) for i in range(4) for j in range(i + 1, 4)}
    best = max(pairs, key=pairs.__getitem__)
    first = found.merges[0]
    assert (first.first, first.second) == ((best[0],), (best[1],))
    assert first.strength == pytest.approx(pairs[best], rel=1e-9)


def test_moments_of_a_cluster_are_those_of_its_mixture() -> None:
    mixture, x = overlapping()
    found = gp.combine(mixture, x, "bhattacharyya")
    for n, merge in zip(range(4, 0, -1), found.merges[1:], strict=True):
        before = found.clusters(n + 1)
        first, second = (
            found.mixtures(n + 1)[before.index(c)] for c in (merge.first, merge.second)
        )
        one = gp.GaussianMixture([1.0], first.mean()[None], first.covariance()[None])
        other = gp.GaussianMixture([1.0], second.mean()[None], second.covariance()[None])
        middle = torch.linalg.slogdet((one.covariances + other.covariances) / 2)[1]
        ends = torch.linalg.slogdet(one.covariances)[1] + torch.linalg.slogdet(other.covariances)[1]
        shift = (one.means - other.means)[0]
        half = (one.covariances + other.covariances)[0] / 2
        distance = shift @ torch.linalg.solve(half, shift) / 8 + middle / 2 - ends / 4
        assert merge.strength == pytest.approx(float((-distance).exp()), rel=1e-9)


# ---------------------------------------------------------------------- known truths


@pytest.mark.parametrize("apart", [1.0, 2.0, 4.0])
def test_overlap_is_the_probability_of_a_mistake(apart: float) -> None:
    """Of two equally likely Gaussians it is Φ(-δ/2); that of points varies about it."""
    mixture = gp.GaussianMixture([0.5, 0.5], [[0.0], [apart]], [[1.0], [1.0]], "diag")
    n = 40_000
    strength = gp.combine(mixture, mixture.sample(n), "overlap").merges[0].strength
    truth = norm.cdf(-apart / 2)
    assert abs(strength - truth) < 2 * STANDARD_ERRORS * np.sqrt(truth / (n / 2))


def test_overlap_is_the_share_of_labelled_points_that_are_mistaken() -> None:
    mixture, _ = overlapping(3)
    sample = mixture.sample_labelled(100_000, seed=1)
    found = gp.combine(mixture, sample.x, "overlap").merges[0]
    i, j = found.first[0], found.second[0]
    share = mixture.responsibilities(sample.x)
    mistaken = []
    for of, to in ((i, j), (j, i)):
        rows = share[sample.labels == of]
        wrong = (rows[:, to] > rows[:, of]).double()
        mistaken.append((float(wrong.mean()), float(wrong.std()) / len(wrong) ** 0.5))
    value, error = max(mistaken)
    assert abs(found.strength - value) < STANDARD_ERRORS * 2 * error


@pytest.mark.parametrize(("by", "n"), [("entropy", 3), ("overlap", None), ("bhattacharyya", 3)])
def test_clusters_that_are_no_gaussians_are_found(by: str, n: int | None) -> None:
    x, truth = shapes()
    found = fitted().combine(by)
    before = gp.metrics.adjusted_rand(truth, fitted().labels)
    after = gp.metrics.adjusted_rand(truth, found.labels(n))
    assert before < 0.5
    assert after > 0.98
    assert torch.equal(found.predict(x, n), found.labels(n))


def test_components_apart_stay_apart() -> None:
    data = gp.datasets.make_mixture(n=600, d=2, k=5, separation=9.0, seed=0)
    for by in RULES:
        assert gp.combine(data.truth, data.x, by).n_clusters == 5


def test_two_halves_of_a_cluster_become_one() -> None:
    mixture = gp.GaussianMixture([0.3, 0.3, 0.4], [-0.5, 0.5, 9.0], [1.0] * 3, "spherical")
    x = mixture.sample(500)
    for by in RULES:
        found = gp.combine(mixture, x, by)
        assert found.clusters() == ((0, 1), (2,))
    assert gp.combine(mixture, x, "overlap", threshold=0.9).n_clusters == 3
    assert gp.combine(mixture, x, "overlap", threshold=1e-9).n_clusters == 1


# ---------------------------------------------------------------------- properties


@every_rule
def test_entropy_never_rises_and_labels_begin_as_the_mixtures(by: str) -> None:
    mixture, x = overlapping()
    found = gp.combine(mixture, x, by)
    assert (found.entropies.diff() <= 1e-9).all()
    assert float(found.entropies[-1]) == pytest.approx(0.0, abs=1e-9)
    assert torch.equal(found.labels(6), mixture.predict(x))
    torch.testing.assert_close(found.responsibilities(6), mixture.responsibilities(x))
    for n in range(1, 7):
        share, clusters = found.responsibilities(n), found.clusters(n)
        assert len(clusters) == n
        assert sorted(sum(clusters, ())) == list(range(6))
        assert share.shape == (len(x), n)
        assert torch.equal(found.labels(n), share.argmax(1))
        own = mixture.responsibilities(x)
        expected = torch.stack([own[:, list(c)].sum(1) for c in clusters], 1)
        torch.testing.assert_close(share, expected)


@every_rule
def test_another_order_changes_names_only(by: str) -> None:
    mixture, x = overlapping()
    order = [3, 0, 5, 1, 4, 2]
    found, other = gp.combine(mixture, x, by), gp.combine(mixture.permute(order), x, by)
    torch.testing.assert_close(found.entropies, other.entropies)
    assert found.n_clusters == other.n_clusters
    for n in range(1, 7):
        renamed = {tuple(sorted(order[i] for i in c)) for c in other.clusters(n)}
        assert renamed == set(found.clusters(n))
        assert gp.metrics.adjusted_rand(found.labels(n), other.labels(n)) == 1


@every_rule
def test_densities_of_clusters_add_up_to_the_mixtures(by: str) -> None:
    mixture, x = overlapping()
    found = gp.combine(mixture, x, by)
    weights = [mixture.weights[list(c)].sum() for c in found.clusters(3)]
    parts = [own.log_prob(x).exp() for own in found.mixtures(3)]
    total = sum(w * p for w, p in zip(weights, parts, strict=True))
    torch.testing.assert_close(total, mixture.log_prob(x).exp())


@every_rule
def test_linkage_is_scipys(by: str) -> None:
    mixture, x = overlapping()
    found = gp.combine(mixture, x, by)
    linkage = found.linkage
    assert is_valid_linkage(linkage)
    assert (np.diff(linkage[:, 2]) >= 0).all()
    for n in range(1, 7):
        cut = cut_tree(linkage, n_clusters=n)[:, 0]
        groups = {tuple(np.flatnonzero(cut == c).tolist()) for c in range(n)}
        assert groups == set(found.clusters(n))
    if found.threshold is not None:
        cut = fcluster(linkage, 1 - found.threshold, "distance")
        assert len(set(cut)) == found.n_clusters


def test_the_tree_is_a_table() -> None:
    mixture, x = overlapping(3)
    found = gp.combine(mixture, x)
    table = found.tree
    assert list(table) == ["n_clusters", "first", "second", "strength", "entropy", "weight"]
    assert table["n_clusters"].tolist() == [2, 1]
    assert table["entropy"].tolist() == found.entropies[1:].tolist()
    assert repr(found) == f"<combination by entropy: 3 components in {found.n_clusters} clusters>"


def test_nothing_of_the_size_of_all_pairs_is_kept() -> None:
    mixture, _ = overlapping(6)
    x = mixture.sample(200_000)
    found = gp.combine(mixture, x)
    kept = [v for v in vars(found).values() if isinstance(v, torch.Tensor)]
    assert sum(v.numel() for v in kept) == 6
    assert found.seen.points.x.data_ptr() == x.data_ptr()


# ---------------------------------------------------------------------- what is known of points


def test_noise_is_never_merged() -> None:
    x, _ = shapes()
    rng = np.random.default_rng(5)
    x = np.concatenate([x, rng.uniform(-6, 14, (80, 2))])
    fit = gp.fit(gp.MixtureModel(5, noise_component="uniform"), x, seed=0)
    noise = fit.labels == -1
    assert 20 < int(noise.sum()) < 120
    for by in RULES:
        found = fit.combine(by)
        assert torch.equal(found.labels(5), fit.labels)
        for n in range(1, 6):
            apart = found.labels(n) == -1
            assert not (apart & ~noise).any()  # a cluster has more of a point than its parts
            torch.testing.assert_close(
                found.responsibilities(n).sum(1), 1 - fit.mixture.noise_probability(x)
            )
        share = fit.mixture.responsibilities(x).numpy()
        both = np.concatenate([share.sum(1, keepdims=True), 1 - share.sum(1, keepdims=True)], 1)
        last = entropy_of(both.clip(0, 1), np.ones(len(x)))
        assert float(found.entropies[-1]) == pytest.approx(last, rel=1e-9)


def test_a_fit_combines_over_its_own_points() -> None:
    x, _ = shapes()
    holed = x.clone()
    holed[::9, 0] = torch.nan
    weight = torch.arange(len(x)) % 3 + 1.0
    labels = np.full(len(x), -1)
    labels[:20] = 0
    fit = gp.fit(
        gp.MixtureModel(4), holed, sample_weight=weight, labels=labels, missing="integrate"
    )
    found = fit.combine()
    other = gp.combine(fit.mixture, holed, sample_weight=weight, labels=labels)
    torch.testing.assert_close(found.entropies, other.entropies)
    assert torch.equal(found.labels(4), fit.labels)
    share = fit.mixture.responsibilities(holed, labels=labels).numpy()
    expected = entropy_of(share, weight.numpy())
    assert float(found.entropies[0]) == pytest.approx(expected, rel=1e-9)


def test_rows_without_a_value_do_not_count() -> None:
    mixture, x = overlapping()
    empty = torch.cat([x, torch.full((50, 2), torch.nan, dtype=x.dtype)])
    found, other = gp.combine(mixture, x), gp.combine(mixture, empty)
    torch.testing.assert_close(found.entropies, other.entropies)
    assert len(other.labels()) == len(empty)


@every_rule
def test_a_component_that_no_point_is_in_is_no_cluster(by: str) -> None:
    mixture = gp.GaussianMixture(
        [0.3, 0.3, 0.0, 0.4], [-0.5, 0.5, 8.0, 9.0], [1.0] * 4, "spherical"
    )
    found = gp.combine(mixture, mixture.sample(500), by)
    assert found.n_empty == 1
    assert (found.merges[0].first, found.merges[0].second) == ((2,), (3,))
    assert found.clusters() == ((0, 1), (2, 3))
    assert all(own.log_prob([0.0]).isfinite().all() for own in found.mixtures(4))


def test_float32_is_combined_in_float64() -> None:
    mixture, x = overlapping()
    single = gp.fit(
        gp.MixtureModel(4), x, dtype="float32", start=mixture.permute(range(6)).predict(x) % 4
    )
    found = single.combine()
    assert torch.equal(found.labels(4), single.labels)
    assert found.responsibilities().dtype is torch.float32


@pytest.mark.parametrize("method", ["kmeans", "map"])
def test_other_methods_combine_too(method: str) -> None:
    fit = gp.fit(gp.MixtureModel(4), gp.datasets.iris().x, method)
    assert len(fit.combine().clusters(2)) == 2


def test_one_component_is_one_cluster() -> None:
    fit = gp.fit(gp.MixtureModel(1), gp.datasets.iris().x)
    for by in RULES:
        found = fit.combine(by)
        assert (found.n_clusters, found.clusters(), found.merges) == (1, ((0,),), ())
        assert found.linkage.shape == (0, 4)
        assert (found.elbow, len(found.tree)) == (None, 0)
        assert not found.labels().any()


# ---------------------------------------------------------------------- the elbow


@pytest.mark.parametrize("bend", [2, 3, 4, 5])
def test_the_elbow_of_two_lines_is_where_they_meet(bend: int) -> None:
    x = np.arange(1, 7)
    found = elbow_of(list(x), list(np.maximum(0, x - bend) * 4.0 + x))
    assert found is not None
    assert found.n_clusters == bend
    assert found.explained == 1.0
    assert [line.slope for line in found.lines] == pytest.approx([1.0, 5.0])
    assert found.lines[0](bend) == pytest.approx(found.lines[1](bend))


def test_of_a_straight_line_two_are_no_better() -> None:
    found = elbow_of([1, 2, 3, 4], [0.0, 1.0, 2.0, 3.0])
    assert found is not None
    assert found.explained == 0
    assert elbow_of([1, 2], [0.0, 1.0]) is None


# ---------------------------------------------------------------------- mistakes


def test_what_is_wrong_is_said() -> None:
    mixture, x = overlapping()
    with pytest.raises(ValueError, match=r"by must be one of .* did you mean 'entropy'\?"):
        gp.combine(mixture, x, "entrpy")
    with pytest.raises(ValueError, match="x must have 2 features, got 3"):
        gp.combine(mixture, torch.zeros(9, 3))
    with pytest.raises(ValueError, match=r"threshold is of overlap and bhattacharyya; by entropy"):
        gp.combine(mixture, x, threshold=0.1)
    with pytest.raises(ValueError, match="threshold must be a finite number above 0 and below 1"):
        gp.combine(mixture, x, "overlap", threshold=1.0)
    with pytest.raises(TypeError, match=r"mixture must be a gmm_pyro\.GaussianMixture, got Fit"):
        gp.combine(fitted(), x)
    found = gp.combine(mixture, x)
    for wrong in (0, 7, 2.5):
        with pytest.raises(ValueError, match="n_clusters must be an integer"):
            found.labels(wrong)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- pictures


@every_rule
def test_pictures_are_of_the_proposal_or_of_another_number(by: str) -> None:
    found = fitted().combine(by)
    figure = found.plot(4)
    assert isinstance(figure, Figure)
    tree, elbow, points = figure.axes
    assert tree.get_title() == "9 components in 4 clusters"
    assert elbow.get_title() == f"proposed: {found.n_clusters}"
    keys = points.get_legend().get_texts()
    assert [key.get_text() for key in keys][:4] == ["0", "1", "2", "3"]
    figure.canvas.draw()


def test_pictures_go_where_they_are_wanted(ax: Axes) -> None:
    found = gp.fit(gp.MixtureModel(3), gp.datasets.bimodal().x).combine()
    assert plots.combined_clusters(found, 2, ax) is ax
    assert ax.get_ylabel() == "density"
    figure = Figure()
    assert plots.combination(found, figure=figure) is figure
    with pytest.raises(ValueError, match="n_clusters"):
        plots.merging_tree(found, 9)
    with pytest.raises(TypeError, match="combination must be of the class"):
        plots.merging_elbow(3)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- against R

CASES = {"ex4.1": 6, "ex4.2": 5, "faithful": 6, "iris": 4}

# Of each case: the converged fit, then what clustCombi and mergenormals make of it. Clusters are
# given as a number for each component.
SCRIPT = r"""
if (!requireNamespace("mclust", quietly = TRUE)) quit(status = 3)
suppressPackageStartupMessages(library(mclust))
data(Baudry_etal_2010_JCGS_examples)
folder <- commandArgs(trailingOnly = TRUE)
cases <- read.csv(file.path(folder, "cases.csv"), stringsAsFactors = FALSE)
say <- function(...) cat(..., "\n")
numbers <- function(x) format(as.vector(x), digits = 17, trim = TRUE)
for (i in seq_len(nrow(cases))) {
  name <- cases$name[i]
  k <- cases$k[i]
  x <- switch(name, iris = iris[, 1:4], faithful = faithful, get(name))
  x <- as.matrix(x)
  write.csv(x, file.path(folder, paste0(name, "_x.csv")), row.names = FALSE)
  start <- cutree(hclust(dist(scale(x)), "ward.D2"), k)
  control <- emControl(tol = c(1e-14, 1e-14), itmax = c(50000, 50000))
  fit <- me(x, modelName = "VVV", z = unmap(start), control = control)
  fit$G <- k
  merged <- mclust:::combi(x, fit)
  say(name, "weights", numbers(fit$parameters$pro))
  say(name, "means", numbers(fit$parameters$mean))
  say(name, "covariances", numbers(fit$parameters$variance$sigma))
  z <- fit$z
  total <- diag(k)
  entropies <- -sum(mclust:::xlog(z))
  for (n in (k - 1):1) {
    total <- merged$combiM[[n]] %*% total
    entropies <- c(entropies, -sum(mclust:::xlog(z %*% t(total))))
    say(name, paste0("clusters", n), apply(total, 2, which.max))
  }
  say(name, "entropies", numbers(entropies))
  say(name, "elbow", clustCombiOptim(merged)$numClusters.combi)
  moved <- sapply((k - 1):1, function(n) {
    of <- which(rowSums(merged$combiM[[n]]) == 2)
    sum(map(merged$combiz[[n]]) == of)
  })
  along <- cumsum(c(0, rev(moved)))
  say(name, "moved", moved)
  say(name, "elbow_by_points", mclust:::pcws2_reg(along, rev(entropies))$c)
  if (!requireNamespace("fpc", quietly = TRUE)) next
  for (method in c("demp", "bhat")) for (stop in c(0, 1)) {
    p <- fit$parameters
    joined <- fpc::mergenormals(x, clustering = map(z), probs = colMeans(z), muarray = p$mean,
      Sigmaarray = p$variance$sigma, z = z, method = method,
      numberstop = if (stop) 1 else NULL)
    say(name, paste0(method, "_values", stop), numbers(joined$valuemerged))
    say(name, paste0(method, "_clusters", stop), joined$mergedtonumbers)
  }
}
"""


@dataclass(frozen=True, eq=False)
class Theirs:
    """What R says of a case: its numbers by name, and the points."""

    said: dict[str, np.ndarray]
    x: torch.Tensor

    @property
    def mixture(self) -> gp.GaussianMixture:
        k, d = len(self.said["weights"]), self.x.shape[1]
        covariances = self.said["covariances"].reshape(k, d, d)
        weights = self.said["weights"] / self.said["weights"].sum()
        return gp.GaussianMixture(weights, self.said["means"].reshape(k, d), covariances)

    def has(self, name: str) -> None:
        if name not in self.said:
            pytest.skip("R has no package fpc")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Theirs]:
    """R's results, all from one run."""
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    folder = tmp_path_factory.mktemp("combining")
    (folder / "script.R").write_text(SCRIPT, encoding="utf-8")
    pd.DataFrame(CASES.items(), columns=["name", "k"]).to_csv(folder / "cases.csv", index=False)
    command = ["Rscript", "--vanilla", str(folder / "script.R"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 3:
        pytest.skip("R has no package mclust")
    assert done.returncode == 0, done.stderr
    rows = list(map(str.split, done.stdout.splitlines()))
    return lambda name: read(name, rows, folder)


def read(name: str, rows: list[list[str]], folder: Path) -> Theirs:
    said = {what: np.array(rest, float) for case, what, *rest in rows if case == name}
    x = pd.read_csv(folder / f"{name}_x.csv").to_numpy()
    return Theirs(said, torch.from_numpy(x))


def grouped(names: np.ndarray) -> set[tuple[int, ...]]:
    """Clusters from the name of each component's."""
    return {tuple(np.flatnonzero(names == name).tolist()) for name in set(names.tolist())}


every_case = pytest.mark.parametrize("case", CASES)


@every_case
def test_merges_as_mclust(case: str, theirs: Callable[[str], Theirs]) -> None:
    their = theirs(case)
    found = gp.combine(their.mixture, their.x)
    np.testing.assert_allclose(found.entropies, their.said["entropies"], rtol=1e-8, atol=1e-6)
    for n in range(1, CASES[case]):
        assert set(found.clusters(n)) == grouped(their.said[f"clusters{n}"])
    assert [merge.weight for merge in found.merges] == their.said["moved"].tolist()
    assert found.elbow is not None
    assert found.elbow_by_points is not None
    assert found.elbow.n_clusters == their.said["elbow"]
    assert found.elbow_by_points.n_clusters == their.said["elbow_by_points"]


@every_case
@pytest.mark.parametrize(("by", "method"), [("overlap", "demp"), ("bhattacharyya", "bhat")])
def test_merges_as_fpc(case: str, by: str, method: str, theirs: Callable[[str], Theirs]) -> None:
    their = theirs(case)
    their.has(f"{method}_values0")
    found = gp.combine(their.mixture, their.x, by)
    strengths = [merge.strength for merge in found.merges]
    values = their.said[f"{method}_values1"]
    np.testing.assert_allclose(strengths[: len(values)], values, rtol=1e-5, atol=1e-7)
    assert set(found.clusters()) == grouped(their.said[f"{method}_clusters0"])


def test_baudrys_example_has_four_clusters(theirs: Callable[[str], Theirs]) -> None:
    """Of six components; two of the clusters are crosses (Baudry et al. 2010, §4.1)."""
    fit = gp.fit(gp.MixtureModel(6), theirs("ex4.1").x)
    assert fit.combine().n_clusters == 4
    assert fit.combine("overlap").clusters() == fit.combine().clusters()
