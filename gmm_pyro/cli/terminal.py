"""Comparisons and mixtures as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
) -> list[dict[str, list[str]]]:
    """Tables of a mixture's components, by header: their share, the points in them, their means.

    One table with a row a component, where there is room for all features; else with a row a
    feature and a column a component, and as many tables as that takes.

    Args:
        mixture: the mixture.
        sizes: number of points that each component is the most probable one of, or their weight.
        width: how many characters a line has.
    """
    means = dict(zip(mixture.feature_names, mixture.means.T.tolist(), strict=True))
    cells = {
        "component": [str(i) for i in range(mixture.n_components)],
        "weight": [f"{weight:.3f}" for weight in mixture.weights.tolist()],
        "points": [f"{size:.10g}" for size in sizes],
        **{f"mean {name}": [f"{m:.4g}" for m in column] for name, column in means.items()},
    }
    if sum(_width(header, column) for header, column in cells.items()) - GAP <= width:
        return [cells]
    return list(_turned(cells, width))


def _turned(cells: Mapping[str, list[str]], width: int) -> Iterator[dict[str, list[str]]]:
    """The table with its rows as columns, in parts of as many of them as there is room for."""
    (corner, headers), *rows = cells.items()
    names = [name for name, _ in rows]
    columns = dict(zip(headers, zip(*(row for _, row in rows), strict=True), strict=True))
    begin = _width(corner, names)
    part, room = {corner: names}, width - begin
    for header, column in columns.items():
        taken = _width(header, list(column))
        if taken - GAP > room and len(part) > 1:
            yield part
            part, room = {corner: names}, width - begin
        part[header] = list(column)
        room -= taken
    yield part


def ruled(cells: Mapping[str, list[str]]) -> Table:
    """Cells by header as a table, numbers at the right of their columns and words at the left."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..comparison.columns import WORDS  # takes PyTorch with it

    padding = (0, GAP - 1, 0, 0)  # the box puts one more blank between columns
    result = Table(box=box.SIMPLE_HEAD, padding=padding, pad_edge=False, show_edge=False)
    for header in cells:
        is_left = header in WORDS or not _are_numbers(cells[header])
        justify: Literal["left", "right"] = "left" if is_left else "right"
        result.add_column(Text(header), justify=justify, no_wrap=not is_left, overflow="fold")
    for row in zip(*cells.values(), strict=True):
        result.add_row(*map(Text, row))
    return result


def _are_numbers(cells: Sequence[str]) -> bool:
    """Whether cells are numbers, as far as there is something in them."""
    return not any(cell.strip("+-.,%e0123456789infa") for cell in cells)


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
