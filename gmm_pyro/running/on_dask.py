"""Partitions that Dask knows of: a pass over them is one graph, and its result one small sum.

The graph of a pass has the work as one key, whose value goes to the scheduler once and from worker
to worker where it is asked for; a task for each lot of partitions, which works on one thread; and
tasks that join what comes of them, in pairs and pairs of pairs. The client gets the last one.

Without a client of `distributed`, Dask's threads do the same on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from dask import threaded
from dask.base import compute, get_scheduler, persist
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from .dask_watching import watching
from .libraries import libraries_of, refuse_strange
from .lost import losses_told
from .places import Join, Result, ToldWork, Work
from .threads import alone, beside, in_pairs, in_pairs_at, n_threads, own_threads

FAN_IN = 16  # results that a task joins: a power of two, so that pairs stay pairs
LOT_BYTES = 2**26  # of the partitions of one task, unless one alone has more
LEAST_BYTES = 2**20  # of the partitions of one task: less is done before it is scheduled
LOTS_A_THREAD = 4  # tasks, so that none waits for long at the end of a pass
FITS = 0.3  # share of memory up to which partitions are kept there

Graph = dict[Any, Any]
Load = Callable[[list[Any]], Sequence[Any]]
Make = Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Lot:
    """Consecutive partitions that one task works on.

    Attributes:
        parts: what they are made from: values of Dask's, tuples of these, or small things that say
            where to read.
        load: makes them from these, in the task.
        count: how many they are.
    """

    parts: Sequence[Any]
    load: Load
    count: int

    @property
    def needed(self) -> list[Delayed]:
        """The parts that Dask works out."""
        each = [part if isinstance(part, tuple) else (part,) for part in self.parts]
        return [one for some in each for one in some if isinstance(one, Delayed)]

    @property
    def argument(self) -> list[Any]:
        """The parts as a task has them: by their keys, or as they are."""
        return [_by_key(part) for part in self.parts]

    def kept(self, key: tuple[str, int]) -> Delayed:
        """The partitions as one value."""
        task, name = partial(_whole, load=self.load), f"{key[0]}-{key[1]}"
        return delayed_of(key, name, {key: (task, self.argument)}, self.needed)


@dataclass(frozen=True, eq=False)
class OnDask:
    """Partitions behind a scheduler.

    Attributes:
        lots: consecutive partitions, a task for each list.
        size: partitions in a lot, a power of two; the last may have fewer.
    """

    lots: Sequence[Lot]
    size: int

    @property
    def count(self) -> int:
        """How many partitions there are."""
        return sum(lot.count for lot in self.lots)

    def fold(self, work: Work[Result], join: Join[Result]) -> Result:
        """See `Places`."""
        task = partial(_folded, join=join)
        return self._pass(work, dict.fromkeys(range(len(self.lots)), task), join)

    def fold_some(
        self, work: ToldWork[Result], told: Mapping[int, Any], join: Join[Result]
    ) -> Result:
        """See `Places`."""
        by_lot: dict[int, dict[int, Any]] = {}
        for number, own in sorted(told.items()):
            by_lot.setdefault(number // self.size, {})[number % self.size] = own
        tasks = {lot: partial(_folded_some, told=own, join=join) for lot, own in by_lot.items()}
        return self._pass(work, tasks, join)

    def _pass(
        self, work: Callable[..., Result], tasks: Mapping[int, Any], join: Join[Result]
    ) -> Result:
        """What tasks for some lots make of work on these, joined.

        Args:
            work: goes to the scheduler once.
            tasks: of work and the parts of a lot, by the numbers of lots.
            join: makes one of the results of neighbours.
        """
        name = _unique("pass")
        graph: Graph = {f"{name}-work": work}
        keys: dict[int, Any] = {i: (name, i) for i in tasks}
        for i, task in tasks.items():
            lot = self.lots[i]
            graph[keys[i]] = (partial(task, load=lot.load), f"{name}-work", lot.argument)
        level = 0
        while len(keys) > 1:
            level += 1
            groups: dict[int, dict[int, Any]] = {}
            for place, key in keys.items():
                groups.setdefault(place // FAN_IN, {})[place % FAN_IN] = key
            keys = {place: (f"{name}-joined-{level}", place) for place in groups}
            for place, group in groups.items():
                joined = partial(_joined, places=tuple(group), join=join)
                graph[keys[place]] = (joined, [*group.values()])
        needed = [part for i in tasks for part in self.lots[i].needed]
        (last,) = keys.values()
        whole = delayed_of(last, name, graph, needed)
        of_all = len(tasks) == len(self.lots)
        watched: AbstractContextManager[dict[str, Any]] = nullcontext({})
        with watching(name, self.count, self.size) if of_all else watched as how:
            (result,) = computed([whole], **how)
        return result

    def each(self, works: Mapping[int, Work[Result]]) -> dict[int, Result]:
        """See `Places`."""
        name = _unique("some")
        by_lot: dict[int, dict[int, Work[Result]]] = {}
        for number, work in works.items():
            by_lot.setdefault(number // self.size, {})[number % self.size] = work
        wanted = []
        for number, own in by_lot.items():
            lot, key = self.lots[number], f"{name}-{number}"
            graph: Graph = {key: (partial(_each, own, load=lot.load), lot.argument)}
            wanted.append(delayed_of(key, key, graph, lot.needed))
        found = computed(wanted)
        return {
            lot * self.size + i: value
            for lot, some in zip(by_lot, found, strict=True)
            for i, value in some.items()
        }

    def partitions(self, count: int) -> Iterator[Delayed]:
        """See `Places`."""
        name = _unique("partition")
        for number in range(count):
            lot, key = self.lots[number // self.size], f"{name}-{number}"
            pick = partial(_picked, number % self.size, load=lot.load)
            yield delayed_of(key, key, {key: (pick, lot.argument)}, lot.needed)

    def asked(self, question: Callable[[], Any]) -> dict[str, Any]:
        """See `Places`."""
        client = _client()
        return {} if client is None else dict(client.run(question))

    def then(self, make: Make, told: Sequence[Any]) -> OnDask:
        """The same partitions, of which tasks make something else before they work on it.

        Args:
            make: makes it of some partitions, and of what is told of each.
            told: of each partition.
        """
        lots = []
        for i, lot in enumerate(self.lots):
            some = told[i * self.size : (i + 1) * self.size]
            own = partial(_made, load=lot.load, make=make, told=some)
            lots.append(Lot(lot.parts, own, lot.count))
        return OnDask(lots, self.size)


def in_lots(
    parts: Sequence[Any],
    load: Callable[..., Sequence[Any]],
    told: Sequence[Any],
    size: int = 1,
) -> OnDask:
    """Partitions in lots of so many.

    Args:
        parts: what partitions are made from.
        load: makes those of a lot from their parts, and from what is told of each.
        told: of each part.
        size: of a lot, a power of two.
    """
    lots = []
    for i in range(0, len(parts), size):
        some = parts[i : i + size]
        lots.append(Lot(some, partial(load, told=told[i : i + size]), len(some)))
    return OnDask(lots, size)


@losses_told()
def lot_size(count: int, n_bytes: int) -> int:
    """Partitions of a lot: small ones share a task, whose scheduling takes milliseconds.

    Args:
        count: how many partitions there are.
        n_bytes: of all of them.
    """
    of_one = max(1.0, n_bytes / count)
    most = min(LOT_BYTES / of_one, count / (LOTS_A_THREAD * _n_threads()))
    most = max(most, LEAST_BYTES / of_one)
    return 1 << int(math.log2(most)) if most >= 2 else 1


@losses_told()
def kept(places: OnDask, n_bytes: int) -> OnDask:
    """The same partitions, kept in memory from now on if they fit there."""
    if n_bytes > FITS * _memory():
        return places
    name = _unique("kept")
    values = [lot.kept((name, i)) for i, lot in enumerate(places.lots)]
    with watching(name, places.count, places.size) as how:
        found = persist(*values, **_options(), **how)
    both = zip(found, places.lots, strict=True)
    return OnDask([Lot([value], _only, lot.count) for value, lot in both], places.size)


@losses_told()
def computed(values: Sequence[Delayed], **how: Any) -> tuple[Any, ...]:
    """What some values come to; more is told to the scheduler.

    An interrupt may come while they are worked out, but does not reach a client, which would not
    work from then on.
    """
    options = _options()
    run = partial(copy_context().run, compute, *values, **options, **how)
    found: tuple[Any, ...] = run() if options else beside(run)
    return found


def delayed_of(key: Any, name: str, graph: Graph, needed: Sequence[Delayed]) -> Delayed:
    """A value of a graph that goes on from others."""
    on: list[Any] = list(needed)
    whole = HighLevelGraph.from_collections(name, graph, dependencies=on)
    return Delayed(key, whole, layer=name)


def _options() -> dict[str, Any]:
    """How to run: Dask's threads are our own, which have no threads of torch's beside them."""
    scheduler = get_scheduler()
    return {"pool": own_threads()} if scheduler in (None, threaded.get) else {}


def unlike_here() -> list[str]:
    """How workers differ from this process in their libraries, in words for each that does.

    Raises:
        ValueError: if one lacks what it needs, or has another version of this package.
    """
    client = _client()
    return [] if client is None else refuse_strange(*libraries_of(client))


def _client() -> Any:
    """The client that Dask computes with, or None."""
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


def _n_threads() -> int:
    client = _client()
    if client is None:
        return n_threads()
    return max(1, sum(client.nthreads().values()))


def _memory() -> float:
    """Bytes that partitions may be kept in: of all workers, or of this machine."""
    client = _client()
    if client is None:
        from distributed.system import MEMORY_LIMIT

        return float(MEMORY_LIMIT)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return float(sum(worker["memory_limit"] or 0 for worker in workers))


def _by_key(part: Any) -> Any:
    """A value of Dask's by its key, several as a list, and what is none as it is."""
    if isinstance(part, tuple):
        return [_by_key(one) for one in part]
    return part.key if isinstance(part, Delayed) else part


def _unique(what: str) -> str:
    """A name that no other graph has, by which nothing is taken for what was worked out before."""
    return f"gmm-pyro-{what}-{uuid4().hex}"


# ---------------------------------------------------------------------- what tasks run


def _folded(work: Work[Result], parts: list[Any], load: Load, join: Join[Result]) -> Result:
    with alone():
        return in_pairs([work(partition) for partition in load(parts)], join)


def _folded_some(
    work: ToldWork[Result],
    parts: list[Any],
    told: Mapping[int, Any],
    load: Load,
    join: Join[Result],
) -> Result:
    with alone():
        lot = load(parts)
        return in_pairs_at({i: work(lot[i], own) for i, own in told.items()}, join)


def _joined(results: Sequence[Result], places: Sequence[int], join: Join[Result]) -> Result:
    with alone():
        return in_pairs_at(dict(zip(places, results, strict=True)), join)


def _each(works: Mapping[int, Work[Result]], parts: list[Any], load: Load) -> dict[int, Result]:
    with alone():
        lot = load(parts)
        return {i: work(lot[i]) for i, work in works.items()}


def _picked(number: int, parts: list[Any], load: Load) -> Any:
    return load(parts)[number]


def _made(parts: list[Any], load: Load, make: Make, told: Sequence[Any]) -> Sequence[Any]:
    return make(load(parts), told)


def _whole(parts: list[Any], load: Load) -> list[Any]:
    """All of a lot, to be kept."""
    return list(load(parts))


def _only(parts: list[Any]) -> Sequence[Any]:
    """What is kept of a lot."""
    lot: Sequence[Any] = parts[0]
    return lot
