"""The rows of a study as one tidy frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .cell import Row
from .measures.registry import REGRET
from .plan import Plan

UNSOUND = "degenerate"  # a status whose likelihood no other is held against
BEFORE = ("design",)  # columns before the factors, and after them
AFTER = ("replicate", "method", "status", "reason")
LAST = ("seconds", "memory", "data_seed", "method_seed", "versions")


def frame_of(plan: Plan, rows: Mapping[str, Row]) -> pd.DataFrame:
    """A row for each cell that has one, in the order of the study, whenever they came."""
    factors = factors_of(plan)
    cells = [cell for cell in plan.cells() if cell.key in rows]
    found = [rows[cell.key] for cell in cells]
    settings = [plan.designs[cell.design].settings[cell.setting] for cell in cells]
    columns: dict[str, Any] = {"design": [plan.designs[cell.design].name for cell in cells]}
    columns |= {name: _levels([setting.get(name) for setting in settings]) for name in factors}
    columns["replicate"] = [cell.replicate for cell in cells]
    columns["method"] = [plan.methods[cell.method].name for cell in cells]
    columns |= {name: [getattr(row, name) for row in found] for name in ("status", "reason")}
    for name in plan.measures:
        values = [row.measures.get(name, math.nan) for row in found]
        columns[name] = np.array(values, dtype=float)
    columns |= {name: [getattr(row, name) for row in found] for name in ("seconds", "memory")}
    columns |= {name: [getattr(c, name) for c in cells] for name in ("data_seed", "method_seed")}
    columns["versions"] = [row.versions for row in found]
    frame = pd.DataFrame(columns)
    if REGRET in plan.measures:
        frame[REGRET] = _regret(rows, cells)
    return frame


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


def _regret(rows: Mapping[str, Row], cells: list[Any]) -> list[float]:
    """How far each log likelihood is below the best sound one on the same data."""
    best: dict[Any, float] = {}
    values = [rows[cell.key].measures.get("log_likelihood", math.nan) for cell in cells]
    sound = [rows[cell.key].status != UNSOUND for cell in cells]
    for cell, value, is_sound in zip(cells, values, sound, strict=True):
        if is_sound and math.isfinite(value):
            best[cell.data] = max(value, best.get(cell.data, -math.inf))
    return [
        best.get(cell.data, math.nan) - value if is_sound else math.nan
        for cell, value, is_sound in zip(cells, values, sound, strict=True)
    ]
