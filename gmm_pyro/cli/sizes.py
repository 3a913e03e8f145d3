"""Numbers of components as words: several for a selection, and one for a fit."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model.unknown import Unknown

UNKNOWN = "unknown"
MOST = 1000  # numbers of components that one selection tries
PART = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")
INTEGER = re.compile(r"\s*[+-]?\d+\s*")


def numbers_in(text: str) -> list[int]:
    """Numbers and ranges of them with commas between them, each number once, in order.

    Raises:
        ValueError: if the text is none, or a range is empty or far too long.

    Example:
        >>> numbers_in("2-4,7"), numbers_in("3")
        ([2, 3, 4, 7], [3])
    """
    found: set[int] = set()
    for part in text.split(","):
        known = PART.fullmatch(part.strip())
        if known is None:
            raise ValueError(f"--components must be numbers, as 1-9, 1,2,5 or 2-4,7; got {text!r}")
        first, last = int(known[1]), int(known[2] or known[1])
        if last < first:
            raise ValueError(f"--components {text}: the range {part.strip()} ends before it begins")
        if first < 1:
            raise ValueError(f"--components must be numbers of at least 1, got {text!r}")
        if last - first >= MOST:
            raise ValueError(f"--components {text}: no more than {MOST} numbers can be tried")
        found.update(range(first, last + 1))
    return sorted(found)


def refuse_several(source: str, components: str | None, covariance: str) -> None:
    """Refuse several numbers of components or families where there is one model, with a hint.

    Args:
        source: the file or the data set, for the hint.
        components: what was given as the number of components.
        covariance: what was given as the covariance family.

    Raises:
        ValueError: if there are several, or what should be a number is none.
    """
    hint = f"gmm-pyro select {shlex.quote(source)}"
    if components is not None and INTEGER.fullmatch(components) is None:
        try:
            numbers_in(components)
        except ValueError:
            raise ValueError(f"--components must be an integer, got {components!r}") from None
        raise ValueError(
            f"--components must be one number, got {components!r}; to try several: "
            f"{hint} --components {shlex.quote(components)}"
        )
    if covariance == "all" or "," in covariance:
        raise ValueError(
            f"--covariance must be one family, got {covariance!r}; to try several: "
            f"{hint} --covariance {shlex.quote(covariance)}"
        )


def unknown_of(components: str | None, prior: str | None, most: int | None) -> Unknown | None:
    """The prior of a number of components that is unknown; None of one that is known.

    Args:
        components: what was given as the number of components.
        prior: what was given as its prior.
        most: what was given as the largest.

    Raises:
        ValueError: if there is no such prior, or one is given for a number that is known.
    """
    from ..model.unknown import Unknown

    if components == UNKNOWN:
        found = Unknown() if prior is None else Unknown(prior)
        return found if most is None else replace(found, most=most)
    for name, value in {"--components-prior": prior, "--most-components": most}.items():
        if value is not None:
            raise ValueError(f"{name} is for --components {UNKNOWN}, got --components {components}")
    return None
