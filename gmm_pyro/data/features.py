"""Names of features: which columns of other data are those of a fit, and in what order.

One rule for every function that takes points after a fit, and for every mixture that is set beside
another one. Names that only count columns say nothing: arrays have none, and frames made from
arrays have 0, 1, … (pandas) or column_0, column_1, … (polars).
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from .checks import check_list, plain, shown

COUNTED = ("", "column_")  # what pandas and polars write before the numbers of unnamed columns
OURS = "x"  # what this package writes
SHOWN = 20  # names that a message lists at most
SOUGHT = 3  # missing names for which others are looked for that are meant perhaps


def default_names(d: int) -> tuple[str, ...]:
    """x0, x1, …: the names of d features that have none."""
    return tuple(f"{OURS}{i}" for i in range(d))


def numbers_in(names: Sequence[str], prefixes: Sequence[str] = (OURS, *COUNTED)) -> list[int]:
    """The numbers that names stand for, if they are 0, 1, … in some order after one prefix.

    Returns:
        The numbers; empty if the names are of another kind.

    Example:
        >>> numbers_in(["x1", "x0"]), numbers_in(["0", "2"]), numbers_in(["a"])
        ([1, 0], [], [])
    """
    for prefix in prefixes:
        known = {f"{prefix}{i}": i for i in range(len(names))}
        if all(name in known for name in names):
            return [known[name] for name in names]
    return []


def places(
    wanted: Sequence[str], names: Sequence[str], source: str = "x", kind: str = "column"
) -> list[int] | None:
    """Where the features of a fit are among the columns of other data.

    Args:
        wanted: names of the fit's features.
        names: names of the columns.
        source: what the columns are of, for messages.
        kind: what they are called there.

    Returns:
        The numbers of the columns in the order of the fit's features; None if columns go by their
        position, because the names of the fit or of the data only count them.

    Raises:
        ValueError: if a feature has no column of its name, or two.

    Example:
        >>> places(["a", "b"], ["b", "c", "a"]), places(["a", "b"], ["0", "1"])
        ([2, 0], None)
    """
    at = {name: i for i, name in enumerate(names)}
    missing = [name for name in wanted if name not in at]
    if missing:
        return _by_number(wanted, names, lacks(source, missing, names, kind))
    if len(at) < len(names):
        chosen = set(wanted)
        refuse_repeated([name for name in names if name in chosen], source)
    return [at[name] for name in wanted]


def _by_number(wanted: Sequence[str], names: Sequence[str], message: str) -> list[int] | None:
    """As `places`, of columns whose names are not those of the features."""
    mine, theirs = numbers_in(wanted), numbers_in(names)
    if mine and theirs and len(mine) == len(theirs):
        at = {number: i for i, number in enumerate(theirs)}
        return [at[number] for number in mine]
    if mine or numbers_in(names, COUNTED) == list(range(len(names))):
        return None
    raise ValueError(message)


def lacks(source: str, missing: Iterable[str], names: Iterable[str], kind: str = "column") -> str:
    """Which names there are not, which there are, and which are meant perhaps.

    Example:
        >>> lacks("x", ["width"], ["height", "widths"])
        "x has no column 'width': it has height, widths; did you mean 'widths'?"
    """
    names, missing = list(names), list(missing)
    nearest = {name: difflib.get_close_matches(name, names, n=1) for name in missing[:SOUGHT]}
    hints = ", ".join(
        repr(close[0]) if len(missing) == 1 else f"{close[0]!r} for {name!r}"
        for name, close in nearest.items()
        if close
    )
    noun = kind if len(missing) == 1 else f"{kind}s"
    hint = f"; did you mean {hints}?" if hints else ""
    return f"{source} has no {noun} {listed(map(repr, missing))}: it has {listed(names)}{hint}"


def listed(names: Iterable[str]) -> str:
    """Names with commas between them: the first ones, if they are very many."""
    names = list(names)
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def column_of(feature: Any, names: Sequence[str]) -> int:
    """The column of a feature that is named, or numbered from 0.

    Raises:
        ValueError: if there is none.

    Example:
        >>> column_of("width", ["height", "width"]), column_of(0, ["height", "width"])
        (1, 0)
    """
    number = plain(feature)
    if isinstance(number, str) and number in names:
        return list(names).index(number)
    whole = isinstance(number, Integral) and not isinstance(number, bool)
    if whole and 0 <= number < len(names):
        return int(number)
    raise ValueError(f"no feature {shown(feature)}: there are {listed(names)}")


def columns_of(features: Any, names: Sequence[str], limits: str = "one or more") -> list[int]:
    """The columns of different features, by their names or numbers.

    Args:
        features: a name or number, or several.
        names: of all features.
        limits: how many there may be: "one or more", or "one or two".

    Raises:
        ValueError: if there is no such feature, none is given, one twice, or too many.
    """
    single = isinstance(features, str) or isinstance(plain(features), Integral)
    given = [features] if single else check_list("features", features, "names or numbers")
    columns = [column_of(feature, names) for feature in given]
    too_many = limits == "one or two" and len(columns) > 2
    if not columns or too_many or len(set(columns)) != len(columns):
        raise ValueError(f"features must be {limits} different columns, got {shown(features)}")
    return columns


def check_names(feature_names: Any, d: int | None = None) -> tuple[str, ...]:
    """Names of features, as words that differ.

    Args:
        feature_names: what was given; if d is known, None is x0, x1, ….
        d: how many there must be, if that is known.

    Raises:
        ValueError: if it is no list of names, they are not d, or two are the same.
    """
    if feature_names is None and d is not None:
        return default_names(d)
    number = "names" if d is None else f"{d} names"
    names = tuple(map(str, check_list("feature_names", feature_names, number)))
    if d is not None and len(names) != d:
        raise ValueError(f"feature_names must hold {d} names, got {len(names)}")
    if len(set(names)) != len(names):
        raise ValueError(f"feature_names must differ, got {listed(names)}")
    return names


def refuse_repeated(names: Sequence[str], source: str = "x") -> None:
    """Refuse names that do not differ."""
    if len(set(names)) == len(names):
        return
    name, times = Counter(names).most_common(1)[0]
    raise ValueError(f"{source} must have column names that differ; {name!r} occurs {times} times")
