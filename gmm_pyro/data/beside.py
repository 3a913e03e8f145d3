"""What there is of each point beside its values, where data are elsewhere: weights and labels.

It is a column of theirs, or is in partitions of its own, which are those of the points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .allowed import Allowed
from .checks import shown
from .tables import is_a, to_numeric


@dataclass(frozen=True, eq=False)
class Beside:
    """A number for each point.

    Attributes:
        what: messages call it.
        column: what it is called in the parts of the points, if it is there.
        parts: those that it is in, if it is not.
    """

    what: str
    column: str | None
    parts: tuple[Any, ...] = ()

    def numbers(self, values: Any, n: int, name: str) -> Float[Tensor, "n"]:
        """Of one part, in float64.

        Raises:
            ValueError: if they are no numbers, or not as many as points.
        """
        array, _ = to_numeric(values, f"{self.what} of {name}")
        found = array if isinstance(array, Tensor) else torch.from_numpy(array.astype(float))
        if found.shape != (n,):
            raise ValueError(
                f"{self.what} must have a number for each of the {n} rows of {name}, got shape "
                f"{tuple(found.shape)}"
            )
        return found.double()


def columns_beside(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns of the data that hold no features."""
    return tuple(value for value in given.values() if isinstance(value, str))


def beside(
    given: Mapping[str, Any], count: int, sizes: Sequence[float] | None, *, in_columns: bool
) -> tuple[Beside, ...]:
    """What is given of points by name, where it is not None.

    Args:
        given: the name of a column, a Dask array or a Dask series.
        count: parts that the points are in.
        sizes: rows of these, where they are known.
        in_columns: whether points are in columns that have names.

    Raises:
        ValueError: if it is anything else, or in other partitions.
    """
    found = []
    for what, value in given.items():
        if isinstance(value, str) and in_columns:
            found.append(Beside(what, value))
        elif value is not None:
            found.append(Beside(what, None, _parts(what, value, count, sizes)))
    return tuple(found)


def _parts(what: str, given: Any, count: int, sizes: Sequence[float] | None) -> tuple[Any, ...]:
    is_array = is_a(given, "dask.array", "Array") and given.ndim == 1
    if not (is_array or is_a(given, "dask.dataframe", "Series")):
        raise ValueError(
            f"{what} of data in partitions must be a Dask array or series in the same partitions, "
            f"one number a point, or the name of a column of a frame or of files; got "
            f"{shown(given)}"
        )
    if is_array and sizes and sum(sizes) == sum(given.chunks[0]):  # never where one is NaN
        given = given.rechunk((tuple(sizes),))
    parts = tuple(given.to_delayed())
    if len(parts) != count:
        raise ValueError(f"{what} must be in the {count} partitions of x, got {len(parts)}")
    return parts


def allowed_by(labels: Float[Tensor, "n"], k: int, name: str) -> Allowed:
    """What the labels of a part say of the components of its points.

    Raises:
        ValueError: if one is no number of a component.
    """
    found = None
    if len(labels):
        try:
            found = Allowed.of(labels.numpy(), len(labels), k, labels.device)
        except ValueError as error:
            raise ValueError(f"{error} of {name}") from None
    if found is None:
        nothing = torch.zeros(len(labels), dtype=torch.int64)
        return Allowed(nothing, torch.ones(1, k, dtype=torch.bool))
    return found
