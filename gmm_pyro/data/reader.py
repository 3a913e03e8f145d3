"""How parts of data that are elsewhere become points, in the tasks that work on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..running.places import OneByOne
from .arrays import aliased
from .beside import Beside, allowed_by
from .features import lacks
from .parquet import RowGroup
from .partition import Partition, named_partitions
from .tables import to_numeric


@dataclass(frozen=True)
class Reader:
    """How parts become points.

    Attributes:
        d: number of features.
        columns: what these are called in the parts; None where they go by their position.
        dtype: floating-point type of the points.
        beside: what there is of points beside their values.
        k: number of components, which labels are of.
    """

    d: int
    columns: tuple[str, ...] | None
    dtype: torch.dtype
    beside: tuple[Beside, ...] = ()
    k: int = 1

    def named_parts(self, parts: list[Any], told: list[str]) -> Sequence[tuple[Any, ...]]:
        """Points of parts, with what messages call these, and what is beside them."""
        return named_partitions(self.partitions(parts, [(0, name) for name in told]), told)

    def partitions(self, parts: list[Any], told: list[tuple[int, str]]) -> Sequence[Partition]:
        """Points of parts, with the number of the first row of each: read when they are needed."""
        return OneByOne(len(parts), lambda i: self.partition(parts[i], *told[i]))

    def partition(self, part: Any, first: int, name: str) -> Partition:
        """Points of one part, with what is beside them.

        Raises:
            ValueError: as `points`, or if there are weights or labels of other points.
        """
        part, *others = part if isinstance(part, list) else [part]
        numbers = self._numbers(part, name, [some.column for some in self.beside if some.column])
        n, columns = len(numbers), list(numbers[:, self.d :].double().T)
        features = numbers if not columns else numbers[:, : self.d].contiguous()
        found = {
            some.what: columns.pop(0) if some.column else some.numbers(others.pop(0), n, name)
            for some in self.beside
        }
        weight, labels = found.get("sample_weight"), found.get("labels")
        return Partition(
            first,
            features.to(self.dtype),
            None if weight is None else weight.to(self.dtype),
            None if labels is None else allowed_by(labels, self.k, name),
        )

    def points(self, part: Any, name: str) -> Float[Tensor, "m d"]:
        """Points of one part.

        Raises:
            ValueError: if it has other columns, or does not hold numbers.
        """
        return self._numbers(part, name, ()).to(self.dtype)

    def _numbers(self, part: Any, name: str, more: Sequence[str]) -> Float[Tensor, "m e"]:
        """The features of one part, and more of its columns."""
        wanted, found = None if self.columns is None else (*self.columns, *more), part
        if isinstance(part, RowGroup):
            found = part.content(wanted or (), torch.empty(0, dtype=self.dtype).numpy().dtype)
        if wanted is not None and not isinstance(found, np.ndarray):
            there = [str(column) for column in found.columns]
            missing = [column for column in wanted if column not in there]
            if missing:
                raise ValueError(lacks(name, missing, there))
        try:
            array = to_numeric(found, name, wanted)[0]
        except ValueError as error:
            said = str(error)
            raise ValueError(said if name in said else f"{name}: {said}") from None
        points = array if isinstance(array, Tensor) else aliased(array)
        points = points[:, None] if points.ndim == 1 else points
        if points.ndim != 2 or points.shape[1] != self.d + len(more):
            raise ValueError(f"{name} must have {self.d} columns, got shape {tuple(points.shape)}")
        return points
