"""Random mixtures whose components overlap, or are apart, as much as is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import ndtri

from ..mixture.value import GaussianMixture
from .overlaps import Pairs, largest_of, largest_pair, mean_of

MOST_DRAWS = 100  # of a mixture that can be what is asked
LEAST = 1e-300  # overlap that is told from none
FARTHEST = 2.0**20  # that means are pulled apart
CLOSE = 1e-9  # to the overlap that is asked
ALLOWED = 1e-6  # that the largest overlap may exceed what is asked, where the mean is asked, too

Matrix = Float[np.ndarray, "k k"]
Spread: TypeAlias = Float[np.ndarray, "k"] | float


@dataclass(frozen=True)
class RandomMixture:
    """A random mixture before its covariances have their size.

    Attributes:
        weights: shape (k,).
        means: shape (k, d).
        covariances: shape (k, d, d).
    """

    weights: Float[np.ndarray, "k"]
    means: Float[np.ndarray, "k d"]
    covariances: Float[np.ndarray, "k d d"]

    @classmethod
    def drawn(cls, levels: Mapping[str, Any], rng: np.random.Generator) -> RandomMixture:
        """A mixture as `gp.designs.overlapping` describes it, from a generator."""
        k, d = levels["k"], levels["d"]
        least = levels["smallest_weight"]
        share = rng.dirichlet(np.ones(k))
        weights = np.full(k, 1 / k) if k * least >= 1 else least + (1 - k * least) * share
        means = rng.uniform(size=(k, d))
        count = 1 if levels["shared"] else k
        if levels["spherical"]:
            covariances = rng.uniform(size=(count, 1, 1)) * np.eye(d)
        else:
            root = rng.standard_normal((count, d, d + 1))
            covariances = _rounded(root @ root.mT, levels["eccentricity"])
        return cls(weights, means, np.broadcast_to(covariances, (k, d, d)))

    def scaled(self, spread: Spread) -> RandomMixture:
        """The same with its covariances multiplied by numbers."""
        factors = np.broadcast_to(np.asarray(spread, dtype=float), self.weights.shape)
        return replace(self, covariances=self.covariances * factors[:, None, None])

    def with_noise_features(self, count: int) -> RandomMixture:
        """The same with features that are no different in any component.

        Each has the mean and the variance of one of the others in the whole mixture, by turns.
        """
        (k, d), like = self.means.shape, np.arange(count) % self.means.shape[1]
        centre = self.weights @ self.means
        within = self.covariances.diagonal(axis1=-2, axis2=-1)
        variance = self.weights @ (within + (self.means - centre) ** 2)
        means = np.concatenate([self.means, np.tile(centre[like], (k, 1))], axis=1)
        covariances = np.zeros((k, d + count, d + count))
        covariances[:, :d, :d] = self.covariances
        covariances[:, d:, d:] = np.diag(variance[like])
        return RandomMixture(self.weights, means, covariances)

    def mixture(self, family: str) -> GaussianMixture:
        """The mixture as a value, in a covariance family that it is of."""
        shared = family.startswith("tied")
        matrices = self.covariances[0] if shared else self.covariances
        axes = matrices.diagonal(axis1=-2, axis2=-1)
        visible = {"diag": axes, "spherical": axes[..., 0]}.get(family.removeprefix("tied_"))
        found = matrices if visible is None else visible
        return GaussianMixture(self.weights, self.means, found, family)


def _rounded(
    covariances: Float[np.ndarray, "k d d"], eccentricity: float
) -> Float[np.ndarray, "k d d"]:
    """Covariances with √(1 - λ_min / λ_max) at most this: those beyond it have all axes drawn in.

    Each eigenvalue λ becomes λ_max (1 - e² (λ_max - λ) / (λ_max - λ_min)).
    """
    values, axes = np.linalg.eigh(covariances)
    largest, smallest = values[:, -1:], values[:, :1]
    beyond = largest - smallest > eccentricity**2 * largest
    width = np.where(largest > smallest, largest - smallest, 1.0)
    inner = largest * (1 - eccentricity**2 * (largest - values) / width)
    return (axes * np.where(beyond, inner, values)[:, None, :]) @ axes.mT


# ---------------------------------------------------------------------- as far apart as is asked


def separated_mixture(levels: Mapping[str, Any], rng: np.random.Generator) -> RandomMixture:
    """A random mixture of which the closest two components are c-separated, and no further."""
    drawn = RandomMixture.drawn(levels, rng)
    return drawn.scaled((separation_of(drawn) / levels["separation"]) ** 2)


def separation_of(drawn: RandomMixture) -> float:
    """The smallest ‖μ_i - μ_j‖ / √(d max(λ_i, λ_j)), λ the largest eigenvalues of covariances."""
    first, second = np.triu_indices(len(drawn.weights), 1)
    largest = np.linalg.eigvalsh(drawn.covariances)[:, -1]
    width = np.sqrt(drawn.means.shape[1] * np.maximum(largest[first], largest[second]))
    distance = np.linalg.norm(drawn.means[first] - drawn.means[second], axis=-1)
    return float((distance / width).min())


# ---------------------------------------------------------------------- as near as is asked


def overlapping_mixture(levels: Mapping[str, Any], rng: np.random.Generator) -> RandomMixture:
    """A random mixture with the mean overlap that is asked, or the largest, or both.

    All covariances are multiplied by one number (Maitra & Melnykov 2010). Where both are asked, it
    is the one for the largest; then those of the components but the two that overlap most are made
    smaller together, until the mean is what it should be. A mixture that cannot be so is left for
    another one.

    Raises:
        ValueError: if none of 100 mixtures can.
    """
    best: dict[str, float] = {}
    for _ in range(MOST_DRAWS):
        drawn = RandomMixture.drawn(levels, rng)
        pairs = Pairs.between(drawn.weights, drawn.means, np.linalg.cholesky(drawn.covariances))
        found = _spread(pairs, levels)
        if not isinstance(found, Miss):
            return drawn.scaled(found)
        best[found.what] = max(found.reached, best.get(found.what, 0.0))
    asked = {name: levels[name] for name in ("overlap", "largest_overlap")}
    words = ", ".join(f"{name} = {value:g}" for name, value in asked.items() if value is not None)
    reached = "; ".join(f"{what} is {most:.3g}" for what, most in best.items())
    raise ValueError(
        f"no mixture with {words} was found: of {MOST_DRAWS} random ones with k = {levels['k']} "
        f"and d = {levels['d']}, {reached}"
    )


@dataclass(frozen=True)
class Miss:
    """What a mixture reached that cannot have the overlap that is asked."""

    what: str
    reached: float


def _spread(pairs: Pairs, levels: Mapping[str, Any]) -> Spread | Miss:
    """What to multiply the covariances by."""
    mean, largest = levels["overlap"], levels["largest_overlap"]
    if largest is None:
        return _spread_of_all(pairs, mean_of, mean)
    spread = _spread_of_all(pairs, largest_of, largest)
    if mean is None or isinstance(spread, Miss):
        return spread
    return _spread_of_others(pairs, spread, mean, largest)


def _spread_of_all(pairs: Pairs, measure: Callable[[Matrix], float], target: float) -> float | Miss:
    """The number that makes this measure of overlap the target."""
    near, start = _crossing(lambda near: measure(pairs.overlaps(nearness=near)), target)
    if near is None:
        return Miss("the greatest overlap that their shapes can have", start)
    return near**-2


def _spread_of_others(pairs: Pairs, spread: float, mean: float, largest: float) -> Spread | Miss:
    """Numbers that leave the pair which overlaps most as it is, and make this the mean overlap."""
    omega = pairs.overlaps(spread)
    others = ~np.isin(np.arange(pairs.k), largest_pair(omega))

    def drawn_in(near: float) -> Float[np.ndarray, "k"]:
        return np.where(others, spread / (1 + near) ** 2, spread)

    reached = mean_of(omega)
    if abs(reached - mean) <= CLOSE:
        return spread
    near, _ = _crossing(lambda near: mean_of(pairs.overlaps(drawn_in(near))), mean)
    if near is None or largest_of(pairs.overlaps(drawn_in(near))) > largest + ALLOWED:
        return Miss("the greatest mean of those with that largest overlap", reached)
    return drawn_in(near)


def _crossing(measure: Callable[[float], float], target: float) -> tuple[float | None, float]:
    """Where an overlap that goes to 0 falls below the target; its value at 0, if that is not above.

    The overlap is measured by the distance at which two round clusters have it, ω = 2 Φ(-distance):
    that is nearly a line.
    """

    def beyond(near: float) -> float:
        return float(ndtri(target / 2) - ndtri(max(measure(near), LEAST) / 2))

    start = measure(0.0)
    if start <= target:
        return None, start
    low, high = 0.0, 1.0
    while beyond(high) < 0:
        low, high = high, 2 * high
        if high > FARTHEST:
            return None, start
    near: float = brentq(beyond, low, high, xtol=1e-10, rtol=1e-10)
    return near, start
