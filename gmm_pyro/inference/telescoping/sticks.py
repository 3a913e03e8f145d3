"""Weights of a Dirichlet process whose stick ends, given how many points each component has.

Components have places on the stick, and change them by the rule of Metropolis & Hastings: else a
chain would stay in the order that it began with.

Source: Ishwaran & James (2001), §5.2; Papaspiliopoulos & Roberts (2008), §3.4.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance.records import TINY
from ...model.hierarchy import Hierarchy, beyond
from ...model.unknown_sites import LOG_TINY
from .sizes import draw_concentration
from .state import Assigned, in_new_order


def draw_sticks(
    hierarchy: Hierarchy,
    counts: Float[Tensor, "s k"],
    concentration: Float[Tensor, "s"],
    generator: torch.Generator,
) -> tuple[Float[Tensor, "s"], Float[Tensor, "s k"]]:
    """Concentrations, and logarithms of weights, given the points of each component."""
    if hierarchy.concentration.is_random:
        concentration = draw_concentration(
            hierarchy, lambda alpha: hierarchy.log_labels(counts, alpha), concentration, generator
        )
    own = torch._standard_gamma(1 + counts, generator)
    rest = torch._standard_gamma(concentration[:, None] + beyond(counts), generator)
    log_total = (own + rest).clamp_min(TINY).log()
    log_taken = own.clamp_min(TINY).log() - log_total
    log_left = (rest.clamp_min(TINY).log() - log_total)[:, :-1].cumsum(1)
    log_taken[:, -1] = 0.0  # the last one takes the rest
    log_left = torch.cat([torch.zeros_like(log_taken[:, :1]), log_left], 1)
    return concentration, (log_taken + log_left).clamp_min(LOG_TINY)


def exchanged(hierarchy: Hierarchy, found: Assigned, generator: torch.Generator) -> Assigned:
    """The same after pairs of components may have changed their places, as many as there are."""
    counts, concentration = found.statistics.counts, found.state.concentration
    s, k = counts.shape
    order = torch.arange(k, device=counts.device).repeat(s, 1)
    if k == 1:
        return found
    here = hierarchy.log_labels(counts, concentration)
    for _ in range(k):
        pair = torch.rand(s, k, generator=generator, device=counts.device).argsort(1)[:, :2]
        other = order.scatter(1, pair, order.gather(1, pair.flip(1)))
        there = hierarchy.log_labels(counts.gather(1, other), concentration)
        uniform = torch.rand(s, generator=generator, dtype=here.dtype, device=here.device)
        taken = uniform.log() < there - here
        order, here = torch.where(taken[:, None], other, order), torch.where(taken, there, here)
    family, labels = hierarchy.components.family, found.labels
    if labels is not None:
        labels = order.argsort(1).gather(1, labels.clamp_min(0)).where(labels >= 0, labels)
    state = replace(found.state, parameters=family.permuted(found.state.parameters, order))
    return Assigned(state, in_new_order(family, found.statistics, order), labels)
