"""Numbers in words, for what is printed."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "point"), counted(2, "point")
        ('1 point', '2 points')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
