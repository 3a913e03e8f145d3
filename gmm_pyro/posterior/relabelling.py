"""Label switching: draws whose components are put in one order, and what that does to them.

A sampler may number the components anew in every draw, since their likelihood does not depend on
it. Relabelling is a permutation of each draw, and nothing else: the density of every draw stays
as it is.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..covariance.records import in_order
from ..data.arrays import array_of, classes, whole_numbers
from ..data.checks import check_choice
from ..data.features import places
from ..mixture.value import GaussianMixture
from .alignment import (
    Key,
    Memberships,
    Order,
    cheapest,
    costs,
    ecr,
    mean_share,
    memberships,
    ordered,
    pivotal,
    stephens,
)
from .record import Draws

Drawn = TypeVar("Drawn", bound=Draws)

ALIGNMENTS = ("stephens", "ecr", "pivot", "ordered")
AMBIGUOUS = math.log(19)  # nats: the labelling has at most 95 % against one with two exchanged


def relabelled(posterior: Drawn, method: str, by: Key, like: Any, within: Any) -> Drawn:
    """The posterior with its components aligned; see `Posterior.relabel`."""
    _check(method, by, like, within)
    if "n_components" in posterior.draws:
        raise ValueError(
            "these draws have different numbers of components, which cannot be numbered alike: "
            "posterior.of_filled(k) are those with k that have points, aligned"
        )
    classes = _classes(posterior, within)
    shape = posterior.n_chains, posterior.n_draws, posterior.n_components
    if not posterior.renumbers and len(classes.unique()) < shape[-1]:
        raise ValueError(
            "the components of these draws cannot be numbered otherwise: it is not known what "
            "becomes of the sites of the prior program then. Leave them out, by "
            "Posterior(draws, family, observations) of the mixture's own"
        )
    if len(classes.unique()) == shape[-1]:  # nothing may be exchanged
        return replace(permuted(posterior, torch.arange(shape[-1]).expand(shape)), ambiguous=0.0)
    held = memberships(posterior.family, posterior.parameters(), posterior.observations, classes)
    if method == "ordered":
        order = ordered(posterior.draws, posterior.family, by)
    else:
        order = _aligned(posterior, held, method)
        order = order[:, order[held.best].argsort()]  # numbered as the pivot is
    if like is not None:
        order = order[:, _matched(posterior, held, order, like)]
    return replace(
        permuted(posterior, order.reshape(shape)), ambiguous=ambiguous_share(held, order)
    )


def numbered_as(posterior: Drawn, mixture: GaussianMixture) -> Drawn:
    """The posterior with the components of each draw numbered as those of a mixture.

    Each draw is matched with the mixture by itself, by the Kullback-Leibler divergence of its
    responsibilities from the mixture's: draws that vary about one estimate have no other pivot.
    """
    held = memberships(posterior.family, posterior.parameters(), posterior.observations)
    target = _target(posterior, held.rows, mixture)
    order = cheapest(costs(held, target), held.unchanged, held.tie, held.apart)
    shape = posterior.n_chains, posterior.n_draws, posterior.n_components
    return replace(
        permuted(posterior, order.reshape(shape)), ambiguous=ambiguous_share(held, order)
    )


def _check(method: str, by: Key, like: Any, within: Any) -> None:
    check_choice("method", method, ALIGNMENTS)
    if method != "ordered" and by is not None:
        raise ValueError(f"by goes with method='ordered' only, got it with {method!r}")
    for name, value in (("like", like), ("within", within)):
        if method == "ordered" and value is not None:
            raise ValueError(f"{name} does not go with {method=}, which numbers the components")


def _classes(posterior: Draws, within: Any) -> Int[Tensor, "k"]:
    """The class of every component, by numbers."""
    k = posterior.n_components
    if within is None:
        return torch.zeros(k, dtype=torch.int64)
    labels = array_of(within, "within", f"{k} class labels")
    if labels.shape != (k,):
        raise ValueError(f"within must hold {k} class labels, got shape {labels.shape}")
    return torch.as_tensor(np.unique(classes(labels, "within"), return_inverse=True)[1])


def _aligned(posterior: Draws, held: Memberships, method: str) -> Order:
    """The order of a method that compares draws with each other."""
    if method == "stephens":
        return stephens(held)
    if method == "ecr":
        return ecr(held, _labels(posterior, held.rows))
    return pivotal(held, posterior.family, posterior.parameters(), posterior.observations.scale)


def _labels(posterior: Draws, rows: Int[Tensor, "m"]) -> Int[Tensor, "s m"] | None:
    """The allocations of these points, if they were kept for all draws."""
    every, kept = torch.arange(posterior.n_draws), posterior.kept
    if posterior.allocations is None or kept is None or not kept.cpu().equal(every):
        return None
    return posterior.allocations[:, :, rows].flatten(0, 1).long().cpu()


def _matched(posterior: Draws, held: Memberships, order: Order, like: Any) -> Int[Tensor, "k"]:
    """Which aligned component is closest to each of those of `like`, matched one to one."""
    share = mean_share(held, order)
    target = _target(posterior, held.rows, like).to(share)
    one = replace(held, share=share[None].contiguous())
    cost = costs(one, target)
    return cheapest(cost, one.unchanged, 0.0, one.apart)[0]


def _target(posterior: Draws, rows: Int[Tensor, "m"], like: Any) -> Float[Tensor, "k m"]:
    """Responsibilities of what the components are to be numbered as."""
    k, data = posterior.n_components, posterior.observations
    if isinstance(like, GaussianMixture):
        if like.means.shape != (k, data.d):
            raise ValueError(
                f"like must have {k} components and {data.d} features, got "
                f"{like.n_components} and {like.n_features}"
            )
        places(data.feature_names, like.feature_names, "like", "feature")  # refuses others
        like = like.in_order_of(data.feature_names)
        return like.responsibilities(data.subset(rows.to(data.device))).T.cpu()
    wanted = f"a GaussianMixture or {data.n} integer labels"
    labels = torch.from_numpy(whole_numbers(like, "like", wanted))
    if len(labels) != data.n:
        raise ValueError(f"like must be {wanted}, got {len(labels)} of them")
    if labels.min() < 0 or labels.max() >= k:
        low, high = int(labels.min()), int(labels.max())
        raise ValueError(f"like must hold labels from 0 to {k - 1}, got {low} to {high}")
    return torch.nn.functional.one_hot(labels[rows], k).T


# ---------------------------------------------------------------------- permutation


def permuted(posterior: Drawn, order: Int[Tensor, "chain draw k"]) -> Drawn:
    """The posterior with component order[..., j] of every draw in place j."""
    draws = {
        name: _taken(values, order, posterior.component_axis(name))
        for name, values in posterior.draws.items()
    }
    before, allocations = posterior.permutation, _renamed(posterior, order.argsort(-1))
    permutation = order if before is None else _taken(before.to(order.device), order, 0)
    return replace(posterior, draws=draws, permutation=permutation, allocations=allocations)


def _taken(
    values: Float[Tensor, "chain draw *site"], order: Int[Tensor, "chain draw k"], axis: int | None
) -> Float[Tensor, "chain draw *site"]:
    """The values of every draw, in its order along an axis; as they are where there is none."""
    if axis is None:
        return values
    place = 2 + axis
    flat = values.movedim(place, 2).flatten(0, 1)
    flat = in_order(flat, order.flatten(0, 1).to(values.device))
    return flat.unflatten(0, order.shape[:2]).movedim(2, place)


def _renamed(
    posterior: Draws, names: Int[Tensor, "chain draw k"]
) -> Int[Tensor, "chain kept n"] | None:
    """The allocations, where component i of a draw is now called names[..., i]."""
    labels, kept = posterior.allocations, posterior.kept
    if labels is None:
        return None
    names = names if kept is None else names[:, kept.to(names.device)]
    found = names.to(labels.device).gather(2, labels.long().clamp_min(0)).to(labels.dtype)
    return torch.where(labels < 0, labels, found)  # noise has no name


def raw(posterior: Drawn) -> Drawn:
    """The sampler's own draws; see `Posterior.raw`."""
    if posterior.permutation is None:
        return posterior
    back = permuted(posterior, posterior.permutation.argsort(-1))
    return replace(back, permutation=None, ambiguous=None)


# ---------------------------------------------------------------------- how sure it is


def ambiguous_share(held: Memberships, order: Order) -> float:
    """Share of the draws whose labelling is ambiguous; see `Posterior.ambiguous`."""
    k = order.shape[1]
    if k == 1:
        return 0.0
    cost = costs(held, mean_share(held, order))
    cost = cost.gather(1, order[..., None].expand_as(cost)).double()  # (s, component, place)
    own = cost.diagonal(dim1=1, dim2=2)
    exchanged = cost + cost.mT - own[:, :, None] - own[:, None]
    first, second = torch.triu_indices(k, k, 1)
    margin = exchanged[:, first, second].masked_fill(held.apart[first, second], torch.inf).amin(1)
    return float((margin <= AMBIGUOUS).double().mean())
