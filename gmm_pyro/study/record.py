"""What a page needs to know of the results of a study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from .cell import Row
from .plan import Plan
from .statistics import Differences, Profile, Ranks, Summary


class Found(Protocol):
    """Results of a study: see `StudyResults`, whose parts these are."""

    @property
    def plan(self) -> Plan:
        """What the study is."""

    @property
    def rows(self) -> Mapping[str, Row]:
        """What came of the cells."""

    @property
    def toml(self) -> str | None:
        """The study as TOML, where it can be written so."""

    @property
    def folder(self) -> Path:
        """Where the rows are."""

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each cell that has been run."""

    @property
    def n_cells(self) -> int:
        """How many cells the study has."""

    @property
    def n_left(self) -> int:
        """How many of them have not been run."""

    def table(self, by: Any = ..., measures: Any = ...) -> Summary:
        """Means of measures."""

    def differences(
        self, measure: str, baseline: str | None = ..., *, level: float = ...
    ) -> Differences:
        """Paired differences."""

    def ranks(self, measure: str) -> Ranks:
        """Mean ranks."""

    def profile(self, measure: str) -> Profile:
        """Performance profiles."""
