"""How well components fit the points that are known to come from some of them, in any numbering.

A likelihood with known labels depends on how components are numbered. It is the likelihood without
them times the probability of what is known, and only the latter changes with the numbering:

    log p(x, what is known) = Σ_n log p(x_n) + Σ_n log Σ_j∈S_n r_nj

over the points n of which it is known that their component is in S_n.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..covariance.fixed import Fixed
from ..data.points import Observations
from .assignments import NEGLIGIBLE
from .pointwise import at_points
from .theta import Theta

NUMBERS = 2**24  # of responsibilities that are held at once


@torch.no_grad()
def log_probability_of_labels(
    observations: Observations, theta: Theta, orders: Int[Tensor, "o k"]
) -> Float[Tensor, "s o"]:
    """Log probability in nats of what is known of components, where order[j] is in place j.

    A point whose components are all next to impossible counts as if they were at e^-80.
    """
    s, allowed = len(theta.parameters.means), observations.allowed
    total = theta.reference.new_zeros(s, len(orders))
    if allowed is None:
        return total
    places = orders.to(total.device).argsort(1)  # of the components
    for kind in allowed.kind.unique().tolist():
        if not allowed.table[kind].all():
            images, which = (
                allowed.table[kind].to(total.device)[places].unique(dim=0, return_inverse=True)
            )
            total += log_shares(observations, theta, kind, images)[:, which]
    return total


@torch.no_grad()
def log_shares(
    observations: Observations, theta: Theta, kind: int, sets: Bool[Tensor, "t k"]
) -> Float[Tensor, "s t"]:
    """Σ u log Σ_j r_nj over the points of a kind, of the components j of each set, in nats."""
    assert observations.allowed is not None
    rows = (observations.allowed.kind == kind).nonzero()[:, 0]
    among = sets.to(theta.reference)
    total = among.new_zeros(len(theta.parameters.means), len(sets))
    for some in rows.split(
        max(1, NUMBERS // (total.numel() + theta.parameters.log_weights.numel()))
    ):
        part = observations.subset(some).unlabelled

        def pick(_: Tensor, share: Float[Tensor, "s k n"]) -> Float[Tensor, "s t n"]:
            return (among @ share).clamp_min(math.exp(NEGLIGIBLE)).log()

        each = at_points(part, theta, pick)
        weight = part.sample_weight
        total += each.sum(2) if weight is None else each @ weight.to(each)
    return total


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
    alone = torch.eye(k, dtype=torch.bool)
    for kind in [] if allowed is None else allowed.kind.unique().tolist():
        assert allowed is not None
        places = allowed.table[kind].to(gain)
        if not places.all():
            gain += log_shares(observations, theta, kind, alone)[..., None] * places / places.sum()
    orders = [linear_sum_assignment(one.T, maximize=True)[1] for one in gain.cpu().numpy()]
    return torch.as_tensor(np.stack(orders), device=gain.device)
