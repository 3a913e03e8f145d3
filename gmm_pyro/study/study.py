"""`Study`: methods on many data sets, a cell at a time, that stop and go on."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cloudpickle
from tqdm import tqdm

from ..data.checks import (
    check_count,
    check_flag,
    check_number,
    check_path,
    check_seed,
)
from ..data.words import counted
from ..disk.alone import alone_in
from .cell import Job, Row
from .client import check_client, rows_by
from .data_files import HERE
from .designs import Draws, designs_of, planned
from .entries import Entry
from .folder import Writer, read_rows, refuse_another, write_plan
from .frame import factors_of
from .measures import measures_named
from .methods import entries_of
from .plan import Cell, Plan, Told, canonical
from .pool import Pool
from .results import StudyResults
from .writing import from_written, to_written, toml_or_none

MOST_JOBS = 10_000
Rows = Generator[tuple[int, Row], None, None]  # with the number of the worker


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """Methods on many data sets, each with seeds of its own.

    A cell is one method on one data set. Its seeds are hashes of what it is: they depend neither on
    its place nor on other cells, and all methods on a data set have the same data. A study that
    has grown, by methods, levels or replicates, goes on in the folder that it began in.

    Attributes:
        data: a design, a `Dataset`, a `gmm_pyro.study.data_file`, or a list of these.
        methods: names of our methods; dictionaries with a `method`, and perhaps a `name`,
            `n_components`, `covariance`, `priors` and options; clusterers and mixtures of
            scikit-learn; functions of points, shape (n, d), that give labels or a mixture, and are
            told `k`, `seed`, `sample_weight` and `start` if they have such arguments. The number of
            components is the truth's unless a dictionary says otherwise, "own" being that of an
            estimator. A study knows methods by their names: a function that has changed is another
            one by another name.
        metrics: "all", or names of `gmm_pyro.study.MEASURES`.
        seed: that all seeds come from.
        timeout: seconds after which a cell is ended, with its process; None waits for ever.
        covariance: covariance family of our methods.
        priors: their priors; None for each method's own default, "conjugate" for
            `ConjugatePriors()` in all, or tables of words and numbers as a file of priors has them,
            as `{"conjugate": {"scale": {"kind": "random"}}}`.
        shared_start: whether all methods on a data set that take a start begin from the same
            clusters, those of one run of k-means.
        level: what intervals are to hold of the draws.

    Raises:
        TypeError: if data or methods are of another kind.
        ValueError: if there is no such method, option or metric, or two have one name.

    Example:
        >>> import gmm_pyro as gp
        >>> study = Study(gp.datasets.bimodal(), ["kmeans", "em"], metrics=["ari"])
        >>> study.run("results").frame["ari"].tolist()  # doctest: +SKIP
        [1.0, 1.0]
    """

    data: Any
    methods: Any
    metrics: Any = "all"
    seed: int = 0
    timeout: float | None = None
    covariance: str = "full"
    priors: Any = None
    shared_start: bool = False
    level: float = 0.9

    def __post_init__(self) -> None:
        """Check everything before the first cell is run."""
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "shared_start", check_flag("shared_start", self.shared_start))
        level = check_number("level", self.level, high=1.0, positive=True)
        object.__setattr__(self, "level", level)
        if self.timeout is not None:
            timeout = check_number("timeout", self.timeout, positive=True)
            object.__setattr__(self, "timeout", timeout)
        factors_of(self.plan)

    def __repr__(self) -> str:
        designs, methods = (
            counted(len(self.designs), "design"),
            counted(len(self.entries), "method"),
        )
        return f"<study of {designs} and {methods}: {counted(len(self.cells), 'cell')}>"

    @cached_property
    def designs(self) -> tuple[Draws, ...]:
        """Where the data come from."""
        return designs_of(self.data)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The methods."""
        return entries_of(self.methods, self.covariance, self.priors)

    @cached_property
    def plan(self) -> Plan:
        """The study in words and numbers."""
        told = {"timeout": self.timeout, "shared_start": self.shared_start, "level": self.level}
        return Plan(
            self.seed,
            tuple(planned(design) for design in self.designs),
            tuple(Told(entry.name, canonical(entry.facts)) for entry in self.entries),
            measures_named(self.metrics),
            told,
        )

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, in order."""
        return tuple(self.plan.cells())

    # ------------------------------------------------------------------ running

    def run(
        self,
        folder: str | Path,
        *,
        n_jobs: int = 1,
        client: Any = None,
        shuffle: bool = False,
        progress: bool = False,
    ) -> StudyResults:
        """Run the cells that have not been run, and give the results of all.

        Each worker is a process of its own with one thread, and each row is on its way to the disk
        before the next one is begun: whatever ends the run, a later one goes on. The results are
        the same to the last bit, however often that was and in whatever order, but for times and
        memory. What a method prints goes nowhere.

        Args:
            folder: where the rows are; it is made, or has some of this study.
            n_jobs: number of workers, or of cells that a client has at a time.
            client: what runs the cells in the place of this machine: a `distributed.Client`, which
                the extra `cluster` has, or an executor of `concurrent.futures`. Their threads have
                a worker process each.
            shuffle: whether cells are run in a random order, so that what is there early is of
                the whole study.
            progress: whether to show a bar on standard error, with the time left.

        Raises:
            OSError: if the folder cannot be written, is another study's, or is in use.
            RuntimeError: if a worker cannot begin.
            KeyboardInterrupt: at an interrupt; the rows that are there stay.
        """
        n_jobs = check_count("n_jobs", n_jobs, 1, MOST_JOBS)
        shuffle, progress = check_flag("shuffle", shuffle), check_flag("progress", progress)
        client = None if client is None else check_client(client)
        home, toml = check_path("folder", folder), toml_or_none(self)
        with alone_in(home):
            refuse_another(home, self.plan)
            write_plan(home, self.plan, toml)
            rows = read_rows(home)
            left = [cell for cell in self.cells if cell.key not in rows]
            if shuffle:
                random.Random(self.seed).shuffle(left)
            bar: tqdm[Any] = tqdm(
                total=len(self.cells),
                initial=len(self.cells) - len(left),
                desc="study",
                unit="cell",
                disable=not progress,
            )
            found = closing(self._rows(left, n_jobs, client))
            with bar, closing(Writer(home)) as writer, found as pairs:
                for place, row in pairs:
                    writer.add(place, row, self._facts_of[row.key])
                    rows[row.key] = row
                    bar.update()
        return StudyResults(self.plan, rows, toml, home)

    def _rows(self, left: list[Cell], n_jobs: int, client: Any) -> Rows:
        """The rows of some cells, as they come."""
        if not left:
            return
        job = cloudpickle.dumps((self._job, self.timeout))
        if client is not None:
            yield from rows_by(client, job, left, n_jobs, self.timeout)
            return
        pool = Pool(job, n_jobs, self.timeout)
        try:
            yield from pool.rows(left)
        finally:
            pool.close()

    @property
    def _job(self) -> Job:
        return Job(self.designs, self.entries, self.plan.measures, self.level, self.shared_start)

    @cached_property
    def _facts_of(self) -> dict[str, dict[str, Any]]:
        """What each cell is, for readers of its row."""
        plan = self.plan
        return {
            cell.key: {
                "design": plan.designs[cell.design].name,
                "kind": plan.designs[cell.design].kind,
                "setting": plan.designs[cell.design].settings[cell.setting],
                "replicate": cell.replicate,
                "method": plan.methods[cell.method].name,
                "data_seed": cell.data_seed,
                "method_seed": cell.method_seed,
            }
            for cell in self.cells
        }

    # ------------------------------------------------------------------ in a file

    def to_toml(self) -> str:
        """The study as TOML.

        Raises:
            ValueError: if a part cannot be written: data that have neither a name here nor a file,
                priors that are objects, functions that cannot be imported.

        Example:
            >>> import gmm_pyro as gp
            >>> print(Study(gp.datasets.iris(), ["em"], timeout=60.0).to_toml())
            metrics = "all"
            seed = 0
            timeout = 60.0
            methods = ["em"]
            <BLANKLINE>
            [[data]]
            kind = "dataset"
            name = "iris"
            <BLANKLINE>
        """
        return to_written(self)

    @classmethod
    def from_toml(cls, text: str, *, base: str | Path = HERE) -> Study:
        """The study that a text in TOML says.

        Args:
            text: what `to_toml` wrote, or a person.
            base: the folder that paths of data files start from, as that of a file with the text.

        Raises:
            ValueError: if it is no TOML, or no study: something is missing, unknown or wrong, as a
                file that cannot be read.

        Example:
            >>> import gmm_pyro as gp
            >>> text = Study(gp.datasets.iris(), ["em"]).to_toml()
            >>> Study.from_toml(text)
            <study of 1 design and 1 method: 1 cell>
        """
        return cls(**from_written(text, base))
