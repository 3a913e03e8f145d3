"""Draws from priors, and data sets drawn from mixtures, with seeds of their own."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..model import MixtureModel
from ..priors import Conditional

NUMBERS_AT_ONCE = 1 << 20  # of the data sets that are drawn in one go


def prior_draws(model: MixtureModel, like: Tensor, n_draws: int, seed: int) -> dict[str, Tensor]:
    """Draws of every site from its prior, each of shape (n_draws, *site).

    Distributions draw from torch's default generator, which is put back as it was.

    Args:
        model: a model whose priors are concrete.
        like: a tensor whose type of number the draws take.
        n_draws: number of independent draws.
        seed: seed of the draws.

    Raises:
        NotImplementedError: if a prior cannot be drawn from.
    """
    values: dict[str, Tensor] = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed is for all devices
        for name, prior in model.sites(like=like.cpu()).items():
            if isinstance(prior, Conditional):
                values[name] = prior.given(values).sample()
            else:
                values[name] = prior.sample(torch.Size([n_draws]))
    return values


@torch.no_grad()
def data_sets(
    family: CovarianceFamily, parameters: Parameters, n: int, generator: torch.Generator
) -> Float[Tensor, "s n d"]:
    """A data set of n independent points for each of s mixtures."""
    d = parameters.means.shape[-1]
    rows = torch.arange(len(parameters.means)).split(max(1, NUMBERS_AT_ONCE // (n * d)))
    return torch.cat([_draw(family, parameters[part], n, generator) for part in rows])


def _draw(
    family: CovarianceFamily, parameters: Parameters, n: int, generator: torch.Generator
) -> Float[Tensor, "s n d"]:
    means = parameters.means
    s, k, d = means.shape
    edges = parameters.log_weights.exp().cumsum(-1)
    kind: Any = {"generator": generator, "dtype": means.dtype, "device": means.device}
    uniform = torch.rand(s, n, **kind)
    component = torch.searchsorted(edges, uniform, right=True).clamp_(max=k - 1)
    noise = torch.randn(s, n, d, **kind)
    x = means.gather(1, component[..., None].expand(-1, -1, d))
    for j, root in enumerate(family.scale_tril(parameters.factor, d).unbind(1)):
        drawn = family.tied | (component == j)[..., None]
        x += torch.where(drawn, noise @ root.mT, 0.0)
    return x
