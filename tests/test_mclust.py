"""EM against R's mclust: from the same labels, the same steps, the same optimum.

R is started once, for all comparisons; its numbers come back as text with all their digits.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import gmm_pyro as gp
from oracles import numbers

FAMILIES = {
    "EII": "tied_spherical",
    "VII": "spherical",
    "EEI": "tied_diag",
    "VVI": "diag",
    "EEE": "tied",
    "VVV": "full",
    **{code: code for code in ("VEI", "EVI", "VEE", "EVV", "EEV", "VEV")},
}
WITHOUT_NOISE = ("VEE", "EVV")  # of which mclust comes to NA from this start, with noise
UNIVARIATE = {"E": "tied", "V": "full"}
EVERY = 7  # which point is noise at the start, where there is noise
FEW, MANY = 8, 20_000  # steps: so few that they must agree one by one, and enough to converge

# For each case: labels -> M-step and E-step, in turn. mclust's BIC has the other sign.
SCRIPT = r"""
if (!requireNamespace("mclust", quietly = TRUE)) quit(status = 3)
suppressPackageStartupMessages(library(mclust))
folder <- commandArgs(trailingOnly = TRUE)
cases <- read.csv(file.path(folder, "cases.csv"), stringsAsFactors = FALSE)
table <- function(name) as.matrix(read.csv(file.path(folder, paste0(name, ".csv"))))
for (i in seq_len(nrow(cases))) {
  case <- cases[i, ]
  x <- table(case$data)
  labels <- table(paste0(case$data, "_labels"))[, paste0("k", case$k)]
  z <- unmap(labels)
  inverse <- NULL
  if (case$noise) {
    some <- seq(1, length(labels), by = EVERY)
    z <- cbind(z, 0)
    z[some, ] <- 0
    z[some, case$k + 1] <- 1
    inverse <- 1 / prod(apply(x, 2, function(column) diff(range(column))))
  }
  control <- emControl(tol = c(0, 1e-14), itmax = c(case$steps, 10000))  # of EM, of an M-step
  if (case$steps > 1000) control$tol <- c(1e-14, 1e-14)
  fit <- me(x, modelName = case$model, z = z, Vinv = inverse, control = control, warn = FALSE)
  dense <- fit$parameters$variance[["sigma"]]
  if (is.null(dense)) dense <- rep_len(fit$parameters$variance$sigmasq, case$k)
  numbers <- c(fit$loglik, bic(case$model, fit$loglik, fit$n, fit$d, case$k, case$noise == 1),
               fit$parameters$pro, fit$parameters$mean, dense)
  cat(i - 1, format(numbers, digits = 17, trim = TRUE), "\n")
}
"""


@dataclass(frozen=True)
class Case:
    """One fit that both sides make."""

    data: str
    model: str
    k: int
    steps: int
    noise: int = 0

    def __str__(self) -> str:
        kind = "few" if self.steps == FEW else "converged"
        noise = "-noise" if self.noise else ""
        return f"{self.data}-{self.model}-{self.k}-{kind}{noise}"


@dataclass(frozen=True, eq=False)
class Result:
    """What both sides say of a fit; covariances are dense, (k, d, d), and noise weighs last."""

    log_likelihood: float
    bic: float
    weights: Tensor
    means: Tensor
    covariances: Tensor


CASES = [
    Case(data, model, k, steps)
    for data, models, ks in (
        ("faithful", FAMILIES, (1, 2, 3, 5)),
        ("iris", FAMILIES, (1, 2, 3, 5)),
        ("waiting", UNIVARIATE, (1, 2)),
    )
    for model in models
    for k in ks
    for steps in (FEW, MANY)
    if k < 5 or steps == FEW  # with as many, EM takes thousands of steps to converge
]
CASES += [
    Case("faithful", model, 2, steps, noise=1)
    for model in FAMILIES
    if model not in WITHOUT_NOISE
    for steps in (FEW, MANY)
]


def points(name: str) -> Tensor:
    """The data of a case, shape (n, d)."""
    if name == "iris":
        return gp.datasets.iris().x
    x = gp.datasets.old_faithful().x
    return x[:, 1:] if name == "waiting" else x


def slices(x: Tensor, k: int) -> Tensor:
    """Labels to start from: k parts of equal size along the last feature."""
    return x[:, -1].argsort(stable=True).argsort() * k // len(x)


def start_of(case: Case) -> Tensor:
    """Labels, -1 for noise."""
    labels = slices(points(case.data), case.k)
    if case.noise:
        labels[::EVERY] = -1
    return labels


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Result]:
    """mclust's results, all from one run of R."""
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    folder = tmp_path_factory.mktemp("mclust")
    write_tables(folder)
    command = ["Rscript", "--vanilla", str(folder / "script.R"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 3:
        pytest.skip("R has no package mclust")
    assert done.returncode == 0, done.stderr
    rows = {int(first): rest for first, *rest in map(str.split, done.stdout.splitlines())}
    return lambda case: parsed(case, np.array(rows[CASES.index(case)], dtype=float))


def write_tables(folder: Path) -> None:
    """The script, the cases, the data and the labels, as R reads them."""
    script = SCRIPT.replace("EVERY", str(EVERY))
    (folder / "script.R").write_text(script, encoding="utf-8")
    pd.DataFrame(CASES).to_csv(folder / "cases.csv", index=False)
    for name in {case.data for case in CASES}:
        x = points(name)
        pd.DataFrame(x.numpy()).to_csv(folder / f"{name}.csv", index=False)
        labels = {f"k{k}": slices(x, k).numpy() for k in {case.k for case in CASES}}
        pd.DataFrame(labels).to_csv(folder / f"{name}_labels.csv", index=False)


def parsed(case: Case, line: np.ndarray) -> Result:
    """One line of R's, whose arrays have their first index fastest."""
    k, d = case.k, points(case.data).shape[1]
    parts = np.split(line, np.cumsum([1, 1, k + case.noise, k * d]))
    weights, means, covariances = map(torch.from_numpy, parts[2:])
    bic = -float(parts[1][0])
    return Result(float(parts[0][0]), bic, weights, means.view(k, d), covariances.view(k, d, d))


def ours(case: Case) -> Result:
    """The same fit by `gp.fit`: the M-step from labels is mclust's first step."""
    x = points(case.data)
    family, noise = (FAMILIES | UNIVARIATE)[case.model], "uniform" if case.noise else None
    fit = gp.fit(
        gp.MixtureModel(case.k, family, noise_component=noise),
        x,
        method="em",
        start=start_of(case),
        covariance_floor=0.0,
        least_points=1,  # mclust has no such rule
        max_steps=case.steps - 1,
        tolerance=0.0 if case.steps == FEW else 1e-15,
    )
    mixture, own = fit.mixture, numbers([fit.mixture.noise_weight])[: case.noise]
    weights = torch.cat([(1 - fit.mixture.noise_weight) * mixture.weights, own])
    return Result(
        fit.objective, mixture.bic(x), weights, mixture.means, mixture.covariance_matrices()
    )


@pytest.mark.filterwarnings("ignore:em .*stopped at the step limit:gmm_pyro.FitWarning")
@pytest.mark.filterwarnings("ignore:em found a degenerate solution:gmm_pyro.FitWarning")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_takes_the_steps_of_mclust(case: Case, theirs: Callable[[Case], Result]) -> None:
    expected, found = theirs(case), ours(case)
    # Its M-step of VEE alternates until the likelihood stands, which leaves the root of rounding.
    exact = 1e-11 if case.model != "VEE" or case.steps == MANY else 1e-8
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=exact)
    assert found.bic == pytest.approx(expected.bic, rel=exact)
    close = 1e-9 if case.steps == FEW else 1e-5  # about √1e-11: at an optimum, slopes are zero
    close = 1e-6 if case.model == "VEE" and case.steps == FEW else close
    for name in ("weights", "means", "covariances"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=close, atol=close
        )
