"""What one pass over partitions finds: how many rows, where they lie, and what is wrong with them.

The survey of two partitions joins those of both, so that a pass needs no other and gathers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .allowed import Allowed
from .measured import distinct
from .partition import AllowedThere, Described, There
from .spread import joined_ends, mean_and_deviation, origin_at, passes, reach, refuse_extreme
from .words import counted

WIDER = ", or take float64 or other units if they are beyond the range of float32"
ROWS = 100  # of a partition that tell its points from others


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

    def joined(self, other: Flaw | None) -> Flaw:
        """Of these values and those that follow them."""
        if other is None:
            return self
        missing, infinite = self.missing + other.missing, self.infinite + other.infinite
        return replace(self, missing=missing, infinite=infinite)


@dataclass(frozen=True, eq=False)
class Survey:
    """Of consecutive partitions.

    Attributes:
        rows: in each of them.
        weight: sum of the sample weights: the number of rows, where there are none.
        positive: rows of positive weight in each of them.
        mean: of the columns, weighted, in float64, shape (d,).
        square: Σ weight (x - mean)² of the columns, shape (d,).
        reached: lowest and highest values of the columns, shape (2, d).
        ends: the same of rows of positive weight.
        weighted: whether there are sample weights.
        table: components that are possible for points, each set once, if something is known of it.
        known: of how many points.
        flaw: what is wrong with values, if anything is.
        odd: what is wrong with a weight, the first of them, if anything is.
        bits: a fingerprint of some rows of each partition, with their weights and labels.
    """

    rows: tuple[int, ...]
    weight: float
    positive: tuple[int, ...]
    mean: Float[Tensor, "d"]
    square: Float[Tensor, "d"]
    reached: Float[Tensor, "2 d"]
    ends: Float[Tensor, "2 d"]
    weighted: bool = False
    table: Bool[Tensor, "g k"] | None = None
    known: int = 0
    flaw: Flaw | None = None
    odd: str | None = None
    bits: bytes = b""

    @classmethod
    def of(
        cls,
        x: Float[Tensor, "n d"],
        partition: str,
        weight: Float[Tensor, "n"] | None = None,
        allowed: Allowed | None = None,
    ) -> Survey:
        """Of one partition, of this name."""
        found = cls._of_points(x, partition, weight)
        kinds = None if allowed is None else allowed.table[allowed.kind]
        found = replace(found, bits=_bits(x, weight, kinds))
        if allowed is None:
            return found
        return replace(found, table=allowed.table, known=allowed.n_known)

    @classmethod
    def _of_points(
        cls, x: Float[Tensor, "n d"], partition: str, weight: Float[Tensor, "n"] | None
    ) -> Survey:
        nothing = torch.zeros(x.shape[1], dtype=torch.float64)
        none = torch.full_like(nothing, torch.inf).to(x)
        nowhere = torch.stack([none, -none])
        weighted = weight is not None
        empty = cls((len(x),), 0.0, (0,), nothing, nothing, nowhere, nowhere, weighted)
        if len(x) == 0:
            return empty
        flaw, odd = _flaw(x, partition), _odd(weight, partition)
        if flaw or odd:
            return replace(empty, flaw=flaw, odd=odd)
        ends = reached = torch.stack(reach(x))
        total, positive = float(len(x)), len(x)
        if weight is not None:
            there = weight > 0
            total, positive = float(weight.double().sum()), int(there.sum())
            if not positive:
                return replace(empty, reached=reached)
            ends = torch.stack(reach(x[there]))
        mean, deviation = mean_and_deviation(x, weight)
        square = total * deviation.square()
        return cls((len(x),), total, (positive,), mean, square, reached, ends, weighted)

    def joined(self, other: Survey) -> Survey:
        """Of these partitions and those that follow them.

        Source: Chan, Golub & LeVeque (1983), equation 2.1, with sums of weights for counts.
        """
        n, m = self.weight, other.weight
        share = m / (n + m) if n + m else 0.0
        shift = other.mean - self.mean
        return Survey(
            self.rows + other.rows,
            n + m,
            self.positive + other.positive,
            self.mean + shift * share,
            self.square + other.square + shift.square() * (n * share),
            joined_ends(self.reached, other.reached),
            joined_ends(self.ends, other.ends),
            self.weighted,
            _either(self.table, other.table),
            self.known + other.known,
            self.flaw.joined(other.flaw) if self.flaw else other.flaw,
            self.odd or other.odd,
            _digest(self.bits + other.bits),
        )

    @property
    def weights(self) -> There | None:
        """In the place of sample weights, if there are any."""
        positive = tuple(n for n, rows in zip(self.positive, self.rows, strict=True) if rows)
        return There("weights", self.weight, positive) if self.weighted else None

    @property
    def allowed(self) -> AllowedThere | None:
        """In the place of what is known of components, if anything is."""
        if self.table is None or bool(self.table.all()):
            return None
        return AllowedThere(self.table, self.known)

    def refuse_flawed(self, names: tuple[str, ...]) -> None:
        """Refuse what no fit can take.

        Raises:
            ValueError: if there is no row, a value is not finite, a weight is negative or not
                finite, all are zero, or a column does not vary.
        """
        if sum(self.rows) == 0:
            raise ValueError("x must have at least one row; its partitions have none")
        if flaw := self.flaw:
            kinds = {"NaN value": flaw.missing, "infinite value": flaw.infinite}
            found = " and ".join(counted(n, kind) for kind, n in kinds.items() if n)
            raise ValueError(
                f"x has {found}, the first at row {flaw.row} of {flaw.partition}, column "
                f"{names[flaw.column]!r}; data in partitions must be complete: leave such rows out"
                f"{WIDER if flaw.infinite and self.reached.dtype is torch.float32 else ''}"
            )
        if self.odd:
            raise ValueError(f"sample_weight must be finite and not negative, got {self.odd}")
        if not any(self.positive):
            raise ValueError("sample_weight must have a positive entry, got zeros only")
        constant = (self.ends[0] == self.ends[1]).nonzero()[:, 0].tolist()
        if constant:
            always = self.ends[0].tolist()
            values = ", ".join(f"{names[i]!r} (always {always[i]:g})" for i in constant)
            raise ValueError(
                f"x must vary in every column; constant over its {sum(self.positive)} rows: "
                f"{values}"
            )

    def described(self, names: tuple[str, ...]) -> Described:
        """What partitions are told of all points, whose features have these names.

        Raises:
            ValueError: as `location_and_scale`.
        """
        table = None if self.allowed is None else self.table
        return Described(names, *self.location_and_scale(names), table=table)

    def location_and_scale(self, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Weighted means and standard deviations of the columns, in float64.

        Raises:
            ValueError: if they are so far out that they cannot be worked with.
        """
        origin = origin_at(self.mean, self.ends.dtype)
        scale = (self.square / self.weight).sqrt()
        lowest, highest = self.reached
        refuse_extreme((lowest, highest), origin, scale, names)
        return origin, scale


def _either(
    one: Bool[Tensor, "g k"] | None, other: Bool[Tensor, "h k"] | None
) -> Bool[Tensor, "i k"] | None:
    """The rows of two tables, each once."""
    return None if one is None or other is None else distinct(torch.cat([one, other]))[0]


def _odd(weight: Float[Tensor, "n"] | None, partition: str) -> str | None:
    """The first weight that is negative or not finite, and where it is."""
    if weight is None:
        return None
    bad = (~weight.isfinite() | (weight < 0)).nonzero()[:, 0]
    return f"{float(weight[bad[0]]):g} at row {int(bad[0])} of {partition}" if len(bad) else None


def _bits(*of_rows: Tensor | None) -> bytes:
    """A fingerprint of some rows, as far as there is anything of them."""
    there = [one for one in of_rows if one is not None]
    step = slice(None, None, max(1, len(there[0]) // ROWS))
    return _digest(b"".join(one[step].contiguous().numpy().tobytes() for one in there))


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=8).digest()


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
