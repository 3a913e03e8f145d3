"""What one pass over partitions finds: how many rows, where they lie, and what is wrong with them.

The survey of two partitions joins those of both, so that a pass needs no other and gathers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from .spread import mean_and_deviation, origin_at, passes, reach, refuse_extreme
from .words import counted


@dataclass(frozen=True)
class Flaw:
    """Values that are no finite numbers.

    Attributes:
        missing: how many are NaN.
        infinite: how many are infinite, perhaps in the type of the work alone.
        partition: where the first is.
        row: its number in the partition.
        column: its column.
    """

    missing: int
    infinite: int
    partition: str
    row: int
    column: int


@dataclass(frozen=True, eq=False)
class Survey:
    """Of consecutive partitions.

    Attributes:
        rows: in each of them.
        mean: of the columns, in float64, shape (d,).
        square: Σ (x - mean)² of the columns, shape (d,).
        lowest: values of the columns, shape (d,).
        highest: likewise.
        flaw: what is wrong, if anything is.
    """

    rows: tuple[int, ...]
    mean: Float[Tensor, "d"]
    square: Float[Tensor, "d"]
    lowest: Float[Tensor, "d"]
    highest: Float[Tensor, "d"]
    flaw: Flaw | None = None

    @classmethod
    def of(cls, x: Float[Tensor, "n d"], partition: str) -> Survey:
        """Of one partition, of this name."""
        nothing = torch.zeros(x.shape[1], dtype=torch.float64)
        far = torch.full_like(nothing, torch.inf).to(x)
        empty = cls((len(x),), nothing, nothing, far, -far)
        if len(x) == 0:
            return empty
        if flaw := _flaw(x, partition):
            return replace(empty, flaw=flaw)
        mean, deviation = mean_and_deviation(x, None)
        return cls((len(x),), mean, len(x) * deviation.square(), *reach(x))

    def joined(self, other: Survey) -> Survey:
        """Of these partitions and those that follow them.

        Source: Chan, Golub & LeVeque (1983), equation 2.1.
        """
        n, m = sum(self.rows), sum(other.rows)
        shift = other.mean - self.mean
        mean = self.mean + shift * (m / max(1, n + m))
        square = self.square + other.square + shift.square() * (n * m / max(1, n + m))
        ends = self.lowest.minimum(other.lowest), self.highest.maximum(other.highest)
        flaw = self.flaw or other.flaw
        if self.flaw and other.flaw:
            flaw = replace(
                self.flaw,
                missing=self.flaw.missing + other.flaw.missing,
                infinite=self.flaw.infinite + other.flaw.infinite,
            )
        return Survey(self.rows + other.rows, mean, square, *ends, flaw)

    def refuse_flawed(self, names: tuple[str, ...]) -> None:
        """Refuse what no fit can take.

        Raises:
            ValueError: if there is no row, a value is not finite, or a column does not vary.
        """
        if sum(self.rows) == 0:
            raise ValueError("x must have at least one row; its partitions have none")
        if flaw := self.flaw:
            kinds = {"NaN value": flaw.missing, "infinite value": flaw.infinite}
            found = " and ".join(counted(n, kind) for kind, n in kinds.items() if n)
            raise ValueError(
                f"x has {found}, the first at row {flaw.row} of {flaw.partition}, column "
                f"{names[flaw.column]!r}; data in partitions must be complete: leave such rows out"
            )
        constant = (self.lowest == self.highest).nonzero()[:, 0].tolist()
        if constant:
            values = ", ".join(f"{names[i]!r} (always {float(self.lowest[i]):g})" for i in constant)
            raise ValueError(
                f"x must vary in every column; constant over its {sum(self.rows)} rows: {values}"
            )

    def location_and_scale(self, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of the columns, in float64.

        Raises:
            ValueError: if they are so far out that they cannot be worked with.
        """
        origin = origin_at(self.mean, self.lowest.dtype)
        scale = (self.square / sum(self.rows)).sqrt()
        refuse_extreme((self.lowest, self.highest), origin, scale, names)
        return origin, scale


def _flaw(x: Float[Tensor, "n d"], partition: str) -> Flaw | None:
    """How many values are not finite, and where the first one is."""
    if torch.isfinite(x.sum()):  # a sum hides no NaN and no infinity
        return None
    missing, infinite, first = 0, 0, None
    for rows in passes(x):
        bad = ~x[rows].isfinite()
        missing += int(x[rows].isnan().sum())
        infinite += int(x[rows].isinf().sum())
        if first is None and bad.any():
            row, column = bad.nonzero()[0].tolist()
            first = rows.start + row, column
    return None if first is None else Flaw(missing, infinite, partition, *first)
