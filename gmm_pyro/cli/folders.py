"""The folder that a command writes: the one that was asked for, or a new one."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path


def folder_of(asked: Path | None, first: Path, *, force: bool) -> Path:
    """The folder that was asked for, or the first one of `fit`, `fit-2`, … without anything in it.

    With --force and no folder, it is the first of all.

    Args:
        asked: the folder, or None.
        first: the name of the first one, as `fit`.
        force: whether an earlier one may be replaced.
    """
    from ..disk.placing import refuse_existing

    if asked is not None or force:
        return asked or first
    for number in itertools.count(1):
        path = first if number == 1 else Path(f"{first}-{number}")
        with contextlib.suppress(FileExistsError):
            refuse_existing(path)
            return path
    raise AssertionError


def written(
    write: Callable[[Path], list[Path]], asked: Path | None, first: Path, *, force: bool
) -> tuple[Path, list[Path]]:
    """The folder and its files; another new folder, if somebody else has taken this one.

    Args:
        write: writes the files into a folder, and returns their paths.
        asked: as in `folder_of`.
        first: as in `folder_of`.
        force: as in `folder_of`.

    Raises:
        OSError: if the folder cannot be written, or is there without `force`.
    """
    out = folder_of(asked, first, force=force)
    try:
        return out, write(out)
    except FileExistsError:
        if folder_of(asked, first, force=force) == out:
            raise
        return written(write, asked, first, force=force)
