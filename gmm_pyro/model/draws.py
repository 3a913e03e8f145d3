"""Small parts of draws from conjugate distributions, and of their densities."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import ConjugateFamily, Statistics
from .mixing import Mixing


def log_kernel(
    family: ConjugateFamily, dof: Tensor, scale: Tensor, factor: Tensor, d: int
) -> Float[Tensor, "s k1"]:
    """Log density in nats of precisions P with the measure |P|^(-c / 2) dP of `ConjugateFamily`."""
    trace = (family.precision(factor) * scale).flatten(2).sum(-1)
    half = family.log_determinant(factor, d) * dof / family.squares_a_point(d)
    return -half - 0.5 * trace - family.log_normaliser(dof, scale)


def draw_noise(
    noise: tuple[float, float] | None, statistics: Statistics, generator: torch.Generator | None
) -> Float[Tensor, "s"] | None:
    """Log odds of the noise, drawn given how many points are noise; None without noise.

    Args:
        noise: a and b of its weight, Beta(a, b).
        statistics: of hard assignments.
        generator: source of randomness.
    """
    if noise is None or statistics.noise is None:
        return None
    counts = torch.stack([statistics.noise, statistics.counts.sum(-1)], -1)
    log_weights = Mixing(counts.new_tensor(noise)).draw(counts, generator)
    return log_weights[:, 0] - log_weights[:, 1]


def standard_normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Independent standard normal numbers, as many as there are of something else."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
