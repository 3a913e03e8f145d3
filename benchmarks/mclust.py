"""R's mclust as one process for a whole benchmark: it is asked by lines, and answers by lines.

R starts once, so that it can take turns with Python; it says itself how long the work took, without
the reading of files, and has one thread.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES, family_named
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.em import EMOptions
from gmm_pyro.inference.soundness import Soundness
from gmm_pyro.inference.task import Task

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# of two features and more, in the order of mclust's own table
CODES = [family.mclust for family in FAMILIES.values()]
SCRIPT = r"""
suppressPackageStartupMessages(library(mclust))
cat("R", as.character(getRversion()), "mclust", as.character(packageVersion("mclust")), "\n")
flush(stdout())
told <- file("stdin")
open(told)
say <- function(...) cat(format(c(...), digits = 17, trim = TRUE), "\n")
while (length(line <- readLines(told, 1)) > 0) {
  words <- strsplit(line, " ")[[1]]
  if (words[1] == "grid") {
    x <- as.matrix(read.csv(words[2], header = FALSE))
    ks <- as.integer(words[3]):as.integer(words[4])
    set.seed(1)  # of the subset that the start is made from, where there are many points
    began <- proc.time()[["elapsed"]]
    bic <- suppressWarnings(mclustBIC(x, G = ks, modelNames = words[-(1:4)], verbose = FALSE))
    cat("seconds", proc.time()[["elapsed"]] - began, "\n")
    for (model in colnames(bic)) for (k in ks) {
      value <- bic[as.character(k), model]
      if (!is.na(value)) {
        parameters <- nMclustParams(model, ncol(x), k)
        cat(model, k, "")
        say(value, (value + parameters * log(nrow(x))) / 2)
      }
    }
  } else {
    k <- as.integer(words[2])
    fit <- summary(bic, x, G = k, modelNames = words[3])
    sigma <- fit$parameters$variance[["sigma"]]
    if (is.null(sigma)) sigma <- rep_len(fit$parameters$variance$sigmasq, k)
    say(tabulate(fit$classification, k))
    say(fit$parameters$pro)
    say(fit$parameters$mean)
    say(sigma)
  }
  cat(".\n")
  flush(stdout())
}
"""


@dataclass(frozen=True)
class Grid:
    """What mclust says of a data set.

    Attributes:
        seconds: of `mclustBIC`.
        bic: by mclust's code and number of components, in its sign; cells of NA are left out.
        log_likelihood: the same.
    """

    seconds: float
    bic: dict[tuple[str, int], float]
    log_likelihood: dict[tuple[str, int], float]

    @property
    def best(self) -> tuple[str, int]:
        """The cell of the highest BIC."""
        return max(self.bic, key=lambda cell: self.bic[cell])


class Mclust:
    """R with mclust, which answers until it is left."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        script = Path(self._folder.name, "mclust.R")
        script.write_text(SCRIPT, encoding="utf-8")
        self._process = subprocess.Popen(
            ["Rscript", "--vanilla", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )
        self.version = self._line()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # which closes what R reads, and R ends
        self._folder.cleanup()

    def grid(self, x: np.ndarray, ks: range, codes: Sequence[str]) -> Grid:
        """All cells by mclust's defaults, which a later `judge` is about."""
        file = Path(self._folder.name, "x.csv")
        np.savetxt(file, x, delimiter=",", fmt="%.17g")
        first, *rows = self._asked(f"grid {file} {ks[0]} {ks[-1]} {' '.join(codes)}")
        cells = [(row[0], int(row[1]), float(row[2]), float(row[3])) for row in rows]
        return Grid(
            float(first[1]),
            {(code, k): bic for code, k, bic, _ in cells},
            {(code, k): value for code, k, _, value in cells},
        )

    def solution(self, d: int, code: str, k: int) -> tuple[gp.GaussianMixture, torch.Tensor]:
        """Its mixture of a cell of the last grid, and how many points each component has."""
        answer = [np.array(row, dtype=float) for row in self._asked(f"judge {k} {code}")]
        counts, weights, means, covariances = map(torch.from_numpy, answer)
        mixture = gp.GaussianMixture(
            weights / weights.sum(), means.view(k, d), covariances.view(k, d, d)
        )
        return mixture, counts

    def is_sound(self, x: np.ndarray, code: str, k: int) -> bool:
        """Whether mclust's solution of a cell of the last grid is sound by gmm_pyro's rule."""
        mixture, counts = self.solution(x.shape[1], code, k)
        points, least = observe(x), rule(x, code, k).least
        wide = Soundness.for_task(Task("em", gp.MixtureModel(k), points, EMOptions()))
        p = mixture.parameters
        narrow = torch.minimum(wide.above_floor(p), wide.above_rounding(p)) <= 1
        return not bool(narrow.any()) and bool((counts >= least).all())

    def _asked(self, line: str) -> list[list[str]]:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        found = []
        while (answer := self._line()) != ".":
            found.append(answer.split())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("R has ended; does it have the package mclust?")
        return line.strip()


def rule(x: np.ndarray, code: str, k: int) -> Soundness:
    """gmm_pyro's rule of soundness for a cell; codes of one feature have one letter."""
    model = gp.MixtureModel(k, family_named(3 * code if len(code) == 1 else code).name)
    return Soundness.for_task(Task("em", model, observe(x), EMOptions()))


@functools.cache
def _running() -> Mclust:
    """One R for all that a process asks."""
    if not is_there():
        raise RuntimeError("Rscript is not there: install R with the package mclust")
    found = Mclust().__enter__()
    atexit.register(found.__exit__, None, None, None)
    return found


def full(x: np.ndarray, k: int) -> gp.GaussianMixture:
    """mclust's mixture of k components with covariances of their own, as a method of a study.

    Raises:
        RuntimeError: if R is not there, or mclust has no solution.
    """
    r = _running()
    if not r.grid(x, range(k, k + 1), ["VVV"]).bic:
        raise RuntimeError("mclust has no solution: NA")
    return r.solution(x.shape[1], "VVV", k)[0]


def is_there() -> bool:
    """Whether there is R."""
    return shutil.which("Rscript") is not None
