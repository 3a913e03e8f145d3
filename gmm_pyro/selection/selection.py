"""What `select` returns: fits of many numbers of components and families, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.checks import check_choice, check_count, check_path, shown
from ..data.points import Observations
from ..data.words import counted
from ..inference.fit import Fit, fit
from ..mixture.criteria import Criteria
from ..mixture.value import GaussianMixture
from ..model.program import MixtureModel
from .criteria import CRITERIA, Criterion

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NUMBERS = ("log_likelihood", "n_parameters", "bic", "aic", "icl")  # columns that all have
MARKS = ("not sound", "too few points")  # status of a cell that is never the best


@dataclass(frozen=True, eq=False)
class Cell:
    """One model of a selection.

    Attributes:
        n_components: its number of components.
        covariance: its covariance family.
        status: "converged"; "step limit"; "not sound", where only an accident of few points was
            found (`soundness.py`); "too few points".
        mixture: the likeliest sound mixture that was found, or the point estimate of the method;
            None of too few points.
        criteria: of that mixture at the data.
        found: other criteria by column: `elpd`, `log_evidence` and their standard errors.
        fitted: the fit, of methods that are run cell by cell.
    """

    n_components: int
    covariance: str
    status: str
    mixture: GaussianMixture | None = None
    criteria: Criteria | None = None
    found: Mapping[str, float] = field(default_factory=dict)
    fitted: Fit | None = field(default=None, repr=False)

    @property
    def counts(self) -> bool:
        """Whether it may be the best."""
        return self.status not in MARKS and self.criteria is not None

    def row(self) -> dict[str, Any]:
        """Its row of the table."""
        c = self.criteria
        known = (
            dict.fromkeys(NUMBERS) if c is None else {name: getattr(c, name) for name in NUMBERS}
        )
        model = {"n_components": self.n_components, "covariance": self.covariance}
        return {**model, **known, **self.found, "status": self.status}


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
        if not ranked:
            raise ValueError(
                f"no model is sound: of {counted(len(self.cells), 'model')} tried, all rest on "
                "components of few points, or have too few points; try fewer components"
            )
        return ranked[0]

    @property
    def best(self) -> Fit:
        """The fit of the best model: that of `fit(k, covariance)`."""
        cell = self.best_cell
        return self.fit(cell.n_components, cell.covariance)

    @property
    def ties(self) -> tuple[Cell, ...]:
        """The models that hardly differ from the best by the criterion, itself first."""
        near, best = self._criterion.near, self._value(self.best_cell)
        ranked = self._ranked(self.criterion)
        return tuple(cell for cell in ranked if abs(self._value(cell) - best) <= near)

    def in_words(self) -> str:
        """The best model, and how much in doubt it is."""
        try:
            cell, ties = self.best_cell, self.ties
        except ValueError:
            return "no model is sound"
        name = f"{counted(cell.n_components, 'component')}, {cell.covariance}"
        value = f"{self._criterion.column} {self._value(cell):.1f}"
        alone = f"{len(ties)} models within {self._criterion.near:g} of the best"
        return f"{name} ({value}); {alone if len(ties) > 1 else 'no other model is near'}"

    # ------------------------------------------------------------------ all models

    @property
    def table(self) -> pd.DataFrame:
        """A row for each model, best first; those that do not count are the last."""
        import pandas as pd

        ranked = self._ranked(self.criterion)
        others = [cell for cell in self.cells if cell not in ranked]
        frame = pd.DataFrame([cell.row() for cell in (*ranked, *others)])
        return frame.astype({"n_parameters": "Int64"})

    def grid(self, criterion: str | None = None) -> pd.DataFrame:
        """A criterion, with a row for each number of components and a column for each family.

        Args:
            criterion: which one; the selection's own, if None. NaN where a model does not count.
        """
        import pandas as pd

        name = self.criterion if criterion is None else criterion
        kind = CRITERIA[check_choice("criterion", name, CRITERIA)]
        values = {
            (c.n_components, c.covariance): _number(c, kind) if c.counts else math.nan
            for c in self.cells
        }
        rows = list(dict.fromkeys(k for k, _ in values))
        columns = list(dict.fromkeys(family for _, family in values))
        found = [[values.get((k, family), math.nan) for family in columns] for k in rows]
        return pd.DataFrame(
            found, pd.Index(rows, name="n_components"), pd.Index(columns, name="covariance")
        )

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
            f"{counted(k, 'component')} of {family} were not among the models that were tried"
        )

    def fit(self, k: int, covariance: str) -> Fit:
        """The fit of one model: EM run on to convergence from what was found for it.

        Raises:
            ValueError: if it was not tried, or there are too few points.
        """
        cell = self.cell(k, covariance)
        if cell.fitted is not None:
            return cell.fitted
        if cell.mixture is None:
            raise ValueError(
                f"{self.observations.n} points are too few for {counted(k, 'component')}"
            )
        model = MixtureModel(k, cell.covariance)
        options = {**self.options, "start": cell.mixture, "seed": self.seed, "missing": "integrate"}
        return fit(model, self.observations, self.method, **options)

    def plot(self, ax: Axes | None = None, *, criterion: str | None = None) -> Axes:
        """Draw the criterion against the number of components, a line for each family.

        Args:
            ax: where to draw.
            criterion: which one; the selection's own, if None.
        """
        from ..plots.selections import plot_selection  # matplotlib takes a second to import

        name = self.criterion if criterion is None else criterion
        grid, kind = self.grid(name), CRITERIA[name]
        return plot_selection(grid, kind.label, higher_is_better=kind.higher_is_better, ax=ax)

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

    def _value(self, cell: Cell) -> float:
        return _number(cell, self._criterion)

    def _ranked(self, name: str) -> list[Cell]:
        kind = CRITERIA[name]
        sign = -1.0 if kind.higher_is_better else 1.0
        known = [c for c in self.cells if c.counts and not math.isnan(_number(c, kind))]
        return sorted(known, key=lambda c: (sign * _number(c, kind), c.row()["n_parameters"]))


def _number(cell: Cell, criterion: Criterion) -> float:
    value = cell.row().get(criterion.column)
    return math.nan if value is None else float(value)
