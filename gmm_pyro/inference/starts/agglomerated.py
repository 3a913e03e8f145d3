"""Starts by agglomeration, which mclust begins with: the same in every run, whatever the seed."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ...agglomeration.criteria import CRITERIA
from ...agglomeration.growing import MOST, grow
from ...data.points import Observations
from ...reduction.assignments import GivenLabels


def agglomeration(
    sample: Observations, unit: Float[Tensor, "d"], k: int, starts: range, seed: int
) -> GivenLabels:
    """Clusters by the cheapest merges, by the criteria VVV, VII and EII in turn.

    Nothing is drawn, unless there are more than 2,000 points, and no more than three differ.
    """
    del unit
    labels = {}
    for number in sorted({i % len(CRITERIA) for i in starts}):
        tree = grow(sample, CRITERIA[number], "svd", seed, most=max(MOST, k))
        labels[number] = tree.labels(min(k, len(tree.rows))).to(sample.x.device)
    return GivenLabels(torch.stack([labels[i % len(CRITERIA)] for i in starts]))
