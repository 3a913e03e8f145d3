"""Two points of every chain, whose component is split or whose components are merged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...covariance import Parameters, Statistics
from ...model.normal_wishart import Components


@dataclass(frozen=True, eq=False)
class Pair:
    """Two points of every chain, and the points that share a component with one of them.

    Attributes:
        points: shape (s, 2).
        own: their components, shape (s, 2).
        members: shape (s, n).
    """

    points: Int[Tensor, "s 2"]
    own: Int[Tensor, "s 2"]
    members: Bool[Tensor, "s n"]

    @classmethod
    def of(cls, points: Int[Tensor, "s 2"], labels: Int[Tensor, "s n"]) -> Pair:
        """The one of these points."""
        own = labels.gather(1, points)
        return cls(points, own, (labels == own[:, :1]) | (labels == own[:, 1:]))

    @property
    def together(self) -> Bool[Tensor, "s"]:
        """Whether they are in one component, which may be split."""
        return self.own[:, 0] == self.own[:, 1]

    def parted(self, second: Bool[Tensor, "s n"]) -> Bool[Tensor, "s n"]:
        """Which members go with the second point: it does, and the first does not."""
        sides = torch.tensor([False, True], device=second.device).expand(len(second), 2)
        return second.scatter(1, self.points, sides) & self.members


@dataclass(frozen=True, eq=False)
class Split:
    """Two components in the place of one, from a launch that knows nothing of the present one.

    Attributes:
        components: of every chain.
        log_odds: of each point to go with the second one.
        log_density: of the components, in nats, where they are a part of the proposal; else 0.
    """

    components: Components
    log_odds: Float[Tensor, "s n"]
    log_density: Float[Tensor, "s"] | float = 0.0


# ---------------------------------------------------------------------- small parts


def log_probability(
    log_odds: Float[Tensor, "s n"], second: Bool[Tensor, "s n"], pair: Pair
) -> Float[Tensor, "s"]:
    """Log probability in nats that the members part so, but for the two points."""
    signed = torch.where(second, log_odds, -log_odds)
    free = pair.members & ~torch.zeros_like(pair.members).scatter(1, pair.points, value=True)
    return torch.nn.functional.logsigmoid(signed).where(free, 0.0).sum(1)


def bernoulli(log_odds: Float[Tensor, "s n"], generator: torch.Generator) -> Bool[Tensor, "s n"]:
    """One draw of each."""
    like = log_odds
    uniform = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    return uniform < log_odds.sigmoid()


def components_at(p: Parameters, places: Int[Tensor, "s c"]) -> Components:
    """Means and factors of some components of every chain."""
    rows = torch.arange(len(places), device=places.device)[:, None]
    return Components(p.means[rows, places], p.factor[rows, places])


def _rows(chosen: Bool[Tensor, "s"], values: Tensor) -> Bool[Tensor, "s *1"]:
    return chosen.view(-1, *(1,) * (values.ndim - 1))


def components_where(chosen: Bool[Tensor, "s"], one: Components, other: Components) -> Components:
    """Those of the one in chosen chains, and of the other elsewhere."""
    return Components(
        torch.where(_rows(chosen, one.means), one.means, other.means),
        torch.where(_rows(chosen, one.factor), one.factor, other.factor),
    )


def where(chosen: Bool[Tensor, "s"], one: Parameters, other: Parameters) -> Parameters:
    """The one's means and factors in chosen chains."""
    if one is other:
        return other
    return replace(
        other,
        means=torch.where(_rows(chosen, one.means), one.means, other.means),
        factor=torch.where(_rows(chosen, one.factor), one.factor, other.factor),
    )


def statistics_where(chosen: Bool[Tensor, "s"], one: Statistics, other: Statistics) -> Statistics:
    """The one's in chosen chains, both about one point."""
    first = torch.where(_rows(chosen, one.first), one.first, other.first)
    second = torch.where(_rows(chosen, one.second), one.second, other.second)
    counts = torch.where(_rows(chosen, one.counts), one.counts, other.counts)
    return replace(other, counts=counts, first=first, second=second)


def relabelled(
    labels: Int[Tensor, "s n"],
    taken: Bool[Tensor, "s"],
    pair: Pair,
    second: Bool[Tensor, "s n"],
    places: Int[Tensor, "s 2"],
) -> Int[Tensor, "s n"]:
    """Components of all points after the moves that are taken."""
    side = places[:, :1].expand_as(labels)
    side = torch.where(second & pair.together[:, None], places[:, 1:], side)
    return torch.where(pair.members & taken[:, None], side, labels)
