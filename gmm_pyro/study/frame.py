"""The rows of a study as one tidy frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from .answers import UNSOUND
from .cell import Row
from .measures.registry import REGRET
from .plan import Cell, Plan

BEFORE = ("design",)  # columns before the factors, and after them
AFTER = ("replicate", "method", "status", "reason")
LAST = ("seconds", "memory", "data_seed", "method_seed", "versions")


def frame_of(plan: Plan, rows: Mapping[str, Row]) -> pd.DataFrame:
    """A row for each cell that has one, in the order of the study, whenever they came."""
    cells = [cell for cell in plan.cells() if cell.key in rows]
    found = [rows[cell.key] for cell in cells]
    columns = _of_data(plan, cells) | _attributes(found, ("status", "reason"))
    columns |= {name: _numbers(found, name) for name in plan.measures}
    columns |= _attributes(found, ("seconds", "memory"))
    columns |= _attributes(cells, ("data_seed", "method_seed"))
    columns |= _attributes(found, ("versions",))
    if REGRET in plan.measures:
        columns[REGRET] = _regret(found, cells)
    return pd.DataFrame(columns)


def _of_data(plan: Plan, cells: Sequence[Cell]) -> dict[str, Any]:
    """What each cell is: design, factors, replicate, method."""
    designs = [plan.designs[cell.design] for cell in cells]
    settings = [d.settings[cell.setting] for d, cell in zip(designs, cells, strict=True)]
    levels = {
        name: _levels([setting.get(name) for setting in settings]) for name in factors_of(plan)
    }
    return {
        **_attributes(designs, ("name",), "design"),
        **levels,
        **_attributes(cells, ("replicate",)),
        **_attributes([plan.methods[cell.method] for cell in cells], ("name",), "method"),
    }


def _attributes(things: Sequence[Any], names: Sequence[str], called: str = "") -> dict[str, Any]:
    """Columns of attributes, by their names or another one."""
    return {called or name: [getattr(thing, name) for thing in things] for name in names}


def _numbers(rows: Sequence[Row], name: str) -> Float[np.ndarray, "n"]:
    """A measure of all rows, NaN where there is none."""
    return np.array([row.measures.get(name, math.nan) for row in rows], dtype=float)


def _levels(values: list[Any]) -> Any:
    """Levels of a factor: whole numbers stay so where some designs do not have it."""
    whole = all(value is None or type(value) is int for value in values)
    return pd.array(values, dtype="Int64") if whole and None in values else values


def factors_of(plan: Plan) -> list[str]:
    """Names of the factors of all designs, in the order of their coming.

    Raises:
        ValueError: if one has the name of another column.
    """
    named = (name for design in plan.designs for setting in design.settings for name in setting)
    found = list(dict.fromkeys(named))
    taken = {*BEFORE, *AFTER, *LAST, *plan.measures} & set(found)
    if taken:
        raise ValueError(
            f"a factor must not be called {taken.pop()!r}, as a column of the frame is"
        )
    return found


def _regret(rows: Sequence[Row], cells: Sequence[Cell]) -> Float[np.ndarray, "n"]:
    """How far each log likelihood is below the best sound one on the same data."""
    sound = np.array([row.status != UNSOUND for row in rows], dtype=bool)
    values = pd.Series(np.where(sound, _numbers(rows, "log_likelihood"), math.nan))
    data = pd.Series([str(cell.data) for cell in cells], dtype=object)
    best = values.where(np.isfinite(values)).groupby(data).transform("max")
    return (best - values).to_numpy()
