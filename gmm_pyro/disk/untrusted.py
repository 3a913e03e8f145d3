"""Files from elsewhere: damaged, or made to do harm.

A reader believes what a file declares, and takes memory for it. So what is declared is held against
the file's length first: exactly where nothing is compressed, and by a limit where it is.
"""

from __future__ import annotations

import gzip
import io
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

EXPANSION = 100  # times its length, which a compressed file may have in memory
SMALL = 64 << 20  # bytes, which any file may have


@contextmanager
def content_named(complaint: str, kind: type[Exception] = Exception) -> Iterator[None]:
    """Say of a mistake in a file's content which file it is in.

    Args:
        complaint: the file, and perhaps what is wrong in general, as "a.csv cannot be read".
        kind: of exceptions that tell of such a mistake. By default all do but those of files that
            cannot be opened and of libraries that are missing: a damaged file can make its parser
            raise whatever there is.

    Raises:
        ValueError: with the complaint, and the reason in one line.
    """
    try:
        yield
    except ImportError:
        raise
    except kind as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = f"{error} is missing" if type(error) is KeyError else str(error)
        reason = " ".join(reason.split()) or type(error).__name__
        raise ValueError(f"{complaint}: {reason}") from error


def refuse_expansion(declared: int, length: int) -> None:
    """Refuse a file that would take far more memory than it is long.

    Args:
        declared: bytes in memory, as the file says.
        length: bytes of the file.

    Raises:
        ValueError: if it is more than 100 times the length, and more than 64 MiB.
    """
    if declared > max(SMALL, EXPANSION * length):
        raise ValueError(
            f"it is {length} bytes long and would take {declared} in memory; more than "
            f"{EXPANSION} times its length is refused, from {SMALL >> 20} MiB on"
        )


def read_gzip(path: Path) -> bytes:
    """What a gzip file holds."""
    return read_compressed(path, gzip.open)


def read_compressed(path: Path, opened: Callable[[Path], Any]) -> bytes:
    """What a compressed file holds, which `opened` makes a stream of."""
    length = path.stat().st_size
    with opened(path) as stream:
        content: bytes = stream.read(max(SMALL, EXPANSION * length) + 1)
    refuse_expansion(len(content), length)
    return content


def read_npy(path: Path) -> np.ndarray:
    """The array in an npy file; objects are refused."""
    with path.open("rb") as stream:
        return _array(stream, path.stat().st_size)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in an npz file by name; objects are refused."""
    length = path.stat().st_size
    with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        refuse_expansion(sum(entry.file_size for entry in entries), length)
        return {
            entry.filename.removesuffix(".npy"): _array(
                io.BytesIO(archive.read(entry)), entry.file_size
            )
            for entry in entries
        }


def _array(stream: BinaryIO, length: int) -> np.ndarray:
    """The array in a stream of this length, which must hold as many numbers as it declares."""
    version = np.lib.format.read_magic(stream)
    formats = np.lib.format  # version 3 differs from 2 in the letters of names, not in sizes
    read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
    shape, _, dtype = read(stream)
    held = length - stream.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * max(dtype.itemsize, 1) > held:
        raise ValueError(f"it declares an array of shape {shape} and {dtype}, and has {held} bytes")
    stream.seek(0)
    return formats.read_array(stream, allow_pickle=False)
