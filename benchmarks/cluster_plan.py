"""What a step costs on a cluster: measured here, simulated, and by a closed form; and far beyond.

    python benchmarks/cluster_plan.py [--quick]

What things take is measured first (`cluster_plan_costs`), in seconds of the processor, with worker
processes of one thread on this machine; then whole passes on one, two and four of them, beside what
`schedule.py` says that they take (`cluster_plan_here`), and passes in memory
(`cluster_plan_machine`). The same two say what 1e9 and 1e11 points take on 10 to 10,000 workers
(`cluster_plan`), and with more or fewer tasks (`cluster_plan_tasks`). Of what another cluster has,
the network is assumed: `GIGABITS`.
"""

from __future__ import annotations

import functools
import os
import pickle
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import common
import numpy as np
import pandas as pd
import torch
from dask import array
from distributed import Client, LocalCluster
from schedule import HOPS, Costs, Pass, Simulation, closed, processors

import gmm_pyro as gp
import gmm_pyro.running.on_dask as on_dask
from gmm_pyro.covariance import Parameters, Statistics
from gmm_pyro.data.away import source_of
from gmm_pyro.data.observations import observe
from gmm_pyro.data.partitioned import Partitioned
from gmm_pyro.inference.em import EMOptions
from gmm_pyro.inference.expectation import expect, step
from gmm_pyro.inference.task import Task
from gmm_pyro.reduction.decision import decided
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import Theta, theta_of
from gmm_pyro.running.threads import alone

GIGABITS = 10  # a second, of the network of a cluster that is not here
GROUP = 2**20  # points of a task there: a row group of Parquet as pyarrow writes them
SMALL = (8, 8, 1)  # features, components, and sets of them
LARGE = (64, 32, 10)
ROWS, WORKERS = (10**9, 10**11), (10, 100, 1_000, 10_000)
HERE = (1, 2, 4)  # worker processes
LOTS = ((2**21, 32), (2**21, 256), (2**17, 256))  # points and tasks of passes that are measured
IN_MEMORY = (10_000, 100_000, 1_000_000, 4_000_000)


@contextmanager
def workers(count: int) -> Iterator[Client]:
    """So many worker processes on this machine."""
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=count, threads_per_worker=1, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


def in_tasks(rows: int, tasks: int, d: int) -> Partitioned:
    """Points of a normal distribution that workers draw and keep, a partition a task."""
    x = array.random.default_rng(1).standard_normal((rows, d), chunks=(rows // tasks, d))
    with mock.patch.multiple(on_dask, LOT_BYTES=1, LEAST_BYTES=0):
        return compiled(observe(x))


def compiled(points: Any) -> Any:
    """The same points, whose reductions are compiled as those of a long fit are."""
    return decided(points, gp.MixtureModel(8).family, 8, passes=10**9)


def theta(points: Any, k: int, sets: int) -> Theta:
    """Parameters of a mixture whose components overlap."""
    truth = gp.datasets.make_mixture(10, points.d, k, separation=1.0, seed=1).truth
    parameters = Parameters.joined([truth.parameters] * sets)
    return theta_of(truth.family, parameters, points)


def least(run: Callable[[], Any], rounds: int, clock: Callable[[], float]) -> float:
    """The least that a clock goes on by."""
    found = []
    for _ in range(rounds):
        before = clock()
        run()
        found.append(clock() - before)
    return min(found)


# ---------------------------------------------------------------------- what things take


def of_a_task(rounds: int, few: int = 128, many: int = 1024) -> dict[str, float]:
    """Seconds for a task, of a message and of a request, on one worker with hardly any points."""
    with workers(1) as client:
        used = partial(_used, client)

        def pass_over(tasks: int) -> dict[str, float]:
            points = in_tasks(4 * tasks, tasks, SMALL[0])
            run = partial(reduce, points, theta(points, *SMALL[1:]))
            run()
            return {
                "seconds": least(run, rounds, time.perf_counter),
                "here": least(run, rounds, time.process_time),
                "worker": least(run, rounds, used),
                "before": min(until_first(points) for _ in range(rounds)),
            }

        one, short, long = pass_over(1), pass_over(few), pass_over(many)
        keys = Pass(0, many, 1, 0, 0).keys - Pass(0, few, 1, 0, 0).keys
        slope = {name: (long[name] - short[name]) / keys for name in long}
        requests = of_requests(client, rounds)
    before, task = slope["before"], slope["worker"]
    return {
        "task": task,
        "before": before,
        "after": max(0.0, slope["here"] - before),
        "hop": max(0.0, one["seconds"] - 2 * (before + task)) / HOPS,
        **requests,
    }


def of_requests(client: Client, rounds: int) -> dict[str, float]:
    """Seconds of a worker for a request, for each value that is asked for, and for its bytes."""
    (_, few), (_, many) = sent_and_summed(SMALL), sent_and_summed(LARGE)
    small, large = (summed(size) for size in (SMALL, LARGE))

    def answering(values: list[Any]) -> float:
        there = client.scatter(values, hash=False)
        ask = partial(client.gather, there, direct=True)
        ask()
        return least(lambda: [ask() for _ in range(20)], rounds, partial(_used, client)) / 20

    one, sixteen, long = (answering(values) for values in ([small], [small] * 16, [large]))
    value = (sixteen - one) / 15
    return {"request": max(0.0, one - value), "value": value, "byte": (long - one) / (many - few)}


def _used(client: Client) -> float:
    """Seconds of all workers' processors."""
    return float(sum(client.run(time.process_time).values()))


def until_first(points: Partitioned) -> float:
    """Seconds of this process's processors until a worker begins with the first partition."""
    seen, stop = [(time.time(), time.process_time())], threading.Event()

    def look() -> None:
        while not stop.wait(0.002):
            seen.append((time.time(), time.process_time()))

    looking = threading.Thread(target=look)
    looking.start()
    first = points.fold(_moment, min)
    stop.set()
    looking.join()
    moments, used = np.array(seen).T
    return float(np.interp(first, moments, used - used[0]))


def _moment(points: Any) -> float:
    del points
    return time.time()


def of_a_point(size: tuple[int, int, int], rounds: int) -> float:
    """Seconds of one thread for a point."""
    d, k, sets = size
    rows = 2**17 if sets == 1 else 2**11
    points = compiled(observe(np.random.default_rng(1).standard_normal((rows, d))))
    run = partial(reduce, points, theta(points, k, sets))
    with alone():
        run()
        return least(run, rounds, time.thread_time) / rows


def of_reading(rounds: int) -> float:
    """Seconds of one thread to read a point of a row group of Parquet."""
    x = pd.DataFrame(np.random.default_rng(1).standard_normal((2**18, SMALL[0])))
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "points.parquet"))
        x.rename(columns=str).to_parquet(file)
        source = source_of(file)
        read = partial(source.reader(torch.float64).points, source.parts[0], "points")
        return least(read, rounds, time.process_time) / len(x)


def between(size: tuple[int, int, int], rounds: int) -> float:
    """Seconds of the client between two passes: an M-step."""
    d, k, _ = size
    points = observe(np.random.default_rng(1).standard_normal((16 * d, d)))
    task = Task("em", gp.MixtureModel(k), points, EMOptions(covariance_floor=1e-3))
    state = expect(theta(points, k, 1), points)
    with alone():
        whole = least(lambda: step(task, state, points), 5 * rounds, time.thread_time)
        again = least(lambda: reduce(points, state.theta), 5 * rounds, time.thread_time)
    return max(0.0, whole - again)


def sent_and_summed(size: tuple[int, int, int]) -> tuple[float, float]:
    """Bytes of the parameters of a pass, and of what comes of a task."""
    found = summed(size)
    points = observe(np.random.default_rng(1).standard_normal((2 * size[0], size[0])))
    work = partial(reduce, theta=theta(points, *size[1:]))
    return float(len(pickle.dumps(work))), float(len(pickle.dumps(found)))


def summed(size: tuple[int, int, int]) -> Statistics:
    """What comes of a task."""
    d, k, sets = size
    points = compiled(observe(np.random.default_rng(1).standard_normal((2 * d, d))))
    return reduce(points, theta(points, k, sets))


def costs_of(rounds: int) -> tuple[Costs, Costs, float]:
    """What things take for small and large problems, and what reading a point takes."""
    found = of_a_task(rounds)
    small, large = (
        Costs(point=of_a_point(size, rounds), end=between(size, rounds), **found)
        for size in (SMALL, LARGE)
    )
    return small, large, of_reading(rounds)


def report_costs(small: Costs, large: Costs, read: float) -> None:
    """The first table."""
    sums = {size: sent_and_summed(size) for size in (SMALL, LARGE)}
    told = [
        ("a point, d = 8, k = 8", "ns", 1e9 * small.point),
        ("a point, d = 64, k = 32, 10 sets", "ns", 1e9 * large.point),
        ("reading a point of Parquet, d = 8", "ns", 1e9 * read),
        ("a task, of its worker", "µs", 1e6 * small.task),
        ("a task, before the pass begins", "µs", 1e6 * small.before),
        ("a task, of the scheduler during it", "µs", 1e6 * small.after),
        ("a message", "µs", 1e6 * small.hop),
        ("a request of another worker", "µs", 1e6 * small.request),
        ("each value that it asks for", "µs", 1e6 * small.value),
        ("each megabyte of them", "µs", 1e12 * small.byte),
        ("an M-step, d = 8, k = 8", "µs", 1e6 * small.end),
        ("an M-step, d = 64, k = 32", "µs", 1e6 * large.end),
        ("parameters, d = 8, k = 8", "kB", sums[SMALL][0] / 1e3),
        ("sums, d = 8, k = 8", "kB", sums[SMALL][1] / 1e3),
        ("parameters, d = 64, k = 32, 10 sets", "kB", sums[LARGE][0] / 1e3),
        ("sums, d = 64, k = 32, 10 sets", "kB", sums[LARGE][1] / 1e3),
        ("network, assumed", "Gbit/s", float(GIGABITS)),
    ]
    rows = [{"what": what, "value": value, "unit": unit} for what, unit, value in told]
    common.report("cluster_plan_costs", "What the parts of a pass take, measured here", rows)


# ---------------------------------------------------------------------- passes that are measured


def here(costs: Costs, rounds: int) -> list[dict[str, Any]]:
    """Passes on worker processes of this machine, beside what they are said to take."""
    sent, sums = sent_and_summed(SMALL)
    local, found = replace(costs, end=0.0), []
    for count in HERE:
        with workers(count) as client:
            for rows, tasks in LOTS:
                points = in_tasks(rows, tasks, SMALL[0])
                run = partial(reduce, points, theta(points, *SMALL[1:]))
                seconds = common.interleaved({"pass": run}, rounds=rounds)["pass"]
                busy = least(run, rounds, lambda: time.process_time() + _used(client))
                del points, run
                work = Pass(rows, tasks, count, sent, sums, os.cpu_count())
                said = Simulation(local, work).seconds()
                line = {"workers": count, "points": rows, "tasks": tasks}
                line["measured, ms"] = common.milliseconds(seconds)
                line["simulated, ms"] = 1e3 * said
                line["closed form, ms"] = 1e3 * closed(local, work)["total"]
                line["measured / simulated"] = statistics.median(seconds) / said
                line["of processors, measured"] = 1e3 * busy
                line["of processors, said"] = 1e3 * processors(local, work)
                found.append(line)
    return found


def on_one_machine(rounds: int) -> list[dict[str, Any]]:
    """The same pass in memory, in Dask's threads, and in processes."""
    sizes = [(n, np.random.default_rng(1).standard_normal((n, SMALL[0]))) for n in IN_MEMORY]

    def timed(points: Any) -> list[float]:
        run = partial(reduce, points, theta(points, *SMALL[1:]))
        return common.interleaved({"pass": run}, rounds=rounds)["pass"]

    def away(x: np.ndarray) -> Any:
        return compiled(observe(array.from_array(x, chunks=(max(1250, len(x) // 16), SMALL[0]))))

    memory = [timed(compiled(observe(x))) for _, x in sizes]
    threads = [timed(away(x)) for _, x in sizes]
    with workers(2):
        processes = [timed(away(x)) for _, x in sizes]
    return [
        {
            "points": n,
            "in memory, ms": common.milliseconds(one),
            "Dask's threads, ms": common.milliseconds(two),
            "two processes, ms": common.milliseconds(three),
            "two processes / in memory": statistics.median(three) / statistics.median(one),
        }
        for (n, _), one, two, three in zip(sizes, memory, threads, processes, strict=True)
    ]


# ---------------------------------------------------------------------- passes that are not


def predicted(costs: Costs, size: tuple[int, int, int], work: Pass, read: float) -> dict[str, Any]:
    """What a step takes, what most of it is, and what travels."""
    parts = closed(costs, work)
    total = parts.pop("total")
    most = max(parts, key=lambda name: parts[name])
    waiting = costs.after * work.keys > work.rows * costs.point / work.workers
    noted = "working" if not waiting else "the scheduler's notes"
    reread = replace(costs, point=costs.point + read * size[0] / SMALL[0])
    used = min(work.workers, work.tasks)
    return {
        "problem": "d = {}, k = {}, sets = {}".format(*size),
        "points": work.rows,
        "workers": work.workers,
        "tasks": work.tasks,
        "GB a worker": work.rows * size[0] * 8 / used / 1e9,
        "simulated, s": simulated(costs, work),
        "closed form, s": total,
        "most of it": noted if most == "working" else most,
        "share that points take": work.rows * costs.point / work.workers / total,
        "read anew in each pass, s": closed(reread, work)["total"],
        "MB between processes": (used * work.sent + work.tasks * work.sums) / 1e6,
    }


@functools.cache
def simulated(costs: Costs, work: Pass) -> float:
    """Seconds of a step by the simulation, which takes ten for a hundred thousand tasks."""
    return Simulation(costs, work).seconds()


def plan(small: Costs, large: Costs, read: float, rows: tuple[int, ...]) -> list[dict[str, Any]]:
    """All sizes on all clusters."""
    return [
        predicted(costs, size, Pass(n, -(-n // GROUP), count, *sent_and_summed(size)), read)
        for costs, size in ((small, SMALL), (large, LARGE))
        for n in rows
        for count in WORKERS
    ]


def by_tasks(costs: Costs, read: float, n: int) -> list[dict[str, Any]]:
    """The same points in more tasks and in fewer."""
    sizes, groups = sent_and_summed(SMALL), -(-n // GROUP)
    return [
        predicted(costs, SMALL, Pass(n, tasks, count, *sizes), read)
        for count in WORKERS[1:]
        for tasks in sorted({count, 4 * count, groups})
        if tasks >= count
    ]


def main() -> None:
    """Measure, and say what follows."""
    quick = "--quick" in sys.argv
    warnings.simplefilter("ignore")
    rounds = 3 if quick else 7
    small, large, read = costs_of(rounds)
    report_costs(small, large, read)
    common.report(
        "cluster_plan_here",
        "A pass on worker processes of this machine: minimum / median milliseconds",
        here(small, rounds),
    )
    common.report(
        "cluster_plan_machine",
        "A pass over data that are kept: minimum / median milliseconds",
        on_one_machine(rounds),
    )
    rows = ROWS[:1] if quick else ROWS
    wire = 8 / (GIGABITS * 1e9)
    small, large = (replace(costs, byte=costs.byte + wire) for costs in (small, large))
    common.report("cluster_plan", "A step of EM, predicted", plan(small, large, read, rows))
    common.report(
        "cluster_plan_tasks",
        "A step of EM, predicted, with points in more or fewer tasks",
        by_tasks(small, read, rows[-1]),
    )


if __name__ == "__main__":
    main()
