"""What the draws of a posterior say about the data, whatever their components are called."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data.points import Observations
from ..posterior import Posterior
from ..reduction.assignments import softmax
from ..reduction.sums import reduce
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
    names = [field.name for field in fields(LabelFree)]
    return LabelFree(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def pointwise_log_likelihood(posterior: Posterior) -> Float[np.ndarray, "chain draw n"]:
    """log p(x_n | parameters) in nats for every draw and point."""
    shape = posterior.n_chains, posterior.n_draws, -1
    return quantities(posterior).pointwise.view(shape).cpu().numpy()


def _evaluate(observations: Observations, theta: Theta) -> LabelFree:
    """All quantities in one pass over the data."""
    s = len(theta.parameters.log_weights)
    pointwise, entropy = observations.x.new_empty(2, s, observations.n)
    filled: list[Tensor] = []  # by chunk, in no order

    def assign(logits: Float[Tensor, "s k n"], rows: slice) -> Float[Tensor, "s n"]:
        log_p = softmax(logits, rows)  # the logits are responsibilities now
        pointwise[:, rows] = log_p
        entropy[:, rows] = torch.special.entr(logits).sum(1)
        filled.append((logits == logits.amax(1, keepdim=True)).any(-1))  # argmax takes longer
        return log_p

    log_norm = reduce(observations, theta, assign).log_norm
    if observations.sample_weight is not None:
        entropy = entropy * observations.sample_weight
    n_filled = torch.stack(filled).any(0).double().sum(1)
    return LabelFree(pointwise, log_norm, entropy.double().sum(1), n_filled)
