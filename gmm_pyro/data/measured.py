"""What is known of points of which not all was measured, or not exactly.

Row n says x_n = R_n v_n + e_n of a point v_n of the mixture, with noise e_n ~ N(0, E_n). Where an
entry is missing, its row of R is zero and says nothing, so that missing values and noise are one
case. Rows with the same R and E are of one kind: what a kind costs does not grow with its rows.

Source: Bovy, Hogg & Roweis (2011); Ghahramani & Jordan (1994) for missing values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .words import counted

CODED = 62  # entries whose pattern is coded as one integer


@dataclass(frozen=True)
class Run:
    """Consecutive rows in the order of their kinds, as many of each.

    Attributes:
        rows: places of the rows among all in that order.
        kinds: places of their kinds.
    """

    rows: slice
    kinds: slice

    @property
    def n_kinds(self) -> int:
        """How many kinds there are."""
        return self.kinds.stop - self.kinds.start


@dataclass(frozen=True, eq=False)
class Measured:
    """The measurements of n points, in m numbers of which some may be missing.

    Attributes:
        values: what was measured, NaN where it is missing, shape (n, m).
        kind: of every row, from 0 to g - 1.
        observed: which entries rows of a kind have, shape (g, m).
        noise: covariances of the noise in float64, zero in rows and columns of what is missing,
            shape (g, m, m); or None where there is none.
        projection: R, zero in rows of what is missing, shape (g, m, d); None where measurements
            are of the features themselves.
    """

    values: Float[Tensor, "n m"]
    kind: Int[Tensor, "n"]
    observed: Bool[Tensor, "g m"]
    noise: Float[Tensor, "g m m"] | None = None
    projection: Float[Tensor, "g m d"] | None = None
    _cuts: dict[tuple[int, int], list[list[Run]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        x: Float[Tensor, "n m"],
        noise: Float[Tensor, "r m m"] | None = None,
        projection: Float[Tensor, "r m d"] | None = None,
    ) -> Measured | None:
        """Measurements whose missing values are NaN; None of whole points as they are.

        Args:
            x: the measurements.
            noise: of each or of all, r = n or 1; None where there is none.
            projection: of each or of all; None where the features themselves are measured.
        """
        there = ~x.isnan()
        if noise is None and projection is None and there.all():
            return None
        observed, kind = distinct(there)
        if noise is None and projection is None:
            return cls(x, kind, observed)
        given = {"noise": noise, "projection": projection}
        parts = {"observed": (observed, kind)} | {
            name: _distinct_rows(value.to(x.device), len(x))
            for name, value in given.items()
            if value is not None
        }
        pairs, kind = torch.stack([which for _, which in parts.values()], 1).unique(
            dim=0, return_inverse=True
        )
        found = {name: rows[pairs[:, i]] for i, (name, (rows, _)) in enumerate(parts.items())}
        seen = found["observed"]
        if noise is not None:
            found["noise"] = found["noise"] * seen[:, None] * seen[..., None]
        if projection is not None:
            found["projection"] = found["projection"] * seen[..., None]
        return cls(x, kind, seen, found.get("noise"), found.get("projection"))

    @property
    def noise_of_rows(self) -> Float[Tensor, "n m m"] | None:
        """The noise of every row."""
        return None if self.noise is None else self.noise[self.kind]

    @property
    def projection_of_rows(self) -> Float[Tensor, "n m d"] | None:
        """The projection of every row."""
        return None if self.projection is None else self.projection[self.kind]

    def estimated(self) -> Float[Tensor, "n d"]:
        """Points as the projected measurements have it, by least squares about their centre."""
        projection = self.projection_of_rows
        assert projection is not None
        values = self.values.to(projection).nan_to_num(0.0)[..., None]
        squares = (projection.mT @ projection).sum(0)
        centre = torch.linalg.pinv(squares, hermitian=True) @ (projection.mT @ values).sum(0)
        inverse = torch.linalg.pinv(self.projection)[self.kind]
        found = centre + inverse @ (values - projection @ centre)
        return found[..., 0].to(self.values)

    def drawn_noise(self, count: int, generator: torch.Generator) -> Float[Tensor, "c n m"]:
        """Noise of all rows, so many times."""
        assert self.noise is not None
        values, vectors = torch.linalg.eigh(self.noise)
        root = (vectors * values.clamp_min(0.0).sqrt()[:, None, :])[self.kind]
        drawn = root.new_empty(count, *root.shape[:2], 1).normal_(generator=generator)
        return (root @ drawn)[..., 0]

    def taken(self, x: Float[Tensor, "n d"], columns: list[int] | None = None) -> Measured | None:
        """The same of other values: in another type or place, or of some columns."""
        noise, projection = self.noise_of_rows, self.projection_of_rows
        if projection is not None:
            features = slice(None) if columns is None else columns
            return Measured.of(self.values.to(x), noise, projection[..., features])
        if noise is not None and columns is not None:
            noise = noise[:, columns][..., columns]
        return Measured.of(x, noise)

    def subset(self, index: Int[Tensor, "m"] | slice) -> Measured:
        """Some of the rows."""
        return replace(self, values=self.values[index], kind=self.kind[index], _cuts={})

    @property
    def m(self) -> int:
        """How many numbers a whole measurement has."""
        return self.values.shape[1]

    @property
    def n_observed(self) -> Int[Tensor, "n"]:
        """How many entries each row has."""
        return self.observed.sum(1)[self.kind]

    def in_words(self, what: str = "x") -> str:
        """How many values are missing, and in how many rows.

        Example:
            >>> nan = float("nan")
            >>> Measured.of(torch.tensor([[1.0, nan], [nan, nan], [2.0, 3.0]])).in_words()
            'x has 3 missing values in 2 of its 3 rows'
        """
        missing = self.observed.shape[1] - self.n_observed
        rows = f"{int((missing > 0).sum())} of its {len(missing)} rows"
        return f"{what} has {counted(int(missing.sum()), 'missing value')} in {rows}"

    @property
    def known(self) -> Bool[Tensor, "g d"]:
        """Entries of points that rows of a kind leave no doubt of."""
        if self.projection is not None:
            return torch.zeros_like(self.projection[:, 0], dtype=torch.bool)
        if self.noise is None:
            return self.observed
        return self.observed & (self.noise.diagonal(dim1=1, dim2=2) == 0)

    # ------------------------------------------------------------------ in the order of kinds

    @cached_property
    def _counts(self) -> Int[Tensor, "g"]:
        return self.kind.bincount(minlength=len(self.observed))

    @cached_property
    def kinds(self) -> Int[Tensor, "h"]:
        """The kinds that there are rows of, those of most rows first."""
        order = self._counts.argsort(descending=True, stable=True)
        return order[: int((self._counts > 0).sum())]

    @cached_property
    def order(self) -> Int[Tensor, "n"]:
        """The rows by their kinds."""
        place = torch.empty_like(self._counts)
        place[self.kinds] = torch.arange(len(self.kinds), device=place.device)
        return place[self.kind].argsort(stable=True)

    @cached_property
    def in_order(self) -> Float[Tensor, "n m"]:
        """The values in that order."""
        return self.values[self.order]

    def pieces(self, rows: int, kinds: int) -> list[list[Run]]:
        """All rows in pieces of at most so many rows and kinds, each a list of runs."""
        if (rows, kinds) not in self._cuts:
            self._cuts[rows, kinds] = list(_gathered(self._runs(rows, kinds), rows, kinds))
        return self._cuts[rows, kinds]

    def _runs(self, rows: int, kinds: int) -> Iterator[Run]:
        """Runs of equally many rows, none of them longer than a piece."""
        sizes, counts = self._counts[self.kinds].unique_consecutive(return_counts=True)
        row = kind = 0
        for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
            last = kind + count
            together = max(1, min(kinds, rows // size))
            while kind < last:
                some = min(together, last - kind)
                for first in range(0, size * some, rows):
                    length = min(rows, size * some - first)
                    yield Run(slice(row, row + length), slice(kind, kind + some))
                    row += length
                kind += some


def _gathered(runs: Iterator[Run], rows: int, kinds: int) -> Iterator[list[Run]]:
    """Runs that fit into one piece, together."""
    piece: list[Run] = []
    for run in runs:
        first = piece[0] if piece else run
        full = run.rows.stop - first.rows.start > rows
        if piece and (full or run.kinds.stop - first.kinds.start > kinds):
            yield piece
            piece = []
        piece.append(run)
    if piece:
        yield piece


def _distinct_rows(
    values: Float[Tensor, "r *m"], n: int
) -> tuple[Float[Tensor, "g *m"], Int[Tensor, "n"]]:
    """What differs among values of n rows, or one for all, and which of it each row has."""
    if len(values) == 1:
        return values, torch.zeros(n, dtype=torch.int64, device=values.device)
    rows, which = values.flatten(1).unique(dim=0, return_inverse=True)
    return rows.unflatten(1, values.shape[1:]), which


def distinct(patterns: Bool[Tensor, "n m"]) -> tuple[Bool[Tensor, "g m"], Int[Tensor, "n"]]:
    """The patterns that differ, and which of them each row has."""
    n, m = patterns.shape
    if m > CODED:
        found, kind = patterns.unique(dim=0, return_inverse=True)
        return found, kind
    bits = 2 ** torch.arange(m, device=patterns.device)
    codes, kind = (patterns * bits).sum(1).unique(return_inverse=True)
    return (codes[:, None] & bits) != 0, kind
