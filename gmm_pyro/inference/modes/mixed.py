"""A mixture of approximations of a posterior, one about each of its modes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from .mode import log_volume


class Part(Protocol):
    """What is asked of an approximation."""

    def draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "s m"]:
        """So many independent vectors."""
        ...

    def log_density(self, vectors: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        """Of vectors, in nats."""
        ...


@dataclass(frozen=True, eq=False)
class Around:
    """The Gaussian about a mode.

    Attributes:
        centre: the mode.
        root: Cholesky factor of the covariance.
    """

    centre: Float[Tensor, "m"]
    root: Float[Tensor, "m m"]

    def draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "s m"]:
        """See `Part`."""
        noise = self.centre.new_empty(count, len(self.centre)).normal_(generator=generator)
        return self.centre + noise @ self.root.T

    def log_density(self, vectors: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        """See `Part`."""
        away = (vectors - self.centre).T
        noise = torch.linalg.solve_triangular(self.root, away, upper=False)
        return -log_volume(self.root) - 0.5 * noise.square().sum(0)


@dataclass(frozen=True, eq=False)
class Mixed:
    """The mixture of some approximations.

    Attributes:
        parts: the approximations.
        weights: of each; they add to one.
    """

    parts: Sequence[Part]
    weights: Sequence[float]

    def draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "s m"]:
        """So many vectors, as many from each part as its weight says, in random order."""
        counts = apportioned(count, self.weights)
        pairs = zip(self.parts, counts, strict=True)
        vectors = torch.cat([part.draws(number, generator) for part, number in pairs if number])
        if sum(number > 0 for number in counts) == 1:
            return vectors
        return vectors[torch.randperm(count, generator=generator, device=generator.device)]

    def log_density(self, vectors: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        """See `Part`."""
        pairs = zip(self.parts, self.weights, strict=True)
        each = [math.log(w) + part.log_density(vectors) for part, w in pairs if w > 0]
        return torch.stack(each).logsumexp(0)


def apportioned(count: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to weights, by largest remainders.

    Example:
        >>> apportioned(10, [0.55, 0.25, 0.2])
        [6, 2, 2]
    """
    shares = [count * weight / sum(weights) for weight in weights]
    whole = [math.floor(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda i: whole[i] - shares[i])
    for i in order[: count - sum(whole)]:
        whole[i] += 1
    return whole
