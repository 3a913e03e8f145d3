"""Draws from the prior of a model, site by site."""

from __future__ import annotations

import torch
from torch import Tensor

from .model import MixtureModel
from .priors import Conditional


def prior_draws(
    model: MixtureModel, n_draws: int, seed: int, like: Tensor | None = None
) -> dict[str, Tensor]:
    """Draws of every site from its prior, each of shape (n_draws, *site).

    Distributions draw from torch's default generator, which is put back as it was.

    Args:
        model: a model whose priors are concrete.
        n_draws: number of independent draws.
        seed: seed of the draws.
        like: a tensor whose type of number the draws take; float64, if None.

    Raises:
        NotImplementedError: if a prior cannot be drawn from.
    """
    values: dict[str, Tensor] = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed is for all devices
        for name, prior in model.sites(like=None if like is None else like.cpu()).items():
            if isinstance(prior, Conditional):
                values[name] = prior.given(values).sample()
            else:
                values[name] = prior.sample(torch.Size([n_draws]))
    return values
