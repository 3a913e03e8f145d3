"""Points of a mixture, however many, drawn into files of Parquet a row group at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.checks import check_choice, check_count, check_seed
from ..data.devices import PRECISIONS
from ..disk.placing import whole_file, whole_folder
from ..mixture.value import GaussianMixture
from ..running.threads import map_in_threads, n_threads
from .columns import LABELS
from .formats import library_named

if TYPE_CHECKING:
    import pyarrow

NUMBERS = 2**21  # in a row group, which is what a task reads at a time
GROUPS = 32  # in a file of a folder


@dataclass(frozen=True, kw_only=True)
class Draw:
    """n points of a mixture, in row groups that are drawn each by itself.

    The first one is `mixture.sample(rows, seed)`, and each of the others goes by a seed that is
    made of this one and its number: row groups are the same whichever others there are.

    Attributes:
        mixture: what is drawn from.
        n: number of points.
        seed: of the draw.
        dtype: type of the numbers, float32 or float64.
        labels: whether the component of each point is a column, too: -1 for noise.
    """

    mixture: GaussianMixture
    n: int
    seed: int = 0
    dtype: str = "float64"
    labels: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        check_count("n", self.n, 1)
        check_seed(self.seed)
        check_choice("dtype", self.dtype, PRECISIONS)
        if self.labels and LABELS in self.mixture.feature_names:
            raise ValueError(
                f"a feature is called {LABELS!r}, as the column of components is: leave that away"
            )

    @property
    def rows(self) -> int:
        """Points in a row group; the last may have fewer."""
        return max(1, NUMBERS // self.mixture.n_features)

    @property
    def groups(self) -> range:
        """Numbers of all row groups."""
        return range(math.ceil(self.n / self.rows))

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns, none of which has missing values: they are then read faster."""
        import pyarrow

        kinds = dict.fromkeys(self.mixture.feature_names, self.dtype)
        kinds |= {LABELS: "int64"} if self.labels else {}
        return pyarrow.schema(
            [
                pyarrow.field(name, pyarrow.type_for_alias(kind), nullable=False)
                for name, kind in kinds.items()
            ]
        )

    def table(self, group: int) -> pyarrow.Table:
        """The row group of this number."""
        import pyarrow

        rows = min(self.rows, self.n - group * self.rows)
        sample = self.mixture.sample_labelled(rows, self._seed(group))
        columns = [*sample.x.to(PRECISIONS[self.dtype]).T.contiguous().numpy()]
        columns += [sample.labels.numpy()] if self.labels else []
        return pyarrow.table(columns, schema=self.schema)

    def _seed(self, group: int) -> int:
        if group == 0:
            return self.seed
        (found,) = np.random.SeedSequence([self.seed, group]).generate_state(1, np.uint64)
        return int(found >> 1)  # a signed number of 64 bits


def is_folder(path: str | Path) -> bool:
    """Whether this is a place for files of Parquet: a folder, or a name without an ending.

    Example:
        >>> is_folder("points"), is_folder("points.parquet"), is_folder("points.v2/")
        (True, False, True)
    """
    return Path(path).is_dir() or not Path(path).suffix or str(path).endswith("/")


def write_draw(draw: Draw, path: str | Path, *, force: bool = False) -> Path:
    """Draw points and write them, a few row groups at a time: memory does not grow with them.

    Args:
        draw: what is drawn.
        path: a file of Parquet, or a folder for files of 32 row groups each, whose names are in
            the order of their rows. Either appears when it is whole.
        force: whether files of Parquet in a folder are replaced.

    Raises:
        FileExistsError: if there are files in the folder, without `force`.
        OSError: if it cannot be written.
        ImportError: if pyarrow is not installed.
    """
    path, groups = Path(path), draw.groups
    if not is_folder(path):
        with library_named(path), whole_file(path) as partial:
            _write(draw, groups, partial)
        return path
    with (
        library_named(path / _name(0)),
        whole_folder(path, stale=("*.parquet",), force=force) as folder,
    ):
        for i in range(0, len(groups), GROUPS):
            _write(draw, groups[i : i + GROUPS], folder / _name(i // GROUPS))
    return path


def _name(number: int) -> str:
    return f"{number:05d}.parquet"


def _write(draw: Draw, groups: Sequence[int], path: Path) -> None:
    """A file of some row groups, of which as many are drawn at a time as there are threads.

    Random numbers do not become shorter by compression; labels do by their dictionary.
    """
    import pyarrow.parquet

    kept: dict[str, Any] = {"compression": "none", "write_page_checksum": True}
    kept["use_dictionary"] = [LABELS] if draw.labels else False
    at_once = n_threads()
    with pyarrow.parquet.ParquetWriter(path, draw.schema, **kept) as writer:
        for i in range(0, len(groups), at_once):
            for table in map_in_threads(lambda: draw.table, list(groups[i : i + at_once])):
                writer.write_table(table, row_group_size=len(table))
