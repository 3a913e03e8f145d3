"""The rows of a study as statistics take them: which value counts, and what belongs together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ...comparison.columns import Column, nearest_nominal
from ...data.checks import check_choice, check_list
from ...data.words import counted
from ..cell import FAILED, WRONG
from ..measures.registry import COLUMNS
from ..pool import DIED, TIMED_OUT

FAILURES = (FAILED, WRONG, TIMED_OUT, DIED)  # statuses without an answer
OF_CELLS = ("seconds", "memory")  # what is known of cells beside the measures


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a study.

    Attributes:
        frame: as `StudyResults.frame`, n rows.
        factors: names of the factors of all designs.
        measured: names of the study's measures.
        level: what intervals are to hold of the draws.
        n_left: number of cells that have not been run.
    """

    frame: pd.DataFrame
    factors: tuple[str, ...]
    measured: tuple[str, ...]
    level: float = 0.9
    n_left: int = 0

    @property
    def measures(self) -> tuple[str, ...]:
        """What there are numbers of."""
        return (*self.measured, *OF_CELLS)

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in the order of the study."""
        return tuple(dict.fromkeys(self.frame["method"]))

    @cached_property
    def failed(self) -> Bool[np.ndarray, "n"]:
        """Which cells have no answer."""
        return self.frame["status"].isin(FAILURES).to_numpy()

    @cached_property
    def setting(self) -> Int[np.ndarray, "n"]:
        """The number of each row's setting, of all designs."""
        return numbered(self.frame, ["design", *self.factors])

    @cached_property
    def data(self) -> Int[np.ndarray, "n"]:
        """The number of each row's data set."""
        return numbered(self.frame, ["design", *self.factors, "replicate"])

    def values(self, measure: str) -> Float[np.ndarray, "n"]:
        """A measure of all rows: NaN where a cell failed, or has no finite number."""
        found = self.frame[measure].to_numpy(dtype=float)
        return np.where(np.isfinite(found) & ~self.failed, found, np.nan)

    def by_method(self, measure: str) -> pd.DataFrame:
        """A measure with a row for each data set and a column for each method.

        Only cells that have been run are there: `ran` tells them from those without a value.
        """
        cells = pd.DataFrame(
            {"data": self.data, "method": self.frame["method"], "value": self.values(measure)}
        )
        return cells.pivot(index="data", columns="method", values="value")[list(self.methods)]

    @cached_property
    def ran(self) -> pd.DataFrame:
        """Which cells have been run, in the form of `by_method`."""
        cells = pd.DataFrame({"data": self.data, "method": self.frame["method"], "ran": 1.0})
        wide = cells.pivot(index="data", columns="method", values="ran")
        return wide[list(self.methods)].notna()

    def badness(self, measure: str) -> Float[np.ndarray, "n"]:
        """How bad each value is: the best is the least bad. Infinite where there is none.

        Raises:
            ValueError: if no value of this measure is better than another.
        """
        worse = self.column_with_direction(measure).badness
        values = self.values(measure)
        if worse is None or worse is nearest_nominal:
            bad = np.abs(values - self.level)
        else:
            bad = np.array([worse(value) for value in values.tolist()], dtype=float)
        return np.where(np.isnan(values), np.inf, bad)

    def column_with_direction(self, measure: Any) -> Column:
        """The column of a measure whose values can be better or worse.

        Raises:
            ValueError: if there is no such measure, or none is better.
        """
        found = COLUMNS[self.check_measure(measure)]
        if found.badness is None:
            raise ValueError(
                f"measure must be one of which some values are better; {measure} has no direction"
            )
        return found

    # ------------------------------------------------------------------ what is asked for

    def check_measure(self, measure: Any) -> str:
        """The name of a measure.

        Raises:
            ValueError: if the study has no such measure, or no row.
        """
        found = check_choice("measure", measure, self.measures)
        self.refuse_none(f"a table of measure {found}")
        return found

    def check_names(self, argument: str, value: Any, known: Sequence[str]) -> list[str]:
        """Names of columns, each once.

        Raises:
            ValueError: if one is unknown, or comes twice.
        """
        names = [value] if isinstance(value, str) else check_list(argument, value, "names")
        found = [check_choice(argument, name, known) for name in names]
        if len(set(found)) < len(found):
            raise ValueError(f"{argument} must hold each name once, got {found}")
        return found

    def refuse_none(self, what: str) -> None:
        """Refuse to say something of no cells.

        Raises:
            ValueError: if no cell has been run.
        """
        if not len(self.frame):
            raise ValueError(f"{what} needs cells that have been run, and there are none yet")

    def notes(self) -> tuple[str, ...]:
        """What every table says of a study that is not complete."""
        if not self.n_left:
            return ()
        return (f"The study is not complete: {counted(self.n_left, 'cell')} left to run.",)


def numbered(frame: pd.DataFrame, names: Sequence[str]) -> Int[np.ndarray, "n"]:
    """The number of each row's combination of levels."""
    if not len(frame):
        return np.zeros(0, int)
    return np.unique(_codes(frame, names), axis=0, return_inverse=True)[1].reshape(-1)


def grouped(
    frame: pd.DataFrame, names: Sequence[str]
) -> Iterable[tuple[tuple[Any, ...], Int[np.ndarray, "m"]]]:
    """Levels of some columns and the places of their rows, in the order of the study's levels."""
    number = numbered(frame, names) if names else np.zeros(len(frame), int)
    for i in range(int(number.max(initial=-1)) + 1):
        places = np.flatnonzero(number == i)
        yield tuple(frame[name].iloc[places[0]] for name in names), places


def table_of(
    found: Iterable[tuple[Any, ...]], source: pd.DataFrame, by: Sequence[str], others: Sequence[str]
) -> pd.DataFrame:
    """Groups and numbers as a frame, with levels of the same type as where they come from.

    Raises:
        ValueError: if a column of numbers is called like one that makes groups.
    """
    both = [name for name in by if name in others]
    if both:
        raise ValueError(f"by must not hold {both[0]!r}, as a column of the table is called")
    frame = pd.DataFrame(list(found), columns=[*by, *others])
    return frame.astype({name: source[name].dtype for name in by})


def _codes(frame: pd.DataFrame, names: Sequence[str]) -> Int[np.ndarray, "n p"]:
    """The number of each level, in the order of their coming; no level is one too."""
    columns = [frame[name] for name in names]
    as_words = [column.map(repr) if column.dtype == object else column for column in columns]
    return np.column_stack([pd.factorize(c, use_na_sentinel=False)[0] for c in as_words])
