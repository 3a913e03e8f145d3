"""A worker: a process that runs one cell after the other, and dies with the one that started it.

It is told through its standard input and answers through its standard output, in pickles; what
methods print goes nowhere. It leads a group of processes, so that what methods start ends with it.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import queue
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, BinaryIO

GRACE = 5.0  # seconds after its time by which a worker ends itself, should nobody else do it
READY, BROKEN = "ready", "broken"  # what a worker says of itself
BEGUN, ANSWERED, DONE = "begun", "answered", "done"  # and of its cell


def main() -> None:
    """Run the cells that come, until no more can."""
    inbox, outbox = _channels()
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox, asked), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        job, timeout = pickle.loads(asked.get())
        bench = _bench(job)
    except Exception as error:  # noqa: BLE001 - a function's own module may fail
        _say(outbox, BROKEN, f"{type(error).__name__}: {error}")
        return
    _say(outbox, READY, None)
    home = os.getcwd()
    while True:
        cell = asked.get()
        bench.rehearse(cell)
        _as_at_first(home)
        _say(outbox, BEGUN, None)
        if timeout is not None:
            faulthandler.dump_traceback_later(timeout + GRACE, exit=True)
        row = bench.run(cell, lambda: _answered(outbox))
        _say(outbox, DONE, row)


def _answered(outbox: BinaryIO) -> None:
    """The method has ended in time."""
    faulthandler.cancel_dump_traceback_later()
    _say(outbox, ANSWERED, None)


def _as_at_first(home: str) -> None:
    """Put back what methods may have set for the whole process, so that no cell knows of others."""
    import numpy as np
    import pyro
    import torch

    os.chdir(home)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    np.seterr(divide="warn", over="warn", under="ignore", invalid="warn")
    pyro.clear_param_store()


def _bench(job: Any) -> Any:
    """Where cells are run: one thread, everything loaded."""
    import torch
    from threadpoolctl import threadpool_limits

    from .cell import Bench, warm_up

    torch.set_num_threads(1)
    threadpool_limits(1)
    warm_up()
    return Bench(job)


def _channels() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for us alone, and nothing in their place."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    return inbox, outbox


def _listen(inbox: BinaryIO, asked: queue.SimpleQueue[Any]) -> None:
    """Hand on what comes; when nothing more can, end at once, with all that was started."""
    try:
        while True:
            asked.put(pickle.load(inbox))
    except (EOFError, OSError, pickle.UnpicklingError):
        end_group()


def end_group() -> None:
    """End this process and those that it has started."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        with suppress(OSError):
            os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _say(outbox: BinaryIO, word: str, what: Any) -> None:
    try:
        outbox.write(pickle.dumps((word, what)))
        outbox.flush()
    except OSError:  # nobody listens
        end_group()


def command(path: list[str]) -> list[str]:
    """The command that starts a worker which finds modules where this process does."""
    code = f"import sys; sys.path[:] = {path!r}; from gmm_pyro.study.worker import main; main()"
    return [sys.executable, "-c", code]
