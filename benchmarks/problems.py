"""Problems with many optima: real data, and data drawn from mixtures that are hard to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_iris, load_wine

import gmm_pyro as gp

Draw = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """Data, and a mixture that is to be fitted to them.

    Attributes:
        data: name of the data.
        draw: makes them.
        covariance: name of the covariance family.
        k: number of components.
    """

    data: str
    draw: Draw
    covariance: str
    k: int

    @property
    def name(self) -> str:
        """Data, family and k."""
        return f"{self.data}, {self.covariance}, {self.k}"


def grid(side: int, points: int, deviation: float, seed: int) -> np.ndarray:
    """Clusters on a square grid of unit spacing."""
    rng = np.random.default_rng(seed)
    centres = np.stack(np.meshgrid(range(side), range(side)), -1).reshape(-1, 2)
    return (centres[:, None] + deviation * rng.standard_normal((side**2, points, 2))).reshape(-1, 2)


def one_bimodal_direction(n: int, d: int, seed: int) -> np.ndarray:
    """Features of unit variance whose only structure is one direction, with two narrow groups."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    turned = np.linalg.qr(rng.standard_normal((d, d)))[0]
    x[:, 0] = 0.95 * rng.choice([-1.0, 1.0], n) + np.sqrt(1 - 0.95**2) * x[:, 0]
    return x @ turned.T


def drawn(n: int, d: int, k: int, seed: int, **options: float) -> np.ndarray:
    """Points of a random mixture."""
    return gp.datasets.make_mixture(n, d, k, seed=seed, **options).x.numpy()


def galaxies() -> np.ndarray:
    """82 velocities in 1,000 km/s (Roeder 1990)."""
    return gp.datasets.galaxies().x.numpy()


def _real() -> list[Problem]:
    faithful: Draw = lambda: gp.datasets.old_faithful().x.numpy()  # noqa: E731
    iris: Draw = lambda: load_iris().data  # noqa: E731
    wine: Draw = lambda: load_wine().data  # noqa: E731
    table = [
        ("old faithful", faithful, "full", (2, 3, 4)),
        ("old faithful", faithful, "diag", (3, 4)),
        ("old faithful", faithful, "tied", (3, 4)),
        ("iris", iris, "full", (2, 3, 4, 5)),
        ("iris", iris, "diag", (3, 4)),
        ("iris", iris, "tied", (3, 5)),
        ("wine", wine, "full", (3,)),
        ("wine", wine, "diag", (3, 4)),
        ("wine", wine, "tied", (3,)),
        ("galaxies", galaxies, "full", (3, 4, 5, 6)),
    ]
    return [Problem(name, x, family, k) for name, x, family, ks in table for k in ks]


def _generated() -> list[Problem]:
    def mixture(name: str, covariance: str, n: int, d: int, k: int, **options: float) -> Problem:
        return Problem(name, lambda: drawn(n, d, k, 7, **options), covariance, k)

    return [
        Problem("tight in diffuse", lambda: gp.datasets.tight_and_diffuse(3).x.numpy(), "full", 2),
        Problem("anisotropic", lambda: gp.datasets.anisotropic(1).x.numpy(), "full", 3),
        Problem("three clusters", lambda: gp.datasets.three_clusters(1).x.numpy(), "full", 3),
        Problem("grid 5 x 5", lambda: grid(5, 60, 0.15, 1), "full", 25),
        Problem("grid 5 x 5", lambda: grid(5, 60, 0.15, 1), "spherical", 25),
        Problem("grid 7 x 7", lambda: grid(7, 50, 0.15, 2), "diag", 49),
        mixture("overlapping", "full", 1_000, 2, 5, separation=1.5),
        mixture("overlapping", "full", 2_000, 4, 8, separation=2.0),
        mixture("overlapping", "diag", 1_500, 3, 6, separation=1.5),
        mixture("unbalanced", "full", 2_000, 2, 6, separation=3.0, imbalance=0.4),
        mixture("unbalanced", "full", 3_000, 4, 8, separation=3.0, imbalance=0.35),
        mixture("unbalanced", "tied", 1_000, 2, 6, separation=2.5, imbalance=0.4),
        mixture("many", "full", 3_000, 2, 20, separation=3.0),
        mixture("many", "full", 10_000, 8, 50, separation=3.0),
        mixture("many", "spherical", 2_000, 2, 15, separation=2.5),
        mixture("outliers", "full", 1_000, 2, 4, separation=3.0, outliers=0.05),
        Problem("bimodal of 30", lambda: one_bimodal_direction(2_000, 30, 5), "full", 2),
        mixture("large", "full", 30_000, 4, 10, separation=2.5),
    ]


PROBLEMS = _real() + _generated()
FEW_POINTS = {"iris, full, 4", "iris, full, 5", "wine, full, 3"}  # about two a parameter
