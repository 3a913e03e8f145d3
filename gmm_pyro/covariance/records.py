"""The three records that families and the reduction exchange.

Shapes: s sets of parameters (restarts, particles, draws), k components, d features. A family whose
components share one covariance keeps a component axis of length 1 on it, written k|1 below, so
that it broadcasts and stays one leaf for autograd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

TINY = torch.finfo(torch.float64).tiny  # guards a division by the count of an empty component
LOG_2PI = math.log(2 * math.pi)

Sets = slice | list[int] | Tensor  # which of the s sets of a batch


def times(number: Float[Tensor, "*b"], values: Float[Tensor, "*b *value"]) -> Tensor:
    """Values, each times its own number."""
    return number.view(*number.shape, *(1,) * (values.ndim - number.ndim)) * values


def in_order(values: Float[Tensor, "s k *value"], order: Int[Tensor, "s k"]) -> Tensor:
    """The values of every set, with that of component order[j] in place j."""
    return values[torch.arange(len(order), device=order.device)[:, None], order]


@dataclass(frozen=True, eq=False)
class Parameters:
    """s sets of mixture parameters.

    Attributes:
        log_weights: logarithms of the mixture weights, shape (s, k).
        means: shape (s, k, d).
        factor: the family's compact square root of the covariances, shape (s, k|1, *event): lower
            Cholesky factors or standard deviations.
    """

    log_weights: Float[Tensor, "s k"]
    means: Float[Tensor, "s k d"]
    factor: Float[Tensor, "s k1 *event"]

    def __getitem__(self, sets: Sets) -> Parameters:
        """The chosen sets."""
        return Parameters(self.log_weights[sets], self.means[sets], self.factor[sets])

    @classmethod
    def joined(cls, batches: Sequence[Parameters]) -> Parameters:
        """All sets of some batches, one batch after the other."""
        parts = zip(*(vars(batch).values() for batch in batches), strict=True)
        return cls(*(torch.cat(values) for values in parts))


@dataclass(frozen=True, eq=False)
class NaturalParameters:
    """One row of natural parameters a component, about a reference point.

    With z = x - reference, the logit of point x under a component is

        log w + log N(x | μ, Σ) = constant + linear · z + <quadratic, z zᵀ>.

    Attributes:
        constant: shape (s, k).
        linear: P (μ - reference), shape (s, k, d), with the precision matrix P = Σ⁻¹.
        quadratic: -P / 2 in the family's compact form, shape (s, k|1, *event).
    """

    constant: Float[Tensor, "s k"]
    linear: Float[Tensor, "s k d"]
    quadratic: Float[Tensor, "s k1 *event"]

    def __getitem__(self, sets: Sets) -> NaturalParameters:
        """The chosen sets."""
        return NaturalParameters(self.constant[sets], self.linear[sets], self.quadratic[sets])


@dataclass(frozen=True, eq=False)
class Statistics:
    """Expected sufficient statistics of s sets: what one pass over the data leaves.

    With z = x - reference, responsibilities r and sample weights u:

    Attributes:
        log_norm: Σ u log p(x), the log-likelihood in nats, shape (s,).
        counts: Σ u r, shape (s, k).
        first: Σ u r z, shape (s, k, d).
        second: Σ u r z zᵀ in the family's compact form, shape (s, k|1, *event).
        reference: the points that the moments are about, shape (d,) or (s, k, d).
    """

    log_norm: Float[Tensor, "s"]
    counts: Float[Tensor, "s k"]
    first: Float[Tensor, "s k d"]
    second: Float[Tensor, "s k1 *event"]
    reference: Float[Tensor, "*sk d"]

    @property
    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """The derivatives of `log_norm` by constant, linear and quadratic natural parameters."""
        return self.counts, self.first, self.second

    def __getitem__(self, sets: Sets) -> Statistics:
        """The chosen sets."""
        reference = self.reference if self.reference.ndim == 1 else self.reference[sets]
        sums = (self.log_norm[sets], self.counts[sets], self.first[sets], self.second[sets])
        return Statistics(*sums, reference)

    @classmethod
    def joined(cls, batches: Sequence[Statistics]) -> Statistics:
        """All sets of some batches about the same points, or each about its own."""
        numbers = zip(*((b.log_norm, *b.sums) for b in batches), strict=True)
        log_norm, counts, first, second = map(torch.cat, numbers)
        reference = batches[0].reference
        if any(b.reference.ndim > 1 for b in batches):
            reference = torch.cat([b.reference.expand(b.first.shape) for b in batches])
        return cls(log_norm, counts, first, second, reference)
