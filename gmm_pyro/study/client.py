"""Cells by a client that submits: Dask's, or an executor of `concurrent.futures`.

Whoever runs a cell there has a worker process of its own, so that time-outs end what hangs, and a
method that kills its process kills no more than that.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from ..data.checks import shown
from .cell import Row
from .plan import Cell
from .pool import Pool

_own = threading.local()  # the pool of a thread, which ends with it, and the digest of its job


class Future(Protocol):
    """What will be there when something has been done."""

    def result(self) -> Any:
        """The value; it raises what has been raised."""

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> Any:
        """Have a function called with this when it is done."""


class Client(Protocol):
    """What runs functions elsewhere: `distributed.Client`, `concurrent.futures.Executor`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future:
        """Have a function run with some arguments."""


def check_client(value: Any) -> Client:
    """A client.

    Raises:
        TypeError: if it cannot submit.
    """
    if callable(getattr(value, "submit", None)):
        return value
    raise TypeError(
        "client must have a submit, as executors have, and the distributed.Client of "
        f"pip install 'gmm-pyro[cluster]', got {shown(value)}"
    )


def rows_by(
    client: Client, job: bytes, cells: Iterable[Cell], at_once: int, timeout: float | None
) -> Iterator[tuple[int, Row]]:
    """The number of a place and a row, for each cell, as they come; so many cells at a time.

    Raises:
        Exception: what the client raises where a machine is lost.
    """
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    left, free = iter(cells), list(range(at_once))
    places: dict[int, tuple[int, Future]] = {}
    while True:
        while free and (cell := next(left, None)) is not None:
            future = client.submit(run_here, job, cell, timeout)
            places[id(future)] = free.pop(), future
            future.add_done_callback(done.put)
        if not places:
            return
        future = done.get()
        place, _ = places.pop(id(future))
        free.append(place)
        yield place, future.result()


def run_here(job: bytes, cell: Cell, timeout: float | None) -> Row:
    """The row of a cell, by the worker process that belongs to this thread."""
    digest = hashlib.blake2b(job).digest()
    if getattr(_own, "digest", None) != digest:
        if hasattr(_own, "pool"):
            _own.pool.close()
        _own.digest, _own.pool = digest, Pool(job, 1, timeout)
    pool: Pool = _own.pool
    return next(row for _, row in pool.rows([cell]))
