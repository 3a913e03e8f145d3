"""What Dask raises when the processes that work for it are lost, said in words."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

LOST = (
    "the scheduler of Dask is gone, or the client was closed, and with it what workers kept of the "
    "data: connect to a scheduler that runs and make the same call again, which goes on from a "
    "checkpoint if it had one"
)
KILLED = (
    "workers have died one after the other over the same partitions, as they do where memory is "
    "not enough: take smaller partitions, or workers with more memory ({error})"
)
UNKNOWN = "Missing dependency"  # how Dask's threads begin, where values were those of a client


@contextmanager
def losses_told() -> Iterator[None]:
    """Have what this block asks of Dask end in an error of ours where its processes are lost.

    Raises:
        ConnectionError: if the scheduler or the client is.
        RuntimeError: if workers are, again and again.
    """
    from distributed import KilledWorker
    from distributed.client import ClosedClientError
    from distributed.comm.core import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise RuntimeError(KILLED.format(error=error)) from error
    except (CancelledError, ClosedClientError, CommClosedError) as error:
        raise ConnectionError(LOST) from error
    except ValueError as error:
        if not str(error).startswith(UNKNOWN):
            raise
        raise ConnectionError(LOST) from error
