"""Arrays and words in a file: JSON, or NumPy's npz. Reading runs no code from the file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .placing import whole_file, write_bytes


def write_record(
    path: str | Path, kind: str, arrays: Mapping[str, np.ndarray], words: Mapping[str, Any]
) -> Path:
    """Write arrays and words as JSON, or as npz if the name ends so.

    The file appears only when it is whole, and numbers are kept to the last bit.

    Args:
        path: where to write.
        kind: what the record is, checked when it is read.
        arrays: arrays by name, all of one dtype.
        words: strings and lists of strings by name.
    """
    path = Path(path)
    with whole_file(path) as partial:
        write_bytes(partial, _content(path.suffix, kind, arrays, words))
    return path


def _content(
    suffix: str, kind: str, arrays: Mapping[str, np.ndarray], words: Mapping[str, Any]
) -> bytes:
    if suffix == ".npz":
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, format=np.array(kind), **arrays, **_arrays(words))
        return file.getvalue()
    dtype = str(next(iter(arrays.values())).dtype)
    numbers = {name: array.tolist() for name, array in arrays.items()}
    content = {"format": kind, **words, "dtype": dtype, **numbers}
    return (json.dumps(content, indent=1) + "\n").encode()


def read_record(path: str | Path, kind: str, arrays: Sequence[str]) -> dict[str, Any]:
    """What `write_record` wrote: the named entries as arrays, the others as they are.

    Raises:
        KeyError, TypeError, ValueError: if the file holds something else.
    """
    path = Path(path)
    if path.suffix == ".npz":
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    else:
        content = json.loads(path.read_text(encoding="utf-8"))
    _check_kind(str(content["format"]), kind)
    dtype = content.get("dtype")  # npz arrays know theirs
    return {
        name: np.asarray(value, dtype=dtype) if name in arrays else value
        for name, value in content.items()
    }


def _check_kind(found: str, kind: str) -> None:
    if found != kind:
        raise ValueError(f"its format is {found!r}, not {kind!r}")


def _arrays(words: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in words.items()}
