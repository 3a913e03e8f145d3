"""The number of components and the concentration, given how points part: `hierarchy.py` says how.

The weights are integrated out, and for the concentration the number of components too.

Source: Frühwirth-Schnatter, Malsiner-Walli & Grün (2021), algorithm 1, steps 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance.records import TINY
from ...model.hierarchy import Hierarchy

WIDTHS = (2.0, 0.5)  # of steps of log concentrations: one that leads far, and one that is taken


def draw_sizes(
    hierarchy: Hierarchy,
    counts: Float[Tensor, "s m"],
    concentration: Float[Tensor, "s"],
    generator: torch.Generator,
) -> tuple[Int[Tensor, "s"], Float[Tensor, "s"]]:
    """Numbers of components and concentrations, given the points of each block.

    Args:
        hierarchy: the prior.
        counts: points of the blocks, zeros among them.
        concentration: where the chains are.
        generator: source of randomness.
    """
    if hierarchy.concentration.is_random:

        def log_p(value: Float[Tensor, "s"]) -> Float[Tensor, "s"]:
            return hierarchy.log_partitions(counts, value).logsumexp(1)

        concentration = draw_concentration(hierarchy, log_p, concentration, generator)
    if hierarchy.is_known:
        return torch.full_like(counts[:, 0], hierarchy.most).long(), concentration
    shares = hierarchy.log_partitions(counts, concentration).softmax(1)
    return 1 + torch.multinomial(shares, 1, generator=generator)[:, 0], concentration


def draw_concentration(
    hierarchy: Hierarchy,
    log_likelihood: Callable[[Float[Tensor, "s"]], Float[Tensor, "s"]],
    current: Float[Tensor, "s"],
    generator: torch.Generator,
) -> Float[Tensor, "s"]:
    """Concentrations after some steps of Metropolis on their logarithms."""
    prior = hierarchy.concentration.log_prior

    def log_p(value: Tensor) -> Tensor:
        return log_likelihood(value) + prior(value) + value.log()

    here = log_p(current)
    for width in WIDTHS:
        proposed = current * (width * _normal(current, generator)).exp()
        proposed = proposed.clamp_min(TINY)
        there = log_p(proposed)
        taken = _uniform(current, generator).log() < there - here
        current = torch.where(taken, proposed, current)
        here = torch.where(taken, there, here)
    return current


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    return drawn.clamp_min(TINY)
