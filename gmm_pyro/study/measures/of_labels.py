"""How well clusters agree with true classes."""

from __future__ import annotations

from ... import metrics
from .outcome import Outcome


def of_labels(outcome: Outcome) -> dict[str, float]:
    """Agreement that renaming clusters does not change; outliers do not count."""
    true, found, weight = outcome.classes, outcome.answer.labels, outcome.data.sample_weight
    if true is None:
        return {}
    return {
        "ari": metrics.adjusted_rand(true, found, weight),
        "nmi": metrics.normalised_mutual_information(true, found, weight),
        "accuracy": metrics.accuracy(true, found, weight),
    }
