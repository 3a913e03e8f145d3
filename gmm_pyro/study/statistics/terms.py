"""The terms of a regression: columns of numbers, and the effects that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ...data.words import level_text

Label = tuple[str, str]  # a method, and a level of a factor; empty for the baseline, and for all


@dataclass(frozen=True, eq=False)
class Term:
    """A term with q columns and m effects.

    Attributes:
        name: of the term.
        columns: its part of the design matrix.
        labels: the method and the level that each effect is about.
        contrasts: each effect as a sum of coefficients.
    """

    name: str
    columns: Float[np.ndarray, "n q"]
    labels: Sequence[Label]
    contrasts: Float[np.ndarray, "m q"]

    @property
    def n_columns(self) -> int:
        """How many columns it has."""
        return self.columns.shape[1]


def intercept(n: int) -> Term:
    """A one for each row."""
    return Term("mean", np.ones((n, 1)), [("", "")], np.eye(1))


def of_methods(names: Sequence[str], others: Sequence[str]) -> Term:
    """A column for each method but the baseline."""
    columns = np.array([[name == other for other in others] for name in names], dtype=float)
    columns = columns.reshape(len(names), len(others))
    return Term("method", columns, [(name, "") for name in others], np.eye(len(others)))


def of_factor(name: str, number: Int[np.ndarray, "n"], levels: Sequence[Any]) -> Term:
    """Departures of levels from their mean: the last is less the sum of the others."""
    contrasts = np.vstack([np.eye(len(levels) - 1), -np.ones(len(levels) - 1)])
    labels: list[Label] = [("", f"{name} = {level_text(level)}") for level in levels]
    return Term(name, contrasts[number], labels, contrasts)


def crossed(methods: Term, factor: Term) -> Term:
    """How a difference of methods departs at a level of a factor."""
    columns = methods.columns[:, :, None] * factor.columns[:, None, :]
    labels = [(method, level) for method, _ in methods.labels for _, level in factor.labels]
    contrasts = np.kron(methods.contrasts, factor.contrasts)
    n = len(columns)
    return Term(f"method × {factor.name}", columns.reshape(n, -1), labels, contrasts)
