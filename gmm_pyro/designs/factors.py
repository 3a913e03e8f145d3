"""Factors of a design: which there are, what their levels may be, and their defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..data.checks import check_list, meant, shown
from ..datasets import Dataset


@dataclass(frozen=True)
class Factor:
    """What a level may be.

    Attributes:
        check: the level in its own type, from the factor's name and what was given.
        default: the level where the factor is left out.
        required: whether it may not be.
    """

    check: Callable[[str, Any], Any]
    default: Any = None
    required: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Attributes:
        draw: the data set, from a level of every factor and a seed.
        factors: the factors by name.
        one_of: factors of which at least one is needed.
    """

    draw: Callable[[Mapping[str, Any], int], Dataset]
    factors: Mapping[str, Factor]
    one_of: tuple[str, ...] = ()


def levels_of(name: str, kind: Kind, given: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The levels that were given, checked, in the order of the kind's factors.

    Args:
        name: of the kind.
        kind: what is drawn.
        given: levels by the names of the factors; one that is no list is a single level.

    Raises:
        ValueError: if a factor is missing, unknown, without levels or with one twice, or a level
            is out of range.
    """
    for factor in given:
        if factor not in kind.factors:
            known = ", ".join(kind.factors)
            raise ValueError(
                f"{name} has the factors {known}; got {shown(factor)}{meant(factor, kind.factors)}"
            )
    missing = [n for n, factor in kind.factors.items() if factor.required and n not in given]
    if missing:
        raise ValueError(f"{name} needs {', '.join(missing)}")
    if kind.one_of and not any(n in given for n in kind.one_of):
        raise ValueError(f"{name} needs {' or '.join(kind.one_of)}")
    return {n: _levels(n, factor, given[n]) for n, factor in kind.factors.items() if n in given}


def _levels(name: str, factor: Factor, given: Any) -> tuple[Any, ...]:
    """One or more levels of a factor."""
    listed = (
        check_list(name, given, "levels") if isinstance(given, list | tuple | range) else [given]
    )
    levels = tuple(factor.check(name, level) for level in listed)
    if not levels:
        raise ValueError(f"{name} must have at least one level, got none")
    if len(set(map(_known_as, levels))) < len(levels):
        raise ValueError(f"{name} must have different levels, got {shown(levels)}")
    return levels


def _known_as(level: Any) -> Any:
    """What a level is called in a table."""
    return level.name if isinstance(level, Dataset) else level
