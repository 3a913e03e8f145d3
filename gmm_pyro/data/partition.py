"""Some consecutive rows of data that are elsewhere, and what they are told of all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..running.places import OneByOne
from .allowed import Allowed
from .points import Observations, Points

AWAY = (
    "the points of these data are in partitions and stay there, and this needs them here: "
    "{what}; fit a sample of them that fits in memory, or see the documentation of clusters"
)


@dataclass(frozen=True, eq=False)
class Partition:
    """Some consecutive rows, where they are.

    Attributes:
        first: number of the first one among all.
        x: the rows, shape (m, d).
        weight: their sample weights, shape (m,), or None.
        allowed: which components they may come from, by kinds of its own, or None.
    """

    first: int
    x: Float[Tensor, "m d"]
    weight: Float[Tensor, "m"] | None = None
    allowed: Allowed | None = None

    def __sizeof__(self) -> int:
        """Bytes of the rows, too: a scheduler that knows them does not move them lightly."""
        return object.__sizeof__(self) + self.x.nbytes

    def at(self, rows: Int[Tensor, "m"]) -> Partition:
        """Some of its rows, by their numbers in it."""
        weight = None if self.weight is None else self.weight[rows]
        allowed = None if self.allowed is None else self.allowed.subset(rows)
        return Partition(self.first, self.x[rows], weight, allowed)


def named_partitions(parts: Sequence[Partition], names: Sequence[str]) -> Sequence[tuple[Any, ...]]:
    """What a survey takes of partitions, with what messages call these."""

    def named(i: int) -> tuple[Any, ...]:
        part = parts[i]
        return part.x, names[i], part.weight, part.allowed

    return OneByOne(len(names), named)


@dataclass(frozen=True, eq=False)
class Described:
    """What is known of all points, which goes to each partition.

    Attributes:
        feature_names: d column names.
        origin: means of the columns, shape (d,).
        scale: standard deviations of the columns, shape (d,).
        compiled: whether reductions are compiled.
        table: the components that points of a kind may come from, if something is known of that.
        noise: log density of a component of noise, in nats, of points; None without one.
    """

    feature_names: tuple[str, ...]
    origin: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]
    compiled: bool = False
    table: Bool[Tensor, "g k"] | None = None
    noise: Callable[[Points], Tensor] | None = None

    def observations(self, partition: Partition) -> Observations:
        """Rows as observations, which know where they are among all."""
        allowed = None
        if self.table is not None and partition.allowed is not None:
            allowed = partition.allowed.among(self.table)
        found = Observations(
            *(partition.x, self.feature_names, self.origin, self.scale, partition.weight),
            allowed=allowed,
            compiled=self.compiled,
            first=partition.first,
        )
        return found if self.noise is None else replace(found, log_noise=self.noise(found))


@dataclass(frozen=True)
class There:
    """In the place of something that there is of each point, and that is with the points.

    Attributes:
        what: it is.
        total: its sum, if that is known.
        positive: how many are positive in each partition, if that is known.
    """

    what: str
    total: float = math.nan
    positive: tuple[int, ...] = ()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ValueError(AWAY.format(what=self.what))

    def __getitem__(self, index: Any) -> NoReturn:
        raise ValueError(AWAY.format(what=self.what))


class AllowedThere(Allowed):
    """Which components points may come from, by kinds that are with the points.

    Args:
        table: the components that points of a kind may come from.
        n_known: how many points there are of which something is known.
    """

    def __init__(self, table: Bool[Tensor, "g k"], n_known: int) -> None:
        self.__dict__.update(kind=There("labels"), table=table, known_rows=n_known)

    @property
    def n_known(self) -> int:
        """See `Allowed`."""
        found: int = self.__dict__["known_rows"]
        return found

    @property
    def known(self) -> NoReturn:
        """Refused: there are as many as points."""
        raise ValueError(AWAY.format(what="labels"))
