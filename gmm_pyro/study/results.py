"""What a study has found so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..data.checks import check_path
from ..data.words import counted
from .cell import Row
from .folder import read_plan, read_rows
from .frame import frame_of
from .plan import Plan


@dataclass(frozen=True, eq=False, repr=False)
class StudyResults:
    """What a study has found so far: `frame` has a row for each cell that has been run.

    Attributes:
        plan: what the study is, in words and numbers.
        rows: what came of the cells, by their keys.
        toml: the study as `Study.from_toml` reads it, or None where it cannot be written so.
        folder: where the rows are.
    """

    plan: Plan
    rows: Mapping[str, Row]
    toml: str | None
    folder: Path

    @classmethod
    def load(cls, folder: str | Path) -> StudyResults:
        """The results in a folder, of a study that has been run or is still running.

        Raises:
            OSError: if there is no study.
            ValueError: if a file holds something else.
        """
        folder = check_path("folder", folder)
        plan, toml = read_plan(folder)
        return cls(plan, read_rows(folder), toml, folder)

    def __repr__(self) -> str:
        cells = counted(self.n_cells, "cell")
        left = f", {self.n_left} left to run" if self.n_left else ""
        return f"<results of a study: {cells}{left}>"

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row a cell, in the order of the study, however it was run.

        Columns: `design`; its factors; `replicate`, from 0; `method`; `status`, the word of
        `Fit.status` or "degenerate" for our methods, "done" for those that say nothing, "failed",
        "wrong output", "timed out" or "process ended"; `reason`; the measures, NaN where there is
        none; `seconds` of the method; `memory`, by how many MiB the process grew at most
        meanwhile; `data_seed`, which with the design's kind and factors gives the data again;
        `method_seed`; `versions`.
        """
        return frame_of(self.plan, self.rows)

    @cached_property
    def n_cells(self) -> int:
        """How many cells the study has."""
        return sum(1 for _ in self.plan.cells())

    @cached_property
    def n_left(self) -> int:
        """How many of them have not been run."""
        return sum(1 for cell in self.plan.cells() if cell.key not in self.rows)
