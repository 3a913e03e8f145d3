"""Threads for the reduction: chunks of data side by side, one thread inside of each product.

Torch's own threads share every small product and wait for each other at its end; on the small
tensors of a parameter update that wait is longer than the work.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock, current_thread, main_thread
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
Sums = tuple[torch.Tensor, ...]

_available: ContextVar[int] = ContextVar("available threads", default=0)
_running: list[int] = []  # what each block that is running, on any thread, will restore
_lock = Lock()


@contextmanager
def one_thread_a_product() -> Iterator[None]:
    """Run torch single-threaded in this block, and keep its threads for `map_in_threads`."""
    if _available.get() and torch.get_num_threads() == 1:  # within another such block
        yield
        return
    with _lock:
        before = torch.get_num_threads()
        if before == 1 and not _available.get() and current_thread() is not main_thread():
            # A thread that starts beside a block inherits its 1.
            before = max(_running) if _running else _of_a_new_thread()
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


def _renew_in_child() -> None:
    """In a forked child, only the blocks of the thread that forked are running."""
    global _lock  # noqa: PLW0603 - another thread may have held it
    _lock = Lock()
    if not _available.get():
        _running.clear()
        torch.set_num_threads(torch.get_num_threads())  # also of threads that start from now on


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_in_child)


def _of_a_new_thread() -> int:
    """The number of threads that torch gives to a thread that starts now: the process's."""
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(torch.get_num_threads).result()


def beside(work: Callable[[], Result]) -> Result:
    """What some work gives that is done by a thread of its own, as no interrupt may stop it.

    An interrupt is the main thread's, where it comes at once, and the work goes on to its end: a
    library that is half imported, or a compiler that stopped anywhere, would not work from then on.
    """
    fresh = ThreadPoolExecutor(1, thread_name_prefix="gmm_pyro beside")
    try:
        return fresh.submit(work).result()
    finally:
        fresh.shutdown(wait=False)


def map_in_threads(
    make_worker: Callable[[], Callable[[Item], Result]], items: list[Item]
) -> list[Result]:
    """The results for all items, in their order, on as many threads as torch was allowed.

    Args:
        make_worker: called once in each thread; gives the function from an item to its result.
        items: what there is to do; a thread takes the next one when it has finished one.
    """
    if len(items) == 1 and _available.get():  # nothing to share, as often where data are small
        return [make_worker()(items[0])]
    threads = min(n_threads(), len(items))
    todo = deque(enumerate(items))
    with one_thread_a_product():
        if threads == 1:
            work = make_worker()
            return [work(item) for item in items]
        jobs = [
            _pool(threads - 1, os.getpid()).submit(_work_off, make_worker, todo)
            for _ in range(threads - 1)
        ]
        try:
            done = _work_off(make_worker, todo)
        finally:
            todo.clear()  # after an error or an interrupt there is nothing left to do
            wait(jobs)
        for job in jobs:
            done.update(job.result())
    return [done[i] for i in range(len(items))]


def total(
    make_worker: Callable[[], Callable[[Item], Sums]], items: list[Item]
) -> tuple[torch.Tensor, ...]:
    """The sums of what a function gives for all items, tensor by tensor.

    They are added in pairs, and pairs of pairs: an order that the number of items alone decides,
    whoever has worked on which.

    Args:
        make_worker: as `map_in_threads` takes it.
        items: one or more.
    """
    return in_pairs(map_in_threads(make_worker, items), added)


def added(one: Sums, other: Sums) -> Sums:
    """Sums tensor by tensor."""
    return tuple(map(torch.add, one, other))


def in_pairs(parts: Sequence[Result], join: Callable[[Result, Result], Result]) -> Result:
    """All parts joined: neighbours in pairs, then these in pairs, in an order of numbers alone.

    Those of 2, 4, 8, … neighbours, from the first on, may be joined beforehand: it is the same.
    """
    while len(parts) > 1:
        pairs = [join(one, other) for one, other in zip(parts[::2], parts[1::2], strict=False)]
        parts = [*pairs, *parts[2 * len(pairs) :]]
    return parts[0]


@contextmanager
def alone() -> Iterator[None]:
    """Work on this thread alone, as a task does that has others beside it.

    A thread of a scheduler keeps torch's single thread: what restored it would change the products
    of tasks beside.
    """
    if current_thread() is main_thread():
        with one_thread_a_product(), _with_available(1):
            yield
        return
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)
    with _with_available(1):
        yield


def n_threads() -> int:
    """How many threads torch was allowed, which work side by side."""
    return _available.get() or torch.get_num_threads()


def own_threads() -> ThreadPoolExecutor:
    """So many threads, each for itself, for who shares out work otherwise."""
    return _singles(n_threads(), os.getpid())


@functools.lru_cache(maxsize=1)
def _singles(threads: int, process: int) -> ThreadPoolExecutor:
    del process  # threads do not survive a fork
    return ThreadPoolExecutor(
        threads, "gmm_pyro single", initializer=torch.set_num_threads, initargs=(1,)
    )


@contextmanager
def _with_available(threads: int) -> Iterator[None]:
    token = _available.set(threads)
    try:
        yield
    finally:
        _available.reset(token)


def _work_off(
    make_worker: Callable[[], Callable[[Item], Result]], todo: deque[tuple[int, Item]]
) -> dict[int, Result]:
    """Take items until there are none left; returns results by number."""
    if not _available.get():  # a thread of the pool, which starts with the process's number
        torch.set_num_threads(1)
        _available.set(1)
    work = make_worker()
    done: dict[int, Result] = {}
    while True:
        try:
            i, item = todo.popleft()
        except IndexError:
            return done
        done[i] = work(item)


@functools.lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Worker threads; a forked process gets its own, since threads do not survive a fork."""
    del process
    return ThreadPoolExecutor(threads, thread_name_prefix="gmm_pyro")


def in_pairs_at(parts: Mapping[int, Result], join: Callable[[Result, Result], Result]) -> Result:
    """As `in_pairs`, of parts at some places of a longer list: a pair of one is that one.

    Args:
        parts: one or more, by their places.
        join: makes one of two neighbours.
    """
    found = dict(sorted(parts.items()))
    while len(found) > 1:
        above: dict[int, Result] = {}
        for place, part in found.items():
            pair = place // 2
            above[pair] = join(above[pair], part) if pair in above else part
        found = above
    (whole,) = found.values()
    return whole
