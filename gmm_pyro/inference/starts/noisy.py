"""Starts of mixtures with a component of noise."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from ...covariance import Parameters
from ...data.points import Observations
from ...reduction.assignments import Assignment, Given, GivenLabels
from ...reduction.background import NOISE

SHARE = 0.1  # of the points, that are noise where a start does not say


def assigned(labels: Int[Tensor, "1 n"], k: int) -> Given | GivenLabels:
    """Labels from 0 to k - 1 as an assignment, and -1 where points are noise."""
    if bool((labels != NOISE).all()):
        return GivenLabels(labels)
    components = torch.arange(k, device=labels.device)
    return Given((labels[:, None] == components[:, None]).double())


def as_noisy(
    p: Parameters, observations: Observations, assign: Assignment | None = None
) -> Parameters:
    """The parameters with a weight of the noise, if the data know of any, and else without one.

    Args:
        p: what a start gives.
        observations: the data.
        assign: the assignment that it is from, if there is one: points that are in no component of
            it are noise.
    """
    if observations.log_noise is None:
        return replace(p, log_odds=None)
    if p.log_odds is not None and bool(p.log_odds.isfinite().all()):
        return p  # a weight of zero or one would stay for ever
    share = p.means.new_full((len(p.means),), SHARE)
    if isinstance(assign, Given):
        left = 1 - assign.responsibilities.sum(1).to(share)
        held = (left @ observations.weights) / observations.total_weight
        share = torch.where(held > 0, held, share)
    return replace(p, log_odds=share.logit())
