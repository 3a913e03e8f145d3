"""Data in partitions on the command line: files of Parquet that workers read."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.words import counted
from ..running import interrupts
from .data import names_in
from .output import say
from .sizes import UNKNOWN

if TYPE_CHECKING:
    from ..data.partitioned import Partitioned
    from ..inference.fit import Fit

OF_FILES = (  # options for a file that is read here
    *("missing", "na", "encoding", "decimal", "thousands", "currency", "comment"),
)


def is_away(told: Any) -> bool:
    """Whether data stay in partitions: those of a folder or a pattern, or where workers are."""
    if told.workers is not None or told.scheduler is not None:
        return True
    from ..data.parquet import PATTERN

    path = Path(told.data)
    pattern = any(mark in told.data for mark in PATTERN) and not path.is_file()
    return pattern or next(path.glob("**/*.parquet"), None) is not None


def refuse_of_files(told: Any, *others: str) -> None:
    """Refuse what is for files that are read whole.

    Args:
        told: what a command is told.
        *others: names of what else is for such files.

    Raises:
        ValueError: if anything of that is told, or data are of another kind.
    """
    from ..data.parquet import ENDINGS, names_files

    if not names_files(told.data):
        raise ValueError(
            f"data in partitions are a folder, a name or a pattern of files that end in "
            f"{' or '.join(ENDINGS)}; got {told.data}"
        )
    if told.workers is not None and told.scheduler is not None:
        raise ValueError("--workers starts processes here, and --scheduler has its own: take one")
    if told.workers is not None and told.workers < 1:
        raise ValueError(f"--workers must be 1 or more, got {told.workers}")
    for name in (*OF_FILES, *others):
        if getattr(told, name, None):
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is for a file that is read whole, not in partitions")


def refuse_no_number(components: str | None) -> None:
    """Refuse to fit data in partitions without one number of components, or unknown.

    Raises:
        ValueError: if there is none.
    """
    if components != UNKNOWN and (not (components or "").isdecimal() or int(components or 0) < 1):
        raise ValueError(
            f"--components is needed of data in partitions: a number of 1 or more, or {UNKNOWN}"
        )


@contextmanager
def scheduled(workers: int | None, scheduler: str | None) -> Iterator[None]:
    """Work on processes that are started here, or of a scheduler; on threads, if neither is told.

    Args:
        workers: how many processes are started.
        scheduler: the address of a scheduler that runs.

    Raises:
        OSError: if there is no scheduler there.
    """
    with ExitStack() as running:
        if workers is not None or scheduler is not None:
            running.enter_context(environment_as_it_was())
            from distributed import Client, LocalCluster

            # what fails is raised here, too; that a process with torch ends slowly is no news
            log = logging.getLogger("distributed.client")
            running.callback(log.setLevel, log.level)
            log.setLevel(logging.CRITICAL)
            if scheduler is None:
                own: dict[str, Any] = {"silence_logs": logging.CRITICAL, "host": "127.0.0.1"}
                own["dashboard_address"] = "127.0.0.1:0"  # any that is free
                own["preload"] = interrupts.__name__
                with interrupts.held_back():
                    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, **own)
                    running.enter_context(cluster)
            running.enter_context(Client(scheduler or cluster))
        yield


@contextmanager
def environment_as_it_was() -> Iterator[None]:
    """Restore the environment, in which Dask leaves what it sets for the processes it starts."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def observed_there(told: Any, dtype: Any, device: Any) -> Partitioned:
    """Observations of files, which workers read.

    Args:
        told: what a command is told.
        dtype: floating-point type of the work.
        device: refused: it is the workers' own.

    Raises:
        ValueError: if they cannot be read, or no fit can take them.
    """
    from ..data.away import observed_away
    from ..running.threads import one_thread_a_product
    from ..running.watching import shown_alone

    if device is not None:
        raise ValueError("--option device is for a file that is read whole, not in partitions")
    with one_thread_a_product(), shown_alone("data"):
        features = _features_there(told)
        weights = {"sample_weight": told.weights_column}
        return observed_away(told.data, features, dtype, **weights)


def _features_there(told: Any) -> list[str]:
    """The columns that are features: where nobody says which, as of a table, but for their values.

    Raises:
        ValueError: if a column is not there or is named for two purposes, or none is a feature.
    """
    from ..data.features import lacks
    from ..data.sources import types_there
    from ..files.columns import LABELS, features_by_type

    types, chosen = types_there(told.data), names_in(told.columns)
    named = [told.label_column, told.weights_column, *names_in(told.exclude), *chosen]
    named = [name for name in named if name]
    if missing := [name for name in named if name not in types.index]:
        raise ValueError(lacks(told.data, missing, types.index))
    if twice := [name for name in named if named.count(name) > 1]:
        raise ValueError(f"column {twice[0]!r} is named more than once")
    if chosen:
        return chosen
    features, left_out = features_by_type(types, [*named, LABELS])
    if left_out:
        listed = ", ".join(f"{name} ({why})" for name, why in left_out.items())
        say(f"left out: {listed}; --columns chooses others")
    if LABELS in types.index and LABELS not in named:
        say(f"column {LABELS!r} is taken for the true classes, which are no feature")
    if not features:
        raise ValueError(f"{told.data} has no column that is a feature")
    return features


def headline_of(source: str, fit: Fit) -> str:
    """What is fitted by what: points, features, partitions and components."""
    points = fit.observations
    parts = f"{counted(points.n, 'point')}, {counted(points.d, 'feature')}"
    where = counted(len(getattr(points, "sizes", ())), "partition")
    shape = f"{counted(fit.mixture.n_components, 'component')}, {fit.mixture.family.name}"
    return f"{source}: {parts} in {where}; {shape} covariances"


def sizes_of(fit: Fit) -> list[float]:
    """How many points are noise, and of each component, by their labels and weights."""
    from ..data.partitioned import Partitioned
    from ..reduction.assignments import argmax
    from ..reduction.sums import reduce
    from ..reduction.theta import theta_of

    mixture, points = fit.mixture, fit.observations
    if not isinstance(points, Partitioned):
        return (fit.labels + 1).bincount(points.sample_weight, 1 + mixture.n_components).tolist()
    theta = theta_of(mixture.family, mixture.parameters, points)
    counts = reduce(points, theta, argmax).counts[0].tolist()
    return [points.total_weight - sum(counts), *counts]
