"""The folder of a study: what it is, and rows that are only ever added to."""

from __future__ import annotations

import errno
import gzip
import json
import os
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TextIO

from ..data.words import listed
from ..disk.alone import alone_in
from ..disk.placing import whole_file, write_bytes
from ..disk.untrusted import content_named
from .cell import Row
from .plan import Plan

FORMAT = "gmm_pyro study 1"
ANOTHER = "the folder holds another study"
STUDY, ROWS = "study.json", "cells-*.jsonl*"
PACKED = ".gz"
FIELDS = {field.name for field in fields(Row)}
SYNC = 1.0  # seconds after which rows are on the disk itself, should the machine stop


def write_plan(folder: Path, plan: Plan, toml: str | None) -> None:
    """Write down what a study is.

    Raises:
        OSError: if the folder cannot be written.
    """
    content = {"format": FORMAT, **plan.to_dict(), "toml": toml}
    with whole_file(folder / STUDY) as partial:
        write_bytes(partial, (json.dumps(content, indent=1) + "\n").encode())


def read_plan(folder: Path) -> tuple[Plan, str | None]:
    """What the study of a folder is, and its TOML if it has one.

    Raises:
        OSError: if there is no study.
        ValueError: if its file holds something else.
    """
    path = folder / STUDY
    text = path.read_text(encoding="utf-8")
    with content_named(f"{path} is no description of a study"):
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
        return Plan.from_dict(content), content["toml"]


def begin_anew(folder: Path, plan: Plan, toml: str | None) -> None:
    """Have a study without rows in a folder, whatever study has been there; other files stay.

    Raises:
        OSError: if the folder cannot be written, or a run is at work there.
    """
    with alone_in(folder):
        for path in folder.glob(ROWS):
            path.unlink()
        write_plan(folder, plan, toml)


def refuse_another(folder: Path, plan: Plan) -> None:
    """Refuse a folder with the rows of another study; a study may have grown since.

    Raises:
        FileExistsError: if it is another's.
    """
    others = sorted(entry.name for entry in folder.iterdir())
    if STUDY not in others:
        if others:
            raise _refusal(folder, f"the folder holds {others[0]!r}, and no study")
        return
    reason = _difference(read_plan(folder)[0], plan, read_rows(folder).keys())
    if reason:
        raise _refusal(folder, f"{ANOTHER}{reason}")


def _difference(before: Plan, plan: Plan, run: Set[str]) -> str:
    """What makes a study another one than the one before, of which some cells have been run."""
    if _facts(before) != _facts(plan):
        return f": {_facts(before)}, and this one {_facts(plan)}"
    kinds = {design.name: design.kind for design in before.designs}
    changed = [d.name for d in plan.designs if kinds.get(d.name, d.kind) != d.kind]
    if changed:
        return f", whose data called {listed(changed)} are others"
    strange = run - {cell.key for cell in plan.cells()}
    if strange or (before != plan and not run):
        return f", whose cells are others: {len(strange)} have been run"
    return ""


def _refusal(folder: Path, reason: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, f"{reason}; take another folder", str(folder))


def _facts(plan: Plan) -> str:
    words = [f"{name} {value}" for name, value in plan.told.items()]
    return ", ".join([f"seed {plan.seed}", *words, f"metrics {' '.join(plan.measures)}"])


# ---------------------------------------------------------------------- rows


def read_rows(folder: Path) -> dict[str, Row]:
    """All rows by the keys of their cells, whoever has written them.

    A last line that was not finished is not there. Files may have been packed by gzip since.

    Raises:
        ValueError: if a file holds something else.
    """
    found: dict[str, Row] = {}
    for path in sorted(folder.glob(ROWS)):
        for row in _rows_of(path):
            found.setdefault(row.key, row)
    return found


def _rows_of(path: Path) -> Iterator[Row]:
    content = path.read_bytes()
    if path.suffix == PACKED:
        with content_named(f"{path} is no file of rows"):
            content = gzip.decompress(content)
    lines = content.split(b"\n")[:-1]  # what follows the last end of a line is unfinished
    for number, line in enumerate(lines, 1):
        with content_named(f"{path}, line {number}, is no row of a study"):
            yield Row(**{name: v for name, v in json.loads(line).items() if name in FIELDS})


class Writer:
    """Files that rows are added to, one a worker of this run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        runs = [int(path.name.split("-")[1]) for path in folder.glob(ROWS)]
        self._run = max(runs, default=0) + 1
        self._files: dict[int, TextIO] = {}
        self._synced = time.monotonic()

    def add(self, place: int, row: Row, facts: Mapping[str, Any]) -> None:
        """Add a line.

        Args:
            place: number of the worker.
            row: what came of a cell.
            facts: what the cell is, for readers of the file.

        Raises:
            OSError: if it cannot be written, by the file's name.
        """
        path = self._folder / f"cells-{self._run:04d}-{place:03d}.jsonl"
        try:
            if place not in self._files:
                self._files[place] = path.open("x", encoding="utf-8")
            self._files[place].write(json.dumps({**facts, **asdict(row)}) + "\n")
            self._files[place].flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        if time.monotonic() - self._synced > SYNC:
            self._sync()

    def close(self) -> None:
        """Have all on the disk."""
        self._sync()
        for file in self._files.values():
            file.close()

    def _sync(self) -> None:
        self._synced = time.monotonic()
        for file in self._files.values():
            os.fsync(file.fileno())
