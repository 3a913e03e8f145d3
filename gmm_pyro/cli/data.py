"""The data that a command is given: a file, standard input, or a data set by name."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.words import counted
from .arguments import DataArguments, ReadingArguments, command_line
from .output import say

if TYPE_CHECKING:
    from ..data.points import Observations
    from ..datasets import Dataset
    from ..files import DataTable, FileContent, Reading
    from ..mixture.value import GaussianMixture
    from ..model.program import MixtureModel


def refuse_no_source(source: str) -> None:
    """Refuse a file that is not there, or a data set that does not exist, before all else.

    Raises:
        OSError: if there is no such file.
        ValueError: if there is no such data set.
    """
    from ..files import is_data_file, refuse_missing

    if is_data_file(source):
        refuse_missing(source)
    else:
        _named(source)


def load(source: str, told: DataArguments, keep: Sequence[str] = ()) -> FileContent:
    """The data set that a file holds or a name stands for; what was assumed is said.

    Args:
        source: the file, or the name of the data set.
        told: what is known of it.
        keep: columns to stand beside predictions.

    Raises:
        ValueError: if there is no such data set, or the file does not hold one.
        OSError: if the file cannot be read.
    """
    from ..files import FileContent, is_data_file, read_dataset

    if not is_data_file(source):
        _refuse_columns(source, told, keep)
        return FileContent(_named(source), None, {})
    table = read(source, reading_of(told, keep))
    content = read_dataset(
        table,
        told.label_column,
        columns=names_in(told.columns) or None,
        exclude=names_in(told.exclude),
        weights_column=told.weights_column,
        keep=keep,
    )
    say_assumed(content, told.label_column, "--columns")
    for note in content.notes[len(table.notes) :]:
        say(f"{source}: {note}")
    return content


def say_assumed(content: FileContent, label_column: str | None, chooser: str, of: str = "") -> None:
    """Say which columns are no features and which has the classes, where nobody has asked so.

    Args:
        content: what a file holds.
        label_column: the column of the classes that was asked for, or None.
        chooser: what chooses other columns.
        of: what each line begins with, as the file where there are several.
    """
    reasons = {name: why for name, why in content.left_out.items() if why != "excluded"}
    if reasons:
        listed = ", ".join(f"{name} ({why})" for name, why in reasons.items())
        hint = f"; {chooser} chooses others" if "only identifies rows" in reasons.values() else ""
        say(f"{of}left out: {listed}{hint}")
    if content.label_column is not None and label_column is None:
        say(f"{of}column {content.label_column!r} is taken for the true classes")


def reading_of(told: ReadingArguments, keep: Sequence[str] = (), as_before: Any = None) -> Reading:
    """How a file is to be read.

    Args:
        told: the options.
        keep: columns that are wanted letter by letter.
        as_before: how the data of a fit were read, as `Reading.facts` has it, for what options do
            not say.

    Raises:
        ValueError: if an option is none of what it can be.
    """
    from ..files import Reading

    given = {
        "na": tuple(names_in(told.na)),
        "encodings": () if told.encoding is None else (told.encoding,),
        **{name: getattr(told, name) for name in ("decimal", "thousands", "currency", "comment")},
    }
    known = dict(as_before or {})
    if "encodings" in known:
        known["encodings"] = ["utf-8", *known["encodings"]]  # if the file is in that, after all
    before = Reading.from_facts(known)
    chosen: dict[str, Any] = {
        name: getattr(before, name) if value in (None, (), False) else value
        for name, value in given.items()
    }
    return Reading(verbatim=tuple(keep), **chosen)


def checked(
    source: str,
    dataset: Dataset,
    model: MixtureModel,
    missing: str | None,
    dtype: Any = None,
    device: Any = None,
) -> Observations:
    """The data as observations; what the model cannot be fitted to is refused by its source.

    Args:
        source: the file, or the name of the data set.
        dataset: what it holds.
        model: the model.
        missing: what to do where values are missing, or None.
        dtype: floating-point type of the fit, or None.
        device: torch device of the fit, or None.

    Raises:
        ValueError: as `gmm_pyro.fit` would.
    """
    from ..data.devices import device_of, precision_of
    from ..data.observations import observe
    from ..disk.untrusted import content_named

    kind, place = precision_of(dtype), device_of(device)
    with content_named(source, ValueError):
        return observe(
            dataset.points,
            n_components=model.n_components,
            sample_weight=dataset.sample_weight,
            dtype=kind,
            device=place,
            missing=missing or "integrate",
        )


def read(source: str, reading: Reading | None = None) -> DataTable:
    """The table in a file, on standard input or of a data set; what was assumed is said."""
    from ..files import STDIN, DataTable, is_data_file, read_table

    if not is_data_file(source):
        return DataTable(_named(source).frame(), source, source)
    if source == STDIN and sys.stdin.isatty():
        say("reading CSV or TSV from standard input")
    table = read_table(source, reading)
    for note in table.notes:
        say(f"{source}: {note}")
    return table


def names_in(words: list[str]) -> list[str]:
    """Column names with commas between them; those that hold commas are in double quotes.

    Example:
        >>> names_in(["a, b", '"c,d"'])
        ['a', 'b', 'c,d']
    """
    rows = csv.reader(words, skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]


def headline(data: Dataset, shape: MixtureModel | GaussianMixture) -> str:
    """What is fitted by what: points, what their weights sum to, features and components."""
    parts = f"{counted(shape.n_components, 'component')}, {shape.family.name} covariances"
    return f"{size_of(data)}; {parts}"


def size_of(data: Dataset) -> str:
    """How many points there are, what their weights sum to, and how many features."""
    weight = data.sample_weight
    summed = "" if weight is None else f" with weights that sum to {float(weight.sum()):.10g}"
    return f"{data.name}: {counted(data.n, 'point')}{summed}, {counted(data.d, 'feature')}"


def facts_of(source: str, content: FileContent, told: DataArguments) -> dict[str, Any]:
    """What the command line adds to the facts of a fit: the data, and what was typed."""
    return {
        "data": {
            "source": source,
            "label_column": content.label_column,
            "weights_column": told.weights_column,
            "left_out": dict(content.left_out),
            "reading": reading_of(told).facts(),
        },
        "command": command_line(),
    }


def n_components(dataset: Dataset, asked: str | None) -> int:
    """The number that was asked for, or that of the truth or of the classes.

    Raises:
        ValueError: if there is none.
    """
    if asked is not None:
        return int(asked)
    if dataset.truth is not None:
        return dataset.truth.n_components
    if dataset.labels is None:
        raise ValueError(f"--components is needed: {dataset.name} has neither a truth nor labels")
    return len(dataset.labels[dataset.labels >= 0].unique())


def dataset_by_name(source: str) -> Dataset:
    """The data set that NAME or NAME:SEED stands for.

    Raises:
        ValueError: if there is none.
    """
    from ..datasets import dataset_named

    name, colon, seed = source.partition(":")
    if colon and not seed.isdecimal():
        raise ValueError(f"the seed in NAME:SEED must be a whole number, got {source!r}")
    return dataset_named(name, int(seed) if colon else None)


def _named(source: str) -> Dataset:
    from ..files import known_endings

    try:
        return dataset_by_name(source)
    except ValueError as error:
        known = known_endings()
        if Path(source).is_file():
            raise ValueError(
                f"the name of a file of data must end in {known}; got {source}"
            ) from error
        raise ValueError(f"{error} (or a file: {known})") from error


def _refuse_columns(source: str, told: DataArguments, keep: Sequence[str]) -> None:
    given = {
        "--label-column": told.label_column,
        "--columns": told.columns,
        "--exclude": told.exclude,
        "--weights-column": told.weights_column,
        "--keep": keep,
        **{f"--{field.name}": getattr(told, field.name) for field in fields(ReadingArguments)},
    }
    for option, value in given.items():
        if value:
            raise ValueError(f"{option} is for files; {source} has its own columns and labels")
