"""Products of matrices whose factors are in cache, a tile of the result at a time.

A library of linear algebra copies factors into an order of its own first. Those of a chunk are
written in such an order at once, and are so small that the copy would take as long as the product.

Source: Goto & van de Geijn (2008), "Anatomy of high-performance matrix multiplication", whose inner
kernel a tile is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .build import compiled_in_place
from .lanes import (
    Lanes,
    Value,
    constant,
    lanes_of,
    multiply_add,
    place,
    read,
    spread,
    vector,
    write,
)

TALLEST, WIDEST = (
    6,
    2,
)  # rows and lanes of a tile: its sums, and what they are of, fill 16 registers


@compiled_in_place
def multiply(a: Any, a_at: Any, b: Any, b_at: Any, c: Any, c_at: Any, size: Any) -> None:
    """c = Σ a b of flat arrays, summed over the entries of each of some parts, for several b.

    Args:
        a: the numbers of the rows, entry after entry.
        a_at: where they begin; steps from row to row, and from part to part.
        b: for every entry as many numbers as the results have columns.
        b_at: where they begin; steps from entry to entry, part to part, one b to the next.
        c: the results.
        c_at: where they begin; steps from row to row, and from one result to the next.
        size: rows, lanes in a row, entries of a part, parts, results.
    """
    rows, wide, entries, parts, results = size
    groups, first = -(-rows // TALLEST), 0
    for group in range(groups):
        tall = -(-(rows - first) // (groups - group))
        for result in range(results):
            for j in range(0, wide, WIDEST):
                ahead = j * lanes_of(b)
                tile(
                    *(a, (a_at[0] + first * a_at[1], a_at[1], a_at[2])),
                    *(b, (b_at[0] + ahead + result * b_at[3], b_at[1], b_at[2])),
                    *(c, (c_at[0] + ahead + result * c_at[2] + first * c_at[1], c_at[1])),
                    (tall, min(WIDEST, wide - j), entries, parts),
                )
        first += tall


@intrinsic
def tile(typing: Any, a: Any, a_at: Any, b: Any, b_at: Any, c: Any, c_at: Any, size: Any) -> Any:
    """As `multiply`, of one result with no more rows and lanes than stay in registers."""

    def build(context: Value, builder: Value, signature: Any, values: Value) -> None:
        a_place, b_place, c_place = (cgutils.unpack_tuple(builder, at) for at in values[1:6:2])
        tall, wide, *summed = cgutils.unpack_tuple(builder, values[6])
        left, right, target = (
            place(context, builder, kind, value, at[0])
            for kind, value, at in zip(
                (a, b, c), values[:6:2], (a_place, b_place, c_place), strict=True
            )
        )
        for rows, lanes in product(range(1, TALLEST + 1), range(1, WIDEST + 1)):
            here = builder.and_(
                builder.icmp_signed("==", tall, tall.type(rows)),
                builder.icmp_signed("==", wide, wide.type(lanes)),
            )
            with builder.if_then(here):
                a_steps, b_steps = (left, *a_place[1:]), (right, *b_place[1:])
                sums = _sums(builder, a.dtype, (rows, lanes), a_steps, b_steps, summed)
                for (r, j), total in sums.items():
                    row = _ahead(builder, target, (c_place[1], r))
                    write(
                        builder, builder.load(total), _lanes_on(builder, row, a.dtype, j), a.dtype
                    )

    return types.void(a, a_at, b, b_at, c, c_at, size), build


def _sums(
    builder: Value,
    dtype: types.Float,
    shape: tuple[int, int],
    left: Sequence[Value],
    right: Sequence[Value],
    summed: Sequence[Value],
) -> dict[tuple[int, int], Value]:
    """The sums of a tile, by row and lanes: variables that the compiler keeps in registers."""
    zero, count = constant(vector(dtype), 0.0), Lanes(dtype).count
    sums = {
        at: cgutils.alloca_once_value(builder, zero)
        for at in product(range(shape[0]), range(shape[1]))
    }
    (a, a_row, a_part), (b, b_entry, b_part), (entries, parts) = left, right, summed
    with cgutils.for_range(builder, parts) as part, cgutils.for_range(builder, entries) as entry:
        own = builder.gep(_ahead(builder, a, (a_part, part.index)), [entry.index])
        there = _ahead(builder, b, (b_part, part.index), (b_entry, entry.index))
        lanes = [read(builder, _lanes_on(builder, there, dtype, j), dtype) for j in range(shape[1])]
        numbers = [
            spread(builder, builder.load(_ahead(builder, own, (a_row, r))), count)
            for r in range(shape[0])
        ]
        for (r, j), total in sums.items():
            now = builder.load(total)
            builder.store(multiply_add(builder, numbers[r], lanes[j], now), total)
    return sums


def _ahead(builder: Value, pointer: Value, *steps: tuple[Value, Any]) -> Value:
    """A pointer, so many times some steps ahead."""
    for step, times in steps:
        number = step.type(times) if isinstance(times, int) else times
        pointer = builder.gep(pointer, [builder.mul(step, number)])
    return pointer


def _lanes_on(builder: Value, pointer: Value, dtype: types.Float, times: int) -> Value:
    """A pointer, so many times all lanes ahead."""
    return builder.gep(pointer, [ir.IntType(64)(times * Lanes(dtype).count)])
