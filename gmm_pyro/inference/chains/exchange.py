"""Exchanges of components, where the prior or labels tell them apart: a move between numberings.

Chains go on in the numbering that they began in, which is home to them: coordinates and step sizes
are those of one mode. What they are asked for is the density of home's components under the numbers
that the prior knows them by now, and these numbers are exchanged at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...model.log_density import LogDensity
from ...model.numbering import (
    Numberings,
    exchangeable_classes,
    log_of_labels,
    movable,
    permuted_values,
)

Order = Int[Tensor, "c k"]


@dataclass(frozen=True, eq=False)
class Exchange:
    """The log density of chains whose components have numbers of their own.

    An order (c, k) says for every chain which of home's components takes place j. Where the prior
    does not tell components apart, it has no columns.

    Attributes:
        density: the log density.
        pairs: places whose components the prior tells apart, and may change, shape (p, 2).
    """

    density: LogDensity
    pairs: Int[Tensor, "p 2"]

    @classmethod
    def of(cls, density: LogDensity) -> Exchange:
        """For a prior as it is."""
        classes, free = exchangeable_classes(density), movable(density.model)
        known = combinations(range(len(classes)), 2) if density.renumbers else ()
        pairs = [(i, j) for i, j in known if classes[i] != classes[j] and free[i] == free[j]]
        device = density.observations.origin.device
        return cls(density, torch.tensor(pairs, dtype=torch.int64, device=device).view(-1, 2))

    def home(self, n_chains: int) -> Order:
        """The order in which all components are at home."""
        k = self.density.model.n_components if len(self.pairs) else 0
        return torch.arange(k, device=self.pairs.device).repeat(n_chains, 1)

    def __call__(self, vector: Float[Tensor, "c m"], order: Order) -> Float[Tensor, "c"]:
        """Log density of home's vectors with their components in these orders, in nats."""
        density = self.density
        if not order.shape[1]:
            return density(vector)
        values = density.constrain(vector)
        numbered = self.numbered(values, order)
        likelihood = density.log_likelihood(numbered) + density.log_jacobian(vector, values)
        return likelihood + density.log_prior(numbered)

    @torch.no_grad()
    def moved(
        self, vector: Float[Tensor, "c m"], order: Order, generator: torch.Generator
    ) -> Order:
        """The orders after k pairs were exchanged, by the rule of Metropolis & Hastings."""
        values, chain = self.density.constrain(vector), torch.arange(len(order))
        here = self._log_weight(values, order) if order.shape[1] else vector.new_zeros(len(order))
        for _ in range(order.shape[1]):
            drawn = torch.randint(len(self.pairs), (len(order),), generator=generator)
            pair, other = self.pairs[drawn], order.clone()
            other[chain[:, None], pair] = order[chain[:, None], pair.flip(1)]
            there = self._log_weight(values, other)
            uniform = torch.rand(len(order), generator=generator).to(here)
            taken = uniform.log() < there - here
            order, here = torch.where(taken[:, None], other, order), torch.where(taken, there, here)
        return order

    def drawn(self, vector: Float[Tensor, "c m"], generator: torch.Generator) -> Order:
        """Orders by their probability, given home's vectors."""
        density = self.density
        if not len(self.pairs):
            return self.home(len(vector))
        values = density.constrain(vector)
        numberings = Numberings.about(density, values)
        shares = numberings.log_shares(density, values).exp()
        return numberings.orders[torch.multinomial(shares, 1, generator=generator)[:, 0]]

    def numbered(self, values: dict[str, Tensor], order: Order) -> dict[str, Tensor]:
        """Site values of home's components, in these orders."""
        if not order.shape[1]:
            return values
        return permuted_values(self.density, values, order)

    def _log_weight(self, values: dict[str, Tensor], order: Order) -> Float[Tensor, "c"]:
        """What depends on the numbering: the log prior, and the log probability of labels."""
        density, numbered = self.density, self.numbered(values, order)
        log_prior = density.log_prior(numbered)
        if density.observations.allowed is None:
            return log_prior
        stay = torch.arange(density.model.n_components)[None]
        return log_prior + log_of_labels(density, numbered, stay)[:, 0]
