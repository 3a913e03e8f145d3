"""What comes out of a mixture as points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..reduction.background import NOISE
from .noise_component import with_noise
from .record import MixtureRecord


@dataclass(frozen=True, eq=False)
class Sample:
    """Points drawn from a mixture, with the component that each came from: -1 for noise."""

    x: Float[Tensor, "n d"]
    labels: Int[Tensor, "n"]


def drawn(mixture: MixtureRecord, n: int, seed: int) -> Sample:
    """n independent points of a mixture."""
    means, (k, d) = mixture.means, mixture.means.shape
    generator = torch.Generator(means.device).manual_seed(seed)
    labels = torch.multinomial(mixture.weights, n, replacement=True, generator=generator)
    noise = means.new_empty(n, d).normal_(generator=generator)
    tril = mixture.family.scale_tril(mixture.parameters.factor[0], d).to(means)
    x = torch.empty_like(noise)
    for component, factor in enumerate(tril.expand(k, -1, -1)):
        rows = labels == component
        x[rows] = means[component] + noise[rows] @ factor.T
    own = mixture.parameters, mixture.noise_component
    (x,), (apart,) = with_noise(x[None], *own, generator)
    return Sample(x, labels.masked_fill(apart, NOISE))
