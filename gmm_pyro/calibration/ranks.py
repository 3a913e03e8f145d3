"""Ranks that are uniform if a posterior is right, and how far from uniform they may be.

The share of m ranks below a place z is Binomial(m, z) / m, one such distribution a place, and all
of them dependent: one band that holds the whole curve with a given probability is found by
following the curve from place to place, exactly.

Source: Säilynoja, Bürkner & Vehtari (2022), "Graphical test for discrete uniformity and its
applications in goodness-of-fit evaluation and multiple sample comparison".
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

FAILURE_RATE = 0.01  # probability that a right posterior fails in any of its quantities
MOST_PLACES = 100  # at which a curve is compared
HALVINGS = 30  # of the logarithm of a level, which leave no error that counts

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Band:
    """Where the whole curve of ECDF differences lies with a given probability.

    Attributes:
        places: where the curve is looked at, between 0 and 1, shape (z,).
        lower: smallest differences, shape (z,).
        upper: largest differences, shape (z,).
    """

    places: Float[Tensor, "z"]
    lower: Float[Tensor, "z"]
    upper: Float[Tensor, "z"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of true parameters among posterior draws, by quantity; uniform if those are right.

    Attributes:
        method: name of the method.
        ranks: quantity -> ranks between 0 and `n_draws`, one for each of m data sets, shape (m,).
        n_draws: draws that each rank is among.
        n_unconverged: fits whose status was not that they have converged.
        failure_rate: probability that a right posterior fails in any of the quantities; each has
            an equal share of it (Bonferroni).
    """

    method: str
    ranks: Mapping[str, Int[Tensor, "m"]]
    n_draws: int
    n_unconverged: int = 0
    failure_rate: float = FAILURE_RATE

    @property
    def n_datasets(self) -> int:
        """Number of data sets m."""
        return len(next(iter(self.ranks.values())))

    @cached_property
    def ecdf_difference(self) -> dict[str, Float[Tensor, "z"]]:
        """Share of the ranks below each of the band's places, less what it is expected to be."""
        places = self.band.places
        return {
            name: torch.from_numpy(counts / self.n_datasets) - places
            for name, counts in self._counts().items()
        }

    @cached_property
    def band(self) -> Band:
        """The band that a right posterior leaves with probability failure_rate / quantities."""
        m, places = self.n_datasets, _places(self.n_draws)
        lower, upper = _band(m, self.n_draws, self.failure_rate / len(self.ranks))
        curves = places, lower / m - places, upper / m - places
        return Band(*(torch.tensor(curve) for curve in curves))

    @cached_property
    def p_values(self) -> dict[str, float]:
        """Probability that the curve of a right posterior comes as far out anywhere, exactly."""
        m, n_draws = self.n_datasets, self.n_draws
        tails = _tails(m, n_draws)
        each = np.arange(len(_places(n_draws)))
        return {
            name: 1 - _coverage(float(tails[each, counts].min()), m, n_draws)
            for name, counts in self._counts().items()
        }

    @cached_property
    def passes(self) -> dict[str, bool]:
        """Whether each quantity stays within the band."""
        level = self.failure_rate / len(self.ranks)
        return {name: p > level for name, p in self.p_values.items()}

    @property
    def table(self) -> pd.DataFrame:
        """One row a quantity.

        `mean_rank` is a share of the draws, 0.5 if calibrated: below it, the draws are too large.
        `rank_spread` is how far ranks are from the middle, in units of the uniform distribution's
        standard deviation: above 1, the draws lie too close together. `largest_difference` is
        that of the ECDF, with its sign.
        """
        import pandas as pd

        ranks, n_draws = torch.stack(list(self.ranks.values())).double(), self.n_draws
        uniform = (((n_draws + 1) ** 2 - 1) / 12) ** 0.5
        differences = torch.stack(list(self.ecdf_difference.values()))
        furthest = differences.abs().argmax(1, keepdim=True)
        columns = {
            "mean_rank": ranks.mean(1) / n_draws,
            "rank_spread": (ranks - n_draws / 2).square().mean(1).sqrt() / uniform,
            "largest_difference": differences.gather(1, furthest)[:, 0],
        }
        frame = pd.DataFrame({name: column.numpy() for name, column in columns.items()})
        frame.index = pd.Index(self.ranks, name="quantity")
        return frame.assign(p_value=pd.Series(self.p_values), passes=pd.Series(self.passes))

    def _counts(self) -> dict[str, Array]:
        """How many ranks are below each place."""
        edges = np.rint(_places(self.n_draws) * (self.n_draws + 1))
        return {
            name: np.searchsorted(np.sort(ranks.numpy()), edges)
            for name, ranks in self.ranks.items()
        }


def ranks_among(
    truth: Mapping[str, Float[Tensor, "s"]],
    draws: Mapping[str, Float[Tensor, "r s"]],
    generator: torch.Generator,
) -> dict[str, Int[Tensor, "s"]]:
    """How many of r draws are below the truth; ties are broken at random (Modrák et al. 2023)."""
    ranks = {}
    for name, value in truth.items():
        below, equal = (draws[name] < value).sum(0), (draws[name] == value).sum(0)
        uniform = torch.rand(len(value), generator=generator, dtype=torch.float64)
        ranks[name] = below + (uniform * (equal + 1)).long()
    return ranks


# ---------------------------------------------------------------------- the band


@functools.lru_cache(maxsize=16)
def _places(n_draws: int) -> Array:
    """Multiples of 1 / (n_draws + 1): there, the share of uniform ranks below is exact."""
    count = min(n_draws, MOST_PLACES)
    edges = np.unique(np.rint(np.linspace(0, n_draws + 1, count + 2)[1:-1]))
    return np.asarray(edges / (n_draws + 1))


@functools.lru_cache(maxsize=16)
def _tails(m: int, n_draws: int) -> Float[Array, "z c"]:
    """The smaller tail probability of every count 0, …, m at every place."""
    from scipy.stats import binom

    places, counts = _places(n_draws)[:, None], np.arange(m + 1)
    tails = np.minimum(binom.cdf(counts, m, places), binom.sf(counts - 1, m, places))
    return np.asarray(tails)


def _limits(level: float, m: int, n_draws: int) -> tuple[Array, Array]:
    """Smallest and largest counts whose tail probabilities are above a level, at every place."""
    inside = _tails(m, n_draws) > level
    return inside.argmax(1), m - inside[:, ::-1].argmax(1)


def _coverage(level: float, m: int, n_draws: int) -> float:
    """Probability that the tail probabilities of uniform ranks are above a level at all places."""
    if not (_tails(m, n_draws) > level).any(1).all():
        return 0.0
    lower, upper = _limits(level, m, n_draws)
    places = _places(n_draws)
    count, probability, before = np.array([0]), np.array([1.0]), 0.0
    for place, first, last in zip(places, lower, upper, strict=True):
        following = np.arange(first, last + 1)
        probability = probability @ _steps(m, count, following, (place - before) / (1 - before))
        count, before = following, place
    return float(probability.sum())


def _steps(m: int, count: Array, following: Array, share: float) -> Float[Array, "a b"]:
    """Probability of so many ranks below the next place, given how many are below this one."""
    from scipy.special import gammaln

    log_factorial = gammaln(np.arange(m + 1) + 1.0)
    new = following - count[:, None]
    log_p = (
        log_factorial[m - count][:, None]
        - log_factorial[np.maximum(new, 0)]
        - log_factorial[m - following]
        + new * np.log(share)
        + (m - following) * np.log1p(-share)
    )
    return np.where(new >= 0, np.exp(np.where(new >= 0, log_p, 0.0)), 0.0)


@functools.lru_cache(maxsize=16)
def _band(m: int, n_draws: int, failure_rate: float) -> tuple[Array, Array]:
    """Counts that uniform ranks stay between at all places, but for the failure rate."""
    # Bonferroni's level is low enough, and that of a single place too high
    low, high = failure_rate / (2 * len(_places(n_draws))), failure_rate
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        enough = _coverage(middle, m, n_draws) >= 1 - failure_rate
        low, high = (middle, high) if enough else (low, middle)
    return _limits(low, m, n_draws)
