"""Studies as TOML: what a file says, and the file that says it again."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from typing import Any

from ..data.checks import plain, shown
from ..disk.untrusted import content_named


def read(text: str) -> dict[str, Any]:
    """What a text in TOML says.

    Raises:
        TypeError: if it is no text.
        ValueError: if it is no TOML, with the line.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a text in TOML, got {shown(text)}")
    with content_named("the text is no TOML"):
        return tomllib.loads(text)


def written(content: Mapping[str, Any]) -> str:
    """Words, numbers, lists and dictionaries as TOML; lists of dictionaries as tables.

    Raises:
        ValueError: if there is something else.

    Example:
        >>> print(written({"seed": 0, "methods": [{"method": "svi", "n_draws": 9}]}), end="")
        seed = 0
        <BLANKLINE>
        [[methods]]
        method = "svi"
        n_draws = 9
    """
    tables = {name: value for name, value in content.items() if _is_tables(value)}
    parts = [_lines({name: v for name, v in content.items() if name not in tables})]
    parts += [f"[[{_key(name)}]]\n{_lines(one)}" for name, many in tables.items() for one in many]
    return "\n".join(parts)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value)


def _lines(content: Mapping[str, Any]) -> str:
    return "".join(f"{_key(name)} = {_value(name, value)}\n" for name, value in content.items())


def _key(name: str) -> str:
    plain_key = name.replace("_", "").replace("-", "").isalnum() and name.isascii()
    return name if plain_key else json.dumps(name, ensure_ascii=False)


def _value(name: str, value: Any) -> str:
    """A value on one line."""
    value = plain(value)
    if isinstance(value, bool | str | int):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"{value}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(name, one) for one in value)}]"
    if isinstance(value, Mapping):
        inner = (f"{_key(word)} = {_value(name, one)}" for word, one in value.items())
        return f"{{{', '.join(inner)}}}"
    raise ValueError(f"{name} cannot be written as TOML: it has {shown(value)}")
