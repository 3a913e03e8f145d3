"""One cell of a study, from its data to its numbers; what fails on the way is a result too."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ..datasets import Dataset
from ..inference.fit import fit
from ..model.program import MixtureModel
from ..running.versions import versions
from .answers import Answer, WrongOutput
from .designs import Draws
from .entries import Entry, Task, few_points, known_size
from .measures import Outcome, measured
from .measures.outcome import Others, other_points
from .measures.registry import OF_OTHERS
from .memory import Memory
from .plan import Cell, seed_of

OTHERS = 10_000  # points that were not fitted, by which densities are judged
LEGACY = 2**32  # seeds that NumPy's default generator takes
SAID = ("python", "gmm_pyro", "torch", "numpy", "scipy", "scikit-learn")  # versions in a row
MOST = 500  # letters of a reason
FAILED, WRONG = "failed", "wrong output"


@dataclass(frozen=True, eq=False)
class Job:
    """All that a worker needs to know: a study without its order.

    Attributes:
        designs: where data come from.
        entries: the methods.
        measures: names of what is measured.
        level: what intervals are to hold of the draws.
        shared_start: whether methods start from one clustering, where they take a start.
    """

    designs: tuple[Draws, ...]
    entries: tuple[Entry, ...]
    measures: tuple[str, ...]
    level: float
    shared_start: bool = False


@dataclass(frozen=True)
class Row:
    """What came of a cell.

    Attributes:
        key: of the cell.
        status: how the method ended, in a word or two.
        reason: what there is to say about that.
        seconds: wall-clock time of the method.
        memory: growth of the process's memory while it ran, in MiB.
        measures: what was measured, by name.
        versions: of what the numbers depend on.
    """

    key: str
    status: str
    reason: str = ""
    seconds: float = float("nan")
    memory: float = float("nan")
    measures: dict[str, float] = field(default_factory=dict)
    versions: str = ""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What all methods on a data set share."""

    data: Dataset
    others: Others | None
    start: Int[Tensor, "n"] | None


@dataclass(frozen=True, eq=False)
class Tried:
    """What a method has said, or raised, with its seconds and the growth of memory in MiB."""

    answer: Answer | BaseException
    seconds: float
    memory: float


class Bench:
    """Where cells are run one after the other; it keeps one data set at a time."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._versions = said(SAID)
        self._settings = [design.settings() for design in job.designs]
        self._drawn: tuple[tuple[int, int, int], Drawn] | None = None
        self._rehearsed: set[int] = set()

    def rehearse(self, cell: Cell) -> None:
        """Run a method on a few points before its first cell: what it imports is not its time."""
        if cell.method in self._rehearsed:
            return
        self._rehearsed.add(cell.method)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._job.entries[cell.method].rehearse()
            except Exception:  # noqa: BLE001 - the cell itself will say it
                return

    def run(self, cell: Cell, answered: Callable[[], None] = lambda: None) -> Row:
        """The row of a cell. What a method raises is its reason.

        Args:
            cell: the cell.
            answered: called when the method has ended, before anything is measured.
        """
        try:
            drawn = self._draw(cell)
        except Exception as error:  # noqa: BLE001 - a design may fail at a setting
            return Row(cell.key, FAILED, f"no data: {reason_of(error)}", versions=self._versions)
        tried = self._tried(cell, drawn)
        answered()
        answer, spent = tried.answer, (tried.seconds, tried.memory)
        if not isinstance(answer, Answer):
            wrong = isinstance(answer, WrongOutput)
            reason = str(answer) if wrong else reason_of(answer)
            status = WRONG if wrong else FAILED
            return Row(cell.key, status, reason, *spent, versions=self._versions)
        outcome = Outcome(drawn.data, answer, tried.seconds, self._job.level, drawn.others)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values, faults = measured(outcome, self._job.measures)
        reason = "; ".join([*([answer.reason] if answer.reason else []), *faults])
        return Row(cell.key, answer.status, reason, *spent, values, self._versions)

    def _tried(self, cell: Cell, drawn: Drawn) -> Tried:
        """What a method says, or raises, with its time and memory."""
        entry = self._job.entries[cell.method]
        start = drawn.start if entry.n_components is None else None
        task = Task(drawn.data, cell.method_seed, start)
        seeded(cell.method_seed)
        memory, started = Memory(), time.perf_counter()
        answer: Answer | BaseException
        try:
            answer = entry.run(task)
        except BaseException as error:  # noqa: BLE001 - nobody interrupts a worker but a method
            answer = error
        return Tried(answer, time.perf_counter() - started, memory.growth())

    def _draw(self, cell: Cell) -> Drawn:
        """The data set of a cell, and what belongs to it, drawn anew unless it is the last one."""
        if self._drawn is not None and self._drawn[0] == cell.data:
            return self._drawn[1]
        self._drawn = None  # one at a time
        seeded(cell.data_seed)
        design = self._job.designs[cell.design]
        data = design.draw(self._settings[cell.design][cell.setting], cell.data_seed)
        wanted = not set(OF_OTHERS).isdisjoint(self._job.measures)
        seed = seed_of(cell.data_seed, "others")
        others = other_points(data, OTHERS, seed) if wanted else None
        start = shared_start(data, cell.data_seed) if self._job.shared_start else None
        self._drawn = cell.data, Drawn(data, others, start)
        return self._drawn[1]


def shared_start(data: Dataset, seed: int) -> Int[Tensor, "n"] | None:
    """Clusters of one run of k-means, or None where their number is not known."""
    k = known_size(data)
    if k is None:
        return None
    options: dict[str, Any] = {"n_starts": 1, "search": "starts", "seed": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(MixtureModel(k), data.points, "kmeans", missing="integrate", **options).labels


def seeded(seed: int) -> None:
    """Seed the default generators, which a method may draw from."""
    random.seed(seed)
    np.random.seed(seed % LEGACY)  # noqa: NPY002 - it is the default one that is meant
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        torch.manual_seed(seed)
    else:  # without devices torch would keep the seed for later, with a trace of all that is called
        torch.default_generator.manual_seed(seed)


def reason_of(error: BaseException) -> str:
    """What an exception says, on one line."""
    words = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {words}"[:MOST]


def said(names: Iterable[str]) -> str:
    """Some versions, on one line."""
    found = versions()
    return ", ".join(f"{name} {found[name]}" for name in names)


def warm_up() -> None:
    """Load what every cell needs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(MixtureModel(2), few_points().x, "em", n_starts=1, max_steps=1)
