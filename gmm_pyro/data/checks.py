"""What an argument must be: one check for each kind of value, which gives it in Python's own type.

A check refuses what is of another kind or out of range, and says what was expected and what came.
Numbers of NumPy and of torch are numbers, and so are their arrays without axes.
"""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

MOST = 2**63 - 1  # that NumPy and torch count to
MOST_HELD = 10**9  # points or draws that are held in memory
ROOM = 100  # characters of a value in a message


def check_count(name: str, value: Any, smallest: int = 1, largest: int | None = None) -> int:
    """An integer within limits, as a number of points, steps or draws.

    What is held in memory has a limit that only a mistake exceeds, so that it is named as one.

    Raises:
        ValueError: if the value is none.

    Example:
        >>> import numpy as np
        >>> check_count("n_draws", np.int32(4))
        4
    """
    number, end = plain(value), MOST if largest is None else largest
    whole = isinstance(number, Integral) and not isinstance(number, bool)
    if whole and smallest <= number <= end:
        return int(number)
    is_large = whole and number > end
    limits = f"from {smallest} to {end}" if is_large else f"of at least {smallest}"
    raise ValueError(f"{name} must be an integer {limits}, got {shown(value)}")


def check_seed(value: Any, largest: int | None = None) -> int:
    """A seed of random numbers: as `check_count`, from 0."""
    return check_count("seed", value, 0, largest)


def check_number(
    name: str, value: Any, low: float = 0.0, high: float = math.inf, *, positive: bool = False
) -> float:
    """A finite number of at least `low` and below `high`.

    Args:
        name: the argument's name.
        value: what was given.
        low: smallest number.
        high: what it must be below.
        positive: whether it must be above `low`.

    Raises:
        ValueError: if the value is none.

    Example:
        >>> check_number("prob", 1.5, high=1.0, positive=True)
        Traceback (most recent call last):
        ValueError: prob must be a finite number above 0 and below 1, got 1.5
    """
    number = plain(value)
    real = isinstance(number, Real) and not isinstance(number, bool)
    inside = real and low <= number < high and number <= sys.float_info.max
    if inside and not (positive and number == low):
        return float(number)
    limits = f"{'above' if positive else 'of at least'} {low:g}"
    limits += "" if high == math.inf else f" and below {high:g}"
    raise ValueError(f"{name} must be a finite number {limits}, got {shown(value)}")


def check_flag(name: str, value: Any) -> bool:
    """True or False.

    Raises:
        ValueError: if the value is neither.
    """
    flag = plain(value)
    if isinstance(flag, bool):
        return flag
    raise ValueError(f"{name} must be True or False, got {shown(value)}")


def check_choice(name: str, value: Any, known: Iterable[str]) -> str:
    """One of the known words.

    Raises:
        ValueError: if the value is none of them, with the nearest.

    Example:
        >>> check_choice("loss", "bindre", ["vi", "binder"])
        Traceback (most recent call last):
        ValueError: loss must be one of vi, binder; got 'bindre'; did you mean 'binder'?
    """
    words = list(known)
    if isinstance(value, str) and value in words:
        return value
    raise ValueError(
        f"{name} must be one of {', '.join(words)}; got {shown(value)}{meant(value, words)}"
    )


def meant(value: Any, known: Iterable[str]) -> str:
    """The end of a message that names the known word nearest to a value, if one is near."""
    near = difflib.get_close_matches(value, known, 1, 0.4) if isinstance(value, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def check_list(name: str, value: Any, of: str) -> list[Any]:
    """What a list, a tuple or an array holds, as a list.

    Args:
        name: the argument's name.
        value: what was given.
        of: what it should hold, for the message.

    Raises:
        ValueError: if the value is one thing, a word, or has no order.
    """
    whole = isinstance(value, str | bytes | Mapping | set | frozenset)
    if whole or not hasattr(type(value), "__iter__") or getattr(value, "shape", None) == ():
        raise ValueError(f"{name} must be a list of {of}, got {shown(value)}")
    return list(value)


def check_mapping(name: str, value: Any, of: str) -> Mapping[Any, Any]:
    """A dictionary, or what can be read as one.

    Args:
        name: the argument's name.
        value: what was given.
        of: what it should hold, for the message.

    Raises:
        ValueError: if the value is none.
    """
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"{name} must be a dictionary of {of}, got {shown(value)}")


def check_path(name: str, value: Any) -> Path:
    """A place in the file system.

    Raises:
        TypeError: if the value is neither a word nor a path, or is empty.
    """
    if isinstance(value, str | os.PathLike) and value and isinstance(os.fspath(value), str):
        return Path(value)
    raise TypeError(f"{name} must be the name of a place, or a path, got {shown(value)}")


def check_function(name: str, value: Any) -> Callable[..., Any]:
    """What can be called.

    Raises:
        TypeError: if the value cannot.
    """
    if callable(value):
        return value
    raise TypeError(f"{name} must be a function, got {shown(value)}")


def plain(value: Any) -> Any:
    """The number itself, of NumPy's and torch's numbers, and of arrays without axes."""
    single = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if single and not getattr(value, "is_meta", False) else value


def shown(value: Any) -> str:
    """A value as a message has it: on one line, and cut where it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of thousands of digits, or an object that cannot show itself
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= ROOM else f"{text[:ROOM]}…"
