"""Observations of data that are not in this process, and what is said of each of their points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..running.threads import alone
from .devices import precision_of
from .features import listed
from .parquet import names_files
from .partition import Partition, named_partitions
from .partitioned import Partitioned, surveyed
from .reader import Reader
from .sources import Source, is_lazy, source_of
from .tables import is_a
from .workers import say_unlike

if TYPE_CHECKING:
    from ..running.on_dask import OnDask


def is_away(x: Any) -> bool:
    """Whether data are not in this process, so that work has to go to them."""
    return (
        isinstance(x, Partitioned)
        or is_a(x, "dask.array", "Array")
        or is_a(x, "dask.dataframe", "DataFrame")
        or is_lazy(x)
        or names_files(x)
    )


def observed_away(
    x: Any,
    names: Sequence[str] | None,
    dtype: torch.dtype | str | None = None,
    k: int = 1,
    **given: Any,
) -> Partitioned:
    """Observations of data that are elsewhere, after a pass over them.

    They are kept in the memory of the workers if they fit there, and read in every pass if not.
    Where it is known beforehand how many rows they have, they are read once in all, then.

    Args:
        x: a Dask array or frame, an array of xarray with one inside, or files of Parquet: a folder,
            a file, or a pattern of names.
        names: of the features, if they are known.
        dtype: floating-point type of the work, or its name; that of observations, else float64,
            where None.
        k: number of components, which labels are of.
        **given: `sample_weight` and `labels` of points: each a Dask array or series in the
            partitions of the data, or the name of a column of a frame or of files; None without.

    Raises:
        ValueError: if any of it cannot be read, or no fit can take it.
    """
    if isinstance(x, Partitioned):
        x.refuse_others(given)
        if dtype is not None and precision_of(dtype) != x.dtype:
            raise ValueError(f"these observations are of {x.dtype}: for {dtype} give the data anew")
        return x
    kind = precision_of(dtype)
    from ..running.on_dask import in_lots

    say_unlike()
    source = source_of(x, names, **given)
    read, places = source.reader(kind, k), None
    if source.counted is None:
        found = surveyed(in_lots(source.all_parts, read.named_parts, source.labels))
    else:
        places = _placed(source, read, source.counted)
        found = surveyed(places.then(named_partitions, source.labels))
    found.refuse_flawed(source.names)
    described = found.described(source.names)
    if places is None or found.rows != source.counted:
        places = _placed(source, read, found.rows)
    sizes = tuple(filter(None, found.rows))
    return Partitioned(places, sizes, described, kind, found, files=source.files)


def _placed(source: Source, read: Reader, rows: Sequence[int]) -> OnDask:
    """The parts that have rows as partitions, kept in memory from now on if they fit there."""
    from ..running.on_dask import in_lots, kept, lot_size

    filled = [i for i, n in enumerate(rows) if n]
    firsts = torch.tensor((0, *rows)).cumsum(0).tolist()
    n_bytes = sum(rows) * len(source.names) * read.dtype.itemsize
    told = [(firsts[i], source.labels[i]) for i in filled]
    parts = [source.all_parts[i] for i in filled]
    lots = in_lots(parts, read.partitions, told, lot_size(len(parts), n_bytes))
    return kept(lots, n_bytes)


def mapped(
    x: Any,
    function: Callable[[Float[Tensor, "m d"]], np.ndarray],
    names: Sequence[str] | None,
    like: np.ndarray,
) -> Any:
    """A lazy Dask array of a value for each point, in the partitions of the points.

    Args:
        x: data as `observed_away` takes them, or such observations.
        function: values of some points, which can be pickled.
        names: of the features.
        like: the value of a point, by its shape and type.
    """
    parts = list(_read_parts(x, names))
    from dask import array
    from dask.delayed import delayed

    shared = delayed(function, pure=False, traverse=False)
    answers = [
        array.from_delayed(delayed(_answer)(shared, part, read), (rows, *like.shape), like.dtype)
        for part, read, rows in parts
    ]
    return array.concatenate(answers, allow_unknown_chunksizes=True)


def _read_parts(x: Any, names: Sequence[str] | None) -> Iterator[tuple[Any, Any, float]]:
    """Parts, what makes points of each, and how many rows it has: NaN where that is not known."""
    if isinstance(x, Partitioned):
        if names is not None and tuple(names) != x.feature_names:
            raise ValueError(f"x has the features {listed(x.feature_names)}, not {listed(names)}")
        here: Any = _rows if x.allowed is None else x.described.observations
        for part, n in zip(x.places.partitions(len(x.sizes)), x.sizes, strict=True):
            yield part, here, n
        return
    source = source_of(x, names)
    read = source.reader(torch.float64)
    for part, label, rows in zip(source.parts, source.labels, source.rows, strict=True):
        yield part, partial(read.points, name=label), rows


def _rows(partition: Partition) -> Float[Tensor, "m d"]:
    return partition.x


def _answer(
    function: Callable[[Tensor], np.ndarray], part: Any, read: Callable[[Any], Tensor]
) -> np.ndarray:
    with alone():
        return function(read(part))
