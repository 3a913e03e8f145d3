"""The joint distribution of parameters and data that a model declares, as s independent draws."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..inference.chains.sweep import Sampler
from ..model.normal_wishart import Conjugate
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
    return d


@torch.no_grad()
def draw_prior(model: MixtureModel, count: int, generator: torch.Generator) -> Parameters:
    """Parameters drawn from the prior, s = `count` sets in float64."""
    seed = int(torch.randint(SEEDS, (), generator=generator))
    return model.family.parameters(model.sites().draw(count, seed))


def draw_points(
    family: CovarianceFamily, parameters: Parameters, n: int, generator: torch.Generator
) -> Float[Tensor, "s n d"]:
    """Points drawn from each of s mixtures."""
    s, k, d = parameters.means.shape
    component = torch.multinomial(
        parameters.log_weights.exp(), n, replacement=True, generator=generator
    )
    tril = family.scale_tril(parameters.factor, d).expand(s, k, d, d)
    one = torch.arange(s)[:, None]
    noise = torch.randn(s, n, d, 1, generator=generator, dtype=parameters.means.dtype)
    return parameters.means[one, component] + (tril[one, component] @ noise)[..., 0]


def gibbs_sampler(prior: Conjugate, x: Float[Tensor, "s n d"], *, exchange: bool = True) -> Sampler:
    """The sampler whose s chains have a data set each."""
    return Sampler(prior, partial(reduce_each, x, prior.components.family), exchange)
