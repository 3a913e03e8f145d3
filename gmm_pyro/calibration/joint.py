"""The joint distribution of parameters and data that a model declares, as s independent draws."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters
from ..data.points import Points
from ..inference.chains.sweep import Sampler
from ..mixture.noise_component import with_noise
from ..model.declaration import require_conjugate
from ..model.program import MixtureModel, check_model
from ..reduction.sums import reduce_each

SEEDS = 2**62  # as many seeds of torch's default generator


def require_concrete(model: MixtureModel) -> int:
    """The number of features d of a model whose priors are complete without any data.

    Raises:
        TypeError: if the model is not one.
        ValueError: if its priors wait for data to tell them their units.
    """
    check_model(model)
    d = model.n_features
    if d is None:
        raise ValueError(
            "the model must have priors that data can be drawn from, and these wait for data: "
            "give ConjugatePriors(mean=0.0, spread=torch.ones(d)), or Priors(location=..., "
            "spread=...), or model.specialise(x)"
        )
    model.sites()  # refuses what does not fit the model
    if model.noise is not None and model.noise.n_features != d:
        raise ValueError(
            f"the noise component is of {model.noise.n_features} features, and the priors of {d}"
        )
    return d


@torch.no_grad()
def draw_prior(model: MixtureModel, count: int, generator: torch.Generator) -> Parameters:
    """Parameters drawn from the prior, s = `count` sets in float64."""
    seed = int(torch.randint(SEEDS, (), generator=generator))
    return model.family.parameters(model.sites().draw(count, seed))


def draw_points(
    model: MixtureModel, parameters: Parameters, n: int, generator: torch.Generator
) -> Float[Tensor, "s n d"]:
    """Points drawn from each of s mixtures."""
    s, k, d = parameters.means.shape
    component = torch.multinomial(
        parameters.log_weights.exp(), n, replacement=True, generator=generator
    )
    tril = model.family.scale_tril(parameters.factor, d).expand(s, k, d, d)
    one = torch.arange(s)[:, None]
    noise = torch.randn(s, n, d, 1, generator=generator, dtype=parameters.means.dtype)
    x = parameters.means[one, component] + (tril[one, component] @ noise)[..., 0]
    return with_noise(x, parameters, model.noise, generator)[0]


def log_noise_at(model: MixtureModel, x: Float[Tensor, "s n d"]) -> Float[Tensor, "s n"] | None:
    """Log density of the model's noise at all points, in nats; None without noise."""
    if model.noise is None:
        return None
    names = tuple(map(str, range(x.shape[-1])))
    points = Points(x.flatten(0, 1), names, x.new_zeros(x.shape[-1], dtype=torch.float64))
    return model.noise.log_density(points).view(x.shape[:2])


def gibbs_sampler(
    model: MixtureModel, x: Float[Tensor, "s n d"], *, exchange: bool = True
) -> Sampler:
    """The sampler whose s chains have a data set each.

    Raises:
        ValueError: if the model's prior is not conjugate.
    """
    prior = require_conjugate(model, "gibbs")
    each = partial(reduce_each, x, model.family, log_noise=log_noise_at(model, x))
    return Sampler(prior, each, exchange)
