"""What a study has found so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..data.checks import check_choice, check_path
from ..data.words import counted
from .cell import Row
from .folder import read_plan, read_rows
from .frame import factors_of, frame_of
from .plan import Plan
from .statistics import Differences, Effects, Profile, Ranks, Summary
from .statistics.differences import differences_of
from .statistics.effects import effects_of
from .statistics.profiles import profile_of
from .statistics.ranks import ranks_of
from .statistics.rows import Rows
from .statistics.summary import summary_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure


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
        `Fit.status`, "degenerate" for mixtures with spikes, whose likelihood says nothing, "done"
        for methods that say nothing, "failed", "wrong output", "timed out" or "process ended";
        `reason`; the measures, NaN where there is none; `seconds` of the method; `memory`, by how
        many MiB the process grew at most meanwhile; `data_seed`, which with the design's kind and
        factors gives the data again;
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

    # ------------------------------------------------------------------ statistics

    def table(self, by: Any = ("method",), measures: Any = None, *, of: str = "mean") -> Summary:
        """Means or medians of measures, with Monte Carlo standard errors, cells and failures.

        Standard errors say by how much a number would differ if all data sets were drawn anew at
        the same settings: replicates are what varies, not settings. Methods that failed on
        different data sets are not compared by their means; `differences` does that.

        Args:
            by: names of what makes groups: "design", factors, "method"; none for all cells.
            measures: names of measures, "seconds" and "memory" among them; None for all that have
                numbers.
            of: "mean" or "median".

        Raises:
            ValueError: if there is no such factor or measure, or no cell has been run.
        """
        return summary_of(self._numbers, by, measures, of)

    def differences(
        self,
        measure: str,
        baseline: str | None = None,
        *,
        methods: Any = None,
        by: Any = (),
        level: float = 0.95,
    ) -> Differences:
        """Paired differences of methods on the same data sets, with t intervals and tests.

        Each interval holds by itself; p-values are adjusted for all comparisons of the table
        (Holm 1979). Data sets are the unit: their differences are independent, also where they are
        of several settings, which stay what they are.

        Args:
            measure: name of a measure.
            baseline: the method that others are held against; None compares all pairs.
            methods: names of methods; None for all. The baseline among them differs by nothing.
            by: names of what makes groups: "design" and factors.
            level: what each interval is to hold.

        Raises:
            ValueError: if there is no such measure, method or factor, or no cell has been run.
        """
        return differences_of(self._numbers, measure, baseline, methods, by, level)

    def ranks(self, measure: str, *, failures: str = "last", alpha: float = 0.05) -> Ranks:
        """Mean ranks of methods over data sets, and which differ.

        Source: Demšar (2006), who recommends Friedman's test and then Nemenyi's.

        Args:
            measure: name of a measure of which some values are better.
            failures: where a method has no number, "last" ranks it last, and "drop" leaves the
                data set out, which is kind to methods that fail on hard data.
            alpha: the error that Nemenyi's test may make, over all pairs.

        Raises:
            ValueError: if there is no such measure, none is better, or there are not two methods
                that have been run on the same data.
        """
        return ranks_of(self._numbers, measure, failures, alpha)

    def profile(self, measure: str, *, within: str | None = None, taus: Any = None) -> Profile:
        """On which share of the data sets a method is how near to the best one.

        A method that has no number is not near. Source: Dolan & Moré (2002).

        Args:
            measure: name of a measure of which some values are better.
            within: "factor" of the best, for positive numbers of which lower ones are better, or
                "difference" from it; None takes the first that is possible.
            taus: factors or differences that the written table shows; None chooses some.

        Raises:
            ValueError: if there is no such measure, none is better, or factors make no sense.
        """
        return profile_of(self._numbers, measure, within, taus)

    def effects(
        self,
        measure: str,
        *,
        factors: Any = None,
        baseline: str | None = None,
        level: float = 0.95,
        log: bool = False,
    ) -> Effects:
        """A regression of a measure on methods, factors, and methods by factors.

        Levels are classes, and not numbers, so that nothing is taken for a line. Least squares;
        standard errors are robust to what methods on a data set have in common.

        Args:
            measure: name of a measure.
            factors: names of factors, and "design"; None for all that vary.
            baseline: the method that others are held against; None for the first.
            level: what each interval is to hold.
            log: whether to explain the measure's natural logarithm, as of times.

        Raises:
            ValueError: if there is no such measure, method or factor, factors cannot be told
                apart, or there are not more cells than effects.
        """
        return effects_of(self._numbers, measure, factors, baseline, level, log)

    # ------------------------------------------------------------------ pictures and a page

    def plot(
        self,
        measure: str,
        x: str,
        by: str | None = None,
        *,
        methods: Any = None,
        of: str = "mean",
        level: float | None = None,
        width: str = "column",
        figure: Any = None,
    ) -> Figure | SubFigure:
        """Draw a measure against a factor, a line a method: see `gmm_pyro.plots.study_lines`.

        Other factors are averaged over. `gmm_pyro.plots` draws the other tables:
        `critical_differences`, `performance_profile` and `differences`.

        Args:
            measure: name of a measure.
            x: name of a factor, or "design".
            by: name of another one, each of whose levels has a panel.
            methods: names of methods to draw; None for all.
            of: "mean" or "median".
            level: of intervals in place of standard errors, as 0.95.
            width: of a new figure, "column" (3.5 inches) or "page" (7 inches).
            figure: an empty figure, or part of one, to draw in; a new one of pyplot's if there is
                none.

        Raises:
            ValueError: if there is no such measure, factor or method, or there is no number.
        """
        from .. import plots  # matplotlib takes a second to import

        factors = ["design", *self._numbers.factors]
        x = check_choice("x", x, factors)
        others = [] if by is None else [check_choice("by", by, [f for f in factors if f != x])]
        return plots.study_lines(
            self.table([*others, x, "method"], self._numbers.check_measure(measure), of=of),
            x,
            figure,
            methods=methods,
            level=level,
            width=width,
        )

    def report(
        self,
        path: str | Path,
        *,
        measures: Any = None,
        baseline: str | None = None,
        command: str | None = None,
    ) -> Path:
        """Write the study as one HTML page that needs nothing else, not even a network.

        It has what was asked, how the cells ended and why some failed, means by method and factor,
        pictures of some measures, what is left unsaid, and how to make it again with its seeds and
        versions. A study need not be complete. The page appears when it is whole, and replaces an
        earlier one.

        Args:
            path: where to write it.
            measures: names of measures with pictures; None takes up to four of which some values
                are better.
            baseline: the method that paired differences are from; None compares all pairs of up to
                four methods, and else all with the first one.
            command: the command line that makes the study; None shows Python.

        Returns:
            The path.

        Raises:
            ValueError: if there is no such measure or method.
            TypeError: if the command is no text.
            OSError: if it cannot be written there.
        """
        from .page import write_report  # templates and pictures take a second to import

        return write_report(self, check_path("path", path), measures, baseline, command)

    @cached_property
    def _numbers(self) -> Rows:
        """The rows as statistics take them."""
        return Rows(
            self.frame,
            tuple(factors_of(self.plan)),
            self.plan.measures,
            self.plan.told.get("level", 0.9),
            self.n_left,
        )
