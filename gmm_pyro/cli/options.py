"""Options of methods on the command line: their types, defaults and meanings are the registry's."""

from __future__ import annotations

import contextlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..data.checks import meant
from ..inference.methods import method_named

HIDDEN = ("progress",)  # for which the command line has its own
FLAGS = {
    "seed": "--seed",
    "n_starts": "--starts",
    "search": "--search",
    "max_steps": "--max-steps",
    "tolerance": "--tolerance",
    "n_draws": "--draws",
    "n_chains": "--chains",
    "n_warmup": "--warmup",
}
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
OF_DATA = {  # arguments of `fit` that are no method's, and go by --option too
    "dtype": "floating-point type of the work on points, float32 or float64.",
    "device": "torch device, one that is there and holds float64.",
}
READERS: dict[type, Callable[[str], Any]] = {
    types.NoneType: lambda text: {"none": None}[text.lower()],
    bool: lambda text: TRUTHS[text.lower()],
    int: int,
    float: float,
}


@dataclass(frozen=True)
class OptionFacts:
    """An option of a method.

    Attributes:
        name: its name in Python and after `--option`.
        default: its default.
        meaning: a sentence.
        flag: what the command line calls it, or None where it goes by `--option`.
    """

    name: str
    default: Any
    meaning: str
    flag: str | None


@dataclass(frozen=True)
class MethodFacts:
    """What the registry knows about a method.

    Attributes:
        name: its name.
        summary: what it finds, in a sentence.
        priors: name of its default priors, or None.
        draws: whether it has a posterior.
        options: its options.
    """

    name: str
    summary: str
    priors: str | None
    draws: bool
    options: tuple[OptionFacts, ...]


def method_facts(name: str) -> MethodFacts:
    """What there is to know about a method.

    Raises:
        ValueError: if there is none of this name.

    Example:
        >>> method_facts("gibbs").priors, method_facts("em").draws
        ('ConjugatePriors', False)
    """
    row = method_named(name)
    meanings = _meanings(row.options)
    options = tuple(
        OptionFacts(f.name, f.default, meanings.get(f.name, ""), FLAGS.get(f.name))
        for f in fields(row.options)
        if f.name not in HIDDEN
    )
    return MethodFacts(
        name=name,
        summary=(row.run.__doc__ or "").partition("\n")[0].strip(),
        priors=None if row.priors is None else row.priors.__name__,
        draws=row.draws,
        options=options,
    )


def parsed(method: str, words: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a method from NAME=VALUE, and from flags that were given.

    Args:
        method: its name.
        words: as `--option` has them.
        flags: values by the option's name; None where a flag was not given.

    Raises:
        ValueError: if the method has no such option, a value is of another type, or an option is
            given twice.
    """
    hints = typing.get_type_hints(method_named(method).options)
    known = [*(option.name for option in method_facts(method).options), *OF_DATA]
    chosen = {name: value for name, value in flags.items() if value is not None}
    for name in chosen:
        if name not in known:
            raise ValueError(f"method {method!r} has no option {FLAGS[name]}: {_listed(known)}")
    for word in words:
        name, equals, text = (part.strip() for part in word.partition("="))
        name = name.replace("-", "_")
        if not equals:
            raise ValueError(f"--option must be NAME=VALUE, got {word!r}")
        if name not in known:
            hint = meant(name, known)
            raise ValueError(f"method {method!r} has no option {name!r}{hint} ({_listed(known)})")
        if name in chosen:
            raise ValueError(f"option {name!r} is given twice")
        chosen[name] = _value(name, text, hints.get(name, str | None))
    return chosen


def _listed(known: Sequence[str]) -> str:
    return f"it has {', '.join(FLAGS.get(name, name) for name in known)}"


def _value(name: str, text: str, hint: Any) -> Any:
    """A word as a value of the first type of the option's that takes it."""
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    kinds = typing.get_args(hint) if union else (hint,)
    for kind in (types.NoneType, bool, int, float):
        if kind in kinds:
            with contextlib.suppress(KeyError, ValueError):
                return READERS[kind](text)
    if not {bool, int, float} & set(kinds):
        return text
    words = " or ".join("none" if kind is types.NoneType else kind.__name__ for kind in kinds)
    raise ValueError(f"option {name!r} must be {words}; got {text!r}")


def _meanings(options: type) -> dict[str, str]:
    """What the docstrings of an options class and of those that it extends say of each."""
    found: dict[str, str] = {}
    for cls in reversed(options.__mro__):
        _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:")
        entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE)
        found |= {name: " ".join(text.split()) for name, text in entries}
    return found
