"""How well components fit the points that are known to come from some of them, in any numbering.

A likelihood with known labels depends on how components are numbered. It is the likelihood without
them times the probability of what is known, and only the latter changes with the numbering:

    log p(x, what is known) = Σ_n log p(x_n) + Σ_n log Σ_j∈S_n r_nj

over the points n of which it is known that their component is in S_n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..covariance.fixed import Fixed
from ..data.allowed import Allowed
from ..data.partitioned import Partitioned
from ..data.points import Observations
from .pointwise import log_density
from .theta import Theta

NUMBERS = 2**22  # of log densities that are held at once
LEAST = -1e300  # gain of what is impossible


@torch.no_grad()
def log_probability_of_labels(
    observations: Observations, theta: Theta, orders: Int[Tensor, "o k"]
) -> Float[Tensor, "s o"]:
    """Log probability in nats of what is known of components, where order[j] is in place j."""
    s, allowed = len(theta.parameters.means), observations.allowed
    total = theta.reference.new_zeros(s, len(orders))
    if allowed is None:
        return total
    places = orders.to(total.device).argsort(1)  # of the components
    images = {
        kind: allowed.table[kind].to(total.device)[places].unique(dim=0, return_inverse=True)
        for kind in _kinds(allowed)
    }
    found = log_shares(observations, theta, {kind: sets for kind, (sets, _) in images.items()})
    for kind, (_, which) in images.items():
        total += found[kind][:, which]
    return total


@torch.no_grad()
def log_shares(
    observations: Observations, theta: Theta, sets: Mapping[int, Bool[Tensor, "t k"]]
) -> dict[int, Float[Tensor, "s t"]]:
    """Σ u log Σ_j r_nj over the points of some kinds, of the components j of each set, in nats.

    It is the difference of log p(x_n, S) and log p(x_n), which loses nothing where r_nj is tiny.
    """
    if isinstance(observations, Partitioned):
        return observations.fold(partial(log_shares, theta=theta, sets=sets), _added)
    allowed, k = observations.allowed, theta.parameters.log_weights.shape[1]
    assert allowed is not None
    tables: list[Tensor] = []
    rows, pairs = [], []
    for kind, some in sets.items():
        own = (allowed.kind == kind).nonzero()[:, 0]
        whole = torch.ones(1, k, dtype=torch.bool, device=some.device)
        first = sum(len(table) for table in tables)
        tables.append(torch.cat([some, whole]))
        rows.append(own.repeat(len(some) + 1))
        pairs.append(torch.arange(first, first + len(some) + 1).repeat_interleave(len(own)))
    if not tables:
        return {}
    index, which, table = torch.cat(rows), torch.cat(pairs).to(allowed.kind), torch.cat(tables)
    total = theta.reference.new_zeros(len(theta.parameters.means), len(table))
    for part in torch.arange(len(index)).split(max(1, NUMBERS // len(total))):
        if not len(part):
            break
        points = replace(observations.subset(index[part]), allowed=Allowed(which[part], table))
        value = log_density(points, theta, torch.float64)
        weight = points.sample_weight
        value = value if weight is None else value * weight.to(value)
        total.index_add_(1, which[part], value.to(total))
    found, first = {}, 0
    for kind, some in sets.items():
        last = first + len(some)
        away = total[:, first:last] - total[:, last, None]
        found[kind], first = away.nan_to_num(nan=0.0), last + 1  # where no component is near
    return found


def _added(
    one: dict[int, Float[Tensor, "s t"]], other: dict[int, Float[Tensor, "s t"]]
) -> dict[int, Float[Tensor, "s t"]]:
    return {kind: value + other[kind] for kind, value in one.items()}


def _kinds(allowed: Allowed) -> list[int]:
    """The kinds of rows of which something is known."""
    return (~allowed.table.all(1)).nonzero()[:, 0].tolist()


@torch.no_grad()
def fitting_numbers(
    observations: Observations, theta: Theta, fixed: Fixed | None = None
) -> Int[Tensor, "s k"]:
    """For each set the order whose component order[j] fits place j, by labels and what is fixed."""
    s, k = theta.parameters.log_weights.shape
    allowed = observations.allowed
    gain = theta.reference.new_zeros(s, k, k)  # component, place
    if fixed is not None:
        gain += observations.total_weight * fixed.gains(theta.parameters)
    if allowed is not None:
        alone = torch.eye(k, dtype=torch.bool, device=gain.device)
        kinds = _kinds(allowed)
        for kind, shares in log_shares(observations, theta, dict.fromkeys(kinds, alone)).items():
            places = allowed.table[kind].to(gain)
            gain += shares[..., None] * places / places.sum()
    gain = gain.nan_to_num(nan=LEAST, neginf=LEAST)
    orders = [linear_sum_assignment(one.T, maximize=True)[1] for one in gain.cpu().numpy()]
    return torch.as_tensor(np.stack(orders), device=gain.device)
