"""How well clusters agree with true classes; outliers do not count."""

from __future__ import annotations

from typing import Any

from ... import metrics
from .outcome import Outcome


def of_pairs(outcome: Outcome) -> dict[str, float]:
    """Agreement on pairs of points."""
    if outcome.classes is None:
        return {}
    return {"ari": metrics.adjusted_rand(*_labellings(outcome))}


def of_information(outcome: Outcome) -> dict[str, float]:
    """What one partition says about the other."""
    if outcome.classes is None:
        return {}
    return {"nmi": metrics.normalised_mutual_information(*_labellings(outcome))}


def of_matches(outcome: Outcome) -> dict[str, float]:
    """Points in the right class, after the best matching."""
    if outcome.classes is None:
        return {}
    return {"accuracy": metrics.accuracy(*_labellings(outcome))}


def _labellings(outcome: Outcome) -> tuple[Any, Any, Any]:
    return outcome.classes, outcome.answer.labels, outcome.data.sample_weight
