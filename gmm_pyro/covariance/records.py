"""The three records that families and the reduction exchange.

Shapes: s sets of parameters (restarts, particles, draws), k components, d features. A family whose
components share one covariance keeps a component axis of length 1 on it, written k|1 below, so
that it broadcasts and stays one leaf for autograd.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

TINY = torch.finfo(torch.float64).tiny  # guards a division by the count of an empty component
LOG_2PI = math.log(2 * math.pi)

ABSENT = 1e-200  # share of a component that only fills its place: no logit of it is ever seen

Sets = slice | list[int] | Tensor  # which of the s sets of a batch


def times(number: Float[Tensor, "*b"], values: Float[Tensor, "*b *value"]) -> Tensor:
    """Values, each times its own number."""
    return number.view(*number.shape, *(1,) * (values.ndim - number.ndim)) * values


def _like(chosen: Bool[Tensor, "s k"], values: Tensor) -> Tensor:
    return chosen.view(*chosen.shape, *(1,) * (values.ndim - 2))


def in_order(values: Float[Tensor, "s k *value"], order: Int[Tensor, "s k"]) -> Tensor:
    """The values of every set, with that of component order[j] in place j."""
    return values[torch.arange(len(order), device=order.device)[:, None], order]


def present(values: Iterable[Tensor | None]) -> tuple[Tensor, ...]:
    """Those that there are."""
    return tuple(value for value in values if value is not None)


@dataclass(frozen=True, eq=False)
class Parameters:
    """s sets of mixture parameters.

    Beside the k components there may be one of noise, whose density is known: all of it that is to
    be found is its weight. The weights of the others are then those among themselves.

    Attributes:
        log_weights: logarithms of the mixture weights, shape (s, k).
        means: shape (s, k, d).
        factor: the family's compact square root of the covariances, shape (s, k|1, *event): lower
            Cholesky factors or standard deviations.
        log_odds: log(w / (1 - w)) of the weight w of the noise, shape (s,); None without noise.
    """

    log_weights: Float[Tensor, "s k"]
    means: Float[Tensor, "s k d"]
    factor: Float[Tensor, "s k1 *event"]
    log_odds: Float[Tensor, "s"] | None = None

    def __getitem__(self, sets: Sets) -> Parameters:
        """The chosen sets."""
        return Parameters(*(value[sets] for value in self.values))

    @property
    def values(self) -> tuple[Tensor, ...]:
        """Those that there are, in their order."""
        return present(vars(self).values())

    @property
    def log_shares(self) -> Float[Tensor, "s k"]:
        """Logarithms of the components' weights among all points, those of noise included."""
        if self.log_odds is None:
            return self.log_weights
        return self.log_weights + logsigmoid(-self.log_odds)[..., None]

    @property
    def log_noise(self) -> Float[Tensor, "s"] | None:
        """Logarithm of the weight of the noise; None without noise."""
        return None if self.log_odds is None else logsigmoid(self.log_odds)

    @classmethod
    def joined(cls, batches: Sequence[Parameters]) -> Parameters:
        """All sets of some batches, one batch after the other."""
        parts = zip(*(b.values for b in batches), strict=True)
        return cls(*map(torch.cat, parts))


@dataclass(frozen=True, eq=False)
class NaturalParameters:
    """One row of natural parameters a component, about a reference point.

    With z = x - reference, the logit of point x under a component is

        log w + log N(x | μ, Σ) = constant + linear · z + <quadratic, z zᵀ>.

    Attributes:
        constant: shape (s, k).
        linear: P (μ - reference), shape (s, k, d), with the precision matrix P = Σ⁻¹.
        quadratic: -P / 2 in the family's compact form, shape (s, k|1, *event).
        noise: log weight of the noise, whose logit is that plus its log density, shape (s,); None
            without noise.
    """

    constant: Float[Tensor, "s k"]
    linear: Float[Tensor, "s k d"]
    quadratic: Float[Tensor, "s k1 *event"]
    noise: Float[Tensor, "s"] | None = None

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """All of them."""
        return present(vars(self).values())

    def __getitem__(self, sets: Sets) -> NaturalParameters:
        """The chosen sets."""
        return NaturalParameters(*(leaf[sets] for leaf in self.leaves))


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
        noise: Σ u r of the noise, shape (s,); None without noise.
    """

    log_norm: Float[Tensor, "s"]
    counts: Float[Tensor, "s k"]
    first: Float[Tensor, "s k d"]
    second: Float[Tensor, "s k1 *event"]
    reference: Float[Tensor, "*sk d"]
    noise: Float[Tensor, "s"] | None = None

    def __getstate__(self) -> dict[str, Tensor | None]:
        """What is pickled: a view would take along all that it is a view of."""
        return {name: None if v is None else v.clone() for name, v in vars(self).items()}

    @property
    def means(self) -> Float[Tensor, "s k d"]:
        """Where the components' points are on average."""
        return self.reference + times(self.counts.clamp_min(TINY).reciprocal(), self.first)

    @property
    def sums(self) -> tuple[Tensor, ...]:
        """The derivatives of `log_norm` by the natural parameters, as `leaves` has them."""
        return present((self.counts, self.first, self.second, self.noise))

    def __getitem__(self, sets: Sets) -> Statistics:
        """The chosen sets."""
        reference = self.reference if self.reference.ndim == 1 else self.reference[sets]
        log_norm, counts, first, second, *noise = (v[sets] for v in (self.log_norm, *self.sums))
        return Statistics(log_norm, counts, first, second, reference, *noise)

    def plus(self, other: Statistics) -> Statistics:
        """Those of these points and others, about the same reference."""
        sums = map(torch.add, (self.log_norm, *self.sums), (other.log_norm, *other.sums))
        log_norm, counts, first, second, *noise = sums
        return Statistics(log_norm, counts, first, second, self.reference, *noise)

    def with_copies(self, absent: Bool[Tensor, "s k"]) -> Statistics:
        """The same with those of the first component, of next to no weight, in some places."""
        small = torch.ones_like(self.counts).masked_fill(absent, ABSENT)

        def copied(values: Tensor) -> Tensor:
            return torch.where(_like(absent, values), times(small, values[:, :1]), values)

        shared = self.second.shape[1] < absent.shape[1]
        second = self.second if shared else copied(self.second)
        counts, first = copied(self.counts), copied(self.first)
        return replace(self, counts=counts, first=first, second=second)

    @classmethod
    def joined(cls, batches: Sequence[Statistics]) -> Statistics:
        """All sets of some batches about the same points, or each about its own."""
        numbers = zip(*((b.log_norm, *b.sums) for b in batches), strict=True)
        log_norm, counts, first, second, *noise = map(torch.cat, numbers)
        reference = batches[0].reference
        if any(b.reference.ndim > 1 for b in batches):
            reference = torch.cat([b.reference.expand(b.first.shape) for b in batches])
        return cls(log_norm, counts, first, second, reference, *noise)
