"""Matrices of a report: numbers between 0 and 1 about pairs of methods, the larger the darker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .tables import number

if TYPE_CHECKING:
    import pandas as pd

SHADES = 10  # of a cell, from the least to the most


@dataclass(frozen=True)
class Shaded:
    """One number of a matrix, and how dark its cell is, from 0 to `SHADES`."""

    text: str
    shade: int


@dataclass(frozen=True)
class Matrix:
    """A square of numbers about pairs of methods.

    Attributes:
        names: of the methods.
        rows: numbers, in the order of the names.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Shaded, ...], ...]


def matrix_of(frame: pd.DataFrame) -> Matrix:
    """A square frame of numbers of which 0 and 1 are the lightest and the darkest."""
    rows = tuple(
        tuple(Shaded(number(value, ".3f"), _shade(value)) for value in row)
        for row in frame.to_numpy().tolist()
    )
    return Matrix(tuple(map(str, frame.index)), rows)


def _shade(value: float) -> int:
    return round(SHADES * min(1.0, max(0.0, value)))
