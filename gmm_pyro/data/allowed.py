"""Which components a point may come from, where something is known of that.

Rows with the same components are of one kind, of which there are few: what is known costs a number
a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .arrays import KINDS, array_of
from .checks import shown
from .measured import distinct

UNKNOWN = -1  # of a point whose component is not known


@dataclass(frozen=True, eq=False)
class Allowed:
    """The components that n points may come from.

    Attributes:
        kind: of every row, from 0 to g - 1.
        table: the components that rows of a kind may come from, shape (g, k).
    """

    kind: Int[Tensor, "n"]
    table: Bool[Tensor, "g k"]

    @classmethod
    def of(cls, labels: Any, n: int, k: int, device: torch.device) -> Allowed | None:
        """What labels or a matrix say; None where they say nothing.

        Args:
            labels: numbers of components, shape (n,), with -1, NaN or None where it is not known;
                or which components are possible, shape (n, k).
            n: number of points.
            k: number of components.
            device: where the points are.

        Raises:
            ValueError: if they have another shape, or name a component that there is not, or leave
                none to a point.

        Example:
            >>> known = Allowed.of([0, None, 1], 3, k=2, device=torch.device("cpu"))
            >>> known.table[known.kind].tolist()
            [[True, False], [True, True], [False, True]]
        """
        given = _numbers(labels, n, k)
        possible = _of_labels(given, k) if given.ndim == 1 else _of_matrix(given)
        table, kind = distinct(torch.as_tensor(possible, device=device))
        return None if table.all() else cls(kind, table)

    @property
    def n_components(self) -> int:
        """The number of components k that they are of."""
        return self.table.shape[1]

    @property
    def known(self) -> Bool[Tensor, "n"]:
        """The rows of which something is known."""
        return (~self.table.all(1))[self.kind]

    @property
    def classes(self) -> tuple[int, ...]:
        """The class of every component, from 0: those of one are possible for the same points."""
        return tuple(self.table.unique(dim=1, return_inverse=True)[1].tolist())

    def log_allowed(self, like: Tensor) -> Float[Tensor, "k g"]:
        """0 where a component is possible for rows of a kind, and else -inf."""
        possible = self.table.T.to(like.device)
        nothing = torch.zeros(possible.shape, dtype=like.dtype, device=like.device)
        return nothing.masked_fill(~possible, -torch.inf)

    def among(self, table: Bool[Tensor, "h k"]) -> Allowed:
        """The same by the kinds of a table that has all of these."""
        same = (self.table[:, None] == table).all(2)
        return Allowed(same.to(torch.uint8).argmax(1)[self.kind], table)

    @property
    def n_known(self) -> int:
        """How many rows there are of which something is known."""
        return int(self.known.sum())

    def subset(self, index: Int[Tensor, "m"] | slice) -> Allowed:
        """Some of the rows."""
        return replace(self, kind=self.kind[index])

    def to(self, device: torch.device | None) -> Allowed:
        """The same on a device."""
        return replace(self, kind=self.kind.to(device), table=self.table.to(device))


def _numbers(labels: Any, n: int, k: int) -> np.ndarray:
    """Labels (n,) or a matrix (n, k), in float64."""
    wanted = f"{n} numbers of components from 0 to {k - 1}, {UNKNOWN} where it is not known"
    given = array_of(labels, "labels", wanted)
    if given.dtype == object:
        given = _without_missing(given)
    if given.dtype.kind not in "fiub":
        held = KINDS.get(given.dtype.kind, str(given.dtype))
        raise ValueError(
            f"labels must be {wanted}, got {held}; GaussianMixtureClassifier takes classes of any "
            "name"
        )
    if given.shape not in ((n,), (n, k)):
        raise ValueError(
            f"labels must have shape ({n},), or ({n}, {k}) for what is possible, got {given.shape}"
        )
    return given.astype(float)


def _without_missing(given: np.ndarray) -> np.ndarray:
    """Objects as numbers, with NaN for what is missing; themselves, where some are neither."""
    import pandas as pd  # knows what is missing

    numbers = np.where(pd.isna(given), np.nan, given)
    try:
        return numbers.astype(float)
    except OverflowError:  # of a number that is no component's in any case
        return np.full(given.shape, np.inf)
    except (TypeError, ValueError):
        return given.astype(str)


def _of_labels(given: np.ndarray, k: int) -> np.ndarray:
    labels = np.where(np.isnan(given), UNKNOWN, given)
    bad = (labels != np.round(labels)) | (labels < UNKNOWN) | (labels >= k)
    if bad.any():
        row = int(bad.nonzero()[0][0])
        raise ValueError(
            f"labels must be numbers of components from 0 to {k - 1}, or {UNKNOWN} where it is not "
            f"known, got {shown(labels[row].item())} at row {row}"
        )
    return (labels[:, None] == np.arange(k)) | (labels == UNKNOWN)[:, None]


def _of_matrix(given: np.ndarray) -> np.ndarray:
    bad = ~np.isin(given, (0, 1))
    if bad.any():
        row, column = (int(i[0]) for i in bad.nonzero())
        raise ValueError(
            "labels of shape (n, k) say which components are possible, by True and False; got "
            f"{given[row, column]:g} at row {row}, component {column}"
        )
    none = np.asarray(~given.any(1))
    if none.any():
        raise ValueError(f"labels leave no component to row {int(none.nonzero()[0][0])}")
    return given.astype(bool)
