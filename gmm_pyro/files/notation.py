"""Numbers as people write them: with thousands, decimal commas, currencies, and words between.

A column becomes one of numbers only if all of its values are numbers or stand for missing ones.
Nothing is guessed: what is not asked for is a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

EMPTY = frozenset(  # what pandas takes for a missing value
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN")
    + ("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")
)
SIGNS = r"[A-Z]{0,3}[$¢£¤¥֏؋৲৳฿៛₠-⃀﷼﹩＄￠￡￥￦]|kr\.?|Kč|zł|Ft|Fr\.?|руб\.?"
CODES = (
    "AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|MYR|NOK|NZD|PHP|PLN|RON"
    "|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
GAPS = {" ": " \u00a0\u202f", "'": "'’"}  # what also stands for a character between thousands


@dataclass(frozen=True)
class Notation:
    """How numbers are written.

    Attributes:
        decimal: the character before decimals.
        thousands: the character between thousands, or None.
        currency: whether there may be the sign or the code of a currency.

    Example:
        >>> notation = Notation(",", ".", currency=True)
        >>> notation.number("R$ 1.234,50"), notation.number("1.23"), Notation().number("1e3")
        ((1234.5, 'R$'), None, (1000.0, ''))
    """

    decimal: str = "."
    thousands: str | None = None
    currency: bool = False

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        whole, decimal = r"\d+", re.escape(self.decimal)
        if self.thousands is not None:
            gap = f"[{re.escape(GAPS.get(self.thousands, self.thousands))}]"
            whole = rf"(?:[1-9]\d{{0,2}}(?:{gap}\d{{2,3}})*{gap}\d{{3}}|\d+)"  # 12,34,567 in India
        number = rf"((?:{whole}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?|inf)"
        sign = rf"(?:{SIGNS}|{CODES})" if self.currency else "(?!)"
        return re.compile(
            rf"([+-]?)({sign})?\s*([+-]?){number}\s*({sign})?",
            re.IGNORECASE if not self.currency else 0,
        )

    def number(self, word: str) -> tuple[float, str] | None:
        """The number that a word is, and its currency; None if it is no number."""
        found = self._pattern.fullmatch(word)
        if found is None:
            return None
        outer, before, inner, digits, behind = found.groups()
        if (before and behind) or (outer and inner):
            return None
        value = float(outer + inner + digits.translate(self._plain))
        return value, before or behind or ""

    @cached_property
    def _plain(self) -> dict[int, str]:
        """What makes Python's digits of these."""
        gaps = (
            {}
            if self.thousands is None
            else dict.fromkeys(GAPS.get(self.thousands, self.thousands), "")
        )
        return str.maketrans({**gaps, self.decimal: "."})


@dataclass(frozen=True, eq=False)
class Parsed:
    """A column, value by value.

    Attributes:
        numbers: its numbers; NaN where a value is missing, or a word.
        present: how many values are there, words among them.
        words: those that are no numbers, and how often.
        marked: those that stand for missing values, and how often.
        signs: the currencies of the numbers.
    """

    numbers: np.ndarray
    present: int
    words: Counter[str] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)
    signs: frozenset[str] = frozenset()

    @property
    def is_numeric(self) -> bool:
        """Whether there are numbers, and no words."""
        return self.present > 0 and not self.words

    @property
    def n_words(self) -> int:
        """How many values are no numbers."""
        return self.words.total()

    def column(self) -> np.ndarray:
        """The numbers, whole ones where all of them are and none is missing."""
        exact = np.abs(self.numbers) < 2**53  # which NaN is not
        if bool((exact & (self.numbers == np.rint(self.numbers))).all()):
            return self.numbers.astype(np.int64)
        return self.numbers


def parse(column: pd.Series[Any], notation: Notation, na: Collection[str] = ()) -> Parsed:
    """The values of a column as numbers, as far as they are some.

    Args:
        column: of words, or of words and numbers.
        notation: how numbers are written.
        na: words that stand for missing values, beside `EMPTY`.
    """
    codes, distinct = _distinct(column)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    values = np.full(len(distinct) + 1, np.nan)  # the last one is for code -1, where none is
    words: Counter[str] = Counter()
    marked: Counter[str] = Counter()
    signs, empty, sentinels = set(), 0, frozenset(markers(na))
    for place, (cell, count) in enumerate(zip(distinct, counts.tolist(), strict=True)):
        word = cell.strip() if isinstance(cell, str) else str(cell)
        found = _number(cell, word, notation)
        if word in na or (found is not None and found[0] in sentinels):
            marked[word] += count
        elif word in EMPTY:
            empty += count
        elif found is None:
            words[word] += count
        else:
            values[place] = found[0]
            signs |= {found[1]} - {""}
    present = int(counts.sum()) - empty - marked.total()
    return Parsed(values[codes], present, words, marked, frozenset(signs))


def _distinct(column: pd.Series[Any]) -> tuple[Any, Any]:
    """Numbers of the distinct values, -1 where there is none, and these values."""
    try:
        return pd.factorize(column)
    except TypeError:  # lists and the like, which no number is
        return pd.factorize(column.astype(str))


def _number(cell: Any, word: str, notation: Notation) -> tuple[float, str] | None:
    if isinstance(cell, str):
        return notation.number(word) if word else None
    is_number = isinstance(cell, Real) and not isinstance(cell, bool)
    return (float(cell), "") if is_number else None


def markers(na: Collection[str]) -> list[float]:
    """The numbers among words that stand for missing values.

    Example:
        >>> markers(["-", "-999"])
        [-999.0]
    """
    found = (Notation().number(word) for word in na)
    return [number[0] for number in found if number is not None]
