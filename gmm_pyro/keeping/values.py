"""Values as JSON and numbers, and back to the last bit. Reading runs no code that a file brings.

A tensor comes back with its strides and its place in a line of cache: on others, products of
matrices may round otherwise.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool),
    )
}
LINE = 64  # bytes of a line of cache
PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Vocabulary:
    """What values may consist of, beside plain ones, tensors and collections of all these.

    Attributes:
        records: data classes by their names.
        constants: objects by the names that stand for them.
    """

    records: Mapping[str, type] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Written:
    """A value as it is written.

    Attributes:
        text: the value in JSON; tensors are said to be among the numbers.
        numbers: of all tensors, as bytes.
    """

    text: str
    numbers: bytes

    @classmethod
    def of(cls, value: Any, words: Vocabulary) -> Written:
        """A value in this vocabulary.

        Raises:
            TypeError: if it has something else in it.
        """
        writer = _Writer(words)
        return cls(json.dumps(writer.tree(value)), b"".join(writer.parts))

    @property
    def digest(self) -> str:
        """A few letters that tell the value from all others."""
        hashed = hashlib.blake2b(self.text.encode(), digest_size=16)
        hashed.update(self.numbers)
        return hashed.hexdigest()

    def value(self, words: Vocabulary) -> Any:
        """The value again.

        Raises:
            Exception: if it is none of this vocabulary.
        """
        return _Reader(words, self.numbers).value(json.loads(self.text))


class _Writer:
    """Makes values trees of JSON, and keeps their numbers."""

    def __init__(self, words: Vocabulary) -> None:
        self.parts: list[bytes] = []
        self._length = 0
        self._records = {kind: name for name, kind in words.records.items()}
        self._constants = {id(value): name for name, value in words.constants.items()}

    def tree(self, value: Any) -> Any:
        """What stands for a value: itself, or a list that begins with what kind of value it is."""
        if type(value) in PLAIN:
            return value
        if id(value) in self._constants:
            return ["constant", self._constants[id(value)]]
        if isinstance(value, Tensor):
            return ["tensor", *self._tensor(value)]
        if isinstance(value, list | tuple):
            return [type(value).__name__, *map(self.tree, value)]
        if isinstance(value, Mapping):
            return ["dict", *([name, self.tree(entry)] for name, entry in value.items())]
        if is_dataclass(value) and type(value) in self._records:
            entries = (self.tree(getattr(value, each.name)) for each in fields(value))
            return ["record", self._records[type(value)], *entries]
        raise TypeError(f"{type(value).__qualname__} is not among what can be kept")

    def _tensor(self, tensor: Tensor) -> list[Any]:
        """Type, place, shape, strides, distance from a line of cache, and first byte."""
        values = tensor.detach()
        for axis, stride in enumerate(values.stride()):
            if stride == 0 and values.shape[axis] > 1:  # one number that is seen many times
                values = values.narrow(axis, 0, 1)
        part, begin = values.cpu().contiguous().numpy().tobytes(), self._length
        self.parts.append(part)
        self._length += len(part)
        away = tensor.data_ptr() % LINE // tensor.element_size()
        name = str(tensor.dtype).removeprefix("torch.")
        return [name, str(tensor.device), tensor.shape, tensor.stride(), away, begin]


class _Reader:
    """Makes trees of JSON values again."""

    def __init__(self, words: Vocabulary, numbers: bytes) -> None:
        self._words = words
        self._numbers = numbers
        self._kinds: dict[str, Callable[..., Any]] = {
            "constant": lambda name: words.constants[name],
            "tensor": self._tensor,
            "list": lambda *entries: [self.value(entry) for entry in entries],
            "tuple": lambda *entries: tuple(self.value(entry) for entry in entries),
            "dict": lambda *pairs: {name: self.value(entry) for name, entry in pairs},
            "record": self._record,
        }

    def value(self, tree: Any) -> Any:
        """The value that a tree stands for."""
        if type(tree) in PLAIN:
            return tree
        kind, *rest = tree
        return self._kinds[kind](*rest)

    def _record(self, name: str, *entries: Any) -> Any:
        return self._words.records[name](*(self.value(entry) for entry in entries))

    def _tensor(
        self, name: str, device: str, shape: list[int], strides: list[int], away: int, begin: int
    ) -> Tensor:
        seen = [1 if stride == 0 else size for size, stride in zip(shape, strides, strict=True)]
        dtype, count = DTYPES[name], math.prod(seen)
        length = away + 1 + sum((n - 1) * s for n, s in zip(seen, strides, strict=True))
        room = torch.empty(max(length, away) if count else away, dtype=dtype)
        if count:
            flat = np.frombuffer(self._numbers, name, count, begin).copy()
            room.as_strided(seen, strides, away).copy_(torch.from_numpy(flat).view(seen))
        return room.as_strided(shape, strides, away).to(device)
