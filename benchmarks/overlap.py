"""Is the overlap of two components what it is said to be: against another integral, and by drawing.

    python benchmarks/overlap.py [--designs 20] [--points 20000] [--pairs 12]

At each of five overlaps, so many random mixtures with 2 to 20 features and 2 to 20 components, of
all shapes, balanced and not, by the mean overlap or the largest (`levels_of`). Of each,

- probabilities of some ordered pairs of components are computed by the package gx2 (Das 2025), as
  the upper tail of a quadratic form of the component's own points, by its implementation of Imhof's
  integral, or of Ruben's series where all weights have one sign;
- all are estimated from points of every component, and so is the mean overlap. A table of
  thousands of estimates has some beyond four standard errors; how many is to be expected of normal
  ones is beside it. Those of which fewer than a hundred points are expected are left out.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from typing import Any

import common
import gx2
import numpy as np
import torch
from scipy.special import ndtr

import gmm_pyro as gp
from gmm_pyro.designs import largest_overlap, mean_overlap, overlap
from gmm_pyro.running.threads import one_thread_a_product

OVERLAPS = (0.001, 0.01, 0.05, 0.1, 0.2)
ENOUGH = 100  # points that are expected of a pair
Row = dict[str, Any]


def levels_of(seed: int, target: float) -> dict[str, Any]:
    """A setting of `gp.designs.overlapping`."""
    rng = np.random.default_rng(seed)
    return {
        "n": 1,
        "d": int(rng.integers(2, 21)),
        "k": int(rng.integers(2, 21)),
        str(rng.choice(["overlap", "largest_overlap"])): target,
        "spherical": bool(rng.random() < 0.25),
        "shared": bool(rng.random() < 0.25),
        "smallest_weight": float(rng.choice([0.01, 1.0])),
    }


def by_gx2(mixture: gp.GaussianMixture, i: int, j: int) -> float:
    """P(π_j φ_j(x) > π_i φ_i(x)) of points of component i, from the densities' own coefficients."""
    covariances = mixture.covariance_matrices().numpy()
    weights, means = mixture.weights.numpy(), mixture.means.numpy()

    def log_density(c: int) -> dict[str, Any]:
        inverse = np.linalg.inv(covariances[c])
        size = np.linalg.slogdet(covariances[c])[1]
        constant = 2 * np.log(weights[c]) - size - means[c] @ inverse @ means[c]
        return {"q2": -inverse, "q1": 2 * inverse @ means[c], "q0": constant}

    one, other = log_density(i), log_density(j)
    difference = {name: other[name] - one[name] for name in one}
    form = gx2.norm_quad_to_gx2_params(means[i][:, None], covariances[i], difference)
    return float(np.squeeze(gx2.cdf(0.0, *form, side="upper")))


def by_drawing(mixture: gp.GaussianMixture, points: int, seed: int) -> tuple[np.ndarray, float]:
    """Shares of each component's points that are more probable in each other one.

    With them comes the standard error of the mean overlap that they make.
    """
    k, generator = mixture.n_components, torch.Generator().manual_seed(seed)
    tril = torch.linalg.cholesky(mixture.covariance_matrices())
    inverse = torch.linalg.inv(tril)
    height = mixture.weights.log() - tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    shares, variance = np.empty((k, k)), 0.0
    for i in range(k):
        z = torch.randn(points, mixture.n_features, generator=generator, dtype=torch.float64)
        x = mixture.means[i] + z @ tril[i].T
        logs = torch.stack(
            [
                height[j] - ((x - mixture.means[j]) @ inverse[j].T).square().sum(-1) / 2
                for j in range(k)
            ]
        )
        taken = (logs > logs[i]).double()
        shares[i] = taken.mean(1).numpy()
        variance += float(taken.sum(0).var()) / points
    return shares, variance**0.5 / (k * (k - 1) / 2)


def measured(seed: int, target: float, points: int, pairs: int) -> Iterator[tuple[str, float]]:
    """What is found of one mixture: kinds of figures, and figures."""
    levels = levels_of(seed, target)
    design = gp.designs.Design("overlapping", {name: (v,) for name, v in levels.items()})
    started = time.perf_counter()
    mixture = design.draw(levels, seed).truth
    yield "seconds", time.perf_counter() - started
    assert mixture is not None
    by_mean = "overlap" in levels
    reached = (mean_overlap if by_mean else largest_overlap)(mixture)
    yield "from the target", abs(reached - target)
    omega, rng = overlap(mixture).numpy(), np.random.default_rng([seed, 1])
    ordered = np.argwhere(~np.eye(len(omega), dtype=bool))
    for i, j in rng.permutation(ordered)[:pairs]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where quadrature doubts itself; it is compared
            yield "from gx2", abs(by_gx2(mixture, i, j) - omega[i, j])
    shares, error = by_drawing(mixture, points, seed)
    estimate = (shares.sum() - np.trace(shares)) / (len(omega) * (len(omega) - 1) / 2)
    yield "z of the mean", (estimate - mean_overlap(mixture)) / error
    for i, j in ordered:
        if points * min(omega[i, j], 1 - omega[i, j]) >= ENOUGH:
            spread = (omega[i, j] * (1 - omega[i, j]) / points) ** 0.5
            yield "z", (shares[i, j] - omega[i, j]) / spread


def row(target: float, first: int, arguments: argparse.Namespace) -> Row:
    """All mixtures with one overlap."""
    found: dict[str, list[float]] = {}
    for seed in range(first, first + arguments.designs):
        for kind, figure in measured(seed, target, arguments.points, arguments.pairs):
            found.setdefault(kind, []).append(figure)
    z, far = np.abs(found.get("z", [])), float(2 * ndtr(-4.0))
    return {
        "overlap": target,
        "mixtures": arguments.designs,
        "farthest from the target": max(found["from the target"]),
        "pairs by gx2": len(found["from gx2"]),
        "farthest from gx2": max(found["from gx2"]),
        "largest z of the mean": float(np.abs(found["z of the mean"]).max()),
        "pairs by drawing": len(z),
        "beyond 4 errors": int((z > 4).sum()),
        "expected": far * len(z),
        "largest z": float(z.max(initial=0.0)),
        "root mean square of z": float(np.sqrt(np.mean(z**2))) if len(z) else 0.0,
        "median seconds": float(np.median(found["seconds"])),
    }


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=20, help="mixtures at each overlap")
    parser.add_argument("--points", type=int, default=20_000, help="of each component")
    parser.add_argument("--pairs", type=int, default=12, help="of each mixture, by gx2")
    arguments = parser.parse_args()
    with one_thread_a_product():
        rows = [row(w, arguments.designs * i, arguments) for i, w in enumerate(OVERLAPS)]
    title = "Overlaps of random mixtures, computed, against gx2 and by drawing"
    common.report("overlap", title, rows)


if __name__ == "__main__":
    main()
