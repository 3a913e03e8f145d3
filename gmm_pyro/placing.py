"""Files and folders that appear as a whole, or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".partial-"  # of the names of temporary folders


def refuse_existing(path: str | Path, *, force: bool = False) -> None:
    """Refuse a file that exists, or a folder that holds something, unless `force` allows it.

    Raises:
        FileExistsError: if it does.
    """
    path = Path(path)
    if force or not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    what = "the folder is not empty" if path.is_dir() else "the file exists"
    raise FileExistsError(errno.EEXIST, f"{what}, and is replaced with --force only", str(path))


def refuse_unwritable(path: str | Path) -> None:
    """Refuse a folder that cannot be made or written, before the work is done that fills it.

    Raises:
        OSError: if it cannot.
    """
    home = Path(path)
    while not home.exists():
        home = home.parent
    if not home.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(home))
    try:
        tempfile.TemporaryDirectory(dir=home, prefix=PREFIX).cleanup()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(home)) from error


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary place for a file that is moved to its own one when the block ends well.

    It has the same name, in a folder beside; folders above are made. An exception, an interrupt
    among them, leaves nothing behind.

    Raises:
        OSError: if the file cannot be written, by its own name.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with whole_file(folder / "a.txt") as partial:
        ...     _ = partial.write_text("whole")
        >>> [(path.name, path.read_text()) for path in folder.iterdir()]
        [('a.txt', 'whole')]
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=PREFIX) as beside:
            partial = Path(beside) / path.name
            yield partial
            os.replace(partial, path)
    except OSError as error:
        if PREFIX in str(error.filename or PREFIX):  # without a name, the disk is full
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def whole_folder(path: str | Path, *, stale: tuple[str, ...] = ()) -> Iterator[Path]:
    """A temporary folder whose files are moved to their own one when the block ends well.

    A new folder appears at once, with all that is in it. Where there is one already, files replace
    those of the same name, one after the other, and others stay.

    Args:
        path: the folder; those above it are made.
        stale: names below the folder that an earlier run may have written. Those that the block
            does not write are removed.

    Raises:
        OSError: if the folder cannot be written.
    """
    path = Path(path)
    exists = path.is_dir()
    home = path if exists else path.parent
    home.mkdir(parents=True, exist_ok=True)
    # within an existing folder, which may be on a disk of its own
    with tempfile.TemporaryDirectory(dir=home, prefix=PREFIX) as beside:
        partial = Path(beside) / path.name
        partial.mkdir()  # a temporary folder itself is for its owner's eyes only
        yield partial
        if exists:
            _merge(partial, path, stale)
        else:
            os.rename(partial, path)


def _merge(source: Path, target: Path, stale: tuple[str, ...]) -> None:
    """Move files into a folder, in the order of their making, and remove stale ones."""
    written = sorted((p for p in source.rglob("*") if p.is_file()), key=lambda p: p.stat().st_mtime)
    names = [file.relative_to(source) for file in written]
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / name, target / name)
    for name in {Path(old) for old in stale} - {*names}:
        (target / name).unlink(missing_ok=True)
