"""Delimited text: comments, what it is separated by, whether it has a header, decimal commas."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal, TypeAlias

import pandas as pd

from ..data.features import default_names
from ..disk.untrusted import refuse_expansion
from .encoding import UTF8, in_utf8, what_else
from .notation import EMPTY
from .reading import Reading
from .sheets import HEADLESS

Kind: TypeAlias = Literal["number", "missing", "word"]  # of a field
# in order of trust
SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars", " ": "blanks"}
HEAD = 1 << 16  # bytes that the format is guessed from
ROWS = 30  # rows among them
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?$")
DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?$")
IN_THOUSANDS = re.compile(r"[^\d.,]*\d{1,3}(\.\d{3})+(,\d+)?[^\d.,]*$")  # perhaps, and perhaps not
COMMENT = "#"
MISSING = EMPTY | {"?"}  # as the UCI repository writes it


@dataclass(frozen=True)
class Dialect:
    """How a text holds a table.

    Attributes:
        separator: the character between two fields; a blank stands for any number of them.
        decimal: the character before the decimals of a number.
        header: whether the first row names the columns.
        row_names: whether rows begin with a name that the header has no word for, as R writes.
        encoding: of the text.
        skipped: how many lines are comments, and what the first one begins with.
        names: those of the columns where they are in a comment.
    """

    separator: str
    decimal: str
    header: bool
    row_names: bool
    encoding: str = UTF8
    skipped: tuple[int, str] = (0, "")
    names: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether the columns have names."""
        return self.header or bool(self.names)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual about it, in words."""
        found = []
        count, begin = self.skipped
        if self.encoding != UTF8:
            found.append(f"the text is read as {self.encoding}")
        if count:
            lines = "1 line that begins" if count == 1 else f"{count} lines that begin"
            found.append(f"{lines} with {begin!r} {'is' if count == 1 else 'are'} skipped")
        if self.names:
            found.append("the last of these lines names the columns")
        if self.separator not in ",\t":
            found.append(f"fields are separated by {SEPARATORS[self.separator]}")
        if self.decimal == ",":
            found.append("numbers have decimal commas")
        if not self.named:
            found.append(HEADLESS)
        if self.row_names:
            found.append("the first column, without a name, is taken for row names")
        return tuple(found)


def read_text(stream: BinaryIO, reading: Reading | None = None) -> tuple[pd.DataFrame, Dialect]:
    """The table in a delimited text, and how it was understood.

    Args:
        stream: the text; it is read from where it stands, and must be able to go back there.
        reading: what the text does not say itself.

    Raises:
        ValueError: if it holds no table, or is in another encoding.
    """
    begin, told = stream.tell(), reading or Reading()
    fault = ""
    try:
        for text, encoding in in_utf8(stream, told.encodings):
            try:
                table, dialect = _read(text, told)
            except UnicodeDecodeError:  # of UTF-8, as the others are known by now
                stream.seek(begin)
                fault = f"it is no UTF-8 text: {what_else(stream.read())}"
            else:
                return table, replace(dialect, encoding=encoding)
    except UnicodeDecodeError as error:
        fault = f"it is no {error.encoding} text: {error.reason} at byte {error.start}"
    raise ValueError(fault)


def _read(stream: BinaryIO, reading: Reading) -> tuple[pd.DataFrame, Dialect]:
    """The table in a text in UTF-8."""
    stream, last, skipped = _without_comments(stream, reading.comment)
    begin = stream.tell()
    head = stream.read(HEAD)
    stream.seek(begin)
    dialect = dialect_of(head.decode("utf-8-sig", errors="replace"), whole=len(head) < HEAD)
    decimal = reading.decimal_mark(dialect.decimal)
    names = () if dialect.header else _names_in(last, head, dialect.separator)
    dialect = replace(dialect, decimal=decimal, skipped=skipped, names=names)
    _refuse_padding(stream, dialect.separator.encode())
    options: dict[str, Any] = {
        "sep": dialect.separator.replace(" ", r"\s+"),
        "header": 0 if dialect.header else None,
        "encoding": "utf-8-sig",
        "low_memory": False,  # or the type of a column depends on where a chunk ends
    }
    table = pd.read_csv(stream, decimal=decimal, **options)  # its own thousands: 1,5 would be 15
    _name(table, dialect)
    wanted = [name for name in reading.verbatim if name in table]
    if wanted:
        stream.seek(begin)
        letters = pd.read_csv(stream, dtype=str, keep_default_na=False, **options)
        _name(letters, dialect)
        table[wanted] = letters[wanted]
    return table, dialect


def _name(table: pd.DataFrame, dialect: Dialect) -> None:
    """Name the columns of a table whose first row does not."""
    if not dialect.header:
        table.columns = pd.Index(dialect.names or default_names(table.shape[1]))


def _without_comments(
    stream: BinaryIO, prefix: str | None
) -> tuple[BinaryIO, str, tuple[int, str]]:
    """The text behind or without its comments, the last one before the table, and how many.

    Without a prefix, only lines with "#" before the table are comments.
    """
    begin, mark = stream.tell(), (COMMENT if prefix is None else prefix).encode()
    count, last, place = 0, b"", begin
    for line in stream:
        bare = line.removeprefix(codecs.BOM_UTF8).strip()
        if not bare.startswith(mark):
            break
        count, last, place = count + 1, bare, place + len(line)
    words = last[len(mark) :].decode(errors="replace").strip()
    if prefix is None:
        stream.seek(place)
        return stream, words, (count, COMMENT)
    stream.seek(begin)
    lines = stream.readlines()
    kept = [
        line for line in lines if not line.removeprefix(codecs.BOM_UTF8).lstrip().startswith(mark)
    ]
    return io.BytesIO(b"".join(kept)), words, (len(lines) - len(kept), prefix)


def _names_in(comment: str, head: bytes, separator: str) -> tuple[str, ...]:
    """Names of columns in a comment above the table, if it has as many words as rows have."""
    first = head.decode("utf-8-sig", errors="replace").lstrip("\r\n").partition("\n")[0]
    (names, *_), (cells, *_) = (
        _rows(line.strip(" \r") or "-", separator, whole=True) for line in (comment, first)
    )
    stripped = [name.strip() for name in names]
    different = len(set(stripped)) == len(stripped) and all(stripped)
    return tuple(stripped) if comment and different and len(names) == len(cells) else ()


def _refuse_padding(stream: BinaryIO, separator: bytes) -> None:
    """Refuse a first row so wide that short rows, filled up to it, would take far more memory."""
    begin, width = stream.tell(), stream.readline().count(separator) + 1
    lines = 1 + sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    refuse_expansion(8 * width * lines, stream.tell() - begin)
    stream.seek(begin)


def dialect_of(head: str, *, whole: bool = True) -> Dialect:
    r"""How a text holds a table, by its first rows.

    Args:
        head: the text's beginning.
        whole: whether that is all, so that its last row is whole.

    Example:
        >>> dialect_of("a;b\n1,5;2\n").decimal, dialect_of("1\t2\n3\t4\n").header
        (',', False)
    """
    tables = {separator: _rows(head, separator, whole=whole) for separator in SEPARATORS}
    found = next((name for name, rows in tables.items() if _is_table(rows)), None)
    if found is None and _is_column_with_decimal_commas(head, tables[","], whole=whole):
        return Dialect("\t", ",", header=True, row_names=False)
    separator = found or ","
    rows = tables[separator]
    decimal = _decimal([cell.strip() for row in rows for cell in row], separator)
    return Dialect(
        separator,
        decimal,
        header=not rows or _has_header(rows, decimal),
        row_names=len(rows) > 1 and len(rows[1]) == len(rows[0]) + 1,
    )


def _has_header(rows: list[list[str]], decimal: str) -> bool:
    """Whether the first row names columns: no column has a number there, and numbers below.

    Beside a word, whole numbers that differ are names too, as years are. So are the numbers that
    pandas gives the columns of an array: 0, 1, 2, …
    """
    first, *others = ([_kind(cell, decimal) for cell in row] for row in rows)
    if "word" not in first:
        return first[0] == "missing" and _counts(rows[0])
    if others and len(others[0]) > len(first):  # row names have no word in it
        return True
    over = {kind for place, kind in enumerate(first) if _is_numeric(others, place)}
    return "number" not in over or _could_be_names(rows[0], decimal)


def _is_numeric(rows: list[list[Kind]], place: int) -> bool:
    """Whether a column holds numbers and no words."""
    kinds = {row[place] for row in rows if place < len(row)}
    return "number" in kinds and "word" not in kinds


def _counts(cells: list[str]) -> bool:
    """Whether the numbers among the cells count from 0."""
    numbers = _numbers(cells, ".")
    return len(numbers) > 0 and numbers == [str(i) for i in range(len(numbers))]


def _could_be_names(cells: list[str], decimal: str) -> bool:
    """Whether the numbers among the cells are whole, and differ."""
    numbers = _numbers(cells, decimal)
    return len(set(numbers)) == len(numbers) and all(map(str.isdecimal, numbers))


def _numbers(cells: list[str], decimal: str) -> list[str]:
    return [cell.strip() for cell in cells if _kind(cell, decimal) == "number"]


def _kind(cell: str, decimal: str) -> Kind:
    if cell.strip() in MISSING:
        return "missing"
    try:
        float(cell.replace(decimal, "."))
    except ValueError:
        return "word"
    return "number"


def _decimal(cells: list[str], separator: str) -> str:
    """The comma where it stands in numbers and the point does not, but before thousands."""
    unclear = [cell for cell in cells if IN_THOUSANDS.match(cell)]
    clear = set(cells) - set(unclear)
    comma = any(map(DECIMAL_COMMA.match, clear)) or any("," in cell for cell in unclear)
    point = any(map(DECIMAL_POINT.match, clear))
    return "," if separator != "," and comma and not point else "."


def _rows(head: str, separator: str, *, whole: bool) -> list[list[str]]:
    """The first rows that are not empty, or none where quotes do not go with the separator."""
    try:
        read = csv.reader(io.StringIO(head), delimiter=separator, skipinitialspace=True)
        rows = [row for row in read if row]
    except csv.Error:
        return []
    if separator == " ":  # there may be some at the end of a line
        rows = [[cell for cell in row if cell] for row in rows]
    return (rows if whole or len(rows) < 2 else rows[:-1])[:ROWS]


def _is_table(rows: list[list[str]]) -> bool:
    """Whether there are as many fields, two or more, in all rows; the header may lack one."""
    widths = Counter(map(len, rows[1:])) or Counter(map(len, rows))
    if len(widths) != 1 or len(rows[0]) < 2:
        return False
    (width,) = widths
    return len(rows[0]) in (width, width - 1)


def _is_column_with_decimal_commas(head: str, by_commas: list[list[str]], *, whole: bool) -> bool:
    """Whether a header of one field stands over numbers with decimal commas, and only those.

    Lines count as they are written: R quotes row names, which are no whole parts of numbers.
    """
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    cells = [
        line[1:-1] if re.fullmatch('"[^"]*"', line) else line
        for line in (lines if whole else lines[:-1])[1:ROWS]
    ]
    one_field = len(by_commas) > 1 and len(by_commas[0]) == 1
    numbers = all(_kind(cell, ",") != "word" for cell in cells)
    return one_field and numbers and _decimal(cells, "\t") == ","
