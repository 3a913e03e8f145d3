"""Where the partitions of a data set are, and how work gets to them: here, or behind a scheduler.

Work goes to the data, and what comes back is joined in pairs on its way, in an order that the
number of partitions alone decides: it is the same to the last bit whoever has done which part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .threads import alone, in_pairs, in_pairs_at, map_in_threads

Result = TypeVar("Result")
Work = Callable[[Any], Result]  # of one partition; it can be pickled
ToldWork = Callable[[Any, Any], Result]  # of one partition, and of what it is told beside it
Join = Callable[[Result, Result], Result]


class Places(Protocol):
    """Partitions, wherever they are."""

    def fold(self, work: Work[Result], join: Join[Result]) -> Result:
        """What comes of all partitions, joined."""
        ...

    def fold_some(
        self, work: ToldWork[Result], told: Mapping[int, Any], join: Join[Result]
    ) -> Result:
        """What comes of some partitions, joined as if others gave nothing.

        Args:
            work: of a partition and what it is told.
            told: by the numbers of those that are meant, one or more.
            join: makes one of the results of neighbours.
        """
        ...

    def each(self, works: Mapping[int, Work[Result]]) -> dict[int, Result]:
        """What comes of some partitions, by their numbers: each has work of its own."""
        ...

    def partitions(self, count: int) -> Iterator[Any]:
        """So many partitions one by one: as values of Dask's, or themselves if they are here."""
        ...

    def asked(self, question: Callable[[], Any]) -> dict[str, Any]:
        """What each other process answers that works on the partitions, by its name."""
        ...


@dataclass(frozen=True, eq=False)
class OneByOne(Sequence[Result]):
    """Values that are made when they are asked for, so that none waits in memory for the others.

    Attributes:
        length: how many there are.
        make: one, by its number.
    """

    length: int
    make: Callable[[int], Result]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: Any) -> Any:
        """The value of this number, made anew."""
        return self.make(range(self.length)[number])


@dataclass(frozen=True, eq=False)
class Here:
    """Partitions in this process.

    Attributes:
        held: one or more.
    """

    held: Sequence[Any]

    def fold(self, work: Work[Result], join: Join[Result]) -> Result:
        """See `Places`."""
        return in_pairs(self.results(work), join)

    def results(self, work: Work[Result]) -> list[Result]:
        """What comes of each partition, in their order."""

        def done(partition: Any) -> Result:
            with alone():
                return work(partition)

        return map_in_threads(lambda: done, list(self.held))

    def fold_some(
        self, work: ToldWork[Result], told: Mapping[int, Any], join: Join[Result]
    ) -> Result:
        """See `Places`."""

        def done(number: int) -> Result:
            with alone():
                return work(self.held[number], told[number])

        found = map_in_threads(lambda: done, list(told))
        return in_pairs_at(dict(zip(told, found, strict=True)), join)

    def each(self, works: Mapping[int, Work[Result]]) -> dict[int, Result]:
        """See `Places`."""
        return {number: work(self.held[number]) for number, work in works.items()}

    def partitions(self, count: int) -> Iterator[Any]:
        """See `Places`."""
        return iter(self.held[:count])

    def asked(self, question: Callable[[], Any]) -> dict[str, Any]:
        """See `Places`."""
        del question
        return {}
