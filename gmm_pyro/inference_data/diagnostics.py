"""Numbers about draws: a summary, leave-one-out, and the tail of importance weights."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..inference.result import Result
from ..posterior import Posterior
from ..posterior.convergence import ess_bulk, ess_tail, r_hat
from ..posterior.readable import flattened, readable_sites
from ..posterior.sizes import of_one_number
from . import generation
from .groups import draws_and_log_likelihood
from .naming import site_dimensions

if TYPE_CHECKING:
    import pandas as pd


PARAMETERS = ("weights", "means", "scales")
ROUNDING = 1e-9  # nats; log ratios that differ less are the same


@dataclass(frozen=True)
class Elpd:
    """Expected log predictive density by leave-one-out (Vehtari, Gelman & Gabry 2017).

    Attributes:
        elpd: of all points together, in nats.
        se: its standard error, in nats.
        worst_k: the largest Pareto k-hat of a point; above 0.7 the estimate is not reliable.
        pointwise: of each point of positive weight, in nats.
        weight: how often each of them counts.
    """

    elpd: float
    se: float
    worst_k: float
    pointwise: Float[np.ndarray, "n"] = field(repr=False, compare=False)
    weight: Float[np.ndarray, "n"] = field(repr=False, compare=False)


def psis_k_hat(log_ratios: Any) -> float:
    """Pareto k-hat of importance ratios: above 0.7, the proposal misses too much of the target.

    Args:
        log_ratios: log target density minus log proposal density at draws of the proposal, up to
            a constant, in nats, shape (draws,).

    Returns:
        The shape of the ratios' tail; 0 where all ratios are equal, infinity where one is not a
        number, or there are too few draws to have a tail.

    Source: Vehtari et al. (2024).

    Example:
        >>> psis_k_hat(np.zeros(100))
        0.0
    """
    ratios = np.asarray(log_ratios, dtype=float)
    if not np.all(ratios < np.inf):  # NaN is not, either
        return np.inf
    if np.max(ratios) - np.min(ratios) < ROUNDING:
        return 0.0
    return generation.pareto_k(ratios)


def posterior_summary(posterior: Posterior, prob: float = 0.94) -> pd.DataFrame:
    """Mean, standard deviation, interval, R-hat and effective numbers of draws of each parameter.

    Args:
        posterior: draws, their components aligned. Where the number of components is unknown, the
            frame is of those draws with as many with points as most have.
        prob: what the interval holds of the draws, with equal tails.

    Returns:
        A frame with a row for each weight, mean and standard deviation, named as
        "means[component, feature]", and the columns mean, sd, lower, upper, r_hat, ess_bulk and
        ess_tail. A single chain is cut in two for R-hat; what never varies has none.
    """
    import pandas as pd

    posterior = of_one_number(posterior)
    sites = readable_sites(posterior.family, posterior.draws)
    values = {name: sites[name] for name in PARAMETERS}
    flat, _ = flattened(values)
    lower, upper = np.quantile(flat, [(1 - prob) / 2, (1 + prob) / 2], axis=(0, 1))
    varies = np.ptp(flat, axis=(0, 1)) > 0
    columns = {
        "mean": flat.mean((0, 1)),
        "sd": flat.std((0, 1), ddof=1),
        "lower": lower,
        "upper": upper,
        "r_hat": np.where(varies, r_hat(flat), np.nan),
        "ess_bulk": ess_bulk(flat),
        "ess_tail": ess_tail(flat),
    }
    return pd.DataFrame(columns, index=_rows(posterior, values))


def _rows(posterior: Posterior, values: generation.Values) -> list[str]:
    """What the numbers of all variables are called, in their order."""
    numbers = map(str, range(posterior.n_components))
    labels = {"component": list(numbers), "feature": posterior.observations.feature_names}
    rows = []
    for name, dims in site_dimensions(posterior.family, values).items():
        places = itertools.product(*(labels[dim] for dim in dims))
        rows += [f"{name}[{', '.join(place)}]" for place in places] if dims else [name]
    return rows


def elpd_loo(source: Result | Any) -> Elpd:
    """Leave-one-out cross-validation by Pareto-smoothed importance sampling.

    ArviZ's warning of unreliable points is not repeated: `worst_k` says the same. A point with a
    sample weight counts so often, one of them being left out at a time.

    Args:
        source: a fit with draws, or what its `to_arviz` gave.

    Raises:
        ValueError: if the fit has no draws.
    """
    is_fit = isinstance(source.posterior, Posterior | None)
    data: Any = draws_and_log_likelihood(source) if is_fit else source
    independent = bool(data["posterior"].attrs.get("independent_draws", 0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto", UserWarning)
        elpd, k = generation.leave_one_out(data, 1.0 if independent else None)
    known = getattr(data, "constant_data", None)
    weight = np.ones(len(elpd))
    if known is not None and "sample_weight" in known:
        weight = known["sample_weight"].values
    there, n = weight > 0, weight.sum()
    elpd, k, weight = elpd[there], k[there], weight[there]
    total = elpd @ weight
    variance = weight @ np.square(elpd - total / n) / n
    return Elpd(float(total), math.sqrt(n * variance), float(k.max()), elpd, weight)
