"""Files and folders that appear as a whole, or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .alone import alone_in

PREFIX = ".partial-"  # of the names of temporary folders


def refuse_existing(path: str | Path, *, force: bool = False) -> None:
    """Refuse a file that exists, or a folder that holds something, unless `force` allows it.

    Temporary folders, of writers that are not done, do not count.

    Raises:
        FileExistsError: if it does.
    """
    path = Path(path)
    if force or not path.exists():
        return
    if path.is_dir() and all(entry.name.startswith(PREFIX) for entry in path.iterdir()):
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


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write a file whose content is known, plainly: a full disk is an error that names it.

    Libraries that write by themselves may crash there (HDF5), or leave the error without a name.

    Raises:
        OSError: if it cannot be written.
    """
    with _named(Path(path)):
        Path(path).write_bytes(content)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary place for a file that is moved to its own one when the block ends well.

    It has the same name, in a folder beside; folders above are made. An exception, an interrupt
    among them, leaves nothing behind. Of several writers at once, the last one's file stays.

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
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=PREFIX) as beside:
            partial = Path(beside) / path.name
            yield partial
            os.replace(partial, path)


@contextmanager
def whole_folder(
    path: str | Path, *, stale: tuple[str, ...] = (), force: bool = True
) -> Iterator[Path]:
    """A temporary folder whose files are moved to their own one when the block ends well.

    A new folder appears at once, with all that is in it. Where there is one already, files replace
    those of the same name, one after the other, and others stay. Of several writers at once, one
    waits for the other, so that what is there is all of the last.

    Args:
        path: the folder; those above it are made.
        stale: names below the folder that an earlier run may have written, or patterns of them as
            `Path.glob` takes them. Those that the block does not write are removed.
        force: whether files may be added to a folder that is not empty when the block ends.

    Raises:
        FileExistsError: if the folder is not empty, without `force`.
        OSError: if the folder cannot be written; it names a file by its place in the folder.
    """
    path = Path(path)
    with _named(path):
        home = path if path.is_dir() else path.parent
        home.mkdir(parents=True, exist_ok=True)
        # within an existing folder, which may be on a disk of its own
        with tempfile.TemporaryDirectory(dir=home, prefix=PREFIX) as beside:
            partial = Path(beside) / path.name
            partial.mkdir()  # a temporary folder itself is for its owner's eyes only
            yield partial
            if home == path or not _renamed(partial, path):
                with alone_in(path, waits=True):
                    refuse_existing(path, force=force)
                    _merge(partial, path, stale)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say of a failure which file it was, and not which temporary one in its place."""
    try:
        yield
    except OSError as error:
        parts = Path(str(error.filename)).parts
        beside = [i for i, part in enumerate(parts) if part.startswith(PREFIX)]
        if error.filename is not None and not beside:
            raise
        place = path.joinpath(*parts[beside[-1] + 2 :]) if beside else path
        raise OSError(error.errno, error.strerror or str(error), str(place)) from error


def _renamed(source: Path, target: Path) -> bool:
    """Whether a folder could be put where there was none, or an empty one."""
    try:
        os.rename(source, target)
    except OSError as error:
        if not target.is_dir():
            raise OSError(error.errno, error.strerror, str(target)) from error
        return False  # another writer has made it in the meantime
    return True


def _merge(source: Path, target: Path, stale: tuple[str, ...]) -> None:
    """Move files into a folder, in the order of their making, and remove stale ones."""
    written = sorted((p for p in source.rglob("*") if p.is_file()), key=lambda p: p.stat().st_mtime)
    names = [file.relative_to(source) for file in written]
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / name, target / name)
    earlier = {file for pattern in stale for file in target.glob(pattern)}
    for file in earlier - {target / name for name in names}:
        file.unlink(missing_ok=True)
