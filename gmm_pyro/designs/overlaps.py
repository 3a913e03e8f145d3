"""Overlap of the components of a mixture: how often the points of one are taken for another's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..mixture.checks import check_mixture
from ..mixture.value import GaussianMixture
from .log_ratios import LogRatios


@dataclass(frozen=True)
class Pairs:
    """What the overlaps of all ordered pairs (i, j) of components consist of, i ≠ j.

    A point of i is μ_i + L_i z with Σ_i = L_i L_iᵀ and standard normal z. Along the eigenvectors of
    L_iᵀ Σ_j⁻¹ L_i, twice the logarithm of π_j φ_j / π_i φ_i at it is one of `LogRatios`.

    Attributes:
        k: number of components.
        of: i of each pair, shape (p,), p = k (k - 1).
        taken_for: j of each pair, shape (p,).
        ratios: eigenvalues of L_iᵀ Σ_j⁻¹ L_i, shape (p, d).
        shifts: squares of L_i⁻¹ (μ_j - μ_i) along its eigenvectors, shape (p, d).
        log_odds: 2 log(π_j / π_i), shape (p,).
    """

    k: int
    of: Int[np.ndarray, "p"]
    taken_for: Int[np.ndarray, "p"]
    ratios: Float[np.ndarray, "p d"]
    shifts: Float[np.ndarray, "p d"]
    log_odds: Float[np.ndarray, "p"]

    @classmethod
    def between(
        cls,
        weights: Float[np.ndarray, "k"],
        means: Float[np.ndarray, "k d"],
        tril: Float[np.ndarray, "k d d"],
    ) -> Pairs:
        """The pairs of a mixture with these weights, means and Cholesky factors of covariances."""
        k = len(weights)
        of, taken_for = np.nonzero(~np.eye(k, dtype=bool))
        inverse = np.linalg.inv(tril)
        root = inverse[taken_for] @ tril[of]
        _, values, axes = np.linalg.svd(root)
        apart = (inverse[of] @ (means[taken_for] - means[of])[..., None])[..., 0]
        shifts = (axes @ apart[..., None])[..., 0] ** 2
        with np.errstate(divide="ignore", invalid="ignore"):  # components of no weight
            log_odds = 2 * (np.log(weights[taken_for]) - np.log(weights[of]))
        log_odds = np.where(weights[taken_for] == weights[of], 0.0, log_odds)
        return cls(k, of, taken_for, values**2, shifts, log_odds)

    def overlaps(
        self,
        spread: Float[np.ndarray, "k"] | float = 1.0,
        nearness: float = 1.0,
    ) -> Float[np.ndarray, "k k"]:
        """ω as `overlap` has it, with covariances multiplied by numbers.

        Args:
            spread: a factor of each covariance, shape (k,), or one of all.
            nearness: a factor of the distances of all means; 0 puts them in one place, where the
                overlap is that of infinite spread.
        """
        factors = np.broadcast_to(np.asarray(spread, dtype=float), (self.k,))
        ratios = self.ratios * (factors[self.of] / factors[self.taken_for])[:, None]
        shifts = self.shifts * (nearness**2 / factors[self.of])[:, None]
        constant = self.log_odds + np.log(ratios).sum(-1)
        omega = np.eye(self.k)
        omega[self.of, self.taken_for] = LogRatios(constant, ratios, ratios * shifts).above_zero()
        return omega


def overlap(mixture: GaussianMixture) -> Float[Tensor, "k k"]:
    """How often points of each component are taken for points of each other one.

    Row i, column j has ω_{j|i} = P(π_j φ_j(x) > π_i φ_i(x)) for a point x of component i: that it
    is more probable as one of j, of these two alone; the diagonal is 1. The overlap of a pair is
    ω_{j|i} + ω_{i|j} (Maitra & Melnykov 2010, JCGS 19, 354-376), and the matrix is what R's MixSim
    calls `OmegaMap` (Melnykov, Chen & Maitra 2012, JSS 51(12)). It does not change with the units
    of the features, nor with any other affine map of them.

    Args:
        mixture: any mixture; its component of noise is left aside.

    Returns:
        The probabilities, float64, shape (k, k), with about ten digits each; at worst, where the
        extreme of a log ratio is nothing but rounding errors, with an error of 1e-7. Two components
        that are one Gaussian with one weight have ½ each.

    Raises:
        TypeError: if it is no mixture.

    Example:
        >>> import gmm_pyro as gp
        >>> overlap(gp.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]], [[1.0]]]))
        tensor([[1.0000, 0.1587],
                [0.1587, 1.0000]], dtype=torch.float64)
    """
    return torch.from_numpy(pairs_of(check_mixture("mixture", mixture)).overlaps())


def mean_overlap(mixture: GaussianMixture) -> float:
    """Mean over all pairs of components of their overlap ω_{j|i} + ω_{i|j}; 0 if there are none.

    Raises:
        TypeError: if it is no mixture.
    """
    return mean_of(overlap(mixture).numpy())


def largest_overlap(mixture: GaussianMixture) -> float:
    """Largest overlap ω_{j|i} + ω_{i|j} of two components; 0 if there is only one.

    Raises:
        TypeError: if it is no mixture.
    """
    return largest_of(overlap(mixture).numpy())


def pairs_of(mixture: GaussianMixture) -> Pairs:
    """The pairs of a mixture's components."""
    k, d = mixture.means.shape
    weights, means = (t.double().cpu().numpy() for t in (mixture.weights, mixture.means))
    tril = mixture.family.scale_tril(mixture.parameters.factor[0], d)
    return Pairs.between(weights, means, tril.double().cpu().expand(k, -1, -1).numpy())


def mean_of(omega: Float[np.ndarray, "k k"]) -> float:
    """The mean overlap, from the matrix of ω."""
    return float(_of_pairs(omega).mean()) if len(omega) > 1 else 0.0


def largest_of(omega: Float[np.ndarray, "k k"]) -> float:
    """The largest overlap, from the matrix of ω."""
    return float(_of_pairs(omega).max(initial=0.0))


def largest_pair(omega: Float[np.ndarray, "k k"]) -> tuple[int, int]:
    """The two components that overlap most."""
    first, second = np.triu_indices(len(omega), 1)
    at = int(_of_pairs(omega).argmax())
    return int(first[at]), int(second[at])


def _of_pairs(omega: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "q"]:
    """The overlaps of unordered pairs."""
    return (omega + omega.T)[np.triu_indices(len(omega), 1)]
