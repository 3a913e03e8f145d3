"""What is done at partitions, wherever they are: functions that can be sent there.

Those of a partition are for `Places`, those of observations for `Partitioned.fold`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..running.counting import places_of
from .partition import Described, Partition
from .points import Observations

Result = TypeVar("Result")


def done(
    partition: Partition, work: Callable[[Observations], Result], described: Described
) -> Result:
    """Work on all of its rows."""
    return work(described.observations(partition))


def done_at(
    partition: Partition,
    rows: Int[Tensor, "m"],
    work: Callable[[Observations], Result],
    described: Described,
) -> Result:
    """Work on some of its rows, in any order."""
    return work(described.observations(partition.at(rows)))


def places_by_kind(points: Observations, n: int, most: int, seed: int) -> tuple[Tensor, Tensor]:
    """In the order of all rows, the first places of which something is known, and of others."""
    assert points.allowed is not None
    rows = torch.arange(points.first, points.first + points.n)
    place, known = places_of(rows, n, seed), points.allowed.known
    return place[known].sort().values[:most], place[~known].sort().values[:most]


def first_by_kind(
    one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], most: int
) -> tuple[Tensor, Tensor]:
    """The first places of two parts, by kind."""
    a, b = (torch.cat(both).sort().values[:most] for both in zip(one, other, strict=True))
    return a, b


def ends_of(points: Observations) -> Float[Tensor, "2 d"]:
    """Lowest and highest values, the other way round where no point has a weight."""
    if points.n_weighted:
        return points.ends
    return points.scale.new_tensor([[torch.inf], [-torch.inf]]).expand(2, points.d)


def reached(points: Observations) -> bool:
    """Whether a component of noise has a density at any of the points."""
    return points.reached_by_noise


def rows_of(partition: Partition, rows: Int[Tensor, "m"]) -> Partition:
    """Some of its rows, in any order."""
    return partition.at(rows)


def positive_rows(partition: Partition, places: Int[Tensor, "m"]) -> Int[Tensor, "m"]:
    """Rows by their places among those of positive weight."""
    weight = (
        partition.x.new_ones(len(partition.x)) if partition.weight is None else partition.weight
    )
    return (weight > 0).nonzero()[:, 0][places]


def as_it_is(partition: Any) -> Any:
    """The partition itself."""
    return partition


def located(
    rows: Int[Tensor, "m"], sizes: Sequence[int]
) -> tuple[Int[Tensor, "m"], Int[Tensor, "m"]]:
    """In which of parts of these sizes some rows are, and where in it."""
    ends = torch.tensor(sizes).cumsum(0)
    number = torch.searchsorted(ends, rows, right=True)
    return number, rows - (ends - torch.tensor(sizes))[number]
