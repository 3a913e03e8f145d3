"""Loops that go on where they were left.

A fit is the same from its seed on, to the last bit. So it is begun anew, and what takes long is not
done again: a loop that begins as one did before is told how far that one had come. What is between
loops is done again, and nothing of it needs to be kept; nor do methods know.

A loop is known by its number among the loops of a fit and the bits of what it begins with. After an
interrupt a fit may go through others than it would have: these are of other bits, and are not taken
for what they are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .folder import Folder
from .values import Vocabulary, Written

Item = TypeVar("Item")
SHORT = 1e-3  # of the time from one writing to the next: so long a loop may take and not be kept

_present: ContextVar[Keeper | None] = ContextVar("what keeps the loops", default=None)


@dataclass(eq=False)
class Loop:
    """A loop that goes on where it was left.

    Attributes:
        state: where it was left; None at its beginning.
        items: what its steps have brought so far, one after the other.
    """

    state: Any = None
    items: list[Any] = field(default_factory=list)

    def keep(self, state: Any, *items: Any) -> None:
        """Be able to go on from here.

        Args:
            state: all that it takes to go on; it must not change later.
            items: what the last step has brought, which follows `items`.
        """

    def told(self, compute: Callable[[], Item]) -> Item:
        """The next item: one from before, or what is computed now."""
        return compute()


class KeptLoop(Loop):
    """A loop that a keeper knows.

    Attributes:
        key: what it is known by.
    """

    def __init__(self, keeper: Keeper, key: str, record: Record) -> None:
        super().__init__(record.state, list(record.items))
        self.key = key
        self._keeper, self._told, self._begun = keeper, 0, keeper.now()
        self._kept = record.state, len(record.items)  # as one, which no interrupt divides
        self._items_written, self._state_written = len(record.items), record.is_left

    def keep(self, state: Any, *items: Any) -> None:
        """See `Loop`."""
        del self.items[self._kept[1] :]
        self.items += items
        self._kept = state, len(self.items)
        self._state_written = False
        self._keeper.look()

    def told(self, compute: Callable[[], Item]) -> Item:
        """See `Loop`."""
        if self._told == self._kept[1]:
            self.keep(None, compute())
        self._told += 1
        found: Item = self.items[self._told - 1]
        return found

    @property
    def takes_long(self) -> bool:
        """Whether it is worth to be kept; also if it has been before."""
        return self._items_written > 0 or self._keeper.now() - self._begun >= self._keeper.short

    def news(self, *, is_left: bool) -> tuple[Any, ...] | None:
        """What is not written: items, and the state once the loop is left; None if nothing."""
        state, count = self._kept
        has_state = is_left and not self._state_written
        if not has_state and count == self._items_written:
            return None
        first = self._items_written
        return self.key, first, self.items[first:count], has_state, state if has_state else None

    @property
    def present(self) -> tuple[str, Any]:
        """What it is known by, and where it is."""
        return self.key, self._kept[0]

    def written(self, news: tuple[Any, ...]) -> None:
        """Know that something has been written."""
        _, first, items, has_state, _ = news
        self._items_written = first + len(items)
        self._state_written = self._state_written or has_state


@dataclass(eq=False)
class Record:
    """What is known of a loop from before.

    Attributes:
        state: where it was left.
        items: what its steps have brought.
        is_left: whether this is where it was left for the next one.
    """

    state: Any = None
    items: list[Any] = field(default_factory=list)
    is_left: bool = False


class Keeper:
    """The loops of a fit, and where they are kept.

    Args:
        folder: where they are.
        words: what states and items consist of.
        seconds: from one writing to the next.
    """

    def __init__(self, folder: Folder, words: Vocabulary, seconds: float) -> None:
        self._folder, self._words, self._seconds = folder, words, seconds
        self._records: dict[str, Record] = {}
        self._read()
        self._count, self._left = 0, list[KeptLoop]()
        self._loop: KeptLoop | None = None
        self._written_at = self.now()

    @staticmethod
    def now() -> float:
        """The time in seconds, from whenever."""
        return time.monotonic()

    @property
    def short(self) -> float:
        """Seconds that a loop takes at least, to be kept."""
        return SHORT * self._seconds

    def begun(self, beginning: tuple[Any, ...]) -> Loop:
        """The next loop, which begins with these values."""
        self._leave()
        key = f"{self._count} {Written.of(beginning, self._words).digest}"
        self._count += 1
        loop = self._loop = KeptLoop(self, key, self._records.pop(key, Record()))
        return loop

    def look(self) -> None:
        """Write, if it is time to."""
        if self.now() - self._written_at >= self._seconds:
            self.write()

    def write(self) -> None:
        """Have all on the disk that is not."""
        told = [(loop, loop.news(is_left=True)) for loop in self._left]
        if self._loop is not None:
            told.append((self._loop, self._loop.news(is_left=False)))
        news = [(loop, some) for loop, some in told if some is not None]
        if news:
            self._folder.add(Written.of([some for _, some in news], self._words))
        present = None if self._loop is None else self._loop.present
        self._folder.note(Written.of(present, self._words))
        for loop, some in news:
            loop.written(some)
        self._left.clear()
        self._written_at = self.now()

    def _leave(self) -> None:
        """Have the loop at work be one of those that are over."""
        if self._loop is not None and self._loop.takes_long:
            self._left.append(self._loop)
        self._loop = None

    def _read(self) -> None:
        """Know the loops from before."""
        parts, present = self._folder.read()
        for part in parts:
            for key, first, items, has_state, state in part.value(self._words):
                record = self._records.setdefault(key, Record())
                record.items[first:] = items
                if has_state:
                    record.state, record.is_left = state, True
        at_work = None if present is None else present.value(self._words)
        if at_work is not None:
            self._settle(*at_work)

    def _settle(self, key: str, state: Any) -> None:
        """Have the loop that was at work among those that were left: another is at work soon."""
        record = self._records.setdefault(key, Record())
        record.state, record.is_left = state, True
        self._folder.add(Written.of([(key, len(record.items), [], True, state)], self._words))
        self._folder.note(Written.of(None, self._words))


def resumed(*beginning: Any) -> Loop:
    """A loop that begins with these values, or goes on where one that did was left.

    All that its steps depend on is among these values, or is the same in every loop of its number.
    """
    keeper = _present.get()
    return Loop() if keeper is None else keeper.begun(beginning)


@contextmanager
def keeping(keeper: Keeper) -> Iterator[None]:
    """Have the loops of this block kept, and all on the disk when it ends, however it ends."""
    token = _present.set(keeper)
    try:
        yield
    finally:
        _present.reset(token)
        keeper.write()
