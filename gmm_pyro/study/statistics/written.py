"""Tables as text, Markdown, LaTeX, CSV and Parquet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...comparison.printed import as_text, ruled, width_of
from ...data.checks import check_path
from ...files import write_table
from ...files.formats import format_of
from ..measures.registry import COLUMNS

if TYPE_CHECKING:
    from rich.console import Console

NONE = "–"  # in the place of a number
DIGITS = 2  # of a standard error, that matter
MOST = 8  # decimals
IN_LATEX = {  # of what is left after LaTeX's own signs are escaped
    r"±": r"$\\pm$",
    r"×": r"$\\times$",
    r"–": "--",
    r"<": "$<$",
    r"(?<![\w-])-(?=\d)": "$-$",
}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Written:
    """Numbers in a tidy frame, and how they are written for readers.

    Attributes:
        frame: all numbers, in full.
        title: what the table is.
        cells: the columns that readers see, by their headers, as text.
        n_keys: how many of them, the first, say what a row is about.
        notes: what readers have to know, in sentences.
    """

    frame: pd.DataFrame
    title: str
    cells: Mapping[str, Sequence[str]]
    n_keys: int = 1
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{self.title}>"

    def __str__(self) -> str:
        return as_text(self._print)

    def _print(self, console: Console) -> None:
        console.print(f"{self.title}\n", soft_wrap=True)
        for block in self._blocks(console.width):
            console.print(ruled(block))
            console.print()
        for note in self.notes:
            console.print(note, soft_wrap=True)

    def _blocks(self, width: int) -> Iterator[dict[str, list[str]]]:
        """Columns in blocks that begin with the keys, each as wide as a line at most."""
        columns = {header: list(cells) for header, cells in self.cells.items()}
        keys = dict(list(columns.items())[: self.n_keys])
        block = dict(keys)
        for header, cells in list(columns.items())[self.n_keys :]:
            if len(block) > len(keys) and width_of({**block, header: cells}) > width:
                yield block
                block = dict(keys)
            block[header] = cells
        yield block

    def to_markdown(self) -> str:
        """The table in Markdown, with its title before it and its notes after it."""
        lines = [_escaped(header) for header in self.cells], *self._rows(_escaped)
        width = len(self.cells)
        head, *body = (f"| {' | '.join(line)} |" for line in lines)
        rule = "|" + "|".join([" --- "] * self.n_keys + [" ---: "] * (width - self.n_keys)) + "|"
        parts = [f"**{_escaped(self.title)}**", "\n".join([head, rule, *body])]
        return "\n\n".join([*parts, *map(_escaped, self.notes)]) + "\n"

    def to_latex(self) -> str:
        """The table in LaTeX, for the package booktabs, with its title as caption."""
        frame = pd.DataFrame({header: list(cells) for header, cells in self.cells.items()})
        form = "l" * self.n_keys + "r" * (len(self.cells) - self.n_keys)
        tabular = frame.to_latex(index=False, escape=True, column_format=form)
        notes = " ".join(self.notes)
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_in_latex(self.title)}}}",
            _signs(tabular).rstrip("\n"),
            *([rf"\par\smallskip{{\footnotesize {_in_latex(notes)}\par}}"] if notes else []),
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def to_csv(self, path: str | Path) -> Path:
        """Write the frame as text, separated by commas, or tabs if the name ends in .tsv.

        Raises:
            ValueError: if the name does not end as that of a file of text.
            OSError: if it cannot be written.
        """
        return self._write(path, "text", ".csv")

    def to_parquet(self, path: str | Path) -> Path:
        """Write the frame as a Parquet file.

        Raises:
            ValueError: if the name does not end in .parquet or .pq.
            OSError: if it cannot be written.
            ImportError: if pyarrow is not installed.
        """
        return self._write(path, "parquet", ".parquet")

    def _write(self, path: str | Path, kind: str, ending: str) -> Path:
        path = check_path("path", path)
        if format_of(path) != kind:
            raise ValueError(f"path must end in {ending}, got {path}")
        mixed = self.frame.select_dtypes(object)
        words = {str(name): mixed[name].map(str, na_action="ignore") for name in mixed}
        return write_table(self.frame.assign(**words), path)

    def _rows(self, escape: Any) -> Iterator[list[str]]:
        for row in zip(*self.cells.values(), strict=True):
            yield [escape(cell) for cell in row]


def _escaped(text: str) -> str:
    """Words without what Markdown takes for signs of its own."""
    return re.sub(r"([\\`*_\[\]<|])", r"\\\1", text)


def _in_latex(text: str) -> str:
    """A sentence in LaTeX."""
    return _signs(re.sub(r"([&%$#_{}])", r"\\\1", text))


def _signs(text: str) -> str:
    for sign, written in IN_LATEX.items():
        text = re.sub(sign, written, text)
    return text


# ---------------------------------------------------------------------- numbers as words


def level_text(level: Any) -> str:
    """A level of a factor as a table has it."""
    if level is None or level is pd.NA:
        return NONE
    return f"{level:g}" if isinstance(level, float) else str(level)


def key_cells(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """The columns that say what rows are about."""
    return {name: [level_text(level) for level in frame[name]] for name in names}


def headers(measures: Sequence[str]) -> list[str]:
    """What readers call measures: their names where two would be called the same."""
    called = [COLUMNS[name].header for name in measures]
    pairs = zip(measures, called, strict=True)
    return [header if called.count(header) == 1 else name for name, header in pairs]


def decimals_of(values: Any, errors: Any, form: str) -> int:
    """How many decimals numbers are shown with: two digits of their usual standard error.

    Args:
        values: the numbers.
        errors: their standard errors; where there are none, the format of the measure says it.
        form: that format, as ".3f".
    """
    known = np.asarray(errors, dtype=float)
    known = known[np.isfinite(known) & (known > 0)]
    if not len(known):
        whole = np.asarray(values, dtype=float)
        is_whole = form == "d" and bool((whole[np.isfinite(whole)] % 1 == 0).all())
        return 0 if is_whole else int(form[1]) if form.endswith("f") else DIGITS
    power = int(np.floor(np.log10(np.median(known))))
    return min(max(DIGITS - 1 - power, 0), MOST)


def number(value: float, decimals: int) -> str:
    """A number with so many decimals."""
    if not np.isfinite(value):
        return NONE
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def with_errors(values: Any, errors: Any, form: str) -> list[str]:
    """Numbers and their standard errors."""
    decimals = decimals_of(values, errors, form)
    return [
        NONE if not np.isfinite(value) else f"{number(value, decimals)} ± {number(error, decimals)}"
        for value, error in zip(values, errors, strict=True)
    ]


def intervals(low: Any, high: Any, decimals: int) -> list[str]:
    """Intervals between numbers."""
    return [
        f"[{number(a, decimals)}, {number(b, decimals)}]" if np.isfinite(a) else NONE
        for a, b in zip(low, high, strict=True)
    ]


def probability(p: float) -> str:
    """A p-value."""
    if np.isnan(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
