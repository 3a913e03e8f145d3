"""What a saved fit says of points in files of Parquet, which whoever reads them writes."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..data.features import check_names
from ..data.parquet import RowGroup
from ..data.reader import Reader
from ..data.sources import source_of
from ..disk.placing import whole_file, whole_folder
from ..disk.untrusted import content_named
from .prediction import predict, refuse_clashes

if TYPE_CHECKING:
    import pyarrow

    from ..mixture.value import GaussianMixture
    from ..posterior import Posterior

PARTS = "part-*.parquet"  # names of the files


@dataclass(frozen=True, eq=False)
class Teller:
    """What is said of points, and where it is written.

    Attributes:
        source: a mixture or draws, as `predict` takes them.
        every_draw: as `predict` takes it.
        read: makes points of a row group.
        keep: columns to stand beside what is said.
        folder: where to write.
    """

    source: GaussianMixture | Posterior
    every_draw: Posterior | None
    read: Reader
    keep: tuple[str, ...]
    folder: Path

    def table(self, group: RowGroup, first: int) -> pyarrow.Table:
        """Of the rows of a group, the first of which has this number: a row for each."""
        import pyarrow

        points = self.read.points(group, str(group))
        with content_named(str(group), ValueError):
            told = predict(self.source, points, every_draw=self.every_draw).frame()
        columns: dict[str, Any] = {"row": np.arange(first, first + len(told))}
        if self.keep:
            kept = group.table(self.keep)
            columns |= {name: kept[name] for name in self.keep}
        columns |= {str(name): told[name].to_numpy() for name in told if name != "row"}
        return pyarrow.table(columns)


def predict_files(
    source: GaussianMixture | Posterior,
    pattern: str,
    folder: str | Path,
    *,
    names: Sequence[str],
    keep: Sequence[str] = (),
    every_draw: Posterior | None = None,
    force: bool = False,
) -> tuple[int, list[Path]]:
    """Write what a fit says of points in files of Parquet, a file for each of their row groups.

    Files are part-00000.parquet and so on, in the order of the row groups, with the columns of
    `Prediction.frame`; `row` counts through all of them. Dask's threads, or the workers of its
    client, write them, so these must see the folder as this process does. The folder appears when
    all is written, or not at all.

    Args:
        source: a mixture or draws, as `predict` takes them.
        pattern: a folder, a file, or a pattern of names.
        folder: where to; folders above it are made.
        names: of the columns that are the features, in the order of the fit's.
        keep: columns of the files to stand beside what is said.
        every_draw: as `predict` takes it.
        force: whether files of an earlier run may be replaced in a folder that is not empty.

    Returns:
        The number of rows, and the paths of the files.

    Raises:
        ValueError: if there are no such files or columns, or values are none that a fit knows.
        OSError: if the folder is not empty, or cannot be written.
    """
    from ..running.on_dask import in_lots, lot_size

    refuse_clashes(keep, noise=source.noise_component is not None)
    found = source_of(pattern, check_names(names))
    rows = [int(n) for n in found.rows]
    filled = [i for i, n in enumerate(rows) if n]
    if not filled:
        raise ValueError(f"there are no rows at {pattern!r}")
    firsts = np.concatenate([[0], np.cumsum(rows)]).tolist()
    digits = max(5, len(str(len(filled) - 1)))
    files = [f"part-{i:0{digits}}.parquet" for i in range(len(filled))]
    groups = [found.parts[i] for i in filled]
    told = [(file, firsts[i]) for file, i in zip(files, filled, strict=True)]
    size = lot_size(len(groups), sum(rows) * (len(names) + source.n_components) * 8)
    with whole_folder(folder, stale=(PARTS,), force=force) as there:
        read = found.reader(torch.float64)
        teller = Teller(source, every_draw, read, tuple(keep), there.resolve())
        n = in_lots(groups, _both, told, size).fold(partial(_written, teller=teller), add)
        _clear(there, files)
    return n, [Path(folder) / file for file in files]


def _both(groups: list[Any], told: Sequence[tuple[str, int]]) -> list[tuple[RowGroup, str, int]]:
    """Row groups with the names of their files, and the numbers of their first rows."""
    return [(group, *more) for group, more in zip(groups, told, strict=True)]


def _written(part: tuple[RowGroup, str, int], teller: Teller) -> int:
    """How many rows have been written."""
    from pyarrow import parquet

    group, name, first = part
    if not teller.folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "workers do not see the folder", str(teller.folder))
    table = teller.table(group, first)
    with whole_file(teller.folder / name) as partly:
        parquet.write_table(table, partly)
    return len(table)


def _clear(folder: Path, files: Sequence[str]) -> None:
    """Remove what workers have left that died, and refuse a folder that lacks a file."""
    for path in folder.iterdir():
        if path.name not in files:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (folder / file for file in files):
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, "workers write to another disk", str(path))
