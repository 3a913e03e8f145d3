"""How far a pass is that Dask is at work on: asked for now and then, if anybody wants to see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from dask.base import get_scheduler
from dask.callbacks import Callback

from .watching import EVERY, Watch

DONE = ("memory", "released", "forgotten")  # states of a task that has been done


@contextmanager
def watching(name: str, count: int, size: int) -> Iterator[dict[str, Any]]:
    """Watch a pass, if anybody wants to see how far it is.

    Args:
        name: of the tasks of its lots, (name, 0), (name, 1), ….
        count: its partitions.
        size: partitions of a lot.

    Yields:
        What to tell the scheduler.
    """
    watch = Watch.of(count)
    if watch is None:
        yield {}
        return
    client = getattr(get_scheduler(), "__self__", None)
    if client is None:
        yield {"callbacks": {*Callback.active, _counting(watch, name, size)}}
    else:
        over = Event()
        asking = Thread(target=_ask, args=(client, watch, name, size, over), daemon=True)
        asking.start()
        try:
            yield {}
        finally:
            over.set()
            asking.join(EVERY)
    watch.ended()


def _counting(watch: Watch, name: str, size: int) -> tuple[Any, ...]:
    """What a scheduler of this process calls: after each task, of those for each."""
    done = 0

    def posttask(key: Any, *_: Any) -> None:
        nonlocal done
        if isinstance(key, tuple) and key[0] == name:
            done += size
            watch.at(done)

    return None, None, None, posttask, None


def _ask(client: Any, watch: Watch, name: str, size: int, over: Event) -> None:
    """Ask the scheduler now and then how far a pass is: a message, whatever the number of tasks."""
    while not over.wait(EVERY):
        try:
            watch.at(size * client.run_on_scheduler(_lots_done, name=name))
        except Exception:  # noqa: BLE001 - the pass itself says what is wrong
            return


def _lots_done(name: str, dask_scheduler: Any) -> int:
    """Tasks of a name that have been done, of those that a scheduler knows."""
    group = dask_scheduler.task_groups.get(name)
    return 0 if group is None else sum(group.states[state] for state in DONE)
