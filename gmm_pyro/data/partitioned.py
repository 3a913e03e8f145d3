"""Observations whose points are elsewhere: work goes to their partitions, and sums come back."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NoReturn, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..running.counting import at_places, random_seed, shuffled
from ..running.places import Here, Join, Places
from .allowed import Allowed
from .partition import AWAY, Described, Partition, There
from .points import Observations, Points
from .spread import joined_ends
from .survey import Survey
from .works import (
    as_it_is,
    done,
    done_at,
    ends_of,
    first_by_kind,
    located,
    places_by_kind,
    positive_rows,
    reached,
    rows_of,
)

Result = TypeVar("Result")

AT_ONCE = 128  # partitions that a minibatch is from, at most: each takes milliseconds to schedule


class Partitioned(Observations):
    """n points in partitions, with what every method needs to know about them.

    A method asks them for sums over all rows, and for a part of them that is drawn by their
    numbers, which comes here. What needs every point by itself is refused.

    Args:
        places: where the partitions are; each comes to work as a `Partition`.
        sizes: rows in each of them, all positive.
        described: what is known of all.
        dtype: type of number of the points.
        survey: of them, where they have been surveyed; they have no weights or labels if not.
        files: names of those that they are read from, if they are.
    """

    places: Places
    sizes: tuple[int, ...]
    described: Described
    weighing: There | None
    files: tuple[str, ...]
    bits: str

    def __init__(
        self,
        places: Places,
        sizes: tuple[int, ...],
        described: Described,
        dtype: torch.dtype,
        survey: Survey | None = None,
        *,
        files: tuple[str, ...] = (),
    ) -> None:
        weights = None if survey is None else survey.weights
        self.__dict__.update(  # what is a frozen class's, or a cached property
            places=places,
            sizes=sizes,
            described=described,
            files=files,
            n=sum(sizes),
            d=len(described.feature_names),
            dtype=dtype,
            device=torch.device("cpu"),
            feature_names=described.feature_names,
            origin=described.origin,
            scale=described.scale,
            compiled=described.compiled,
            sample_weight=weights,
            weighing=weights,
            total_weight=float(sum(sizes)) if weights is None else weights.total,
            first=0,
            cache={},
            measured=None,
            log_noise=None,
            allowed=None if survey is None else survey.allowed,
            bits="" if survey is None else survey.bits.hex(),
        )
        if survey is not None:
            self.__dict__["ends"] = survey.ends

    def __getattr__(self, name: str) -> NoReturn:
        if name == "x":
            raise ValueError(AWAY.format(what="x"))
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def weights(self) -> NoReturn:
        """Refused: there are as many as points."""
        raise ValueError(AWAY.format(what="weights"))

    @property
    def n_weighted(self) -> int:
        """See `Observations`."""
        return self.n if self.weighing is None else sum(self.weighing.positive)

    def weighted_rows(self, places: Int[Tensor, "m"]) -> Int[Tensor, "m"]:
        """See `Observations`."""
        if self.weighing is None:
            return places
        number, own = located(places, self.weighing.positive)
        first, found = torch.tensor((0, *self.sizes)).cumsum(0), torch.empty_like(places)
        works = {
            i: partial(positive_rows, places=own[number == i]) for i in number.unique().tolist()
        }
        for i, rows in self.places.each(works).items():
            found[number == i] = first[i] + rows
        return found

    @cached_property
    def ends(self) -> Float[Tensor, "2 d"]:
        """See `Observations`."""
        return self.fold(ends_of, joined_ends)

    @cached_property
    def reached_by_noise(self) -> bool:
        """See `Observations`."""
        return self.log_noise is None or self.fold(reached, operator.or_)

    def beside_noise(self, noise: Callable[[Points], Tensor] | None) -> Partitioned:
        """See `Points`."""
        found = copy.copy(self)
        found.__dict__.update(
            described=replace(self.described, noise=noise),
            log_noise=None if noise is None else There("log density of the noise"),
            cache={},
        )
        found.__dict__.pop("reached_by_noise", None)
        return found

    def about(self, origin: Float[Tensor, "d"]) -> NoReturn:
        """Refused: see `Points`."""
        raise ValueError(AWAY.format(what="values of every point"))

    @property
    def unlabelled(self) -> Partitioned:
        """See `Points`."""
        if self.allowed is None:
            return self
        found = copy.copy(self)
        found.__dict__.update(allowed=None, described=replace(self.described, table=None), cache={})
        return found

    def refuse_others(self, given: Mapping[str, Any]) -> None:
        """Refuse other weights or labels than these points have.

        Raises:
            ValueError: if there are any.
        """
        own = (None, self.sample_weight, self.allowed)
        for name, value in given.items():
            if not any(value is known for known in own):
                raise ValueError(f"these observations keep their {name}: give the data anew")

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
        return self.places.fold(partial(done, work=work, described=self.described), join)

    def subset(self, index: Int[Tensor, "m"] | slice) -> Observations:
        """The points at `index`, which come here, with the whole data's origin and scale."""
        rows = torch.arange(*index.indices(self.n)) if isinstance(index, slice) else index
        number, place = located(rows, self.sizes)
        found = rows.new_empty(len(rows), self.d, dtype=self.dtype)
        weight = None if self.weighing is None else found.new_empty(len(rows))
        table, kind = self.described.table, torch.zeros_like(rows)
        works = {i: partial(rows_of, rows=place[number == i]) for i in number.unique().tolist()}
        for i, some in self.places.each(works).items():
            found[number == i] = some.x
            if weight is not None and some.weight is not None:
                weight[number == i] = some.weight
            if table is not None and some.allowed is not None:
                kind[number == i] = some.allowed.among(table).kind
        allowed = None if table is None else Allowed(kind, table)
        return self.described.observations(Partition(0, found, weight, allowed))

    def drawn(self, size: int, generator: torch.Generator) -> Observations:
        """See `Observations`: a minibatch, which stays where it is.

        Its rows are those that it has in memory. Where partitions are more than `AT_ONCE`, so many
        of them stand for all: those of a random row from each of as many equal runs of rows, so
        that they are drawn in proportion to their rows, and far from each other in sorted files.
        Each has its share of the batch, of its own random rows. Any place of the batch is as likely
        to have any row, so that sums have the same expectation.

        Source: Hansen & Hurwitz (1943), "On the theory of sampling from finite populations";
        Cochran (1977), "Sampling techniques", chapters 5 and 11.
        """
        if len(self.sizes) <= AT_ONCE:
            rows = torch.randint(self.n, (size,), generator=generator)
            return Batch(self, *located(rows, self.sizes))
        runs = min(AT_ONCE, size)
        shares = torch.rand(runs + size, generator=generator, dtype=torch.float64)
        one = ((torch.arange(runs) + shares[:runs]) * (self.n / runs)).long().clamp_max(self.n - 1)
        turn = torch.randint(runs, (), generator=generator)  # runs with one more are any of them
        number = located(one, self.sizes)[0][(torch.arange(size) + turn) % runs]
        sizes = torch.tensor(self.sizes)[number]
        return Batch(self, number, (shares[runs:] * sizes).long().minimum(sizes - 1))

    def shared_out(self, size: int, generator: torch.Generator) -> list[Callable[[], Observations]]:
        """See `Observations`: parts that stay where they are.

        They are those that they are in memory. Where partitions are more than `AT_ONCE`, each part
        is of so many of them that belong together at random.
        """
        seed = random_seed(generator)
        order: Sequence[int] = range(len(self.sizes))
        if len(order) > AT_ONCE:
            order = shuffled(len(order), len(order), seed).tolist()
        found: list[Callable[[], Observations]] = []
        for first in range(0, len(order), AT_ONCE):
            group = sorted(order[first : first + AT_ONCE])
            n = sum(self.sizes[i] for i in group)
            for start in range(0, n, size):
                rows = partial(shuffled, n, min(size, n - start), seed, start)
                found.append(partial(self._part_of, group, rows))
        return found

    def _part_of(self, group: Sequence[int], rows: Callable[[], Tensor]) -> Observations:
        number, place = located(rows().sort().values, [self.sizes[i] for i in group])
        return Batch(self, torch.tensor(group)[number], place)

    def part(self, most: int, generator: torch.Generator) -> Observations:
        """Observations here: all of them, or a random part of so many where they are more."""
        return self.subset(slice(None)) if self.n <= most else super().part(most, generator)

    def in_order(self, most: int, seed: int) -> tuple[Int[Tensor, "m"], Int[Tensor, "l"]]:
        """See `Observations`."""
        own = partial(places_by_kind, n=self.n, most=most, seed=seed)
        known, others = self.fold(own, partial(first_by_kind, most=most))
        return at_places(known, self.n, seed), at_places(others, self.n, seed)

    def held(self) -> Partitioned:
        """The same points in the same partitions, in the memory of this process.

        A fit of them is the same as one of these to the last bit, on the same kind of processor.
        """
        parts = self.places.each(dict.fromkeys(range(len(self.sizes)), as_it_is))
        return self._at(Here([parts[i] for i in range(len(self.sizes))]))

    def _at(self, places: Places) -> Partitioned:
        found = copy.copy(self)
        found.__dict__.update(places=places, cache={})
        return found


class Batch(Partitioned):
    """Some rows of points in partitions, which stay there: what is asked of them is sums.

    Args:
        whole: all points.
        number: of the partition that each row is in.
        place: of each in it.
    """

    told: Mapping[int, Tensor]

    def __init__(
        self, whole: Partitioned, number: Int[Tensor, "m"], place: Int[Tensor, "m"]
    ) -> None:
        told = {i: place[number == i] for i in number.unique().tolist()}
        self.__dict__.update(whole.__dict__)
        sizes = tuple(map(len, told.values()))
        self.__dict__.update(told=told, sizes=sizes, n=len(number), cache={})

    @property
    def total_weight(self) -> NoReturn:
        """Refused: it is not known before a pass."""
        raise ValueError(AWAY.format(what="weights"))

    def fold(self, work: Callable[[Observations], Result], join: Join[Result]) -> Result:
        """See `Partitioned`."""
        own = partial(done_at, work=work, described=self.described)
        return self.places.fold_some(own, self.told, join)

    def subset(self, index: Int[Tensor, "m"] | slice) -> NoReturn:
        """Refused: no point of a batch comes here."""
        raise ValueError(AWAY.format(what="points of a batch"))


def refuse_partitioned(points: Observations, what: str) -> None:
    """Refuse data in partitions to what needs every point by itself.

    Raises:
        ValueError: with the name of what it is that does.
    """
    if isinstance(points, Partitioned):
        message = f"{what} is for points in memory, and these are in partitions"
        raise ValueError(message)  # noqa: TRY004 - it is what was given


def surveyed(places: Places) -> Survey:
    """The survey of partitions that come to work as (x, name), with weights and labels if any."""
    return places.fold(_survey, Survey.joined)


def _survey(named: tuple[Any, ...]) -> Survey:
    return Survey.of(*named)
