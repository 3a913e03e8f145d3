"""Being the only one at work in a folder, as far as others ask, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def alone_in(folder: Path, *, waits: bool = False) -> Iterator[None]:
    """Be the only run in a folder; where it cannot be locked, hope so.

    Args:
        folder: the folder, which is made if it is not there.
        waits: whether to wait for another one to end.

    Raises:
        BlockingIOError: if there is another, unless this one waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise BlockingIOError(
                error.errno, "another run is at work here", str(folder)
            ) from error
        except OSError:  # some network file systems have no locks
            pass
        yield
    finally:
        os.close(handle)
