"""What a posterior predicts: components of points, densities, new points, and a mean mixture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..data.checks import MOST_HELD, check_count, check_number, check_seed
from ..data.features import column_of
from ..data.observations import as_points
from ..data.points import Points
from ..data.spread import chunks
from ..mixture.noise_component import beside_noise, with_noise
from ..mixture.value import GaussianMixture
from ..reduction.background import NOISE
from ..reduction.pointwise import log_density, shares
from ..reduction.theta import Theta
from ..running.threads import one_thread_a_product
from .draws import DRAWS_AT_ONCE, over_draws
from .record import Draws
from .sizes import FILLED, of_filled

NUMBERS = 4_000_000  # densities that are sorted at a time


@dataclass(frozen=True, eq=False)
class Assignments:
    """Components of n points.

    Attributes:
        draws: a component for every draw, chain after chain, shape (draw, n).
        probabilities: posterior means of the responsibilities, shape (n, k).
    """

    draws: Int[Tensor, "draw n"]
    probabilities: Float[Tensor, "n k"]


@dataclass(frozen=True, eq=False)
class PredictiveDensity:
    """Densities at n points: densities themselves, not their logarithms.

    Attributes:
        mean: posterior predictive density, the mean of those of the draws, shape (n,).
        lower: lower end of the interval, shape (n,).
        upper: upper end of the interval, shape (n,).
        prob: what the interval holds of the draws, at each point, with equal tails.
    """

    mean: Float[Tensor, "n"]
    lower: Float[Tensor, "n"]
    upper: Float[Tensor, "n"]
    prob: float


# ---------------------------------------------------------------------- components of points


def assignments(posterior: Draws, x: Any, seed: int) -> Assignments:
    """Drawn and mean assignments; see `Posterior.assignments`."""
    points = posterior.observations if x is None else placed(posterior, x)
    parameters = posterior.parameters()
    n_draws, k = parameters.means.shape[:2]
    size, device = (n_draws, points.n), points.device
    generator = torch.Generator(device).manual_seed(check_seed(seed))
    uniform = torch.rand(size, generator=generator, dtype=points.dtype, device=device)
    labels = torch.empty(size, dtype=torch.long, device=device)

    def evaluate(theta: Theta, draws: slice) -> Float[Tensor, "k n"]:
        share = shares(points, theta)
        below = share.cumsum(1)[:, :-1]  # the last one ends at 1
        labels[draws] = (uniform[draws, None] >= below).sum(1)
        return share[:, :k].sum(0, dtype=torch.float64)

    total = torch.stack(over_draws(posterior.family, parameters, points, evaluate)).sum(0)
    labels.masked_fill_(labels == k, NOISE)
    return Assignments(labels, (total / n_draws).T.contiguous())


def placed(posterior: Draws, x: Any) -> Points:
    """Other points in the place of the data."""
    data = posterior.observations
    points = as_points(
        x,
        feature_names=data.feature_names,
        dtype=data.dtype,
        device=data.device,
        missing="integrate",
    )
    return beside_noise(points.about(data.origin), posterior.noise_component)


# ---------------------------------------------------------------------- densities


def predictive_density(posterior: Draws, x: Any, prob: float) -> PredictiveDensity:
    """Predictive density at points; see `Posterior.predictive_density`."""
    points = placed(posterior, x)
    return _density(posterior.family, posterior.parameters(), points, prob)


def density_band(
    posterior: Draws, grid: Any, prob: float, feature: int | str | None
) -> PredictiveDensity:
    """Predictive density of one feature; see `Posterior.density_band`."""
    data = posterior.observations
    column = feature_column(data.feature_names, feature)
    one = slice(column, column + 1)
    name = data.feature_names[one]
    points = as_points(grid, feature_names=name, dtype=data.dtype, device=data.device, what="grid")
    marginal = marginal_parameters(posterior.family, posterior.parameters(), column)
    noise = posterior.noise_component
    noise = None if noise is None else noise.marginal([column])
    points = beside_noise(points.about(data.origin[one]), noise)
    return _density(posterior.family, marginal, points, prob)


def feature_column(names: tuple[str, ...], feature: int | str | None) -> int:
    """The column of a feature that is named or numbered; univariate data have only one.

    Raises:
        ValueError: if there is no such feature, or none is named of several.
    """
    if feature is None and len(names) > 1:
        raise ValueError(f"feature must be one of {', '.join(names)}, or its number; got None")
    return column_of(0 if feature is None else feature, names)


def marginal_parameters(
    family: CovarianceFamily, parameters: Parameters, column: int
) -> Parameters:
    """The same mixtures of one feature alone."""
    d, one = parameters.means.shape[-1], slice(column, column + 1)
    parts = [
        family.compress(family.dense(factor, d)[..., one, one])
        for factor in parameters.factor.split(DRAWS_AT_ONCE)
    ]
    factor = family.fit(torch.cat(parts), parameters.means.new_zeros(1))
    return replace(parameters, means=parameters.means[..., one], factor=factor)


def _density(
    family: CovarianceFamily, parameters: Parameters, points: Points, prob: float
) -> PredictiveDensity:
    prob = check_number("prob", prob, high=1.0, positive=True)
    parts = []
    for rows in chunks(points.n, max(1, NUMBERS // len(parameters.means))):
        parts.append(_summary(_densities(family, parameters, points.subset(rows)), prob))
    mean, lower, upper = torch.cat(parts, 1)
    return PredictiveDensity(mean, lower, upper, prob)


def _densities(
    family: CovarianceFamily, parameters: Parameters, points: Points
) -> Float[Tensor, "s n"]:
    """Density of every draw at every point."""
    of_draws = over_draws(family, parameters, points, lambda theta, _: log_density(points, theta))
    return torch.cat(of_draws).double().exp()


def _summary(densities: Float[Tensor, "s n"], prob: float) -> Float[Tensor, "3 n"]:
    """Mean, lower and upper quantile over the draws."""
    tail = (1 - prob) / 2
    ends = np.quantile(densities.cpu().numpy(), [tail, 1 - tail], axis=0)  # torch's sorts it all
    return torch.cat([densities.mean(0, keepdim=True), torch.from_numpy(ends).to(densities)])


# ---------------------------------------------------------------------- new points


def sample_predictive(posterior: Draws, n: int, seed: int) -> Float[Tensor, "n d"]:
    """New points; see `Posterior.sample_predictive`."""
    n, seed = check_count("n", n, 1, MOST_HELD), check_seed(seed)
    parameters = posterior.parameters()
    like = parameters.means
    generator = torch.Generator(like.device).manual_seed(seed)
    draw = torch.randint(len(like), (n,), generator=generator, device=like.device)
    weights = parameters.log_weights[draw].exp()
    component = torch.multinomial(weights, 1, generator=generator)[:, 0]
    means, row = like[draw, component], posterior.family.of_component(component)
    noise = torch.randn(means.shape, generator=generator, dtype=like.dtype, device=like.device)
    tril = posterior.family.scale_tril(parameters.factor[draw, row], means.shape[1])
    x = means + (tril @ noise[..., None])[..., 0]
    return with_noise(x, parameters[draw], posterior.noise_component, generator)[0]


# ---------------------------------------------------------------------- one mixture


@one_thread_a_product()
def mean_parameters(posterior: Draws) -> Parameters:
    """Weights, means and covariances averaged over the draws, as a batch of one set.

    Where components may be surplus, those that have points, over draws with the likeliest number.
    """
    if FILLED in posterior.draws:
        posterior = of_filled(posterior, None)
    parameters, family = posterior.parameters(), posterior.family
    s, _, d = parameters.means.shape
    sums = [family.dense(part, d).sum(0) for part in parameters.factor.split(DRAWS_AT_ONCE)]
    dense = torch.stack(sums).sum(0, keepdim=True) / s
    factor = family.fit(family.compress(dense), dense.new_zeros(d))
    log_weights = parameters.log_weights.exp().mean(0, keepdim=True).log()
    log_noise = parameters.log_noise
    log_odds = None if log_noise is None else log_noise.exp().mean(0, keepdim=True).logit()
    return Parameters(log_weights, parameters.means.mean(0, keepdim=True), factor, log_odds)


def mean_mixture(posterior: Draws) -> GaussianMixture:
    """The mixture of posterior means; see `Posterior.mixture`."""
    data, p = posterior.observations, mean_parameters(posterior)
    return GaussianMixture.from_parameters(
        posterior.family,
        p,
        dtype=data.dtype,
        feature_names=data.feature_names,
        noise_component=posterior.noise_component,
    )
