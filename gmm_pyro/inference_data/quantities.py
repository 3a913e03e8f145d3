"""What the draws of a posterior say about the data, whatever their components are called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data.points import Observations
from ..posterior import Posterior
from ..reduction.pointwise import at_points
from ..reduction.theta import Theta, theta_of
from ..running.threads import one_thread_a_product

DRAWS_AT_ONCE = 256  # parameter sets in one pass over the data, at most
NUMBERS_AT_ONCE = 1 << 23  # that a pass over the data leaves, if these are many points


@dataclass(frozen=True, eq=False)
class LabelFree:
    """Of s draws and n points.

    Attributes:
        pointwise: log p(x_n | parameters) in nats, shape (s, n).
        log_likelihood: their sum, times sample weights if any, shape (s,).
        entropy: of the assignment, in nats: the sum over the points, with their sample weights, of
            the entropy of their responsibilities, shape (s,).
        filled_components: number of components that are the most probable one of a point, shape
            (s,); in floating point, since ArviZ cannot draw whole numbers that are all the same.
    """

    pointwise: Float[Tensor, "s n"]
    log_likelihood: Float[Tensor, "s"]
    entropy: Float[Tensor, "s"]
    filled_components: Float[Tensor, "s"]


def quantities(posterior: Posterior) -> LabelFree:
    """The label-invariant quantities of all draws, chain after chain."""
    family, observations = posterior.family, posterior.observations
    parameters = posterior.parameters()
    at_once = max(1, min(DRAWS_AT_ONCE, NUMBERS_AT_ONCE // observations.n))
    with one_thread_a_product():
        parts = [
            _evaluate(
                observations, theta_of(family, parameters[rows], observations).with_shared_term()
            )
            for rows in torch.arange(len(parameters.means)).split(at_once)
        ]
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return LabelFree(*map(torch.cat, columns))


def pointwise_log_likelihood(posterior: Posterior) -> Float[np.ndarray, "chain draw n"]:
    """log p(x_n | parameters) in nats for every draw and point."""
    shape = posterior.n_chains, posterior.n_draws, -1
    return quantities(posterior).pointwise.view(shape).cpu().numpy()


def _evaluate(observations: Observations, theta: Theta) -> LabelFree:
    """All quantities in one pass over the data."""

    def pick(log_p: Float[Tensor, "s n"], share: Float[Tensor, "s k n"]) -> Float[Tensor, "3 s n"]:
        label = share.argmax(1).to(share)
        return torch.stack([log_p, torch.special.entr(share).sum(1), label])

    pointwise, entropy, label = at_points(observations, theta, pick)
    weight = observations.sample_weight
    weight = pointwise.new_ones(observations.n) if weight is None else weight.to(pointwise)
    s, k = theta.parameters.log_weights.shape
    filled = weight.new_zeros(s, k + 1).scatter_(1, label.long(), 1.0)[:, :k]  # the last is noise
    return LabelFree(
        pointwise.to(observations.x), pointwise @ weight, entropy @ weight, filled.sum(1)
    )
