"""Numbers in words, for what is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "point"), counted(2, "point")
        ('1 point', '2 points')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(parts: Sequence[str]) -> str:
    """Words as a list in a sentence.

    Example:
        >>> listed(["one"]), listed(["one", "two"]), listed(["one", "two", "three"])
        ('one', 'one and two', 'one, two and three')
    """
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def enumerated(names: Sequence[str], most: int = 20) -> str:
    """Names with commas between them, as many as a line or two have room for.

    Example:
        >>> enumerated(("a", "b", "c"), most=2)
        'a, b and 1 more'
    """
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")


def level_text(level: Any) -> str:
    """A level of a factor in words; a dash where there is none.

    Example:
        >>> level_text(0.10), level_text("em"), level_text(None)
        ('0.1', 'em', '–')
    """
    import pandas as pd

    if level is None or level is pd.NA:
        return "–"
    return f"{level:g}" if isinstance(level, float) else str(level)
