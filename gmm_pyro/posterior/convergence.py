"""How far chains are from one distribution: rank-normalised R-hat and effective sample sizes.

They are ArviZ's, to rounding, for many quantities at once; importing ArviZ takes longer than most
fits. Chains are cut in halves, so that a chain that drifts disagrees with itself, and values are
replaced by the normal quantiles of their ranks, so that heavy tails do no harm.

Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import norm, rankdata

FEWEST = 8  # draws of a chain, below which there are no halves to compare
TAILS = (0.05, 0.95)  # quantiles whose effective sample size is that of the tails
CONSTANT = np.finfo(float).resolution  # range within which a quantity never varies

Values = Float[np.ndarray, "chain draw q"]


@dataclass(frozen=True)
class Convergence:
    """How far the chains of a posterior are from its distribution.

    Attributes:
        r_hat: the largest R-hat, of ranks or of folded ranks; 1 at best.
        ess_bulk: the smallest effective number of draws, for the middle of a distribution.
        ess_tail: the smallest effective number of draws, for its 5 % and 95 % quantiles.
        worst: what has the largest R-hat; "" where there is none.
    """

    r_hat: float
    ess_bulk: float
    ess_tail: float
    worst: str = ""


def convergence_of(values: Values, names: list[str]) -> Convergence:
    """The worst of some quantities; those that never vary say nothing and are left out.

    Args:
        values: draws of q quantities.
        names: what they are called.
    """
    varies = np.ptp(values, axis=(0, 1)) > 0  # a correlation of 1, the weight of one component
    values = values[..., varies]
    if values.shape[1] < FEWEST or values.shape[2] == 0:
        return Convergence(math.nan, math.nan, math.nan)
    found = r_hat(values)
    place = int(np.nan_to_num(found, nan=np.inf).argmax())
    name = [name for name, kept in zip(names, varies, strict=True) if kept][place]
    return Convergence(
        float(found[place]), float(ess_bulk(values).min()), float(ess_tail(values).min()), name
    )


def r_hat(values: Values) -> Float[np.ndarray, "q"]:
    """The larger R-hat of ranks, which compares where chains are, and of folded ranks: how wide.

    A single chain is cut in two, and these in halves.
    """
    halves = _halves(_halves(values) if len(values) == 1 else values)
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    return np.maximum(_r_hat(_normal_scores(halves)), _r_hat(_normal_scores(folded)))


def ess_bulk(values: Values) -> Float[np.ndarray, "q"]:
    """Effective number of draws for the middle of each distribution."""
    return _effective_size(_normal_scores(_halves(values)))


def ess_mean(values: Values) -> Float[np.ndarray, "q"]:
    """Effective number of draws for each mean."""
    return _effective_size(_halves(values))


def ess_tail(values: Values) -> Float[np.ndarray, "q"]:
    """Effective number of draws for the ends of each distribution: the smaller of the two."""
    limits = np.quantile(values, TAILS, axis=(0, 1))
    return np.min([_effective_size(_halves(1.0 * (values <= limit))) for limit in limits], axis=0)


def _halves(values: Values) -> Values:
    """Twice as many chains of half the length; a draw in the middle is left out."""
    half = values.shape[1] // 2
    return np.concatenate([values[:, :half], values[:, -half:]])


def _normal_scores(values: Values) -> Values:
    """Normal quantiles of the ranks among all chains (Blom 1958)."""
    flat = values.reshape(-1, values.shape[2])
    ranks = rankdata(flat, axis=0)
    return norm.ppf((ranks - 3 / 8) / (len(flat) + 1 / 4)).reshape(values.shape)


def _r_hat(values: Values) -> Float[np.ndarray, "q"]:
    """√ of the variance of all draws over that within chains (Gelman & Rubin 1992)."""
    n = values.shape[1]
    within = values.var(1, ddof=1).mean(0)
    between = values.mean(1).var(0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that never move differ: infinity
        return np.where(within + between > 0, np.sqrt((n - 1) / n + between / within), 1.0)


def _effective_size(values: Values) -> Float[np.ndarray, "q"]:
    """Number of independent draws whose mean would be as exact.

    Autocorrelations are summed in pairs, as long as these are positive, and as if they never rose.

    Source: Geyer (1992); Vehtari et al. (2021), §3.2.
    """
    chains, n, _ = values.shape
    covariance = _autocovariances(values)
    within = covariance[0] * n / (n - 1)
    between = values.mean(1).var(0, ddof=1) if chains > 1 else 0.0
    total = covariance[0] + between
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = 1 - (within - covariance) / total
    correlation[0] = 1.0
    last = max(0, (n - 3) // 2)  # of the pairs
    pairs = correlation[0 : 2 * last + 2 : 2] + correlation[1 : 2 * last + 2 : 2]
    ends = np.where((pairs <= 0).any(0), (pairs <= 0).argmax(0), last)
    counted = np.arange(len(pairs))[:, None] < ends
    even = np.take_along_axis(correlation, 2 * ends[None], 0)[0]
    falling = np.minimum.accumulate(pairs, axis=0)
    time = -1 + 2 * np.where(counted, falling, 0).sum(0) + np.maximum(even, 0)
    size = chains * n
    varies = np.ptp(values, axis=(0, 1)) > CONSTANT
    return np.where(varies, size / np.maximum(time, 1 / math.log10(size)), size)


def _autocovariances(values: Values) -> Float[np.ndarray, "draw q"]:
    """Mean autocovariances of the chains, by lag."""
    n = values.shape[1]
    length = next_fast_len(2 * n)
    spectrum = rfft(values - values.mean(1, keepdims=True), length, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).mean(0)
    return irfft(power, length, axis=0)[:n] / n
