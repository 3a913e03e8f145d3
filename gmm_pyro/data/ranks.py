"""Rows that the processes of `torch.distributed` have, as one data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import distributed

from ..running.on_ranks import OnRanks, gathered
from ..running.places import Here
from .devices import precision_of
from .features import listed
from .observations import as_points
from .partition import Partition
from .partitioned import Partitioned, surveyed
from .points import Points


def across_ranks(*x: Any, dtype: torch.dtype | str | None = None) -> Partitioned:
    """Observations of the rows of all ranks, those of one rank after those of the rank before.

    Each rank keeps its own, and sums alone go to the others. All ranks make the same calls then, as
    `gmm_pyro.fit` of these observations, and all have the same result, to the last bit.

    Args:
        *x: rows of this rank, shape (m, d): one array-like, or several, each of which is a
            partition. The result depends on what the partitions are, not on which rank has which.
        dtype: floating-point type of the work, or its name; float64 if None.

    Raises:
        ValueError: if there is no process group, a rank has no rows or other columns than the
            others, or no fit can take the points. All ranks raise it.
        ConnectionError: if a rank is not there any more.

    Example:
        >>> from torch import distributed
        >>> store = distributed.HashStore()
        >>> distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
        >>> across_ranks([[0.0, 1.0], [2.0, 1.5], [4.0, 5.0]]).n
        3
        >>> distributed.destroy_process_group()
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        raise ValueError(
            "points across ranks need a process group of torch.distributed: call "
            "torch.distributed.init_process_group('gloo') before, and start the ranks by torchrun"
        )
    rank, kind = distributed.get_rank(), precision_of(dtype)
    own: list[Points] = []

    def told() -> tuple[tuple[str, ...], torch.dtype, list[int]]:
        own.extend(_points(x, rank, kind))
        return own[0].feature_names, kind, [points.n for points in own]

    facts = gathered(told)
    names = _same([(names, kind) for names, kind, _ in facts])
    sizes = [n for _, _, ns in facts for n in ns]
    counts = tuple(len(ns) for _, _, ns in facts)
    begin = sum(counts[:rank])
    named = [(points.x, f"partition {begin + i}") for i, points in enumerate(own)]
    found = surveyed(OnRanks(Here(named), counts))
    found.refuse_flawed(names)
    described = found.described(names)
    parts = [Partition(sum(sizes[: begin + i]), points.x) for i, points in enumerate(own)]
    return Partitioned(OnRanks(Here(parts), counts), tuple(sizes), described, kind, found)


def _points(parts: Sequence[Any], rank: int, dtype: torch.dtype) -> list[Points]:
    """Points of the partitions of a rank, with features of the same names."""
    if not parts:
        raise ValueError(f"rank {rank} has no rows: share the rows out, so that each rank has some")
    found: list[Points] = []
    for part in parts:
        names = found[0].feature_names if found else None
        try:
            points = as_points(part, feature_names=names, dtype=dtype, missing="integrate")
        except ValueError as error:
            raise ValueError(f"rank {rank}: {error}") from error
        found.append(points)
    return found


def _same(kinds: Sequence[tuple[tuple[str, ...], torch.dtype]]) -> tuple[str, ...]:
    """The names of the features, which all ranks have, and points of the same type."""
    told = [f"{listed(names)} of {dtype}" for names, dtype in kinds]
    for rank, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(
                "all ranks must have the same columns in the same order, and the same dtype: rank "
                f"0 has {told[0]}, and rank {rank} {told[rank]}"
            )
    return kinds[0][0]
