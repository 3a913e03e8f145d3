"""Starts that agree with what is known of the points' components."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import one_hot

from ...covariance.records import TINY
from ...data.points import Observations
from ...reduction.assignments import Given, GivenLabels


def as_known(assign: Given | GivenLabels, sample: Observations, k: int) -> Given:
    """Responsibilities that agree with what is known of the points' components.

    Clusters are numbered as the points with labels have it, and these go to where they belong.
    """
    assert sample.allowed is not None
    possible = sample.allowed.table[sample.allowed.kind].T.to(sample.origin)
    even = possible / possible.sum(0)
    if isinstance(assign, Given):
        share = assign.responsibilities.to(even)
    else:
        share = one_hot(assign.labels, k).to(even).transpose(1, 2)
    gain = (share * sample.weights * sample.allowed.known) @ even.T
    orders = [linear_sum_assignment(one.T, maximize=True)[1] for one in gain.cpu().numpy()]
    order = torch.as_tensor(np.stack(orders), device=share.device)
    share = share.gather(1, order[..., None].expand(share.shape)) * possible
    total = share.sum(1, keepdim=True)
    return Given(torch.where(total > 0, share / total.clamp_min(TINY), even).to(sample.x))
