"""A comparison as tables of text: in blocks of columns below each other, as far as a line goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO, TextIOWrapper
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from .columns import OF_FITS, OF_POSTERIORS, WORDS, Column, heart

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from .record import Record

GAP = 2  # blanks between columns
Cells = dict[str, list[str]]  # columns by their headers


def plain_console(file: TextIOWrapper | None = None) -> Console:
    """The terminal or a file, which prints words as they are.

    Names of columns and files may look like rich's markup, as "width [/s]" does.
    """
    from rich.console import Console

    return Console(file=file, highlight=False, markup=False, emoji=False, force_jupyter=False)


def in_text(record: Record) -> str:
    """The tables of a comparison, as wide as the terminal, in characters that it can print."""
    return as_text(partial(print_tables, record))


def as_text(show: Callable[[Console], None]) -> str:
    """What is printed, as wide as the terminal, in characters that it can print."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    with TextIOWrapper(BytesIO(), encoding, errors="replace", newline="\n") as file:
        show(plain_console(file))
        file.seek(0)
        return "\n".join(line.rstrip() for line in file).rstrip("\n")


def print_tables(record: Record, console: Console) -> None:
    """Print how good the fits are and, where there are some, their posteriors."""
    drawn = record.table[record.table["ess_bulk"].notna()]
    for table, columns in ((record.table, OF_FITS), (drawn, OF_POSTERIORS)):
        if not len(table):
            continue
        if columns is OF_POSTERIORS:
            title = "; ".join(filter(None, ["posteriors", record.measured_against]))
            console.print(f"{title}\n", soft_wrap=True)
        for cells in blocks_that_fit(table, console.width, columns):
            console.print(ruled(cells))
            console.print()


def blocks_that_fit(table: pd.DataFrame, width: int, columns: Sequence[Column]) -> list[Cells]:
    """Cells by header, in blocks that begin with the methods: all columns that have values.

    Columns of a group are in one block where a line has room for them.

    Args:
        table: one row a method, by name, as `Comparison.table`.
        width: how many characters a line has.
        columns: what there is to show, in its order.
    """
    methods = {"method": [str(name) for name in table.index]}
    blocks = [{**methods, "status": [heart(text) for text in table["status"]]}]
    for group in _groups(columns, table):
        if width_of(blocks[-1] | group) > width >= width_of(methods | group):
            blocks.append({**methods})
        for header, cells in group.items():
            if width_of(blocks[-1] | {header: cells}) > width and blocks[-1] != methods:
                blocks.append({**methods})
            blocks[-1][header] = cells
    return blocks


def _groups(columns: Sequence[Column], table: pd.DataFrame) -> Iterator[Cells]:
    """The columns that have values, group by group."""
    for _, members in groupby(columns, lambda column: column.group):
        cells = {column.narrow: _cells(column, table) for column in members}
        yield {header: found for header, found in cells.items() if any(found)}


def _cells(column: Column, table: pd.DataFrame) -> list[str]:
    """The numbers of a column as text; nothing where one is missing."""
    values = table[column.name]
    gone = values.isna()
    return ["" if gone[row] else format(values[row], column.form) for row in table.index]


def width_of(cells: Mapping[str, Sequence[str]]) -> int:
    """How many characters a line of a table has."""
    widths = (max(map(len, [header, *column])) for header, column in cells.items())
    return sum(widths) + GAP * (len(cells) - 1)


def ruled(cells: Mapping[str, Sequence[str]]) -> Table:
    """Cells by header as a table, numbers at the right of their columns and words at the left."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

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
    return not any(cell.strip("+-.,%e0123456789infa ±–<[]()") for cell in cells)
