"""What a design is: a kind of data, levels of its factors, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..data.checks import check_choice, check_count, check_mapping, check_seed, shown
from ..datasets import Dataset
from .drawing import KINDS
from .factors import levels_of

OWN = ("kind", "name", "replicates")  # what a written design holds beside its factors


@dataclass(frozen=True)
class Design:
    """Data sets by factors, all levels crossed, each drawn a number of times.

    Attributes:
        kind: what is drawn: the name of the function that makes such designs.
        factors: the levels of each factor, in order. One that is left out has its default, which
            is part of the kind.
        replicates: number of data sets at each setting.
        name: what the design is called in tables; its kind, if empty.

    Raises:
        ValueError: if there is no such kind, a factor is missing, unknown, without levels or with
            one level twice, or a level is out of range.

    Example:
        >>> design = Design(
        ...     "separated", {"n": (50, 100), "d": (2,), "k": (3,), "separation": (2.0,)}
        ... )
        >>> design.settings()[1]
        {'n': 100, 'd': 2, 'k': 3, 'separation': 2.0}
        >>> design.draw(design.settings()[1], seed=0).n
        100
    """

    kind: str
    factors: Mapping[str, tuple[Any, ...]]
    replicates: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        """Put every level into its own type, and the factors in the order of their kind."""
        kind = KINDS[check_choice("kind", self.kind, KINDS)]
        given = check_mapping("factors", self.factors, "levels by name")
        object.__setattr__(self, "factors", levels_of(self.kind, kind, given))
        object.__setattr__(self, "replicates", check_count("replicates", self.replicates))
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a word, got {shown(self.name)}")
        object.__setattr__(self, "name", self.name or self.kind)

    def settings(self) -> list[dict[str, Any]]:
        """All combinations of the levels, the last factor's changing fastest."""
        return [
            dict(zip(self.factors, levels, strict=True))
            for levels in product(*self.factors.values())
        ]

    def draw(self, setting: Mapping[str, Any], seed: int) -> Dataset:
        """The data set of a setting and a seed: the same whatever other levels the design has.

        Args:
            setting: a level of each factor, as `settings` gives them; one that is left out has its
                default. It need not be one of the design's own.
            seed: of all that is random.

        Raises:
            ValueError: if a level is out of range, or there is no such data set: the message says
                what was tried.
        """
        kind = KINDS[self.kind]
        single = {
            name: (level,) for name, level in check_mapping("setting", setting, "levels").items()
        }
        levels = levels_of(self.kind, kind, single)
        complete = {name: factor.default for name, factor in kind.factors.items()}
        complete |= {name: level for name, (level,) in levels.items()}
        return kind.draw(complete, check_seed(seed))

    def to_dict(self) -> dict[str, Any]:
        """The design as words, numbers and lists, as TOML and JSON hold them.

        Raises:
            ValueError: if a level is not a word or a number: data that were given, and not named.

        Example:
            >>> Design("resampled", {"data": ("iris",)}, replicates=9).to_dict()
            {'kind': 'resampled', 'name': 'resampled', 'replicates': 9, 'data': ['iris']}
        """
        for name, levels in self.factors.items():
            for level in levels:
                if not isinstance(level, bool | int | float | str):
                    raise ValueError(  # noqa: TRY004 - the type is right, in a design that stays
                        f"a design can be written down if its levels are words and numbers; "
                        f"{name} has {shown(level)}: name a data set of gmm_pyro.datasets"
                    )
        head = {"kind": self.kind, "name": self.name, "replicates": self.replicates}
        return head | {name: list(levels) for name, levels in self.factors.items()}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Design:
        """The design that `to_dict` wrote; a single level may stand without its list.

        Raises:
            ValueError: as `Design` has it.
        """
        written = check_mapping("a written design", written, "its kind and factors")
        if "kind" not in written:
            raise ValueError(f"a written design must have a kind, got {shown(dict(written))}")
        own = {name: written[name] for name in OWN if name in written}
        return cls(factors={n: v for n, v in written.items() if n not in OWN}, **own)
