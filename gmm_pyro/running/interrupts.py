"""Interrupts of a program that are not lost, wherever they come: SIGINT (Ctrl-C) and SIGTERM.

Python raises an exception where it happens to be. Inside of a callback that a library calls from C,
or of a finaliser, nobody passes the exception on: it is printed and forgotten. So what has come is
remembered, and comes again a little later if it was forgotten.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}  # as shells have them
AGAIN = 0.05  # seconds after which an interrupt that was lost comes again

_current: Interrupts | None = None


class Interrupt(KeyboardInterrupt):
    """Ctrl-C. Python itself ends a process by a signal once it has seen a plain KeyboardInterrupt.

    It does so where one passes through code that is run from text, as that of named tuples,
    whatever becomes of it later.
    """


class Interrupts:
    """What has come so far.

    Attributes:
        exit_code: of a program that ends by the first that has come, or 0 if none has.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._timer: threading.Timer | None = None
        self._unraisable = sys.unraisablehook

    def handle(self, number: int, _: object) -> None:
        """Remember a signal, and raise what ends the work."""
        code = EXIT_CODES[signal.Signals(number)]
        self.exit_code = self.exit_code or code
        if number == signal.SIGINT:
            raise Interrupt
        sys.exit(code)

    def unraisable(self, lost: Any) -> None:
        """Let an interrupt that a callback or a finaliser has lost come again; print all else."""
        if not self.exit_code or not issubclass(lost.exc_type, KeyboardInterrupt | SystemExit):
            self._unraisable(lost)
            return
        is_interrupt = issubclass(lost.exc_type, KeyboardInterrupt)
        number = signal.SIGINT if is_interrupt else signal.SIGTERM
        self.cancel()
        self._timer = threading.Timer(AGAIN, _send, [number])
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """Forget what was to come again."""
        if self._timer is not None:
            self._timer.cancel()


def _send(number: signal.Signals) -> None:
    """Send a signal to the main thread, and wake it if it sleeps."""
    if hasattr(signal, "pthread_kill") and (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, number)
    else:  # Windows
        _thread.interrupt_main(number)


@contextmanager
def held_back() -> Iterator[None]:
    """Have Ctrl-C come after this block only; threads and processes that it starts never see it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its own start would let Ctrl-C through from then on
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def dask_setup(worker: Any) -> None:
    """Have a process that works for Dask leave Ctrl-C to the one that has started it.

    It is called by this name in workers that are told to load this module.
    """
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def remembered(*, to_the_end: bool = False) -> Iterator[Interrupts]:
    """Remember the interrupts that come in this block; a block inside of another shares them.

    A signal that the process was started to ignore, as a job in the background is, stays ignored.

    Args:
        to_the_end: whether the process ends after the block, so that later signals are ignored:
            what Python does from then on would tell of them in tracebacks, and not end otherwise.
    """
    global _current  # noqa: PLW0603 - as are the handlers of a process
    if _current is not None or threading.current_thread() is not threading.main_thread():
        yield _current or Interrupts()  # only the main thread may handle signals
        return
    _current = found = Interrupts()
    before = {
        number: signal.signal(number, found.handle)
        for number in EXIT_CODES
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    sys.unraisablehook = found.unraisable
    try:
        yield found
    finally:
        found.cancel()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if to_the_end else handler)
        sys.unraisablehook = found._unraisable
        _current = None
