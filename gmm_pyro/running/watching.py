"""How far a pass over partitions is, for who wants to see it; else nobody counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

EVERY = 0.5  # seconds from one word to the next: a pass that takes less has none

Tell = Callable[[int, int], None]  # how many partitions are done, of how many

_watcher: ContextVar[Tell | None] = ContextVar("watcher of passes", default=None)


@contextmanager
def watched(tell: Tell | None) -> Iterator[None]:
    """Have the passes of this block tell how many of their partitions are done.

    Args:
        tell: what is told, now and then, and at the end of a pass that has told anything; None
            changes nothing.
    """
    if tell is None:
        yield
        return
    token = _watcher.set(tell)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def shown_beside(bar: tqdm[Any]) -> Iterator[None]:
    """Have a bar that counts passes show the partitions of the one that is under way."""

    def tell(done: int, count: int) -> None:
        bar.set_postfix_str("" if done == count else f"partition {done} of {count}")

    with watched(None if bar.disable else tell):
        yield


@contextmanager
def shown_alone(name: str, *, silent: bool = False) -> Iterator[None]:
    """A bar on standard error for one pass over partitions, which counts them; none without.

    Args:
        name: what it says.
        silent: whether nothing is shown.
    """
    with tqdm(desc=name, unit="partition", disable=silent, delay=EVERY, leave=False) as bar:

        def tell(done: int, count: int) -> None:
            bar.total = count
            bar.update(done - bar.n)

        with watched(None if silent else tell):
            yield


class Watch:
    """The partitions of one pass, as they are done.

    Args:
        count: how many there are.
        tell: who is told of them.
    """

    def __init__(self, count: int, tell: Tell) -> None:
        self.count, self.tell = count, tell
        self.done, self.told_at, self.has_told = 0, time.monotonic(), False

    @classmethod
    def of(cls, count: int) -> Watch | None:
        """Of a pass that begins, or None if nobody wants to see it."""
        tell = _watcher.get()
        return None if tell is None else cls(count, tell)

    def at(self, done: int) -> None:
        """So many are done."""
        self.done = min(done, self.count)
        if time.monotonic() >= self.told_at + EVERY:
            self.told_at, self.has_told = time.monotonic(), True
            self.tell(self.done, self.count)

    def ended(self) -> None:
        """The pass is over."""
        if self.has_told:
            self.tell(self.count, self.count)
