"""What a test of calibration looks at: functions of parameters and data, blind to labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..data.checks import check_function, check_mapping, check_seed, shown
from ..model.program import MixtureModel
from ..running.seeds import SPACING
from .joint import draw_points, draw_prior, log_noise_at, require_concrete
from .telescoped import components, evenness, largest_weight, mean

Quantity = Callable[[Parameters, Float[Tensor, "s n d"]], Float[Tensor, "s"]]
Quantities = Mapping[str, Quantity]

PLACES = 2  # fixed points at which the density is looked at


def default_quantities(model: MixtureModel, seed: int = 0) -> dict[str, Quantity]:
    """Label-invariant quantities that together see weights, means, covariances and assignments.

    Each is a function of s sets of `Parameters` and of s data sets, shape (s, n, d), to s numbers:

    - `log_likelihood` of the data, in nats;
    - `mean_1` to `mean_k`: the means of the first feature, in ascending order;
    - `weight_1` to `weight_(k-1)`: the weights, in ascending order;
    - `noise_weight`, where there is a component of noise;
    - `log_volume`: half of log det Σ, summed over the covariances;
    - `log_density_1`, `log_density_2`: of the mixture at two fixed points, which are drawn from the
      prior predictive distribution;
    - `same_component`: the probability that the data's first two points share a component.

    Where the number of components is unknown there are, in the place of means, weights and volume,
    `components`, `largest_weight`, `evenness` (Σ w²) and `mean` (of the whole).

    Args:
        model: a model with concrete priors.
        seed: of the fixed points.

    Example:
        >>> from gmm_pyro import ConjugatePriors
        >>> prior = ConjugatePriors(mean=0.0, spread=torch.ones(1))
        >>> list(default_quantities(MixtureModel(1, priors=prior)))
        ['log_likelihood', 'mean_1', 'log_volume', 'log_density_1', 'log_density_2']
    """
    require_concrete(model)
    k = model.n_components
    generator = torch.Generator().manual_seed(check_seed(seed) + SPACING)
    places = draw_points(model, draw_prior(model, PLACES, generator), 1, generator)[:, 0]
    quantities: dict[str, Quantity] = {"log_likelihood": partial(_log_likelihood, model)}
    if model.noise is not None:
        quantities["noise_weight"] = _noise_weight
    quantities |= _of_components(model)
    for i, place in enumerate(places):
        quantities[f"log_density_{i + 1}"] = partial(_log_density, model, place)
    if k > 1:
        quantities["same_component"] = partial(_same_component, model)
    return quantities


def _of_components(model: MixtureModel) -> dict[str, Quantity]:
    """Those that see means, weights and covariances, by name."""
    if model.unknown is not None:
        of_whole = (components, largest_weight, evenness, mean)
        return {function.__name__: function for function in of_whole}
    k = model.n_components
    found: dict[str, Quantity] = {f"mean_{i + 1}": partial(_sorted_mean, i) for i in range(k)}
    found |= {f"weight_{i + 1}": partial(_sorted_weight, i) for i in range(k - 1)}
    return {**found, "log_volume": partial(_log_volume, model.family)}


def check_quantities(quantities: Any, model: MixtureModel, seed: int) -> Quantities:
    """Functions by name; those of the model, where there are none.

    Raises:
        ValueError: if there are none.
        TypeError: if one cannot be called.
    """
    if quantities is None:
        return default_quantities(model, seed)
    for name, function in check_mapping("quantities", quantities, "functions by name").items():
        check_function(f"the function {shown(name)} of quantities", function)
    if not quantities:
        raise ValueError("quantities must hold at least one function, got none")
    return quantities


def evaluate(
    quantities: Quantities, parameters: Parameters, x: Float[Tensor, "s n d"]
) -> dict[str, Float[Tensor, "s"]]:
    """The values of all quantities.

    Raises:
        ValueError: if one does not give a number for every set.
    """
    values = {name: function(parameters, x) for name, function in quantities.items()}
    for name, value in values.items():
        if not isinstance(value, Tensor) or value.shape != (len(x),):
            got = tuple(value.shape) if isinstance(value, Tensor) else shown(value)
            raise ValueError(f"quantity {name!r} must return shape ({len(x)},), got {got}")
        if value.isnan().any():
            raise ValueError(f"quantity {name!r} is not a number for some of the draws")
    return values


def _logits(
    model: MixtureModel, p: Parameters, x: Float[Tensor, "s m d"]
) -> Float[Tensor, "s k2 m"]:
    """log w + log N(x | μ, Σ), and last the same of noise, if there is any."""
    family, log_noise = model.family, log_noise_at(model, x)
    whitened = family.whiten(p.factor, x[:, None] - p.means[:, :, None])
    logits = family.log_peak(p)[..., None] - 0.5 * whitened.square().sum(-1)
    if p.log_noise is None or log_noise is None:
        return logits
    return torch.cat([logits, (p.log_noise[:, None] + log_noise)[:, None]], 1)


def _log_likelihood(model: MixtureModel, p: Parameters, x: Tensor) -> Tensor:
    return _logits(model, p, x).logsumexp(1).sum(1)


def _sorted_mean(place: int, p: Parameters, x: Tensor) -> Tensor:
    del x
    return p.means[..., 0].sort(1).values[:, place]


def _sorted_weight(place: int, p: Parameters, x: Tensor) -> Tensor:
    del x
    return p.log_weights.sort(1).values[:, place].exp()


def _noise_weight(p: Parameters, x: Tensor) -> Tensor:
    del x
    assert p.log_noise is not None
    return p.log_noise.exp()


def _log_volume(family: CovarianceFamily, p: Parameters, x: Tensor) -> Tensor:
    return family.log_determinant(p.factor, x.shape[-1]).sum(1)


def _log_density(
    model: MixtureModel, place: Float[Tensor, "d"], p: Parameters, x: Tensor
) -> Tensor:
    del x
    return _logits(model, p, place.expand(len(p.means), 1, -1)).logsumexp(1)[:, 0]


def _same_component(model: MixtureModel, p: Parameters, x: Tensor) -> Tensor:
    return _logits(model, p, x[:, :2]).softmax(1).prod(2).sum(1)
