"""How far a fit is: a bar in a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO

EVERY = 30.0  # seconds from one line to the next, where there is no terminal
BAR = re.compile(
    r"(?P<name>.+?): +(?:\d+%\|.*\| )?(?P<done>\d+)(?:/(?P<most>\d+)|step)(?P<rest>.*)"
)
UNIT = re.compile(r"([^\W\d_]+)/s[],]|s/([^\W\d_]+)[],]")  # of what there are so many, in the rate
WITHIN = re.compile(r", (partition \d+ of \d+)\]")  # of a step


def is_terminal() -> bool:
    """Whether somebody sees what is written to standard error."""
    return sys.stderr.isatty()


@contextmanager
def progress_said() -> Iterator[None]:
    """Bars on standard error as they are in a terminal; elsewhere a line every 30 seconds."""
    if is_terminal():
        yield
        return
    lines = Lines(sys.stderr)
    done = threading.Event()
    clock = threading.Thread(target=_tick, args=(lines, done), daemon=True)
    clock.start()
    try:
        with redirect_stderr(lines):
            yield
    finally:
        done.set()
        clock.join()


def _tick(lines: Lines, done: threading.Event) -> None:
    while not done.wait(EVERY):
        lines.say()


class Lines:
    """Standard error without the bars, of which the last one is kept to be told in words."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._begun, self._bar = stream, 0.0, ""

    def write(self, text: str) -> int:
        """Pass on what is no part of a bar."""
        if text.startswith("\r") and text.strip():
            self._begun = self._begun if self._bar else time.monotonic()
            self._bar = text.strip()
        elif text.startswith("\r"):  # blanks, with which a bar goes that is not left standing
            self._bar = self._bar if text == "\r" else ""
        elif self._bar and text == "\n":  # with which a bar ends
            self._bar = ""
        else:
            self._stream.write(text)
        return len(text)

    def say(self) -> None:
        """A line about the bar that there is, if there is one."""
        words = in_words(self._bar, time.monotonic() - self._begun)
        if words:
            self._stream.write(f"{words}\n")
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Whatever else a stream has, as the stream has it."""
        return getattr(self._stream, name)


def in_words(bar: str, seconds: float) -> str:
    """What a bar says, after so many seconds; nothing of what is no bar.

    Example:
        >>> in_words("em:   3%|3         | 30/1000 [00:30<16:10,  1.00step/s]", 30.2)
        'em: step 30 of at most 1000 after 30 s'
        >>> in_words("select:  14%|#4        | 2/14 [00:30<03:00, 15.00s/family]", 30.2)
        'select: family 2 of 14 after 30 s'
    """
    found = BAR.match(bar)
    if found is None:
        return ""
    unit = next((a or b for a, b in UNIT.findall(bar)), "step")
    if unit != "step":
        return f"{found['name']}: {unit} {found['done']} of {found['most']} after {seconds:.0f} s"
    most = f" of at most {found['most']}" if found["most"] else ""
    within = WITHIN.search(bar)
    part = f", {within[1]}," if within else ""
    return f"{found['name']}: step {found['done']}{most}{part} after {seconds:.0f} s"
