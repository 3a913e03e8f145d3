"""Data of a study that are in a file, and are named by its path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data.checks import check_list, check_path, meant, shown
from ..datasets.identity import fingerprint
from ..files import STDIN, FileContent, read_dataset
from .designs import Given

FILE = "file"  # the kind of data in a file, where they are written down
WORDS = ("path", "labels", "features", "weights", "name")  # what is said of one
HERE = Path()


@dataclass(frozen=True, eq=False)
class FromFile(Given):
    """The data of a file as a design: one setting, one replicate.

    Attributes:
        content: what the file held when it was read, and what was assumed to read it.
        told: the path, and what else was said, as TOML has it.
    """

    content: FileContent = field(kw_only=True)
    told: Mapping[str, Any] = field(kw_only=True)

    @property
    def kind(self) -> str:
        """It stands for these points, weights, classes and names of features, to the bit."""
        data = self.dataset
        labels = None if data.labels is None else data.labels.tolist()
        parts = repr((fingerprint(data), data.feature_names, labels))
        return f"{FILE} {hashlib.sha256(parts.encode()).hexdigest()[:12]}"

    def to_dict(self) -> dict[str, Any]:
        """The path, and what else was said."""
        return {"kind": FILE, **self.told}


def data_file(
    path: str | Path,
    *,
    labels: str | None = None,
    features: Any = None,
    weights: str | None = None,
    name: str | None = None,
    base: str | Path = HERE,
) -> FromFile:
    """The data in a file, for a study that can be written as TOML.

    The file is read once, here. A study of another content is another study, which does not go on
    in the folder of the first.

    Args:
        path: the file, of any format that `gmm-pyro fit` reads.
        labels: column of the true classes; None takes the column "label", if there is one.
        features: columns that are features, in this order; None takes all that are numeric, have a
            name, and do not only identify rows.
        weights: column of the weights of the points.
        name: what the data are called in tables; None for the name of the file.
        base: the folder that the path starts from; a study that is written has the path alone.

    Raises:
        TypeError: if the path is none, or columns are no names.
        ValueError: if the file cannot be read, holds no data, or lacks a column.
        ImportError: if the library that reads it is not installed.

    Example:
        >>> import gmm_pyro as gp
        >>> gp.datasets.iris().frame().to_csv("flowers.csv", index=False)  # doctest: +SKIP
        >>> gp.Study(data_file("flowers.csv"), ["em"])  # doctest: +SKIP
        <study of 1 design and 1 method: 1 cell>
    """
    place = check_path("base", base) / check_path("path", path)
    if str(path) == STDIN:
        raise ValueError("path must name a file, which standard input is not")
    columns = None if features is None else check_list("features", features, "names of columns")
    given = {"labels": labels, "features": columns, "weights": weights, "name": name}
    told = {word: value for word, value in given.items() if value is not None}
    for word, value in told.items():
        _check_words(word, value)
    try:
        content = read_dataset(place, labels, columns=columns, weights_column=weights)
    except OSError as error:
        raise ValueError(f"{place} cannot be read: {error.strerror or error}") from error
    dataset = replace(content.dataset, name=name or content.dataset.name)
    return FromFile(dataset, content=content, told={"path": Path(path).as_posix(), **told})


def file_told(told: Mapping[str, Any], base: str | Path = HERE) -> FromFile:
    """The data that a table of TOML names by a path.

    Raises:
        TypeError: if a word is no word.
        ValueError: if there is no path, a word that says nothing here, or no such data.
    """
    words = {name: value for name, value in told.items() if name != "kind"}
    for word in words:
        if word not in WORDS:
            raise ValueError(
                f"data of the kind {FILE!r} have {', '.join(WORDS)}; got {shown(word)}"
                f"{meant(word, WORDS)}"
            )
    if "path" not in words:
        raise ValueError(f"data of the kind {FILE!r} must have a path, got {shown(dict(told))}")
    return data_file(**words, base=base)


def _check_words(name: str, value: Any) -> None:
    """Refuse what is no name, or no names."""
    words = value if isinstance(value, list | tuple) else [value]
    if not words or not all(isinstance(word, str) and word for word in words):
        raise TypeError(f"{name} must be a name, or names of columns, got {shown(value)}")
