"""Evidences of fits, for those that ask many fits, or keep one without asking.

One that is made when it is asked for may take longer than its fit.
"""

from __future__ import annotations

from typing import Any

from .fit import Fit
from .weighing.evidence import UNKNOWN, Evidence


def evidence_if_any(fit: Fit) -> Evidence:
    """The evidence of a fit, made now if it waits; NaN of one that has no estimate."""
    try:
        return fit.evidence
    except ValueError:
        return UNKNOWN


def told_with_evidence(fit: Fit) -> dict[str, Any]:
    """The diagnostics of a fit, with its evidence if that has been asked for already."""
    asked = vars(fit).get("evidence")  # where a cached property is
    return {**fit.diagnostics, **({} if asked is None else vars(asked))}
