"""Threads for the reduction: chunks of data side by side, one thread inside of each product.

Torch's own threads share every small product and wait for each other at its end; on the small
tensors of a parameter update that wait is longer than the work.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_available: ContextVar[int] = ContextVar("available threads", default=0)
_running: list[int] = []  # what each block that is running, on any thread, will restore
_lock = Lock()


@contextmanager
def one_thread_a_product() -> Iterator[None]:
    """Run torch single-threaded in this block, and keep its threads for `map_in_threads`."""
    with _lock:
        before = torch.get_num_threads()
        if before == 1 and _running and not _available.get():
            before = max(_running)  # a thread that starts beside a block inherits its 1
        _running.append(before)
    token = _available.set(_available.get() or before)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _available.reset(token)
        with _lock:
            _running.remove(before)


def map_in_threads(work: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    """The results for all items, in their order, on as many threads as torch was allowed."""
    threads = min(_available.get() or torch.get_num_threads(), len(items))
    if threads <= 1:
        return [work(item) for item in items]
    with one_thread_a_product():
        return list(_pool(threads, os.getpid()).map(functools.partial(_run, work), items))


def _run(work: Callable[[Item], Result], item: Item) -> Result:
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)  # a new thread starts with the process's number
    return work(item)


@functools.lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Worker threads; a forked process gets its own, since threads do not survive a fork."""
    del process
    return ThreadPoolExecutor(threads, thread_name_prefix="gmm_pyro")
