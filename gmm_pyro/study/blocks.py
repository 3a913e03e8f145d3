"""Cells of one data set stay together, so that it is drawn once; at the end, workers share."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import groupby

from .plan import Cell


class Blocks:
    """Cells that are left, in blocks of one data set."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._blocks = deque(deque(group) for _, group in groupby(cells, lambda cell: cell.data))
        self._of_worker: dict[int, deque[Cell]] = {}
        self._count = sum(map(len, self._blocks))

    def __len__(self) -> int:
        return self._count

    def next_for(self, worker: int) -> Cell | None:
        """The next cell for a worker: of its own block, of a new one, or of another's."""
        own = self._of_worker.get(worker)
        if not own and self._blocks:
            own = self._of_worker[worker] = self._blocks.popleft()
        if not own:
            own = max(self._of_worker.values(), key=len, default=None)
        if not own:
            return None
        self._count -= 1
        return own.popleft()
