"""Observations whose points are elsewhere: work goes to their partitions, and sums come back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..running.places import Here, Join, Places
from .points import Observations
from .survey import Survey

Result = TypeVar("Result")

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
    """

    first: int
    x: Float[Tensor, "m d"]

    def __sizeof__(self) -> int:
        """Bytes of the rows, too: a scheduler that knows them does not move them lightly."""
        return object.__sizeof__(self) + self.x.nbytes


@dataclass(frozen=True, eq=False)
class Described:
    """What is known of all points, which goes to each partition.

    Attributes:
        feature_names: d column names.
        origin: means of the columns, shape (d,).
        scale: standard deviations of the columns, shape (d,).
        compiled: whether reductions are compiled.
    """

    feature_names: tuple[str, ...]
    origin: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]
    compiled: bool = False

    def observations(self, partition: Partition) -> Observations:
        """Rows as observations, which know where they are among all."""
        return Observations(
            *(partition.x, self.feature_names, self.origin, self.scale, None),
            compiled=self.compiled,
            first=partition.first,
        )


class Partitioned(Observations):
    """n points in partitions, with what every method needs to know about them.

    A method asks them for sums over all rows, and for a part of them that is drawn by their
    numbers, which comes here. What needs every point by itself is refused.

    Args:
        places: where the partitions are; each comes to work as a `Partition`.
        sizes: rows in each of them, all positive.
        described: what is known of all.
        dtype: type of number of the points.
    """

    places: Places
    sizes: tuple[int, ...]
    described: Described

    def __init__(
        self, places: Places, sizes: tuple[int, ...], described: Described, dtype: torch.dtype
    ) -> None:
        absent = dict.fromkeys(("measured", "allowed", "log_noise", "sample_weight"))
        self.__dict__.update(  # what is a frozen class's, or a cached property
            places=places,
            sizes=sizes,
            described=described,
            n=sum(sizes),
            d=len(described.feature_names),
            dtype=dtype,
            device=torch.device("cpu"),
            feature_names=described.feature_names,
            origin=described.origin,
            scale=described.scale,
            compiled=described.compiled,
            total_weight=float(sum(sizes)),
            first=0,
            cache={},
            **absent,
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name == "x":
            raise ValueError(AWAY.format(what="x"))
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def weights(self) -> NoReturn:
        """Refused: there are as many as points."""
        raise ValueError(AWAY.format(what="weights"))

    def about(self, origin: Float[Tensor, "d"]) -> NoReturn:
        """Refused: see `Points`."""
        raise ValueError(AWAY.format(what="values of every point"))

    def compiling(self, compiled: bool) -> Partitioned:  # noqa: FBT001 - as of its parent
        """See `Observations`."""
        found = copy.copy(self)
        described = replace(self.described, compiled=compiled)
        found.__dict__.update(compiled=compiled, described=described, cache={})
        return found

    def fold(self, work: Callable[[Observations], Result], join: Join[Result]) -> Result:
        """What comes of all partitions as observations, joined in an order of their number alone.

        Args:
            work: of one of them, which can be pickled.
            join: makes one of the results of neighbours.
        """
        return self.places.fold(partial(_done, work=work, described=self.described), join)

    def subset(self, index: Int[Tensor, "m"] | slice) -> Observations:
        """The points at `index`, which come here, with the whole data's origin and scale."""
        rows = torch.arange(*index.indices(self.n)) if isinstance(index, slice) else index
        ends = torch.tensor(self.sizes).cumsum(0)
        number = torch.searchsorted(ends, rows, right=True)
        starts = ends - torch.tensor(self.sizes)
        found = rows.new_empty(len(rows), self.d, dtype=self.dtype)
        works = {
            i: partial(_taken, rows=rows[number == i] - starts[i]) for i in number.unique().tolist()
        }
        for i, x in self.places.each(works).items():
            found[number == i] = x
        whole = self.described.observations(Partition(0, found))
        return replace(whole, compiled=self.compiled)

    def part(self, most: int, generator: torch.Generator) -> Observations:
        """Observations here: all of them, or a random part of so many where they are more."""
        return self.subset(slice(None)) if self.n <= most else super().part(most, generator)

    def held(self) -> Partitioned:
        """The same points in the same partitions, in the memory of this process.

        A fit of them is the same as one of these to the last bit, on the same kind of processor.
        """
        parts = self.places.each(dict.fromkeys(range(len(self.sizes)), _same))
        return self._at(Here([parts[i] for i in range(len(self.sizes))]))

    def _at(self, places: Places) -> Partitioned:
        found = copy.copy(self)
        found.__dict__.update(places=places, cache={})
        return found


def refuse_partitioned(points: Observations, what: str) -> None:
    """Refuse data in partitions to what needs every point by itself.

    Raises:
        ValueError: with the name of what it is that does.
    """
    if isinstance(points, Partitioned):
        message = f"{what} is for points in memory, and these are in partitions"
        raise ValueError(message)  # noqa: TRY004 - it is what was given


def surveyed(places: Places) -> Survey:
    """The survey of partitions that come to work as (x, name)."""
    return places.fold(_survey, Survey.joined)


def _survey(named: tuple[Tensor, str]) -> Survey:
    return Survey.of(*named)


def _done(
    partition: Partition, work: Callable[[Observations], Result], described: Described
) -> Result:
    return work(described.observations(partition))


def _taken(partition: Partition, rows: Int[Tensor, "m"]) -> Tensor:
    return partition.x[rows]


def _same(partition: Any) -> Any:
    return partition
