"""Compressed texts: gzip, bzip2, xz, and zip archives of one file."""

from __future__ import annotations

import bz2
import lzma
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..disk.untrusted import read_compressed, read_gzip


def _read_bz2(path: Path) -> bytes:
    return read_compressed(path, bz2.open)


def _read_xz(path: Path) -> bytes:
    return read_compressed(path, lzma.open)


def _read_zip(path: Path) -> bytes:
    """What the only file in an archive holds; what macOS adds of its own does not count."""
    with zipfile.ZipFile(path) as archive:
        names = [
            name
            for name in archive.namelist()
            if not name.endswith("/") and not name.startswith("__MACOSX/")
        ]
        if len(names) != 1:
            held = ", ".join(names) or "none"
            raise ValueError(f"a zip archive must hold one file; it holds {held}")

        def opened(_: Path) -> Any:
            return archive.open(names[0])

        return read_compressed(path, opened)


COMPRESSED: Mapping[str, Callable[[Path], bytes]] = {  # by what comes after the name of a text
    ".gz": read_gzip,
    ".bz2": _read_bz2,
    ".xz": _read_xz,
    ".zip": _read_zip,
}
