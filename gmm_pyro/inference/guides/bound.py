"""The ELBO of a guide by draws, and the random numbers of these."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ...model.log_density import LogDensity
from .gaussian import Guide

FIXED_DRAWS = 256  # draws that stay the same from step to step, at least


def elbo(
    density: LogDensity | Callable[..., Tensor],
    guide: Guide,
    vector: Float[Tensor, "p"],
    noise: Float[Tensor, "s e"],
) -> Float[Tensor, ""]:
    """Monte Carlo estimate of the ELBO in nats, differentiable in the guide's parameters."""
    return density(guide.draws(vector, noise)).mean() + guide.distribution(vector).entropy()


def enough_draws(guide: Guide) -> int:
    """Fixed draws that a guide cannot fit itself to: a free covariance has many parameters."""
    independent = guide.n_parameters == 2 * len(guide.loc)
    return FIXED_DRAWS if independent else max(FIXED_DRAWS, 4 * guide.n_noise)


def normal_noise(generator: torch.Generator, guide: Guide, count: int) -> Float[Tensor, "s e"]:
    """Independent standard normal numbers."""
    return guide.loc.new_empty(count, guide.n_noise).normal_(generator=generator)


def matched_noise(generator: torch.Generator, guide: Guide, count: int) -> Float[Tensor, "s e"]:
    """Antithetic pairs with the second moments of the standard normal, as far as they are enough.

    An average over them is then exact for a quadratic: the ELBO of a Gaussian posterior.
    """
    half = normal_noise(generator, guide, count // 2)
    if len(half) < guide.n_noise:
        half = half / half.square().mean(0).sqrt()
    else:
        factor = torch.linalg.cholesky(half.T @ half / len(half))
        half = torch.linalg.solve_triangular(factor, half.T, upper=False).T
    return torch.cat([half, -half])
