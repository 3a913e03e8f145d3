"""Whether the probabilities of clusters are right: proper scores, and calibration."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...datasets import OUTLIER
from .outcome import Outcome

SMALLEST = torch.finfo(torch.float64).eps  # probability that a log takes, as scikit-learn has it
BINS = 10  # of sureness, of equal widths


def of_probabilities(outcome: Outcome) -> dict[str, float]:
    """Scores of the probability of each point's class; outliers do not count.

    Clusters are matched one to one to the classes whose points give them the most probability. What
    a cluster without a class has is probability of no class, and a class without a cluster has
    none.
    """
    found, true = outcome.answer.probabilities, outcome.classes
    if found is None or true is None:
        return {}
    known = true != OUTLIER
    weight = outcome.data.sample_weight
    weight = torch.ones(len(true), dtype=torch.float64) if weight is None else weight.double()
    share = weight[known] / weight[known].sum()
    classes = true[known].unique(return_inverse=True)[1]
    matched = in_order_of_classes(found[known].cpu().double(), classes, share)
    return {
        "log_score": log_score(matched, classes, share),
        "brier": brier(matched, classes, share),
        "calibration_error": calibration_error(matched, classes, share),
    }


def in_order_of_classes(
    found: Float[Tensor, "n k"], classes: Int[Tensor, "n"], share: Float[Tensor, "n"]
) -> Float[Tensor, "n m"]:
    """Columns in the order of the classes that they are matched to; those without one follow.

    Args:
        found: probabilities of k clusters.
        classes: class of each point, from 0 to c - 1.
        share: of each point in all; they sum to 1.

    Returns:
        Probabilities of m = max(k, c) classes.
    """
    from scipy.optimize import linear_sum_assignment

    c, k = int(classes.max()) + 1, found.shape[1]
    wide = torch.nn.functional.pad(found, (0, max(0, c - k)))
    table = wide.new_zeros(c, wide.shape[1]).index_add_(0, classes, share[:, None] * wide)
    _, first = linear_sum_assignment(table.numpy(), maximize=True)
    rest = [j for j in range(wide.shape[1]) if j not in set(first.tolist())]
    return wide[:, [*first.tolist(), *rest]]


def log_score(
    found: Float[Tensor, "n m"], classes: Int[Tensor, "n"], share: Float[Tensor, "n"]
) -> float:
    """Mean of -log of the probability of the right class, in nats (Good 1952)."""
    right = found.gather(1, classes[:, None])[:, 0].clamp(min=SMALLEST)
    return float(-(share * right.log()).sum())


def brier(
    found: Float[Tensor, "n m"], classes: Int[Tensor, "n"], share: Float[Tensor, "n"]
) -> float:
    """Mean over points of the sum over classes of (probability - indicator)² (Brier 1950)."""
    is_of = torch.nn.functional.one_hot(classes, found.shape[1])
    return float(share @ (found - is_of).square().sum(1))


def calibration_error(
    found: Float[Tensor, "n m"], classes: Int[Tensor, "n"], share: Float[Tensor, "n"]
) -> float:
    """Mean over points of |share right - mean sureness| of all points that are about as sure.

    Sureness is the largest probability of a point, in ten bins of equal widths.

    Source: Naeini, Cooper & Hauskrecht (2015).
    """
    sure, best = found.max(1)
    place = (sure * BINS).ceil().long().clamp(1, BINS) - 1
    gap = share * ((best == classes).double() - sure)
    return float(gap.new_zeros(BINS).index_add_(0, place, gap).abs().sum())
