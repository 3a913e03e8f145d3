"""The folder of a checkpoint: which fit it is of, parts that are only added, and a last state.

A part is a file of its own, and so is the state of the loop at work, which says how many parts
there are by then. Each appears as a whole or not at all; a part that no state knows of is as none.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..disk.alone import alone_in
from ..disk.placing import PREFIX, whole_file, write_bytes
from ..disk.untrusted import content_named, read_npz
from .values import Written

FORMAT = "gmm_pyro checkpoint 1"
FIT, PRESENT = "checkpoint.json", "present.npz"
LONG = 60  # letters of a value that differs, more than which are not told


class Folder:
    """A folder in which one fit is kept.

    Args:
        path: where it is.
        facts: which fit it is of.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self._path, self._facts = path, facts
        self._parts = 0

    def read(self) -> tuple[list[Written], Written | None]:
        """All parts, and the state of the loop at work, if there is any.

        Raises:
            ValueError: if a file holds something else, or is missing.
        """
        if not (self._path / PRESENT).exists():
            return [], None
        present, self._parts = self._load(self._path / PRESENT)
        parts = [self._load(self._part(number))[0] for number in range(self._parts)]
        return parts, present

    def add(self, written: Written) -> None:
        """Add a part, which counts from the next state on.

        Raises:
            OSError: if it cannot be written.
        """
        self._save(self._part(self._parts), written)
        self._parts += 1

    def note(self, written: Written) -> None:
        """Put a state in the place of the last one.

        Raises:
            OSError: if it cannot be written.
        """
        self._save(self._path / PRESENT, written)

    def ended(self, how: str) -> None:
        """Say in the folder that the fit has ended, and how.

        Raises:
            OSError: if it cannot be written.
        """
        _describe(self._path, self._facts, how)

    def _part(self, number: int) -> Path:
        return self._path / f"part-{number:06d}.npz"

    def _save(self, path: Path, written: Written) -> None:
        file, parts = io.BytesIO(), np.array(self._parts)
        text, numbers = (
            np.frombuffer(some, np.uint8) for some in (written.text.encode(), written.numbers)
        )
        np.savez(file, text=text, numbers=numbers, parts=parts)
        with whole_file(path) as partial:
            write_bytes(partial, file.getbuffer())
            _sync(partial)

    def _load(self, path: Path) -> tuple[Written, int]:
        with content_named(f"{path} is no part of a checkpoint"):
            found = read_npz(path)
            text, numbers = (found[name].tobytes() for name in ("text", "numbers"))
            return Written(text.decode(), numbers), int(found["parts"])


@contextmanager
def opened(path: Path, facts: Mapping[str, Any]) -> Iterator[Folder]:
    """A folder for this fit alone, new or with what it has kept before.

    Raises:
        FileExistsError: if there is something else in it, or another fit, by what differs.
        BlockingIOError: if another run is at work there.
        ValueError: if a file is not what it should be.
        OSError: if it cannot be written.
    """
    with alone_in(path):
        for stale in path.glob(f"{PREFIX}*"):  # of a run that was killed
            shutil.rmtree(stale, ignore_errors=True)
        _refuse_another(path, facts)
        _describe(path, facts, "at work")
        yield Folder(path, facts)


def _describe(path: Path, facts: Mapping[str, Any], status: str) -> None:
    content = {"format": FORMAT, "status": status, **facts}
    with whole_file(path / FIT) as partial:
        write_bytes(partial, (json.dumps(content, indent=1) + "\n").encode())
        _sync(partial)


def _refuse_another(path: Path, facts: Mapping[str, Any]) -> None:
    others = sorted(entry.name for entry in path.iterdir())
    if FIT not in others:
        if others:
            raise _refusal(path, f"the folder holds {others[0]!r}, and no checkpoint")
        return
    with content_named(f"{path / FIT} is no description of a checkpoint"):
        found = json.loads((path / FIT).read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}, not {FORMAT!r}")
        del found["format"], found["status"]
    differing = list(differences(found, json.loads(json.dumps(facts))))
    if differing:
        raise _refusal(path, f"the checkpoint is of another fit: {'; '.join(differing)}")


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """What differs between the facts of two fits, in words.

    Example:
        >>> list(differences({"seed": 1, "n": 5}, {"seed": 2, "n": 5}))
        ['seed is 1 there, and 2 here']
    """
    for name in dict.fromkeys((*there, *here)):
        one, other = there.get(name), here.get(name)
        if one != other:
            told = f"{name} is {one} there, and {other} here"
            yield told if len(told) <= LONG else f"{name} differs"


def _refusal(path: Path, reason: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, f"{reason}; take another folder", str(path))


def _sync(path: Path) -> None:
    """Have a file on the disk itself, should the machine stop."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
