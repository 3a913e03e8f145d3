"""Arrays and words in a file: JSON, or NumPy's npz. Reading runs no code from the file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .placing import whole_file, write_bytes
from .untrusted import read_npz

DTYPES = ("float32", "float64")  # of arrays in files


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
        file, others = io.BytesIO(), {name: np.array(value) for name, value in words.items()}
        np.savez(file, allow_pickle=False, format=np.array(kind), **arrays, **others)
        return file.getvalue()
    dtype = str(next(iter(arrays.values())).dtype)
    numbers = {name: array.tolist() for name, array in arrays.items()}
    content = {"format": kind, **words, "dtype": dtype, **numbers}
    return (json.dumps(content, indent=1) + "\n").encode()


def read_record(path: str | Path, kind: str, arrays: Sequence[str]) -> dict[str, Any]:
    """What `write_record` wrote: the named entries as arrays, the others as they are.

    Raises:
        OSError: if it cannot be opened.
        Exception: if it holds something else; `untrusted.content_named` makes one kind of all.
    """
    path = Path(path)
    if path.suffix == ".npz":
        content: dict[str, Any] = dict(read_npz(path))
    else:
        content = json.loads(path.read_text(encoding="utf-8"))
    found = str(content["format"])
    if found != kind:
        raise ValueError(f"its format is {found!r}, not {kind!r}")
    dtype = content.get("dtype")  # npz arrays know theirs
    return {
        name: _numbers(value, dtype) if name in arrays else value for name, value in content.items()
    }


def _numbers(values: Any, dtype: Any) -> np.ndarray:
    """Values as an array of one of the types that are written."""
    name = str(getattr(values, "dtype", dtype))
    if name not in DTYPES:
        raise ValueError(f"its dtype must be one of {', '.join(DTYPES)}, got {name[:20]!r}")
    return np.asarray(values, dtype=name)
