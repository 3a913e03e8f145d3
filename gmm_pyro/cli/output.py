"""What commands print: results on standard output, and all else on standard error."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit codes
STDOUT = "-"


def say(line: str) -> None:
    """A line on standard error."""
    typer.echo(line, err=True)


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on standard output; what is not finite is null."""
    from ..saved_fit import plain

    typer.echo(json.dumps(plain(document), ensure_ascii=False, allow_nan=False))


@contextmanager
def fit_warnings_said() -> Iterator[None]:
    """Warnings of fits as lines on standard error, even if the block ends in an exception."""
    from ..inference.task import FitWarning

    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", FitWarning)
            yield
    finally:
        fits = [warning for warning in caught if issubclass(warning.category, FitWarning)]
        for warning in fits:
            say(f"warning: {as_typed(str(warning.message))}")
        for warning in caught:
            if warning not in fits:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )


def as_typed(message: str) -> str:
    """A message with the options of the command line in the place of Python's arguments.

    Example:
        >>> as_typed("missing='refuse' refuses them; raise max_steps")
        '--missing refuse refuses them; raise max_steps'
    """
    return re.sub(r"\bmissing='(\w+)'", r"--missing \1", message)


def deliver(table: pd.DataFrame, out: str, *, as_json: bool) -> None:
    """A table in a file, or on standard output: as CSV, or with other facts as JSON."""
    from ..files import write_table

    if out != STDOUT:
        write_table(table, out)
    elif as_json:
        print_json({str(name): table[name].to_numpy() for name in table})
    else:
        table.to_csv(sys.stdout, index=False, lineterminator="\n")
