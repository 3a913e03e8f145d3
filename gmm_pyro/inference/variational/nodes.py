"""A positive number with a prior, on nodes: its q needs no family, and all its means are sums.

The nodes are those of Gauss and Legendre in panels of the logarithm, over all of the prior that is
not negligible. The masses are made to sum to one, so that what is said of the number is exact for
a prior of these nodes, which differs from the one that is meant by the error of the quadrature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...model.concentration import Concentration

PANELS, ORDER = 96, 8  # panels of the logarithm, and nodes in each
LOWEST, HIGHEST = math.log(1e-12), math.log(1e12)
NEGLIGIBLE = 200.0  # nats below the mode of the logarithm: far more than points can weigh
GAP = 2.0  # nodes around those that count, which they may lie between


@dataclass(frozen=True, eq=False)
class Nodes:
    """Where a number may be, and the prior logarithms of how probable that is.

    Attributes:
        values: shape (m,); one where the number is known.
        log_masses: in nats, shape (m,).
    """

    values: Float[Tensor, "m"]
    log_masses: Float[Tensor, "m"]

    @classmethod
    def of(cls, given: Concentration, like: Tensor) -> Nodes:
        """Those of a concentration.

        Raises:
            ValueError: if its prior has no density where there are nodes.
        """
        if not given.is_random:
            return cls(like.new_tensor([float(given.value)]), like.new_zeros(1))
        low, high = _ends(given)
        points, _ = _panels(low, high)
        heights = _heights(given, points) if low < high else points.new_full((1,), -math.inf)
        if not bool(heights.isfinite().any()):
            raise ValueError(
                "the prior of a concentration must have a density between 1e-12 and 1e12, got "
                f"{given.value}"
            )
        near = (heights >= heights.max() - NEGLIGIBLE).nonzero()[:, 0]
        wide = points.diff().max() * GAP
        first, last = float(points[near[0]] - wide), float(points[near[-1]] + wide)
        points, widths = _panels(max(low, first), min(high, last))
        masses = (_heights(given, points) + widths.log()).log_softmax(0)
        return cls(points.exp().to(like), masses.to(like))

    def draw(
        self, log_masses: Float[Tensor, "m"], count: int, generator: torch.Generator
    ) -> Float[Tensor, "s"]:
        """Draws of the number, between nodes as the distribution function between them rises."""
        if len(self.values) == 1:
            return self.values.expand(count)
        log_values, masses = self.values.log(), log_masses.exp()
        middle = masses.cumsum(0) - 0.5 * masses  # of the distribution function at each node
        uniform = torch.rand(count, generator=generator, dtype=masses.dtype, device=masses.device)
        drawn = np.interp(uniform.cpu(), middle.cpu(), log_values.cpu())
        return torch.from_numpy(drawn).to(masses).exp()


def _ends(given: Concentration) -> tuple[float, float]:
    """Of the support's logarithm, as far as nodes go."""
    support = given.value.support
    low, high = (
        float(getattr(support, name, other))
        for name, other in (("lower_bound", 0.0), ("upper_bound", math.inf))
    )
    low = max(LOWEST, math.log(low)) if low > 0 else LOWEST
    return low, min(HIGHEST, math.log(high))


def _panels(low: float, high: float) -> tuple[Tensor, Tensor]:
    """Nodes between two logarithms, and their weights."""
    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(ORDER))
    edges = torch.linspace(low, high, PANELS + 1, dtype=torch.float64)
    half = 0.5 * edges.diff()[:, None]
    return (edges[:-1, None] + half * (1 + nodes)).flatten(), (half * weights).flatten()


def _heights(given: Concentration, log_values: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
    """Log density of the logarithm."""
    found = given.log_prior(log_values.exp()) + log_values
    return found.nan_to_num(nan=-math.inf, posinf=-math.inf)
