"""What a pass over partitions costs on a cluster: a closed form, and a simulation of its events.

A pass is a graph of one key that holds the parameters, a task for each lot of partitions, and
tasks that join sixteen sums each (`gmm_pyro/running/on_dask.py`). Partitions are kept by the
workers, which have one thread each. The scheduler is one process that does one thing at a time:
all tasks whose inputs are there are given out in one go before any message leaves, and each that
has ended is noted. Parameters go from worker to worker: a worker answers so many requests at a
time, and who is turned away asks another one a while later.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gmm_pyro.running.on_dask import FAN_IN

OUTGOING = 50  # requests that a worker of Dask's answers at a time
AGAIN = 0.15  # seconds after which one that was turned away asks again
HOPS = 10  # messages one after the other in a pass of one task


@dataclass(frozen=True)
class Costs:
    """What things take, in seconds.

    Attributes:
        point: of a worker for a point.
        task: of a worker for a task beside its points.
        before: of client and scheduler for a task, before any work begins.
        after: of the scheduler for a task, while others work.
        hop: from a process to another, of a short message.
        request: of a worker for a request of another, at either end.
        value: the same for each value that is asked for.
        end: of the client between two passes.
        byte: for a byte, at either end.
    """

    point: float
    task: float
    before: float
    after: float
    hop: float
    request: float
    value: float
    end: float
    byte: float

    def serving(self, values: int, n_bytes: float) -> float:
        """Seconds of a worker, at either end, for a request for so many values of such a size."""
        return self.request + values * (self.value + n_bytes * self.byte)


@dataclass(frozen=True)
class Pass:
    """What is to be done.

    Attributes:
        rows: points of all tasks.
        tasks: lots of partitions.
        workers: of one thread each.
        sent: bytes of the parameters.
        sums: bytes of what comes of a task.
        cores: processors that all processes share; None if each has its own.
    """

    rows: float
    tasks: int
    workers: int
    sent: float
    sums: float
    cores: int | None = None

    @property
    def levels(self) -> list[int]:
        """Joining tasks of each level."""
        found, width = [], self.tasks
        while width > 1:
            width = -(-width // FAN_IN)
            found.append(width)
        return found

    @property
    def keys(self) -> int:
        """All tasks of the graph, with the one that holds the parameters."""
        return 1 + self.tasks + sum(self.levels)


def closed(costs: Costs, work: Pass) -> dict[str, float]:
    """Seconds of the parts of a step; they add up to `total`.

    `working` is the longer of what workers do and what the scheduler notes meanwhile.
    """
    used = min(work.workers, work.tasks)
    rounds = -(-work.tasks // used)
    lot = costs.task + work.rows / work.tasks * costs.point
    others, moved = asked(costs, work)
    joins = 2 * costs.hop + others * moved + costs.task
    if others:
        joins += 2 * costs.hop + moved
    parts = {
        "before": costs.before * work.keys,
        "parameters": spread(costs, work, used),
        "working": max(rounds * lot, costs.after * work.keys),
        "joining": len(work.levels) * joins,
        "messages": HOPS * costs.hop + 2 * work.sums * costs.byte + costs.task,
        "end": costs.end,
    }
    total = sum(parts.values())
    if work.cores is not None:  # nothing is faster than all processors together
        shared = (processors(costs, work) - parts["before"]) / work.cores
        total = max(total, parts["before"] + parts["messages"] + shared + costs.end)
    return {**parts, "total": total}


def asked(costs: Costs, work: Pass) -> tuple[int, float]:
    """How many others a join asks for their sums, and the seconds of each, at either end."""
    values = min(FAN_IN, work.tasks)
    others = min(values, work.workers) - 1
    return others, costs.serving(values // (others + 1), work.sums)


def processors(costs: Costs, work: Pass) -> float:
    """Seconds that all processors work for a pass."""
    others, moved = asked(costs, work)
    keys = work.keys * (costs.before + costs.after + costs.task)
    return keys + work.rows * costs.point + 2 * sum(work.levels) * others * moved


def spread(costs: Costs, work: Pass, used: int) -> float:
    """Seconds until the last worker has the parameters: those who have them answer others."""
    answer = costs.serving(1, work.sent)
    if used <= OUTGOING:
        return 0.0 if used == 1 else 2 * costs.hop + (used - 1) * answer
    waits, have = 0, 1 + OUTGOING
    while have < used:
        waits += 1
        have *= 1 + OUTGOING * max(1, int(AGAIN / (OUTGOING * answer)))
    return 2 * costs.hop + OUTGOING * answer + waits * (AGAIN + 4 * costs.hop)


# ---------------------------------------------------------------------- the simulation


class Clock:
    """What happens, in its order."""

    def __init__(self, cores: int | None) -> None:
        self.now = 0.0
        self.free = math.inf if cores is None else cores
        self.waiting: deque[Server] = deque()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        """Something to be done in so many seconds."""
        heapq.heappush(self._events, (self.now + seconds, next(self._number), then))

    def run(self) -> None:
        """To the last event."""
        while self._events:
            self.now, _, then = heapq.heappop(self._events)
            then()


@dataclass
class Server:
    """Who does one thing after the other, on a core if one is free."""

    clock: Clock
    todo: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)
    busy: bool = False

    def do(self, seconds: float, then: Callable[[], None]) -> None:
        """Something that takes so long, after all that came before."""
        self.todo.append((seconds, then))
        if not self.busy:
            self.busy = True
            self._ask()

    def begin(self) -> None:
        """The first thing, on a core."""
        self.clock.free -= 1
        seconds, then = self.todo.popleft()
        self.clock.after(seconds, partial(self._done, then))

    def _ask(self) -> None:
        if self.clock.free > 0:
            self.begin()
        else:
            self.clock.waiting.append(self)

    def _done(self, then: Callable[[], None]) -> None:
        self.clock.free += 1
        self.busy = bool(self.todo)
        if self.busy:
            self.clock.waiting.append(self)
        if self.clock.waiting:
            self.clock.waiting.popleft().begin()
        then()


class Worker:
    """A thread that works, and a loop that answers others."""

    def __init__(self, clock: Clock) -> None:
        self.thread, self.loop = Server(clock), Server(clock)
        self.answering = 0
        self.has_parameters = self.asked = False
        self.held: list[Callable[[], None]] = []  # until the parameters are there


class Simulation:
    """One pass."""

    def __init__(self, costs: Costs, work: Pass) -> None:
        self.costs, self.work = costs, work
        self.clock = Clock(work.cores)
        self.scheduler = Server(self.clock)
        self.workers = [Worker(self.clock) for _ in range(work.workers)]
        self.holders: list[Worker] = []
        self.place: dict[tuple[int, int], Worker] = {}
        self.missing: dict[tuple[int, int], int] = {}
        self.random = random.Random(0)
        self.ended = math.nan

    def seconds(self) -> float:
        """How long it takes, with what the client does then."""
        owner, costs = self.workers[0], self.costs
        self.scheduler.do(
            costs.before * self.work.keys,
            partial(self._sent, partial(owner.thread.do, costs.task, self._parameters)),
        )
        self.clock.run()
        return self.ended + costs.end

    def _sent(self, then: Callable[[], None], hops: int = 1) -> None:
        self.clock.after(hops * self.costs.hop, then)

    def _parameters(self) -> None:
        """They are there: lots are given out, all in one go, to who keeps them."""
        owner = self.workers[0]
        owner.has_parameters = True
        self.holders.append(owner)
        for i in range(self.work.tasks):
            worker = self.workers[i % len(self.workers)]
            self.place[0, i] = worker
            self._sent(partial(self._lot, worker, i), hops=3)  # to the client's graph and back

    def _lot(self, worker: Worker, i: int) -> None:
        work = self.costs.task + self.work.rows / self.work.tasks * self.costs.point
        begin = partial(worker.thread.do, work, partial(self._finished, 0, i))
        if worker.has_parameters:
            begin()
            return
        worker.held.append(begin)
        if not worker.asked:
            worker.asked = True
            self._ask(worker)

    def _ask(self, worker: Worker) -> None:
        self._sent(partial(self._request, worker, self.random.choice(self.holders)))

    def _request(self, worker: Worker, holder: Worker) -> None:
        if holder.answering >= OUTGOING:
            self.clock.after(AGAIN + 3 * self.costs.hop, partial(self._ask, worker))
            return
        holder.answering += 1
        seconds = self.costs.serving(1, self.work.sent)
        holder.loop.do(seconds, partial(self._answered, worker, holder))

    def _answered(self, worker: Worker, holder: Worker) -> None:
        holder.answering -= 1
        self._sent(partial(self._received, worker))

    def _received(self, worker: Worker) -> None:
        worker.has_parameters = True
        self.holders.append(worker)
        for begin in worker.held:
            begin()
        worker.held.clear()

    def _finished(self, level: int, i: int) -> None:
        self._sent(partial(self.scheduler.do, self.costs.after, partial(self._noted, level, i)))

    def _noted(self, level: int, i: int) -> None:
        """Whether all that a join needs is there."""
        if level == len(self.work.levels):
            bytes_twice = 2 * self.work.sums * self.costs.byte
            self.clock.after(5 * self.costs.hop + bytes_twice, self._home)
            return
        key, below = (level + 1, i // FAN_IN), [self.work.tasks, *self.work.levels][level]
        needed = min(FAN_IN, below - FAN_IN * key[1])
        self.missing[key] = self.missing.get(key, needed) - 1
        if not self.missing[key]:
            inputs = [(level, j) for j in range(FAN_IN * key[1], FAN_IN * key[1] + needed)]
            self._sent(partial(self._gather, key, inputs))

    def _gather(self, key: tuple[int, int], inputs: list[tuple[int, int]]) -> None:
        """A join asks who has its inputs, each for all that it has."""
        by_worker: dict[int, int] = defaultdict(int)
        for one in inputs:
            by_worker[id(self.place[one])] += 1
        worker = self.place[key] = max(
            (self.place[one] for one in inputs), key=lambda found: by_worker[id(found)]
        )
        others = {id(self.place[one]): self.place[one] for one in inputs}
        del others[id(worker)]
        left = [len(others)]
        begin = partial(worker.thread.do, self.costs.task, partial(self._finished, *key))
        if not others:
            begin()
        for name, other in others.items():
            seconds = self.costs.serving(by_worker[name], self.work.sums)

            def arrived() -> None:
                left[0] -= 1
                if not left[0]:
                    begin()

            there = partial(self._sent, partial(worker.loop.do, seconds, arrived))
            self._sent(partial(other.loop.do, seconds, there))

    def _home(self) -> None:
        self.ended = self.clock.now
