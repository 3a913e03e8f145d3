"""Selections of models with noise, labels or fixed parts, by one method or another; what fails."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.inference.task import Status
from gmm_pyro.selection import one_by_one
from gmm_pyro.selection.ladder import Ladder
from oracles import close, normal

QUICK = {"n_starts": 3, "search": "starts"}  # that a fit of these data needs
CENTRES = torch.tensor([[0.0, 0.0], [9.0, 3.0]], dtype=torch.float64)


def two_clusters(n: int = 60) -> torch.Tensor:
    return torch.cat([centre + normal(n, 2, seed=i) for i, centre in enumerate(CENTRES)])


def with_outliers() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    far = 60 * torch.rand(25, 2, generator=generator, dtype=torch.float64) - 30
    return torch.cat([two_clusters(), far])


# ---------------------------------------------------------------------- noise


def test_clusters_among_noise_are_counted() -> None:
    found = gp.select(with_outliers(), range(1, 4), "EII", noise_component="uniform", **QUICK)
    assert found.best_cell.n_components == 2
    assert gp.select(with_outliers(), range(1, 4), "EII").best_cell.n_components == 3
    assert found.best.mixture.noise_weight == pytest.approx(25 / 145, abs=0.05)
    model = gp.MixtureModel(2, "EII", noise_component="uniform")
    alone = gp.fit(model, with_outliers(), **QUICK)
    assert found.cell(2, "EII").criteria.bic == alone.mixture.bic(with_outliers())


R = """
if (!requireNamespace("mclust", quietly = TRUE)) quit(status = 3)
suppressPackageStartupMessages(library(mclust))
for (model in c("EII", "VVI", "EEE", "VVV")) for (k in 1:3)
  cat(model, k, nMclustParams(model, 2, k, noise = TRUE), "\\n")
"""


def test_noise_counts_as_in_mclust() -> None:
    """Of whose parameters are its weight and the box."""
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    command = ["Rscript", "--vanilla", "-e", R]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 3:
        pytest.skip("R has no package mclust")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == 12
    families = ["EII", "VVI", "EEE", "VVV"]
    found = gp.select(with_outliers(), range(1, 4), families, noise_component="uniform", **QUICK)
    for code, k, count in rows:
        assert found.cell(int(k), code).criteria.n_parameters == int(count), (code, k)


def test_held_out_points_are_noise_by_the_box_of_all() -> None:
    """By that of the others alone, a point outside of it would be as good as impossible."""
    found = gp.select(
        *(with_outliers(), [1, 2], "VVV", "cross_validation"),
        n_folds=3,
        noise_component="uniform",
        **QUICK,
    )
    assert np.isfinite(found.grid().to_numpy()).all()
    plain = gp.select(with_outliers(), 2, "VVV", "cross_validation", n_folds=3)
    gain = found.cell(2, "VVV").found["cross_validation"] - plain.grid().loc[2, "full"]
    assert gain > 0.1
    assert found.best.mixture.noise_component.high.tolist() == with_outliers().amax(0).tolist()


# ---------------------------------------------------------------------- labels and fixed parts


def test_labels_keep_their_components_in_every_model() -> None:
    """The likelihood is that of points and labels, which leave one density of the sum."""
    x, labels = two_clusters(), np.full(120, -1)
    labels[[0, 1, 60, 61]] = [1, 1, 0, 0]
    found = gp.select(x, range(2, 4), ["EEE", "VVV"], labels=labels, **QUICK)
    best = found.best.mixture
    assert found.best_cell.n_components == 2
    assert best.predict(x)[:60].unique().tolist() == [1]
    dense = best.covariance_matrices()
    each = np.stack(
        [
            best.weights[j].log().item() + multivariate_normal(best.means[j], dense[j]).logpdf(x)
            for j in range(2)
        ]
    )
    known = labels >= 0
    value = each[labels[known], np.flatnonzero(known)].sum()
    value += np.logaddexp(*each[:, ~known]).sum()
    assert found.best_cell.criteria.log_likelihood == pytest.approx(value)


def test_labels_and_what_is_held_out() -> None:
    x, labels = two_clusters(20), np.full(40, -1)
    labels[[0, 1, 2, 20, 21, 22]] = [0, 0, 0, 1, 1, 1]
    for criterion, times in (("cross_validation", "n_folds"), ("stability", "n_resamples")):
        found = gp.select(x, [2, 3], "EEE", criterion, labels=labels, **{times: 3}, **QUICK)
        assert found.best_cell.n_components == 2
    assert found.best_cell.found["stability"] == 1


def test_the_first_components_are_fixed_and_others_are_free() -> None:
    x = two_clusters()
    held = [[0.25, 0.0]]
    found = gp.select(x, [1, 2, 3], ["EEE", "VVV"], fixed={"means": held}, **QUICK)
    free = gp.select(x, [1, 2, 3], ["EEE", "VVV"])
    assert found.best_cell.n_components == 2
    for cell, other in zip(found.cells, free.cells, strict=True):
        assert cell.mixture.means[0].tolist() == held[0]
        assert cell.criteria.n_parameters == other.criteria.n_parameters - 2
        assert cell.criteria.log_likelihood < other.criteria.log_likelihood
    named = gp.select(
        pd.DataFrame(x.numpy(), columns=["a", "b"]),
        *([2], "EEE"),
        fixed={"means": pd.DataFrame({"b": [0.0], "a": [0.25]})},
        **QUICK,
    )
    close(named.best.mixture.means, found.cell(2, "EEE").mixture.means, 1e-9)


# ---------------------------------------------------------------------- what is sound, and honest


def test_a_cluster_of_one_point_is_not_sound_by_k_means_either() -> None:
    x = torch.cat([two_clusters(), torch.tensor([[200.0, 0.0]])])
    found = gp.select(x, [1, 2, 3], ["EII", "VVV"], method="kmeans")
    assert [found.cell(k, "VVV").status for k in (1, 2, 3)] == ["converged", *["not sound"] * 2]
    assert found.best_cell.counts


@pytest.mark.parametrize("max_steps", [1, 2])
def test_few_steps_have_not_converged(max_steps: int) -> None:
    """What says that it has is within the tolerance of where more steps lead."""
    x = gp.datasets.iris().x
    options = {"k": range(1, 6), "covariance": ["VVI", "VVV"], "tolerance": 1e-7}
    few, enough = (gp.select(x, max_steps=steps, **options) for steps in (max_steps, 5000))
    said = {"converged": 0, "step limit": 0}
    for cell, other in zip(few.cells, enough.cells, strict=True):
        if cell.counts:
            said[cell.status] += 1
            behind = other.criteria.log_likelihood - cell.criteria.log_likelihood
            assert cell.status == "step limit" or behind < 2e-7 * len(x)
    assert said["step limit"] > 0
    unfinished = next(c for c in few.cells if c.status == "step limit")
    with pytest.warns(gp.FitWarning, match="stopped at the step limit"):
        fit = few.fit(unfinished.n_components, unfinished.covariance)
    assert fit.status is Status.STEP_LIMIT


def test_fits_that_have_not_converged_are_said_once() -> None:
    with pytest.warns(gp.FitWarning, match="of 2 models, 2 fits: step limit") as said:
        found = gp.select(two_clusters(), [1, 2], "VVV", method="map", max_steps=1)
    assert len(said) == 1
    assert ", step limit)" in str(found)


# ---------------------------------------------------------------------- what fails


def failing(of: Any, name: str, when: Any, error: BaseException) -> Any:
    """A function in the place of another one, which raises an error now and then."""
    before = getattr(of, name)

    def call(*given: Any, **more: Any) -> Any:
        if when(*given):
            raise error
        return before(*given, **more)

    return call


SINGULAR = torch.linalg.LinAlgError("the matrix is singular")


def test_a_family_that_fails_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    call = failing(Ladder, "climb", lambda own, _: own.family is FAMILIES["tied"], SINGULAR)
    monkeypatch.setattr(Ladder, "climb", call)
    with pytest.warns(gp.FitWarning, match="2 failed, the first, 1 component of tied, by LinAlg"):
        found = gp.select(two_clusters(), [1, 2], ["EII", "EEE", "VVV"])
    assert found.cell(2, "EEE").status == "failed"
    assert found.best_cell.counts
    last = found.table.iloc[-1]
    assert (last["status"], last["message"]) == ("failed", "LinAlgError: the matrix is singular")
    assert (found.table["message"] == "").sum() == 4
    assert np.isnan(found.grid().loc[2, "tied"])
    with pytest.raises(ValueError, match="the fit of 2 components of tied failed: LinAlgError"):
        found.fit(2, "EEE")
    assert "failed" not in str(found)
    assert len(found.plot().get_lines()) == 4


def test_a_model_that_fails_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    call = failing(one_by_one, "fit_quietly", lambda m, *_: m.n_components == 2, SINGULAR)
    monkeypatch.setattr(one_by_one, "fit_quietly", call)
    with pytest.warns(gp.FitWarning, match="1 failed, the first, 2 components of full"):
        found = gp.select(two_clusters(), [1, 2, 3], "VVV", method="kmeans")
    assert [cell.status for cell in found.cells] == ["converged", "failed", "converged"]


def test_a_fold_that_fails_leaves_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    call = failing(
        one_by_one, "fit_quietly", lambda m, x, _: m.n_components == 2 and x.n < 120, SINGULAR
    )
    monkeypatch.setattr(one_by_one, "fit_quietly", call)
    found = gp.select(two_clusters(), [1, 2], "VVV", "cross_validation", "kmeans", n_folds=2)
    assert found.best_cell.n_components == 1
    assert np.isnan(found.table["cross_validation"].iloc[1])


def test_where_all_fail_the_first_error_is_raised() -> None:
    with pytest.raises(ValueError, match="kmeans puts every point into a cluster"):
        gp.select(two_clusters(), [1, 2], method="kmeans", noise_component="uniform")


@pytest.mark.parametrize("method", ["em", "kmeans"])
def test_an_interrupt_passes(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for of, name in ((Ladder, "climb"), (one_by_one, "fit_quietly")):
        call = failing(of, name, lambda *_: True, KeyboardInterrupt())
        monkeypatch.setattr(of, name, call)
    with pytest.raises(KeyboardInterrupt):
        gp.select(two_clusters(), [1, 2], method=method)


def test_a_family_within_may_have_nothing_of_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    converge = Ladder.converge

    def lossy(own: Ladder, *given: Any) -> None:
        converge(own, *given)
        if own.family is FAMILIES["tied"]:
            del own.found[2]

    monkeypatch.setattr(Ladder, "converge", lossy)
    found = gp.select(two_clusters(), [1, 2], ["EEE", "VVV"])
    assert found.best_cell.n_components == 2
    assert found.cell(2, "EEE").status == "not sound"
    with pytest.raises(ValueError, match="no regular solution was found for 2 components"):
        found.fit(2, "EEE")


# ---------------------------------------------------------------------- refusals

LABELS = [0, 1, 2] + [-1] * 117


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"search": "thorough"}, "select takes no search for em: all models are searched together"),
        ({"acceleration": "squarem"}, "select takes no acceleration for em"),
        ({"method": "kmeans", "start": [0, 1]}, "select takes no start but a name"),
        ({"labels": LABELS, "k": [2, 4]}, "labels name component 2, so that k must be 3 or more"),
        ({"labels": np.ones((120, 2))}, "labels of shape (n, k) are of one number of components"),
        ({"labels": [7] * 120}, "labels must be numbers of components from 0 to 1"),
        ({"fixed": {"means": CENTRES}}, "fixed means are of 2 components, so that k must be"),
        ({"fixed": {"means": CENTRES[:, :1]}, "k": 2}, "fixed means must have shape (2, 2)"),
        ({"fixed": {"mean": 1}}, "did you mean 'means'"),
        ({"fixed": [1]}, "fixed must be a dictionary"),
        ({"noise_component": "box"}, "noise_component must be"),
        ({"method": "map", "covariance": ["VVV", "VEV"]}, "fits by map know no VEV covariances"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        gp.select(two_clusters(), **{"k": [1, 2], **arguments})
