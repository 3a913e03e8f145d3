"""Columns of words as numbers, where that is what they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from .doubts import Doubt, are_words, doubt
from .notation import markers, parse
from .table import DataTable


@dataclass(frozen=True, eq=False)
class Change:
    """What becomes of a column.

    Attributes:
        values: its values, or None where they stay as they are.
        marked: how often words or numbers stand for missing values.
        signs: the currencies of its numbers.
        doubt: what keeps it from being numeric, if that is in doubt.
    """

    values: Any = None
    marked: Mapping[str, int] = field(default_factory=dict)
    signs: frozenset[str] = frozenset()
    doubt: Doubt | None = None


def in_numbers(table: DataTable) -> tuple[DataTable, list[Doubt]]:
    """The table with its columns of words as numbers, where they are some, and what is in doubt.

    Raises:
        ValueError: if the numbers of a column have different currencies.
    """
    frame = table.frame.copy(deep=False)
    changes = {str(name): _change(table, str(name), column) for name, column in frame.items()}
    for place, change in enumerate(changes.values()):
        if change.values is not None:
            frame.isetitem(place, change.values)
    notes = (*table.notes, *_remarks(changes))
    doubts = [change.doubt for change in changes.values() if change.doubt is not None]
    return replace(table, frame=frame, notes=notes), doubts


def _change(table: DataTable, name: str, column: pd.Series[Any]) -> Change:
    """What becomes of one column."""
    notation, na = table.notation, table.reading.na
    if not (column.dtype == object or pd.api.types.is_string_dtype(column)):
        return _without(markers(na), column)
    if are_words(column, notation, na):
        return _without_words(na, column)
    parsed = parse(column, notation, na)
    if len(parsed.signs) > 1:
        listed = ", ".join(sorted(parsed.signs))
        raise ValueError(
            f"{table.source}: the values of {name} have different currencies: {listed}"
        )
    if not parsed.words:
        return Change(parsed.column(), parsed.marked, parsed.signs)
    left = _without_words(na, column)
    return replace(left, doubt=doubt(name, column, parsed, notation))


def _without_words(na: Collection[str], column: pd.Series[Any]) -> Change:
    """A column of words without those that stand for missing values."""
    words = column.astype(str).str.strip()
    gone = words.isin(na) if na else pd.Series(data=False, index=column.index)
    if not gone.any():
        return Change()
    counts = words[gone].value_counts()
    marked = dict(zip(map(str, counts.index), counts.tolist(), strict=True))
    return Change(column.mask(gone), marked)


def _without(numbers: Sequence[float], column: pd.Series[Any]) -> Change:
    """A column of numbers without those that stand for missing values."""
    if not numbers or not pd.api.types.is_numeric_dtype(column):
        return Change()
    counts = {f"{number:g}": int((column == number).sum()) for number in numbers}
    counts = {word: count for word, count in counts.items() if count}
    return Change(column.mask(column.isin(numbers)) if counts else None, counts)


def _remarks(changes: Mapping[str, Change]) -> list[str]:
    """What has been taken for missing, and which currencies there are."""
    places: dict[str, list[str]] = {}
    for name, change in changes.items():
        for word, count in change.marked.items():
            places.setdefault(word, []).append(f"{count} in {name}")
    notes = [f"{word!r} is taken for missing: {', '.join(p)}" for word, p in places.items()]
    signs = [f"{sign} in {name}" for name, change in changes.items() for sign in change.signs]
    return [*notes, *([f"numbers have currencies: {', '.join(signs)}"] if signs else [])]
