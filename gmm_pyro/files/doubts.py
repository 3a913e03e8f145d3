"""Columns that would be numbers but for some words: what they hold, and how to read them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from .notation import Notation, Parsed, parse
from .reading import DECIMALS, THOUSANDS, Reading

TRIED = 1000  # rows that tell how numbers are written
SHOWN = 3  # words that a message has, and markers of missing values that it proposes


@dataclass(frozen=True)
class Doubt:
    """A column that is not numeric, and would be if it were read otherwise.

    Attributes:
        column: its name.
        complaint: how many of its values are no numbers, and which.
        notation: how its numbers seem to be written.
        na: words of it that may stand for missing values.
    """

    column: str
    complaint: str
    notation: Notation
    na: tuple[str, ...]


def doubt(name: str, column: pd.Series[Any], parsed: Parsed, notation: Notation) -> Doubt | None:
    """What keeps a column from being numeric, if half of its values or more would be numbers.

    Args:
        name: the column's name.
        column: its values.
        parsed: what they are as they have been read.
        notation: how they have been read.
    """
    best = _best(column.dropna()[:TRIED], notation, parsed.marked)
    found = parsed if best == notation else parse(column, best, parsed.marked)
    if 2 * found.n_words > found.present or not parsed.n_words:
        return None
    words = [word for word, _ in parsed.words.most_common()]
    listed = ", ".join(map(repr, words[:SHOWN])) + (", …" if len(words) > SHOWN else "")
    complaint = f"{parsed.n_words} of {len(column)} values of {name} are no numbers: {listed}"
    left = [word for word, _ in found.words.most_common()]
    return Doubt(name, complaint, best, tuple(left if len(left) <= SHOWN else ()))


def are_words(column: pd.Series[Any], notation: Notation, na: Collection[str]) -> bool:
    """Whether most of the first values of a long column are words, however it is read."""
    first = column.dropna()[:TRIED]
    if len(column) <= TRIED:
        return False
    found = parse(first, _best(first, notation, na), na)
    return 2 * found.n_words > found.present


def _best(column: pd.Series[Any], notation: Notation, na: Collection[str]) -> Notation:
    """The way to write numbers that leaves the fewest words in a column."""
    tried = [notation, *_others(notation)]
    left = (parse(column, other, na).n_words for other in tried)
    best, fewest = notation, len(column) + 1
    for other, number in zip(tried, left, strict=True):
        if number < fewest:
            best, fewest = other, number
        if not number:
            break
    return best


def _others(notation: Notation) -> Iterator[Notation]:
    """Other ways to write numbers, those that differ less first."""
    marks: list[tuple[str, str | None]] = [(notation.decimal, notation.thousands)]
    for decimal in sorted(DECIMALS, key=lambda mark: mark != notation.decimal):
        marks += [(decimal, None)]
        marks += [(decimal, thousands) for thousands in THOUSANDS if thousands != decimal]
    for currency in (notation.currency, True):
        for decimal, thousands in marks:
            yield replace(notation, decimal=decimal, thousands=thousands, currency=currency)


def refusal(source: str, doubts: Sequence[Doubt], notation: Notation) -> str:
    """What is in doubt, and the options of the command line that settle it.

    Args:
        source: what the columns are of.
        doubts: one or more of them.
        notation: how numbers have been read.
    """
    complaints = "; ".join(doubt.complaint for doubt in doubts)
    names = ",".join(f'"{d.column}"' if "," in d.column else d.column for d in doubts)
    options = asked_for(notation, doubts)
    shown = " ".join(options.values())
    settled = f"{shown} reads them, " if options else ""
    return f"{source}: {complaints}; {settled}--exclude '{names}' leaves {_them(doubts)} out"


def _them(doubts: Sequence[Doubt]) -> str:
    return "the column" if len(doubts) == 1 else "the columns"


def asked_for(notation: Notation, doubts: Sequence[Doubt]) -> Mapping[str, str]:
    """Options that read columns as they seem to be written, by name."""
    markers = list(dict.fromkeys(word for doubt in doubts for word in doubt.na))
    options = {"na": f"--na {quoted(','.join(map(_field, markers)))}"} if markers else {}
    for other in (doubt.notation for doubt in doubts):
        if other.currency and not notation.currency:
            options["currency"] = "--currency"
        if other.thousands not in (None, notation.thousands):
            options.setdefault("thousands", f"--thousands {quoted(str(other.thousands))}")
        implied = Reading(thousands=other.thousands).decimal_mark(notation.decimal)
        if other.decimal != implied:
            options.setdefault("decimal", f"--decimal {quoted(other.decimal)}")
    return options


def _field(word: str) -> str:
    """A word as one of several with commas between them."""
    return f'"{word}"' if "," in word else word


def quoted(word: str) -> str:
    """A word in quotes that a shell takes away."""
    return f"'{word}'" if "'" not in word else f'"{word}"'
