"""Comparisons and mixtures as tables in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from ..comparison.columns import Column
    from ..mixture.value import GaussianMixture

GAP = 2  # blanks between columns


def plain_console() -> Console:
    """The terminal, which prints words as they are.

    Names of columns and files may look like rich's markup, as "width [/s]" does.
    """
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def components_that_fit(
    mixture: GaussianMixture, sizes: Sequence[float], width: int
) -> dict[str, list[str]]:
    """Cells by header of a mixture's components: their share, the points in them, and their means.

    Args:
        mixture: the mixture.
        sizes: number of points that each component is the most probable one of, or their weight.
        width: how many characters a line has; "…" stands for features without room.
    """
    cells = {
        "component": [str(i) for i in range(mixture.n_components)],
        "weight": [f"{weight:.3f}" for weight in mixture.weights.tolist()],
        "points": [f"{size:.10g}" for size in sizes],
    }
    room = width - sum(_width(header, column) for header, column in cells.items())
    names = mixture.feature_names
    for number, (name, means) in enumerate(zip(names, mixture.means.T.tolist(), strict=True)):
        column = [f"{mean:.4g}" for mean in means]
        header = f"mean {name}"
        room -= _width(header, column)
        spare = 0 if number == len(names) - 1 else _width("…", [])
        if room < spare:
            return cells | {"…": [""] * mixture.n_components}
        cells[header] = column
    return cells


def ruled(cells: Mapping[str, list[str]]) -> Table:
    """Cells by header as a table, numbers at the right of their columns and words at the left."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..comparison.columns import WORDS  # takes PyTorch with it

    padding = (0, GAP - 1, 0, 0)  # the box puts one more blank between columns
    result = Table(box=box.SIMPLE_HEAD, padding=padding, pad_edge=False, show_edge=False)
    for header in cells:
        justify: Literal["left", "right"] = "left" if header in WORDS else "right"
        result.add_column(Text(header), justify=justify, no_wrap=True)
    for row in zip(*cells.values(), strict=True):
        result.add_row(*map(Text, row))
    return result


def columns_that_fit(
    table: pd.DataFrame, width: int, columns: tuple[Column, ...]
) -> dict[str, list[str]]:
    """Cells by header: what matters most, as far as there is room; columns without values do not.

    Args:
        table: one row a method, by name, as `Comparison.table`.
        width: how many characters a line has.
        columns: what there is to show, in its order.
    """
    from ..comparison.columns import heart

    words = {"method": list(table.index), "status": [heart(text) for text in table["status"]]}
    room = width - sum(_width(header, cells) for header, cells in words.items())
    numbers = {}
    for column in sorted(columns, key=lambda column: column.rank):
        cells = _cells(column, table) if column.rank else []
        if any(cells):
            room -= _width(column.narrow, cells)
            if room < 0:
                break
            numbers[column.narrow] = cells
    headers = [column.narrow for column in columns]
    return words | {header: numbers[header] for header in headers if header in numbers}


def _cells(column: Column, table: pd.DataFrame) -> list[str]:
    """The numbers of a column as text; nothing where one is missing."""
    values = table[column.name]
    gone = values.isna()
    return ["" if gone[row] else format(values[row], column.form) for row in table.index]


def _width(header: str, cells: list[str]) -> int:
    return max(map(len, [header, *cells])) + GAP
