"""The cells of a study: which there are, in what order, and what each is known and seeded by.

Seeds and keys are hashes of what a cell is. They do not depend on its place, nor on other cells, so
that a study can grow, be shuffled and be resumed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch

from ..data.checks import plain
from ..datasets import Dataset
from ..datasets.identity import fingerprint

SEED_BITS = 48  # of which torch and NumPy make streams, with room for their offsets


@dataclass(frozen=True)
class Planned:
    """A design, in words and numbers.

    Attributes:
        name: what it is called in tables.
        kind: what is drawn.
        settings: the levels of its factors, in order.
        replicates: number of data sets at each setting.
    """

    name: str
    kind: str
    settings: tuple[Mapping[str, Any], ...]
    replicates: int


@dataclass(frozen=True)
class Told:
    """A method, in words.

    Attributes:
        name: what it is called in tables.
        text: all that it is told, the same for the same.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Cell:
    """One method on one data set.

    Attributes:
        key: what it is known by in files.
        design: number of its design.
        setting: number of its setting, among those of the design.
        replicate: number of its data set, among those of the setting.
        method: number of its method.
        data_seed: of the data set, the same for all methods.
        method_seed: of the method.
    """

    key: str
    design: int
    setting: int
    replicate: int
    method: int
    data_seed: int
    method_seed: int

    @property
    def data(self) -> tuple[int, int, int]:
        """Which data set it is about."""
        return self.design, self.setting, self.replicate


@dataclass(frozen=True)
class Plan:
    """A study in words and numbers, as its folder keeps it.

    Attributes:
        seed: that all seeds come from.
        designs: where data come from.
        methods: what they are given to.
        measures: names of what is measured.
        told: what else the study was told, by name.
    """

    seed: int
    designs: tuple[Planned, ...]
    methods: tuple[Told, ...]
    measures: tuple[str, ...]
    told: Mapping[str, Any]

    def cells(self) -> Iterator[Cell]:
        """All cells: designs, settings, replicates, and methods, which change fastest."""
        for i, design in enumerate(self.designs):
            for j, setting in enumerate(design.settings):
                for replicate in range(design.replicates):
                    data = (design.kind, setting, replicate)
                    for m, method in enumerate(self.methods):
                        yield Cell(
                            *(_key(design.name, *data, method.name, method.text), i, j, replicate),
                            *(m, seed_of(self.seed, "data", *data)),
                            seed_of(self.seed, "method", *data, method.name),
                        )

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON holds it."""
        return {
            "seed": self.seed,
            "designs": [{**vars(d), "settings": list(d.settings)} for d in self.designs],
            "methods": [dict(vars(method)) for method in self.methods],
            "measures": list(self.measures),
            "told": dict(self.told),
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Plan:
        """The plan that `to_dict` wrote."""
        designs = tuple(
            Planned(**{**design, "settings": tuple(design["settings"])})
            for design in written["designs"]
        )
        methods = tuple(Told(**method) for method in written["methods"])
        return cls(
            written["seed"], designs, methods, tuple(written["measures"]), dict(written["told"])
        )


def seed_of(*parts: Any) -> int:
    """A seed that depends on all parts, and on nothing else.

    Example:
        >>> seed_of(0, "data", 1) == seed_of(0, "data", 1) != seed_of(1, "data", 1)
        True
    """
    return int.from_bytes(_hash(parts, SEED_BITS // 8), "big")


def _key(*parts: Any) -> str:
    return _hash(parts, 16).hex()


def _hash(parts: Sequence[Any], size: int) -> bytes:
    return hashlib.blake2b(canonical(parts).encode(), digest_size=size).digest()


def canonical(value: Any) -> str:
    """Words, numbers, lists and dictionaries as text, the same for the same in every process.

    Example:
        >>> canonical({"b": 0.1, "a": (1, "x")})
        '{"a":[1,"x"],"b":0.1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=described)


def described(value: Any) -> Any:
    """What JSON has no word for, in words that are the same in every process."""
    if isinstance(value, Dataset):
        return f"{value.name} {fingerprint(value)}"
    number = plain(value)
    if isinstance(number, bool | int | float | str):
        return number
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, torch.distributions.Distribution):
        parameters = {name: getattr(value, name) for name in sorted(value.arg_constraints)}
        return [_kind(value), parameters]
    if is_dataclass(value) and not isinstance(value, type):
        return [_kind(value), {field.name: getattr(value, field.name) for field in fields(value)}]
    text = repr(value)
    return _kind(value) if " at 0x" in text else text


def _kind(value: Any) -> str:
    """The name of a function or a class, or that of the class of something."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def in_words(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as JSON gives it back."""
    words: dict[str, Any] = json.loads(json.dumps(dict(setting), default=described))
    return words
