"""A selection as tables in a terminal: the criterion of every model, and the best ones in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..comparison.printed import plain_console, ruled
from ..data.words import counted
from ..selection.columns import columns_of, form_of
from ..selection.criteria import CRITERIA
from .data import size_of
from .terminal import in_blocks

if TYPE_CHECKING:
    import pandas as pd

    from ..datasets import Dataset
    from ..selection import Cell, Selection

SHOWN = 10  # models in full, at least
MOST = 20
BEST, NEAR, NOTHING = "*", "~", "-"


def print_selection(selection: Selection, data: Dataset, components: str, table: str) -> None:
    """Print what was tried, the criterion of all models, the best ones in full, and the answer.

    Args:
        selection: the selection.
        data: what it was fitted to.
        components: the numbers of components in words.
        table: name of the file that has all models.
    """
    console = plain_console()
    families = len({cell.covariance for cell in selection.cells})
    kinds = f"{families} {'family' if families == 1 else 'families'} of covariances"
    console.print(f"{size_of(data)}; {components} components, {kinds}", soft_wrap=True)
    took = f"{counted(len(selection.cells), 'model')} in {selection.seconds:.2f} s"
    console.print(f"{selection.method}: {took}\n", soft_wrap=True)
    for cells in (*grid_blocks(selection, console.width), *best_blocks(selection, console.width)):
        console.print(ruled(cells))
        console.print()
    for line in _answer(selection, table):
        console.print(line, soft_wrap=True)


def grid_blocks(selection: Selection, width: int) -> Iterator[dict[str, list[str]]]:
    """The criterion, a row a family and a column a number; none of one family or number.

    Args:
        selection: the selection.
        width: how many characters a line has.
    """
    import pandas as pd

    grid = selection.grid()
    if min(grid.shape) < 2:
        return
    form = form_of(pd.Series(grid.to_numpy().ravel()))
    columns = {str(k): _texts(values, form, NOTHING) for k, values in grid.iterrows()}
    lead = {CRITERIA[selection.criterion].column: [str(name) for name in grid.columns]}
    yield from in_blocks(lead, columns, width)


def best_blocks(selection: Selection, width: int) -> Iterator[dict[str, list[str]]]:
    """The best models and all that are near them, a row each, with all that is known of them.

    Args:
        selection: the selection.
        width: how many characters a line has.
    """
    ties, table = _ties(selection), selection.table.head(_shown(selection))
    marks = [BEST, *[NEAR] * (len(ties) - 1)] if ties else []
    marks = [*marks, *[""] * len(table)][: len(table)]
    lead = {
        "": marks,
        "k": [str(k) for k in table["n_components"]],
        "covariance": [str(name) for name in table["covariance"]],
    }
    columns = {"status": [str(status) for status in table["status"]]}
    known = columns_of(table, selection.criterion)
    columns |= {column.narrow: _texts(table[column.name], column.form) for column in known}
    yield from in_blocks(lead, columns, width)


def _shown(selection: Selection) -> int:
    """How many models are shown in full: of those that count, if any does."""
    counting = sum(cell.counts for cell in selection.cells) or len(selection.cells)
    return min(counting, MOST, max(SHOWN, len(_ties(selection))))


def _texts(values: pd.Series[float], form: str, nothing: str = "") -> list[str]:
    gone = values.isna().tolist()
    return [nothing if g else format(v, form) for v, g in zip(values, gone, strict=True)]


def _ties(selection: Selection) -> Sequence[Cell]:
    return selection.ties if any(cell.counts for cell in selection.cells) else ()


def _answer(selection: Selection, table: str) -> Iterator[str]:
    """How many models are not shown, and the best one in words, with what the marks mean."""
    ties, left = _ties(selection), len(selection.cells) - _shown(selection)
    kinds = Counter(cell.status for cell in selection.cells if not cell.counts)
    marked = [f"{count} {status}" for status, count in kinds.items()]
    if left > 0:
        verb = "is" if left == 1 else "are"
        yield f"{counted(left, 'more model')} {verb} in {table}"
    if marked:
        yield f"models that do not count: {', '.join(marked)}"
    near = f", {NEAR} near it" if len(ties) > 1 else ""
    yield f"best ({BEST}{near}): {selection.in_words()}" if ties else selection.in_words()
