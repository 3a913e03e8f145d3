"""Fits by variational Bayes: their search, what they report, what they refuse, and units."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from tqdm import tqdm

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel
from gmm_pyro.inference.search.moves import Mover as Mixtures
from gmm_pyro.inference.starts.starting import from_labels
from gmm_pyro.inference.task import Task
from gmm_pyro.inference.variational.ascent import Climb, climbed
from gmm_pyro.inference.variational.search import Search
from gmm_pyro.inference.variational.weights import weights_of
from gmm_pyro.inference.vb import VBOptions
from oracles import clusters
from runs import quietly
from variational import KINDS, ascent, mixtures, points, stick

SPARSE = {
    "number": 0.01,
    "sparse": gp.Static(dist.Gamma(1.0, 20.0)),
    "dynamic": gp.Dynamic(),
    "stick": gp.DirichletProcess(1.0),
}


def fit(x: Any, k: int = 3, given: dict[str, Any] | None = None, **options: Any) -> gp.Fit:
    """One whose complaints are no matter."""
    model = MixtureModel(k, priors=ConjugatePriors(**(given or {})))
    with quietly():
        return gp.fit(model, x, "vb", **{"n_draws": 10, **options})


# ---------------------------------------------------------------------- the search


@pytest.mark.parametrize("kind", ["default", "all"])
def test_restarts_are_a_batch_that_does_not_mix(kind: str) -> None:
    made = ascent(MixtureModel(3, priors=ConjugatePriors(**KINDS[kind])), points(50, 2))
    p = mixtures(made, 3, range(4))
    together = climbed(made, Climb.begun(made.begun(p)), 8, 0.0)
    for i in range(4):
        alone = climbed(made, Climb.begun(made.begun(p[[i]])), 8, 0.0)
        assert alone.history[0].numpy() == pytest.approx(together.history[i].numpy(), rel=1e-12)


def test_moves_lead_to_higher_bounds() -> None:
    x, given = gp.datasets.three_clusters(seed=1).x, {"concentration": gp.DirichletProcess(1.0)}
    starts, moves = (fit(x, 8, given, search=search, n_starts=2) for search in ("starts", "moves"))
    assert moves.objective > starts.objective + 0.5
    assert moves.search.taken > 0
    assert list(moves.solutions) == ["bound", "behind", "sound", "times", "moves"]
    assert moves.solutions["bound"].iloc[0] == moves.objective
    assert bool((moves.history.diff() >= -1e-10).all())


@pytest.mark.parametrize("family", ["full", "diag", "spherical", "tied"])
def test_a_component_that_covers_two_clusters_is_split(family: str, monkeypatch) -> None:
    """Where nothing else is tried that has more components."""
    monkeypatch.setattr(Mixtures, "otherwise", lambda *_: None)
    data = gp.datasets.three_clusters(seed=1)
    model = MixtureModel(4, family, priors=ConjugatePriors(concentration=0.1))
    made = ascent(model, data.x)
    task = Task("vb", model, made.observations, VBOptions())
    two = from_labels(data.labels.clamp(max=1), made.observations, model.family, 4, task.floor)
    climb = climbed(made, Climb.begun(made.begun(two)), 20, 0.0)
    moved = (
        Search(task, made, tqdm(disable=True))
        ._mover(0, made.observations)
        .moved(climb, again=False)
    )
    assert moved is not None
    filled = [int((one.state.counts > 1).sum()) for one in (climb, moved)]
    assert filled == [2, 3]
    assert moved.reached[0] > climb.reached[0] + 10


def test_more_starts_take_nothing_away() -> None:
    x = points(40, 1, 11, groups=4)
    few, more = (fit(x, 4, n_starts=n, tolerance=1e-5).objective for n in (10, 11))
    assert more >= few - 1e-3 * len(x)


def test_very_many_points_are_searched_by_a_part_and_then_by_all() -> None:
    data = gp.datasets.make_mixture(6_000, 1, 3, separation=6.0, seed=2)
    given = {"concentration": gp.DirichletProcess(1.0)}
    options = {"n_starts": 2, "tolerance": 1e-6}
    found = fit(data.x, 4, given, **options)
    assert found.diagnostics["filled_components"] == 3
    assert found.search.n == 6_000
    best = np.sort(data.truth.weights.numpy())[::-1]
    counts = found.variational.counts.sort(descending=True).values.numpy()
    assert counts[:3] / 6_000 == pytest.approx(best, abs=0.02)
    by_parts = fit(data.x, 4, given, batch_size=2_500, **options)
    assert by_parts.objective == pytest.approx(found.objective, abs=0.02)


@pytest.mark.parametrize("kind", SPARSE)
def test_surplus_components_are_emptied_and_no_warning_says_so(kind: str) -> None:
    x = gp.datasets.three_clusters(seed=42).x
    model = MixtureModel(6, priors=ConjugatePriors(concentration=SPARSE[kind], scale=5.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gp.fit(model, x, "vb", n_draws=10)
    assert found.diagnostics["filled_components"] == 3
    assert found.surplus == frozenset(range(6))
    assert sorted(found.variational.counts.tolist())[:3] == pytest.approx([0, 0, 0], abs=0.1)


def test_a_prior_that_wants_all_components_is_told_of_empty_ones() -> None:
    x = gp.datasets.three_clusters(seed=42).x
    model = MixtureModel(5, priors=ConjugatePriors(scale=5.0))
    with pytest.warns(gp.FitWarning, match="hold no point"):
        gp.fit(model, x, "vb", n_draws=10)


@pytest.mark.parametrize("alpha", [0.3, 1.5, 6.0])
def test_pieces_of_a_stick_are_in_the_likeliest_order(alpha: float) -> None:
    counts = torch.tensor([[3.0, 0.0, 20.0, 7.0], [1.0, 1.0, 0.0, 50.0]], dtype=torch.float64)
    weights = weights_of(gp.DirichletProcess(alpha), 4, counts)
    order = weights.best_order(counts, weights.given(counts))
    for row, found in zip(counts, order, strict=True):
        every = torch.stack([row[list(p)] for p in itertools.permutations(range(4))])
        likelihoods = stick(alpha, torch.cat([every, row[found][None]]))
        assert float(likelihoods[-1]) == pytest.approx(float(likelihoods.max()), abs=1e-9)


def test_a_start_that_is_given_keeps_the_order_of_pieces() -> None:
    x, given = points(60, 1, 3, groups=3), {"concentration": gp.DirichletProcess(0.5)}
    found = fit(x, 4, given)
    assert found.variational.weight_concentration.shape == (2, 3)
    turned = found.mixture.permute([3, 2, 1, 0])
    kept = fit(x, 4, given, start=turned)
    assert torch.cdist(kept.mixture.means, turned.means).argmin(1).tolist() == [0, 1, 2, 3]
    assert kept.objective < found.objective


# ---------------------------------------------------------------------- what is reported


def test_the_factors_are_numbered_as_the_mixture() -> None:
    found = fit(points(60, 2, 4, groups=3))
    q = found.variational
    assert q.mean.equal(found.mixture.means)
    assert bool((found.mixture.means[:, 0].diff() > 0).all())
    shares = (q.weight_concentration / q.weight_concentration.sum()).numpy()
    assert found.mixture.weights.numpy() == pytest.approx(shares)
    assert q.counts.numpy() == pytest.approx((q.mean_strength - 0.01).numpy(), abs=1e-4)
    again = q.permuted([2, 0, 1])
    assert again.scale[0].equal(q.scale[2])
    assert again.mean_strength[1].equal(q.mean_strength[0])


def test_covariances_are_the_means_of_their_draws_or_else_of_precisions() -> None:
    found = fit(points(60, 2, 4), 2, {"dof": 4.0}, n_draws=4_000)
    q, mean = found.variational, found.posterior.mixture().covariances
    expected = q.scale / (q.degrees_of_freedom - 3)[:, None, None]
    assert found.mixture.covariances.numpy() == pytest.approx(expected.numpy())
    assert mean.numpy() == pytest.approx(expected.numpy(), rel=0.1)
    alone = fit(points(4, 1), 3, {"dof": 0.5, "concentration": 0.1}, search="starts")
    empty = int(alone.variational.counts.argmin())
    dof = alone.variational.degrees_of_freedom[empty]
    assert float(dof) < 2
    expected = float(alone.variational.scale[empty] / dof)
    assert float(alone.mixture.covariances[empty]) == pytest.approx(expected)


def test_arviz_reads_the_draws() -> None:
    import arviz as az

    found = fit(clusters().x, 2, {"concentration": gp.DirichletProcess()}, n_draws=50)
    data = found.to_arviz(n_prior_draws=0)
    assert data["posterior"]["concentration"].shape == (1, 50)
    summary = az.summary(data, var_names=["weights", "means", "concentration"], kind="stats")
    assert len(summary) == 2 + 4 + 1
    assert math.isfinite(found.k_hat)


def test_it_is_compared_with_others() -> None:
    table = gp.compare(
        MixtureModel(2), clusters(), ["em", "vb"], options={"vb": {"n_draws": 50}}
    ).table
    assert table.loc["vb", "status"] == "converged"


# ---------------------------------------------------------------------- units


@pytest.mark.parametrize("kind", ["default", "stick Gamma", "scale"])
def test_the_bound_changes_by_the_units_alone(kind: str) -> None:
    x = points(50, 2, 6)
    options = {"start": (x[:, 0] > np.median(x[:, 0])).astype(int)}
    here = fit(x, 2, KINDS[kind], **options)
    there = fit(1e3 * x - 5e4, 2, KINDS[kind], **options)
    change = 50 * 2 * math.log(1e3)
    assert there.objective + change == pytest.approx(here.objective, abs=1e-6)
    rows = np.random.default_rng(0).permutation(50)
    other = fit(x[rows], 2, KINDS[kind], start=options["start"][rows])
    assert other.objective == pytest.approx(here.objective, abs=1e-6)


def test_single_precision_comes_close() -> None:
    x = points(100, 2, 7)
    double, single = (fit(x, 2, dtype=dtype, n_starts=1) for dtype in ("float64", "float32"))
    assert single.objective == pytest.approx(double.objective, rel=1e-5)


def test_pieces_of_a_stick_stay_in_their_order() -> None:
    q = fit(points(40, 1), 3, {"concentration": gp.DirichletProcess(1.0)}, n_starts=1).variational
    first, second = q.weight_concentration
    swapped = q.permuted([0, 2, 1])
    assert swapped.weight_concentration[0].equal(torch.stack([first[0], second[1]]))
    assert swapped.mean[1].equal(q.mean[2])
    with pytest.raises(ValueError, match="the pieces of a stick stay in their order"):
        q.permuted([1, 0, 2])


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (MixtureModel(2, priors=gp.Priors()), {}, "vb needs a conjugate prior"),
        (MixtureModel(2), {"fixed": {"weights": [0.5, math.nan]}}, "vb holds no parameters fixed"),
        (MixtureModel(2, "VEI"), {}, "fits by vb know no VEI covariances"),
        (MixtureModel(2), {"batch_size": 0}, "batch_size must be"),
        (MixtureModel(2), {"n_draws": 0}, "n_draws must be"),
    ],
)
def test_what_it_cannot_do_it_refuses(model: MixtureModel, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        gp.fit(model, points(20, 2), "vb", **options)


def test_a_prior_without_a_density_in_reach_is_refused() -> None:
    model = MixtureModel(2, priors=ConjugatePriors(gp.Static(dist.Uniform(1e13, 1e14))))
    with pytest.raises(ValueError, match="must have a density between"):
        gp.fit(model, points(20, 2), "vb")


def test_log_evidence_is_no_bound() -> None:
    with pytest.raises(ValueError, match="no estimate of the evidence"):
        _ = fit(points(20, 1), 2).log_evidence
