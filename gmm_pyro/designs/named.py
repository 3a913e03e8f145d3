"""Designs by the kind of data that they draw."""

from __future__ import annotations

from typing import Any

from .design import Design


def overlapping(
    *, n: Any, d: Any, k: Any, overlap: Any, replicates: int = 1, name: str = "", **options: Any
) -> Design:
    """Mixtures with a given mean overlap."""
    return Design(
        "overlapping", {"n": n, "d": d, "k": k, "overlap": overlap, **options}, replicates, name
    )


def separated(
    *, n: Any, d: Any, k: Any, separation: Any, replicates: int = 1, name: str = "", **options: Any
) -> Design:
    """Mixtures with a given separation."""
    return Design(
        "separated", {"n": n, "d": d, "k": k, "separation": separation, **options}, replicates, name
    )


def resampled(data: Any, *, replicates: int = 1, name: str = "", **options: Any) -> Design:
    """Samples of given data."""
    return Design("resampled", {"data": data, **options}, replicates, name)
