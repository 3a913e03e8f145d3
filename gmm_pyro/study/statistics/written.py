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
from ...data.words import level_text
from ...files import write_table
from ...files.formats import format_of
from ..measures.registry import COLUMNS, direction_of

if TYPE_CHECKING:
    from rich.console import Console

NONE = "–"  # in the place of a number
DIGITS = 2  # of a standard error, that matter
MOST = 8  # decimals
IN_LATEX = {  # signs of its own, and others, in the order in which they are looked for
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"χ²": r"$\chi^2$", "²": r"\textsuperscript{2}", "±": r"$\pm$", "×": r"$\times$"},
    **{"–": "--", "<": "$<$", ">": "$>$", "|": r"\textbar{}"},
}
SIGNS = re.compile("|".join(map(re.escape, IN_LATEX)))
MINUS = re.compile(r"(?<![\w-])-(?=\d)")


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
        cells = {_in_latex(name): map(_in_latex, column) for name, column in self.cells.items()}
        form = "l" * self.n_keys + "r" * (len(self.cells) - self.n_keys)
        tabular = pd.DataFrame(cells).to_latex(index=False, escape=False, column_format=form)
        notes = " ".join(self.notes)
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_in_latex(self.title)}}}",
            tabular.rstrip("\n"),
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
        words = {
            str(name): column.map(str, na_action="ignore")
            for name, column in self.frame.items()
            if column.dtype == object
        }
        return write_table(self.frame.assign(**words), path)

    def _rows(self, escape: Any) -> Iterator[list[str]]:
        for row in zip(*self.cells.values(), strict=True):
            yield [escape(cell) for cell in row]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class OfMeasure(Written):
    """A table that is about one measure.

    Attributes:
        measure: its name.
    """

    measure: str

    @property
    def called(self) -> str:
        """What readers call the measure."""
        return COLUMNS[self.measure].header

    @property
    def direction(self) -> str:
        """Which of its values are better, in a sentence; nothing where none is."""
        return direction_of(self.measure)


def _escaped(text: str) -> str:
    """Words without what Markdown takes for signs of its own."""
    return re.sub(r"([\\`*_\[\]<|])", r"\\\1", text)


def _in_latex(text: str) -> str:
    """Words in LaTeX, which may stand at the beginning of a row."""
    found = MINUS.sub("\0", text)
    found = SIGNS.sub(lambda sign: IN_LATEX[sign[0]], found).replace("\0", "$-$")
    return "{}" + found if found.startswith(("[", "*")) else found


# ---------------------------------------------------------------------- numbers as words


def key_cells(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """The columns that say what rows are about."""
    return {name: [level_text(level) for level in frame[name]] for name in names}


def headers(measures: Sequence[str]) -> list[str]:
    """What readers call measures: their names where two would be called the same."""
    called = [COLUMNS[name].header for name in measures]
    pairs = zip(measures, called, strict=True)
    return [header if called.count(header) == 1 else name for name, header in pairs]


def decimals_of(value: float, error: float, form: str) -> int:
    """How many decimals a number is shown with: two digits of its standard error.

    Args:
        value: the number.
        error: its standard error; where there is none, the format of the measure says it.
        form: that format, as ".3f".
    """
    if np.isfinite(error) and error > 0:
        return min(max(DIGITS - 1 - int(np.floor(np.log10(error))), 0), MOST)
    if form == "d" and value == round(value):
        return 0
    return int(form[1]) if form.endswith("f") else DIGITS


def number(value: float, decimals: int) -> str:
    """A number with so many decimals."""
    if not np.isfinite(value):
        return NONE
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def with_errors(values: Any, errors: Any, form: str) -> list[str]:
    """Numbers and their standard errors."""
    return [_with_error(*pair, form) for pair in zip(values, errors, strict=True)]


def _with_error(value: float, error: float, form: str) -> str:
    if not np.isfinite(value):
        return NONE
    decimals = decimals_of(value, error, form)
    return f"{number(value, decimals)} ± {number(error, decimals)}"


def intervals(frame: pd.DataFrame, value: str, form: str) -> list[str]:
    """Intervals between the columns `low` and `high`, with as many decimals as their middle."""
    rows = zip(frame[value], frame["standard_error"], frame["low"], frame["high"], strict=True)
    return [_interval(decimals_of(middle, error, form), *ends) for middle, error, *ends in rows]


def _interval(decimals: int, low: float, high: float) -> str:
    return f"[{number(low, decimals)}, {number(high, decimals)}]" if np.isfinite(low) else NONE


def probability(p: float) -> str:
    """A p-value."""
    if np.isnan(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def with_sign(p: float) -> str:
    """A p-value after the letter p."""
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"
