"""The posterior of the number of components, beside what its prior alone implies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from .convergence import ess_mean
from .record import Draws
from .sizes import numbers

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 4  # draws of a chain, below which there is no standard error


@dataclass(frozen=True, eq=False)
class Numbers:
    """Probabilities of 0, 1, 2, … components.

    Attributes:
        posterior: shares of the draws.
        se: Monte Carlo standard errors of these; NaN where chains are too short to have some.
        prior: what is known without the data.
    """

    posterior: Float[np.ndarray, "most1"]
    se: Float[np.ndarray, "most1"]
    prior: Float[np.ndarray, "most1"]


def numbers_of(
    posterior: Draws, priors: Mapping[str, Float[np.ndarray, "most1"]]
) -> dict[str, Numbers]:
    """Of components that there are, if that is unknown, and of those that have points.

    Args:
        posterior: draws.
        priors: probabilities of 0, 1, 2, … of them without the data.

    Returns:
        By the names that the draws and the priors have, "n_components" and "n_filled".
    """
    return {
        name: Numbers(*_shares(numbers(posterior, name), len(prior)), prior)
        for name, prior in priors.items()
        if name in posterior.draws
    }


def _shares(
    drawn: Float[np.ndarray, "chain draw"], count: int
) -> tuple[Float[np.ndarray, "count"], Float[np.ndarray, "count"]]:
    """The share of each number among draws, and its standard error."""
    each = (drawn[..., None] == np.arange(count)).astype(float)
    share = each.mean((0, 1))
    if drawn.shape[1] < FEWEST:
        return share, np.full(count, math.nan)
    return share, np.sqrt(share * (1 - share) / ess_mean(each))


def frame_of(found: Mapping[str, Numbers]) -> pd.DataFrame:
    """A row for each number of components from 1, or from 0 where all points may be noise."""
    import pandas as pd

    columns: dict[str, np.ndarray] = {}
    for name, of in found.items():
        columns |= {name: of.posterior, f"{name}_se": of.se, f"{name}_prior": of.prior}
    frame = pd.DataFrame(columns).rename_axis("k")
    return frame if frame.iloc[0].any() else frame.iloc[1:]
