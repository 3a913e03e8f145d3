"""Workers side by side: each has one cell at a time, and is replaced when it dies or hangs."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .blocks import Blocks
from .cell import SAID, Row, said
from .plan import Cell
from .worker import ANSWERED, BEGUN, BROKEN, DONE, READY, command

ONE_THREAD = (  # environment variables that libraries read their number of threads from
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
HASHES = {"PYTHONHASHSEED": "0"}  # sets of words have one order in all workers
ASIDE = 300.0  # seconds for a method's first steps, and for measuring, that are not its time
WAKE = 1.0  # seconds after which a wait looks around
ENDED = "ended"  # what is said for a worker that is no more
TIMED_OUT, DIED = "timed out", "process ended"  # statuses


@dataclass(eq=False)
class Worker:
    """A process, what it is working on, and until when it may."""

    place: int
    process: subprocess.Popen[bytes]
    ready: bool = False
    cell: Cell | None = None
    begun: float = 0.0
    limit: float | None = None

    @classmethod
    def start(cls, place: int, job: bytes, said_by: queue.SimpleQueue[Any]) -> Worker:
        """Start a process, and a thread that passes on what it says."""
        process = subprocess.Popen(
            command(sys.path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=HASHES | os.environ | dict.fromkeys(ONE_THREAD, "1"),
            start_new_session=True,
        )
        worker = cls(place, process)
        threading.Thread(target=worker._listen, args=(job, said_by), daemon=True).start()
        return worker

    def _listen(self, job: bytes, said_by: queue.SimpleQueue[Any]) -> None:
        """Tell the worker its job, for which it must be awake, and pass on what it says."""
        self.tell(job)
        assert self.process.stdout is not None
        with self.process.stdout as heard, suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                said_by.put((self, *pickle.load(heard)))
        said_by.put((self, ENDED, None))

    def tell(self, what: Any) -> None:
        """Send something; a worker that is no more will be known by its silence."""
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):
            self.process.stdin.write(pickle.dumps(what))
            self.process.stdin.flush()

    def give(self, cell: Cell, timeout: float | None) -> None:
        """Have a cell run, after some first steps if its method has not taken any."""
        self.cell = cell
        self.begin(None if timeout is None else ASIDE)
        self.tell(cell)

    def begin(self, timeout: float | None) -> None:
        """Time runs from now on."""
        self.begun, self.limit = time.monotonic(), timeout

    @property
    def deadline(self) -> float:
        """When its time is over."""
        if self.cell is None or self.limit is None:
            return float("inf")
        return self.begun + self.limit

    def free(self) -> None:
        """There is nothing to do."""
        self.cell = None

    def end(self) -> None:
        """End the process, and those that it has started."""
        if self.process.returncode is None and hasattr(os, "killpg"):
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()

    def why_ended(self) -> str:
        """How the process came to its end, in words: what came first counts."""
        self.end()
        code = self.process.returncode
        if code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
        return f"signal {-code}"


class Pool:
    """Workers, and the cells that they are given.

    They live as long as the pool does: `close` ends them, and so does whatever ends the pool.

    Args:
        job: what they are to know, pickled.
        n_jobs: number of workers, at most.
        timeout: seconds that a cell may take, or None.
    """

    def __init__(self, job: bytes, n_jobs: int, timeout: float | None) -> None:
        self._job, self._n_jobs, self._timeout = job, n_jobs, timeout
        self._workers: dict[int, Worker] = {}
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._left = Blocks([])
        self.close = weakref.finalize(self, _end_all, self._workers)

    def rows(self, cells: Iterable[Cell]) -> Iterator[tuple[int, Row]]:
        """The number of a worker and a row, for each cell, as they come.

        Raises:
            RuntimeError: if a worker cannot begin.
        """
        self._left = Blocks(cells)
        for place in range(min(self._n_jobs, len(self._left))):
            if place in self._workers:
                self._next(self._workers[place])
            else:
                self._start(place)
        while len(self._left) or any(worker.cell for worker in self._workers.values()):
            yield from self._wait()

    def _start(self, place: int) -> None:
        self._workers[place] = Worker.start(place, self._job, self._said)

    def _wait(self) -> Iterator[tuple[int, Row]]:
        """What has been said; if nothing has been, whose time is over, and who has died."""
        soonest = min(worker.deadline for worker in self._workers.values()) - time.monotonic()
        with suppress(queue.Empty):
            speaker, word, what = self._said.get(timeout=max(0.0, min(WAKE, soonest)))
            if speaker in self._workers.values():
                yield from self._heard(speaker, word, what)
            return
        for worker in list(self._workers.values()):
            if worker.deadline < time.monotonic():
                yield from self._lost(worker, TIMED_OUT, f"took longer than {worker.limit:g} s")
            elif worker.process.poll() is not None:  # and what it started keeps the pipe open
                yield from self._heard(worker, ENDED, None)

    def _heard(self, worker: Worker, word: str, what: Any) -> Iterator[tuple[int, Row]]:
        if word == BROKEN:
            raise RuntimeError(f"a worker of the study could not begin: {what}")
        if word == ENDED:
            yield from self._lost(worker, DIED, f"its process ended with {worker.why_ended()}")
        elif word == BEGUN:
            worker.begin(self._timeout)
        elif word == ANSWERED:
            worker.begin(None if self._timeout is None else ASIDE)
        elif word == READY:
            worker.ready = True
            self._next(worker)
        else:
            assert word == DONE
            worker.free()
            self._next(worker)
            yield worker.place, what

    def _next(self, worker: Worker) -> None:
        cell = self._left.next_for(worker.place)
        if cell is not None:
            worker.give(cell, self._timeout)

    def _lost(self, worker: Worker, status: str, reason: str) -> Iterator[tuple[int, Row]]:
        """The row of a cell whose worker is no more, and another worker for those that are left."""
        worker.end()
        del self._workers[worker.place]
        if not worker.ready:
            raise RuntimeError(f"a worker of the study could not begin: {reason}")
        if len(self._left):
            self._start(worker.place)
        if worker.cell is not None:
            spent = time.monotonic() - worker.begun
            yield worker.place, Row(worker.cell.key, status, reason, spent, versions=said(SAID))


def _end_all(workers: dict[int, Worker]) -> None:
    for worker in workers.values():
        worker.end()
    workers.clear()
