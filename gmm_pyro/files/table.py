"""What any file holds, whatever its format: a table."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from .notation import Notation
from .reading import Reading


@dataclass(frozen=True, eq=False)
class DataTable:
    """What a file holds.

    Attributes:
        frame: a row a point; a pandas frame with strings as column names.
        source: what was read, as errors say it.
        name: what the data are called in tables and reports.
        named: whether the columns have names of their own.
        aside: columns that are beside an array of features, and so are none by themselves.
        notes: what was assumed to read it, in words.
        reading: what its reader was told.
        decimal: the character before the decimals of numbers in it.
    """

    frame: pd.DataFrame
    source: str
    name: str
    named: bool = True
    aside: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    reading: Reading = Reading()
    decimal: str = "."

    @property
    def notation(self) -> Notation:
        """How its numbers are written."""
        return Notation(self.decimal, self.reading.thousands, self.reading.currency)
