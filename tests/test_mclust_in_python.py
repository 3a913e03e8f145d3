"""The claim of `docs/mclust_in_python.md`: R's `Mclust(x, 7, "EEE")` says the same of every spot.

R is started once, for all embeddings.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import gmm_pyro as gp

CLUSTERS = 7
SCRIPT = r"""
if (!requireNamespace("mclust", quietly = TRUE)) quit(status = 3)
suppressPackageStartupMessages(library(mclust))
for (file in commandArgs(trailingOnly = TRUE)) {
  x <- as.matrix(read.csv(file, header = FALSE))
  fit <- Mclust(x, CLUSTERS, "EEE", verbose = FALSE)
  cat(format(c(fit$loglik, -fit$bic), digits = 15), fit$classification, "\n")
}
"""


def drawn(n: int, d: int, seed: int) -> np.ndarray:
    """Like principal components of spots: variances that fall, clusters of one oblique shape."""
    generator = np.random.default_rng(seed)
    deviation = 10 * 0.8 ** np.arange(d)
    centres = 2.5 * generator.normal(size=(CLUSTERS, d))
    shape = np.eye(d) + 0.3 * generator.normal(size=(d, d)) / np.sqrt(d)
    labels = generator.choice(CLUSTERS, n, p=generator.dirichlet(np.full(CLUSTERS, 8.0)))
    return (centres[labels] + generator.normal(size=(n, d)) @ shape) * deviation


EMBEDDINGS = (
    drawn(600, 15, seed=0),
    drawn(600, 15, seed=1),
    gp.datasets.make_mixture(1200, 10, 7, covariance="EEE", separation=4.0, seed=3).x.numpy(),
)  # the last is the page's


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Of each embedding: the log-likelihood, BIC in our sign, and the clusters of all spots."""
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    folder: Path = tmp_path_factory.mktemp("mclust")
    (folder / "fits.R").write_text(SCRIPT.replace("CLUSTERS", str(CLUSTERS)), encoding="utf-8")
    files = []
    for number, x in enumerate(EMBEDDINGS):
        files.append(str(folder / f"{number}.csv"))
        np.savetxt(files[-1], x, delimiter=",", fmt="%.17g")
    command = ["Rscript", "--vanilla", str(folder / "fits.R"), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 3:
        pytest.skip("R has no package mclust")
    assert done.returncode == 0, done.stderr
    return [np.array(line.split(), dtype=float) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("case", range(len(EMBEDDINGS)))
@pytest.mark.parametrize("start", ["several", "agglomeration"])
def test_every_spot_has_the_same_cluster(case: int, start: str, theirs: list[np.ndarray]) -> None:
    (log_likelihood, bic), clusters = np.split(theirs[case], [2])
    x = EMBEDDINGS[case]
    fit = gp.fit(gp.MixtureModel(CLUSTERS, covariance="EEE"), x, start=start)
    assert fit.objective == pytest.approx(log_likelihood, abs=0.05)  # its tolerance leaves that
    assert fit.mixture.bic(x) == pytest.approx(bic, abs=0.1)
    assert gp.metrics.adjusted_rand(fit.labels, clusters) == pytest.approx(1.0)


def test_the_selection_finds_the_same_solution(theirs: list[np.ndarray]) -> None:
    selection = gp.select(EMBEDDINGS[0], k=[6, 7, 8], covariance="EEE")
    assert selection.best_cell.n_components == CLUSTERS
    assert selection.best.objective == pytest.approx(theirs[0][0], abs=0.05)
