"""Student's t distributions about a mode, a proposal that has all numberings of the components."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...model.log_density import LogDensity
from ...model.numbering import log_movable, movable, permuted_values
from ...model.orders import exchanges
from .nearest import Nearest

FREEDOM = 5.0  # degrees of freedom of Student's t
WIDTHS = (1.0, 2.0)  # in equal shares, of the normal distribution at the mode
MOST_OVERLAPPING = 120  # numberings of the mode that count at the draws of one
NEGLIGIBLE = 8.0  # nats below the proposal at every draw, where a numbering does not count
NUMBERS_AT_ONCE = 2**21


@dataclass(frozen=True, eq=False)
class AtMode:
    """Student's t distributions about a mode, over all numberings of the components.

    Attributes:
        density: the log density.
        mode: where it is highest.
        root: Cholesky factor of the covariance of the normal distribution there.
    """

    density: LogDensity
    mode: Float[Tensor, "m"]
    root: Float[Tensor, "m m"]

    def draw(self, counts: list[int], generator: torch.Generator) -> Float[Tensor, "s m"]:
        """As many vectors of each width."""
        shape = sum(counts), len(self.mode)
        noise = self.root.new_empty(shape).normal_(generator=generator)
        half = self.root.new_full((len(noise), 1), 0.5 * FREEDOM)
        square = torch._standard_gamma(half, generator=generator) / half
        width = self.root.new_tensor(WIDTHS).repeat_interleave(torch.tensor(counts))
        return self.mode + width[:, None] * square.rsqrt() * noise @ self.root.T

    def aligned(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same sets, each in the numbering in which it is closest to the mode."""
        return Nearest.to(self.density, self.mode).numbered(values)

    def log_density(
        self, values: Mapping[str, Tensor], beside: Float[Tensor, "s"]
    ) -> Float[Tensor, "s"]:
        """Of the sites of s sets, averaged over all numberings.

        Args:
            values: the sets, aligned.
            beside: another log density, beside which numberings of less are left out. They are
                reached by exchanges of components through such as count.
        """
        k, classes = self.density.model.n_components, movable(self.density.model)
        every = [(i, j) for i in range(k) for j in range(i) if classes[i] == classes[j]]
        pairs = every if self.density.renumbers else []
        moves = exchanges(k, pairs)
        waiting, seen = torch.arange(k)[None], set()
        total = torch.full_like(beside, -math.inf)
        while len(waiting):
            seen |= set(map(tuple, waiting.tolist()))
            found = self._in_orders(values, waiting)
            total = torch.logaddexp(total, found.logsumexp(1))
            margin = (found - torch.logaddexp(total, beside)[:, None]).amax(0)
            counting = waiting[(margin > -NEGLIGIBLE).cpu()]
            following = {tuple(order[move].tolist()) for order in counting for move in moves} - seen
            room = MOST_OVERLAPPING - len(seen)
            waiting = torch.tensor(sorted(following)[: max(0, room)], dtype=torch.int64)
        return total - log_movable(self.density.model)

    def _in_orders(
        self, values: Mapping[str, Tensor], orders: Int[Tensor, "o k"]
    ) -> Float[Tensor, "s o"]:
        s, o = len(values["weights"]), len(orders)
        found = []
        for rows in torch.arange(s * o).split(max(1, NUMBERS_AT_ONCE // self.density.dimension)):
            sets = {name: value[rows // o] for name, value in values.items()}
            sets = permuted_values(self.density, sets, orders[rows % o])
            vector = self.density.unconstrain(sets)
            log_q = self._log_student(vector) - self.density.log_jacobian(vector, sets)
            found.append(log_q.nan_to_num(nan=-math.inf))
        return torch.cat(found).view(s, o)

    def _log_student(self, vector: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        m = len(self.mode)
        z = torch.linalg.solve_triangular(self.root, (vector - self.mode).T, upper=False)
        width = z.new_tensor(WIDTHS)
        distance = z.square().sum(0)[:, None] / (FREEDOM * width.square())
        peak = math.lgamma(0.5 * (FREEDOM + m)) - math.lgamma(0.5 * FREEDOM)
        peak -= 0.5 * m * math.log(FREEDOM * math.pi) + float(self.root.diagonal().log().sum())
        each = peak - m * width.log() - 0.5 * (FREEDOM + m) * distance.log1p()
        return each.logsumexp(1) - math.log(len(WIDTHS))
