"""Methods held against each other on the same data sets, by one measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...data.words import counted, listed
from .rows import Rows


@dataclass(frozen=True, eq=False)
class Contest:
    """How bad k methods are on n data sets on which all of them have been run.

    Attributes:
        measure: name of the measure.
        methods: names of the methods.
        table: badness, less being better; infinite where a method failed or has no finite number.
        left_out: methods that the measure does not apply to: none of their answers has a number.
        n_open: number of data sets on which one has not been run yet.
    """

    measure: str
    methods: tuple[str, ...]
    table: Float[np.ndarray, "n k"]
    left_out: tuple[str, ...]
    n_open: int

    def notes(self) -> Iterator[str]:
        """What is not in it."""
        if self.left_out:
            yield f"Without any {self.measure}, and left out: {listed(self.left_out)}."
        if self.n_open:
            sets = counted(self.n_open, "data set")
            yield f"Left out as well: {sets} on which not all methods have been run."


def contest_of(rows: Rows, measure: str) -> Contest:
    """The contest of all methods that have the measure."""
    cells = pd.DataFrame(
        {"data": rows.data, "method": rows.frame["method"], "bad": rows.badness(measure)}
    )
    names = [name for name in rows.methods if _applies(rows, measure, name)]
    wide = cells.pivot(index="data", columns="method", values="bad")[names]
    whole = rows.ran[names].all(axis=1)
    return Contest(
        measure,
        tuple(names),
        wide[whole].to_numpy(dtype=float),
        tuple(name for name in rows.methods if name not in names),
        int((~whole).sum()),
    )


def _applies(rows: Rows, measure: str, method: str) -> bool:
    """Whether a method's answers may have a measure: one has, or there is no answer."""
    own = (rows.frame["method"] == method).to_numpy() & ~rows.failed
    return not own.any() or bool(np.isfinite(rows.values(measure)[own]).any())
