"""Which cells of a study have no answer, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from .statistics.rows import FAILURES


@dataclass(frozen=True)
class Failure:
    """Cells of a method that have failed alike.

    Attributes:
        method: its name.
        status: how the cells have ended, in a word or two.
        reason: what there is to say about that.
        cells: how many they are.
    """

    method: str
    status: str
    reason: str
    cells: int


def failures_of(frame: pd.DataFrame) -> list[Failure]:
    """Why cells have no answer, the most frequent reasons first.

    Args:
        frame: a row a cell, as `StudyResults.frame`.
    """
    failed = frame[frame["status"].isin(FAILURES)]
    alike = Counter(zip(failed["method"], failed["status"], failed["reason"], strict=True))
    return [Failure(*words, cells) for words, cells in alike.most_common()]
