"""Orders of the components of draws in which they mean the same: four ways to find them.

An order (s, k) says for every draw which of its components takes place j.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..data.checks import shown
from ..data.points import Observations
from ..data.spread import chunks
from ..reduction.pointwise import at_points
from ..reduction.theta import theta_of
from ..running.threads import map_in_threads, one_thread_a_product
from .draws import DRAWS_AT_ONCE, sampled_rows

POINTS = 1000  # most points at which draws are compared
NUMBERS = 40_000_000  # most responsibilities that are held, if that leaves a tenth of the points
SMALLEST = 1e-35  # responsibility: what a point costs at most is 80 nats
TIE = 1e-5  # nats a point; of two orders so close, the one at hand is kept
MOST_ROUNDS = 100

Order = Int[Tensor, "s k"]
Key = str | tuple[str, Any] | Callable[[Mapping[str, Tensor]], Tensor] | None


@dataclass(frozen=True, eq=False)
class Memberships:
    """How every draw divides some of the points among its components.

    Attributes:
        share: responsibilities, float32, shape (s, k, m).
        weight: weights of the points, with the sum of those of all points, float32, shape (m,).
        log_likelihood: of every draw in nats, up to a factor, shape (s,).
        rows: which of the data the points are, shape (m,).
        apart: whether component i must never take place j, shape (k, k).
    """

    share: Float[Tensor, "s k m"]
    weight: Float[Tensor, "m"]
    log_likelihood: Float[Tensor, "s"]
    rows: Int[Tensor, "m"]
    apart: Bool[Tensor, "k k"]

    @property
    def best(self) -> int:
        """The draw of the highest likelihood: the pivot."""
        return int(self.log_likelihood.argmax())

    @property
    def tie(self) -> float:
        """How much less an order must cost in nats for each component that it moves."""
        return TIE * float(self.weight.sum())

    @property
    def unchanged(self) -> Order:
        """The order in which every component stays where it is."""
        s, k, _ = self.share.shape
        return torch.arange(k).expand(s, k)


def memberships(
    family: CovarianceFamily,
    parameters: Parameters,
    observations: Observations,
    classes: Int[Tensor, "k"] | None = None,
) -> Memberships:
    """Responsibilities and log-likelihoods of all draws, in one pass over at most 1000 points."""
    s, k = parameters.log_weights.shape
    rows = sampled_rows(observations, min(POINTS, max(POINTS // 10, NUMBERS // (s * k))))
    points = observations.subset(rows.to(observations.device))
    given = points.sample_weight
    weight = (points.x.new_ones(points.n) if given is None else given).double()
    share = torch.empty(s, k, points.n, dtype=torch.float32)

    def evaluate(draws: slice) -> Float[Tensor, "b"]:
        theta = theta_of(family, parameters[draws], points).with_shared_term()
        found = at_points(points, theta, lambda log_p, part: torch.cat([log_p[:, None], part], 1))
        share[draws] = found[:, 1 : 1 + k].to(share)
        return found[:, 0] @ weight

    with one_thread_a_product():
        parts = map_in_threads(lambda: evaluate, list(chunks(s, DRAWS_AT_ONCE)))
    weight = (weight * (observations.total_weight / weight.sum())).to(share)
    classes = torch.zeros(k, dtype=torch.int64) if classes is None else classes
    return Memberships(share, weight, torch.cat(parts).cpu(), rows, classes[:, None] != classes)


# ---------------------------------------------------------------------- assignment


def costs(held: Memberships, target: Float[Tensor, "k m"]) -> Float[Tensor, "s k k"]:
    """-Σ_n u r_in log t_jn in nats: what it costs to call component i of a draw component j.

    Up to a constant of each draw it is the Kullback-Leibler divergence from r to t.
    """
    s, k, m = held.share.shape
    log_target = target.to(held.share).clamp_min(SMALLEST).log() * held.weight
    return -(held.share.view(s * k, m) @ log_target.T).view(s, k, k)


def cheapest(
    cost: Float[Tensor, "s k k"], stay: Order, tie: float, apart: Bool[Tensor, "k k"]
) -> Order:
    """The order of least cost for every draw.

    Args:
        cost: what it costs that component i takes place j, shape (s, i, j).
        stay: the order that is kept where it is within a tie of the cheapest.
        tie: how much less an order must cost for each component that it moves.
        apart: whether component i must never take place j.
    """
    by_place = cost.mT.clone()  # (s, j, i)
    if apart.any():  # more than any way to assign the rest could save
        large = 2 * cost.shape[1] * (1 + by_place.abs().amax((1, 2), keepdim=True))
        by_place += apart * large
    by_place.scatter_add_(2, stay[..., None], by_place.new_full((*stay.shape, 1), -tie))
    order = by_place.argmin(2)
    everyone = torch.arange(order.shape[1])
    clashes = (order.sort(1).values != everyone).any(1).nonzero()[:, 0]
    for draw, matrix in zip(clashes.tolist(), by_place[clashes].numpy(), strict=True):
        order[draw] = torch.from_numpy(np.asarray(linear_sum_assignment(matrix)[1]))
    return order


def mean_share(held: Memberships, order: Order) -> Float[Tensor, "k m"]:
    """Responsibilities of the components in this order, averaged over the draws."""
    s, k, m = held.share.shape
    which = held.share.new_zeros(s, k, k).scatter_(2, order[..., None], 1.0)  # (s, j, i)
    return which.transpose(0, 1).reshape(k, s * k) @ held.share.view(s * k, m) / s


# ---------------------------------------------------------------------- methods


def stephens(held: Memberships) -> Order:
    """The order that brings the responsibilities closest to their own mean.

    The mean and the order are improved in turn until neither changes, from the order at hand and
    from that closest to the pivot; the better end is taken.

    Source: Stephens (2000), algorithm 2.
    """
    pivot = cheapest(costs(held, held.share[held.best]), held.unchanged, held.tie, held.apart)
    order, cost = _iterated(held, held.unchanged)
    if not pivot.equal(held.unchanged):
        other, other_cost = _iterated(held, pivot)
        if other_cost < cost - held.tie:
            return other
    return order


def _iterated(held: Memberships, order: Order) -> tuple[Order, float]:
    """The fixed point that is reached from an order, and its mean cost in nats."""
    for _ in range(MOST_ROUNDS):
        cost = costs(held, mean_share(held, order))
        before, order = order, cheapest(cost, order, held.tie, held.apart)
        if order.equal(before):
            break
    places = order[:, None]  # cost[s, order[s, j], j]
    return order, float(cost.gather(1, places).double().sum(2).mean())


def ecr(held: Memberships, labels: Int[Tensor, "s m"] | None = None) -> Order:
    """The order in which most points are in the component that they are in under the pivot.

    Args:
        held: what the draws make of the points.
        labels: the component of every point in each draw, -1 for noise; the most probable one
            where None.

    Source: Papastamoulis & Iliopoulos (2010).
    """
    if labels is None:
        hard = (held.share == held.share.amax(1, keepdim=True)).float()  # argmax is slow along k
    else:
        places, count = labels.clamp_min(0)[:, None], (labels >= 0).to(held.share)[:, None]
        hard = torch.zeros_like(held.share).scatter_(1, places, count)
    s, k, m = hard.shape
    shared = (hard.view(s * k, m) @ (hard[held.best] * held.weight).T).view(s, k, k)
    return cheapest(-shared, held.unchanged, held.tie, held.apart)


def pivotal(
    held: Memberships, family: CovarianceFamily, parameters: Parameters, unit: Float[Tensor, "d"]
) -> Order:
    """The order in which the parameters of the components are closest to those of the pivot.

    They are the weight, the means in these units, the logarithms of the standard deviations, and
    the correlations: none depends on the data's own units, and their squared differences are added.

    Source: Marin, Mengersen & Robert (2005), algorithm 2, with units.
    """
    values = _descriptions(family, parameters, unit)
    values = values - values[held.best].mean(0)
    distance = torch.cdist(values, values[held.best].expand_as(values)).square().cpu()
    return cheapest(distance, held.unchanged, TIE, held.apart)


def nearest(
    family: CovarianceFamily, parameters: Parameters, like: Parameters, unit: Float[Tensor, "d"]
) -> Order:
    """The order in which the parameters of the components are closest to those of one mixture.

    Distances are those of `pivotal`; points are not asked for.
    """
    values, target = (_descriptions(family, p, unit) for p in (parameters, like))
    centre, k = target.mean((0, 1)), values.shape[1]
    distance = torch.cdist(values - centre, (target - centre).expand_as(values)).square().cpu()
    apart = torch.zeros(k, k, dtype=torch.bool)
    return cheapest(distance, torch.arange(k).expand(len(values), k), 0.0, apart)


def _descriptions(
    family: CovarianceFamily, parameters: Parameters, unit: Float[Tensor, "d"]
) -> Float[Tensor, "s k q"]:
    """Weight, means, log standard deviations and correlations of every component."""
    k, d = parameters.means.shape[1:]
    below = torch.tril_indices(d, d, -1)
    parts = []
    for factor in parameters.factor.split(DRAWS_AT_ONCE):  # dense matrices of all may be large
        dense = family.dense(factor, d)
        sd = dense.diagonal(dim1=-2, dim2=-1).sqrt()
        correlations = (dense / sd[..., None] / sd[..., None, :])[..., below[0], below[1]]
        parts.append(torch.cat([sd.log(), correlations], -1).expand(-1, k, -1))
    weights = parameters.log_weights.exp()[..., None]
    return torch.cat([weights, parameters.means / unit, torch.cat(parts)], -1)


def ordered(draws: Mapping[str, Tensor], family: CovarianceFamily, by: Key) -> Order:
    """The order in which a number of each component rises.

    Args:
        draws: the sites, each of shape (chain, draw, *site).
        family: the covariance family.
        by: as in `Posterior.relabel`.

    Raises:
        ValueError: if there is no such number.
    """
    shape = draws["weights"].shape
    key = by(draws) if callable(by) else values_of(draws, family, by)
    if not isinstance(key, Tensor) or key.shape != shape:
        got = tuple(key.shape) if isinstance(key, Tensor) else shown(key)
        raise ValueError(f"by must give one number a component, of shape {tuple(shape)}, got {got}")
    return key.flatten(0, 1).sort(dim=1, stable=True).indices.cpu()


def values_of(
    draws: Mapping[str, Tensor], family: CovarianceFamily, by: str | tuple[str, Any] | None
) -> Float[Tensor, "chain draw k"]:
    """One entry of a site for every component: the first, if none is named.

    Args:
        draws: the sites, each of shape (chain, draw, *site).
        family: the covariance family.
        by: a site, or a site and an index into its value of a component; None is the means.

    Raises:
        ValueError: if components have no such site of their own, or there is no such entry.
    """
    pair = by if isinstance(by, tuple) and len(by) == 2 else ("means" if by is None else by, None)
    name, index = pair
    sites = _of_components(draws, family)
    if not isinstance(name, str) or name not in sites:
        raise ValueError(
            "by must be one of the sites that each component has its own value of, "
            f"{', '.join(sites)}; got {shown(name)}"
        )
    values = draws[name]
    shape = tuple(values.shape[3:])
    given = index if isinstance(index, tuple) else (index,)
    place = (0,) * len(shape) if index is None else given
    if not _is_inside(place, shape):
        raise ValueError(f"by must give a place in {name!r} of shape {shape}, got {shown(index)}")
    return values[(..., *place)]


def _of_components(draws: Mapping[str, Tensor], family: CovarianceFamily) -> list[str]:
    """The sites of which each component has a value of its own."""
    k = draws["weights"].shape[2]
    return [
        site
        for site, value in draws.items()
        if not family.shares(site) and value.shape[2:3] == (k,)
    ]


def _is_inside(place: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    return len(place) == len(shape) and all(
        isinstance(i, int | np.integer) and -size <= i < size
        for i, size in zip(place, shape, strict=True)
    )
