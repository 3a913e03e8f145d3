"""What `select` returns: fits of many numbers of components and families, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.checks import check_choice, check_count, check_path, shown
from ..data.points import Observations
from ..data.words import counted
from ..inference.fit import Fit, fit
from ..model.program import MixtureModel
from .cell import NUMBERS, TOO_FEW, Cell
from .criteria import CRITERIA, Criterion
from .estimates import difference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SIGNS = ("own", "mclust")


@dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """Mixtures of several numbers of components and covariance families, and the best of them.

    Attributes:
        observations: the data.
        cells: every model that was tried.
        criterion: name of what the best is chosen by.
        method: name of the method.
        options: its options, as they were given.
        seed: of all random choices.
        seconds: that it took.
        told: other arguments of `select` that were given, as a call has them.

    Example:
        >>> import gmm_pyro as gp
        >>> selection = gp.select(gp.datasets.old_faithful().x, k=range(1, 5), covariance="EEE")
        >>> selection.best_cell.n_components, round(selection.best_cell.criteria.bic, 1)
        (3, 2314.3)
    """

    observations: Observations
    cells: tuple[Cell, ...]
    criterion: str
    method: str
    options: Mapping[str, Any]
    seed: int
    seconds: float
    told: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<selection of {counted(len(self.cells), 'model')}: {self.in_words()}>"

    # ------------------------------------------------------------------ the answer

    @property
    def best_cell(self) -> Cell:
        """The best model by the criterion, of those that count.

        Raises:
            ValueError: if none does.
        """
        ranked = self._ranked(self.criterion)
        if ranked:
            return ranked[0]
        if any(cell.counts for cell in self.cells):
            raise ValueError(
                f"no model has {self._criterion.column}: of {counted(len(self.cells), 'model')} "
                "tried, none has a value of it; the table has the other criteria"
            )
        raise ValueError(
            f"no model is sound: of {counted(len(self.cells), 'model')} tried, all rest on "
            "components of few points, or have too few points; try fewer components"
        )

    @property
    def best(self) -> Fit:
        """The fit of the best model: that of `fit(k, covariance)`."""
        cell = self.best_cell
        return self.fit(cell.n_components, cell.covariance)

    @property
    def ties(self) -> tuple[Cell, ...]:
        """The models that hardly differ from the best by the criterion, itself first.

        By cross-validation, stability and leave-one-out, these are also those whose difference is
        within its standard error.
        """
        ranked = self._ranked(self.criterion)
        return tuple(cell for cell in ranked if self._is_near(cell, self.best_cell))

    def in_words(self) -> str:
        """The best model, and how much in doubt it is."""
        try:
            cell, ties, kind = self.best_cell, self.ties, self._criterion
        except ValueError as error:
            return str(error).partition(":")[0]
        name = f"{counted(cell.n_components, 'component')}, {cell.covariance}"
        value = f"{kind.column} {cell.value(kind):.{kind.digits}f}"
        alone = f"{len(ties)} models {kind.nearness}"
        if cell.status != "converged":
            value += f", {cell.status}"
        return f"{name} ({value}); {alone if len(ties) > 1 else 'no other model is near'}"

    # ------------------------------------------------------------------ all models

    @property
    def table(self) -> pd.DataFrame:
        """A row for each model, best first; those that do not count are the last.

        Where the criterion has an error, its column ending in `_se`, `_diff` is by how much the
        best is above the model, and `_diff_se` the error of that by paired differences. Where
        models have failed, `message` says why.
        """
        import pandas as pd

        ranked = self._ranked(self.criterion)
        others = [cell for cell in self.cells if cell not in ranked]
        frame = pd.DataFrame([self._row(cell, ranked[:1]) for cell in (*ranked, *others)])
        return frame.astype({"n_parameters": "Int64"})

    def grid(self, criterion: str | None = None, *, sign: str = "own") -> pd.DataFrame:
        """A criterion, with a row for each number of components and a column for each family.

        Args:
            criterion: which one; the selection's own, if None. NaN where a model does not count.
            sign: "own", as in the table, where a lower BIC is better; "mclust": BIC and ICL as
                mclust has them, 2 log L - p log n, where higher is better.

        Raises:
            ValueError: if it was not computed, or mclust does not have it.
        """
        kind = self._computed(criterion, sign)
        turned = -1.0 if sign == "mclust" else 1.0
        return self._by_model(lambda c: turned * c.value(kind) if c.counts else math.nan)

    def cell(self, k: int, covariance: str) -> Cell:
        """The model of k components of a family, by either of its names.

        Raises:
            ValueError: if it was not tried.
        """
        k, family = check_count("k", k), MixtureModel(1, covariance).family.name
        for cell in self.cells:
            if (cell.n_components, cell.covariance) == (k, family):
                return cell
        raise ValueError(
            f"{counted(k, 'component')} of {family} were not among the models that were tried, "
            f"with k from {self.cells[0].n_components} to {self.cells[-1].n_components}"
        )

    def fit(self, k: int, covariance: str) -> Fit:
        """The fit of one model: EM run on to convergence from what was found for it.

        Raises:
            ValueError: if it was not tried, its fit failed, or there are too few points.
        """
        cell = self.cell(k, covariance)
        if cell.fitted is not None:
            return cell.fitted
        if cell.error is not None:
            raise ValueError(
                f"the fit of {counted(k, 'component')} of {cell.covariance} failed: {cell.message}"
            )
        if cell.mixture is None:
            few = f"{self.observations.n} points are too few for"
            what = few if cell.status == TOO_FEW else "no regular solution was found for"
            raise ValueError(f"{what} {counted(k, 'component')}")
        model = MixtureModel(k, cell.covariance)
        options = {**self.options, "start": cell.mixture, "seed": self.seed, "missing": "integrate"}
        return fit(model, self.observations, self.method, **options)

    def plot(
        self, ax: Axes | None = None, *, criterion: str | None = None, sign: str = "own"
    ) -> Axes:
        """Draw the criterion against the number of components, a line for each family.

        Bars are standard errors of differences to the best, where the criterion has them.

        Args:
            ax: where to draw.
            criterion: which one; the selection's own, if None.
            sign: as in `grid`; the axis says which way is better.

        Raises:
            ValueError: if it was not computed, or mclust does not have it.
        """
        from ..plots.selections import plot_selection  # matplotlib takes a second to import

        kind, grid = self._computed(criterion, sign), self.grid(criterion, sign=sign)
        by_mclust = sign == "mclust"
        errors = None
        if kind is self._criterion and (kind.by_error or kind.own_error):
            best = self._ranked(self.criterion)[:1]
            errors = self._by_model(lambda c: self._error(c, best[0]) if best else math.nan)
        return plot_selection(
            grid,
            kind.by_mclust if by_mclust else kind.label,
            higher_is_better=kind.higher_is_better or by_mclust,
            errors=errors,
            ax=ax,
        )

    def report(self, path: str | Path, *, name: str = "data", command: str | None = None) -> Path:
        """Write the selection as one HTML page that needs nothing else, not even a network.

        It has the answer in words, what is near it, the criterion by family and number of
        components, all models, pictures and parameters of the best mixture, and how to make it
        again. It appears when it is whole, and replaces an earlier one.

        Args:
            path: where to write it.
            name: what the page calls the data.
            command: the command line that made the selection; None shows the Python call.

        Returns:
            The path.

        Raises:
            OSError: if it cannot be written there.

        Example:
            >>> import tempfile
            >>> import gmm_pyro as gp
            >>> selection = gp.select(gp.datasets.bimodal().x, k=[1, 2], covariance="full")
            >>> selection.report(f"{tempfile.mkdtemp()}/selection.html", name="bimodal").name
            'selection.html'
        """
        from .page import write_report  # templates and pictures take a second to import

        for argument, value in {"name": name, "command": command or ""}.items():
            if not isinstance(value, str):
                raise TypeError(f"{argument} must be a word, got {shown(value)}")
        return write_report(self, check_path("path", path), name=name, command=command)

    # ------------------------------------------------------------------ helpers

    @property
    def _criterion(self) -> Criterion:
        return CRITERIA[self.criterion]

    def _computed(self, name: str | None, sign: str) -> Criterion:
        """A criterion that is there, with this sign.

        Raises:
            ValueError: if it is not.
        """
        name = self.criterion if name is None else check_choice("criterion", name, CRITERIA)
        kind = CRITERIA[name]
        there = name == self.criterion or kind.column in NUMBERS
        if not there and not any(kind.column in cell.found for cell in self.cells):
            how = f", with {kind.needs}," if kind.needs else ""
            raise ValueError(
                f"criterion {name!r} was not computed: select(..., criterion={name!r}){how} does"
            )
        if check_choice("sign", sign, SIGNS) == "mclust" and not kind.by_mclust:
            raise ValueError(f"sign='mclust' is of BIC and ICL: mclust has no {name!r}")
        return kind

    def _row(self, cell: Cell, best: Sequence[Cell]) -> dict[str, Any]:
        """The row of a cell, with its difference to the best, and why it failed."""
        row = cell.row()
        status = row.pop("status")
        if self._criterion.by_error:
            column = self._criterion.column
            row[f"{column}_diff"], row[f"{column}_diff_se"] = self._difference(cell, best)
        row["status"] = status
        if any(other.error is not None for other in self.cells):
            row["message"] = cell.message
        return row

    def _difference(self, cell: Cell, best: Sequence[Cell]) -> tuple[float, float]:
        """By how much the best is above another that counts, and the standard error of that."""
        there = best and cell.counts
        return difference(cell.estimate, best[0].estimate) if there else (math.nan, math.nan)

    def _is_near(self, cell: Cell, best: Cell) -> bool:
        kind = self._criterion
        apart = abs(cell.value(kind) - best.value(kind))
        return cell is best or apart <= kind.near or apart <= self._error(cell, best)

    def _error(self, cell: Cell, best: Cell) -> float:
        """The standard error of a difference to the best; 0 where the criterion has none."""
        kind = self._criterion
        if kind.own_error:
            own = (each.found.get(f"{kind.column}_se", math.nan) for each in (cell, best))
            return math.nan if cell is best else math.hypot(*own)
        return self._difference(cell, [best])[1] if kind.by_error else 0.0

    def _by_model(self, value: Callable[[Cell], float]) -> pd.DataFrame:
        """A row for each number of components and a column for each family."""
        import pandas as pd

        values = {(c.n_components, c.covariance): value(c) for c in self.cells}
        rows = list(dict.fromkeys(k for k, _ in values))
        columns = list(dict.fromkeys(family for _, family in values))
        found = [[values.get((k, family), math.nan) for family in columns] for k in rows]
        return pd.DataFrame(
            found, pd.Index(rows, name="n_components"), pd.Index(columns, name="covariance")
        )

    def _ranked(self, name: str) -> list[Cell]:
        kind = CRITERIA[name]
        sign = -1.0 if kind.higher_is_better else 1.0
        known = [c for c in self.cells if c.counts and not math.isnan(c.value(kind))]
        return sorted(known, key=lambda c: (sign * c.value(kind), c.row()["n_parameters"]))
