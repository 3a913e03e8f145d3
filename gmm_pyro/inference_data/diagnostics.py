"""ArviZ's numbers about draws: convergence, leave-one-out, and the tail of importance weights."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import arviz
import numpy as np

from ..posterior import Posterior
from . import generation
from .groups import draws_and_log_likelihood, readable_sites, site_dimensions
from .quantities import quantities

if TYPE_CHECKING:
    import pandas as pd

    from ..inference.fit import Fit

PARAMETERS = ("weights", "means", "scales")
ROUNDING = 1e-9  # nats; log ratios that differ less are the same


@dataclass(frozen=True)
class Convergence:
    """How far the chains of a posterior are from its distribution.

    Attributes:
        r_hat: the largest rank-normalised R-hat (Vehtari et al. 2021); 1 at best.
        ess_bulk: the smallest effective number of draws, for the middle of a distribution.
        ess_tail: the smallest effective number of draws, for its 5 % and 95 % quantiles.
    """

    r_hat: float
    ess_bulk: float
    ess_tail: float


@dataclass(frozen=True)
class Elpd:
    """Expected log predictive density by leave-one-out (Vehtari, Gelman & Gabry 2017).

    Attributes:
        elpd: of all points together, in nats.
        se: its standard error, in nats.
        worst_k: the largest Pareto k-hat of a point; above 0.7 the estimate is not reliable.
    """

    elpd: float
    se: float
    worst_k: float


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


def rhat_and_ess(posterior: Posterior) -> Convergence:
    """The worst R-hat and effective sample sizes of weights, means, scales and log-likelihood.

    A single chain is cut in two for R-hat. Quantities that never vary have none and are left out.
    """
    shape = posterior.n_chains, posterior.n_draws
    values = _parameters(posterior)
    values["log_likelihood"] = quantities(posterior).log_likelihood.view(shape).cpu().numpy()
    data = generation.dataset(values, {}, {})
    halved = generation.dataset({name: _two_chains(x) for name, x in values.items()}, {}, {})
    return Convergence(
        r_hat=_extreme(np.nanmax, arviz.rhat(halved)),
        ess_bulk=_extreme(np.nanmin, arviz.ess(data, method="bulk")),
        ess_tail=_extreme(np.nanmin, arviz.ess(data, method="tail")),
    )


def posterior_summary(posterior: Posterior, prob: float = 0.94) -> pd.DataFrame:
    """Mean, standard deviation, interval, R-hat and effective numbers of draws of each parameter.

    Args:
        posterior: draws, their components aligned.
        prob: what the interval holds of the draws, with equal tails.

    Returns:
        A frame with a row for each weight, mean and standard deviation, named as
        "means[component, feature]", and the columns mean, sd, lower, upper, r_hat, ess_bulk and
        ess_tail. A single chain is cut in two for R-hat; what never varies has none.
    """
    import pandas as pd

    values = _parameters(posterior)
    names = posterior.observations.feature_names
    coords = {"component": np.arange(posterior.n_components), "feature": list(names)}
    dims = site_dimensions(posterior.family, values)
    data = generation.dataset(values, dims, coords)
    halved = generation.dataset({k: _two_chains(x) for k, x in values.items()}, dims, coords)
    tails = [(1 - prob) / 2, (1 + prob) / 2]
    limits = {name: np.quantile(x, tails, axis=(0, 1)) for name, x in values.items()}
    with np.errstate(invalid="ignore", divide="ignore"):  # R-hat of a constant is 0 / 0
        columns = {
            "mean": {name: x.mean((0, 1)) for name, x in values.items()},
            "sd": {name: x.std((0, 1), ddof=1) for name, x in values.items()},
            "lower": {name: limit[0] for name, limit in limits.items()},
            "upper": {name: limit[1] for name, limit in limits.items()},
            "r_hat": arviz.rhat(halved),
            "ess_bulk": arviz.ess(data, method="bulk"),
            "ess_tail": arviz.ess(data, method="tail"),
        }
    flat = {
        column: np.concatenate([np.ravel(found[name]) for name in values])
        for column, found in columns.items()
    }
    return pd.DataFrame(flat, index=[row for name in values for row in _rows(data[name])])


def _parameters(posterior: Posterior) -> dict[str, np.ndarray]:
    """Draws of weights, means and standard deviations."""
    sites = readable_sites(posterior.family, posterior.draws)
    return {name: sites[name] for name in PARAMETERS}


def _rows(variable: Any) -> list[str]:
    """What the numbers of a variable are called, in their order."""
    labels = [variable.coords[dim].values for dim in variable.dims[2:]]
    places = itertools.product(*labels)
    if not labels:
        return [str(variable.name)]
    return [f"{variable.name}[{', '.join(map(str, place))}]" for place in places]


def elpd_loo(source: Fit | Any) -> Elpd:
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
    weight = np.ones(len(elpd)) if known is None else known["sample_weight"].values
    there, n = weight > 0, weight.sum()
    elpd, k, weight = elpd[there], k[there], weight[there]
    total = elpd @ weight
    variance = weight @ np.square(elpd - total / n) / n
    return Elpd(float(total), math.sqrt(n * variance), float(k.max()))


def _two_chains(draws: np.ndarray) -> np.ndarray:
    """The halves of a single chain as two; several chains as they are."""
    if len(draws) > 1:
        return draws
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, half : 2 * half]])


def _extreme(choose: Any, found: Any) -> float:
    """The largest or smallest number of a dataset, NaN where there is none."""
    numbers = np.concatenate([found[name].values.ravel() for name in found.data_vars])
    return float(choose(numbers)) if np.isfinite(numbers).any() else np.nan
