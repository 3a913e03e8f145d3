"""What the page, the folder and the terminal ask of a selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ..data.points import Observations
    from ..inference.fit import Fit
    from ..mixture.value import GaussianMixture


class Model(Protocol):
    """One model that was tried: see `Cell`."""

    @property
    def n_components(self) -> int:
        """Its number of components."""

    @property
    def covariance(self) -> str:
        """Its family."""

    @property
    def status(self) -> str:
        """How it ended, in few words."""

    @property
    def mixture(self) -> GaussianMixture | None:
        """What was found."""

    @property
    def counts(self) -> bool:
        """Whether it may be the best."""

    def row(self) -> dict[str, Any]:
        """Its row of the table."""


class Selected(Protocol):
    """All models that were tried, and the best of them: see `Selection`."""

    @property
    def observations(self) -> Observations:
        """The data."""

    @property
    def cells(self) -> Sequence[Model]:
        """Every model."""

    @property
    def criterion(self) -> str:
        """Name of what the best is chosen by."""

    @property
    def method(self) -> str:
        """Name of the method."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Its options, as they were given."""

    @property
    def seed(self) -> int:
        """Of all random choices."""

    @property
    def told(self) -> Mapping[str, str]:
        """Other arguments that were given, as a call has them."""

    @property
    def seconds(self) -> float:
        """That it took."""

    @property
    def best_cell(self) -> Model:
        """The best model, or a ValueError."""

    @property
    def best(self) -> Fit:
        """The fit of the best model."""

    @property
    def ties(self) -> Sequence[Model]:
        """The models that hardly differ from the best, itself first."""

    @property
    def table(self) -> pd.DataFrame:
        """A row for each model, best first."""

    def in_words(self) -> str:
        """The best model, and how much in doubt it is."""

    def grid(self, criterion: str | None = None) -> pd.DataFrame:
        """The criterion by number of components and family."""

    def plot(self, ax: Axes | None = None, *, criterion: str | None = None) -> Axes:
        """Draw it."""


def best_of(selection: Selected) -> Fit | None:
    """The fit of the best model, or None where no model counts."""
    try:
        selection.best_cell  # noqa: B018 - whether there is one
    except ValueError:
        return None
    return selection.best
