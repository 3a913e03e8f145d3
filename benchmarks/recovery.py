"""Does BIC find the truth: the number of components and the family of simulated mixtures.

    python benchmarks/recovery.py [--sets 20] [--most 6] [--workers 2] [--quick]

Of each of the fourteen families, so many data sets of 500 points in four features are drawn from
mixtures of three components. gmm_pyro and R's mclust choose by BIC among one to `--most` components
and all families, on the same points; the table has the share of data sets in which each finds the
number, the family, and both, and the mean of the paired differences with its standard error.

The truth, from the seed of the data set (`truth`):

- weights .25, .35 and .4;
- volumes |Σ_k|^(1/d) of 1, 2 and 4 where they vary (V), else 1;
- shapes, of determinant one: variances whose logarithms are normal with deviation 1, of each
  component where they vary, of all where they are equal, and ones for I; drawn anew until the
  largest variance is at least four times the smallest, and shapes that vary differ by a factor of
  two in some variance;
- orientations: random rotations, of each component, of all, or none;
- means: normal, scaled so that the nearest two are 3.5 apart in the metric of the mean covariance.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import common
import numpy as np
import torch
from mclust import CODES, Mclust

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES

N, D, K = 500, 4, 3
WEIGHTS = np.array([0.25, 0.35, 0.4])
VOLUMES = np.array([1.0, 2.0, 4.0])
SEPARATION = 3.5
ASPECT, DIFFERENCE = 4.0, 2.0  # least ratios of variances: within a shape, and between two
Row = dict[str, Any]
Choice = tuple[str, int]


def truth(code: str, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Means (k, d) and covariances (k, d, d) of a mixture of the family with mclust's code."""
    volume, shape, turn = code
    sizes = VOLUMES if volume == "V" else np.ones(K)
    shapes = {"I": np.ones((K, D)), "E": equal(drawn_shape(random)), "V": drawn_shapes(random)}
    turns = {
        "I": equal(np.eye(D)),
        "E": equal(rotation(random)),
        "V": np.stack([rotation(random) for _ in range(K)]),
    }
    axes = turns[turn]
    variances = sizes[:, None] * shapes[shape]
    covariances = axes @ (variances[:, :, None] * np.swapaxes(axes, 1, 2))
    means = random.normal(size=(K, D))
    metric = np.linalg.inv(np.einsum("k,kij->ij", WEIGHTS, covariances))
    pairs = [means[i] - means[j] for i in range(K) for j in range(i)]
    nearest = min(float(np.sqrt(gap @ metric @ gap)) for gap in pairs)
    return means * SEPARATION / nearest, covariances


def equal(one: np.ndarray) -> np.ndarray:
    """The same for all components."""
    return np.broadcast_to(one, (K, *one.shape))


def drawn_shape(random: np.random.Generator) -> np.ndarray:
    """Variances of product one, some of them unlike."""
    while True:
        logs = random.normal(size=D)
        if np.ptp(logs) >= np.log(ASPECT):
            return np.exp(logs - logs.mean())


def drawn_shapes(random: np.random.Generator) -> np.ndarray:
    """Shapes of all components, each unlike the others whatever the order of the axes."""
    while True:
        shapes = np.stack([drawn_shape(random) for _ in range(K)])
        logs = np.log(np.sort(shapes, axis=1))
        gaps = [np.abs(logs[i] - logs[j]).max() for i in range(K) for j in range(i)]
        if min(gaps) >= np.log(DIFFERENCE):
            return shapes


def rotation(random: np.random.Generator) -> np.ndarray:
    """Orthogonal, from the uniform distribution."""
    q, r = np.linalg.qr(random.normal(size=(D, D)))
    return q * np.sign(np.diag(r))


def points(code: str, seed: int) -> np.ndarray:
    """A data set, shape (n, d)."""
    random = np.random.default_rng([CODES.index(code), seed])
    means, covariances = truth(code, random)
    labels = random.choice(K, size=N, p=WEIGHTS)
    roots = np.linalg.cholesky(covariances)
    return means[labels] + np.einsum("nij,nj->ni", roots[labels], random.normal(size=(N, D)))


@dataclass(frozen=True)
class Trial:
    """One data set, and what both sides choose."""

    code: str
    ours: Choice
    theirs: Choice


def tried(r: Mclust, code: str, seed: int, ks: range) -> Trial:
    """Both choices for a data set."""
    x = points(code, seed)
    best = gp.select(x, k=ks).best_cell
    ours = FAMILIES[best.covariance].mclust, best.n_components
    return Trial(code, ours, r.grid(x, ks, CODES).best)


def of_family(code: str, sets: int, ks: range) -> tuple[list[Trial], str]:
    """All trials of a family, and R's version."""
    warnings.simplefilter("ignore", gp.FitWarning)
    torch.set_num_threads(1)
    with Mclust() as r:
        return [tried(r, code, seed, ks) for seed in range(sets)], r.version


RIGHT: dict[str, Callable[[str, Choice], bool]] = {
    "k": lambda code, choice: choice[1] == K,
    "family": lambda code, choice: choice[0] == code,
    "both": lambda code, choice: choice == (code, K),
}


def row(name: str, trials: Sequence[Trial]) -> Row:
    """Shares of a family's data sets, or of all."""
    line: Row = {"family": name, "data sets": len(trials)}
    for what, right in RIGHT.items():
        ours = np.array([right(trial.code, trial.ours) for trial in trials], dtype=float)
        theirs = np.array([right(trial.code, trial.theirs) for trial in trials], dtype=float)
        gain = ours - theirs
        error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
        line |= {
            f"{what}: gmm_pyro": f"{ours.mean():.0%}",
            f"{what}: mclust": f"{theirs.mean():.0%}",
            f"{what}: difference ± se": f"{gain.mean():+.1%} ± {error:.1%}",
        }
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=20, help="data sets of each family")
    parser.add_argument("--most", type=int, default=6, help="components that are tried")
    parser.add_argument("--workers", type=int, default=2, help="families at a time")
    parser.add_argument("--quick", action="store_true", help="one each; nothing is written")
    told = parser.parse_args()
    trials, rows, sets = [], [], 1 if told.quick else told.sets
    ks = range(1, told.most + 1)
    with ProcessPoolExecutor(told.workers, get_context("spawn")) as pool:
        jobs = [pool.submit(of_family, code, sets, ks) for code in CODES]
        for code, job in zip(CODES, jobs, strict=True):
            own, version = job.result()
            rows.append(row(code, own))
            trials += own
            print(rows[-1], flush=True)
    rows.append(row("all", trials))
    if told.quick:
        print(rows[-1])
        return
    command = f"python benchmarks/recovery.py --sets {sets} --most {told.most}"
    title = f"The truth by BIC ({version}, {time.strftime('%Y-%m-%d')}; `{command}`)"
    common.report("recovery", title, rows)


if __name__ == "__main__":
    main()
