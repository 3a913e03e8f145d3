"""Steps on a part of the points at a time, with a memory of what all parts have said.

Of every part its expected statistics are kept. A part that is looked at again gives new ones, which
take the place of its old ones in the sum over all, and q is updated from that. With the entropy of
each part's q(z),

    H_b = Σ log Σ_k exp(logits) - <Θ, statistics of the part>        Θ being what they were made at

the bound is exact at any time, Σ_b H_b + <Θ, statistics of all> - KL, and no update lowers it.

Source: Hughes & Sudderth (2013), "Memoized online variational inference for Dirichlet process
mixture models".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import NaturalParameters, Statistics
from ...data.points import Observations
from ...reduction.sums import about, reduce
from ...reduction.theta import Theta, theta_of
from .approximation import Expected, Factors, renumbered
from .ascent import Ascent


@dataclass(frozen=True, eq=False)
class Memory:
    """q of one set, and what all parts of the points have said.

    Attributes:
        factors: q, but for q(z).
        parts: expected statistics of each part, about the same points.
        entropies: of q(z) in each part, in nats, shape (1,).
        total: the sum of the statistics.
        tight: whether they are about points near the components' means, for their digits.
        bound: in nats, shape (1,).
    """

    factors: Factors
    parts: tuple[Statistics, ...]
    entropies: tuple[Float[Tensor, "1"], ...]
    total: Statistics
    tight: bool
    bound: Float[Tensor, "1"]

    @property
    def counts(self) -> Float[Tensor, "1 k"]:
        """Expected numbers of points of the components."""
        return self.total.counts


@dataclass(frozen=True, eq=False)
class Batches:
    """What makes passes over the points, a part at a time.

    Attributes:
        ascent: of all points.
        parts: the points of each, when it is called for.
    """

    ascent: Ascent
    parts: Sequence[Callable[[], Observations]]

    @classmethod
    def of(cls, ascent: Ascent, size: int, generator: torch.Generator) -> Batches:
        """Parts of so many random points."""
        return cls(ascent, ascent.observations.shared_out(size, generator))

    def begun(self, factors: Factors) -> Memory:
        """What all parts say beside the same factors; a full step's q(z)."""
        expected = self.ascent.prior.expected(factors)
        theta = self._theta(expected)
        reference = theta.parameters.means if theta.centred else self.ascent.observations.origin
        found = [self._part(part(), theta, reference) for part in self.parts]
        parts, entropies = (tuple(some) for some in zip(*found, strict=True))
        total = _sum(parts)
        bound = self._bound(expected, total, entropies)
        return Memory(factors, parts, entropies, total, theta.centred, bound)

    def passed(self, memory: Memory) -> Memory:
        """After a pass: an update of all factors before each part, and one after the last."""
        prior, memory = self.ascent.prior, self._in_order(memory)
        factors, total = memory.factors, memory.total
        parts, entropies = list(memory.parts), list(memory.entropies)
        for i, part in enumerate(self.parts):
            factors = prior.given(total, factors)
            theta = self._theta(prior.expected(factors))
            if theta.centred and not memory.tight:  # moments about the centre would lose digits
                return self.begun(factors)
            parts[i], entropies[i] = self._part(part(), theta, total.reference)
            total = _sum(parts)
        factors = prior.given(total, factors)
        bound = self._bound(prior.expected(factors), total, tuple(entropies))
        return Memory(factors, tuple(parts), tuple(entropies), total, memory.tight, bound)

    def _in_order(self, memory: Memory) -> Memory:
        """With components numbered as the weights' prior holds likeliest."""
        prior = self.ascent.prior
        order = prior.weights.best_order(memory.total.counts, memory.factors.weights)
        if order is None or not self.ascent.renumber:
            return memory
        total, factors = prior.in_best_order(memory.total, memory.factors)
        parts = tuple(renumbered(prior.family, part, order) for part in memory.parts)
        return replace(memory, factors=factors, parts=parts, total=total)

    def _theta(self, expected: Expected) -> Theta:
        ascent = self.ascent
        return theta_of(ascent.prior.family, expected.parameters, ascent.observations)

    def _part(
        self, some: Observations, theta: Theta, reference: Float[Tensor, "*sk d"]
    ) -> tuple[Statistics, Float[Tensor, "1"]]:
        """Statistics of a part about these points, and the entropy of its q(z)."""
        family = self.ascent.prior.family
        if reference.ndim > 1:
            theta = Theta.about_means(family, theta.parameters, reference)
        found = reduce(some, theta)
        entropy = found.log_norm - product(theta.natural, found)
        return about(family, found, reference) if reference.ndim == 1 else found, entropy

    def _bound(
        self,
        expected: Expected,
        total: Statistics,
        entropies: tuple[Float[Tensor, "1"], ...],
    ) -> Float[Tensor, "1"]:
        """Exact, whatever the parts' q(z) were made at."""
        ascent = self.ascent
        natural = ascent.prior.family.natural(expected.parameters, total.reference)
        left_out = expected.left_out * ascent.observations.total_weight
        of_points = torch.stack(entropies).sum(0) + product(natural, total) + left_out
        return of_points - expected.divergence


def product(natural: NaturalParameters, statistics: Statistics) -> Float[Tensor, "s"]:
    """<Θ, statistics>: the expected logarithm of the joint density of points and components."""
    pairs = zip(natural.leaves, statistics.sums, strict=True)
    return torch.stack([(a * b).reshape(len(a), -1).sum(1) for a, b in pairs]).sum(0)


def _sum(parts: tuple[Statistics, ...] | list[Statistics]) -> Statistics:
    """Of statistics about the same points."""
    first = parts[0]
    sums = [torch.stack(values).sum(0) for values in zip(*(p.sums for p in parts), strict=True)]
    log_norm = torch.stack([part.log_norm for part in parts]).sum(0)
    counts, moments, squares, *noise = sums
    return Statistics(log_norm, counts, moments, squares, first.reference, *noise)
