"""Data that are not in this process: what Dask has in partitions, and files of Parquet.

Each is a list of parts that tasks read, and names of columns. What an object is, its class says, as
in `tables.py`: no library is imported for the question.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..running.places import OneByOne
from ..running.threads import alone
from .beside import Beside, allowed_by, beside, columns_beside
from .features import default_names, lacks, listed, places
from .parquet import RowGroup, files_of, footer, names_files
from .partition import Partition, named_partitions
from .partitioned import Partitioned, surveyed
from .tables import Names, axis_names, feature_columns, is_a, to_numeric
from .workers import say_unlike

if TYPE_CHECKING:
    from ..running.on_dask import OnDask


@dataclass(frozen=True, eq=False)
class Source:
    """Parts of data that are elsewhere.

    Attributes:
        parts: one for each partition: what comes of it is an array, a frame or a `RowGroup`.
        labels: what messages call them.
        names: of the features.
        columns: what these are called in the parts; None where they go by their position.
        sizes: rows of the parts, where they are known.
        beside: what there is of points beside their values.
    """

    parts: tuple[Any, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    sizes: tuple[float, ...] | None = None
    beside: tuple[Beside, ...] = ()

    @property
    def all_parts(self) -> tuple[Any, ...]:
        """The parts, each with those of what is beside it."""
        others = [some.parts for some in self.beside if some.column is None]
        return tuple(zip(self.parts, *others, strict=True)) if others else self.parts

    @property
    def counted(self) -> tuple[int, ...] | None:
        """Rows of the parts, where all are known and none is empty."""
        rows = self.rows
        return tuple(map(int, rows)) if all(n > 0 for n in rows) else None

    @property
    def rows(self) -> tuple[float, ...]:
        """Rows of the parts, NaN where they are not known."""
        return self.sizes or (math.nan,) * len(self.parts)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that the parts are of, if they are."""
        paths = (part.path for part in self.parts if isinstance(part, RowGroup))
        return tuple(dict.fromkeys(paths))

    def reader(self, dtype: torch.dtype, k: int = 1) -> Reader:
        """What makes points of the parts, where there are k components."""
        return Reader(len(self.names), self.columns, dtype, self.beside, k)


def is_away(x: Any) -> bool:
    """Whether data are not in this process, so that work has to go to them."""
    return (
        isinstance(x, Partitioned)
        or is_a(x, "dask.array", "Array")
        or is_a(x, "dask.dataframe", "DataFrame")
        or _is_lazy(x)
        or names_files(x)
    )


def observed_away(
    x: Any, names: Sequence[str] | None, dtype: torch.dtype, k: int = 1, **given: Any
) -> Partitioned:
    """Observations of data that are elsewhere, after a pass over them.

    They are kept in the memory of the workers if they fit there, and read in every pass if not.
    Where it is known beforehand how many rows they have, they are read once in all, then.

    Args:
        x: a Dask array or frame, an array of xarray with one inside, or files of Parquet: a folder,
            a file, or a pattern of names.
        names: of the features, if they are known.
        dtype: floating-point type of the work.
        k: number of components, which labels are of.
        **given: `sample_weight` and `labels` of points: each a Dask array or series in the
            partitions of the data, or the name of a column of a frame or of files; None without.

    Raises:
        ValueError: if any of it cannot be read, or no fit can take it.
    """
    if isinstance(x, Partitioned):
        x.refuse_others(given)
        return x
    from ..running.on_dask import in_lots

    say_unlike()
    source = source_of(x, names, **given)
    read, places = source.reader(dtype, k), None
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
    return Partitioned(places, sizes, described, dtype, found, files=source.files)


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
        points = torch.as_tensor(to_numeric(found, name, wanted)[0])
        points = points[:, None] if points.ndim == 1 else points
        if points.ndim != 2 or points.shape[1] != self.d + len(more):
            raise ValueError(f"{name} must have {self.d} columns, got shape {tuple(points.shape)}")
        return points


def source_of(x: Any, names: Sequence[str] | None = None, **given: Any) -> Source:
    """The parts of data that are elsewhere, and what is given as `observed_away` has it.

    Raises:
        ValueError: if they are none that can be read.
    """
    _refuse_without_dask()
    apart = columns_beside(given)
    if isinstance(x, str | Path):
        found = _of_files(str(x), names, apart)
    elif is_a(x, "dask.dataframe", "DataFrame"):
        found = _of_frame(x, names, apart)
    else:
        own = axis_names(x) if _is_lazy(x) else None
        found = _of_array(x.data if _is_lazy(x) else x, own, names)
    named, count = found.columns is not None, len(found.parts)
    return replace(found, beside=beside(given, count, found.sizes, in_columns=named))


def _of_array(x: Any, own: tuple[str, ...] | None, names: Sequence[str] | None) -> Source:
    """Of a Dask array, whose rows are cut up and whose columns are not."""
    x = _two_dimensional(x)
    chosen = None if names is None or own is None else places(names, own)
    x = x if chosen is None else x[:, chosen]
    d = x.shape[1]
    if names is not None and len(names) != d:
        raise ValueError(f"x must have {len(names)} features, got {d}: shape {tuple(x.shape)}")
    parts = tuple(x.rechunk({1: -1}).to_delayed()[:, 0])
    called = tuple(names or own or default_names(d))
    return Source(parts, _numbered(parts), called, sizes=x.chunks[0])


def _two_dimensional(x: Any) -> Any:
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or not x.shape[1] > 0:  # NaN, too: where it is not known
        raise ValueError(
            f"x must have shape (n, d), or (n,) for univariate data; got {tuple(x.shape)}"
        )
    return x


def _of_frame(x: Any, names: Sequence[str] | None, apart: Names) -> Source:
    parts = tuple(x.to_delayed())
    return Source(parts, _numbered(parts), *feature_columns(x.dtypes, names, apart))


def _of_files(pattern: str, names: Sequence[str] | None, apart: Names) -> Source:
    """Of files of Parquet, a row group a part: workers read the footers, too."""
    from dask.delayed import delayed

    from ..running.on_dask import computed

    files = files_of(pattern)
    footers = computed([delayed(footer, pure=False)(file) for file in files])
    both = [(file, rows) for file, (rows, _) in zip(files, footers, strict=True)]
    groups = tuple(RowGroup(file, i) for file, rows in both for i in range(len(rows)))
    sizes = tuple(n for _, rows in both for n in rows)
    return Source(
        groups, tuple(map(str, groups)), *feature_columns(footers[0][1], names, apart), sizes
    )


def _numbered(parts: Sequence[Any]) -> tuple[str, ...]:
    return tuple(f"partition {i}" for i in range(len(parts)))


def _is_lazy(x: Any) -> bool:
    """Whether x is an array of xarray with one of Dask's inside."""
    if not is_a(x, "xarray", "DataArray") or "dask.array" not in sys.modules:
        return False
    return is_a(x.variable._data, "dask.array", "Array")  # `data` would read a file


def _refuse_without_dask() -> None:
    try:
        import dask  # noqa: F401, PLC0415
        import distributed  # noqa: F401, PLC0415
    except ImportError as error:
        raise ValueError(
            f"data in partitions need Dask ({error}): pip install 'gmm-pyro[cluster]'"
        ) from None
