"""A few letters that tell objects apart by what they consist of, in every process alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch
from torch.distributions import Distribution, Transform

PARTS = (Distribution, Transform)  # of others, under whatever name
PLAIN = (bool, int, float, complex, str, bytes, type(None), Enum, torch.dtype, torch.device)


def fingerprint(value: Any) -> str:
    """The same letters for the same numbers, words, arrays, functions and collections of these.

    Of other objects it goes by their class and public attributes; of distributions, by their
    parameters.

    Example:
        >>> fingerprint({"a": [1, 2.5]}) == fingerprint({"a": [1, 2.5]})
        True
        >>> fingerprint(torch.zeros(2)) == fingerprint(torch.zeros(3))
        False
    """
    hashed = hashlib.blake2b(digest_size=8)
    for part in _parts(value, ()):
        hashed.update(b"%d " % len(part) + part)
    return hashed.hexdigest()


def _parts(value: Any, above: tuple[int, ...]) -> Iterator[bytes]:
    """What tells a value from others, where `above` are those that it is in."""
    if isinstance(value, PLAIN):
        yield repr(value).encode()
    elif isinstance(value, torch.Tensor | np.ndarray):
        yield from _of_array(value)
    elif id(value) not in above:
        yield type(value).__qualname__.encode()
        for entry in _entries(value):
            yield from _parts(entry, (*above, id(value)))


def _of_array(value: torch.Tensor | np.ndarray) -> Iterator[bytes]:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    yield f"{array.dtype} {array.shape}".encode()
    yield np.ascontiguousarray(array).tobytes()


def _entries(value: Any) -> Iterable[Any]:
    """What a value consists of."""
    if isinstance(value, Mapping):
        return [entry for name in sorted(value, key=str) for entry in (str(name), value[name])]
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, type | FunctionType | CodeType):
        return _of_program(value)
    return _entries(_attributes(value))


def _of_program(value: type | FunctionType | CodeType) -> list[Any]:
    """The name of a class; what a function does, and by which values."""
    if isinstance(value, type):
        return [value.__module__, value.__qualname__]
    if isinstance(value, CodeType):
        return [value.co_code, value.co_names, list(value.co_consts)]
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    return [value.__qualname__, value.__code__, value.__defaults__, cells]


def _attributes(value: Any) -> dict[str, Any]:
    """Public attributes, without those that a class computes and keeps."""
    if is_dataclass(value):
        names = (each.name for each in fields(value) if not each.name.startswith("_"))
        return {name: getattr(value, name) for name in names}
    found = {
        name: entry
        for name, entry in getattr(value, "__dict__", {}).items()
        if isinstance(entry, PARTS) or not (name.startswith("_") or hasattr(type(value), name))
    }
    if isinstance(value, Distribution):
        found |= {name: getattr(value, name, None) for name in value.arg_constraints}
    return found
