"""How many components, and of what shape: `gp.select` against single fits, mclust and the truth."""

from __future__ import annotations

import itertools
import math
import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES, Parameters
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.em import EMOptions
from gmm_pyro.inference.expectation import expect_at, step
from gmm_pyro.inference.task import Task
from gmm_pyro.selection.climbing import Rule
from gmm_pyro.selection.neighbours import mergers, splits
from gmm_pyro.selection.sizes import side_by_side
from oracles import close, normal

MOST = 4  # components
LEFT = 0.05  # nats that the tolerance of a selection may leave, and a single fit's search finds


@pytest.fixture(scope="module")
def faithful() -> gp.Selection:
    return gp.select(gp.datasets.old_faithful().x, k=range(1, MOST + 1))


# ---------------------------------------------------------------------- sizes side by side


def random_mixture(family: str, k: int, seed: int) -> Parameters:
    """A mixture of a family over the eruptions."""
    x = gp.datasets.old_faithful().x
    labels = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)) % k
    options = {"start": labels, "max_steps": 1, "least_points": 1}
    with pytest.warns(gp.FitWarning):
        return gp.fit(gp.MixtureModel(k, family), x, **options).mixture.parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_of_a_batch_are_those_of_each(family: str) -> None:
    """Sets that are filled up take the steps that they take alone."""
    points = observe(gp.datasets.old_faithful().x)
    mixtures = [random_mixture(family, k, seed=k) for k in (2, 4, 3)]
    floor = 1e-6 * points.bulk.square()
    rule = Rule(FAMILIES[family], floor, tolerance=0.0, max_steps=3)
    together = side_by_side(FAMILIES[family], mixtures).stepped(points, rule, 3)
    for i, p in enumerate(mixtures):
        model = gp.MixtureModel(p.means.shape[1], family)
        task = Task("em", model, points, EMOptions())
        state = expect_at(task, p, points)
        for _ in range(3):
            state = step(task, state, points)
        close(together.ends.log_likelihood[i], state.log_likelihood[0], 1e-8)
        close(together.parameters(i).means, state.parameters.means, 1e-6)
        close(together.parameters(i).log_weights.exp(), state.parameters.log_weights.exp(), 1e-6)


@pytest.mark.parametrize("family", ["full", "tied", "diag", "VEI"])
def test_splits_and_mergers(family: str) -> None:
    """Halves weigh what they are of, and lie along its longest axis; a merger keeps the mean."""
    p = random_mixture(family, 3, seed=1)
    halved = splits(FAMILIES[family], p, axes=2)
    assert halved.means.shape == (6, 4, 2)
    close(halved.log_weights.exp().sum(1), torch.ones(6))
    for i, j in enumerate([0, 1, 2, 0, 1, 2]):
        close((halved.means[i, j] + halved.means[i, -1]) / 2, p.means[0, j])
    merged = mergers(FAMILIES[family], p, most=2)
    assert merged.means.shape == (2, 2, 2)
    mean = (p.log_weights.exp()[..., None] * p.means).sum(1)
    close((merged.log_weights.exp()[..., None] * merged.means).sum(1), mean.expand(2, -1))


# ---------------------------------------------------------------------- the likelihoods


def test_likelihoods_grow_with_the_components(faithful: gp.Selection) -> None:
    for family in FAMILIES:
        cells = [faithful.cell(k, family) for k in range(1, MOST + 1)]
        sound = [cell.criteria.log_likelihood for cell in cells if cell.counts]
        assert (np.diff(sound) > -LEFT).all(), family


def test_likelihoods_grow_with_the_family(faithful: gp.Selection) -> None:
    """E, then V, of each letter; I, then E, then V, of shapes and orientations."""
    order, families = "IEV", [family for family in FAMILIES.values() if len(family.mclust) == 3]
    pairs = 0
    for one, other in itertools.permutations(families, 2):
        letters = zip(one.mclust, other.mclust, strict=True)
        if all(order.index(a) <= order.index(b) for a, b in letters):
            for k in range(1, MOST + 1):
                less, more = faithful.cell(k, one.name), faithful.cell(k, other.name)
                if less.counts and more.counts:
                    gain = more.criteria.log_likelihood - less.criteria.log_likelihood
                    assert gain > -LEFT, (one.mclust, other.mclust, k)
                    pairs += 1
    assert pairs > 100


@pytest.mark.parametrize(("k", "family"), [(2, "VVV"), (3, "EEE"), (3, "VVI"), (2, "EVE")])
def test_no_single_fit_finds_more(faithful: gp.Selection, k: int, family: str) -> None:
    alone = gp.fit(gp.MixtureModel(k, family), gp.datasets.old_faithful().x)
    cell = faithful.cell(k, family)
    assert cell.criteria.log_likelihood >= alone.objective - LEFT
    assert cell.criteria.bic == pytest.approx(alone.mixture.bic(faithful.observations), abs=0.2)
    assert cell.criteria.n_parameters == alone.mixture.n_parameters


R = r"""
if (!requireNamespace("mclust", quietly = TRUE)) quit(status = 3)
suppressPackageStartupMessages(library(mclust))
x <- as.matrix(read.csv(commandArgs(trailingOnly = TRUE)))
bic <- mclustBIC(x, G = 1:MOST, verbose = FALSE)
for (model in colnames(bic)) for (k in seq_len(MOST)) if (!is.na(bic[k, model]))
  cat(model, k, format(bic[k, model] / 2 + nMclustParams(model, 2, k) * log(nrow(x)) / 2,
                       digits = 12), "\n")
"""


def test_mclust_finds_no_more(faithful: gp.Selection, tmp_path: Any) -> None:
    """Of no model whose best solution that we know is sound."""
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    pd.DataFrame(faithful.observations.x.numpy()).to_csv(tmp_path / "x.csv", index=False)
    (tmp_path / "grid.R").write_text(R.replace("MOST", str(MOST)), encoding="utf-8")
    command = ["Rscript", "--vanilla", str(tmp_path / "grid.R"), str(tmp_path / "x.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 3:
        pytest.skip("R has no package mclust")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) > 50  # some are NA
    behind = {}
    for code, k, value in rows:
        cell = faithful.cell(int(k), code)
        if cell.criteria.log_likelihood < float(value) - LEFT and cell.counts:
            behind[code, k] = float(value) - cell.criteria.log_likelihood
    assert not behind


# ---------------------------------------------------------------------- the answer


def test_the_best_of_old_faithful(faithful: gp.Selection) -> None:
    """mclust's vignette: EEE with three components, BIC -2314.296 there."""
    best = faithful.best_cell
    assert (best.n_components, FAMILIES[best.covariance].mclust) == (3, "EEE")
    assert best.criteria.bic == pytest.approx(2314.2957, abs=0.01)
    fit = faithful.best
    assert fit.status.name == "CONVERGED"
    assert fit.mixture.bic(faithful.observations) == pytest.approx(2314.2957, abs=0.001)
    assert "3 components, tied" in faithful.in_words()


def test_table_and_grid(faithful: gp.Selection) -> None:
    table = faithful.table
    assert len(table) == 14 * MOST
    assert list(table["bic"]) == sorted(table["bic"])
    first = table.iloc[0]
    assert (first["n_components"], first["covariance"]) == (3, "tied")
    grid = faithful.grid("aic")
    assert grid.shape == (MOST, 14)
    assert grid.loc[3, "tied"] == faithful.cell(3, "EEE").criteria.aic
    assert faithful.ties[0] is faithful.best_cell
    near = [cell for cell in faithful.cells if cell.criteria.bic <= first["bic"] + 2]
    assert set(faithful.ties) == set(near)


@pytest.mark.parametrize("criterion", ["bic", "icl"])
def test_simulated_clusters_are_counted(criterion: str) -> None:
    data = gp.datasets.make_mixture(n=300, d=3, k=4, separation=6, covariance="VEV", seed=5)
    found = gp.select(data.x, k=range(1, 7), covariance=["EEE", "VEV", "VVV"], criterion=criterion)
    assert (found.best_cell.n_components, found.best_cell.covariance) == (4, "VEV")


def test_a_spike_is_marked_and_is_not_the_best() -> None:
    """Ten equal rows are a component of infinite likelihood, and no cluster."""
    x = torch.cat([normal(80, 2), torch.full((10, 2), 4.0).double()])
    found = gp.select(x, k=[1, 2, 3], covariance="VVV")
    assert found.best_cell.counts
    marked = [cell for cell in found.cells if cell.status == "not sound"]
    assert marked
    assert all(math.isnan(found.grid().loc[cell.n_components, "full"]) for cell in marked)
    assert list(found.table["status"])[-len(marked) :] == ["not sound"] * len(marked)


# ---------------------------------------------------------------------- data of other kinds


def test_weights_count_points() -> None:
    x = gp.datasets.old_faithful().x[:90]
    twice = gp.select(torch.cat([x, x]), k=[1, 2], covariance=["EEE", "VVV"])
    weighted = gp.select(x, k=[1, 2], covariance=["EEE", "VVV"], sample_weight=[2.0] * 90)
    for one, other in zip(twice.cells, weighted.cells, strict=True):
        assert one.criteria.bic == pytest.approx(other.criteria.bic, abs=2 * LEFT)


def test_holes_one_feature_few_points_and_float32() -> None:
    x = gp.datasets.old_faithful().x.clone()
    x[::10, 0] = torch.nan
    holes = gp.select(x, k=[1, 2, 3], covariance=["EEE", "VVV"])
    assert holes.best_cell.n_components in (2, 3)
    one = gp.select(gp.datasets.old_faithful().x[:, 1], k=range(1, 4))
    assert [cell.covariance for cell in one.cells[::3]] == ["tied", "full"]
    few = gp.select(normal(3, 2), k=[1, 5], covariance="spherical")
    assert few.cell(5, "VII").status == "too few points"
    with pytest.raises(ValueError, match="3 points are too few for 5 components"):
        few.fit(5, "VII")
    single = gp.select(x, k=[2], covariance="VVV", dtype="float32")
    assert single.best.mixture.means.dtype is torch.float32


def test_seeds_and_repetition() -> None:
    x = gp.datasets.old_faithful().x
    one, other = (gp.select(x, k=[2, 3], covariance=["VVI", "VVV"], seed=4) for _ in range(2))
    assert one.table.drop(columns="status").equals(other.table.drop(columns="status"))


# ---------------------------------------------------------------------- other methods


def test_evidence_of_laplace() -> None:
    x = gp.datasets.make_mixture(n=60, d=1, k=2, separation=8, seed=1).x
    found = gp.select(x, k=[1, 2], covariance="full", criterion="evidence", method="laplace")
    assert found.best_cell.n_components == 2
    assert {"log_evidence", "log_evidence_se"} <= set(found.table)
    assert found.best is found.best_cell.fitted


# ---------------------------------------------------------------------- pictures and refusals


def test_picture(faithful: gp.Selection) -> None:
    ax = faithful.plot(Figure().subplots())
    assert len(ax.get_lines()) == 14 + 1
    assert "best: 3, tied" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert ax.get_ylabel().startswith("BIC (lower is better)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": []}, "k must be numbers of components, as range(1, 10), got"),
        ({"k": "1-9"}, "k must be numbers of components"),
        ({"k": [True, 2]}, "k must be numbers of components, as range(1, 10), got [True, 2]"),
        ({"k": [0]}, "k must be"),
        ({"covariance": []}, "covariance must be 'all', or at least one family, got none"),
        ({"covariance": "VVW"}, "did you mean 'VVV'"),
        ({"criterion": "bics"}, "did you mean 'bic'"),
        ({"criterion": "elpd"}, "criterion 'elpd' needs draws: a method with a posterior"),
        ({"criterion": "evidence", "method": "map"}, "needs log_evidence: laplace"),
        ({"n_draws": 3}, "method 'em' has no option 'n_draws'"),
        ({"start": "random"}, "select takes no start"),
        ({"x": [[1.0, math.inf]] * 9}, "x has 9 infinite values"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        gp.select(**{"x": gp.datasets.old_faithful().x, **arguments})


def test_what_was_not_tried(faithful: gp.Selection) -> None:
    with pytest.raises(ValueError, match="9 components of tied were not among the models"):
        faithful.cell(9, "EEE")
    with pytest.raises(ValueError, match="criterion must be one of"):
        faithful.grid("loo")


def test_what_has_no_sound_solution_is_tried_from_below() -> None:
    """Five Gaussians of the 82 galaxies are found by splits of four, which were not asked for."""
    x = gp.datasets.galaxies().x
    some, one_by_one = (gp.select(x, k, "full") for k in (range(5, 8), range(1, 8)))
    for k in range(5, 8):
        assert some.cell(k, "full").counts == one_by_one.cell(k, "full").counts
    assert any(cell.counts for cell in some.cells)
    assert [cell.n_components for cell in some.cells] == [5, 6, 7]


def heavy_tailed(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(1.2, size=(n, d))


@pytest.mark.parametrize("k", [[1, 2, 3, 5], [4]])
def test_numbers_with_gaps(k: list[int]) -> None:
    """What a family within tries on its way up is not asked of the others."""
    found = gp.select(heavy_tailed(150, 2, seed=0), k, ["tied", "VEI", "full"])
    assert {cell.n_components for cell in found.cells} == set(k)
    assert found.best_cell.counts


@pytest.mark.parametrize("seed", range(2))
def test_what_is_said_to_have_converged_has(seed: int) -> None:
    """Far points make plateaus, on which a step gains less than what is left."""
    found = gp.select(heavy_tailed(150, 5, seed), [2, 5], ["tied_diag", "VEI", "diag"])
    for cell in found.cells:
        if cell.status == "converged":
            fit = found.fit(cell.n_components, cell.covariance)
            assert fit.objective == pytest.approx(cell.criteria.log_likelihood, abs=0.1)


def test_of_many_points_no_family_is_behind_one_within() -> None:
    """A search on 5,000 of the points goes on with all of them, and is repaired there."""
    random = np.random.default_rng(0)
    x = random.normal(size=(12_000, 3)) + 4 * random.integers(0, 3, (12_000, 1))
    found = gp.select(x, [3, 4, 5], ["spherical", "VEI", "diag"])
    for k in (3, 4, 5):
        values = [found.cell(k, family).criteria.log_likelihood for family in ("VII", "VEI", "VVI")]
        assert np.diff(values).min() > -0.5
        assert all(found.cell(k, family).counts for family in ("VII", "VEI", "VVI"))


def test_no_tolerance_ends_where_nothing_changes() -> None:
    found = gp.select(gp.datasets.old_faithful().x, [1, 2], "tied", tolerance=0.0)
    assert [cell.status for cell in found.cells] == ["converged"] * 2


def test_numbers_and_families_of_any_kind() -> None:
    x = gp.datasets.old_faithful().x
    for k in ({1, 2}, (i for i in (2, 1)), np.array([1, 2]), torch.tensor([2, 1])):
        found = gp.select(x, k, np.array(["EEE", "VVV"]))
        assert [cell.n_components for cell in found.cells] == [1, 2, 1, 2]


def test_threads_change_nothing() -> None:
    x, before = gp.datasets.old_faithful().x, torch.get_num_threads()
    try:
        values = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found = gp.select(x, [1, 2, 3], ["EEE", "VEI", "VVI", "EVV"])
            values.append([cell.criteria.log_likelihood for cell in found.cells])
    finally:
        torch.set_num_threads(before)
    assert values[0] == values[1]
